/*
 * What is asked of the system itself: health, version, metrics, audit, and the
 * trigger of a source.
 */
#include "api/grpc.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/view_rollout.h"

#include "base/banned.h"

static struct store *store_of(const struct request *r)
{
	return caller_of(r)->at->api->config.store;
}

/* ---- health ---- */

void get_livez(struct request *r)
{
	answer(r, 200, "text/plain; charset=utf-8", STR("ok"));
}

/* Whoever waits to be added has no entry yet; those who form a cluster have one. */
static void put_leader(struct buf *out, const struct rc_status *node)
{
	if (node->leader_id)
		buf_z(out, "[+]leader known\n");
	else if (node->is_formed && node->last == 0)
		buf_printf(out, "[-]leader unknown: node %llu waits to be added to the "
			   "cluster (conflux cluster add %llu HOST:PORT)\n",
			   (unsigned long long)node->node_id,
			   (unsigned long long)node->node_id);
	else
		buf_z(out, "[-]leader unknown\n");
}

void get_readyz(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct store_status s;
	bool verbose = request_query(r, "verbose") != NULL;
	bool is_leaving = atomic_load(&caller_of(r)->at->api->is_leaving);

	store_status(store_of(r), &s);
	s.is_ready = s.is_ready && !is_leaving;
	if (verbose) {
		buf_printf(&out, "[%c]cluster %s\n",
			   s.node.is_formed ? '+' : '-',
			   s.node.is_formed ? "formed" : s.node.waits_for);
		put_leader(&out, &s.node);
		buf_printf(&out, "[%c]log %s\n", s.has_failed ? '-' : '+',
			   s.has_failed ? s.failure : "ok");
		buf_printf(&out, "[%c]state %s\n", s.is_fenced ? '-' : '+',
			   s.is_fenced ? s.failure : "ok");
		buf_printf(&out, "[%c]disk %s\n", s.node.is_full ? '-' : '+',
			   s.node.is_full ? "has no room" : "ok");
		buf_printf(&out, "[%c]apply index %llu of %llu\n",
			   s.node.is_ready ? '+' : '-',
			   (unsigned long long)s.node.applied,
			   (unsigned long long)s.node.commit);
		buf_printf(&out, "[%c]service %s\n", is_leaving ? '-' : '+',
			   is_leaving ? "ends" : "ok");
	}
	buf_z(&out, s.is_ready ? (verbose ? "readyz check passed\n" : "ok") :
				 (verbose ? "readyz check failed\n" : "not ready"));
	answer(r, s.is_ready ? 200 : 503, "text/plain; charset=utf-8",
	       buf_view(&out));
}

void get_version(struct request *r)
{
	const char *v = caller_of(r)->at->api->config.version;
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out,
		   "{\"major\":\"1\",\"minor\":\"35\",\"gitVersion\":"
		   "\"v1.35.0+conflux-%s\",\"gitCommit\":\"\",\"gitTreeState\":"
		   "\"clean\",\"buildDate\":\"2026-01-01T00:00:00Z\","
		   "\"goVersion\":\"none\",\"compiler\":\"cc\",\"platform\":"
		   "\"linux/amd64\",\"conflux\":\"%s\"}",
		   v, v);
	answer(r, 200, "application/json", buf_view(&out));
}

void get_status(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct store_status s;
	char id[37];

	store_status(store_of(r), &s);
	uuid_text(id, s.node.cluster_id);
	buf_printf(&out,
		   "{\"version\":\"%s\",\"cluster_id\":\"%s\",\"node_id\":%llu,"
		   "\"leader_id\":%llu,\"is_leader\":%s,\"is_ready\":%s,"
		   "\"term\":%llu,\"commit_index\":%llu,\"applied_index\":%llu,"
		   "\"checkpoint_index\":%llu,\"log_bytes\":%llu,"
		   "\"revision\":%llu,\"compacted_revision\":%llu,"
		   "\"bytes\":%llu,\"audit_next\":%llu,\"failure\":",
		   caller_of(r)->at->api->config.version, id,
		   (unsigned long long)s.node.node_id,
		   (unsigned long long)s.node.leader_id,
		   s.node.is_leader ? "true" : "false",
		   s.is_ready ? "true" : "false",
		   (unsigned long long)s.node.term,
		   (unsigned long long)s.node.commit,
		   (unsigned long long)s.node.applied,
		   (unsigned long long)s.node.checkpoint_index,
		   (unsigned long long)s.node.log_bytes,
		   (unsigned long long)s.rev,
		   (unsigned long long)s.compacted_rev,
		   (unsigned long long)s.bytes,
		   (unsigned long long)s.audit_seq);
	if (s.has_failed || s.is_fenced)
		buf_json(&out, str_of(s.failure));
	else
		buf_z(&out, "null");
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- metrics ---- */

#define PEERS_SHOWN 64

static void metric(struct buf *out, const char *name, const char *type,
		   const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help,
		   name, type, name, (unsigned long long)value);
}

static void store_metrics(struct buf *out, const struct store_status *s)
{
	metric(out, "conflux_ready", "gauge", "1 where the node is ready",
	       s->is_ready);
	metric(out, "conflux_disk_full", "gauge",
	       "1 where the disk has no room, and nothing is taken until it has",
	       s->node.is_full);
	metric(out, "conflux_leader", "gauge", "1 where this node leads",
	       s->node.is_leader);
	metric(out, "conflux_revision", "gauge", "Newest revision", s->rev);
	metric(out, "conflux_compacted_revision", "gauge",
	       "Newest revision that is no longer kept", s->compacted_rev);
	metric(out, "conflux_store_bytes", "gauge", "Logical bytes of the store",
	       s->bytes);
	metric(out, "conflux_store_rows_written_total", "counter",
	       "Rows put and deleted since the store was opened",
	       s->rows_written);
	metric(out, "conflux_store_rows_written_bytes_total", "counter",
	       "Bytes of their keys and values", s->row_bytes_written);
	metric(out, "conflux_writes_done_total", "counter", "Writes that were done",
	       s->writes_done);
	metric(out, "conflux_writes_refused_total", "counter",
	       "Writes that were refused", s->writes_refused);
	metric(out, "conflux_writes_uncertain_total", "counter",
	       "Writes whose outcome is unknown", s->writes_uncertain);
	metric(out, "conflux_forwarded_writes_total", "counter",
	       "Writes sent to the leader by this node", s->writes_forwarded);
	metric(out, "conflux_forwarded_batches_total", "counter",
	       "Calls in which they went", s->forward_calls);
	metric(out, "conflux_forwarded_failed_total", "counter",
	       "Forwarded writes of which no outcome came back: tried again, or "
	       "told as unavailable or uncertain", s->forward_failed);
	metric(out, "conflux_leader_changes_total", "counter",
	       "How often another node led than before, as seen here",
	       s->leader_changes);
	metric(out, "conflux_clock_offset_milliseconds", "gauge",
	       "How far the median of the voters' clocks is from this node's, "
	       "as of when it led last; beyond 5,000 it does not lead",
	       (uint64_t)llabs(s->clock_offset_ms));
	metric(out, "conflux_member_changes_total", "counter",
	       "Memberships that came into force here", s->member_changes);
	metric(out, "conflux_raft_term", "gauge", "Current term", s->node.term);
	metric(out, "conflux_raft_commit_index", "gauge", "Commit index",
	       s->node.commit);
	metric(out, "conflux_raft_applied_index", "gauge", "Applied index",
	       s->node.applied);
	metric(out, "conflux_raft_divergence", "gauge", "1 where another node's "
	       "state differs, 2 where this node is fenced", s->node.divergence);
	metric(out, "conflux_raft_compared_index", "gauge", "Newest entry at which "
	       "another node is known to have the same state",
	       s->node.compared);
	metric(out, "conflux_encryption_on", "gauge",
	       "1 where what is written to log and checkpoints is encrypted",
	       s->node.is_sealed);
	metric(out, "conflux_wal_other_segments", "gauge",
	       "Segments that are plain, or encrypted with an older key",
	       s->node.other_segments);
	metric(out, "conflux_wal_writes_total", "counter", "Writes of the log",
	       s->node.wal_writes);
	metric(out, "conflux_wal_entries_total", "counter", "Entries written",
	       s->node.wal_entries);
	metric(out, "conflux_wal_bytes_total", "counter", "Bytes written",
	       s->node.wal_bytes);
	metric(out, "conflux_wal_write_microseconds_p99", "gauge",
	       "99th percentile of a durable write", s->node.wal_sync_us_p99);
	metric(out, "conflux_raft_turn_microseconds_max", "gauge",
	       "Longest turn of the raft loop in the last 10 seconds",
	       s->node.turn_max_us);
	metric(out, "conflux_raft_turn_computed_microseconds_max", "gauge",
	       "Most that one of these turns computed, without waiting for a "
	       "processor", s->node.turn_max_cpu_us);
	metric(out, "conflux_checkpoints_taken_total", "counter",
	       "Checkpoints written since the start", s->node.checkpoints);
	metric(out, "conflux_checkpoints_failed_total", "counter",
	       "Checkpoints that failed since the start",
	       s->node.checkpoints_failed);
	metric(out, "conflux_checkpoints_shipped_total", "counter",
	       "Checkpoints sent to other nodes since the start",
	       s->node.shipped);
	metric(out, "conflux_checkpoints_installed_total", "counter",
	       "Checkpoints of other nodes installed since the start",
	       s->node.installed);
}

static void refusal_metrics(struct buf *out, const struct rc_status *s)
{
	static const char name[] = "conflux_peer_connections_refused_total";

	buf_printf(out, "# HELP %s Connections of other nodes that were turned "
		   "away, by why\n# TYPE %s counter\n", name, name);
	for (unsigned i = 0; i < RC_REFUSALS; i++)
		buf_printf(out, "%s{reason=\"%s\"} %llu\n", name,
			   rc_refusal_name(i),
			   (unsigned long long)s->refused_by[i]);
}

static void http_metrics(struct buf *out, const struct api_sums *sums)
{
	const struct http_stats sum = sums->http;

	metric(out, "conflux_http_connections", "gauge", "Open connections",
	       sum.connections_now);
	metric(out, "conflux_http_streams", "gauge", "Answers that go on: streams "
	       "of events, WebSockets, calls", sum.streams_now);
	metric(out, "conflux_http_requests_total", "counter", "Requests answered",
	       sum.requests);
	metric(out, "conflux_http_refused_total", "counter",
	       "Requests refused before a handler", sum.refused);
	metric(out, "conflux_http_sent_bytes_total", "counter", "Bytes sent",
	       sum.bytes_out);
	metric(out, "conflux_http_loops", "gauge", "Loops that serve connections",
	       sums->loops);
	metric(out, "conflux_http_turn_microseconds_max", "gauge",
	       "Longest turn of one of these in the last 10 seconds",
	       sums->turn_recent_us);
	metric(out, "conflux_http_loops_overloaded", "gauge",
	       "Loops that have more requests than they answer in time",
	       sums->overloaded);
	metric(out, "conflux_http_shed_total", "counter",
	       "Requests that were refused because of that", sums->shed);
}

static void watch_metrics(struct buf *out, const struct watch_stats *s)
{
	metric(out, "conflux_watchers", "gauge", "Watches that are open", s->now);
	metric(out, "conflux_watchers_behind", "gauge",
	       "Of these, that are not up to date: they resume, or do not read",
	       s->behind);
	metric(out, "conflux_watch_changes_total", "counter",
	       "Changes that watches were told", s->told);
	metric(out, "conflux_watch_events_read_total", "counter",
	       "Events that were read for that", s->rows);
}

static void instance_metrics(struct buf *out, struct acks *acks)
{
	struct acks_counts c;

	acks_counts(acks, &c);
	metric(out, "conflux_instances_connected", "gauge",
	       "Instances that said who they are and watch here", c.connected);
	metric(out, "conflux_acks", "gauge", "Acknowledgements that are kept",
	       c.kept);
	metric(out, "conflux_acks_taken_total", "counter",
	       "Acknowledgements that came", c.taken);
	metric(out, "conflux_acks_evicted_total", "counter",
	       "Acknowledgements that went because there were too many",
	       c.evicted);
}

static void limit_metrics(struct buf *out, const struct limits *limits)
{
	static const char name[] = "conflux_http_limited_total";

	buf_printf(out, "# HELP %s Requests answered 429, by what they were "
		   "counted for\n# TYPE %s counter\n", name, name);
	for (unsigned i = 0; i < LIMIT__COUNT; i++)
		buf_printf(out, "%s{by=\"%s\"} %llu\n", name, limits_name(i),
			   (unsigned long long)limits_refused(limits, i));
}

/* One line a member and metric, as the format wants them: by metric. */
static void peer_metric(struct buf *out, const struct rc_peer *peers, size_t n,
			const char *name, const char *type, const char *help,
			uint64_t (*value)(const struct rc_peer *p))
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s{node=\"%llu\"} %llu\n", name,
			   (unsigned long long)peers[i].id,
			   (unsigned long long)value(&peers[i]));
}

static uint64_t peer_up(const struct rc_peer *p)
{
	return p->is_up;
}

static uint64_t peer_match(const struct rc_peer *p)
{
	return p->match;
}

static uint64_t peer_rtt(const struct rc_peer *p)
{
	return p->rtt_us;
}

static uint64_t peer_in(const struct rc_peer *p)
{
	return p->bytes_in;
}

static uint64_t peer_out(const struct rc_peer *p)
{
	return p->bytes_out;
}

static uint64_t peer_queued(const struct rc_peer *p)
{
	return p->queued_bytes;
}

static uint64_t peer_frames_in(const struct rc_peer *p)
{
	return p->frames_in;
}

static uint64_t peer_frames_out(const struct rc_peer *p)
{
	return p->frames_out;
}

static uint64_t peer_dropped(const struct rc_peer *p)
{
	return p->dropped;
}

static uint64_t peer_attempts(const struct rc_peer *p)
{
	return p->attempts;
}

static uint64_t peer_connects(const struct rc_peer *p)
{
	return p->connects;
}

static uint64_t peer_reconnects(const struct rc_peer *p)
{
	return p->reconnects;
}

static uint64_t peer_accepts(const struct rc_peer *p)
{
	return p->accepts;
}

static uint64_t peer_expiry(const struct rc_peer *p)
{
	return (uint64_t)MAX(p->cert_expiry, (int64_t)0);
}

static void peer_metrics(struct buf *out, struct store *store)
{
	struct rc_peer *peers = mem_zero(PEERS_SHOWN * sizeof(*peers));
	size_t n = MIN(store_members_get(store, peers, PEERS_SHOWN),
		       (size_t)PEERS_SHOWN);

	peer_metric(out, peers, n, "conflux_peer_up", "gauge",
		    "1 where messages go to the node", peer_up);
	peer_metric(out, peers, n, "conflux_peer_match_index", "gauge",
		    "Newest entry that the leader knows it has; 0 elsewhere",
		    peer_match);
	peer_metric(out, peers, n, "conflux_peer_round_trip_microseconds",
		    "gauge", "Of the last ping; 0: none yet", peer_rtt);
	peer_metric(out, peers, n, "conflux_peer_received_bytes_total",
		    "counter", "Bytes that came from the node", peer_in);
	peer_metric(out, peers, n, "conflux_peer_sent_bytes_total", "counter",
		    "Bytes that went to the node", peer_out);
	peer_metric(out, peers, n, "conflux_peer_queued_bytes", "gauge",
		    "Bytes that wait to be sent to the node", peer_queued);
	peer_metric(out, peers, n, "conflux_peer_received_frames_total", "counter",
		    "Frames that came from the node", peer_frames_in);
	peer_metric(out, peers, n, "conflux_peer_sent_frames_total", "counter",
		    "Frames that went to the node", peer_frames_out);
	peer_metric(out, peers, n, "conflux_peer_dropped_frames_total", "counter",
		    "Frames that were not sent: no room in the queue, or the "
		    "connection was lost", peer_dropped);
	peer_metric(out, peers, n, "conflux_peer_connection_attempts_total", "counter",
		    "Times that the node was dialled", peer_attempts);
	peer_metric(out, peers, n, "conflux_peer_connections_total", "counter",
		    "Connections to the node that it agreed to", peer_connects);
	peer_metric(out, peers, n, "conflux_peer_reconnections_total", "counter",
		    "Of these, those that replaced one that was lost", peer_reconnects);
	peer_metric(out, peers, n, "conflux_peer_connections_accepted_total", "counter",
		    "Connections of the node that were taken", peer_accepts);
	peer_metric(out, peers, n, "conflux_peer_certificate_expiry_seconds",
		    "gauge", "When its certificate ends, Unix; 0: none was seen",
		    peer_expiry);
	free(peers);
}

static void answer_metrics(struct request *r, const struct api_sums *sums)
{
	struct api *api = caller_of(r)->at->api;
	AUTO_BUF out = BUF_NONE;
	struct store_status s;

	store_status(api->config.store, &s);
	store_metrics(&out, &s);
	http_metrics(&out, sums);
	watch_metrics(&out, &sums->watch);
	limit_metrics(&out, api->limits);
	instance_metrics(&out, api->acks);
	grpc_metrics(&out, api);
	peer_metrics(&out, api->config.store);
	refusal_metrics(&out, &s.node);
	if (api->config.metrics)
		api->config.metrics(api->config.data, &out);
	answer(r, 200, "text/plain; version=0.0.4", buf_view(&out));
}

void get_metrics(struct request *r)
{
	api_gather(r, answer_metrics);
}

/* ---- audit ---- */

struct auditing {
	struct buf out;
	uint64_t left, next;
	bool has_one;
};

static void add_text(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, value);
}

static void add_hash(struct buf *out, const char *name, const struct sha256 *h)
{
	buf_printf(out, ",\"%s\":\"", name);
	buf_hex(out, h->b, sizeof(h->b));
	buf_c(out, '"');
}

static bool one_audit(void *data, const struct audit_row *row, bool right)
{
	struct auditing *a = data;
	char time[RFC3339_MAX];

	if (a->left-- == 0) {
		a->next = row->seq;
		return false;
	}
	clock_rfc3339(time, row->time_ms, true);
	buf_printf(&a->out, "%s{\"seq\":%llu,\"time\":\"%s\",\"revision\":%llu",
		   a->has_one ? "," : "", (unsigned long long)row->seq, time,
		   (unsigned long long)row->rev);
	a->has_one = true;
	add_text(&a->out, "subject", row->subject);
	add_text(&a->out, "role", str_of(role_name(row->role)));
	add_text(&a->out, "credential", row->credential);
	add_text(&a->out, "origin", row->origin);
	add_text(&a->out, "action", row->action);
	add_text(&a->out, "target", row->target);
	buf_printf(&a->out, ",\"operations\":%llu",
		   (unsigned long long)row->n_ops);
	add_text(&a->out, "reason", row->reason);
	add_text(&a->out, "commit", row->commit);
	buf_z(&a->out, ",\"trace\":\"");
	buf_hex(&a->out, row->trace, sizeof(row->trace));
	buf_c(&a->out, '"');
	add_hash(&a->out, "diff_sha256", &row->diff);
	add_hash(&a->out, "previous_hash", &row->previous);
	add_hash(&a->out, "hash", &row->hash);
	buf_printf(&a->out, ",\"hash_is_right\":%s}", right ? "true" : "false");
	return true;
}

void get_audit(struct request *r)
{
	const struct str *from = request_query(r, "from");
	const struct str *limit = request_query(r, "limit");
	struct auditing a = { .left = 100 };
	uint64_t seq = 0;
	struct kv_txn *txn;
	struct err err;

	if ((from && !str_u64(*from, &seq)) ||
	    (limit && (!str_u64(*limit, &a.left) || a.left == 0 ||
		       a.left > 1000))) {
		api_fail(r, E_INVALID, "from= is a sequence, limit= 1 to 1000");
		return;
	}
	if (!api_view(r, &txn))
		return;
	buf_z(&a.out, "{\"records\":[");
	if (view_audit(txn, seq, one_audit, &a, &err)) {
		api_error(r, &err);
	} else {
		buf_c(&a.out, ']');
		if (a.next)
			buf_printf(&a.out, ",\"next\":%llu",
				   (unsigned long long)a.next);
		buf_c(&a.out, '}');
		answer(r, 200, "application/json", buf_view(&a.out));
	}
	buf_fini(&a.out);
}

void get_audit_verify(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct kv_txn *txn;
	struct head head;
	uint64_t n = 0;
	struct err err;
	enum code rc;

	if (!api_view(r, &txn))
		return;
	rc = view_head(txn, &head, &err);
	if (rc == OK)
		rc = view_audit_verify(txn, &n, &err);
	if (rc && rc != E_CORRUPT) {
		api_error(r, &err);
		return;
	}
	buf_printf(&out, "{\"valid\":%s,\"records\":%llu,\"first\":%llu",
		   rc ? "false" : "true", (unsigned long long)n,
		   (unsigned long long)head.audit_first);
	if (rc)
		add_text(&out, "detail", str_of(err.text));
	add_hash(&out, "head", &head.audit_head);
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- reconcile ---- */

struct reconciling {
	struct api_reconcile rec;
	struct msg msg;
	struct loop *loop;
	struct request *r;
	struct caller caller;
	enum code rc;
	struct err err;
};

static void reconcile_gone(struct request *r)
{
	struct reconciling *x = container_of(caller_of(r), struct reconciling,
					     caller);

	x->r = NULL;
}

/* The plan itself is at /api/v1/plans/{digest}. */
static void answer_planned(struct reconciling *x)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "{\"digest\":");
	buf_json(&out, str_of(x->rec.plan));
	buf_z(&out, ",\"commit\":");
	buf_json(&out, str_of(x->rec.revision));
	buf_printf(&out, ",\"operations\":%llu}\n",
		   (unsigned long long)x->rec.operations);
	answer(x->r, 200, "application/json", buf_view(&out));
}

/* What it brings goes out in steps, and is live for some of them. */
static void put_going_out(struct buf *out, struct reconciling *x)
{
	struct str revision = str_of(x->rec.revision), commit, name;
	struct request *r = x->r;
	struct object_view o;
	struct value *status;
	struct kv_txn *txn;
	struct err err;

	/* "main@sha1:<40 hex digits>" */
	commit = str_from(revision, revision.n - MIN(revision.n, (size_t)40));
	if (view_use(x->caller.at->view, x->caller.min_rev, &txn, &err) ||
	    !view_rollout_of_commit(txn, r->arena, x->rec.tenant,
				    arena_printf(r->arena, "source:%.*s/%.*s",
						 STR_ARG(x->rec.tenant),
						 STR_ARG(x->rec.name)),
				    commit, &name) ||
	    view_object(txn, KIND_RELEASE, x->rec.tenant, name, &o, &err) ||
	    doc_parse_json(o.row.status, r->arena, NULL, &status, &err))
		return;
	buf_z(out, ",\"release\":");
	buf_json(out, name);
	for (size_t i = 0; i < 3; i++) {
		static const char *const members[] = { "phase", "step", "steps" };
		const struct value *v = value_get(status, str_of(members[i]));

		if (!v)
			continue;
		buf_printf(out, ",\"%s\":", members[i]);
		value_json(out, v);
	}
}

static void answer_reconciled(struct reconciling *x)
{
	AUTO_BUF out = BUF_NONE;

	if (x->rec.plans) {
		answer_planned(x);
		return;
	}
	if (!x->rec.wait) {
		answer(x->r, 202, "application/json", STR("{\"accepted\":true}\n"));
		return;
	}
	buf_z(&out, "{\"accepted\":true,\"lastAppliedRevision\":");
	buf_json(&out, str_of(x->rec.revision));
	buf_printf(&out, ",\"revision\":%llu,\"operations\":%llu",
		   (unsigned long long)x->rec.rev,
		   (unsigned long long)x->rec.operations);
	if (x->rec.proposal[0]) {
		buf_z(&out, ",\"proposal_id\":");
		buf_json(&out, str_of(x->rec.proposal));
	}
	if (x->rec.turned_back[0]) {
		buf_z(&out, ",\"turned_back\":");
		buf_json(&out, str_of(x->rec.turned_back));
	}
	put_going_out(&out, x);
	buf_z(&out, "}\n");
	answer(x->r, x->rec.proposal[0] ? 202 : 200, "application/json",
	       buf_view(&out));
}

/* With all that is wrong with the commit, where it was planned. */
static void answer_refused(struct reconciling *x)
{
	struct str rest = str_of(x->rec.invalid);
	AUTO_BUF out = BUF_NONE;
	unsigned n = 0;

	if (!x->rec.n_invalid) {
		api_error(x->r, &x->err);
		return;
	}
	buf_z(&out, ",\"invalid\":[");
	while (rest.n) {
		struct str reason = str_cut(&rest, '\n'), file = str_cut(&reason, '\t');
		struct str object = str_cut(&reason, '\t');

		buf_z(&out, n++ ? ",{\"file\":" : "{\"file\":");
		buf_json(&out, file);
		buf_z(&out, ",\"name\":");
		buf_json(&out, object);
		buf_z(&out, ",\"reason\":");
		buf_json(&out, reason);
		buf_c(&out, '}');
	}
	buf_c(&out, ']');
	if (x->rec.n_invalid > n)
		buf_printf(&out, ",\"invalid_more\":%u", x->rec.n_invalid - n);
	answer_error_with(x->r, &x->err, buf_view(&out));
}

static void reconcile_here(struct msg *msg)
{
	struct reconciling *x = container_of(msg, struct reconciling, msg);

	if (x->r) {
		x->r->on_gone = NULL;
		x->r->data = memcpy(arena_alloc(x->r->arena, sizeof(x->caller)),
				    &x->caller, sizeof(x->caller));
		if (x->rc)
			answer_refused(x);
		else
			answer_reconciled(x);
	}
	free((char *)(uintptr_t)x->rec.tenant.p);
	free((char *)(uintptr_t)x->rec.name.p);
	free((char *)(uintptr_t)x->rec.commit.p);
	free(x);
}

static void reconcile_done(struct api_reconcile *rec, enum code rc,
			   const struct err *err)
{
	struct reconciling *x = container_of(rec, struct reconciling, rec);

	x->rc = rc;
	if (rc)
		err_copy(&x->err, err);
	loop_post_sure(x->loop, &x->msg);
}

static void ask_source(struct request *r, bool plans, struct str commit)
{
	const struct api_config *config = &caller_of(r)->at->api->config;
	const struct str *wait = request_query(r, "wait");
	struct reconciling *x;

	x = NEW(struct reconciling);
	x->rec.tenant = str_n(mem_dup(r->in->args[0].p, r->in->args[0].n), r->in->args[0].n);
	x->rec.name = str_n(mem_dup(r->in->args[1].p, r->in->args[1].n), r->in->args[1].n);
	x->rec.plans = plans;
	if (commit.n)
		x->rec.commit = str_n(mem_dup(commit.p, commit.n), commit.n);
	x->rec.done = reconcile_done;
	if (wait)
		(void)!str_bool(*wait, &x->rec.wait);
	x->msg.run = reconcile_here;
	x->loop = r->loop;
	x->r = r;
	x->caller = *caller_of(r);
	r->data = &x->caller;
	r->on_gone = reconcile_gone;
	if (config->reconcile && config->reconcile(config->data, &x->rec))
		return;
	err_set(&x->err, E_UNAVAILABLE, "this node has no reconciler");
	x->rc = E_UNAVAILABLE;
	reconcile_here(&x->msg);
}

void post_reconcile(struct request *r)
{
	if (api_may(r, VERB_RECONCILE, KIND_SOURCE, r->in->args[0], r->in->args[1]))
		ask_source(r, false, STR_NONE);
}

/* ?commit=<7 to 40 hex digits>: another than the newest. */
void post_source_plan(struct request *r)
{
	const struct str *commit = request_query(r, "commit");

	if (api_may(r, VERB_RECONCILE, KIND_SOURCE, r->in->args[0], r->in->args[1]))
		ask_source(r, true, commit ? *commit : STR_NONE);
}
