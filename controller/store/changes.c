/*
 * Changes of who is in the cluster and who leads, made at the node that leads, and
 * what the audit log says of them (docs/decisions/0016):
 *
 *	asked for -> (the record of it is in the log) -> made -> what came of it
 *
 * Without the first record nothing is done.  Where nobody can say what came of it,
 * because this node lost its leadership or its life, the change stays open in the
 * state, and whoever leads then looks at the membership and says what it found.
 *
 * Below cluster version VERSION_MEMBERS there are no records.  Core loop.
 */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/addr.h"
#include "store/own.h"
#include "store/wish.h"

#include "base/banned.h"

#define ULL(x) ((unsigned long long)(x))

static const enum member_what members_of[] = {
	[STORE_MEMBER_ADD] = MEMBER_ADD,
	[STORE_MEMBER_PROMOTE] = MEMBER_PROMOTE,
	[STORE_MEMBER_DEMOTE] = MEMBER_DEMOTE,
	[STORE_MEMBER_REMOVE] = MEMBER_REMOVE,
	[STORE_MEMBER_LEAD] = MEMBER_LEAD,
};

/* One that is under way. */
struct making {
	struct list at_;                 /* of store.changes */
	struct store *store;
	struct rpc_token token;
	struct rc_change change;
	struct rc_transfer transfer;
	enum store_member_what what;
	uint64_t node;
	char address[272];
	bool force;
	struct store_who who;            /* its strings are in 'arena' */
	struct arena *arena;
	struct uuid uid;
	struct store_write write;        /* of a record */
	struct buf bytes;
	/* What came of the change, while that is written down. */
	enum code rc;
	struct err err;
};

/* ---- records ---- */

static bool has_records(struct store *s)
{
	return state_head(s->state)->version >= VERSION_MEMBERS;
}

/* Each stage of a change is written once, however often it is sent. */
static void identify(struct command *c, const struct op *op)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "members ");
	wr_raw(&b, op->uid.b, sizeof(op->uid.b));
	wr_u8(&b, (uint8_t)op->stage);
	c->id = c->body = sha256_of(buf_view(&b));
}

/* 'bytes' stays until 'done' ran. */
static void submit_record(struct store *s, struct arena *arena,
			  const struct store_who *who, const struct op *op,
			  struct buf *bytes, struct store_write *w,
			  store_done *done)
{
	struct command c = { .type = COMMAND_OPS, .time_ms = store_wall_ms(s),
			     .subject = who->subject,
			     .credential = who->credential,
			     .origin = who->origin, .reason = who->reason };

	memcpy(c.trace, who->trace, sizeof(c.trace));
	*command_op(arena, &c, OP_MEMBERS) = *op;
	identify(&c, op);
	buf_reset(bytes);
	command_encode(bytes, &c);
	*w = (struct store_write){ .home = s->core, .bytes = buf_view(bytes),
				   .done = done };
	submit_on_core(s, w);
}

/* As much of a text as a record takes. */
static struct str text_of(struct arena *arena, const struct err *err)
{
	struct str text = arena_printf(arena, "%s: %s", code_slug(err->code),
				       err->text);

	text = str_first(text, MEMBER_TEXT_MAX);
	while (!str_is_utf8(text))
		text.n--;
	return text;
}

static void record(struct making *v, enum member_stage stage, bool is_done,
		   struct str text, store_done *done)
{
	struct op op = { .type = OP_MEMBERS, .stage = stage, .uid = v->uid,
			 .member = members_of[v->what], .node = v->node,
			 .name = str_of(v->address), .force = v->force,
			 .is_done = is_done, .message = text };

	submit_record(v->store, v->arena, &v->who, &op, &v->bytes, &v->write,
		      done);
}

/* ---- the end ---- */

static void making_end(struct making *v)
{
	rc_answer(v->store->node, v->token, v->rc, STR_NONE,
		  v->rc ? &v->err : NULL);
	list_remove(&v->at_);
	arena_free(&v->arena);
	buf_fini(&v->bytes);
	free(v);
}

static void recorded(struct store_write *w, const struct outcome *o)
{
	struct making *v = container_of(w, struct making, write);

	if (o->code)
		log_warn(PART, LOG_KV(log_u("node", v->node),
				      log_z("why", o->text)),
			 "a change of the membership was made, and what came of "
			 "it is not in the audit log yet");
	making_end(v);
}

static void finish(struct making *v, enum member_stage stage, enum code rc,
		   const struct err *err, struct str text)
{
	v->rc = rc;
	if (rc)
		err_copy(&v->err, err);
	/* Who leads next looks at what there is. */
	if (!has_records(v->store) ||
	    (stage == MEMBER_ENDED && rc == E_UNCERTAIN))
		making_end(v);
	else
		record(v, stage, rc == OK, rc ? text_of(v->arena, err) : text,
		       recorded);
}

static void made(struct making *v, enum code rc, const struct err *err)
{
	struct err own;

	if (failpoint_hit(FP_MEMBER_MADE, &own)) {
		rc = E_UNCERTAIN;
		err = &own;
	}
	finish(v, MEMBER_ENDED, rc, err, STR_NONE);
}

static void refuse(struct making *v, const struct err *err)
{
	finish(v, MEMBER_NOTED, err->code, err, STR_NONE);
}

/* ---- the change ---- */

static void changed(struct rc_change *change, enum code rc,
		    const struct err *err)
{
	made(container_of(change, struct making, change), rc, err);
}

static void transferred(struct rc_transfer *transfer, enum code rc,
			const struct err *err)
{
	made(container_of(transfer, struct making, transfer), rc, err);
}

static bool begin(struct making *v)
{
	static const enum rc_change_type types[] = {
		[STORE_MEMBER_ADD] = RC_ADD,
		[STORE_MEMBER_PROMOTE] = RC_PROMOTE,
		[STORE_MEMBER_DEMOTE] = RC_DEMOTE,
		[STORE_MEMBER_REMOVE] = RC_REMOVE,
	};
	struct rc_node *node = v->store->node;

	if (v->what == STORE_MEMBER_LEAD) {
		v->transfer = (struct rc_transfer){ .id = v->node,
						    .done = transferred };
		return rc_transfer(node, &v->transfer);
	}
	v->change = (struct rc_change){ .type = types[v->what], .id = v->node,
					.address = v->address,
					.force = v->force, .done = changed };
	return rc_change(node, &v->change);
}

static void begin_or_end(struct making *v)
{
	struct err err;

	if (failpoint_hit(FP_MEMBER_ASKED, &err)) {
		made(v, E_UNCERTAIN, &err);
		return;
	}
	if (begin(v))
		return;
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	made(v, E_UNAVAILABLE, &err);
}

static void asked(struct store_write *w, const struct outcome *o)
{
	struct making *v = container_of(w, struct making, write);

	if (o->code == OK) {
		begin_or_end(v);
		return;
	}
	v->rc = o->code == E_BUSY ? E_BUSY : E_UNAVAILABLE;
	err_set(&v->err, v->rc, "nothing was changed, because who asks for it "
		"could not be written to the audit log: %s", o->text);
	err_hint(&v->err, "try again");
	making_end(v);
}

/* ---- what is refused before it is asked for ---- */

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
	struct rc_peer peers[STORE_MEMBERS_MAX];
	size_t n = rc_peers(s->node, peers, ARRAY_LEN(peers));

	*leads = id == MAX(s->config.cluster.node_id, (uint64_t)1);
	for (size_t i = 0; i < MIN(n, ARRAY_LEN(peers)); i++) {
		if (peers[i].id != id)
			continue;
		if (peers[i].votes)
			return OK;
		err_set(err, E_CONFLICT, "node %llu has no vote, so it cannot "
			"lead", ULL(id));
		return err_hint(err, "promote it first");
	}
	err_set(err, E_NOT_FOUND, "node %llu is no member", ULL(id));
	return err_hint(err, "conflux cluster status shows who is");
}

static enum code check(const struct making *v, bool *is_so, struct err *err)
{
	struct store *s = v->store;

	*is_so = false;
	if (v->what == STORE_MEMBER_ADD)
		return check_add(s, v->address, err);
	if (v->what == STORE_MEMBER_LEAD)
		return check_lead(s, v->node, is_so, err);
	return OK;
}

/* ---- the door ---- */

static void keep_who(struct making *v, const struct store_who *who)
{
	v->who = *who;
	v->who.subject.name = arena_str(v->arena, who->subject.name);
	v->who.subject.tenant = arena_str(v->arena, who->subject.tenant);
	v->who.credential = arena_str(v->arena, who->credential);
	v->who.origin = arena_str(v->arena, who->origin);
	v->who.reason = arena_str(v->arena, who->reason);
}

/* Of a version that does not say who asks. */
static void unknown_who(struct making *v, uint64_t peer)
{
	v->who = (struct store_who){
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("unknown"),
		.origin = arena_printf(v->arena, "node %llu", ULL(peer)) };
}

static enum code read_request(struct making *v,
			      const struct rc_request *request, bool has_who)
{
	struct wish wish = { 0 };
	enum code rc = wish_decode(request->body, !has_who, &wish, &v->err);

	if (rc)
		return rc;
	v->what = wish.what;
	v->node = wish.node;
	v->force = wish.force;
	must(str_copy(v->address, sizeof(v->address), wish.address));
	if (has_who)
		keep_who(v, &wish.who);
	else
		unknown_who(v, request->peer);
	return OK;
}

static struct making *making_new(struct store *s, struct rpc_token token)
{
	struct making *v = NEW(struct making);

	v->store = s;
	v->token = token;
	v->uid = uuid_new();
	v->arena = arena_new(1024);
	list_append(&s->changes, &v->at_);
	return v;
}

static void serve(struct store *s, const struct rc_request *request,
		  bool has_who)
{
	struct making *v = making_new(s, request->token);
	bool is_so;

	v->rc = read_request(v, request, has_who);
	if (v->rc == OK && !atomic_load(&s->is_leader))
		v->rc = err_set(&v->err, E_NOT_LEADER, "this node does not lead");
	if (v->rc)
		making_end(v);
	else if (check(v, &is_so, &v->err))
		refuse(v, &v->err);
	else if (is_so)
		finish(v, MEMBER_NOTED, OK, NULL, STR(", it led already"));
	else if (has_records(s))
		record(v, MEMBER_ASKED, false, STR_NONE, asked);
	else
		begin_or_end(v);
}

void change_serve(void *data, const struct rc_request *request)
{
	serve(data, request, true);
}

void members_serve(void *data, const struct rc_request *request)
{
	serve(data, request, false);
}

/* ---- what is in force ---- */

void changes_on_members(struct store *s, const struct rc_event *event)
{
	/* The first is the one that it starts with. */
	atomic_fetch_add(&s->member_changes, s->members_index != 0);
	s->members_index = event->index;
	s->n_members = MIN(event->n_members, (size_t)STORE_MEMBERS_MAX);
	for (size_t i = 0; i < s->n_members; i++)
		s->members[i] = (struct store_member){
			event->members[i].id, event->members[i].votes };
}

/* ---- changes whose leader was lost ---- */

struct finding {
	struct store *store;
	struct rc_read read;
	struct arena *arena;
	struct op op;                    /* that is to be written */
	struct store_write write;
	struct buf bytes;
};

static void finding_end(struct finding *f)
{
	f->store->is_finding = false;
	arena_free(&f->arena);
	buf_fini(&f->bytes);
	free(f);
}

static void found(struct store_write *w, const struct outcome *o)
{
	struct finding *f = container_of(w, struct finding, write);

	if (o->code)
		log_warn(PART, LOG_KV(log_u("node", f->op.node),
				      log_z("why", o->text)),
			 "what came of a change of the membership is not in the "
			 "audit log yet");
	finding_end(f);
}

static struct str what_is(struct store *s, struct arena *arena,
			  const struct op *op)
{
	const char *is = "no member";
	struct rc_status st;

	if (op->member == MEMBER_LEAD) {
		rc_node_status(s->node, &st);
		return arena_printf(arena, "found node %llu leading in term %llu",
				    ULL(st.leader_id), ULL(st.term));
	}
	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i].id == op->node)
			is = s->members[i].votes ? "a voter" : "a learner";
	return arena_printf(arena, "found %s by the membership of entry %llu", is,
			    ULL(s->members_index));
}

/* All of this leader's log that is older than its term is applied here, so what it
 * knows of the membership is what came of it, for good. */
static void looked(struct rc_read *read, enum code rc, const struct err *err)
{
	static const struct store_who us = {
		.subject = { .name = { "system", 6 }, .role = ROLE_SYSTEM },
		.credential = { "none", 4 }, .origin = { "local", 5 } };
	struct finding *f = container_of(read, struct finding, read);
	struct store *s = f->store;

	if (rc || !atomic_load(&s->is_leader) || !s->members_index) {
		finding_end(f);
		return;
	}
	f->op.message = what_is(s, f->arena, &f->op);
	submit_record(s, f->arena, &us, &f->op, &f->bytes, &f->write, found);
}

static bool is_own(struct store *s, const struct uuid *uid)
{
	struct making *v;

	list_each(&s->changes, v, at_)
		if (memcmp(v->uid.b, uid->b, sizeof(uid->b)) == 0)
			return true;
	return false;
}

/* The first that nobody is about to end. */
static void pick(void *data, const struct member_row *row)
{
	struct finding *f = data;

	if (f->op.type || is_own(f->store, &row->change))
		return;
	f->op = (struct op){ .type = OP_MEMBERS, .stage = MEMBER_FOUND,
			     .member = row->what, .uid = row->change,
			     .node = row->node, .force = row->force,
			     .name = arena_str(f->arena, row->address) };
}

void changes_tick(struct store *s)
{
	struct finding *f;

	if (s->is_finding || !has_records(s))
		return;
	f = NEW(struct finding);
	f->store = s;
	f->arena = arena_new(256);
	s->is_finding = true;
	state_open_members(s->state, pick, f);
	f->read = (struct rc_read){ .timeout_ms = (uint32_t)s->config.hold_ms,
				    .done = looked };
	if (!f->op.type || !rc_read(s->node, &f->read))
		finding_end(f);
}
