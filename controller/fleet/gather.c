/* What the leader gathers of instances: see gather.h. */
#include "fleet/gather.h"

#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

/* The sets of a record lie behind each other, each of as many bytes. */
enum set { WANTS, SENT, GOT, APPLIED, REFUSED, SETS };

/* Of one configuration: when it last said that it applied or rejected it, and where. */
struct last_word {
	uint64_t ms : 56, node : 8;      /* 0: it did not */
};

struct member {
	/* By node: bit i is that of gather.nodes[i].  Unnamed: it rejects something, and
	 * what is not known. */
	uint64_t connected, rejected, unnamed;
	/* The last steps, + 1, of whose cohort it was, and was from the start;
	 * 0: none. */
	uint64_t member_step, early_step;
	bool was_connected;
	uint32_t version;
	uint64_t left_ms;                /* since when no node has it */
	uint64_t seen_ms, sent_ms, applied_ms;
	uint64_t refused_ms;             /* its last rejection */
	uint8_t node;                    /* that spoke of it last */
	char *reason;
	unsigned set_bytes;
	unsigned char *sets;             /* REFUSED: whose last word that is */
	unsigned n_words;
	struct last_word *words;
	size_t n;
	char id[];
};

struct group {                           /* of a release */
	uint64_t id;
	struct map *members;             /* by instance */
	struct gather_rules rules;
	int64_t evaluated[GATHER_NODES_MAX];     /* step; -1: none */
	uint32_t configs[GATHER_NODES_MAX];      /* as it said with that; 0: never */
	/* When the process began that first said all it knows, in this session; 0:
	 * none has.  What another knew before is gone. */
	uint64_t heard_from[GATHER_NODES_MAX];
};

struct gather_node {
	uint64_t id, boot;
	bool is_there;
	uint64_t began_ms;
};

/* How sure it is that what was said is the last of it.  What ended before 'since_ms'
 * may have gone on at a node that has not said all yet, or not any more. */
struct doubt {
	uint64_t since_ms, until_ms;     /* 0: none */
	bool is_unheard;                 /* a member has not said all it knows */
};

struct gather {
	size_t max, n_members, bytes;
	uint64_t session, session_ms;
	bool is_mixed;
	/* The nodes that may know something, up or not. */
	uint64_t voices[GATHER_NODES_MAX];
	unsigned n_voices;
	struct map *groups;              /* id, 8 bytes */
	struct gather_node nodes[GATHER_NODES_MAX];
	unsigned n_nodes;
	uint64_t reports, taken, refused;
};

static struct str id_key(const uint64_t *id)
{
	return str_n(id, sizeof(*id));
}

static struct str member_id(const struct member *m)
{
	return str_n(m->id, m->n);
}

/* ---- sets ---- */

static unsigned char *set_of(const struct member *m, enum set set)
{
	return m->sets + set * m->set_bytes;
}

static bool set_any(const struct member *m, enum set set)
{
	const unsigned char *b = set_of(m, set);

	for (unsigned i = 0; i < m->set_bytes; i++)
		if (b[i])
			return true;
	return false;
}

/* All that it gets or was sent is applied, and that is something. */
static bool has_applied(const struct member *m)
{
	const unsigned char *wants = set_of(m, WANTS), *sent = set_of(m, SENT);
	const unsigned char *applied = set_of(m, APPLIED);
	unsigned any = 0;

	for (unsigned i = 0; i < m->set_bytes; i++) {
		any |= applied[i];
		if ((wants[i] | sent[i]) & ~applied[i])
			return false;
	}
	return any;
}

static bool is_rejected(const struct member *m)
{
	return m->unnamed || set_any(m, REFUSED);
}

static void sets_widen(struct gather *g, struct member *m, unsigned bytes)
{
	unsigned char *wider;

	if (bytes <= m->set_bytes)
		return;
	wider = mem_zero(SETS * (size_t)bytes);
	for (unsigned s = 0; m->set_bytes && s < SETS; s++)
		memcpy(wider + s * bytes, set_of(m, s), m->set_bytes);
	free(m->sets);
	g->bytes += SETS * (size_t)(bytes - m->set_bytes);
	m->sets = wider;
	m->set_bytes = bytes;
}

static void set_or(struct member *m, enum set set, const struct bits *bits)
{
	unsigned char *b = set_of(m, set);

	for (unsigned i = 0; i < bits->n; i++)
		b[i] |= bits->b[i];
}

static void set_put(struct member *m, enum set set, const struct bits *bits)
{
	memset(set_of(m, set), 0, m->set_bytes);
	set_or(m, set, bits);
}

/* ---- what came of an instance ---- */

static bool has_it(const struct member *m)
{
	return set_any(m, SENT) || set_any(m, GOT);
}

static uint64_t add_ms(uint64_t ms, uint64_t more)
{
	return more > UINT64_MAX - ms ? UINT64_MAX : ms + more;
}

static uint64_t lost_at(const struct member *m, uint64_t lost_after_ms)
{
	return add_ms(m->left_ms, lost_after_ms);
}

static enum fleet_state state_of(const struct member *m, uint64_t lost_after_ms,
				 uint64_t now_ms)
{
	if (is_rejected(m))
		return FLEET_IS_REJECTED;
	if (has_applied(m))
		return FLEET_IS_APPLIED;
	if (!has_it(m) && m->was_connected &&
	    (!m->connected || !set_any(m, WANTS)))
		return FLEET_IS_DEFERRED;
	if (!m->connected && m->was_connected &&
	    now_ms >= lost_at(m, lost_after_ms))
		return FLEET_IS_LOST;
	if (set_any(m, GOT))
		return FLEET_IS_RECEIVED;
	return set_any(m, SENT) ? FLEET_IS_SENT : FLEET_IS_PENDING;
}

/* Is it one that shares are of, saying nothing: of the cohort when the step began,
 * or sent the version before? */
static bool counts_quietly(const struct member *m, uint64_t step)
{
	return m->was_connected &&
	       (m->early_step == step || (has_it(m) && m->member_step < step));
}

/* Would it come of what one node says, where another may know better? */
static bool is_doubtful(const struct member *m, enum fleet_state state,
			const struct doubt *doubt, uint64_t now_ms)
{
	if (now_ms >= doubt->until_ms)
		return false;
	if (state == FLEET_IS_REJECTED)
		return m->refused_ms < doubt->since_ms &&
		       !(m->rejected & m->connected);
	return (state == FLEET_IS_LOST || state == FLEET_IS_DEFERRED) &&
	       !m->connected && m->left_ms < doubt->since_ms;
}

static void look_again(struct tally *t, uint64_t at)
{
	if (!t->next_lost_ms || at < t->next_lost_ms)
		t->next_lost_ms = at;
}

static void add_silent(struct tally *t, const struct member *m,
		       uint64_t lost_after_ms)
{
	t->pending++;
	if (!m->connected)
		look_again(t, lost_at(m, lost_after_ms));
}

/* Nobody knows what came of it: it counts as one that says nothing. */
static void add_doubtful(struct tally *t, const struct member *m, uint64_t step,
			 const struct doubt *doubt)
{
	t->doubtful++;
	look_again(t, doubt->until_ms);
	if (!counts_quietly(m, step))
		return;
	t->total++;
	t->sent += has_it(m);
	t->received += set_any(m, GOT);
	t->pending++;
}

static void add_member(struct tally *t, const struct member *m,
		       const struct gather_rules *rules,
		       const struct doubt *doubt, uint64_t now_ms,
		       const struct member **rejected)
{
	uint64_t step = (uint64_t)rules->step + 1;
	enum fleet_state state = state_of(m, rules->lost_after_ms, now_ms);
	bool says = state == FLEET_IS_REJECTED || state == FLEET_IS_APPLIED ||
		    state == FLEET_IS_LOST;

	if (is_doubtful(m, state, doubt, now_ms)) {
		add_doubtful(t, m, step, doubt);
		return;
	}
	if (state == FLEET_IS_DEFERRED) {
		t->deferred += m->early_step == step;
		t->known += m->early_step == step;
		return;
	}
	t->known += m->was_connected && (m->member_step == step || has_it(m));
	if (!says && !counts_quietly(m, step))
		return;
	t->total++;
	t->sent += has_it(m);
	t->received += set_any(m, GOT);
	t->applied += state == FLEET_IS_APPLIED;
	t->rejected += state == FLEET_IS_REJECTED;
	if (state == FLEET_IS_REJECTED &&
	    (!*rejected || m->refused_ms < (*rejected)->refused_ms))
		*rejected = m;
	t->lost += state == FLEET_IS_LOST;
	if (!says)
		add_silent(t, m, rules->lost_after_ms);
}

static struct group *group_of(const struct gather *g, uint64_t release)
{
	return map_get(g->groups, id_key(&release));
}

/* GATHER_NODES_MAX: there is no room. */
static unsigned slot_of(const struct gather *g, uint64_t id)
{
	for (unsigned i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].id == id)
			return i;
	return g->n_nodes;
}

/* A node that said all it knows since its process began.  One that was not heard yet
 * may have had somebody until the session began, and a bit longer. */
static struct doubt doubt_of(const struct gather *g, const struct group *group)
{
	uint64_t wait_ms = group->rules.lost_after_ms;
	struct doubt doubt = { 0 };

	for (unsigned i = 0; i < g->n_voices; i++) {
		unsigned slot = slot_of(g, g->voices[i]);
		uint64_t from = slot < g->n_nodes ? group->heard_from[slot] : 0;

		doubt.is_unheard |= !from;
		doubt.since_ms = MAX(doubt.since_ms, from ?: g->session_ms);
	}
	if (doubt.is_unheard)
		wait_ms = MAX(wait_ms, GATHER_HEAR_MS);
	if (doubt.since_ms)
		doubt.until_ms = add_ms(doubt.since_ms, wait_ms);
	return doubt;
}

void gather_tally(const struct gather *g, uint64_t release, uint64_t now_ms,
		  struct tally *out)
{
	const struct group *group = group_of(g, release);
	const struct member *rejected = NULL;
	struct doubt doubt = { 0 };
	uint64_t least;
	void *m;

	if (group)
		doubt = doubt_of(g, group);
	out->expected = group ? group->rules.expected : 0;
	out->known = out->deferred = out->total = out->sent = out->received = 0;
	out->doubtful = 0;
	out->applied = out->rejected = out->lost = out->pending = 0;
	out->next_lost_ms = 0;
	out->instance = out->reason = STR_NONE;
	for (size_t at = 0; group && map_next(group->members, &at, NULL, &m);)
		add_member(out, m, &group->rules, &doubt, now_ms, &rejected);
	if (rejected) {
		out->instance = member_id(rejected);
		out->reason = str_of(rejected->reason);
	}
	least = out->expected > out->deferred ? out->expected - out->deferred : 0;
	out->total = MAX(out->total, least);
}

uint64_t gather_cohort(const struct gather *g, uint64_t release)
{
	const struct group *group = group_of(g, release);
	uint64_t n = 0;
	void *value;

	for (size_t at = 0; group && map_next(group->members, &at, NULL, &value);) {
		const struct member *m = value;

		n += counts_quietly(m, (uint64_t)group->rules.step + 1) &&
		     state_of(m, UINT64_MAX, 0) != FLEET_IS_DEFERRED;
	}
	return n;
}

/* ---- members ---- */

static void member_free(struct gather *g, struct member *m)
{
	g->bytes -= sizeof(*m) + m->n + SETS * (size_t)m->set_bytes +
		    m->n_words * sizeof(*m->words);
	g->n_members--;
	free(m->sets);
	free(m->words);
	free(m->reason);
	free(m);
}

static struct member *member_of(struct gather *g, struct group *group,
				struct str id)
{
	struct member *m = map_get(group->members, id);

	if (m)
		return m;
	if (g->n_members >= g->max) {
		g->refused++;
		return NULL;
	}
	m = mem_zero(sizeof(*m) + id.n);
	m->n = id.n;
	memcpy(m->id, id.p, id.n);
	map_put(group->members, id, m);
	g->n_members++;
	g->bytes += sizeof(*m) + id.n;
	return m;
}

static struct group *group_made(struct gather *g, uint64_t release)
{
	struct group *group = group_of(g, release);

	if (group)
		return group;
	group = NEW(struct group);
	group->id = release;
	group->members = map_new();
	group->rules.lost_after_ms = UINT64_MAX;
	for (unsigned i = 0; i < GATHER_NODES_MAX; i++)
		group->evaluated[i] = -1;
	map_put(g->groups, id_key(&group->id), group);
	return group;
}

static void group_free(struct gather *g, struct group *group)
{
	void *m;

	for (size_t at = 0; map_next(group->members, &at, NULL, &m);)
		member_free(g, m);
	map_free(&group->members);
	free(group);
}

void gather_expect(struct gather *g, uint64_t release,
		   const struct gather_rules *rules)
{
	group_made(g, release)->rules = *rules;
}

/* ---- reports ---- */

/* Not 0. */
static uint64_t then_of(uint64_t age_ms, uint64_t now_ms)
{
	return now_ms > age_ms ? now_ms - age_ms : 1;
}

static void put_bit(uint64_t *mask, unsigned node, bool is)
{
	*mask = (*mask & ~(1ull << node)) | (uint64_t)is << node;
}

/* It left where it was last: nodes that had it before say so too, in any order. */
static void note_left(struct member *m, bool was_there, uint64_t then_ms)
{
	if (m->connected)
		m->left_ms = 0;
	else if (was_there)
		m->left_ms = MAX(m->left_ms, then_ms);
}

static void words_widen(struct gather *g, struct member *m, const struct fleet_record *r)
{
	unsigned n = 8u * MAX(r->applied.n, r->refused.n);
	struct last_word *wider;

	while (n && !bits_get(&r->applied, n - 1) && !bits_get(&r->refused, n - 1))
		n--;
	if (n <= m->n_words)
		return;
	wider = mem_zero(n * sizeof(*wider));
	if (m->n_words)
		memcpy(wider, m->words, m->n_words * sizeof(*wider));
	free(m->words);
	g->bytes += (n - m->n_words) * sizeof(*wider);
	m->words = wider;
	m->n_words = n;
}

/* Of each configuration the last word counts, whatever node it was said at.  What a node
 * says replaces what it said before, however long the reports took. */
static void take_word(struct member *m, unsigned node, unsigned i, bool is_refused,
		      uint64_t then)
{
	struct last_word *last = &m->words[i];
	unsigned char *refused = &set_of(m, REFUSED)[i / 8], bit = (unsigned char)(1u << i % 8);

	if (last->ms && last->node != node &&
	    (then < last->ms || (then == last->ms && !is_refused)))
		return;
	*last = (struct last_word){ then, node };
	*refused = (unsigned char)(is_refused ? *refused | bit : *refused & ~bit);
}

/* When it rejected the last of what it rejected there; 0: that is not known. */
static uint64_t take_said(struct gather *g, struct member *m, unsigned node,
			  const struct fleet_record *r, uint64_t now_ms)
{
	struct said_at said = said_of(r);
	uint64_t refused_ms = 0;

	if (r->flags & FLEET_SPOKE)
		words_widen(g, m, r);
	while (said_next(&said)) {
		uint64_t then = then_of(add_ms(r->said_age_ms, said.before_ms), now_ms);
		bool is_refused = bits_get(&r->refused, said.i);

		if (is_refused)
			refused_ms = MAX(refused_ms, then);
		take_word(m, node, said.i, is_refused, then);
	}
	return refused_ms;
}

/* A node that does not know when says what it says now. */
static void take_rejection(struct gather *g, struct member *m, unsigned node,
			   const struct fleet_record *r, uint64_t now_ms)
{
	bool is = r->flags & FLEET_REJECTED;
	uint64_t then = take_said(g, m, node, r, now_ms);

	put_bit(&m->rejected, node, is);
	put_bit(&m->unnamed, node, is && !then);
	then = then ?: now_ms;
	if (!is || then < m->refused_ms)
		return;
	m->refused_ms = then;
	free(m->reason);
	m->reason = mem_dup(r->reason.p, r->reason.n);
}

static void take_flags(struct member *m, unsigned node,
		       const struct fleet_record *r, uint64_t now_ms)
{
	uint64_t then = then_of(r->age_ms, now_ms);
	bool was_there = r->flags & (FLEET_EVER | FLEET_CONNECTED);

	put_bit(&m->connected, node, r->flags & FLEET_CONNECTED);
	if (r->flags & FLEET_MEMBER)
		m->member_step = MAX(m->member_step, (uint64_t)r->step + 1);
	if ((r->flags & (FLEET_MEMBER | FLEET_LATE)) == FLEET_MEMBER)
		m->early_step = MAX(m->early_step, (uint64_t)r->step + 1);
	m->was_connected |= was_there;
	m->seen_ms = MAX(m->seen_ms, then);
	m->node = (uint8_t)node;
	note_left(m, was_there, then);
}

/* What it gets is what the nodes say that have it; one that moved may be at two for
 * a moment, and the old one's report may be the last. */
static void take_wants(struct member *m, unsigned node,
		       const struct fleet_record *r)
{
	bool has_other = m->connected & ~(1ull << node);

	if (!has_other)
		set_put(m, WANTS, &r->wants);
	else if (r->flags & FLEET_CONNECTED)
		set_or(m, WANTS, &r->wants);
}

static void take_record(struct gather *g, struct group *group, unsigned node,
			const struct fleet_record *r, uint64_t now_ms)
{
	struct member *m = member_of(g, group, r->instance);
	unsigned bytes = MAX(MAX(MAX(r->wants.n, r->sent.n), r->refused.n),
			     MAX(r->got.n, r->applied.n));

	if (!m)
		return;
	sets_widen(g, m, MAX(bytes, 1u));
	take_wants(m, node, r);
	set_or(m, SENT, &r->sent);
	set_or(m, GOT, &r->got);
	set_or(m, APPLIED, &r->applied);
	if (r->version)
		m->version = r->version;
	take_flags(m, node, r, now_ms);
	take_rejection(g, m, node, r, now_ms);
	if (!m->sent_ms && (r->sent.n || r->got.n))
		m->sent_ms = now_ms;
	if (!m->applied_ms && has_applied(m))
		m->applied_ms = now_ms;
	g->taken++;
}

/* All that it said of who is there is said again, or is not so any more. */
static void forget_node(struct gather *g, unsigned node, uint64_t now_ms,
			gather_changed *changed, void *data)
{
	void *value, *member;

	for (size_t at = 0; map_next(g->groups, &at, NULL, &value);) {
		struct group *group = value;

		group->evaluated[node] = -1;
		for (size_t i = 0; map_next(group->members, &i, NULL, &member);) {
			struct member *m = member;
			bool was = m->connected;

			put_bit(&m->connected, node, false);
			note_left(m, was, now_ms);
		}
		changed(data, group->id, false);
	}
}

/* Before anything of it is taken: it is all well-formed. */
static enum code check(struct fleet_report report, struct err *err)
{
	struct fleet_item item;
	enum code rc;

	while ((rc = report_next(&report, &item, err)) == OK)
		;
	return rc == E_NOT_FOUND ? OK : rc;
}

static void take_evaluated(struct gather *g, struct group *group, unsigned node,
			   uint32_t step, uint32_t configs)
{
	g->is_mixed |= group->configs[node] && group->configs[node] != configs;
	group->configs[node] = configs;
	group->evaluated[node] = step;
	if (!group->heard_from[node])
		group->heard_from[node] = g->nodes[node].began_ms;
}

static void take_items(struct gather *g, unsigned node,
		       struct fleet_report *report, uint64_t now_ms,
		       gather_changed *changed, void *data)
{
	struct fleet_item item;
	uint64_t last = 0;
	struct err err;

	while (report_next(report, &item, &err) == OK) {
		if (item.kind == FLEET_BEGAN) {
			g->nodes[node].began_ms = then_of(item.age_ms, now_ms);
			continue;
		}

		struct group *group = group_made(g, item.release);
		bool urgent = item.kind == FLEET_EVALUATED ||
			      item.record.flags & FLEET_REJECTED;

		if (item.kind == FLEET_EVALUATED)
			take_evaluated(g, group, node, item.step, item.configs);
		else
			take_record(g, group, node, &item.record, now_ms);
		if (urgent || item.release != last)
			changed(data, item.release, urgent);
		last = item.release;
	}
}

enum code gather_take(struct gather *g, uint64_t node, struct str bytes,
		      uint64_t now_ms, struct buf *answer,
		      gather_changed *changed, void *data, struct err *err)
{
	struct fleet_report report;
	struct gather_node *from;
	unsigned slot = slot_of(g, node);
	enum code rc = report_open(bytes, &report, err);

	if (rc == OK)
		rc = check(report, err);
	if (rc == OK && !g->session)
		rc = err_set(err, E_NOT_LEADER, "this node does not lead");
	if (rc == OK && slot == GATHER_NODES_MAX)
		rc = err_set(err, E_BUSY, "more than %d nodes report",
			     GATHER_NODES_MAX);
	if (rc)
		return rc;
	g->reports++;
	from = &g->nodes[slot];
	/* Part of what another leader knows, or another process. */
	if (report.session != g->session ||
	    (!report.is_first && (slot == g->n_nodes || from->boot != report.boot ||
				  !from->is_there))) {
		report_answer(answer, true, g->session);
		return OK;
	}
	g->n_nodes = MAX(g->n_nodes, slot + 1);
	if (report.is_first)
		forget_node(g, slot, now_ms, changed, data);
	*from = (struct gather_node){ node, report.boot, true,
				      report.is_first ? 1 : from->began_ms };
	take_items(g, slot, &report, now_ms, changed, data);
	report_answer(answer, false, g->session);
	return OK;
}

void gather_node_gone(struct gather *g, uint64_t node, uint64_t now_ms,
		      gather_changed *changed, void *data)
{
	unsigned slot = slot_of(g, node);

	if (slot == g->n_nodes || !g->nodes[slot].is_there)
		return;
	g->nodes[slot].is_there = false;
	forget_node(g, slot, now_ms, changed, data);
}

bool gather_has_node(const struct gather *g, uint64_t node)
{
	unsigned slot = slot_of(g, node);

	return slot < g->n_nodes && g->nodes[slot].is_there;
}

unsigned gather_nodes(const struct gather *g, uint64_t out[GATHER_NODES_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].is_there)
			out[n++] = g->nodes[i].id;
	return n;
}

bool gather_is_evaluated(const struct gather *g, uint64_t release, uint64_t node,
			 uint32_t step)
{
	const struct group *group = group_of(g, release);
	unsigned slot = slot_of(g, node);

	return group && slot < g->n_nodes && group->evaluated[slot] == step &&
	       (!group->rules.configs || group->configs[slot] == group->rules.configs);
}

bool gather_is_mixed(const struct gather *g)
{
	return g->is_mixed;
}

/* ---- forgetting ---- */

void gather_forget(struct gather *g, uint64_t release)
{
	struct group *group = map_del(g->groups, id_key(&release));

	if (group)
		group_free(g, group);
}

void gather_keep(struct gather *g, uint64_t newest,
		 bool (*runs)(void *data, uint64_t release), void *data)
{
	struct map *old = g->groups;
	void *value;

	g->groups = map_new();
	for (size_t at = 0; map_next(old, &at, NULL, &value);) {
		struct group *group = value;

		if (group->id > newest || runs(data, group->id))
			map_put(g->groups, id_key(&group->id), group);
		else
			group_free(g, group);
	}
	map_free(&old);
}

static bool none_runs(void *data, uint64_t release)
{
	return false;
}

void gather_reset(struct gather *g, uint64_t session, uint64_t now_ms)
{
	gather_keep(g, UINT64_MAX, none_runs, NULL);
	/* UINT64_MAX itself is no release. */
	must(map_count(g->groups) == 0);
	memset(g->nodes, 0, sizeof(g->nodes));
	g->n_nodes = 0;
	g->session = session;
	g->session_ms = MAX(now_ms, 1u);
	g->is_mixed = false;
}

static void members_changed(struct gather *g, gather_changed *changed, void *data)
{
	void *value;

	for (size_t at = 0; map_next(g->groups, &at, NULL, &value);)
		changed(data, ((struct group *)value)->id, false);
}

void gather_members(struct gather *g, const uint64_t *ids, unsigned n,
		    gather_changed *changed, void *data)
{
	must(n <= GATHER_NODES_MAX);
	if (n == g->n_voices && memcmp(ids, g->voices, n * sizeof(*ids)) == 0)
		return;
	memcpy(g->voices, ids, n * sizeof(*ids));
	g->n_voices = n;
	members_changed(g, changed, data);
}

uint64_t gather_session(const struct gather *g)
{
	return g->session;
}

/* ---- lists ---- */

static int by_id(const void *a, const void *b)
{
	return str_cmp(member_id(*(struct member *const *)a),
		       member_id(*(struct member *const *)b));
}

static uint64_t lag_of(const struct member *m, uint64_t now_ms)
{
	uint64_t until = m->applied_ms ? m->applied_ms : now_ms;

	return m->sent_ms && until > m->sent_ms ? until - m->sent_ms : 0;
}

static void row_of(const struct gather *g, const struct member *m,
		   uint64_t lost_after_ms, uint64_t now_ms, struct fleet_row *row)
{
	*row = (struct fleet_row){
		.instance = member_id(m),
		.state = state_of(m, lost_after_ms, now_ms),
		.is_connected = m->connected, .version = m->version,
		.lag_ms = lag_of(m, now_ms),
		.age_ms = now_ms > m->seen_ms ? now_ms - m->seen_ms : 0,
		.node = g->nodes[m->node].id,
		.reason = is_rejected(m) ? str_of(m->reason) : STR_NONE,
	};
}

void gather_list(const struct gather *g, uint64_t release, struct str after,
		 size_t limit, uint64_t now_ms, struct buf *out, bool *more)
{
	const struct group *group = group_of(g, release);
	size_t n = 0, all = group ? map_count(group->members) : 0;
	struct member **sorted = mem_alloc(all * sizeof(struct member *) + 1);
	void *m;

	for (size_t at = 0; group && map_next(group->members, &at, NULL, &m);)
		if (str_cmp(member_id(m), after) > 0)
			sorted[n++] = m;
	qsort(sorted, n, sizeof(struct member *), by_id);
	*more = n > limit;
	for (size_t i = 0; i < MIN(n, limit); i++) {
		struct fleet_row row;

		if (out->n > FLEET_LIST_FULL) {
			*more = true;
			break;
		}
		row_of(g, sorted[i], group->rules.lost_after_ms, now_ms, &row);
		list_row(out, &row);
	}
	free(sorted);
}

/* ---- life ---- */

void gather_counts(const struct gather *g, struct gather_counts *out)
{
	*out = (struct gather_counts){ map_count(g->groups), g->n_members,
				       g->reports, g->taken, g->refused, g->bytes };
}

struct gather *gather_new(size_t max)
{
	struct gather *g = NEW(struct gather);

	must(max > 0);
	g->max = max;
	g->groups = map_new();
	return g;
}

void gather_free(struct gather **at)
{
	struct gather *g = TAKE(*at);

	if (!g)
		return;
	gather_reset(g, 0, 0);
	map_free(&g->groups);
	free(g);
}
