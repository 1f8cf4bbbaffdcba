/*
 * Changes of who is in the cluster, asked for at any node and made at the one
 * that leads.
 */
#include "base/mem.h"
#include "io/addr.h"
#include "store/own.h"
#include "wire/wire.h"

#include "base/banned.h"

/* A member that is promoted has to be caught up, and one that takes over has to
 * win a vote. */
#define MEMBERS_MS 30000

/* ---- asking ---- */

static void told_home(struct msg *msg)
{
	struct store_members *m = container_of(msg, struct store_members, msg_);

	buf_fini(&m->body_);
	m->done(m, m->rc_, &m->err_);
}

static void answered(struct rc_call *call, enum code rc, struct str answer,
		     const struct err *err)
{
	struct store_members *m = container_of(call, struct store_members, call_);

	m->rc_ = rc;
	if (rc)
		err_copy(&m->err_, err);
	m->msg_.run = told_home;
	loop_post_sure(m->home, &m->msg_);
}

bool store_members_change(struct store *s, struct store_members *m)
{
	if (atomic_load(&s->is_stopping))
		return false;
	m->body_ = BUF_NONE;
	wr_u8(&m->body_, (uint8_t)m->what);
	wr_var(&m->body_, m->id);
	wr_str(&m->body_, str_of(m->address));
	wr_u8(&m->body_, m->force);
	m->call_ = (struct rc_call){ .peer = RC_LEADER,
				     .method = STORE_METHOD_MEMBERS,
				     .body = buf_view(&m->body_),
				     .timeout_ms = MEMBERS_MS, .answer_max = 16,
				     .done = answered };
	if (rc_call(s->node, &m->call_))
		return true;
	buf_fini(&m->body_);
	return false;
}

static void initialized_home(struct msg *msg)
{
	struct store_initialize *i = container_of(msg, struct store_initialize,
						  msg_);

	i->done(i, i->rc_, &i->err_);
}

static void initialized(struct rc_initialize *done, enum code rc,
			const struct err *err)
{
	struct store_initialize *i = container_of(done, struct store_initialize,
						  rc_initialize_);

	i->rc_ = rc;
	if (rc)
		err_copy(&i->err_, err);
	i->msg_.run = initialized_home;
	loop_post_sure(i->home, &i->msg_);
}

bool store_initialize(struct store *s, struct store_initialize *i)
{
	i->rc_initialize_ = (struct rc_initialize){ i->expect, initialized };
	return !atomic_load(&s->is_stopping) &&
	       rc_initialize(s->node, &i->rc_initialize_);
}

enum code store_tls_reload(struct store *s, struct err *err)
{
	return rc_tls_reload(s->node, err);
}

size_t store_members_get(struct store *s, struct rc_peer *out, size_t cap)
{
	return rc_peers(s->node, out, cap);
}

/* ---- as the leader ---- */

struct making {
	struct rc_change change;
	struct rc_transfer transfer;
	struct store *store;
	struct rpc_token token;
	char address[272];
};

static void finish(struct making *v, enum code rc, const struct err *err)
{
	rc_answer(v->store->node, v->token, rc, STR_NONE, err);
	free(v);
}

static void changed(struct rc_change *change, enum code rc,
		    const struct err *err)
{
	finish(container_of(change, struct making, change), rc, err);
}

static void transferred(struct rc_transfer *transfer, enum code rc,
			const struct err *err)
{
	finish(container_of(transfer, struct making, transfer), rc, err);
}

/* Before the log has it: a member at no address is one that never comes. */
static enum code check_add(struct store *s, const char *address, struct err *err)
{
	char host[ADDR_HOST_MAX];
	uint16_t port = 0;
	enum code rc;

	if (!s->config.cluster.listen) {
		err_set(err, E_CONFLICT, "this node is alone: no other can reach "
			"it");
		return err_hint(err, "start it with --raft-listen and --peers");
	}
	rc = addr_split(str_of(address), host, &port, err);
	if (rc == OK && port == 0)
		rc = err_set(err, E_INVALID, "address \"%s\": port 0 is none",
			     address);
	return rc;
}

/* '*leads': it does already. */
static enum code check_lead(struct store *s, uint64_t id, bool *leads,
			    struct err *err)
{
	struct rc_peer peers[64];
	size_t n = rc_peers(s->node, peers, ARRAY_LEN(peers));

	*leads = id == MAX(s->config.cluster.node_id, (uint64_t)1) &&
		 atomic_load(&s->is_leader);
	for (size_t i = 0; i < MIN(n, ARRAY_LEN(peers)); i++) {
		if (peers[i].id != id)
			continue;
		if (peers[i].votes)
			return OK;
		err_set(err, E_CONFLICT, "node %llu has no vote, so it cannot "
			"lead", (unsigned long long)id);
		return err_hint(err, "promote it first");
	}
	err_set(err, E_NOT_FOUND, "node %llu is no member",
		(unsigned long long)id);
	return err_hint(err, "conflux cluster status shows who is");
}

static enum code check(struct store *s, enum store_member_what what, uint64_t id,
		       const char *address, bool *is_so, struct err *err)
{
	*is_so = false;
	if (what == STORE_MEMBER_ADD)
		return check_add(s, address, err);
	if (what == STORE_MEMBER_LEAD && atomic_load(&s->is_leader))
		return check_lead(s, id, is_so, err);
	return OK;
}

static bool begin(struct store *s, struct making *v, enum store_member_what what,
		  uint64_t id, bool force)
{
	static const enum rc_change_type types[] = {
		[STORE_MEMBER_ADD] = RC_ADD,
		[STORE_MEMBER_PROMOTE] = RC_PROMOTE,
		[STORE_MEMBER_DEMOTE] = RC_DEMOTE,
		[STORE_MEMBER_REMOVE] = RC_REMOVE,
	};

	if (what == STORE_MEMBER_LEAD) {
		v->transfer = (struct rc_transfer){ .id = id,
						    .done = transferred };
		return rc_transfer(s->node, &v->transfer);
	}
	v->change = (struct rc_change){ .type = types[what], .id = id,
					.address = v->address, .force = force,
					.done = changed };
	return rc_change(s->node, &v->change);
}

void members_serve(void *data, const struct rc_request *request)
{
	struct store *s = data;
	struct rd rd = rd_of(request->body);
	uint8_t what = rd_u8(&rd);
	uint64_t id = rd_var(&rd);
	struct str address = rd_str(&rd);
	bool force = rd_u8(&rd);
	struct making *v = NEW(struct making);
	struct err err = { 0 };
	bool is_so;

	v->store = s;
	v->token = request->token;
	if (!rd_done(&rd) || what > STORE_MEMBER_LEAD ||
	    !str_copy(v->address, sizeof(v->address), address)) {
		err_set(&err, E_INVALID, "a malformed question about members");
		finish(v, E_INVALID, &err);
	} else if (check(s, (enum store_member_what)what, id, v->address, &is_so,
			 &err) || is_so) {
		finish(v, err.code, &err);
	} else if (!begin(s, v, (enum store_member_what)what, id, force)) {
		err_set(&err, E_UNAVAILABLE, "the node is stopping");
		finish(v, E_UNAVAILABLE, &err);
	}
}
