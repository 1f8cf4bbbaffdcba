/*
 * What the agent remembers of a target: whatever stands in its file, it is refused with
 * words, or it is a record that is written and read again as the same, with nothing in
 * it that the agent may not do.
 *
 * The source itself, for what is between bytes and record.
 */
#include "edge/record.c"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum code read_text(struct str text, const struct edge_file *f,
			   struct edge_record *out, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct value *v;
	enum code rc = doc_parse_json(text, arena, NULL, &v, err);

	*out = (struct edge_record){ 0 };
	return rc ? rc : decode(v, f, out, err);
}

static void must_be_same(const struct edge_record *a, const struct edge_record *b)
{
	must(a->phase == b->phase && a->version == b->version);
	must(sha256_eq(&a->sha, &b->sha) && a->has_previous == b->has_previous);
	must(a->previous_uid == b->previous_uid && a->previous_gid == b->previous_gid);
	must(a->previous_mode == b->previous_mode && a->rejected == b->rejected);
	must(sha256_eq(&a->rejected_sha, &b->rejected_sha));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct edge_file f = { .config = STR("app.toml"),
					    .path = "/etc/app.toml", .uid = 10,
					    .gid = 20, .mode = 0640 };
	struct edge_record once, again;
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct err err = { 0 };

	if (read_text(str_n(data, size), &f, &once, &err)) {
		must(err.code && err.text[0]);
		return 0;
	}
	must((unsigned)once.phase < EDGE__PHASES);
	must((once.previous_mode & ~(mode_t)0777) == 0);
	must(strnlen(once.reason, sizeof(once.reason)) < sizeof(once.reason));
	encode(&f, &once, &text);
	must(read_text(buf_view(&text), &f, &again, &err) == OK);
	must_be_same(&once, &again);
	encode(&f, &again, &twice);
	must(str_eq(buf_view(&text), buf_view(&twice)));
	return 0;
}
