/* Checked state machines: see fsm.h. */
#include "base/fsm.h"

#include "base/banned.h"

void fsm_init(struct fsm *fsm, const char *noun, const struct fsm_state *states,
	      unsigned n_states, unsigned first)
{
	must(n_states <= 32 && first < n_states);
	*fsm = (struct fsm){ .noun = noun, .states = states,
			     .n_states = n_states, .state = first };
}

bool fsm_try(struct fsm *fsm, unsigned to, const char *why)
{
	unsigned from = fsm->state;

	must(to < fsm->n_states);
	if (!(fsm->states[from].next & BIT(to)))
		return false;
	fsm->state = to;
	if (fsm->on_move)
		fsm->on_move(fsm->data, fsm, from, why);
	return true;
}

void fsm_move(struct fsm *fsm, unsigned to, const char *why)
{
	must(fsm_try(fsm, to, why));
}

const char *fsm_name(const struct fsm *fsm)
{
	return fsm->states[fsm->state].name;
}

bool fsm_ended(const struct fsm *fsm)
{
	return fsm->states[fsm->state].end;
}
