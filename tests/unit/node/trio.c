/* Engines in memory: see trio.h. */
#include "trio.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/mem.h"

#include "base/banned.h"

#define QUEUE_MAX 4096

struct letter {
	unsigned from, to;               /* 0..3 */
	struct str bytes;
};

struct peer trio[TRIO_MAX];
uint64_t trio_now;
struct arena *trio_arena;
struct err trio_err;

static struct letter queue[QUEUE_MAX];
static size_t head, tail;
static struct engine_message sent[TRIO_MAX][8];
static struct buf submitted_conf;

void trio_setup(void)
{
	memset(trio, 0, sizeof(trio));
	memset(sent, 0, sizeof(sent));
	trio_arena = arena_new(0);
	trio_now = 1000;
	head = tail = 0;
	for (unsigned i = 0; i < TRIO_MAX; i++)
		trio[i].id = i + 1, trio[i].first = 1;
}

void trio_teardown(void)
{
	for (unsigned i = 0; i < TRIO_MAX; i++)
		engine_free(&trio[i].e);
	arena_free(&trio_arena);
	buf_fini(&submitted_conf);
}

static const char *address(uint64_t id)
{
	static const char *const names[] = { "", "s1", "s2", "s3", "s4" };

	return id < 5 ? names[id] : "s9";
}

/* ---- logs ---- */

/* A membership of the core's encoding (format 1, little-endian): number of
 * servers, then id, address, role (1: voter). */
static struct str conf_of(unsigned n)
{
	AUTO_BUF b = BUF_NONE;
	uint64_t count = n;

	buf_c(&b, 1);
	buf_add(&b, &count, 8);
	for (uint64_t id = 1; id <= n; id++) {
		buf_add(&b, &id, 8);
		buf_add(&b, address(id), strlen(address(id)) + 1);
		buf_c(&b, 1);
	}
	while (b.n % 8)
		buf_c(&b, 0);
	return arena_str(trio_arena, buf_view(&b));
}

void trio_bootstrap(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		trio[i].log[1] = (struct engine_entry){ 1, ENGINE_CHANGE,
							conf_of(n) };
		trio[i].last = 1;
	}
}

void trio_put(unsigned server, uint64_t term)
{
	struct peer *p = &trio[server - 1];

	p->log[++p->last] = (struct engine_entry){ term, ENGINE_COMMAND,
						   STR("command") };
}

static struct engine_snapshot snapshots[TRIO_MAX];

void trio_snapshot(unsigned server, uint64_t index, uint64_t term,
		   bool keeps_log)
{
	struct peer *p = &trio[server - 1];

	snapshots[server - 1] = (struct engine_snapshot){
		index, term, 1, p->log[1].data
	};
	p->first = index + 1;
	if (!keeps_log)
		p->last = index;
}

void trio_start(unsigned server, uint64_t term)
{
	struct peer *p = &trio[server - 1];
	struct engine_config config = { p->id, address(p->id), 300, 50,
					(unsigned)p->id * 77 };
	struct engine_snapshot *s = &snapshots[server - 1];
	struct engine_update u;

	ck_assert_int_eq(engine_new(&config, &p->e, &trio_err), OK);
	p->term = term;
	ck_assert_int_eq(engine_start(p->e, trio_now, term, 0,
				      p->first > 1 ? s : NULL, p->first,
				      &p->log[p->first],
				      (unsigned)(p->last + 1 - p->first), &u,
				      &trio_err), OK);
	trio_handle(p, &u, NULL);
}

/* ---- updates ---- */

static void keep_entries(struct peer *p, const struct engine_update *u,
			 const struct engine_message *m)
{
	if (u->n_entries) {
		p->refusals_most = MAX(p->refusals_most, p->refusals);
		p->refusals = 0;
	}
	for (unsigned i = 0; i < u->n_entries; i++) {
		uint64_t index = u->first_index + i;
		struct engine_entry e = { u->entries_term, ENGINE_COMMAND,
					  STR("command") };

		if (u->is_own_barrier) {
			e.type = ENGINE_BARRIER;
			e.data = STR_NONE;
		} else if (m) {
			ck_assert_uint_gt(index, m->append.prev_index);
			e = m->append.entries[index - m->append.prev_index - 1];
			e.data = arena_str(trio_arena, e.data);
		} else if (submitted_conf.n) {
			e.type = ENGINE_CHANGE;
			e.data = arena_str(trio_arena,
					   buf_view(&submitted_conf));
		}
		ck_assert_uint_lt(index, TRIO_LOG);
		/* No hole, and nothing that is committed is replaced. */
		ck_assert_uint_le(index, p->last + 1);
		ck_assert_uint_gt(index, p->commit);
		p->log[index] = e;
		p->last = index;
	}
}

static void post(struct peer *p, struct engine_message m)
{
	AUTO_BUF bytes = BUF_NONE;

	sent[p->id - 1][m.type] = m;
	p->refusals += m.type == ENGINE_M_APPEND_RESULT && m.append_result.rejected;
	/* What is tried again goes in pieces, as the outbox sends it. */
	if (m.type == ENGINE_M_APPEND && trio[m.peer - 1].refusals)
		m.append.n = MIN(m.append.n, 8u);
	if (m.type == ENGINE_M_APPEND && m.append.n) {
		ck_assert_uint_ge(m.append.prev_index + 1, p->first);
		ck_assert_uint_le(m.append.prev_index + m.append.n, p->last);
		m.append.entries = &p->log[m.append.prev_index + 1];
	}
	if (p->is_cut_off || trio[m.peer - 1].is_cut_off || !trio[m.peer - 1].e)
		return;
	message_encode(&bytes, &m);
	ck_assert_uint_lt(tail - head, QUEUE_MAX);
	queue[tail++ % QUEUE_MAX] = (struct letter){
		(unsigned)p->id - 1, (unsigned)m.peer - 1,
		arena_str(trio_arena, buf_view(&bytes))
	};
}

/* Membership entries that are committed are fed back, in order. */
static void apply(struct peer *p, uint64_t from)
{
	for (uint64_t i = MAX(from + 1, MAX((uint64_t)2, p->first)); i <= p->commit; i++) {
		struct engine_update u;

		if (p->log[i].type != ENGINE_CHANGE)
			continue;
		ck_assert_int_eq(engine_configuration(p->e, trio_now, i,
				p->log[i].data, &u, &trio_err), OK);
		p->conf_applied = i;
		p->is_leader = u.is_leader;
		p->leader = u.leader;
	}
}

void trio_handle(struct peer *p, const struct engine_update *u,
		 const struct engine_message *m)
{
	uint64_t commit = p->commit;
	bool persists = u->first_index;

	if (u->has_vote)
		p->term = u->term, p->voted_for = u->voted_for;
	p->is_leader = u->is_leader;
	p->leader = u->leader;
	keep_entries(p, u, m);
	for (unsigned i = 0; i < u->n_messages; i++)
		post(p, u->messages[i]);
	p->installs += u->installs;
	if (u->commit > p->commit)
		p->commit = u->commit;
	apply(p, commit);
	if (persists) {
		struct engine_update next;

		ck_assert_int_eq(engine_persisted(p->e, trio_now, p->last, &next,
						  &trio_err), OK);
		trio_handle(p, &next, NULL);
	}
}

void trio_feed(unsigned server, unsigned from, struct engine_message m)
{
	struct peer *p = &trio[server - 1];
	bool more = true;

	m.peer = from;
	while (more) {
		struct engine_message before;
		struct engine_update u;

		before = m;
		ck_assert_int_eq(engine_receive(p->e, trio_now, &m, &more, &u,
						&trio_err), OK);
		/* The entries are found by index in what came. */
		trio_handle(p, &u, &before);
	}
}

static bool deliver_one(void)
{
	struct letter l;
	struct engine_message m;

	if (head == tail)
		return false;
	l = queue[head++ % QUEUE_MAX];
	if (!trio[l.to].e || trio[l.to].is_cut_off || trio[l.from].is_cut_off)
		return true;
	ck_assert_msg(message_decode(trio_arena, l.bytes, &m, &trio_err) == OK,
		      "%s", trio_err.text);
	trio_feed(l.to + 1, l.from + 1, m);
	return true;
}

void trio_settle(void)
{
	while (deliver_one())
		;
}

void trio_pass(uint64_t ms)
{
	for (uint64_t end = trio_now + ms; trio_now < end; trio_now += 10) {
		for (unsigned i = 0; i < TRIO_MAX; i++) {
			struct peer *p = &trio[i];
			struct engine_update u;

			if (!p->e || trio_now < engine_deadline(p->e))
				continue;
			ck_assert_int_eq(engine_timeout(p->e, trio_now, &u,
							&trio_err), OK);
			trio_handle(p, &u, NULL);
		}
		trio_settle();
	}
}

struct peer *trio_leader(void)
{
	struct peer *found = NULL;

	for (unsigned i = 0; i < TRIO_MAX; i++)
		if (trio[i].e && trio[i].is_leader && !trio[i].is_cut_off &&
		    (!found || trio[i].term > found->term))
			found = &trio[i];
	return found;
}

bool trio_elect(void)
{
	for (unsigned n = 0; n < 200; n++) {
		struct peer *leader = trio_leader();
		bool all = leader;

		for (unsigned i = 0; i < TRIO_MAX && all; i++)
			if (trio[i].e && !trio[i].is_cut_off)
				all = trio[i].leader == leader->id;
		if (all)
			return true;
		trio_pass(100);
	}
	return false;
}

enum code trio_submit(struct peer *p, unsigned n)
{
	enum engine_type *types = mem_alloc(n * sizeof(*types));
	struct engine_update u;
	enum code rc;

	for (unsigned i = 0; i < n; i++)
		types[i] = ENGINE_COMMAND;
	buf_reset(&submitted_conf);
	rc = engine_submit(p->e, trio_now, types, n, &u, &trio_err);
	free(types);
	if (rc == OK)
		trio_handle(p, &u, NULL);
	return rc;
}

enum code trio_change(struct peer *p, enum engine_change change, uint64_t id,
		      bool force)
{
	struct engine_wish wish;
	struct engine_update u;
	enum code rc;

	buf_reset(&submitted_conf);
	wish = (struct engine_wish){ .change = change, .id = id,
				     .address = address(id), .force = force };
	rc = engine_change(p->e, trio_now, &wish, &submitted_conf, &u,
			   &trio_err);
	if (rc == OK)
		trio_handle(p, &u, NULL);
	buf_reset(&submitted_conf);
	return rc;
}

const struct engine_message *trio_sent(unsigned server,
				       enum engine_message_type type)
{
	const struct engine_message *m = &sent[server - 1][type];

	return m->type ? m : NULL;
}
