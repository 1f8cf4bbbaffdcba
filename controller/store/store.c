/*
 * The store: see store.h.
 *
 * A write travels home loop -> core loop (bounded, registered under the id of
 * its proposal) -> raftcore -> apply on the core loop -> home loop.  Because
 * proposing and applying both happen on the core loop, an outcome never comes
 * before its write is registered.
 *
 * Large commands are staged: parts go through the log first, a few in flight,
 * and the command that names them makes them effective at once.
 */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "raftcore/hurry.h"
#include "store/gate.h"
#include "store/outbox.h"
#include "store/own.h"

#include "base/banned.h"

#define STAGE_PART (768 * 1024)
#define STAGE_WINDOW 4
#define HOLD_MS_DEFAULT 2000
/* A commit of LMDB costs 25 us and more however little is in it. */
#define GATHER_MS 5

struct stage {
	struct uuid transaction;
	uint32_t parts, sent, done;
	bool has_failed;
};

/* ---- outcomes ---- */

void outcome_copy(struct outcome *to, const struct outcome *from)
{
	*to = *from;
	to->results = NULL;
	if (!from->n_results)
		return;
	to->results = mem_alloc(from->n_results * sizeof(*to->results));
	memcpy(to->results, from->results,
	       from->n_results * sizeof(*to->results));
}

static void tell_home(struct msg *msg)
{
	struct store_write *w = container_of(msg, struct store_write, msg_);
	struct op_result *results = w->outcome_.results;

	/* 'done' may free the write. */
	w->done(w, &w->outcome_);
	free(results);
}

static void count(struct store *s, enum code code)
{
	if (code == OK)
		atomic_fetch_add(&s->done, 1);
	else if (code == E_UNCERTAIN)
		atomic_fetch_add(&s->uncertain, 1);
	else
		atomic_fetch_add(&s->refused, 1);
}

static void finish(struct store *s, struct store_write *w,
		   const struct outcome *o)
{
	count(s, o->code);
	outcome_copy(&w->outcome_, o);
	free(w->stage_);
	w->stage_ = NULL;
	w->msg_.run = tell_home;
	loop_post_sure(w->home, &w->msg_);
}

static void fail(struct store *s, struct store_write *w, enum code rc,
		 const struct err *err)
{
	struct outcome o = { .code = rc };

	str_copy(o.text, sizeof(o.text),
		 str_of(err && err->text[0] ? err->text : code_text(rc)));
	str_copy(o.hint, sizeof(o.hint), str_of(err ? err->hint : ""));
	finish(s, w, &o);
}

static void stage_more(struct store *s, struct store_write *w);

/* A part or the whole has its outcome. */
void ticket_settle(struct ticket *t, const struct outcome *o)
{
	struct store *s = t->store;
	struct store_write *w = t->write;
	struct stage *stage = w->stage_;
	bool is_part = t->own.n > 0 && stage && stage->done < stage->parts;

	buf_fini(&t->own);
	free(t);
	if (!is_part) {
		finish(s, w, o);
		return;
	}
	stage->done++;
	if (o->code && !stage->has_failed) {
		stage->has_failed = true;
		outcome_copy(&w->outcome_, o);
	}
	if (stage->has_failed) {
		/* The parts that are still under way come back first. */
		if (stage->done == stage->sent)
			finish(s, w, &w->outcome_);
		return;
	}
	stage_more(s, w);
}

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	tickets_on_outcome(data, id, o);
}

/* ---- staging ---- */

static void stage_part(struct store *s, struct store_write *w, uint32_t part)
{
	struct stage *stage = w->stage_;
	struct command c = { .type = COMMAND_STAGE, .time_ms = store_wall_ms(s),
			     .transaction = stage->transaction, .part = part };
	struct buf bytes = BUF_NONE;

	c.bytes = str_first(str_from(w->bytes, (size_t)part * STAGE_PART),
			    STAGE_PART);
	command_encode(&bytes, &c);
	ticket_start(s, w, STR_NONE, &bytes);
}

static void stage_last(struct store *s, struct store_write *w)
{
	struct stage *stage = w->stage_;
	struct command c = { .type = COMMAND_STAGED, .time_ms = store_wall_ms(s),
			     .transaction = stage->transaction,
			     .part = stage->parts,
			     .sha = sha256_of(w->bytes) };
	struct buf bytes = BUF_NONE;

	command_encode(&bytes, &c);
	ticket_start(s, w, STR_NONE, &bytes);
}

static void stage_more(struct store *s, struct store_write *w)
{
	struct stage *stage = w->stage_;

	if (stage->done == stage->parts) {
		stage_last(s, w);
		return;
	}
	while (stage->sent < stage->parts &&
	       stage->sent - stage->done < STAGE_WINDOW)
		stage_part(s, w, stage->sent++);
}

static void stage_start(struct store *s, struct store_write *w)
{
	w->stage_ = NEW(struct stage);
	w->stage_->transaction = uuid_new();
	w->stage_->parts =
		(uint32_t)((w->bytes.n + STAGE_PART - 1) / STAGE_PART);
	stage_more(s, w);
}

/* ---- submitting ---- */

/* Of what storage.bytes_max allows. */
#define CONTENT_PERCENT 80               /* from here on no content comes in, */
#define GROWTH_PERCENT 90                /* from here on nothing that adds */

static bool is_full_to(const struct store *s, unsigned percent)
{
	const struct head *h = state_head(s->state);

	return h->bytes > h->limits.bytes_max / 100 * percent;
}

/* What was done already adds nothing and shall hear its outcome.  Only who leads
 * knows that for sure: others send it there. */
static bool may_be_done(struct store *s, const struct store_write *w)
{
	struct sha256 id;

	if (!command_id(w->bytes, &id))
		return false;
	return !atomic_load(&s->is_leader) || state_has_outcome(s->state, &id);
}

/* What makes room is let through: deletions, ways back, steps of what is out. */
static bool has_no_room(struct store *s, const struct store_write *w)
{
	bool adds = (is_full_to(s, CONTENT_PERCENT) &&
		     command_has_content(w->bytes)) ||
		    (is_full_to(s, GROWTH_PERCENT) && command_may_grow(w->bytes));

	return adds && !may_be_done(s, w);
}

static void submit(struct store *s, struct store_write *w)
{
	struct err err;

	if (atomic_load(&s->has_failed) || store_is_fenced(s)) {
		err_set(&err, E_UNAVAILABLE, "this node has failed: %s",
			s->failure);
		fail(s, w, E_UNAVAILABLE, &err);
	} else if (has_no_room(s, w)) {
		err_set(&err, E_FULL, "the store holds %llu bytes, more than %d%% of "
			"what storage.bytes_max allows",
			(unsigned long long)state_head(s->state)->bytes,
			CONTENT_PERCENT);
		err_hint(&err, "delete configurations, or raise the limit");
		fail(s, w, E_FULL, &err);
	} else if (w->bytes.n > COMMAND_BYTES_MAX) {
		stage_start(s, w);
	} else {
		ticket_start(s, w, w->bytes, NULL);
	}
}

/* From a home loop; what the node itself writes comes by submit_on_core. */
static void submit_here(struct msg *msg)
{
	struct store_write *w = container_of(msg, struct store_write, msg_);
	struct store *s = w->store_;
	struct err err;

	if (!atomic_load(&s->takes_backup)) {
		submit(s, w);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "this node takes the state of a backup: what is "
		"written now would be lost with its own");
	err_hint(&err, "try again when it has started anew");
	fail(s, w, E_UNAVAILABLE, &err);
}

void store_take_backup(struct store *s, bool on)
{
	atomic_store(&s->takes_backup, on);
}

bool store_submit(struct store *s, struct store_write *w)
{
	if (atomic_load(&s->is_stopping))
		return false;
	w->store_ = s;
	w->stage_ = NULL;
	w->msg_.run = submit_here;
	return loop_post(s->core, &w->msg_);
}

void submit_on_core(struct store *s, struct store_write *w)
{
	w->store_ = s;
	w->stage_ = NULL;
	submit(s, w);
}

/* Of a worker; under waits_lock what is not the write's. */
struct waiting {
	struct store_write write;
	struct store *store;
	struct list at;                  /* among those that nobody waits for */
	struct buf bytes;
	bool is_done;
	struct arena *arena;
	struct outcome *out;             /* NULL: nobody waits any more */
};

static void wake_waiting(struct store_write *w, const struct outcome *o)
{
	struct waiting *x = container_of(w, struct waiting, write);
	struct store *s = x->store;

	pthread_mutex_lock(&s->waits_lock);
	if (x->out) {
		*x->out = *o;
		x->out->results = arena_alloc(x->arena, (o->n_results + 1) *
								sizeof(*o->results));
		if (o->n_results)
			memcpy(x->out->results, o->results,
			       o->n_results * sizeof(*o->results));
	}
	x->is_done = true;
	pthread_cond_broadcast(&s->waits_cond);
	pthread_mutex_unlock(&s->waits_lock);
}

/* Under waits_lock.  False: nobody waits any more. */
static bool waits_on(struct store *s)
{
	uint64_t end = s->waits_end_ms;
	const struct timespec until = { (time_t)(end / 1000),
					(long)(end % 1000) * 1000000 };

	if (!end)
		pthread_cond_wait(&s->waits_cond, &s->waits_lock);
	else if (clock_mono_ms() < end)
		pthread_cond_timedwait(&s->waits_cond, &s->waits_lock, &until);
	return !end || clock_mono_ms() < end;
}

static void waiting_free(struct waiting *x)
{
	list_remove(&x->at);
	buf_fini(&x->bytes);
	free(x);
}

enum code store_submit_wait(struct store *s, struct str bytes,
			    struct arena *arena, struct outcome *out,
			    struct err *err)
{
	struct waiting *x = NEW(struct waiting);
	enum code rc = OK;

	must(!loop_is_here(s->core));
	*x = (struct waiting){ .write = { .home = s->core, .done = wake_waiting },
			       .store = s, .arena = arena, .out = out };
	list_init(&x->at);
	buf_str(&x->bytes, bytes);
	x->write.bytes = buf_view(&x->bytes);
	if (!store_submit(s, &x->write)) {
		waiting_free(x);
		return err_set(err, E_UNAVAILABLE,
			       "the store is stopping or too busy");
	}
	pthread_mutex_lock(&s->waits_lock);
	while (!x->is_done && waits_on(s))
		;
	if (!x->is_done) {
		x->out = NULL;
		list_append(&s->left_waiting, &x->at);
		rc = err_set(err, E_UNCERTAIN, "the store stops before the outcome "
			     "is known");
	}
	pthread_mutex_unlock(&s->waits_lock);
	if (rc == OK)
		waiting_free(x);
	return rc;
}

void store_end_waits(struct store *s, uint64_t within_ms)
{
	pthread_mutex_lock(&s->waits_lock);
	s->waits_end_ms = clock_mono_ms() + within_ms;
	pthread_cond_broadcast(&s->waits_cond);
	pthread_mutex_unlock(&s->waits_lock);
}

static void waits_init(struct store *s)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr) == 0);
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&s->waits_cond, &attr) == 0);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->waits_lock, NULL);
}

static void waits_fini(struct store *s)
{
	struct waiting *x;

	list_each(&s->left_waiting, x, at)
		waiting_free(x);
	pthread_cond_destroy(&s->waits_cond);
	pthread_mutex_destroy(&s->waits_lock);
}

bool store_inline_content(struct arena *arena, struct command *c,
			  struct str tenant, struct str content,
			  const struct sha256 *sha)
{
	size_t bytes = content.n;
	struct content_part *part;

	for (size_t i = 0; i < c->n_contents; i++)
		bytes += c->contents[i].bytes.n;
	if (content.n > CONTENT_INLINE_MAX || bytes > BLOB_PART_MAX ||
	    c->n_contents == COMMAND_CONTENTS_MAX)
		return false;
	part = command_content(arena, c);
	*part = (struct content_part){ tenant, *sha, content };
	return true;
}

void store_blob_commands(struct arena *arena, struct str tenant,
			 struct str content, uint64_t now_ms,
			 void (*each)(void *data, struct str bytes), void *data)
{
	struct command c = { .type = COMMAND_BLOB, .time_ms = now_ms,
			     .tenant = tenant, .sha = sha256_of(content),
			     .total = content.n };

	do {
		AUTO_BUF bytes = BUF_NONE;

		c.bytes = str_first(str_from(content, c.offset), BLOB_PART_MAX);
		command_encode(&bytes, &c);
		each(data, arena_str(arena, buf_view(&bytes)));
		c.offset += c.bytes.n;
	} while (c.offset < content.n);
}

static void publish_head(struct store *s)
{
	const struct head *h = state_head(s->state);

	atomic_store(&s->rev, h->rev);
	atomic_store(&s->compacted, h->compacted_rev);
	atomic_store(&s->bytes, h->bytes);
	atomic_store(&s->audit_seq, h->audit_seq);
	atomic_store(&s->time_ms, h->time_ms);
	atomic_store(&s->version, h->version);
}

static void tell_outbox(struct store *s)
{
	uint64_t changes = state_outbox_changes(s->state);
	struct store_outbox *o;

	if (changes == s->outbox_changes)
		return;
	s->outbox_changes = changes;
	list_each(&s->outboxes, o, at_)
		o->changed(o);
}

static void tell_gate(struct store *s)
{
	uint64_t changes = state_gate_changes(s->state);
	uint64_t windows = state_window_changes(s->state);
	bool has_windows = windows != s->window_changes;
	struct store_gate *g;

	if (changes == s->gate_changes)
		return;
	s->gate_changes = changes;
	s->window_changes = windows;
	list_each(&s->gates, g, at_)
		g->changed(g, has_windows);
}

static void on_commit(void *data, uint64_t rev)
{
	struct store *s = data;
	uint64_t tokens = state_token_changes(s->state);
	uint64_t rollouts = state_rollout_changes(s->state);

	tell_outbox(s);
	tell_gate(s);
	s->source_changes = state_source_changes(s->state);
	if (rev == atomic_load(&s->rev) &&
	    tokens == atomic_load(&s->token_changes) &&
	    rollouts == atomic_load(&s->rollout_changes)) {
		publish_head(s);
		return;
	}
	publish_head(s);
	atomic_store(&s->token_changes, tokens);
	atomic_store(&s->rollout_changes, rollouts);
	tickets_on_commit(s, rev);
	followers_tell(s, rev);
}

void store_hurry(struct store *s, bool on)
{
	rc_hurry(s->node, on);
}

uint64_t store_rev(struct store *s)
{
	return atomic_load(&s->rev);
}

uint64_t store_token_changes(const struct store *s)
{
	return atomic_load(&s->token_changes);
}

uint64_t store_source_changes(const struct store *s)
{
	return s->source_changes;
}

bool store_leads(struct store *s)
{
	return atomic_load(&s->is_leader);
}

void store_on_role(struct store *s, struct store_role *role)
{
	list_append(&s->roles, &role->at_);
}

void store_off_role(struct store_role *role)
{
	list_remove(&role->at_);
}

void store_on_gate(struct store *s, struct store_gate *gate)
{
	list_append(&s->gates, &gate->at_);
}

void store_off_gate(struct store_gate *gate)
{
	list_remove(&gate->at_);
}

void store_on_outbox(struct store *s, struct store_outbox *outbox)
{
	list_append(&s->outboxes, &outbox->at_);
}

void store_off_outbox(struct store_outbox *outbox)
{
	list_remove(&outbox->at_);
}

/* ---- linearizable reads ---- */

static void barrier_home(struct msg *msg)
{
	struct store_barrier *b = container_of(msg, struct store_barrier, msg_);

	b->done(b, b->rc_, &b->err_);
}

static void barrier_passed(struct rc_read *r, enum code rc,
			   const struct err *err)
{
	struct store_barrier *b = container_of(r, struct store_barrier, read_);

	b->rc_ = rc;
	if (rc)
		err_copy(&b->err_, err);
	b->msg_.run = barrier_home;
	loop_post_sure(b->home, &b->msg_);
}

bool store_barrier(struct store *s, struct store_barrier *b)
{
	b->read_ = (struct rc_read){ .timeout_ms = (uint32_t)s->config.hold_ms,
				     .is_brief = true,
				     .done = barrier_passed };
	return !atomic_load(&s->is_stopping) && rc_read(s->node, &b->read_);
}

/* ---- opening and closing ---- */

static void on_role(void *data, bool is_leader, uint64_t leader, uint64_t term)
{
	struct store *s = data;
	bool led = atomic_exchange(&s->is_leader, is_leader);
	struct store_role *role;

	if (leader && leader != s->led_last) {
		atomic_fetch_add(&s->leader_changes, s->led_last != 0);
		s->led_last = leader;
	}
	s->leader = leader;
	clocks_on_role(s, is_leader);
	versions_on_role(s, is_leader);
	limits_go_on(s);
	tickets_on_role(s);
	if (led != is_leader)
		list_each(&s->roles, role, at_)
			role->changed(role, is_leader);
	log_info(PART, LOG_KV(log_u("leader", leader), log_u("term", term)),
		 is_leader ? "this node leads" : "this node follows");
}

static void keep_failure(struct store *s, const struct err *err)
{
	pthread_mutex_lock(&s->failure_lock);
	str_copy(s->failure, sizeof(s->failure), str_of(err->text));
	pthread_mutex_unlock(&s->failure_lock);
}

/* raftcore has logged it, and what to do. */
static void on_divergence(void *data, enum rc_divergence what,
			  const struct err *err)
{
	struct store *s = data;

	if (what != RC_FENCED)
		return;
	keep_failure(s, err);
	atomic_store(&s->is_fenced, true);
}

bool store_has_failed(const struct store *s)
{
	return atomic_load(&s->has_failed);
}

bool store_is_fenced(const struct store *s)
{
	return atomic_load(&s->is_fenced);
}

static void on_event(void *data, const struct rc_event *event)
{
	if (event->type == RC_EVENT_MEMBERS)
		changes_on_members(data, event);
}

static void on_fatal(void *data, const struct err *err)
{
	struct store *s = data;

	keep_failure(s, err);
	atomic_store(&s->has_failed, true);
	if (s->config.on_fatal)
		s->config.on_fatal(s->config.data, err);
}

static struct rc_config node_config(struct store *s)
{
	struct rc_config c;

	rc_config_defaults(&c);
	c.dir = s->config.dir;
	c.node_id = MAX(s->config.cluster.node_id, (uint64_t)1);
	c.members = s->config.cluster.members;
	c.n_members = s->config.cluster.n_members;
	c.joins = s->config.cluster.joins;
	c.forms = s->config.cluster.forms;
	c.expect = s->config.cluster.expect;
	c.discover = s->config.cluster.discover;
	if (s->config.cluster.address)
		c.address = s->config.cluster.address;
	c.cluster_id = s->config.cluster.cluster_id;
	c.listen = s->config.cluster.listen;
	c.tls = s->config.cluster.tls;
	c.allow_clear_text = s->config.cluster.allow_clear_text;
	c.ship_rate = s->config.cluster.ship_rate;
	if (s->config.cluster.election_ms)
		c.election_timeout_ms = s->config.cluster.election_ms;
	c.heartbeat_ms = MIN(c.heartbeat_ms,
			     MAX(c.election_timeout_ms / 6, 1u));
	if (s->config.checkpoint_log_bytes)
		c.checkpoint_log_bytes = s->config.checkpoint_log_bytes;
	c.seal = s->config.seal;
	c.gather_ms = s->config.gather_ms ? s->config.gather_ms : GATHER_MS;
	c.apply_loop = s->core;
	c.pool = s->pool;
	c.machine = state_machine(s->state);
	c.on_role = on_role;
	c.on_fatal = on_fatal;
	c.on_divergence = on_divergence;
	c.on_event = on_event;
	c.data = s;
	return c;
}

static void start_tick(struct msg *msg)
{
	struct store *s = container_of(msg, struct store, start_msg);

	tickets_init(s);
	upkeep_start(s);
}

static enum code start(struct store *s, struct err *err)
{
	enum code rc = loop_start(s->core, err);

	if (rc)
		return rc;
	s->start_msg.run = start_tick;
	loop_post_sure(s->core, &s->start_msg);
	return rc_node_start(s->node, err);
}

enum code store_open(const struct store_config *config, struct store **out,
		     struct err *err)
{
	struct store *s = NEW(struct store);
	struct rc_config node;
	enum code rc;

	s->config = *config;
	if (!s->config.map_bytes)
		s->config.map_bytes = 64ull << 30;
	pthread_mutex_init(&s->failure_lock, NULL);
	waits_init(s);
	list_init(&s->left_waiting);
	if (!s->config.hold_ms)
		s->config.hold_ms = HOLD_MS_DEFAULT;
	list_init(&s->followers);
	list_init(&s->roles);
	list_init(&s->outboxes);
	list_init(&s->gates);
	list_init(&s->waiting);
	list_init(&s->awaiting);
	list_init(&s->asks);
	list_init(&s->changes);
	forward_init(s);
	s->knows = MAX(s->config.knows, (uint64_t)CLUSTER_VERSION);
	/* A test has a newer program than there is. */
	if (failpoint_hit(FP_VERSION_NEXT, NULL))
		s->knows++;
	s->pending = map_new();
	s->denials = denials_new();
	rc = loop_try_new("core", 0, &s->core, err);
	if (rc == OK)
		rc = pool_try_new("checkpoint", 1, 4, &s->pool, err);
	if (rc) {
		store_close(&s);
		return rc;
	}
	pool_set_background(s->pool);
	s->state = state_new(&(struct state_config){
		.map_bytes = s->config.map_bytes, .on_outcome = on_outcome,
		.on_commit = on_commit, .knows = s->knows, .data = s });
	node = node_config(s);
	rc = rc_node_open(&node, &s->node, err);
	if (rc == OK) {
		rc_handle(s->node, STORE_METHOD_SUBMIT, forward_serve_one, s);
		rc_handle(s->node, STORE_METHOD_BATCH, forward_serve_batch, s);
		rc_handle(s->node, STORE_METHOD_ASK, store_asks_serve, s);
		rc_handle(s->node, STORE_METHOD_FLEET, calls_serve_fleet, s);
		rc_handle(s->node, STORE_METHOD_MEMBERS, members_serve, s);
		rc_handle(s->node, STORE_METHOD_VERSION, versions_serve, s);
		rc_handle(s->node, STORE_METHOD_CHANGE, change_serve, s);
		rc_handle(s->node, STORE_METHOD_CLOCK, clocks_serve, s);
		initialize_open(s);
		publish_head(s);
		rc = start(s, err);
	}
	if (rc) {
		err_wrap(err, "data directory %s", config->dir);
		store_close(&s);
		return rc;
	}
	s->is_open = true;
	*out = s;
	return OK;
}

static void stop_core(struct msg *msg)
{
	struct store *s = container_of(msg, struct store, stop_msg);

	if (s->has_tick) {
		tickets_end(s);
		timer_close(&s->tick, NULL);
		timer_close(&s->retry, NULL);
	}
	loop_stop(s->core);
}

void store_stop(struct store *s)
{
	if (atomic_load(&s->is_stopping))
		return;
	if (s->is_open)
		upkeep_farewell(s);
	atomic_store(&s->is_stopping, true);
	if (s->node) {
		s->stop_msg.run = stop_core;
		loop_post_sure(s->core, &s->stop_msg);
		loop_join(s->core);
		rc_node_stop(s->node);
		tickets_forget(s);
	}
}

void store_close(struct store **sp)
{
	struct store *s = *sp;

	if (!s)
		return;
	store_stop(s);
	pool_free(&s->pool);
	/* Messages that wait on the core loop still reach for the others. */
	loop_free(&s->core);
	rc_node_free(&s->node);
	state_free(&s->state);
	map_free(&s->pending);
	denials_free(&s->denials);
	buf_fini(&s->tick_bytes);
	buf_fini(&s->limits_bytes);
	buf_fini(&s->note);
	pthread_mutex_destroy(&s->failure_lock);
	waits_fini(s);
	free(s);
	*sp = NULL;
}

struct loop *store_core_loop(struct store *s)
{
	return s->core;
}

/* ---- condition ---- */

static void fill_written(struct store *s, struct store_status *out)
{
	struct kv *kv = state_kv(s->state);

	if (!kv)
		return;
	kv_written(kv, &out->rows_written, &out->row_bytes_written);
	kv_close(&kv);
}

void store_status(struct store *s, struct store_status *out)
{
	*out = (struct store_status){
		.rev = atomic_load(&s->rev),
		.compacted_rev = atomic_load(&s->compacted),
		.bytes = atomic_load(&s->bytes),
		.audit_seq = atomic_load(&s->audit_seq),
		.time_ms = atomic_load(&s->time_ms),
		.writes_done = atomic_load(&s->done),
		.writes_refused = atomic_load(&s->refused),
		.writes_uncertain = atomic_load(&s->uncertain),
		.writes_forwarded = atomic_load(&s->forwarded),
		.forward_calls = atomic_load(&s->forward_calls),
		.forward_failed = atomic_load(&s->forward_failed),
		.leader_changes = atomic_load(&s->leader_changes),
		.member_changes = atomic_load(&s->member_changes),
		.version = atomic_load(&s->version), .knows = s->knows,
		.clock_offset_ms = atomic_load(&s->clock_offset_ms),
		.version_rounds = atomic_load(&s->version_rounds),
		.has_failed = atomic_load(&s->has_failed),
		.is_fenced = store_is_fenced(s),
	};
	fill_written(s, out);
	rc_node_status(s->node, &out->node);
	out->is_ready = out->node.is_ready && !out->has_failed &&
			!out->is_fenced;
	pthread_mutex_lock(&s->failure_lock);
	str_copy(out->failure, sizeof(out->failure), str_of(s->failure));
	pthread_mutex_unlock(&s->failure_lock);
}
