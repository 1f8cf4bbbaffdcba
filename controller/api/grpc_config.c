/*
 * conflux.v1.ConfigService and ManagementService: what fetch.c and mgt.c do, as
 * gRPC messages.
 */
#include "api/follow.h"
#include "api/gate.h"
#include "api/grpc_content.h"
#include "base/mem.h"
#include "gen/proto/conflux.pb-c.h"

#include "base/banned.h"

/* Of a message without content, and beside it. */
#define SMALL_MAX (64 * 1024)
#define ACKNOWLEDGE_MAX (1024 * 1024)

/* Text of ours in a field that protobuf-c does not declare const. */
static char *text_of(struct str s)
{
	return s.p ? (char *)(uintptr_t)s.p : (char *)protobuf_c_empty_string;
}

static bool fail(struct grpc_call *call, enum code code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	grpc_fail(call, &err);
	return false;
}

/* ---- who asks ---- */

bool grpc_client(struct grpc_call *call, const struct grpc_label *const *given,
		 size_t n, struct client *out)
{
	struct request *r = grpc_request(call);
	struct err err = { 0 };

	if (!api_client(r, out))
		return false;
	for (size_t i = 0; i < n && !err.code; i++) {
		struct str key = str_of(given[i]->key);
		struct str value = str_of(given[i]->value);

		if (label_check(key, value, &err) == OK &&
		    !labels_set(r->arena, &out->labels, key, value))
			err_set(&err, E_INVALID, "more than %d labels",
				LABELS_MAX);
	}
	if (!err.code)
		return true;
	grpc_fail(call, &err);
	return false;
}

/* ---- fetch ---- */

struct fetching {
	const Conflux__V1__FetchConfigRequest *q;
	struct address at;
	struct client client;
	struct grpc_content *content;    /* that the answer goes on with, or NULL */
};

static void fetch_gone(struct grpc_call *call)
{
	struct fetching *f = grpc_data(call);

	grpc_content_free(&f->content);
}

static void fetch_go_on(struct grpc_call *call)
{
	struct fetching *f = grpc_data(call);
	bool whole;
	struct err err;
	enum code rc = grpc_content_go(f->content, &whole, &err);

	if (rc == OK && !whole)
		return;
	grpc_content_free(&f->content);
	if (rc)
		grpc_fail(call, &err);
	else
		grpc_end(call);
}

/* What is more than a chunk goes as the client takes it; false: it is not there. */
static bool send_large(struct grpc_call *call, struct kv_txn *txn, struct fetching *f,
		       const struct config_view *v, const ProtobufCMessage *m)
{
	AUTO_BUF out = BUF_NONE;

	f->content = grpc_content_new(call, txn, m, f->at.tenant, &v->rule.sha,
				      v->rule.size, &out);
	if (!f->content)
		return false;
	grpc_set(call, f, fetch_gone);
	grpc_on_drain(call, fetch_go_on);
	grpc_send_frames(call, buf_view(&out));
	fetch_go_on(call);
	return true;
}

static void answer_config(struct grpc_call *call, struct kv_txn *txn,
			  struct fetching *f, const struct config_view *v)
{
	Conflux__V1__FetchConfigResponse m = CONFLUX__V1__FETCH_CONFIG_RESPONSE__INIT;
	struct str sha = str_n(v->rule.sha.b, sizeof(v->rule.sha.b));
	char signature[SIGNATURE_TEXT_MAX], release[RELEASE_NAME_MAX];
	struct str one;
	struct err err;

	m.address = f->q->address;
	m.version = v->rule.version;
	m.sha256 = (ProtobufCBinaryData){ sha.n, (uint8_t *)(uintptr_t)sha.p };
	m.size = v->rule.size;
	m.revision = v->live.rev;
	m.rule = v->position;
	m.format = text_of(arena_str(grpc_request(call)->arena, v->live.format));
	if (f->q->want_signature &&
	    api_sign(caller_of(grpc_request(call))->at, &f->at,
		     v->rule.version, &v->rule.sha, signature))
		m.signature = signature;
	if (v->rule.release) {
		release_name(release, v->rule.release);
		m.release = release;
	}
	instance_fetched(caller_of(grpc_request(call))->at->api, f->client.id,
			 &f->at, &v->rule);
	m.not_modified = str_eq(sha, str_n(f->q->if_not_sha256.data,
					   f->q->if_not_sha256.len));
	if (!m.not_modified && v->rule.size > BLOB_CHUNK &&
	    send_large(call, txn, f, v, &m.base))
		return;
	if (!m.not_modified) {
		/* From the map into the frame. */
		if (view_chunk(txn, f->at.tenant, &v->rule.sha, 0, &one, &err)) {
			grpc_fail(call, &err);
			return;
		}
		m.content = (ProtobufCBinaryData){
			one.n, (uint8_t *)(uintptr_t)one.p };
	}
	grpc_reply(call, &m.base);
}

static void fetch_here(struct request *r)
{
	struct grpc_call *call = grpc_call_of(r);
	struct fetching *f = grpc_data(call);
	struct config_view v;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (view_config(txn, &f->at, &f->client, &v, &err))
		grpc_fail(call, &err);
	else
		answer_config(call, txn, f, &v);
}

static void fetch(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Conflux__V1__FetchConfigRequest *q = (const void *)m;
	struct request *r = grpc_request(call);
	struct fetching *f = ANEW(r->arena, struct fetching);
	struct err err;

	f->q = q;
	if (grpc_address(q->address, &f->at, &err)) {
		grpc_fail(call, &err);
		return;
	}
	if (q->if_not_sha256.len && q->if_not_sha256.len != 32) {
		fail(call, E_INVALID, "if_not_sha256 has 32 bytes");
		return;
	}
	if (!api_may(r, VERB_FETCH, KIND_CONFIG, f->at.tenant, f->at.name) ||
	    !grpc_client(call, GRPC_LABELS(q), &f->client))
		return;
	grpc_set(call, f, NULL);
	api_when(r, q->min_revision, q->linearizable, fetch_here);
}

void grpc_fetch_config(struct request *r)
{
	static const struct grpc_method method = {
		.request = &conflux__v1__fetch_config_request__descriptor,
		.message = fetch, .bytes_max = SMALL_MAX,
	};

	grpc_serve(r, &method);
}

/* ---- acknowledgements ---- */

static enum code ack_of(struct arena *arena,
			const Conflux__V1__Acknowledgement *a, struct str instance,
			struct ack *out, struct err *err)
{
	static const enum ack_state states[] = {
		[CONFLUX__V1__ACKNOWLEDGEMENT__STATE__RECEIVED] = ACK_RECEIVED,
		[CONFLUX__V1__ACKNOWLEDGEMENT__STATE__APPLIED] = ACK_APPLIED,
		[CONFLUX__V1__ACKNOWLEDGEMENT__STATE__REJECTED] = ACK_REJECTED,
	};
	AUTO_BUF key = BUF_NONE;
	struct address at;
	enum code rc = grpc_address(a->address, &at, err);

	if (rc)
		return rc;
	if (a->state < 1 || a->state >= (int)ARRAY_LEN(states))
		return err_set(err, E_INVALID, "state is RECEIVED, APPLIED or "
			       "REJECTED");
	if (a->sha256.len != sizeof(out->sha.b))
		return err_set(err, E_INVALID, "sha256 has 32 bytes");
	address_text(&key, &at);
	*out = (struct ack){
		.instance = instance, .key = arena_str(arena, buf_view(&key)),
		.version = a->version, .state = states[a->state],
		.reason = str_of(a->reason), .release = str_of(a->release),
	};
	memcpy(out->sha.b, a->sha256.data, sizeof(out->sha.b));
	return ack_check(out, err);
}

static void acknowledge(struct grpc_call *call, const ProtobufCMessage *m)
{
	Conflux__V1__AcknowledgeResponse answer =
		CONFLUX__V1__ACKNOWLEDGE_RESPONSE__INIT;
	const Conflux__V1__AcknowledgeRequest *q = (const void *)m;
	struct request *r = grpc_request(call);
	size_t n = q->n_acknowledgements, taken;
	struct ack *all;
	struct err err;

	if (n > ACKS_A_REQUEST) {
		fail(call, E_INVALID, "more than 1000 acknowledgements");
		return;
	}
	all = arena_alloc(r->arena, (n + 1) * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		if (ack_of(r->arena, q->acknowledgements[i],
			   str_of(q->instance), &all[i], &err)) {
			err_wrap(&err, "acknowledgement %zu", i + 1);
			grpc_fail(call, &err);
			return;
		}
	if (!instances_take(r, all, n, &taken))
		return;
	answer.taken = (uint32_t)taken;
	answer.unknown = (uint32_t)(n - taken);
	grpc_reply(call, &answer.base);
}

void grpc_acknowledge(struct request *r)
{
	static const struct grpc_method method = {
		.request = &conflux__v1__acknowledge_request__descriptor,
		.message = acknowledge, .bytes_max = ACKNOWLEDGE_MAX,
	};

	grpc_serve(r, &method);
}

/* ---- writes ---- */

/* The configuration that is written; false: answered. */
static bool find(struct grpc_call *call, const Conflux__V1__Address *address,
		 enum verb verb, struct object_view *o)
{
	struct request *r = grpc_request(call);
	struct address at;
	struct kv_txn *txn;
	struct err err;

	if (grpc_address(address, &at, &err)) {
		grpc_fail(call, &err);
		return false;
	}
	if (!api_may(r, verb, KIND_CONFIG, at.tenant, at.name) ||
	    !api_view(r, &txn))
		return false;
	if (view_at(txn, &at, o, &err) == OK)
		/* Permission may name objects by their own name. */
		return api_may(r, verb, KIND_CONFIG, o->tenant, o->name);
	grpc_fail(call, &err);
	return false;
}

static struct change *start(struct grpc_call *call, const char *key,
			    const char *reason, change_done *done)
{
	struct request *r = grpc_request(call);
	struct change *ch = change_new(r, done);

	change_set_key(ch, r, str_of(key));
	return change_take_reason(r, ch, str_of(reason)) ? ch : NULL;
}

/* What is written, until it is; then what was done. */
struct writing {
	struct uuid uid;
	uint32_t version;                /* that was asked for, or 0 */
	char id[37];
	uint64_t rev;
};

static void keep(struct change *ch, const struct object_view *o,
		 uint32_t version)
{
	struct writing *w = ANEW(ch->arena, struct writing);

	w->uid = o->row.uid;
	w->version = version;
	ch->data = w;
}

static const struct writing *written(const struct change *ch,
				     const struct outcome *o)
{
	struct writing *w = ch->data;

	uuid_text(w->id, w->uid);
	for (size_t i = 0; i < o->n_results; i++)
		if (o->results[i].version)
			w->version = o->results[i].version;
	w->rev = change_revision(o);
	return w;
}

static void published(struct change *ch, struct request *r,
		      const struct outcome *o)
{
	Conflux__V1__PublishResponse m = CONFLUX__V1__PUBLISH_RESPONSE__INIT;
	const struct writing *w = written(ch, o);
	struct proposed p;

	m.id = (char *)(uintptr_t)w->id;
	m.version = w->version;
	m.revision = w->rev;
	if (o->proposal[0]) {
		proposed_of(ch, r, o, &p);
		m.version = outcome_waits(o) ? 0 : m.version;
		m.proposal_id = arena_z(r->arena, p.id);
		m.approval_status = arena_z(r->arena, p.phase);
		m.approval_dashboard_url = arena_z(r->arena, p.url);
	}
	grpc_reply(grpc_call_of(r), &m.base);
}

static void publish(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Conflux__V1__PublishRequest *q = (const void *)m;
	bool has_content =
		q->what_case == CONFLUX__V1__PUBLISH_REQUEST__WHAT_CONTENT;
	struct str content = has_content ?
		str_n(q->content.data, q->content.len) : STR_NONE;
	struct request *r = grpc_request(call);
	uint64_t expect = q->expected_revision;
	struct object_view o;
	struct change *ch;

	if (!has_content &&
	    (q->what_case != CONFLUX__V1__PUBLISH_REQUEST__WHAT_VERSION ||
	     q->version == 0)) {
		fail(call, E_INVALID, "give content, or version, from 1");
		return;
	}
	if (!find(call, q->address, VERB_PUBLISH, &o) ||
	    (has_content && !config_content_is_good(r, &o, content)))
		return;
	ch = start(call, q->idempotency_key, q->reason, published);
	if (!ch)
		return;
	keep(ch, &o, has_content ? 0 : q->version);
	if (q->take_over)
		ch->cmd.flags |= COMMAND_TAKE_OVER;
	if (has_content)
		config_add_content(ch, &o, content, str_of(q->reason), true,
				   expect);
	else if (!config_release(r, ch, &o, q->version, expect)) {
		change_cancel(ch);
		return;
	}
	change_submit(ch);
}

void grpc_publish(struct request *r)
{
	static const struct grpc_method method = {
		.request = &conflux__v1__publish_request__descriptor,
		.message = publish,
		.bytes_max = CONTENT_BYTES_MAX + SMALL_MAX,
	};

	grpc_serve(r, &method);
}

static void rolled_back(struct change *ch, struct request *r,
			const struct outcome *o)
{
	Conflux__V1__RollbackResponse m = CONFLUX__V1__ROLLBACK_RESPONSE__INIT;
	const struct writing *w = written(ch, o);
	struct proposed p;

	m.id = (char *)(uintptr_t)w->id;
	m.version = w->version;
	m.revision = w->rev;
	if (o->proposal[0]) {
		proposed_of(ch, r, o, &p);
		m.version = outcome_waits(o) ? 0 : m.version;
		m.proposal_id = arena_z(r->arena, p.id);
		m.approval_status = arena_z(r->arena, p.phase);
		m.approval_dashboard_url = arena_z(r->arena, p.url);
	}
	grpc_reply(grpc_call_of(r), &m.base);
}

static bool mode_of(Conflux__V1__RollbackRequest__Mode mode, unsigned *out)
{
	switch (mode) {
	case CONFLUX__V1__ROLLBACK_REQUEST__MODE__STABLE_ONLY:
		*out = ROLLBACK_STABLE_ONLY;
		return true;
	case CONFLUX__V1__ROLLBACK_REQUEST__MODE__EMERGENCY:
		*out = ROLLBACK_EMERGENCY;
		return true;
	default:
		return false;
	}
}

static void roll_back(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Conflux__V1__RollbackRequest *q = (const void *)m;
	struct object_view o;
	struct change *ch;
	struct op *op;
	unsigned mode;

	if (!mode_of(q->mode, &mode)) {
		fail(call, E_INVALID, "mode is STABLE_ONLY or EMERGENCY");
		return;
	}
	if (!find(call, q->address, VERB_ROLLBACK, &o))
		return;
	ch = start(call, q->idempotency_key, q->reason, rolled_back);
	if (!ch)
		return;
	keep(ch, &o, 0);
	op = config_op(ch, OP_ROLLBACK, &o, q->expected_revision);
	op->mode = mode;
	op->version = q->version;
	op->message = ch->cmd.reason;
	change_submit(ch);
}

void grpc_rollback(struct request *r)
{
	static const struct grpc_method method = {
		.request = &conflux__v1__rollback_request__descriptor,
		.message = roll_back, .bytes_max = SMALL_MAX,
	};

	grpc_serve(r, &method);
}
