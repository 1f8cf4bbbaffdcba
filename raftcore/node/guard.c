/* Guards: see guard.h. */
#include "node/guard.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "node/engine.h"

#include "base/banned.h"

static bool is_off(enum failpoint fp)
{
	return failpoint_hit(fp, NULL) != OK;
}

void guard_vote_result(struct engine_message *m, uint64_t our_term)
{
	if (m->type == ENGINE_M_VOTE_RESULT && m->vote_result.pre &&
	    !m->vote_result.granted && our_term > m->term && !is_off(FP_GUARD_A))
		m->term = our_term;
}

void guard_append(struct engine_message *m, uint64_t commit,
		  uint64_t commit_term)
{
	uint64_t drop;

	if (m->append.prev_index >= commit || is_off(FP_GUARD_D))
		return;
	drop = MIN(commit - m->append.prev_index, (uint64_t)m->append.n);
	m->append.entries += drop;
	m->append.n -= (unsigned)drop;
	m->append.prev_index = commit;
	m->append.prev_term = commit_term;
}

unsigned guard_batch(const struct engine_message *m)
{
	unsigned n = m->append.n ? 1 : 0;

	if (is_off(FP_GUARD_B))
		return m->append.n;
	while (n < m->append.n && m->append.entries[n].type != ENGINE_CHANGE)
		n++;
	return n;
}

size_t guard_room(uint64_t open)
{
	if (is_off(FP_GUARD_E))
		return SIZE_MAX;
	return GUARD_UNCOMMITTED_MAX - (size_t)MIN(open,
					(uint64_t)GUARD_UNCOMMITTED_MAX);
}

bool guard_votes_alone(struct str conf, uint64_t id)
{
	size_t n = engine_members(conf, NULL, 0);
	struct engine_member *all = mem_zero((n + 1) * sizeof(*all));
	unsigned others = 0;
	bool votes = false;

	engine_members(conf, all, n);
	for (size_t i = 0; i < n; i++)
		if (all[i].id == id)
			votes = all[i].votes;
		else
			others += all[i].votes;
	free(all);
	return votes && !others;
}

bool guard_new_term(void)
{
	return !is_off(FP_GUARD_F);
}

bool guard_settles(const struct engine_message *m, uint64_t pending,
		   uint64_t prev_term)
{
	return pending && m->append.n &&
	       m->append.entries[0].type == ENGINE_CHANGE &&
	       m->append.prev_index >= pending &&
	       m->append.prev_term == prev_term && !is_off(FP_GUARD_H);
}

bool guard_refuses_install(uint64_t rejected, uint64_t asked, uint64_t newest)
{
	return asked && rejected > asked && rejected <= newest &&
	       !is_off(FP_GUARD_I);
}

bool guard_learner_votes(void)
{
	return !is_off(FP_GUARD_G);
}

enum code guard_change(const struct guard_change *c, struct err *err)
{
	if (is_off(FP_GUARD_C))
		return OK;
	if (c->is_self && c->takes_vote) {
		err_set(err, E_CONFLICT, "a leader does not take its own vote");
		return err_hint(err, "transfer leadership first");
	}
	if (c->is_pending || !c->all_have_last) {
		err_set(err, E_CONFLICT, c->is_pending ?
			"another change of membership is not committed" :
			"a voter has not stored the last change of membership");
		return err_hint(err, "try again when all voters are connected "
				"and up to date");
	}
	if (c->gives_vote && !c->is_caught_up) {
		err_set(err, E_CONFLICT, "the server has not caught up");
		return err_hint(err, "wait until its log is at the leader's");
	}
	if (c->takes_vote && c->voters_after < 3 && !c->force) {
		err_set(err, E_CONFLICT, "%u voters would be left",
			c->voters_after);
		return err_hint(err, "with fewer than three no server may fail; "
				"force it if that is meant");
	}
	return OK;
}
