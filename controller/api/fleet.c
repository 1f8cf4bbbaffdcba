/*
 * GET /api/v1/fleet: the instances of the whole cluster, of a release or all that are
 * connected or were heard of lately, from any node (fleet/node.h).
 *
 * Instances are of no tenant: who sees one tenant alone is told of those that follow
 * something of it, and of its releases.
 */
#include "api/why.h"

#include "base/mem.h"
#include "fleet/last.h"

#include "base/banned.h"

#define LIMIT_DEFAULT 100u

/* Outlives a connection that ends before it is done. */
struct listing {
	struct fleet_query query;
	struct request *r;               /* NULL: the connection ended */
	uint64_t release;
};

/* request.data while it is under way: leads to it, for on_gone. */
struct under_way {
	struct caller caller;
	struct listing *listing;
};

static void gone(struct request *r)
{
	struct under_way *u = (struct under_way *)caller_of(r);

	u->listing->r = NULL;
}

static void put_row(struct buf *out, const struct fleet_row *row)
{
	buf_z(out, "{\"instance\":");
	buf_json(out, row->instance);
	buf_printf(out, ",\"state\":\"%s\",\"connected\":%s,\"version\":",
		   fleet_state_name(row->state),
		   row->is_connected ? "true" : "false");
	if (row->version)
		buf_u64(out, row->version);
	else
		buf_z(out, "null");
	buf_printf(out, ",\"lag_ms\":%llu,\"age_ms\":%llu,\"node\":%llu,\"key\":",
		   (unsigned long long)row->lag_ms,
		   (unsigned long long)row->age_ms,
		   (unsigned long long)row->node);
	buf_json(out, row->key);
	buf_z(out, ",\"reason\":");
	buf_json(out, row->reason);
	buf_c(out, '}');
}

/* ---- of no release: what it said last ---- */

static void put_lag(struct buf *out, const struct fleet_last *word)
{
	uint64_t lag_ms;

	if (last_lag_ms(word, &lag_ms))
		buf_printf(out, ",\"lag_ms\":%llu", (unsigned long long)lag_ms);
	else
		buf_z(out, ",\"lag_ms\":null");
}

static void put_word(struct buf *out, const struct fleet_last *word)
{
	buf_z(out, "\"key\":");
	buf_json(out, word->key);
	buf_printf(out, ",\"state\":\"%s\",\"version\":%u,\"sent_version\":",
		   fleet_state_name(last_state(word)), last_version(word));
	if (word->sent_version)
		buf_u64(out, word->sent_version);
	else
		buf_z(out, "null");
	put_lag(out, word);
	buf_z(out, ",\"reason\":");
	buf_json(out, word->reason);
}

static void put_words(struct buf *out, struct str words)
{
	struct rd rd = rd_of(words);
	struct fleet_last word;
	struct err err;
	bool is_first = true;

	while (last_next(&rd, &word, &err) == OK) {
		buf_z(out, is_first ? "{" : ",{");
		put_word(out, &word);
		buf_printf(out, ",\"age_ms\":%llu}",
			   (unsigned long long)last_age_ms(&word));
		is_first = false;
	}
}

/* The newest word speaks for it; all that is known follows. */
static void put_known(struct buf *out, const struct fleet_row *row)
{
	struct rd rd = rd_of(row->words);
	struct fleet_last newest;
	struct err err;

	buf_z(out, "{\"instance\":");
	buf_json(out, row->instance);
	buf_printf(out, ",\"connected\":%s,\"age_ms\":%llu,\"node\":%llu,",
		   row->is_connected ? "true" : "false",
		   (unsigned long long)row->age_ms,
		   (unsigned long long)row->node);
	if (last_next(&rd, &newest, &err) == OK) {
		put_word(out, &newest);
	} else {
		buf_z(out, "\"key\":");
		buf_json(out, row->key);
		buf_z(out, ",\"state\":\"connected\",\"version\":null,"
		      "\"sent_version\":null,\"lag_ms\":null,\"reason\":\"\"");
	}
	buf_z(out, ",\"configurations\":[");
	put_words(out, row->words);
	buf_z(out, "]}");
}

static void put_rows(struct buf *out, const struct fleet_query *q)
{
	struct rd rd = rd_of(buf_view(&q->rows));
	struct str last = STR_NONE;
	struct fleet_row row;
	struct err err;

	buf_z(out, "\"instances\":[");
	while (list_next(&rd, &row, &err) == OK) {
		if (last.n)
			buf_c(out, ',');
		(q->release ? put_row : put_known)(out, &row);
		last = row.instance;
	}
	buf_c(out, ']');
	if (q->has_more && last.n) {
		buf_z(out, ",\"next\":");
		buf_json(out, last);
	}
}

/* With what the release waits for. */
static void answer_whole(struct request *r, const struct fleet_why *why,
			 const struct err *err)
{
	const struct str *rows = caller_of(r)->later;
	AUTO_BUF out = BUF_NONE;

	buf_str(&out, *rows);
	put_why(&out, why, err);
	buf_z(&out, "}\n");
	answer(r, 200, "application/json", buf_view(&out));
}

static void answer_rows(struct request *r, struct buf *out, uint64_t release)
{
	struct fleet_why none = { .is_known = false };
	struct str *rows = ANEW(r->arena, struct str);

	*rows = arena_str(r->arena, buf_view(out));
	caller_of(r)->later = rows;
	if (release)
		api_why(r, release, answer_whole);
	else
		answer_whole(r, &none, NULL);
}

static void listed(struct fleet_query *q, enum code rc, const struct err *err)
{
	struct listing *l = container_of(q, struct listing, query);
	char name[RELEASE_NAME_MAX];
	AUTO_BUF out = BUF_NONE;

	if (l->r)
		l->r->on_gone = NULL;
	if (l->r && rc) {
		api_error(l->r, err);
	} else if (l->r) {
		buf_c(&out, '{');
		if (l->release) {
			release_name(name, l->release);
			buf_printf(&out, "\"release\":\"%s\",", name);
		}
		buf_printf(&out, "\"missing_nodes\":%u,", q->missing);
		put_rows(&out, q);
		answer_rows(l->r, &out, l->release);
	}
	buf_fini(&q->rows);
	free(l);
}

/* Of which tenant: as ?tenant= says, or a release by TENANT/NAME, or a subject that
 * sees that one alone. */
static struct str tenant_of(struct request *r)
{
	const struct str *release = request_query(r, "release");
	const struct str *tenant = request_query(r, "tenant");
	struct str name = release ? *release : STR_NONE;

	if (tenant)
		return *tenant;
	return str_find(name, '/') != SIZE_MAX ? str_cut(&name, '/') :
						 caller_of(r)->subject.tenant;
}

/* A release that is looked for among those of all tenants. */
struct sought {
	struct kv_txn *txn;
	struct str name;
	bool is_there;
};

static bool look_in(void *data, const struct object_view *tenant)
{
	struct sought *s = data;
	struct object_view o;
	struct err none;

	s->is_there = view_object(s->txn, KIND_RELEASE, tenant->name, s->name, &o,
				  &none) == OK;
	return !s->is_there;
}

static enum code find_release(struct kv_txn *txn, struct str tenant, struct str name,
			      struct err *err)
{
	struct sought s = { .txn = txn, .name = name };
	struct object_view o;
	enum code rc;

	if (tenant.n)
		return view_object(txn, KIND_RELEASE, tenant, name, &o, err);
	rc = view_list(txn, KIND_TENANT, STR_NONE, STR_NONE, STR_NONE, look_in, &s, err);
	if (rc || s.is_there)
		return rc;
	err_set(err, E_NOT_FOUND, "there is no release \"%.*s\"", STR_ARG(name));
	return err_hint(err, "conflux release list shows those that are there");
}

/* False: answered. */
static bool may_see(struct request *r, struct str tenant, uint64_t release)
{
	enum kind_id kind = release && tenant.n ? KIND_RELEASE : KIND_CONFIG;
	char name[RELEASE_NAME_MAX] = "";
	struct kv_txn *txn;
	struct err err;

	if (release)
		release_name(name, release);
	if (!api_may(r, VERB_GET, kind, tenant,
		     kind == KIND_RELEASE ? str_of(name) : STR_NONE))
		return false;
	if (!release)
		return true;
	if (!api_view(r, &txn))
		return false;
	if (find_release(txn, tenant, str_of(name), &err) == OK)
		return true;
	api_error(r, &err);
	return false;
}

/* False: answered. */
static bool parse(struct request *r, struct fleet_query *q)
{
	const struct str *release = request_query(r, "release");
	const struct str *after = request_query(r, "after");
	const struct str *limit = request_query(r, "limit");
	uint64_t n = LIMIT_DEFAULT;
	struct str tenant = tenant_of(r);
	/* Numbers of releases are the cluster's: its tenant may be named or not. */
	struct str name = release ? *release : STR_NONE;
	size_t slash = str_find(name, '/');

	if (slash != SIZE_MAX)
		name = str_from(name, slash + 1);
	if (release && !(q->release = release_number(name)))
		api_fail(r, E_INVALID, "release= is the name of a Release, as "
			 "r-000000000017");
	else if (limit && (!str_u64(*limit, &n) || n == 0 || n > FLEET_LIMIT_MAX))
		api_fail(r, E_INVALID, "limit= is 1 to %d", FLEET_LIMIT_MAX);
	else if (after && !str_copy(q->after, sizeof(q->after), *after))
		api_fail(r, E_INVALID, "after= is the name of an instance");
	else if (!str_copy(q->tenant, sizeof(q->tenant), tenant))
		api_fail(r, E_INVALID, "tenant= is the name of a tenant");
	else if (may_see(r, tenant, q->release))
		return q->limit = (uint32_t)n, true;
	return false;
}

void get_fleet(struct request *r)
{
	struct fleet_node *fleet = caller_of(r)->at->api->config.fleet;
	struct under_way *u;
	struct listing *l;

	if (!fleet) {
		api_fail(r, E_UNSUPPORTED, "this node knows no instances");
		return;
	}
	l = NEW(struct listing);
	if (!parse(r, &l->query)) {
		free(l);
		return;
	}
	l->r = r;
	l->release = l->query.release;
	l->query.home = r->loop;
	l->query.done = listed;
	u = ANEW(r->arena, struct under_way);
	u->caller = *caller_of(r);
	u->listing = l;
	r->data = &u->caller;
	r->on_gone = gone;
	fleet_node_query(fleet, &l->query);
}
