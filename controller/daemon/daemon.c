/* The daemon: see daemon.h. */
#include "daemon/daemon.h"

#include "auth/auth.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "collect/collect.h"
#include "daemon/descriptors.h"
#include "daemon/processors.h"
#include "daemon/own.h"
#include "io/file.h"
#include "io/tls.h"
#include "schema/kind.h"
#include "tbl/settings.h"

#include "base/banned.h"

#define PART "daemon"
#define TOKEN_RETRY_MS 50
#define TOKEN_LOOK_MS 1                  /* at a token that is made */
#define LOOPS_MAX 64u
#define HAND_OVER_MS 2000u
#define WAITS_MS 5000u                   /* what workers still write, at an end */

static uint64_t number(const struct daemon *d, enum setting id)
{
	return settings_u64(d->settings, id);
}

static const char *text_or_null(const struct settings *s, enum setting id)
{
	const char *text = settings_text(s, id);

	return text[0] ? text : NULL;
}

/* ---- the store ---- */

static void on_fatal(void *data, const struct err *err)
{
	/* Reads go on; /readyz says that this node is not well. */
	log_error(PART, LOG_KV(log_z("hint", err->hint)),
		  "this node can no longer apply: %s", err->text);
}

static struct limits limits_of(const struct daemon *d)
{
	return (struct limits){
		.events_ms = number(d, SETTING_storage_events_age),
		.events_max = number(d, SETTING_storage_events_count),
		.audit_ms = number(d, SETTING_storage_audit_age),
		.audit_max = number(d, SETTING_storage_audit_count),
		.idem_ms = number(d, SETTING_storage_idempotency_age),
		.idem_max = number(d, SETTING_storage_idempotency_count),
		.versions_max = number(d, SETTING_storage_versions_max),
		.releases_max = number(d, SETTING_storage_releases_max),
		.blob_idle_ms = number(d, SETTING_storage_blob_idle),
		.bytes_max = number(d, SETTING_storage_bytes_max),
	};
}

/* ---- keys of what is at rest ---- */

enum encryption { ENCRYPTION_AUTO, ENCRYPTION_ALWAYS, ENCRYPTION_NEVER };

/* '*out' stays NULL where no key file is set. */
static enum code load_keys(const struct settings *s, struct keyring **out,
			   struct err *err)
{
	const char *path = text_or_null(s, SETTING_storage_encryption_key_file);
	unsigned how = settings_word(s, SETTING_storage_encryption);
	enum code rc;

	if (!path && how == ENCRYPTION_ALWAYS) {
		err_set(err, E_USAGE, "storage.encryption is always, and "
			"storage.encryption_key_file is not set");
		return err_hint(err, "(printf 'first '; openssl rand -base64 32) > "
				     "FILE; chmod 600 FILE");
	}
	if (!path)
		return OK;
	rc = keyring_load(path, out, err);
	if (rc)
		return err_wrap(err, "storage.encryption_key_file");
	keyring_set_on(*out, how != ENCRYPTION_NEVER);
	return OK;
}

/* Calls of other nodes may come before this one has its fleet. */
static void daemon_fleet_asked(void *data, struct rpc_token token, uint64_t peer,
			       struct str body)
{
	struct daemon *d = data;
	struct fleet_node *fleet = atomic_load(&d->fleet);
	struct err err;

	if (fleet) {
		fleet_node_asked(fleet, token, peer, body);
		return;
	}
	err_set(&err, E_UNAVAILABLE, "the node starts or stops");
	store_answer(d->store, token, E_UNAVAILABLE, STR_NONE, &err);
}

static enum code start_store(struct daemon *d, struct err *err)
{
	struct store_config config = {
		.dir = d->dir,
		.map_bytes = number(d, SETTING_storage_map_size),
		.checkpoint_log_bytes = number(d, SETTING_storage_checkpoint_log),
		.limits = limits_of(d),
		.hold_ms = (unsigned)number(d, SETTING_cluster_hold),
		.on_fatal = on_fatal,
		.asked = daemon_asked,
		.fleet = daemon_fleet_asked,
		.data = d,
	};
	const struct cluster *c = &d->cluster;

	config.cluster.node_id = c->node_id;
	config.cluster.members = c->members;
	config.cluster.n_members = c->n_members;
	config.cluster.joins = c->joins;
	config.cluster.forms = c->forms;
	config.cluster.expect = c->expect;
	config.cluster.discover = c->discover;
	config.cluster.address = c->address;
	config.cluster.cluster_id = c->joins ? &c->id : NULL;
	config.cluster.listen =
		text_or_null(d->settings, SETTING_cluster_raft_listen);
	config.cluster.tls = c->has_tls ? &c->tls : NULL;
	config.cluster.allow_clear_text =
		settings_bool(d->settings, SETTING_cluster_allow_clear_text);
	config.cluster.ship_rate = number(d, SETTING_cluster_ship_rate);
	config.cluster.election_ms =
		(unsigned)number(d, SETTING_cluster_election_timeout);
	config.seal = d->keys ? keyring_provider(d->keys) : NULL;
	return store_open(&config, &d->store, err);
}

/* Without a leader a write waits by itself; a node that lags is asked again, and one that
 * has failed never writes it. */
static enum code ensure_token(struct daemon *d, struct err *err)
{
	const struct timespec pause = { .tv_nsec = TOKEN_RETRY_MS * 1000000 };
	bool made = false;
	enum code rc;

	for (;;) {
		rc = root_token_ensure(d->store, d->dir, &made, err);
		if ((rc != E_BUSY && rc != E_UNAVAILABLE && rc != E_UNCERTAIN) ||
		    atomic_load(&d->is_stopping) || store_has_failed(d->store))
			break;
		nanosleep(&pause, NULL);
	}
	if (rc == OK && made)
		log_info(PART, LOG_NO_KV, "the root token is in %s/root.token",
			 d->dir);
	return rc;
}

static void token_run(struct work *work)
{
	struct daemon *d = container_of(work, struct daemon, token_work);

	d->token_rc = ensure_token(d, &d->token_err);
	if (d->token_rc && !d->cluster.is_alone && !atomic_load(&d->is_stopping))
		log_error(PART, LOG_KV(log_z("hint", d->token_err.hint)), "%s",
			  d->token_err.text);
	atomic_store(&d->token_is_done, true);
}

static void token_done(struct work *work)
{
}

static bool is_full(struct daemon *d)
{
	struct store_status status;

	store_status(d->store, &status);
	return status.node.is_full;
}

/* One alone has its token before it listens, unless its disk is full: then the
 * token comes when there is room, and until then it says that it is not ready. */
static enum code await_token(struct daemon *d, struct err *err)
{
	const struct timespec pause = { .tv_nsec = TOKEN_LOOK_MS * 1000000 };

	while (!atomic_load(&d->token_is_done)) {
		if (is_full(d)) {
			log_error(PART, LOG_NO_KV, "there is no room for the root "
				  "token: it is made when there is");
			return OK;
		}
		nanosleep(&pause, NULL);
	}
	if (d->token_rc)
		err_copy(err, &d->token_err);
	return d->token_rc;
}

/* A cluster has no leader before a majority is there, and this node may be the
 * first; so the token is made beside, and the node serves what it can. */
static enum code start_token(struct daemon *d, struct err *err)
{
	if (pool_try_new("token", 1, 1, &d->token_pool, err))
		return err_wrap(err, "root token");
	d->token_work = (struct work){ .home = store_core_loop(d->store),
				       .run = token_run, .done = token_done };
	if (!pool_submit(d->token_pool, &d->token_work))
		return err_set(err, E_BUSY, "root token: no worker");
	return d->cluster.is_alone ? await_token(d, err) : OK;
}

/* ---- sources ---- */

static enum code read_token(const char *path, struct secret *out,
			    struct err *err)
{
	struct buf text = BUF_NONE;
	enum code rc = fs_get(fs_real(), path, &text, err);

	if (rc)
		err_hint(err, "sources.token_file names it");
	else
		secret_set(out, str_trim(buf_view(&text)));
	if (text.p)
		wipe(text.p, text.cap);
	buf_fini(&text);
	return rc;
}

/* Workers may be reading it. */
static enum code reload_token(struct daemon *d, struct err *err)
{
	const char *path = text_or_null(d->settings, SETTING_sources_token_file);
	struct secret fresh = { 0 }, old;
	enum code rc = path ? read_token(path, &fresh, err) : OK;

	if (!path || rc)
		return rc;
	pthread_mutex_lock(&d->token_lock);
	old = d->token;
	d->token = fresh;
	pthread_mutex_unlock(&d->token_lock);
	secret_wipe(&old);
	return OK;
}

static enum code start_sources(struct daemon *d, struct err *err)
{
	const struct settings *s = d->settings;
	const char *token_file = text_or_null(s, SETTING_sources_token_file);
	AUTO_BUF clones = BUF_NONE;

	if (token_file) {
		enum code rc = read_token(token_file, &d->token, err);

		if (rc)
			return rc;
	}
	buf_printf(&clones, "%s/sources", d->dir);
	d->clones = buf_take(&clones);
	d->sources = (struct source_settings){
		.dir = d->clones,
		.token = token_file ? &d->token : NULL,
		.token_lock = &d->token_lock,
		.ca_file = text_or_null(s, SETTING_sources_ca_file),
		.allow_private = settings_bool(s, SETTING_sources_private_hosts),
		.limits = {
			.fetch_bytes = number(d, SETTING_sources_fetch_bytes_max),
			.fetch_ms = (unsigned)number(d,
					SETTING_sources_fetch_timeout),
			.file_bytes = number(d, SETTING_sources_file_bytes_max),
			.depth = (unsigned)number(d, SETTING_sources_depth_max),
			.entries = number(d, SETTING_sources_files_max),
		},
	};
	d->sources.file_roots = settings_list(s, SETTING_sources_file_roots,
					      &d->sources.n_file_roots);
	d->sources.token_hosts = settings_list(s, SETTING_sources_token_hosts,
					       &d->sources.n_token_hosts);
	if (pool_try_new("git", (unsigned)number(d, SETTING_sources_workers), 65536,
			 &d->git, err))
		return err_wrap(err, "sources");
	d->reconciler = source_reconciler_new(d->store, d->git, &d->sources);
	source_reconciler_start(d->reconciler);
	return OK;
}

/* ---- instances ---- */

static enum code start_keeper(struct daemon *d, struct err *err)
{
	struct keeper *keeper = NULL;
	enum code rc = keeper_new(d->store, &keeper, err);

	atomic_store(&d->keeper, keeper);
	return rc;
}

/* The keeper comes later, and goes when nobody asks any more. */
static void explain_held(void *data, uint64_t proposal, struct fleet_why *out)
{
	struct daemon *d = data;
	struct keeper *keeper = atomic_load(&d->keeper);
	AUTO_BUF text = BUF_NONE;

	if (!keeper || !keeper_explain(keeper, proposal, &text))
		return;
	out->is_known = true;
	str_copy(out->text, sizeof(out->text), buf_view(&text));
}

static enum code start_fleet(struct daemon *d, struct err *err)
{
	struct fleet_node_config config = {
		.store = d->store,
		.node_id = MAX(d->cluster.node_id, (uint64_t)1),
		.instances_max = number(d, SETTING_fleet_instances_max),
		.explain_held = explain_held,
		.held_data = d,
	};
	struct fleet_node *fleet;
	enum code rc = fleet_node_new(&config, &fleet, err);

	atomic_store(&d->fleet, fleet);
	if (rc == OK)
		fleet_node_start(fleet);
	return rc;
}

static void put_fleet_metrics(struct daemon *d, struct buf *out)
{
	struct fleet_metrics m;
	struct releases_metrics r;

	fleet_node_metrics(d->fleet, &m);
	releases_metrics(d->releases, &r);
#define PUT(name, type, help, value)                                       \
	buf_printf(out, "# HELP conflux_fleet_" name " " help "\n"          \
			"# TYPE conflux_fleet_" name " " type "\n"           \
			"conflux_fleet_" name " %llu\n",                     \
		   (unsigned long long)(value))
	PUT("instances", "gauge", "Instances that this node knows.",
	    m.fleet.known);
	PUT("refused_total", "counter", "Instances, words and records that there "
	    "was no room for.", m.fleet.refused + m.gather.refused);
	PUT("releases_running", "gauge", "Releases that are under way.", m.running);
	PUT("reports_total", "counter", "Reports to the leader.", m.reports_sent);
	PUT("reports_failed_total", "counter", "Reports that it did not answer.",
	    m.reports_failed);
	PUT("report_bytes_total", "counter", "Bytes of reports.", m.report_bytes);
	PUT("records", "gauge", "Instances in releases that this leader has "
	    "gathered.", m.gather.records);
	PUT("records_taken_total", "counter", "Records that it took.",
	    m.gather.taken);
	PUT("moves_total", "counter", "Moves of releases that this leader made.",
	    r.moves);
	PUT("moves_refused_total", "counter", "Moves that were refused or lost.",
	    r.refused);
	PUT("looks_total", "counter", "Times that it looked at a release.", r.looks);
	PUT("record_bytes", "gauge", "Bytes that they take.", m.gather.bytes);
#undef PUT
}

/* ---- backups ---- */

static struct backups_config backups_of(const struct settings *s)
{
	return (struct backups_config){
		.version = DAEMON_VERSION,
		.dir = settings_text(s, SETTING_backup_dir),
		.interval_ms = settings_u64(s, SETTING_backup_interval),
		.keep = (unsigned)settings_u64(s, SETTING_backup_keep),
		.recipient = settings_text(s, SETTING_backup_recipient),
		.on_each = settings_word(s, SETTING_backup_on) == 1,
	};
}

static enum code start_backups(struct daemon *d, struct err *err)
{
	struct backups_config config = backups_of(d->settings);

	config.store = d->store;
	config.node_id = d->cluster.node_id;
	return backups_new(&config, &d->backups, err);
}

/* On the workers of Git: both are long and nobody waits for them. */
static void start_collector(struct daemon *d)
{
	d->collector = collector_new(&(struct collector_config){
		.store = d->store, .pool = d->git,
		.interval_ms = settings_u64(d->settings,
					    SETTING_storage_collect_interval) });
	collector_start(d->collector);
}

static void put_metrics(void *data, struct buf *out)
{
	struct daemon *d = data;
	struct source_metrics m;

	source_metrics(d->reconciler, &m);
#define PUT(name, type, help, value)                                       \
	buf_printf(out, "# HELP conflux_source_" name " " help "\n"         \
			"# TYPE conflux_source_" name " " type "\n"          \
			"conflux_source_" name " %llu\n",                    \
		   (unsigned long long)(value))
	PUT("count", "gauge", "Sources that are followed.", m.sources);
	PUT("suspended", "gauge", "Sources that are suspended.", m.suspended);
	PUT("failing", "gauge", "Sources whose last job failed.", m.failing);
	PUT("jobs_running", "gauge", "Jobs under way.", m.jobs_running);
	PUT("jobs_total", "counter", "Jobs that ended.", m.jobs_done);
	PUT("jobs_failed_total", "counter", "Jobs that failed.", m.jobs_failed);
	PUT("commits_total", "counter", "Commits applied.", m.commits_applied);
	PUT("operations_total", "counter", "Operations of plans.", m.operations);
	PUT("formatting_only_total", "counter",
	    "Versions that differ in formatting only.", m.formatting_only);
	PUT("fetched_bytes_total", "counter", "Bytes fetched.", m.fetch_bytes);
	PUT("last_fetch_microseconds", "gauge", "The last fetch took.",
	    m.fetch_us_last);
	PUT("last_plan_microseconds", "gauge", "The last plan took.",
	    m.plan_us_last);
	PUT("last_submit_microseconds", "gauge", "The last submit took.",
	    m.submit_us_last);
#undef PUT
	buf_printf(out, "# HELP conflux_tls_certificate_expiry_seconds When the "
		   "certificate of the HTTP listener ends, Unix; 0: there is none\n"
		   "# TYPE conflux_tls_certificate_expiry_seconds gauge\n"
		   "conflux_tls_certificate_expiry_seconds %lld\n",
		   d->tls ? (long long)tls_server_expiry(d->tls) : 0LL);
	backups_metrics(d->backups, out);
	collector_metrics(d->collector, out);
	sender_metrics(d->sender, out);
	keeper_metrics(d->keeper, out);
	put_fleet_metrics(d, out);
}

static void put_collected(void *data, struct buf *out)
{
	struct daemon *d = data;
	struct collector_status s;

	collector_status(d->collector, &s);
	buf_printf(out, "\"running\":%s,\"runs\":%llu,\"examined\":%llu,"
			"\"removed\":%llu,\"bytes\":%llu,\"refused\":%llu",
		   s.is_running ? "true" : "false", (unsigned long long)s.runs,
		   (unsigned long long)s.configs, (unsigned long long)s.removed,
		   (unsigned long long)s.bytes, (unsigned long long)s.refused);
	if (s.err.code) {
		buf_z(out, ",\"error\":");
		buf_json(out, str_of(s.err.text));
	}
}

/* ---- webhooks ---- */

static enum code start_webhooks(struct daemon *d, struct err *err)
{
	struct http_out_config out = {
		.allow_private = settings_bool(d->settings,
					       SETTING_webhooks_private_hosts),
		.ca_file = text_or_null(d->settings, SETTING_webhooks_ca_file),
		.most = (unsigned)number(d, SETTING_webhooks_requests),
	};
	struct sender_config config = {
		.store = d->store,
		.retry_most_ms = number(d, SETTING_webhooks_retry_most),
		.give_up_ms = number(d, SETTING_webhooks_give_up_after),
	};
	enum code rc = http_out_new(&out, &d->http_out, err);

	if (rc)
		return rc;
	config.out = d->http_out;
	return sender_new(&config, &d->sender, err);
}

/* ---- releases ---- */

static enum code start_releases(struct daemon *d, struct err *err)
{
	struct releases_config config = { .store = d->store, .fleet = d->fleet,
					  .out = d->http_out };
	enum code rc = releases_new(&config, &d->releases, err);

	if (rc == OK)
		releases_start(d->releases);
	return rc;
}

/* ---- HTTP ---- */

static struct http_limits http_limits_of(const struct daemon *d)
{
	struct http_limits l = http_limits_default;

	l.header_bytes = number(d, SETTING_server_header_bytes);
	l.body_bytes = number(d, SETTING_server_body_bytes);
	l.header_ms = (unsigned)number(d, SETTING_server_header_timeout);
	l.body_ms = (unsigned)number(d, SETTING_server_body_timeout);
	l.idle_ms = (unsigned)number(d, SETTING_server_idle_timeout);
	l.handshake_ms = (unsigned)number(d, SETTING_server_handshake_timeout);
	l.write_ms = (unsigned)number(d, SETTING_server_write_timeout);
	l.least_rate = (unsigned)number(d, SETTING_server_least_rate);
	l.drain_idle_ms = (unsigned)MIN(number(d, SETTING_server_drain_idle),
					number(d, SETTING_server_drain_timeout));
	l.connections = (unsigned)number(d, SETTING_server_connections);
	l.streams = (unsigned)number(d, SETTING_server_streams);
	return l;
}

static struct limits_rate rate_of(const struct daemon *d, enum setting rate,
				  enum setting burst)
{
	return (struct limits_rate){ number(d, rate), number(d, burst), 1 };
}

#define RATE_OF(d, name) \
	rate_of(d, SETTING_limits_##name##_rate, SETTING_limits_##name##_burst)

/* Guesses are rare enough to be counted by the minute. */
static struct limits_rate guesses_of(const struct daemon *d)
{
	struct limits_rate rate = RATE_OF(d, address);

	rate.period_s = 60;
	return rate;
}

static enum code load_tls(const struct settings *s, struct tls_server **out,
			  struct err *err)
{
	const char *cert = text_or_null(s, SETTING_tls_cert_file);
	char alpn[HTTP_ALPN_BYTES];

	*out = NULL;
	if (!cert)
		return OK;
	http_alpn(alpn);
	return tls_server_new(cert, settings_text(s, SETTING_tls_key_file),
			      text_or_null(s, SETTING_tls_client_ca_file),
			      alpn, out, err);
}

static enum code load_signing(const struct settings *s, struct signing **out,
			      struct err *err)
{
	const char *path = text_or_null(s, SETTING_signing_key_file);
	enum code rc = path ? signing_new(path, out, err) : OK;

	return rc ? err_wrap(err, "signing.key_file") : OK;
}

static enum code write_address(const struct daemon *d, const char *addr,
			       struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF text = BUF_NONE;

	buf_printf(&path, "%s/confluxd.listen", d->dir);
	buf_printf(&text, "%s\n", addr);
	return fs_put(fs_real(), d->dir, path.p, buf_view(&text), err);
}

static enum code start_api(struct daemon *d, struct err *err)
{
	struct api_config config = {
		.store = d->store,
		.loops = (unsigned)number(d, SETTING_server_loops),
		.limits = http_limits_of(d),
		.heartbeat_ms = (unsigned)number(d, SETTING_server_heartbeat),
		.allowed_origins = settings_text(d->settings,
						 SETTING_server_allowed_origins),
		.external_url = settings_text(d->settings,
					      SETTING_server_external_url),
		.queue_target_ms =
			(unsigned)number(d, SETTING_server_queue_target),
		.rates = {
			[LIMIT_SUBJECT] = RATE_OF(d, subject),
			[LIMIT_TENANT] = RATE_OF(d, tenant),
			[LIMIT_ADDRESS] = guesses_of(d),
		},
		.connections_per_address = (unsigned)number(
			d, SETTING_server_connections_per_address),
		.subject_watches = (unsigned)number(
			d, SETTING_limits_subject_watches),
		.acks = number(d, SETTING_fleet_acks_max),
		.bound_instances = settings_bool(d->settings,
						 SETTING_fleet_bound_instances),
		.version = DAEMON_VERSION,
		.reconcile = daemon_reconcile,
		.metrics = put_metrics,
		.collected = put_collected,
		.http_out = d->http_out,
		.backups = d->backups,
		.fleet = d->fleet,
		.restore = daemon_restore,
		.data = d,
	};
	const char *listen = settings_text(d->settings, SETTING_server_listen);
	struct stream_addr bound;
	enum code rc = load_tls(d->settings, &d->tls, err);

	if (rc == OK)
		rc = load_signing(d->settings, &d->signing, err);
	config.signing = d->signing;
	if (config.loops == 0)
		config.loops = MIN(processors_usable("/"), LOOPS_MAX);
	if (processors_usable("/") > 1)
		config.spin_us = (unsigned)number(d, SETTING_server_spin);
	config.limits.connections = descriptors_for(
		config.limits.connections,
		strcmp(settings_origin(d->settings, SETTING_server_connections),
		       "default") != 0,
		config.loops);
	if (rc == OK)
		rc = api_new(&config, &d->api, err);
	if (rc)
		return rc;
	rc = api_listen(d->api, str_of(listen), d->tls, &bound, err);
	if (rc)
		return rc;
	d->is_listening = true;
	log_info(PART, LOG_KV(log_z("address", bound.text),
			      log_z("tls", d->tls ? "on" : "off")), "listening");
	return write_address(d, bound.text, err);
}

/* ---- life ---- */

enum code daemon_check(const struct settings *settings, struct err *err)
{
	const char *token = text_or_null(settings, SETTING_sources_token_file);
	struct tls_server *tls = NULL;
	struct secret secret = { 0 };
	struct keyring *keys = NULL;
	struct cluster cluster;
	enum code rc;

	if (!text_or_null(settings, SETTING_storage_data_dir)) {
		err_set(err, E_USAGE, "storage.data_dir is not set");
		return err_hint(err, "confluxd --data-dir DIR");
	}
	rc = cluster_of_settings(settings, &cluster, err);
	cluster_fini(&cluster);
	if (rc == OK)
		rc = load_tls(settings, &tls, err);
	tls_server_free(&tls);
	if (rc == OK && token)
		rc = read_token(token, &secret, err);
	secret_wipe(&secret);
	if (rc == OK) {
		struct backups_config backups = backups_of(settings);

		rc = backups_check(&backups, err);
	}
	if (rc == OK)
		rc = load_keys(settings, &keys, err);
	keyring_free(&keys);
	return rc;
}

enum code daemon_start(const struct settings *settings, struct daemon **out,
		       struct err *err)
{
	struct daemon *d = NEW(struct daemon);
	enum code rc = daemon_check(settings, err);

	must(pthread_mutex_init(&d->token_lock, NULL) == 0);
	d->settings = settings;
	d->dir = settings_text(settings, SETTING_storage_data_dir);
	if (rc == OK)
		rc = kinds_load(err);
	if (rc == OK)
		rc = cluster_of_settings(settings, &d->cluster, err);
	if (rc == OK)
		rc = load_keys(settings, &d->keys, err);
	if (rc == OK)
		rc = start_store(d, err);
	if (rc == OK)
		rc = start_token(d, err);
	if (rc == OK)
		rc = start_sources(d, err);
	if (rc == OK)
		rc = start_fleet(d, err);
	if (rc == OK)
		rc = start_backups(d, err);
	if (rc == OK)
		start_collector(d);
	if (rc == OK)
		rc = start_webhooks(d, err);
	if (rc == OK)
		rc = start_keeper(d, err);
	if (rc == OK)
		rc = start_releases(d, err);
	if (rc == OK)
		rc = start_api(d, err);
	if (rc) {
		daemon_stop(&d);
		return rc;
	}
	*out = d;
	return OK;
}

void daemon_leave(struct daemon *d)
{
	if (d->is_listening)
		api_leave(d->api);
}

void daemon_stop(struct daemon **dp)
{
	struct daemon *d = *dp;
	struct keeper *keeper;
	struct fleet_node *fleet;

	if (!d)
		return;
	*dp = NULL;
	atomic_store(&d->is_stopping, true);
	if (d->is_listening)
		api_drain(d->api,
			  (unsigned)number(d, SETTING_server_drain_timeout));
	if (d->store)
		store_hand_over(d->store, HAND_OVER_MS);
	if (d->reconciler)
		source_reconciler_stop(d->reconciler);
	/* Streams have ended with their connections; the loops are still there. */
	if (d->backups)
		backups_stop(d->backups);
	if (d->collector)
		collector_stop(d->collector);
	if (d->releases)
		releases_stop(d->releases);
	if (d->fleet)
		fleet_node_stop(d->fleet);
	if (d->sender)
		sender_stop(d->sender);
	if (d->keeper)
		keeper_stop(d->keeper);
	if (d->http_out)
		http_out_stop(d->http_out);
	/* Workers' writes have an outcome soon, but where the disk is full, or gets
	 * so now. */
	if (d->store)
		store_end_waits(d->store, is_full(d) ? 0 : WAITS_MS);
	if (d->token_pool)
		pool_free(&d->token_pool);
	if (d->git)
		pool_free(&d->git);
	/* Writes of clients that have gone are told at the loops of the API, which do
	 * not run any more and are still there. */
	if (d->store)
		store_stop(d->store);
	api_free(&d->api);
	if (d->reconciler)
		source_reconciler_free(&d->reconciler);
	if (d->store)
		store_close(&d->store);
	releases_free(&d->releases);
	fleet = atomic_exchange(&d->fleet, NULL);
	fleet_node_free(&fleet);
	backups_free(&d->backups);
	collector_free(&d->collector);
	sender_free(&d->sender);
	keeper = atomic_load(&d->keeper);
	keeper_free(&keeper);
	http_out_free(&d->http_out);
	keyring_free(&d->keys);
	tls_server_free(&d->tls);
	signing_free(&d->signing);
	cluster_fini(&d->cluster);
	secret_wipe(&d->token);
	pthread_mutex_destroy(&d->token_lock);
	free(d->clones);
	free(d);
}

enum code daemon_reload(struct daemon *d, const struct settings *fresh,
			struct err *err)
{
	enum code rc = OK;

	log_set_level((enum log_level)settings_word(fresh, SETTING_log_level));
	if (d->cluster.has_tls)
		rc = store_tls_reload(d->store, err);
	if (rc == OK && d->tls)
		rc = tls_server_reload(d->tls, err);
	if (rc == OK && d->signing) {
		rc = signing_reload(d->signing, err);
		if (rc)
			err_wrap(err, "signing.key_file");
	}
	return rc ? rc : reload_token(d, err);
}
