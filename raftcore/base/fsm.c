/*
 * Checked state machines: the table decides, the listener is told.
 */
#include "base/fsm.h"

#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

void fsm_init(struct fsm *fsm, const char *noun,
	      const struct fsm_state *states, unsigned n_states, unsigned first)
{
	must(n_states > 0 && n_states <= 32);
	must(first < n_states);
	for (unsigned i = 0; i < n_states; i++) {
		must(states[i].name);
		must(!states[i].end || states[i].next == 0);
		must(n_states == 32 || states[i].next < BIT(n_states));
	}
	*fsm = (struct fsm){
		.noun = noun,
		.states = states,
		.n_states = n_states,
		.state = first,
	};
}

static bool may_move(const struct fsm *fsm, unsigned to)
{
	return to < fsm->n_states && fsm->states[fsm->state].next & BIT(to);
}

/* The backtrace alone would not say which states it was about. */
static NORETURN void illegal(const struct fsm *fsm, unsigned to,
			     const char *why)
{
	dprintf(STDERR_FILENO, "%s: no move from %s to %s: %s\n", fsm->noun,
		fsm_name(fsm),
		to < fsm->n_states ? fsm->states[to].name : "no state", why);
	must_failed("fsm_move", __FILE__, __LINE__, __func__);
}

bool fsm_try(struct fsm *fsm, unsigned to, const char *why)
{
	unsigned from = fsm->state;

	if (!may_move(fsm, to))
		return false;
	fsm->state = to;
	if (fsm->on_move)
		fsm->on_move(fsm->data, fsm, from, why);
	return true;
}

void fsm_move(struct fsm *fsm, unsigned to, const char *why)
{
	if (!fsm_try(fsm, to, why))
		illegal(fsm, to, why);
}

const char *fsm_name(const struct fsm *fsm)
{
	must(fsm->state < fsm->n_states);
	return fsm->states[fsm->state].name;
}

bool fsm_ended(const struct fsm *fsm)
{
	must(fsm->state < fsm->n_states);
	return fsm->states[fsm->state].end;
}
