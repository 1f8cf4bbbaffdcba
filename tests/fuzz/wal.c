/*
 * Recovery of a damaged log.  The input is a list of changes to a log that is
 * good: what opens may end earlier than it did, where its last record was torn,
 * but never holds an entry that was not written; all else is refused as damage
 * with its place.  Who looks at it (wal/inspect.h) is told of damage exactly where
 * a start refuses, and of no entry that was not written either.
 *
 * Input: 'r' and the bytes of a whole segment; or changes of four bytes each,
 * behind an 's' of a sealed log: position (24 bits, of the log) and what is XORed
 * there; the last byte of all, where it is odd, cuts the file at the last position.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "seal/keyring.h"
#include "wal/inspect.h"

#include "base/banned.h"

#define BLOCKS 16
#define ENTRIES 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static struct buf goods[2], path;        /* plain, sealed */
static struct keyring *keys;

static struct wal_config config(bool is_sealed)
{
	struct wal_config c = { .fs = fs_real(), .dir = dir, .node = 1,
				.segment_bytes = BLOCKS * FILE_BLOCK,
				.spares_max = 0 };

	memset(c.cluster.b, 7, sizeof(c.cluster.b));
	keyring_set_on(keys, is_sealed);
	c.seal = keyring_provider(keys);
	return c;
}

static struct str text_of(uint64_t index, char text[6000])
{
	size_t n = index % 3 ? 40 : 5000;

	memset(text, 'a' + (int)(index % 26), n);
	return str_n(text, n);
}

static enum code check_entry(void *data, const struct wal_entry *e,
			     struct err *err)
{
	uint64_t *last = data;
	char text[6000];

	must(e->index == *last + 1 && e->index <= ENTRIES);
	must(e->term == 3 && e->type == 1);
	must(str_eq(e->data, text_of(e->index, text)));
	*last = e->index;
	return OK;
}

/* Counts what is in a segment that the input wrote whole. */
static enum code take_any(void *data, const struct wal_entry *e, struct err *err)
{
	must(e->data.n < BLOCKS * FILE_BLOCK);
	return OK;
}

/* Behind damage they go on later. */
static enum code check_seen(void *data, const struct wal_entry *e,
			    struct err *err)
{
	uint64_t *last = data;
	char text[6000];

	must(e->index > *last && e->index <= ENTRIES);
	must(e->term == 3 && e->type == 1);
	must(str_eq(e->data, text_of(e->index, text)));
	*last = e->index;
	return OK;
}

static enum code check_damage(void *data, const struct err *why, struct err *err)
{
	must(why->code && why->text[0]);
	return OK;
}

/* 'rc', 'last': what a start says of the same files. */
static void look(const struct wal_config *c, bool is_raw, enum code rc,
		 uint64_t last)
{
	struct wal_inspect_config config = { .fs = c->fs, .dir = c->dir,
					     .cluster = &c->cluster,
					     .node = c->node, .seal = c->seal };
	uint64_t seen = 0;
	struct wal_visitor v = { .entry = is_raw ? take_any : check_seen,
				 .damage = check_damage, .data = &seen };
	struct wal_inspected sum;
	struct err err;

	must(wal_inspect(&config, &v, &sum, &err) == OK);
	must(is_raw || (rc == OK) == (sum.damaged + sum.closed_segments == 0));
	must(rc == OK || sum.damaged + sum.closed_segments > 0);
	must(is_raw || rc || (seen == last && sum.entries == last));
	must(is_raw || sum.entries >= last);
}

static void each_file(void (*what)(const char *file))
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;

	must(fs_real()->ops->list(fs_real(), dir, &names, NULL) == OK);
	for (rest = buf_view(&names); rest.n;) {
		AUTO_BUF file = BUF_NONE;
		struct str one = str_cut(&rest, '\0');

		buf_printf(&file, "%s/%.*s", dir, STR_ARG(one));
		what(file.p);
	}
}

static void remove_file(const char *file)
{
	unlink(file);
}

static void keep(const char *file)
{
	struct buf *good = &goods[goods[0].n > 0];

	must(!good->n && fs_get(fs_real(), file, good, NULL) == OK);
	buf_reset(&path);
	buf_z(&path, file);
}

static void clean_up(void)
{
	each_file(remove_file);
	rmdir(dir);
}

/* The log that is damaged afterwards: a few records, small and large. */
static void make_good(bool is_sealed)
{
	struct wal_config c = config(is_sealed);
	struct wal *wal;
	struct err err;

	each_file(remove_file);
	must(wal_open(&c, take_any, NULL, &wal, &err) == OK);
	for (uint64_t i = 1; i <= ENTRIES; i += 2) {
		char text[2][6000];
		struct wal_entry e[2] = {
			{ i, 3, 1, text_of(i, text[0]) },
			{ i + 1, 3, 1, text_of(i + 1, text[1]) },
		};

		must(wal_append(wal, e, 2, &err) == OK);
	}
	wal_close(&wal);
	each_file(keep);
	must(goods[is_sealed].n == BLOCKS * FILE_BLOCK);
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/conflux-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(dir));
	atexit(clean_up);
	must(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f101112131415161718"
			       "191a1b1c1d1e1f"), "keys", &keys, NULL) == OK);
	make_good(false);
	make_good(true);
}

static void put_segment(const struct buf *bytes)
{
	FILE *f;

	each_file(remove_file);
	f = fopen(path.p, "wb");
	must(f && fwrite(bytes->p, 1, bytes->n, f) == bytes->n);
	must(fclose(f) == 0);
}

static void change(struct buf *bytes, const uint8_t *data, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i + 4 <= size; i += 4) {
		at = ((size_t)data[i] << 16 | (size_t)data[i + 1] << 8 |
		      data[i + 2]) % bytes->n;
		bytes->p[at] ^= (char)data[i + 3];
	}
	if (size && data[size - 1] & 1 && at)
		buf_cut(bytes, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wal_config c;
	struct buf bytes = BUF_NONE;
	struct wal *wal;
	struct err err = { 0 };
	uint64_t last = 0;
	bool is_raw = size > 0 && data[0] == 'r';
	bool is_sealed = size > 0 && data[0] == 's';
	enum code rc;

	if (!keys)
		begin();
	if (is_raw) {
		buf_add(&bytes, data + 1, size - 1);
	} else {
		buf_str(&bytes, buf_view(&goods[is_sealed]));
		change(&bytes, data + is_sealed, size - is_sealed);
	}
	put_segment(&bytes);
	c = config(false);
	c.reads_only = true;
	rc = wal_open(&c, is_raw ? take_any : check_entry, &last, &wal, &err);
	if (rc == OK)
		wal_close(&wal);
	else
		must((rc == E_CORRUPT || rc == E_DENIED ||
		      rc == E_UNSUPPORTED) && err.text[0]);
	look(&c, is_raw, rc, last);
	/* Untouched, all of it is there. */
	must(size > is_sealed || (rc == OK && last == ENTRIES));
	buf_fini(&bytes);
	return 0;
}
