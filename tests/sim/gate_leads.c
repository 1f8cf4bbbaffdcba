/*
 * Who leads moves releases, as release/ does: by what rollout_decide makes of the state
 * and of what a hundred clients say.  A client gets what a leader's state has for it,
 * and says after a while that it applied it; of some releases half of them reject it.
 * It reaches who leads through one server or another, and not at all while that is down
 * or cut off; who comes to lead hears of all of them anew.
 *
 * Whatever they hear, and when, no verdict is invented: who turns a release back has
 * heard of enough that rejected it, who lets it go on of enough that applied it, and of
 * that for as long as it is to bake.
 */
#include "gates_own.h"

#include "base/banned.h"

#define MS 1000ull
#define PATIENCE_US (250 * MS)           /* until a move is tried again */
#define KEPT 512                         /* releases of a history */
#define MOVES_MAX 16                     /* at one look */

enum saying {
	SAYS_NOTHING,                    /* it does not have it */
	SAYS_LATER,
	SAYS_APPLIED,
	SAYS_REJECTED,
};

/* A release, as it is. */
static struct truth {
	uint64_t number;                 /* 0: none */
	uint64_t got_us[CLIENTS];        /* 0: not yet */
	struct strategy s;               /* without what lies in an arena */
	uint64_t bake_ms[STRATEGY_STEPS_MAX];
	/* Of the record, behind the last move. */
	bool is_known, is_begun;
	uint64_t step_ms, expected;
	size_t step;
} truths[KEPT];
static size_t n_truths;

/* What who leads knows of the step that a release is at. */
static struct knowing {
	unsigned life;
	struct rollout_facts facts;
	struct rollout_watch watch;
	bool heard[CLIENTS];
	uint64_t asked_us;
} knows[SERVERS][KEPT];

void leads_begin(void)
{
	memset(truths, 0, n_truths * sizeof(*truths));
	for (unsigned i = 0; i < SERVERS; i++)
		memset(knows[i], 0, n_truths * sizeof(**knows));
	n_truths = 0;
}

static struct truth *truth_of(uint64_t number)
{
	for (size_t i = n_truths; i-- > 0;)
		if (truths[i].number == number)
			return &truths[i];
	return NULL;
}

/* ---- what clients say ---- */

static uint64_t lot(uint64_t number, unsigned client)
{
	uint64_t h = (number * 1000 + client + 1) * 0x9e3779b97f4a7c15ull;

	return h ^ h >> 29;
}

static bool is_bad_one(uint64_t number)
{
	return lot(number, CLIENTS) % 3 == 0;
}

static enum saying says(const struct truth *t, unsigned client)
{
	uint64_t h = lot(t->number, client);

	if (!t->got_us[client])
		return SAYS_NOTHING;
	if (w.now < t->got_us[client] + (h % 400) * MS)
		return SAYS_LATER;
	return is_bad_one(t->number) && h >> 20 & 1 ? SAYS_REJECTED : SAYS_APPLIED;
}

static uint64_t count(const struct truth *t, enum saying what)
{
	uint64_t n = 0;

	for (unsigned c = 0; c < CLIENTS; c++)
		n += says(t, c) == what;
	return n;
}

/* It is connected to another one each while. */
static bool reaches(unsigned client, const struct server *leader)
{
	const struct server *via =
		&w.servers[(client + w.now / (400 * MS)) % w.n_founders];

	return via->core && (via == leader ||
			     !(w.links[via->id - 1][leader->id - 1].is_cut ||
			       w.links[leader->id - 1][via->id - 1].is_cut));
}

/* ---- what who leads makes of it ---- */

static struct truth *truth_for(const struct rollout_row *row,
			       const struct strategy *s)
{
	struct truth *t = truth_of(row->number);

	if (t || n_truths == KEPT)
		return t;
	t = &truths[n_truths++];
	t->number = row->number;
	t->s = *s;
	for (size_t i = 0; i < s->n_steps; i++)
		t->bake_ms[i] = s->steps[i].bake_ms;
	return t;
}

static void hand_out(struct kv_txn *txn, struct truth *t, struct str tenant,
		     const struct rollout_row *row)
{
	struct object_view o;
	struct rules rules;

	if (!row->n_configs ||
	    view_object(txn, KIND_CONFIG, tenant, row->configs[0].name, &o, NULL) ||
	    !rules_decode(w.arena, o.live.rules, &rules))
		return;
	for (size_t i = 0; i < rules.n; i++)
		for (unsigned c = 0; rules.r[i].release == row->number &&
				     rules.r[i].version && c < CLIENTS; c++)
			if (!t->got_us[c] && rolls_is_in(&rules.r[i], c))
				t->got_us[c] = w.now;
}

static struct tally add_up(const struct truth *t, struct knowing *k,
			   const struct server *leader, uint64_t expected)
{
	struct tally out = { .expected = expected };

	for (unsigned c = 0; c < CLIENTS; c++) {
		enum saying what = says(t, c);

		k->heard[c] |= what && reaches(c, leader);
		if (!k->heard[c])
			continue;
		out.known++;
		out.applied += what == SAYS_APPLIED ||
			       (bad == BAD_SILENCE && what == SAYS_LATER);
		out.rejected += what == SAYS_REJECTED ||
				(bad == BAD_VERDICT && c % 3 == 0);
		out.pending += what == SAYS_LATER;
	}
	out.total = MAX(out.known, expected);
	return out;
}

static bool is_same_step(const struct rollout_facts *a,
			 const struct rollout_facts *b)
{
	return a->phase == b->phase && a->step == b->step &&
	       a->is_begun == b->is_begun;
}

struct leading {
	struct server *leader;
	struct kv_txn *txn;
	uint64_t now_ms;
	struct err err;
	/* Moves: they go when nothing is read any more. */
	struct buf moves[MOVES_MAX];
	size_t n;
};

static void decided(struct leading *l, struct str tenant, struct str name,
		    const struct rollout_decision *d, const struct rollout_facts *f,
		    uint64_t n)
{
	struct command c = {
		.type = COMMAND_OPS, .credential = STR(LEADS),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.origin = STR("local") };
	struct op *op = command_op(w.arena, &c, OP_RELEASE_MOVE);

	op->kind = KIND_RELEASE;
	op->tenant = tenant;
	op->name = name;
	op->move = d->move;
	op->step = (uint32_t)f->step;
	op->count = n;
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = str_of(d->reason);
	command_encode(&l->moves[l->n++], &c);
}

static bool look_at(void *data, struct str tenant, struct str name,
		    const struct rollout_row *row)
{
	struct leading *l = data;
	struct rollout_facts facts;
	struct rollout_decision d;
	struct strategy s;
	struct knowing *k;
	struct truth *t;
	struct tally tally;

	arena_reset(w.arena);
	rollout_facts_of(l->txn, tenant, row, &facts);
	if (strategy_read(w.arena, row->spec, &s, &l->err))
		return true;
	t = truth_for(row, &s);
	if (!t)
		return true;
	hand_out(l->txn, t, tenant, row);
	k = &knows[l->leader->id - 1][t - truths];
	if (k->life != l->leader->life || !is_same_step(&k->facts, &facts))
		*k = (struct knowing){ .life = l->leader->life };
	/* What it asked for has come. */
	if (k->facts.met_ms != facts.met_ms)
		k->asked_us = 0;
	k->facts = facts;
	tally = add_up(t, k, l->leader, facts.is_begun ? row->expected : 0);
	if (k->asked_us + PATIENCE_US > w.now && k->asked_us)
		return true;
	rollout_decide(&s, &facts, &tally, l->now_ms, &k->watch, &d);
	if (!d.move)
		return true;
	k->asked_us = w.now;
	decided(l, tenant, name, &d, &facts,
		d.move == MOVE_STEP_BEGUN ? tally.known : d.baked_ms);
	return l->n < MOVES_MAX;
}

void leads_step(struct server *s)
{
	struct replica *r = replica_of(s);
	AUTO_ARENA arena = arena_new(4096);
	struct leading l = { .leader = s };

	if (!gates_are_open() || !r->state || !server_leads(s))
		return;
	l.now_ms = MAX(state_head(r->state)->time_ms, replica_wall_ms(s));
	l.txn = replica_read(r, 0, NULL);
	if (!l.txn)
		return;
	must(view_rollouts(l.txn, arena, look_at, &l, &l.err) == OK);
	replica_idle(r);
	for (size_t i = 0; i < l.n; i++) {
		if (s->core && server_leads(s))
			clients_submit(s, buf_view(&l.moves[i]));
		buf_fini(&l.moves[i]);
	}
}

/* ---- what comes of it ---- */

/* That many of at least so many are more than a share. */
static bool is_over(uint64_t n, uint64_t of, uint32_t bp)
{
	return n * PERCENT_ALL > of * bp;
}

static void check_back(const struct look *l, const struct truth *t,
		       const struct op *op)
{
	uint64_t n = count(t, SAYS_REJECTED);

	roll_sum.judged_back++;
	if (str_find_str(op->message, STR("longer than its timeout")) != SIZE_MAX)
		return;
	claim(CHECK_VERDICT, (t->s.has_rejected &&
			      is_over(n, t->expected, t->s.rejected_bp)) ||
	      (t->s.has_applied &&
	       is_over(n, t->expected, PERCENT_ALL - t->s.applied_bp)),
	      "entry %llu: release %llu is turned back, and %llu of %llu clients "
	      "rejected it", ULL(l->index), ULL(t->number), ULL(n),
	      ULL(t->expected));
}

static void check_on(const struct look *l, const struct truth *t)
{
	uint64_t n = count(t, SAYS_APPLIED);

	roll_sum.judged_on++;
	claim(CHECK_VERDICT, t->is_begun && m.time_ms >= t->step_ms +
	      t->bake_ms[t->step], "entry %llu: release %llu goes on at %llu, and step "
	      "%zu of %llu bakes for %llu ms", ULL(l->index), ULL(t->number),
	      ULL(m.time_ms), t->step, ULL(t->step_ms), ULL(t->bake_ms[t->step]));
	claim(CHECK_VERDICT, !t->s.has_applied ||
	      n * PERCENT_ALL >= t->expected * t->s.applied_bp, "entry %llu: release "
	      "%llu goes on, and %llu of %llu clients applied it", ULL(l->index),
	      ULL(t->number), ULL(n), ULL(t->expected));
}

/* What the row says behind a move. */
static void remember(const struct look *l, struct truth *t, const struct op *op)
{
	struct rollout_row row;
	struct err err;

	t->is_known = view_rollout(l->txn, m.one, op->tenant, op->name, &row,
				   &err) == OK;
	if (!t->is_known)
		return;
	t->is_begun = row.is_begun;
	t->step_ms = row.step_ms;
	t->expected = row.expected;
	t->step = row.step;
}

void leads_check(const struct look *l)
{
	const struct op *op = l->c.n_ops == 1 ? l->c.ops : NULL;
	struct truth *t = NULL;

	for (size_t i = 0; op && op->type == OP_RELEASE_MOVE && i < n_truths; i++) {
		char name[RELEASE_NAME_MAX];

		release_name(name, truths[i].number);
		if (str_eq(op->name, str_of(name)))
			t = &truths[i];
	}
	if (!t)
		return;
	if (t->is_known && str_eq(l->c.credential, STR(LEADS))) {
		if (op->move == MOVE_ROLLBACK)
			check_back(l, t, op);
		else if (op->move == MOVE_ADVANCE)
			check_on(l, t);
	}
	remember(l, t, op);
}
