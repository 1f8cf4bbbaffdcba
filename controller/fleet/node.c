/* The fleet of a running node: see node.h. */
#include "fleet/node_own.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

#define REPORT_MS 100                    /* what changed waits so long for more */
#define RETRY_MS 250
#define ASK_MS 1000                      /* from one question to the next */
#define CALL_MS 5000
/* With the lock of the fleet, which loops that serve clients wait for: one that follows
 * all configurations of a large release is a thousand look-ups. */
#define LOOK_AT_ONCE 4u
#define SLICE_NS 4000000ull

static uint64_t now_ms(const struct fleet_node *n)
{
	return clock_mono_ms();
}

/* ---- reports to the leader ---- */

static void run(struct fleet_node *n);

static void run_in(struct fleet_node *n, uint64_t ms)
{
	uint64_t at = loop_now_ms(n->core) + ms;

	if (!n->has_timers ||
	    (timer_is_armed(&n->report) && n->report_at_ms <= at))
		return;
	n->report_at_ms = at;
	timer_start(&n->report, ms);
}

static void reported(struct store_fleet_call *call, enum code rc,
		     struct str answer, const struct err *err)
{
	struct fleet_node *n = container_of(call, struct fleet_node, call);

	n->is_calling = false;
	agent_answered(n->agent, rc, answer);
	if (rc)
		atomic_fetch_add(&n->reports_failed, 1);
	if (n->is_stopping)
		return;
	if (rc)
		run_in(n, RETRY_MS);
	else if (agent_has_report(n->agent))
		run_in(n, agent_is_urgent(n->agent) ? 0 : REPORT_MS);
}

static void send_report(struct fleet_node *n)
{
	struct err err;

	buf_reset(&n->body);
	agent_report(n->agent, now_ms(n), &n->body);
	atomic_fetch_add(&n->reports_sent, 1);
	atomic_fetch_add(&n->report_bytes, n->body.n);
	n->call = (struct store_fleet_call){
		.peer = RC_LEADER, .body = buf_view(&n->body),
		.timeout_ms = CALL_MS, .answer_max = 64, .done = reported };
	n->is_calling = true;
	/* As one that was lost on its way. */
	if (!failpoint_hit(FP_FLEET_REPORT, NULL) &&
	    store_fleet_call(n->config.store, &n->call))
		return;
	err_set(&err, E_UNAVAILABLE, "not sent");
	reported(&n->call, E_UNAVAILABLE, STR_NONE, &err);
}

/* Looks at what changed, for a while; true: there is more. */
static bool look(struct fleet_node *n)
{
	uint64_t until = clock_mono_ns() + SLICE_NS;
	struct kv_txn *txn;
	struct err err;
	bool more = true;

	/* Not to be had while a checkpoint is installed. */
	if (view_use(n->view, 0, &txn, &err)) {
		run_in(n, RETRY_MS);
		return false;
	}
	n->txn = txn;
	while (more && clock_mono_ns() < until)
		more = agent_look(n->agent, LOOK_AT_ONCE, now_ms(n));
	n->txn = NULL;
	view_idle(n->view);
	return more;
}

static void run(struct fleet_node *n)
{
	if (n->is_stopping || agent_running(n->agent) == 0)
		return;
	if (look(n)) {
		run_in(n, 0);
		return;
	}
	if (agent_has_report(n->agent))
		send_report(n);
}

static void on_report_timer(struct timer *timer)
{
	struct fleet_node *n = container_of(timer, struct fleet_node, report);

	run(n);
}

static void on_poke(struct msg *msg)
{
	struct fleet_node *n = container_of(msg, struct fleet_node, poke);

	/* Not before it has run: a message that waits must not be posted again. */
	atomic_store(&n->is_poked, false);
	run_in(n, REPORT_MS);
}

static void on_urgent(struct msg *msg)
{
	struct fleet_node *n = container_of(msg, struct fleet_node, urgent);

	atomic_store(&n->is_urgent, false);
	run(n);
}

/* With the fleet's lock; any thread. */
static void poke(void *data, bool is_urgent)
{
	struct fleet_node *n = data;

	if (is_urgent && !atomic_exchange(&n->is_urgent, true))
		loop_post_sure(n->core, &n->urgent);
	else if (!is_urgent && !atomic_exchange(&n->is_poked, true))
		loop_post_sure(n->core, &n->poke);
}

static void publish(struct fleet_node *n);

/* ---- which releases run ---- */

static bool host_picks(void *data, uint64_t release, struct str key,
		       const struct client *client)
{
	struct fleet_node *n = data;

	return running_picks(n->txn, release, key, client);
}

static bool gather_runs(void *data, uint64_t release)
{
	const struct fleet_node *n = data;

	return agent_runs(n->agent, release);
}

static void ask_soon(struct fleet_node *n)
{
	if (n->has_timers && gather_session(n->gather) &&
	    agent_running(n->agent) && !timer_is_armed(&n->ask))
		timer_start(&n->ask, 0);
}

static void read_running(struct fleet_node *n)
{
	uint64_t changes = store_rollout_changes(n->config.store);
	uint64_t newest = store_rev(n->config.store);
	struct kv_txn *txn;
	struct err err;
	enum code rc;

	if (n->has_read && changes == n->changes)
		return;
	rc = view_use(n->view, 0, &txn, &err);
	if (rc)
		return;
	agent_running_start(n->agent);
	rc = running_read(txn, n->agent, now_ms(n), &err);
	view_idle(n->view);
	if (rc) {
		log_error(PART, LOG_KV(log_z("error", err.text)),
			  "releases that run cannot be read");
		return;
	}
	if (agent_running_end(n->agent) && gather_session(n->gather))
		gather_reset(n->gather, rand_u64() | 1, now_ms(n));
	gather_keep(n->gather, newest, gather_runs, n);
	publish(n);
	n->changes = changes;
	n->has_read = true;
	ask_soon(n);
	run_in(n, 0);
}

static void on_wake(struct follower *f, uint64_t rev)
{
	struct fleet_node *n = container_of(f, struct fleet_node, follower);

	if (!n->is_stopping)
		read_running(n);
}

/* ---- the leader asks ---- */

struct question {
	struct store_fleet_call call;
	struct buf body;
};

static void asked(struct store_fleet_call *call, enum code rc, struct str answer,
		  const struct err *err)
{
	struct question *q = container_of(call, struct question, call);

	/* It reports; who does not is asked again. */
	buf_fini(&q->body);
	free(q);
}

static void ask(struct fleet_node *n, uint64_t peer)
{
	struct question *q;

	if (peer == n->config.node_id) {
		agent_ask(n->agent, gather_session(n->gather));
		run_in(n, 0);
		return;
	}
	q = NEW(struct question);
	ask_encode(&q->body, gather_session(n->gather));
	q->call = (struct store_fleet_call){ .peer = peer,
					     .body = buf_view(&q->body),
					     .timeout_ms = ASK_MS,
					     .answer_max = 64, .done = asked };
	if (!store_fleet_call(n->config.store, &q->call))
		asked(&q->call, E_UNAVAILABLE, STR_NONE, NULL);
}

static bool is_up(const struct fleet_node *n, const struct rc_peer *p)
{
	return p->id == n->config.node_id || p->is_up;
}

static void gathered(void *data, uint64_t release, bool is_urgent)
{
	const struct fleet_node *n = data;

	if (n->changed)
		n->changed(n->changed_data, release, is_urgent);
}

void fleet_node_on_gathered(struct fleet_node *n, gather_changed *changed,
			    void *data)
{
	n->changed = changed;
	n->changed_data = data;
}

/* Who reports and is no member any more, or cannot be reached. */
static void see_who_is_gone(struct fleet_node *n)
{
	uint64_t nodes[GATHER_NODES_MAX];
	unsigned n_nodes = gather_nodes(n->gather, nodes);

	for (unsigned i = 0; i < n_nodes; i++) {
		bool is_there = nodes[i] == n->config.node_id;

		for (size_t p = 0; p < n->n_peers; p++)
			is_there |= n->peers[p].id == nodes[i] &&
				    is_up(n, &n->peers[p]);
		if (!is_there)
			gather_node_gone(n->gather, nodes[i], now_ms(n),
					 gathered, n);
	}
}

static void read_peers(struct fleet_node *n)
{
	uint64_t ids[PEERS_MAX];

	n->n_peers = MIN(store_members_get(n->config.store, n->peers, PEERS_MAX),
			 (size_t)PEERS_MAX);
	for (size_t i = 0; i < n->n_peers; i++)
		ids[i] = n->peers[i].id;
	gather_members(n->gather, ids, (unsigned)n->n_peers, gathered, n);
}

/* Each second, at the leader, while releases run. */
static void on_ask_timer(struct timer *timer)
{
	struct fleet_node *n = container_of(timer, struct fleet_node, ask);

	if (!gather_session(n->gather) || !agent_running(n->agent))
		return;
	read_peers(n);
	see_who_is_gone(n);
	if (n->n_peers == 0 && !gather_has_node(n->gather, n->config.node_id))
		ask(n, n->config.node_id);
	for (size_t i = 0; i < n->n_peers; i++)
		if (!gather_has_node(n->gather, n->peers[i].id) &&
		    is_up(n, &n->peers[i]))
			ask(n, n->peers[i].id);
	timer_start(timer, ASK_MS);
}

bool fleet_node_is_evaluated(struct fleet_node *n, uint64_t release,
			     uint32_t step)
{
	bool is = gather_is_evaluated(n->gather, release, n->config.node_id, step);

	read_peers(n);
	for (size_t i = 0; i < n->n_peers; i++)
		is = is && (!is_up(n, &n->peers[i]) ||
			    gather_is_evaluated(n->gather, release,
						n->peers[i].id, step));
	return is;
}

static void role_changed(struct store_role *role, bool leads)
{
	struct fleet_node *n = container_of(role, struct fleet_node, role);

	gather_reset(n->gather, leads ? rand_u64() | 1 : 0, now_ms(n));
	read_peers(n);
	ask_soon(n);
}

/* ---- calls of other nodes ---- */

/* For metrics, which are read on other threads. */
static void publish(struct fleet_node *n)
{
	struct gather_counts c;

	gather_counts(n->gather, &c);
	atomic_store(&n->m_releases, c.releases);
	atomic_store(&n->m_records, c.records);
	atomic_store(&n->m_bytes, c.bytes);
	atomic_store(&n->m_refused, c.refused);
	atomic_store(&n->m_reports, c.reports);
	atomic_store(&n->m_taken, c.taken);
	atomic_store(&n->m_running, agent_running(n->agent));
}

static void take_report(struct fleet_node *n, struct rpc_token token,
			uint64_t peer, struct str body)
{
	AUTO_BUF answer = BUF_NONE;
	struct err err;
	enum code rc = gather_take(n->gather, peer, body, now_ms(n), &answer,
				   gathered, n, &err);

	/* It was behind when it was asked. */
	if (gather_is_mixed(n->gather)) {
		gather_reset(n->gather, rand_u64() | 1, now_ms(n));
		ask_soon(n);
	}
	publish(n);
	store_answer(n->config.store, token, rc, rc ? STR_NONE : buf_view(&answer),
		     &err);
}

static void take_question(struct fleet_node *n, struct rpc_token token,
			  struct str body)
{
	uint64_t session = 0;
	struct err err = { 0 };
	enum code rc = ask_decode(body, &session, &err);

	store_answer(n->config.store, token, rc, STR_NONE, &err);
	if (rc)
		return;
	agent_ask(n->agent, session);
	/* The state may not have come here yet; then it is said when it has. */
	run_in(n, 0);
}

void fleet_node_asked(struct fleet_node *n, struct rpc_token token,
		      uint64_t peer, struct str body)
{
	struct err err;

	switch (n->is_stopping ? 0 : fleet_what(body)) {
	case FLEET_REPORT:
		take_report(n, token, peer, body);
		return;
	case FLEET_ASK:
		take_question(n, token, body);
		return;
	case FLEET_LIST:
		fleet_answer_list(n, token, body);
		return;
	case FLEET_REACH:
		fleet_answer_reach(n, token, body);
		return;
	case FLEET_WHY:
		fleet_answer_why(n, token, body);
		return;
	default:
		err_set(&err, E_UNSUPPORTED, "this node does not know this "
			"question about instances");
		store_answer(n->config.store, token, E_UNSUPPORTED, STR_NONE,
			     &err);
	}
}

/* ---- life ---- */

enum code fleet_node_new(const struct fleet_node_config *config,
			 struct fleet_node **out, struct err *err)
{
	struct fleet_node *n = NEW(struct fleet_node);
	struct agent_host host = { .began_ms = clock_mono_ms(),
				   .picks = host_picks, .data = n };

	n->config = *config;
	n->core = store_core_loop(config->store);
	n->fleet = fleet_new(config->instances_max);
	n->agent = agent_new(n->fleet, &host, rand_u64());
	n->gather = gather_new(config->instances_max);
	fleet_set_poke(n->fleet, poke, n);
	n->poke.run = on_poke;
	n->urgent.run = on_urgent;
	must(uv_sem_init(&n->stopped, 0) == 0);
	list_init(&n->role.at_);
	*out = n;
	return view_new(config->store, &n->view, err);
}

static void start_here(struct msg *msg)
{
	struct fleet_node *n = container_of(msg, struct fleet_node, start_msg);

	timer_init(&n->report, n->core, on_report_timer);
	timer_init(&n->ask, n->core, on_ask_timer);
	n->has_timers = true;
	n->role.changed = role_changed;
	store_on_role(n->config.store, &n->role);
	role_changed(&n->role, store_leads(n->config.store));
	n->follower.home = n->core;
	n->follower.wake = on_wake;
	store_follow(n->config.store, &n->follower);
	read_running(n);
}

void fleet_node_start(struct fleet_node *n)
{
	n->is_started = true;
	n->start_msg.run = start_here;
	loop_post_sure(n->core, &n->start_msg);
}

static void on_unfollowed(struct follower *f)
{
	struct fleet_node *n = container_of(f, struct fleet_node, follower);

	view_free(&n->view);
	uv_sem_post(&n->stopped);
}

static void stop_here(struct msg *msg)
{
	struct fleet_node *n = container_of(msg, struct fleet_node, stop_msg);

	n->is_stopping = true;
	gather_reset(n->gather, 0, now_ms(n));
	store_off_role(&n->role);
	timer_close(&n->report, NULL);
	timer_close(&n->ask, NULL);
	n->has_timers = false;
	store_unfollow(n->config.store, &n->follower, on_unfollowed);
}

void fleet_node_stop(struct fleet_node *n)
{
	if (!n->is_started)
		return;
	n->is_started = false;
	n->stop_msg.run = stop_here;
	loop_post_sure(n->core, &n->stop_msg);
	uv_sem_wait(&n->stopped);
}

void fleet_node_free(struct fleet_node **at)
{
	struct fleet_node *n = TAKE(*at);

	if (!n)
		return;
	must(!n->is_started && !n->is_calling);
	agent_free(&n->agent);
	fleet_free(&n->fleet);
	gather_free(&n->gather);
	view_free(&n->view);
	buf_fini(&n->body);
	uv_sem_destroy(&n->stopped);
	free(n);
}

struct fleet *fleet_node_fleet(struct fleet_node *n)
{
	return n->fleet;
}

struct gather *fleet_node_gather(struct fleet_node *n)
{
	return n->gather;
}

void fleet_node_metrics(struct fleet_node *n, struct fleet_metrics *out)
{
	fleet_counts(n->fleet, &out->fleet);
	out->gather = (struct gather_counts){
		.releases = atomic_load(&n->m_releases),
		.records = atomic_load(&n->m_records),
		.bytes = atomic_load(&n->m_bytes),
		.refused = atomic_load(&n->m_refused),
		.reports = atomic_load(&n->m_reports),
		.taken = atomic_load(&n->m_taken),
	};
	out->reports_sent = atomic_load(&n->reports_sent);
	out->reports_failed = atomic_load(&n->reports_failed);
	out->report_bytes = atomic_load(&n->report_bytes);
	out->running = atomic_load(&n->m_running);
}
