/*
 * /_cluster: who is in the cluster, who leads, and changing both.  Asked for at
 * any node; the leader does it.
 */
#include "api/own.h"

#include "base/mem.h"

#include "base/banned.h"

#define MEMBERS_MAX 64

static struct store *store_of(const struct request *r)
{
	return caller_of(r)->at->api->config.store;
}

static const char *role_of(const struct rc_peer *p, uint64_t leader)
{
	if (p->id == leader)
		return "leader";
	return p->votes ? "voter" : "learner";
}

static void add_member(struct buf *out, const struct rc_peer *p,
		       uint64_t leader)
{
	buf_printf(out, "{\"id\":%llu,\"address\":", (unsigned long long)p->id);
	buf_json(out, str_of(p->address));
	buf_printf(out, ",\"role\":\"%s\",\"is_up\":%s,\"match_index\":%llu,"
		   "\"bytes_in\":%llu,\"bytes_out\":%llu,\"rtt_us\":%llu,"
		   "\"queued_bytes\":%llu,\"dropped\":%llu,\"reconnects\":%llu,"
		   "\"error\":",
		   role_of(p, leader), p->is_up ? "true" : "false",
		   (unsigned long long)p->match,
		   (unsigned long long)p->bytes_in,
		   (unsigned long long)p->bytes_out,
		   (unsigned long long)p->rtt_us,
		   (unsigned long long)p->queued_bytes,
		   (unsigned long long)p->dropped,
		   (unsigned long long)p->reconnects);
	buf_json(out, str_of(p->error));
	buf_c(out, '}');
}

static void add_members(struct buf *out, struct store *store, uint64_t leader)
{
	struct rc_peer *peers = mem_zero(MEMBERS_MAX * sizeof(*peers));
	size_t n = store_members_get(store, peers, MEMBERS_MAX);

	buf_z(out, "\"nodes\":[");
	for (size_t i = 0; i < MIN(n, (size_t)MEMBERS_MAX); i++) {
		if (i)
			buf_c(out, ',');
		add_member(out, &peers[i], leader);
	}
	buf_c(out, ']');
	free(peers);
}

void get_cluster_nodes(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct store_status s;

	store_status(store_of(r), &s);
	buf_c(&out, '{');
	add_members(&out, store_of(r), s.node.leader_id);
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

void get_cluster_status(struct request *r)
{
	static const char *const verdicts[] = {
		[RC_ALIKE] = "alike", [RC_DIFFERS] = "differs",
		[RC_FENCED] = "fenced"
	};
	AUTO_BUF out = BUF_NONE;
	struct store_status s;
	char id[37];

	store_status(store_of(r), &s);
	uuid_text(id, s.node.cluster_id);
	buf_printf(&out,
		   "{\"cluster_id\":\"%s\",\"node_id\":%llu,\"leader_id\":%llu,"
		   "\"term\":%llu,\"commit_index\":%llu,\"applied_index\":%llu,"
		   "\"checkpoint_index\":%llu,\"cluster_version\":%llu,"
		   "\"supported_version\":%llu,\"is_ready\":%s,"
		   "\"state\":\"%s\",\"compared_index\":%llu,"
		   "\"divergence_index\":%llu,\"divergence_node\":%llu,"
		   "\"is_encrypted\":%s,\"encryption_key\":",
		   id, (unsigned long long)s.node.node_id,
		   (unsigned long long)s.node.leader_id,
		   (unsigned long long)s.node.term,
		   (unsigned long long)s.node.commit,
		   (unsigned long long)s.node.applied,
		   (unsigned long long)s.node.checkpoint_index,
		   (unsigned long long)s.version,
		   (unsigned long long)s.knows,
		   s.is_ready ? "true" : "false",
		   verdicts[s.node.divergence],
		   (unsigned long long)s.node.compared,
		   (unsigned long long)s.node.divergence_index,
		   (unsigned long long)s.node.divergence_peer,
		   s.node.is_sealed ? "true" : "false");
	buf_json(&out, str_of(s.node.seal_key));
	buf_printf(&out,
		   ",\"other_segments\":%llu,\"is_formed\":%s,\"waits_for\":",
		   (unsigned long long)s.node.other_segments,
		   s.node.is_formed ? "true" : "false");
	buf_json(&out, str_of(s.node.waits_for));
	buf_c(&out, ',');
	add_members(&out, store_of(r), s.node.leader_id);
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

void get_cluster_leader(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct store_status s;

	store_status(store_of(r), &s);
	if (!s.node.leader_id) {
		api_fail(r, E_UNAVAILABLE, "no leader is known to node %llu",
			 (unsigned long long)s.node.node_id);
		return;
	}
	buf_printf(&out, "{\"leader_id\":%llu,\"term\":%llu}",
		   (unsigned long long)s.node.leader_id,
		   (unsigned long long)s.node.term);
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- changes ---- */

/* Outlives a connection that ends before it is done. */
struct member_change {
	struct store_members members;
	struct request *r;               /* NULL: the connection ended */
	char address[272];
};

/* request.data while it is under way: leads to it, for on_gone. */
struct under_way {
	struct caller caller;
	struct member_change *change;
};

static void change_gone(struct request *r)
{
	struct under_way *u = (struct under_way *)caller_of(r);

	u->change->r = NULL;
}

static void change_done_here(struct store_members *m, enum code rc,
			     const struct err *err)
{
	struct member_change *c = container_of(m, struct member_change, members);
	struct request *r = c->r;

	if (r) {
		r->on_gone = NULL;
		if (rc)
			api_error(r, err);
		else
			get_cluster_status(r);
	}
	free(c);
}

static void change(struct request *r, enum store_member_what what, uint64_t id,
		   struct str address, bool force)
{
	struct member_change *c = NEW(struct member_change);
	struct under_way *u = ANEW(r->arena, struct under_way);
	struct store *store = store_of(r);
	const struct caller *caller = caller_of(r);
	const struct str *reason = request_header(r, "x-conflux-reason");

	c->r = r;
	if (!str_copy(c->address, sizeof(c->address), address)) {
		free(c);
		api_fail(r, E_INVALID, "the address is too long");
		return;
	}
	c->members = (struct store_members){ .home = r->loop, .what = what,
					     .id = id, .address = c->address,
					     .force = force,
					     .done = change_done_here };
	c->members.who = (struct store_who){ .subject = caller->subject,
					     .credential = caller->credential,
					     .origin = str_of(r->peer->text),
					     .reason = reason ? *reason :
								STR_NONE };
	memcpy(c->members.who.trace, r->trace, sizeof(r->trace));
	u->caller = *caller_of(r);
	u->change = c;
	r->data = &u->caller;
	r->on_gone = change_gone;
	if (store_members_change(store, &c->members))
		return;
	r->on_gone = NULL;
	free(c);
	api_fail(r, E_UNAVAILABLE, "the node is stopping");
}

static bool node_id(struct request *r, struct str text, uint64_t *id)
{
	if (str_u64(text, id) && *id > 0 && *id <= 65535)
		return true;
	api_fail(r, E_INVALID, "\"%.*s\" is no node id (1 to 65535)",
		 STR_ARG(text));
	return false;
}

static bool id_of_body(struct request *r, const struct value *body, uint64_t *id)
{
	if (value_to_u64(value_getz(body, "id"), id) && *id > 0 && *id <= 65535)
		return true;
	api_fail(r, E_INVALID, "id is a number of 1 to 65535");
	return false;
}

void post_cluster_node(struct request *r)
{
	static const struct body_member members[] = {
		{ "id", VALUE_NUMBER, true },
		{ "address", VALUE_STRING, true },
	};
	struct value *body;
	uint64_t id;

	if (API_BODY_OF(r, members, &body) && id_of_body(r, body, &id))
		change(r, STORE_MEMBER_ADD, id, value_text_at(body, "address"),
		       false);
}

static void change_named(struct request *r, enum store_member_what what)
{
	const struct str *q = request_query(r, "force");
	bool force = false;
	uint64_t id;

	if (q && !str_bool(*q, &force))
		api_fail(r, E_INVALID, "force= is true or false");
	else if (node_id(r, r->in->args[0], &id))
		change(r, what, id, STR_NONE, force);
}

void post_cluster_promote(struct request *r)
{
	change_named(r, STORE_MEMBER_PROMOTE);
}

void post_cluster_demote(struct request *r)
{
	change_named(r, STORE_MEMBER_DEMOTE);
}

void delete_cluster_node(struct request *r)
{
	change_named(r, STORE_MEMBER_REMOVE);
}

void post_cluster_transfer(struct request *r)
{
	static const struct body_member members[] = {
		{ "id", VALUE_NUMBER, true },
	};
	struct value *body;
	uint64_t id;

	if (API_BODY_OF(r, members, &body) && id_of_body(r, body, &id))
		change(r, STORE_MEMBER_LEAD, id, STR_NONE, false);
}

/* ---- a cluster that is not formed ---- */

struct initializing {
	struct store_initialize initialize;
	struct request *r;              /* NULL: the connection ended */
};

struct beginning {
	struct caller caller;
	struct initializing *at;
};

static void initialize_gone(struct request *r)
{
	struct beginning *b = (struct beginning *)caller_of(r);

	b->at->r = NULL;
}

static void initialized(struct store_initialize *i, enum code rc,
			const struct err *err)
{
	struct initializing *x = container_of(i, struct initializing, initialize);
	struct request *r = x->r;

	if (r) {
		r->on_gone = NULL;
		if (rc)
			api_error(r, err);
		else
			answer(r, 202, "application/json",
			       STR("{\"accepted\":true}\n"));
	}
	free(x);
}

/* Who sends one of these speaks for somebody else: a proxy for its client, a
 * browser for a page. */
static const char *const go_between[] = {
	"forwarded", "via", "x-forwarded-for", "x-real-ip", "origin",
};

/* There is no token before there is a cluster; so it is the machine that counts:
 * whoever is on it could as well start the node with another setting. */
static bool may_initialize(struct request *r)
{
	bool is_own = r->peer->is_own;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(go_between); i++)
		is_own = is_own && !request_header(r, go_between[i]);
	if (is_own)
		return true;
	err_set(&err, E_DENIED, "a cluster is initialized from a node's own machine "
		"alone, and not from %s", r->peer->host);
	err_hint(&err, "run conflux cluster initialize on the machine of the node, "
		 "as by kubectl exec, and without a proxy");
	store_denied_from(store_of(r), r->peer->host, STR("initialize, denied"));
	api_error(r, &err);
	return false;
}

void post_cluster_initialize(struct request *r)
{
	const struct str *q = request_query(r, "expect");
	struct store *store = store_of(r);
	struct initializing *x;
	struct beginning *b;
	uint64_t expect = 0;

	if (!may_initialize(r))
		return;
	if (q && (!str_u64(*q, &expect) || expect > 16)) {
		api_fail(r, E_INVALID, "expect= is how many nodes found the cluster, "
			 "at most 16");
		return;
	}
	x = NEW(struct initializing);
	x->r = r;
	x->initialize = (struct store_initialize){ .home = r->loop,
						   .expect = (unsigned)expect,
						   .who.origin =
							   str_of(r->peer->text),
						   .done = initialized };
	memcpy(x->initialize.who.trace, r->trace, sizeof(r->trace));
	b = ANEW(r->arena, struct beginning);
	b->caller = *caller_of(r);
	b->at = x;
	r->data = &b->caller;
	r->on_gone = initialize_gone;
	if (store_initialize(store, &x->initialize))
		return;
	r->on_gone = NULL;
	free(x);
	api_fail(r, E_UNAVAILABLE, "the node is stopping");
}
