/* Guards: see guard.h. */
#include "node/guard.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "node/engine.h"
#include "wire/wire.h"

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

/* One server of a membership; '*rd' moves behind it. */
static struct str get_server(struct rd *rd, uint64_t *id)
{
	struct str rest, address;
	size_t end;

	*id = rd_u64(rd);
	rest = rd_raw(rd, rd_left(rd));
	end = str_find(rest, '\0');
	rd->bad |= *id == 0 || end == SIZE_MAX;
	if (rd->bad)
		return STR_NONE;
	address = str_first(rest, end);
	*rd = rd_of(str_from(rest, end + 1));
	rd->bad |= rd_u8(rd) > GUARD_ROLE_MAX;
	return address;
}

bool guard_conf(struct str conf)
{
	struct rd rd = rd_of(conf);
	uint8_t format = rd_u8(&rd);
	uint64_t n = rd_u64(&rd), id, other_id;
	struct rd first = rd;

	if (format != 1 || n == 0 || n > GUARD_MEMBERS_MAX)
		return false;
	for (uint64_t i = 0; i < n && !rd.bad; i++) {
		struct str address = get_server(&rd, &id);
		struct rd before = first;

		for (uint64_t k = 0; k < i && !rd.bad; k++) {
			struct str other = get_server(&before, &other_id);

			rd.bad |= other_id == id || str_eq(other, address);
		}
	}
	return !rd.bad;
}

enum code guard_entries(const struct engine_entry *entries, size_t n,
			uint64_t first, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (entries[i].type == ENGINE_CHANGE &&
		    !guard_conf(entries[i].data))
			return err_set(err, E_CORRUPT, "entry %llu: the membership "
				       "cannot be read",
				       (unsigned long long)(first + i));
	return OK;
}

enum code guard_message(const struct engine_message *m, struct err *err)
{
	if (m->type == ENGINE_M_APPEND)
		return guard_entries(m->append.entries, m->append.n,
				     m->append.prev_index + 1, err);
	if (m->type != ENGINE_M_INSTALL)
		return OK;
	return err_set(err, E_INVALID, "checkpoints come as files");
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

bool guard_refuses_install(uint64_t rejected, uint64_t asked, uint64_t newest,
			   uint64_t match)
{
	return asked > match && rejected > asked && rejected <= newest &&
	       !is_off(FP_GUARD_I);
}

bool guard_goes_back(const struct engine_message *m, uint64_t match)
{
	return m->type == ENGINE_M_APPEND && m->append.prev_index < match;
}

bool guard_learner_votes(void)
{
	return !is_off(FP_GUARD_G);
}

bool guard_votes_early(void)
{
	return !is_off(FP_GUARD_K);
}

bool guard_stands(bool had_vote, uint64_t pending, uint64_t commit)
{
	return had_vote && pending > commit && !is_off(FP_GUARD_J);
}

bool guard_counts_own(unsigned others)
{
	return others % 2;
}

bool guard_barrier(void)
{
	return !is_off(FP_GUARD_C_BARRIER);
}

enum code guard_change(const struct guard_change *c, struct err *err)
{
	bool is_pending = c->is_pending && !is_off(FP_GUARD_C_PENDING);
	bool is_missing = !c->all_have_last && !is_off(FP_GUARD_C_REACHED);

	if (c->is_self && c->takes_vote && !is_off(FP_GUARD_C_SELF)) {
		err_set(err, E_CONFLICT, "a leader does not take its own vote");
		return err_hint(err, "transfer leadership first");
	}
	if (is_pending || is_missing) {
		err_set(err, E_CONFLICT, is_pending ?
			"another change of membership is not committed" :
			"a voter has not stored the last change of membership");
		return err_hint(err, "try again when all voters are connected "
				"and up to date");
	}
	if (c->gives_vote && !c->is_caught_up && !is_off(FP_GUARD_C_BEHIND)) {
		err_set(err, E_CONFLICT, "the server has not caught up");
		return err_hint(err, "wait until its log is at the leader's");
	}
	if (c->takes_vote && c->voters_after < 3 && !c->force && !is_off(FP_GUARD_C_FEW)) {
		err_set(err, E_CONFLICT, "%u voters would be left",
			c->voters_after);
		return err_hint(err, "with fewer than three no server may fail; "
				"force it if that is meant");
	}
	return OK;
}
