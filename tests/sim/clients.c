/*
 * Who writes.  A write goes to any server, which has the leader propose it, as
 * store/forward.c does; the answer goes back the same way, and is told when that
 * server shows it.  On both ways it may get lost: then nobody knows, and the
 * client sends the same again, with its key, through another server.  Large
 * content and parts of staged commands go first.
 *
 * Servers that lead write what the store writes by itself: limits, the cluster's
 * version, and ticks where one is due (store/upkeep.c).
 */
#include "gates.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "state/state.h"

#include "base/banned.h"

#define MS 1000ull
#define WRITES_MAX 4096
#define KEYS_MAX 4096
#define STEPS_MAX 4
#define TRIES_MAX 40
#define TIMEOUT_US (600 * MS)
#define TICK_US (150 * MS)
#define LOOK_US (30 * MS)                /* at releases */

/* An idempotency key, and what it stands for since. */
struct key {
	struct sha256 id;
	struct sha256 body;
	uint64_t index, rev, due_ms;     /* where it was applied last; 0: nowhere */
	unsigned times;                  /* anew, when it had been forgotten */
};

enum write_stage {
	W_GOES,                          /* to 'via', at 'due' */
	W_OPEN,                          /* proposed; nobody knows at 'due' */
	W_COMES,                         /* the outcome is on its way, at 'due' */
	W_SHOWS,                         /* when 'via' shows it */
	W_DONE,                          /* told so */
	W_REFUSED,                       /* told so */
	W_LEFT,                          /* given up: it may have happened, or not */
};

struct write {
	struct buf bytes;                /* the command */
	struct key *key;                 /* NULL: it is not sent again */
	struct sha256 body;
	bool is_other;                   /* its key stands for another one */
	bool must_fail, is_own, is_staged;
	struct buf steps[STEPS_MAX];     /* what goes first */
	unsigned n_steps, at_step;
	struct buf content;              /* large; it may have to go first */
	struct str tenant;
	enum write_stage stage;
	uint64_t due, via;               /* id of a server */
	uint64_t proposal, index;
	unsigned tries;
	struct outcome o;                /* on its way; told */
	bool was_told;                   /* before: it was sent again after that */
	uint64_t told_rev;
	unsigned told_times;             /* of its key, then */
	/* A publish: what it must have made of one address. */
	struct str address;
	struct sha256 sha;
};

static struct write *writes;
static size_t n_writes, n_done;          /* all before are done */
static struct key *keys;
static size_t n_keys;
static uint64_t acked_rev;
static uint64_t tick_due[SERVERS], look_due[SERVERS];
static struct limits limits;
static bool rests, upgrades_late;

void clients_begin(void)
{
	writes = mem_zero(WRITES_MAX * sizeof(*writes));
	keys = mem_zero(KEYS_MAX * sizeof(*keys));
	wishes_begin();
	n_writes = n_done = n_keys = 0;
	acked_rev = 0;
	rests = false;
	upgrades_late = below(3) == 0;
	memset(tick_due, 0, sizeof(tick_due));
	memset(look_due, 0, sizeof(look_due));
	limits = (struct limits){
		.events_max = 20 + below(200), .events_ms = 600 + below(3000),
		.audit_max = 20 + below(100), .audit_ms = 500 + below(5000),
		.idem_ms = 1000 + below(5000), .versions_max = 2 + below(3),
		.releases_max = 2 + below(4), .blob_idle_ms = 200 + below(1500),
	};
	/* Some remember for as long as everything goes on, or leave versions to whoever
	 * collects them. */
	if (below(2))
		limits.idem_ms = 3600000;
	if (below(2))
		limits.versions_max = 100;
}

void clients_end(void)
{
	for (size_t i = 0; i < n_writes; i++) {
		buf_fini(&writes[i].bytes);
		buf_fini(&writes[i].content);
		for (unsigned k = 0; k < STEPS_MAX; k++)
			buf_fini(&writes[i].steps[k]);
	}
	free(TAKE(writes));
	free(TAKE(keys));
	wishes_end();
}

struct str clients_bytes(uint64_t proposal)
{
	const struct write *wr = w.proposals[proposal - 1].owner;

	return wr ? buf_view(&wr->bytes) : STR_NONE;
}

uint64_t clients_acked_rev(void)
{
	return acked_rev;
}

void clients_rest(void)
{
	rests = true;
}

/* ---- writes ---- */

static struct key *new_key(void)
{
	struct key *key;

	if (n_keys == KEYS_MAX)
		return NULL;
	key = &keys[n_keys++];
	random_bytes(key->id.b, sizeof(key->id.b));
	return key;
}

static struct write *new_write(void)
{
	struct write *wr;

	if (n_writes == WRITES_MAX)
		return NULL;
	wr = &writes[n_writes++];
	wr->via = 1 + below(SERVERS);
	wr->due = w.now + below(3 * MS);
	return wr;
}

/* Most have a key of their own; now and then it is one that stands for another
 * write already. */
static void give_key(struct write *wr, struct command *c)
{
	if (below(8) == 0)
		return;
	if (n_keys && below(30) == 0) {
		wr->key = &keys[below(n_keys)];
		wr->is_other = true;
	} else {
		wr->key = new_key();
	}
	if (wr->key)
		c->id = wr->key->id;
}

static struct write *make_write(void)
{
	struct write *wr = new_write();
	struct wish wish = { .c = {
		.type = COMMAND_OPS,
		.subject = { .name = STR("token:root"), .role = ROLE_ROOT },
		.credential = STR("token root"), .origin = STR("10.0.0.1"),
	} };
	AUTO_BUF text = BUF_NONE;

	if (!wr)
		return NULL;
	if (below(60) == 0) {            /* of no program, or of a newer one's */
		buf_add(&wr->bytes, "\1\1junk", 6);
		wr->must_fail = true;
		return wr;
	}
	wish_make(&wish, n_writes);
	wr->content = wish.content;
	wr->tenant = wish.tenant;
	wr->must_fail = wish.must_fail;
	wr->address = wish.address;
	wr->sha = wish.sha;
	command_encode(&text, &wish.c);
	wish.c.body = wr->body = sha256_of(buf_view(&text));
	give_key(wr, &wish.c);
	wr->is_staged = !wr->content.n && below(15) == 0;
	sum.staged += wr->is_staged;
	command_encode(&wr->bytes, &wish.c);
	return wr;
}

static void drop_steps(struct write *wr)
{
	for (unsigned i = 0; i < wr->n_steps; i++)
		buf_reset(&wr->steps[i]);
	wr->n_steps = wr->at_step = 0;
}

/* In parts, and then what makes them effective. */
static void cut(struct write *wr)
{
	struct command part = { .type = COMMAND_STAGE };
	unsigned n = 2 + (unsigned)below(2);
	size_t size = (wr->bytes.n + n - 1) / n;

	drop_steps(wr);
	random_bytes(part.transaction.b, sizeof(part.transaction.b));
	for (; part.part < n; part.part++) {
		part.bytes = str_first(str_from(buf_view(&wr->bytes),
						part.part * size), size);
		command_encode(&wr->steps[part.part], &part);
	}
	part.type = COMMAND_STAGED;
	part.bytes = STR_NONE;
	part.sha = sha256_of(buf_view(&wr->bytes));
	command_encode(&wr->steps[n], &part);
	wr->n_steps = n + 1;
}

/* As store_blob_commands cuts it, in smaller parts. */
static void send_content_first(struct write *wr)
{
	struct str content = buf_view(&wr->content);
	struct command part = { .type = COMMAND_BLOB, .tenant = wr->tenant,
				.sha = sha256_of(content), .total = content.n };

	drop_steps(wr);
	for (; part.offset < content.n; part.offset += part.bytes.n) {
		part.bytes = str_first(str_from(content, part.offset), BLOB_CHUNK);
		command_encode(&wr->steps[wr->n_steps++], &part);
	}
	buf_str(&wr->steps[wr->n_steps++], buf_view(&wr->bytes));
}

static struct str to_send(const struct write *wr)
{
	return wr->n_steps ? buf_view(&wr->steps[wr->at_step]) :
			     buf_view(&wr->bytes);
}

static bool is_last(const struct write *wr)
{
	return !wr->n_steps || wr->at_step + 1 == wr->n_steps;
}

/* ---- on its way ---- */

static void end(struct write *wr, enum write_stage stage)
{
	static const char *const ends[] = { [W_DONE] = "done",
					    [W_REFUSED] = "refused",
					    [W_LEFT] = "given up" };

	tell("write %zu is %s: revision %llu %s", (size_t)(wr - writes), ends[stage],
	     ULL(wr->o.rev), wr->o.text);
	wr->stage = stage;
	trace((uint64_t)stage << 32 | wr->index);
}

/* Through any server, maybe another.  What has no key is sent again only where it
 * did not happen. */
static void again(struct write *wr, bool may_have_happened, uint64_t in_us)
{
	if ((may_have_happened && !wr->key && is_last(wr)) || wr->is_own ||
	    ++wr->tries > TRIES_MAX) {
		end(wr, W_LEFT);
		return;
	}
	if (wr->is_staged)
		drop_steps(wr);
	wr->stage = W_GOES;
	wr->due = w.now + in_us;
	if (below(3))
		wr->via = 1 + below(SERVERS);
}

static bool link_is_cut(uint64_t from, uint64_t to)
{
	return from != to && w.links[from - 1][to - 1].is_cut;
}

static void propose(struct write *wr, struct server *leader)
{
	AUTO_BUF bytes = BUF_NONE;
	struct proposal *p;

	if (wr->is_staged && !wr->n_steps)
		cut(wr);
	/* Who leads stamps it; what is malformed has no time. */
	command_stamp(&bytes, to_send(wr), replica_wall_ms(leader));
	if (!bytes.n)
		buf_str(&bytes, to_send(wr));
	wr->stage = W_OPEN;
	wr->due = w.now + TIMEOUT_US;
	wr->proposal = w.n_proposals + 1;
	tell("write %zu, through server %llu, is proposed by %llu", (size_t)(wr - writes),
	     ULL(wr->via), ULL(leader->id));
	p = server_propose_for(leader, buf_view(&bytes), wr);
	if (!p)
		again(wr, false, 20 * MS);
}

static void go(struct write *wr)
{
	struct server *via = &w.servers[wr->via - 1], *leader;
	struct node_core_view v = server_view(via);

	if (!via->core || via->is_fatal || via->paused_until > w.now) {
		again(wr, false, 5 * MS + below(30 * MS));
		return;
	}
	leader = v.is_leader ? via : v.leader ? &w.servers[v.leader - 1] : NULL;
	if (!leader) {
		again(wr, false, 20 * MS);
		return;
	}
	if (link_is_cut(via->id, leader->id) || !leader->core) {
		again(wr, true, below(100 * MS));
		return;
	}
	propose(wr, leader);
}

void clients_refused(struct proposal *p, enum code rc)
{
	struct write *wr = p->owner;

	if (!wr || wr->stage != W_OPEN || wr->proposal != p->p.id)
		return;
	if (bad == BAD_ACK && rc == E_UNCERTAIN && wr->key && is_last(wr)) {
		wr->was_told = true;
		end(wr, W_DONE);
		return;
	}
	again(wr, rc == E_UNCERTAIN, 5 * MS + below(60 * MS));
}

void clients_outcome(struct server *s, uint64_t proposal, const struct outcome *o)
{
	struct proposal *p = &w.proposals[proposal - 1];
	struct write *wr = p->owner;

	if (!wr || p->server != s || p->life != s->life || p->state != OPEN ||
	    wr->stage != W_OPEN || wr->proposal != proposal)
		return;
	/* The answer is lost: the client waits for nothing. */
	if (!wr->is_own && link_is_cut(s->id, wr->via))
		return;
	wr->o = *o;
	wr->o.results = NULL;
	wr->stage = W_COMES;
	wr->due = w.now + below(5 * MS);
}

/* ---- answered ---- */

/* Told once more: the same. */
static void check_told(struct write *wr)
{
	const struct key *key = wr->key;

	if (wr->was_told && !wr->is_other && wr->o.replayed &&
	    wr->told_times == key->times)
		claim(CHECK_ONCE, wr->o.rev == wr->told_rev, "a client is told of "
		      "revision %llu, and %llu before, for the same key",
		      ULL(wr->o.rev), ULL(wr->told_rev));
	claim(CHECK_ONCE, !key || wr->is_other || key->index, "a client is told that "
	      "it is done, and it is not");
	claim(CHECK_REVISIONS, !wr->must_fail, "what must be refused is done");
}

static void tell_done(struct write *wr)
{
	check_told(wr);
	wr->was_told = true;
	wr->told_rev = wr->o.rev;
	wr->told_times = wr->key ? wr->key->times : 0;
	acked_rev = MAX(acked_rev, wr->o.rev);
	/* Some clients do not believe it. */
	if (wr->key && below(12) == 0 && !w.is_calm) {
		wr->tries = 0;
		again(wr, false, below(400 * MS));
		return;
	}
	end(wr, W_DONE);
}

static void tell_refused(struct write *wr)
{
	if (wr->o.code == E_BLOB_MISSING && wr->content.n &&
	    ++wr->tries < TRIES_MAX) {
		send_content_first(wr);
		wr->stage = W_GOES;
		wr->due = w.now + below(2 * MS);
		return;
	}
	end(wr, W_REFUSED);
}

/* A step is done: the next one; or all of it. */
static void step_done(struct write *wr)
{
	if (wr->o.code) {
		tell_refused(wr);
	} else if (!is_last(wr)) {
		wr->at_step++;
		wr->stage = W_GOES;
		wr->due = w.now;
	} else {
		tell_done(wr);
	}
}

/* When the server that was asked shows it. */
static void show(struct write *wr)
{
	struct server *via = &w.servers[wr->via - 1];
	struct replica *r = replica_of(via);

	if (wr->o.code || !wr->o.rev) {
		step_done(wr);
		return;
	}
	if (!via->core) {
		again(wr, true, below(50 * MS));
		return;
	}
	if (r->state && state_head(r->state)->rev >= wr->o.rev)
		step_done(wr);
	else if (w.now >= wr->due + 2000 * MS)
		step_done(wr);
	else
		wr->stage = W_SHOWS;
}

static void step_one(struct write *wr)
{
	if (wr->stage == W_SHOWS) {
		show(wr);
		return;
	}
	if (wr->stage > W_COMES || wr->due > w.now)
		return;
	if (wr->stage == W_GOES)
		go(wr);
	else if (wr->stage == W_OPEN)
		again(wr, true, below(20 * MS));
	else if (wr->is_own)
		end(wr, W_DONE);
	else
		show(wr);
}

/* ---- what the store writes ---- */

static bool limits_differ(const struct limits *have)
{
	return have->events_max != limits.events_max ||
	       have->idem_ms != limits.idem_ms ||
	       have->versions_max != limits.versions_max;
}

static void upkeep(struct server *s)
{
	struct replica *r = replica_of(s);
	struct command c = { .type = COMMAND_TICK, .limits = limits };
	struct write *wr;

	tick_due[s->id - 1] = w.now + TICK_US;
	if (!r->state || !server_leads(s))
		return;
	c.version = programs_agree(s);
	if (limits_differ(&state_head(r->state)->limits))
		c.type = COMMAND_LIMITS;
	else if (state_head(r->state)->version < c.version &&
		 (gates_are_wanted() || below(upgrades_late ? 10 : 2) == 0))
		c.type = COMMAND_VERSION;
	else if (!state_tick_is_due(r->state, replica_wall_ms(s)))
		return;
	wr = new_write();
	if (!wr)
		return;
	command_encode(&wr->bytes, &c);
	wr->is_own = true;
	wr->via = s->id;
	propose(wr, s);
}

void clients_submit(struct server *s, struct str command)
{
	struct write *wr = new_write();

	if (!wr)
		return;
	buf_str(&wr->bytes, command);
	wr->is_own = true;
	wr->via = s->id;
	propose(wr, s);
}

/* ---- the door ---- */

void clients_act(void)
{
	if (below(3))
		make_write();
	if (below(3) == 0)
		server_read(below(2) ? some_leader() : any_server());
}

void clients_fill(struct server *s, struct proposal *p)
{
	struct write *wr = make_write();

	if (!wr) {
		buf_add(&p->bytes, "\1\1none", 6);
		return;
	}
	wr->is_staged = false;
	wr->via = s->id;
	command_stamp(&p->bytes, buf_view(&wr->bytes), replica_wall_ms(s));
	if (!p->bytes.n)
		buf_str(&p->bytes, buf_view(&wr->bytes));
	wr->stage = W_OPEN;
	wr->due = w.now + TIMEOUT_US;
	wr->proposal = p->p.id;
	p->owner = wr;
}

void clients_step(void)
{
	for (size_t i = n_done; i < n_writes && !w.is_broken; i++) {
		step_one(&writes[i]);
		if (i == n_done && writes[i].stage >= W_DONE)
			n_done++;
	}
	for (unsigned i = 0; i < SERVERS && !rests; i++) {
		if (!w.servers[i].core || w.servers[i].is_fatal)
			continue;
		if (tick_due[i] <= w.now)
			upkeep(&w.servers[i]);
		if (look_due[i] <= w.now) {
			look_due[i] = w.now + LOOK_US;
			leads_step(&w.servers[i]);
		}
	}
}

bool clients_are_done(void)
{
	for (size_t i = n_done; i < n_writes; i++)
		if (writes[i].stage < W_DONE)
			return false;
	return true;
}

/* ---- what must hold ---- */

/* Called for each entry, in order. */
void clients_applied(uint64_t proposal, uint64_t index, const struct outcome *o,
		     uint64_t time_ms, uint64_t idem_ms)
{
	struct write *wr = proposal ? w.proposals[proposal - 1].owner : NULL;
	struct key *key = wr ? wr->key : NULL;

	if (key && o->code == E_IDEMPOTENCY)
		claim(CHECK_ONCE, key->index && !sha256_eq(&key->body, &wr->body),
		      "entry %llu: a key is refused that stands for nothing else",
		      ULL(index));
	/* Steps before the last have no key. */
	if (!key || o->code || !(o->replayed || o->rev || o->n_results))
		return;
	if (o->replayed) {
		claim(CHECK_ONCE, key->index && o->rev == key->rev &&
		      sha256_eq(&key->body, &wr->body), "entry %llu: a key answers "
		      "revision %llu, and stands for %llu", ULL(index),
		      ULL(o->rev), ULL(key->rev));
		return;
	}
	claim(CHECK_ONCE, !key->index || time_ms >= key->due_ms, "entry %llu: a key "
	      "is applied that was at %llu, and is kept for %llu ms more",
	      ULL(index), ULL(key->index), ULL(key->due_ms - time_ms));
	key->index = wr->index = index;
	key->body = wr->body;
	key->rev = o->rev;
	key->times++;
	key->due_ms = time_ms + idem_ms;
}

static void check_content(struct replica *r, struct kv_txn *txn,
			  const struct object_view *o, const struct rule *rule)
{
	AUTO_BUF bytes = BUF_NONE;
	struct sha256 sha = { 0 };
	struct err err;

	sum.contents++;
	if (view_content(txn, o->tenant, &rule->sha, rule->size, &bytes, &err) == OK)
		sha = sha256_of(buf_view(&bytes));
	claim(CHECK_CONTENT, bytes.n == rule->size && sha256_eq(&sha, &rule->sha),
	      "server %llu: version %u of %.*s/%.*s cannot be read", ULL(r->s->id),
	      rule->version, STR_ARG(o->tenant), STR_ARG(o->name));
}

struct reading {
	struct replica *r;
	struct kv_txn *txn;
};

static bool read_one(void *data, const struct object_view *o)
{
	struct reading *x = data;
	struct rules rules;

	arena_reset(w.arena);
	if (claim(CHECK_CONTENT, rules_decode(w.arena, o->live.rules, &rules),
		  "rules of %.*s", STR_ARG(o->name)))
		for (size_t i = 0; i < rules.n; i++)
			check_content(x->r, x->txn, o, &rules.r[i]);
	return true;
}

/* The newest event of an address. */
static uint64_t newest_of(struct str address)
{
	uint64_t rev = record_rev();

	while (rev && !str_eq(record_event(rev)->key, address))
		rev--;
	return rev;
}

static void check_acked(struct replica *r, struct kv_txn *txn,
			const struct write *wr)
{
	const struct told *event = record_event(wr->told_rev);
	struct config_view v;
	struct address at;
	struct err err;

	claim(CHECK_ACKED, !wr->key || wr->is_other || wr->key->index, "what a "
	      "client was told, revision %llu, is nowhere", ULL(wr->told_rev));
	if (!wr->told_rev || wr->is_other)
		return;
	claim(CHECK_ACKED, event && event->index <= r->s->at.index, "server %llu: "
	      "revision %llu was acknowledged and is not there", ULL(r->s->id),
	      ULL(wr->told_rev));
	/* Nobody wrote there since: then it is live. */
	if (gates_have_rolls(str_first(wr->address, 2)))
		return;                  /* it may go out in steps */
	if (!wr->address.n || !event || newest_of(wr->address) > wr->told_rev ||
	    !wr->key || wr->key->rev != wr->told_rev)
		return;
	must(address_parse(wr->address, &at, &err) == OK);
	if (newest_of(wr->address) &&
	    record_event(newest_of(wr->address))->index == event->index)
		claim(CHECK_ACKED, view_config(txn, &at, CLIENT_NOBODY, &v,
					       &err) == OK &&
		      sha256_eq(&v.rule.sha, &wr->sha), "server %llu: %.*s was "
		      "published with revision %llu, and is not what is live",
		      ULL(r->s->id), STR_ARG(wr->address), ULL(wr->told_rev));
}

void clients_check(struct replica *r)
{
	struct reading x = { r, NULL };
	struct err err;
	uint64_t n;

	x.txn = replica_read(r, 0, &err);
	if (!claim(CHECK_READ, x.txn, "server %llu: %s", ULL(r->s->id), err.text))
		return;
	for (size_t i = 0; i < n_writes && !w.is_broken; i++)
		if (writes[i].was_told)
			check_acked(r, x.txn, &writes[i]);
	claim(CHECK_CONTENT, view_list(x.txn, KIND_CONFIG, STR_NONE, STR_NONE,
				       STR_NONE, read_one, &x, &err) == OK,
	      "server %llu: %s", ULL(r->s->id), err.text);
	claim(CHECK_AUDIT, view_audit_verify(x.txn, &n, &err) == OK,
	      "server %llu: %s", ULL(r->s->id), err.text);
	replica_idle(r);
}
