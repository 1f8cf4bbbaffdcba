/*
 * /api/v1/_config/webhooks: webhooks by shorter routes than those of Kubernetes, with
 * what is not in the object: the key, which is shown once, what waits and what is
 * dead.
 */
#include "api/own.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "hook/event.h"
#include "hook/http_out.h"
#include "hook/sign.h"
#include "state/outbox.h"

#include "base/banned.h"

#define DEAD_MOST 100

static struct store *store_of(const struct request *r)
{
	return caller_of(r)->at->api->config.store;
}

/* ---- how they are shown ---- */

static void put_u64(struct arena *arena, struct value *v, const char *name,
		    uint64_t n)
{
	value_set(arena, v, str_of(name), value_u64(arena, n));
}

static void put_time(struct arena *arena, struct value *v, const char *name,
		     uint64_t ms)
{
	char text[RFC3339_MAX];

	if (!ms)
		return;
	clock_rfc3339(text, ms, false);
	value_set(arena, v, str_of(name), value_str(arena, str_of(text)));
}

static void put_key_facts(struct arena *arena, struct value *v,
			  struct kv_txn *txn, struct uuid uid)
{
	struct hook_key_row key;
	bool has_key = view_hook_key(txn, uid, &key);

	value_setz(arena, v, "has_key", value_bool(arena, has_key));
	if (has_key) {
		put_time(arena, v, "key_made", key.made_ms);
		put_time(arena, v, "key_before_until", key.before_until_ms);
	}
	wipe(&key, sizeof(key));
}

static struct value *hook_value(struct arena *arena, struct kv_txn *txn,
				const struct object_view *o)
{
	struct value *v;
	struct outbox_tally t;
	struct str ready, reason, message;
	struct err err;

	if (doc_parse_json(o->row.spec, arena, NULL, &v, &err) ||
	    v->type != VALUE_OBJECT)
		v = value_object(arena);
	value_setz(arena, v, "tenant", value_str(arena, o->tenant));
	value_setz(arena, v, "name", value_str(arena, o->name));
	put_u64(arena, v, "revision", o->rev);
	put_key_facts(arena, v, txn, o->row.uid);
	view_outbox_tally(txn, o->row.uid, &t);
	put_u64(arena, v, "waiting", t.waiting);
	put_u64(arena, v, "dead", t.dead);
	put_u64(arena, v, "delivered", t.delivered);
	put_u64(arena, v, "lost", t.lost);
	put_time(arena, v, "last_delivered", t.delivered_ms);
	ready = condition_ready(arena, o->row.status, &reason, &message);
	if (ready.n) {
		value_setz(arena, v, "ready", value_bool(arena, str_is(ready, "True")));
		value_setz(arena, v, "reason", value_str(arena, reason));
		value_setz(arena, v, "message", value_str(arena, message));
	}
	return v;
}

struct listing_hooks {
	struct request *r;
	struct kv_txn *txn;
	struct buf out;
	bool more;
};

static bool one_hook(void *data, const struct object_view *o)
{
	struct listing_hooks *l = data;
	AUTO_ARENA arena = arena_new(0);

	if (l->more)
		buf_c(&l->out, ',');
	l->more = true;
	value_json(&l->out, hook_value(arena, l->txn, o));
	return true;
}

void get_hooks(struct request *r)
{
	const struct str *tenant = request_query(r, "tenant");
	struct listing_hooks l = { .r = r };
	struct err err;

	if (!api_may(r, VERB_LIST, KIND_WEBHOOK, tenant ? *tenant : STR_NONE,
		     STR_NONE) || !api_view(r, &l.txn))
		return;
	buf_z(&l.out, "{\"webhooks\":[");
	if (view_list(l.txn, KIND_WEBHOOK, tenant ? *tenant : STR_NONE, STR_NONE,
		      STR_NONE, one_hook, &l, &err)) {
		api_error(r, &err);
	} else {
		buf_z(&l.out, "]}");
		answer(r, 200, "application/json", buf_view(&l.out));
	}
	buf_fini(&l.out);
}

/* The one that the path names; false: answered. */
static bool find(struct request *r, enum verb verb, struct kv_txn **txn,
		 struct object_view *o)
{
	struct str tenant = r->in->args[0], name = r->in->args[1];
	struct err err;

	if (!api_may(r, verb, KIND_WEBHOOK, tenant, name) || !api_view(r, txn))
		return false;
	if (view_object(*txn, KIND_WEBHOOK, tenant, name, o, &err) == OK)
		return true;
	api_error(r, &err);
	return false;
}

static void answer_hook(struct request *r, int status, struct str tenant,
			struct str name, const char *key)
{
	AUTO_BUF out = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct value *v;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (view_object(txn, KIND_WEBHOOK, tenant, name, &o, &err)) {
		api_error(r, &err);
		return;
	}
	v = hook_value(r->arena, txn, &o);
	if (key)
		value_setz(r->arena, v, "key", value_str(r->arena, str_of(key)));
	value_json(&out, v);
	answer_header(r, "Cache-Control", STR("no-store"));
	answer(r, status, "application/json", buf_view(&out));
	if (out.n)
		wipe(out.p, out.n);
}

void get_hook(struct request *r)
{
	struct object_view o;
	struct kv_txn *txn;

	if (find(r, VERB_GET, &txn, &o))
		answer_hook(r, 200, o.tenant, o.name, NULL);
}

/* ---- making and changing ---- */

struct hook_change {
	struct str tenant, name;
	int status;
	char key[2 * HOOK_KEY_BYTES + 1];        /* empty: none was made */
};

static void hook_written(struct change *ch, struct request *r,
			 const struct outcome *o)
{
	struct hook_change *c = ch->data;

	(void)o;
	answer_hook(r, c->status, c->tenant, c->name, c->key[0] ? c->key : NULL);
	wipe(c->key, sizeof(c->key));
}

static struct change *change_of(struct request *r, int status, struct str tenant,
				struct str name)
{
	struct change *ch = change_new(r, hook_written);
	struct hook_change *c = ANEW(ch->arena, struct hook_change);

	c->tenant = arena_str(ch->arena, tenant);
	c->name = arena_str(ch->arena, name);
	c->status = status;
	ch->data = c;
	return ch;
}

static struct op *hook_op(struct change *ch, enum op_type type)
{
	const struct hook_change *c = ch->data;
	struct op *op = command_op(ch->arena, &ch->cmd, type);

	op->kind = KIND_WEBHOOK;
	op->tenant = c->tenant;
	op->name = c->name;
	return op;
}

/* The outcome that an Idempotency-Key brings back does not hold the webhook's key:
 * so it does not count here. */
static void add_key(struct change *ch, bool force)
{
	struct hook_change *c = ch->data;
	uint8_t *key = arena_alloc(ch->arena, HOOK_KEY_BYTES);
	struct op *op = hook_op(ch, OP_HOOK_KEY);
	AUTO_BUF text = BUF_NONE;

	memset(&ch->cmd.id, 0, sizeof(ch->cmd.id));
	rand_bytes(key, HOOK_KEY_BYTES);
	op->bytes = str_n((const char *)key, HOOK_KEY_BYTES);
	op->force = force;
	buf_hex(&text, key, HOOK_KEY_BYTES);
	str_copy(c->key, sizeof(c->key), buf_view(&text));
	wipe(text.p, text.n);
}

static struct value *object_of(struct request *r, struct str tenant,
			       struct str name, struct value *spec)
{
	struct value *object = value_object(r->arena), *meta;

	meta = value_object(r->arena);
	value_setz(r->arena, meta, "name", value_str(r->arena, name));
	value_setz(r->arena, meta, "namespace", value_str(r->arena, tenant));
	value_setz(r->arena, object, "apiVersion",
		   value_str(r->arena, STR(API_GROUP_VERSION)));
	value_setz(r->arena, object, "kind",
		   value_str(r->arena, kind_by_id(KIND_WEBHOOK)->name));
	value_setz(r->arena, object, "metadata", meta);
	value_setz(r->arena, object, "spec", spec);
	return object;
}

/* By the schema of the kind; false: answered. */
static bool is_good(struct request *r, struct value *object)
{
	struct check check = { 0 };
	struct err err;
	enum code rc = check_object(kind_by_id(KIND_WEBHOOK), object, r->arena,
				    &check, &err);

	if (rc == OK && check.n_unknown == 0)
		return true;
	if (check.n_causes)
		api_fail(r, E_UNPROCESSABLE, "%.*s: %.*s",
			 STR_ARG(check.causes[0].field),
			 STR_ARG(check.causes[0].message));
	else if (rc)
		api_error(r, &err);
	else
		api_fail(r, E_UNPROCESSABLE, "%.*s is not known",
			 STR_ARG(check.unknown[0]));
	return false;
}

static bool add_object(struct request *r, struct change *ch, struct value *object,
		       uint64_t expect)
{
	const struct hook_change *c = ch->data;
	struct err err;

	if (object_ops(ch, kind_by_id(KIND_WEBHOOK), c->tenant, c->name, object,
		       expect, &err) == OK)
		return true;
	change_cancel(ch);
	api_error(r, &err);
	return false;
}

void post_hook(struct request *r)
{
	struct value *body, *object;
	struct change *ch;
	struct str tenant, name;

	if (!api_body(r, &body))
		return;
	tenant = value_text(value_getz(body, "tenant"));
	name = value_text(value_getz(body, "name"));
	value_remove(body, STR("tenant"));
	value_remove(body, STR("name"));
	if (!tenant.n || !name.n) {
		api_fail(r, E_UNPROCESSABLE, "\"tenant\" and \"name\" are texts, and "
			 "must be there");
		return;
	}
	object = object_of(r, tenant, name, body);
	if (!api_may(r, VERB_CREATE, KIND_WEBHOOK, tenant, name) ||
	    !is_good(r, object))
		return;
	ch = change_of(r, 201, tenant, name);
	if (!add_object(r, ch, object, REV_NONE))
		return;
	add_key(ch, false);
	change_submit(ch);
}

void put_hook(struct request *r)
{
	struct object_view o;
	struct kv_txn *txn;
	struct value *body, *object;
	struct change *ch;
	uint64_t expect;

	if (!find(r, VERB_UPDATE, &txn, &o) || !api_body(r, &body) ||
	    !change_if_match(r, &expect))
		return;
	object = object_of(r, o.tenant, o.name, body);
	if (!is_good(r, object))
		return;
	ch = change_of(r, 200, o.tenant, o.name);
	if (!add_object(r, ch, object, expect))
		return;
	/* What else the object has is not said here, and stays. */
	ch->cmd.ops[0].labels = arena_str(ch->arena, o.row.labels);
	ch->cmd.ops[0].meta = arena_str(ch->arena, o.row.meta);
	change_submit(ch);
}

static void without_body(struct change *ch, struct request *r,
			 const struct outcome *o)
{
	(void)ch;
	(void)o;
	answer(r, 204, NULL, STR_NONE);
}

void delete_hook(struct request *r)
{
	struct object_view o;
	struct kv_txn *txn;
	struct change *ch;
	uint64_t expect;

	if (!find(r, VERB_DELETE, &txn, &o) || !change_if_match(r, &expect))
		return;
	ch = change_of(r, 204, o.tenant, o.name);
	ch->done = without_body;
	hook_op(ch, OP_OBJECT_DELETE)->expect = expect;
	change_submit(ch);
}

/* ?revoke=true: the one before ends at once. */
void post_hook_key(struct request *r)
{
	const struct str *q = request_query(r, "revoke");
	struct object_view o;
	struct kv_txn *txn;
	struct change *ch;
	bool revoke = false;

	if (!find(r, VERB_ADMINISTER, &txn, &o))
		return;
	if (q && !str_bool(*q, &revoke)) {
		api_fail(r, E_INVALID, "revoke= is true or false");
		return;
	}
	ch = change_of(r, 200, o.tenant, o.name);
	add_key(ch, revoke);
	change_submit(ch);
}

/* ---- the dead ---- */

struct dead_page {
	struct buf out;
	uint64_t left, last;
	bool has_more;
};

static bool one_dead(void *data, const struct outbox_row *row)
{
	struct dead_page *p = data;
	const struct kind *kind = kind_by_id(row->kind);
	char id[37], time[RFC3339_MAX], dead[RFC3339_MAX];

	if (p->left == 0) {
		p->has_more = true;
		return false;
	}
	uuid_text(id, row->id);
	clock_rfc3339(time, row->time_ms, true);
	clock_rfc3339(dead, row->dead_ms, true);
	buf_printf(&p->out, "%s{\"sequence\":%llu,\"id\":\"%s\",\"event\":\"%s\","
		   "\"time\":\"%s\",\"dead\":\"%s\",\"kind\":",
		   p->last ? "," : "", (unsigned long long)row->seq, id,
		   notice_name(row->notice), time, dead);
	buf_json(&p->out, kind ? kind->name : STR(""));
	buf_z(&p->out, ",\"name\":");
	buf_json(&p->out, row->name);
	buf_z(&p->out, ",\"error\":");
	buf_json(&p->out, row->error);
	buf_z(&p->out, ",\"data\":");
	buf_str(&p->out, row->data);
	buf_c(&p->out, '}');
	p->last = row->seq;
	p->left--;
	return true;
}

/* ?after=SEQUENCE&limit=N */
void get_hook_dead(struct request *r)
{
	const struct str *after = request_query(r, "after");
	const struct str *limit = request_query(r, "limit");
	struct dead_page p = { .left = DEAD_MOST };
	struct object_view o;
	struct kv_txn *txn;
	uint64_t from = 0;

	if (!find(r, VERB_GET, &txn, &o))
		return;
	if ((after && !str_u64(*after, &from)) ||
	    (limit && (!str_u64(*limit, &p.left) || p.left == 0 ||
		       p.left > DEAD_MOST))) {
		api_fail(r, E_INVALID, "limit= is 1 to %d, after= a sequence",
			 DEAD_MOST);
		return;
	}
	buf_z(&p.out, "{\"events\":[");
	view_outbox(txn, o.row.uid, OUTBOX_REFUSED, from, one_dead, &p);
	buf_c(&p.out, ']');
	if (p.has_more)
		buf_printf(&p.out, ",\"next\":\"?after=%llu\"",
			   (unsigned long long)p.last);
	buf_c(&p.out, '}');
	answer(r, 200, "application/json", buf_view(&p.out));
	buf_fini(&p.out);
}

static void change_dead(struct request *r, enum outbox_what what)
{
	struct object_view o;
	struct kv_txn *txn;
	struct change *ch;
	struct op *op;
	uint64_t seq;

	if (!find(r, VERB_ADMINISTER, &txn, &o))
		return;
	if (!str_u64(r->in->args[2], &seq)) {
		api_fail(r, E_INVALID, "\"%.*s\" is no sequence",
			 STR_ARG(r->in->args[2]));
		return;
	}
	ch = change_of(r, 204, o.tenant, o.name);
	ch->done = without_body;
	op = hook_op(ch, OP_OUTBOX);
	op->outbox = what;
	op->count = seq;
	change_submit(ch);
}

void post_hook_retry(struct request *r)
{
	change_dead(r, OUTBOX_AGAIN);
}

void delete_hook_dead(struct request *r)
{
	change_dead(r, OUTBOX_DROP);
}

/* ---- a try ---- */

/* Outlives a connection that ends before it is done. */
struct hook_test {
	struct http_ask ask;
	struct request *r;               /* NULL: the connection ended */
	struct buf url, body, headers;
};

/* request.data while it is under way: leads to it, for on_gone. */
struct testing {
	struct caller caller;
	struct hook_test *test;
};

static void test_gone(struct request *r)
{
	((struct testing *)caller_of(r))->test->r = NULL;
}

static void test_free(struct hook_test *t)
{
	http_ask_fini(&t->ask);
	buf_fini(&t->url);
	buf_fini(&t->body);
	buf_fini(&t->headers);
	free(t);
}

static void test_done(struct http_ask *ask, enum code rc, const struct err *err)
{
	struct hook_test *t = container_of(ask, struct hook_test, ask);
	AUTO_BUF out = BUF_NONE;

	if (t->r) {
		t->r->on_gone = NULL;
		buf_printf(&out, "{\"ok\":%s,\"took_ms\":%llu",
			   rc == OK && ask->status / 100 == 2 ? "true" : "false",
			   (unsigned long long)ask->took_ms);
		/* Not what was answered: whoever may make webhooks could read what
		 * this node can reach. */
		if (rc == OK) {
			buf_printf(&out, ",\"status\":%u", ask->status);
		} else {
			buf_printf(&out, ",\"code\":\"%s\",\"error\":",
				   code_slug(rc));
			buf_json(&out, str_of(err->text));
		}
		buf_c(&out, '}');
		answer(t->r, 200, "application/json", buf_view(&out));
	}
	test_free(t);
}

static void write_test(struct hook_test *t, struct request *r,
		       const struct object_view *o, const struct webhook *hook,
		       const struct hook_key_row *key)
{
	struct uuid id = uuid_new();
	struct outbox_row row;
	struct store_status st;
	char cluster[37], text[37];

	store_status(store_of(r), &st);
	uuid_text(cluster, st.node.cluster_id);
	uuid_text(text, id);
	event_test(&row, id, o->tenant, clock_wall_ms());
	buf_str(&t->url, hook->url);
	event_json(&t->body, &row, str_of(cluster), o->name);
	buf_z(&t->headers, "Content-Type: " HOOK_CONTENT_TYPE "\n");
	hook_headers(&t->headers, key, clock_wall_ms(), str_of(text),
		     buf_view(&t->body));
	t->ask = (struct http_ask){ .home = r->loop, .url = buf_view(&t->url),
				    .bucket = http_out_bucket(o->tenant),
				    .is_post = true, .body = buf_view(&t->body),
				    .headers = buf_view(&t->headers),
				    .timeout_ms = (unsigned)hook->timeout_ms,
				    .done = test_done };
}

/* Sends an event TEST from this node, at once, and says what came of it. */
void post_hook_test(struct request *r)
{
	struct http_out *out = caller_of(r)->at->api->config.http_out;
	struct object_view o;
	struct kv_txn *txn;
	struct hook_key_row key;
	struct webhook hook;
	struct hook_test *t;
	struct testing *u;

	if (!find(r, VERB_ADMINISTER, &txn, &o))
		return;
	if (!out || !view_hook_key(txn, o.row.uid, &key)) {
		api_fail(r, E_CONFLICT, "webhook \"%.*s\" has no key: make one first",
			 STR_ARG(o.name));
		return;
	}
	if (!http_out_has_room(out, http_out_bucket(o.tenant))) {
		wipe(&key, sizeof(key));
		api_fail(r, E_BUSY, "too many requests to webhooks of tenant %.*s are "
			 "under way", STR_ARG(o.tenant));
		return;
	}
	webhook_read(r->arena, o.row.spec, &hook);
	t = NEW(struct hook_test);
	write_test(t, r, &o, &hook, &key);
	wipe(&key, sizeof(key));
	t->r = r;
	u = ANEW(r->arena, struct testing);
	u->caller = *caller_of(r);
	u->test = t;
	r->data = &u->caller;
	r->on_gone = test_gone;
	if (http_out_ask(out, &t->ask))
		return;
	r->on_gone = NULL;
	test_free(t);
	api_fail(r, E_UNAVAILABLE, "the node is stopping");
}
