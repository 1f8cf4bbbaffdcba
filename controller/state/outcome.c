/* Outcomes of commands, as rows and nodes hand them on: see command.h. */
#include "state/command.h"

#include "base/banned.h"

static void rd_uid(struct rd *rd, struct uuid *out)
{
	struct str s = rd_raw(rd, sizeof(out->b));

	if (s.n == sizeof(out->b))
		memcpy(out->b, s.p, s.n);
}

void outcome_encode(struct buf *out, const struct outcome *o)
{
	wr_u8(out, o->proposal[0] ? 2 : 1);
	wr_var(out, (uint64_t)o->code);
	wr_str(out, str_of(o->text));
	wr_str(out, str_of(o->hint));
	wr_var(out, o->rev);
	wr_var(out, o->op);
	if (o->proposal[0]) {
		wr_str(out, str_of(o->proposal));
		wr_str(out, str_of(o->phase));
	}
	wr_var(out, o->n_results);
	for (size_t i = 0; i < o->n_results; i++) {
		const struct op_result *r = &o->results[i];

		wr_var(out, r->rev);
		wr_raw(out, r->uid.b, sizeof(r->uid.b));
		wr_var(out, r->version);
		wr_u8(out, r->changed);
	}
}

bool outcome_decode(struct arena *arena, struct str in, struct outcome *out)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);
	uint64_t n;

	*out = (struct outcome){ 0 };
	out->code = code_from_number(rd_var(&rd));
	str_copy(out->text, sizeof(out->text), rd_str(&rd));
	str_copy(out->hint, sizeof(out->hint), rd_str(&rd));
	out->rev = rd_var(&rd);
	out->op = rd_var(&rd);
	if (format == 2) {
		str_copy(out->proposal, sizeof(out->proposal), rd_str(&rd));
		str_copy(out->phase, sizeof(out->phase), rd_str(&rd));
	}
	n = rd_var(&rd);
	if (format < 1 || format > 2 || n > COMMAND_OPS_MAX || n > rd_left(&rd))
		return false;
	out->results = arena_zero(arena, n * sizeof(*out->results) + 1);
	out->n_results = n;
	for (uint64_t i = 0; i < n; i++) {
		struct op_result *r = &out->results[i];

		r->rev = rd_var(&rd);
		rd_uid(&rd, &r->uid);
		r->version = (uint32_t)rd_var(&rd);
		r->changed = rd_u8(&rd);
	}
	return rd_done(&rd);
}
