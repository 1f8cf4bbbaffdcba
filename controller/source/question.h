/*
 * A trigger of a source on its way to the node that leads, and what became of it
 * (docs/formats/forward.md, method 2).  Decoding never trusts its input.  Pure; any
 * thread.
 */
#ifndef SOURCE_QUESTION_H
#define SOURCE_QUESTION_H

#include "base/buf.h"
#include "source/source.h"

struct source_question {
	struct str tenant, name;
	bool wait;                       /* until what Git says is live, or refused */
	bool plans;                      /* source_plan, of 'commit' */
	struct str commit;
};

void question_encode(struct buf *out, const struct source_question *q);
/* Borrows from 'in'.  E_INVALID; E_UNSUPPORTED: another question. */
enum code question_decode(struct str in, struct source_question *out,
			  struct err *err) MUST_USE;

/* 'seen' is how far the leader was when it was told: what it says of its source,
 * say why it stalls, is visible there. */
void question_answer_encode(struct buf *out, const struct source_result *r,
			    uint64_t seen);
/* E_INVALID.  A code that is not known reads as E_INTERNAL. */
enum code question_answer_decode(struct str in, struct source_result *out,
				 uint64_t *seen, struct err *err) MUST_USE;

#endif
