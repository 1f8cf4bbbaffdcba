/* A trigger on its way to the leader: see question.h. */
#include "source/question.h"

#include "wire/wire.h"

#include "base/banned.h"

#define RECONCILE 1
#define PLAN 2

void question_encode(struct buf *out, const struct source_question *q)
{
	wr_u8(out, q->plans ? PLAN : RECONCILE);
	wr_str(out, q->tenant);
	wr_str(out, q->name);
	wr_u8(out, q->wait);
	if (q->plans)
		wr_str(out, q->commit);
}

enum code question_decode(struct str in, struct source_question *out,
			  struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t what = rd_u8(&rd);

	if (what != RECONCILE && what != PLAN)
		return err_set(err, E_UNSUPPORTED, "question %u", what);
	*out = (struct source_question){ 0 };
	out->tenant = rd_str(&rd);
	out->name = rd_str(&rd);
	out->wait = rd_u8(&rd);
	out->plans = what == PLAN;
	if (out->plans)
		out->commit = rd_str(&rd);
	if (!rd_done(&rd))
		return err_set(err, E_INVALID, "a malformed question");
	return OK;
}

void question_answer_encode(struct buf *out, const struct source_result *r,
			    uint64_t seen)
{
	wr_var(out, (uint64_t)r->code);
	wr_str(out, str_of(r->text));
	wr_str(out, str_of(r->hint));
	wr_str(out, str_of(r->revision));
	wr_var(out, r->rev);
	wr_var(out, r->operations);
	wr_var(out, seen);
	/* Only where there is one: a node of the version before does not know it. */
	if (r->proposal[0] || r->plan[0] || r->turned_back[0] || r->n_invalid)
		wr_str(out, str_of(r->proposal));
	if (r->plan[0] || r->turned_back[0] || r->n_invalid)
		wr_str(out, str_of(r->plan));
	if (r->turned_back[0] || r->n_invalid)
		wr_str(out, str_of(r->turned_back));
	if (!r->n_invalid)
		return;
	wr_str(out, str_of(r->invalid));
	wr_var(out, r->n_invalid);
}

enum code question_answer_decode(struct str in, struct source_result *out,
				 uint64_t *seen, struct err *err)
{
	struct rd rd = rd_of(in);

	*out = (struct source_result){ .code = code_from_number(rd_var(&rd)) };
	str_copy(out->text, sizeof(out->text), rd_str(&rd));
	str_copy(out->hint, sizeof(out->hint), rd_str(&rd));
	str_copy(out->revision, sizeof(out->revision), rd_str(&rd));
	out->rev = rd_var(&rd);
	out->operations = rd_var(&rd);
	*seen = rd_var(&rd);
	if (rd_left(&rd))
		str_copy(out->proposal, sizeof(out->proposal), rd_str(&rd));
	if (rd_left(&rd))
		str_copy(out->plan, sizeof(out->plan), rd_str(&rd));
	if (rd_left(&rd))
		str_copy(out->turned_back, sizeof(out->turned_back), rd_str(&rd));
	if (rd_left(&rd)) {
		str_copy(out->invalid, sizeof(out->invalid), rd_str(&rd));
		out->n_invalid = (unsigned)MIN(rd_var(&rd), (uint64_t)UINT32_MAX);
	}
	if (!rd_done(&rd))
		return err_set(err, E_INVALID, "the leader's answer is malformed");
	return OK;
}
