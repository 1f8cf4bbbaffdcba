/*
 * Commands in words: whatever bytes an entry of the log has, its words are one line
 * that a terminal shows and does not obey, and members of a JSON object.
 *
 * The input is entries: two bytes of length and the bytes, one after the other; with
 * a first byte 'r' all that follows is one entry.
 */
#include <stdint.h>

#include "doc/format.h"
#include "schema/kind.h"
#include "state/words.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct words *w)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF json = BUF_NONE;
	struct value *v;
	struct err err;

	buf_c(&json, '{');
	buf_str(&json, buf_view(&w->json));
	buf_c(&json, '}');
	must(doc_parse_json(buf_view(&json), arena, NULL, &v, &err) == OK);
	must(str_is_utf8(buf_view(&w->text)));
	for (size_t i = 0; i < w->text.n; i++)
		must((unsigned char)w->text.p[i] >= ' ' && w->text.p[i] != 127);
}

static void one(struct words_reader *reader, struct str entry)
{
	struct words w = { 0 };
	struct err err = { 0 };
	enum code rc = words_command(reader, entry, &w, &err);

	while (rc == OK) {
		check(&w);
		words_reset(&w);
		rc = words_operation(reader, &w, &err);
	}
	must(rc == E_NOT_FOUND ||
	     ((rc == E_INVALID || rc == E_UNSUPPORTED) && err.text[0]));
	words_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_loaded;
	struct words_reader *reader = words_new();
	struct str in = str_n(data, size);

	if (!is_loaded)
		must(kinds_load(NULL) == OK);
	is_loaded = true;
	if (size && data[0] == 'r') {
		one(reader, str_from(in, 1));
		in = STR_NONE;
	}
	while (in.n >= 2) {
		size_t n = (size_t)((unsigned char)in.p[0] |
				    (unsigned char)in.p[1] << 8);

		one(reader, str_first(str_from(in, 2), n));
		in = str_from(in, 2 + n);
	}
	words_free(&reader);
	return 0;
}
