/* A trigger on its way to the leader: see question.h. */
#include "source/question.h"

#include "wire/wire.h"

#include "base/banned.h"

#define RECONCILE 1

void question_encode(struct buf *out, const struct source_question *q)
{
	wr_u8(out, RECONCILE);
	wr_str(out, q->tenant);
	wr_str(out, q->name);
	wr_u8(out, q->wait);
}

enum code question_decode(struct str in, struct source_question *out,
			  struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t what = rd_u8(&rd);

	if (what != RECONCILE)
		return err_set(err, E_UNSUPPORTED, "question %u", what);
	*out = (struct source_question){ 0 };
	out->tenant = rd_str(&rd);
	out->name = rd_str(&rd);
	out->wait = rd_u8(&rd);
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
	if (!rd_done(&rd))
		return err_set(err, E_INVALID, "the leader's answer is malformed");
	return OK;
}
