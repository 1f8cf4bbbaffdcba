/*
 * Checked state machines: a table of states and allowed next states; each
 * move carries a sentence for log and tests.  A move that the table does not
 * allow is a programmer error (must).  One thread.
 *
 *	static const struct fsm_state conn_states[CONN__STATES] = {
 *		[CONN_READING] = { "reading", BIT(CONN_CLOSED) },
 *		[CONN_CLOSED] = { "closed", 0, .end = true },
 *	};
 */
#ifndef BASE_FSM_H
#define BASE_FSM_H

#include "base/must.h"

struct fsm_state {
	const char *name;
	unsigned next;            /* BIT() set of states one may move to */
	bool end;
};

struct fsm;
typedef void fsm_listener(void *data, const struct fsm *fsm, unsigned from,
			  const char *why);

struct fsm {
	const char *noun;                 /* "connection", "source" */
	const struct fsm_state *states;
	unsigned n_states;
	unsigned state;
	fsm_listener *on_move;            /* may be NULL */
	void *data;
};

void fsm_init(struct fsm *fsm, const char *noun,
	      const struct fsm_state *states, unsigned n_states,
	      unsigned first);
void fsm_move(struct fsm *fsm, unsigned to, const char *why);
/* Moves only where the table allows it; says whether it did. */
bool fsm_try(struct fsm *fsm, unsigned to, const char *why);
const char *fsm_name(const struct fsm *fsm);
bool fsm_ended(const struct fsm *fsm);

#endif
