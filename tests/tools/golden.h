/*
 * Samples of every format as it was first written: tests/golden/<name>.hex, lines
 * of an offset and up to 32 bytes, lines of zeros left out, the length last.
 *
 * A sample is never changed: what was written once must be read ever after
 * (docs/formats/compatibility.md).  A new form of a format gets a sample of its own
 * under the next number.  GOLDEN=write adds the samples that are missing.
 */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"

#define GOLDEN_LINE 32

static inline FILE *golden_open(const char *name, const char *mode)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "tests/golden/%s.hex", name);
	f = fopen(path, mode);
	ck_assert_msg(f, "%s is not there; see tests/tools/golden.h", path);
	return f;
}

static inline bool golden_has(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "tests/golden/%s.hex", name);
	f = fopen(path, "r");
	if (f)
		fclose(f);
	return f;
}

static inline void golden_write(const char *name, struct str bytes)
{
	static const char zeros[GOLDEN_LINE];
	FILE *f = golden_open(name, "w");

	for (size_t at = 0; at < bytes.n; at += GOLDEN_LINE) {
		struct str line = str_first(str_from(bytes, at), GOLDEN_LINE);
		char text[2 * GOLDEN_LINE + 1];

		if (memcmp(line.p, zeros, line.n) == 0)
			continue;
		hex_text(text, line.p, line.n);
		fprintf(f, "%08zx %s\n", at, text);
	}
	fprintf(f, "%08zx\n", bytes.n);
	fclose(f);
}

/* The sample 'name', at the end of 'out'. */
static inline void golden_read(const char *name, struct buf *out)
{
	FILE *f = golden_open(name, "r");
	size_t from = out->n;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		char *space = strchr(line, ' ');
		size_t at = strtoul(line, NULL, 16), n;

		n = space ? strlen(space + 1) / 2 : 0;
		while (out->n < from + at + n)
			*(char *)buf_extend(out, 1) = '\0';
		if (n)
			ck_assert(hex_parse(str_n(space + 1, 2 * n),
					    out->p + from + at, n));
	}
	fclose(f);
}

/* What is written now is what was written then. */
static inline void golden_same(const char *name, struct str bytes)
{
	AUTO_BUF was = BUF_NONE;
	size_t at = 0;

	if (getenv("GOLDEN") && !golden_has(name))
		golden_write(name, bytes);
	golden_read(name, &was);
	while (at < bytes.n && at < was.n && bytes.p[at] == was.p[at])
		at++;
	ck_assert_msg(at == bytes.n && at == was.n, "%s is written in another form "
		      "from byte %zu on (%zu bytes, were %zu): a new form needs a "
		      "number of its own (docs/formats/compatibility.md)", name, at,
		      bytes.n, was.n);
}

#endif
