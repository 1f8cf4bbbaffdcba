/*
 * The api: its loops, and errors in the form that was asked for.
 */
#include "api/grpc.h"
#include "api/grpc_schema.h"
#include "api/kube.h"
#include "api/origin.h"

#include <stdatomic.h>
#include <stdio.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/descriptors.h"

#include "base/banned.h"

#define PART "api"
/* Of parsed flags, a loop. */
#define FLAGS_BYTES (32 * 1024 * 1024)

const struct route api_routes[] = {
#define ROUTE(method, path, handler, verb, kind)               \
	{ HTTP_M_##method, path, api_dispatch,                 \
	  PERMISSION(VERB_##verb, KIND_##kind), #handler, false },
#define ROUTE_STREAM(method, path, handler, verb, kind)        \
	{ HTTP_M_##method, path, api_dispatch,                 \
	  PERMISSION(VERB_##verb, KIND_##kind), #handler, true },
#define ROUTE_OPEN(method, path, handler) \
	{ HTTP_M_##method, path, handler, PERMISSION_NONE, #handler, false },
#define ROUTE_OPEN_STREAM(method, path, handler) \
	{ HTTP_M_##method, path, handler, PERMISSION_NONE, #handler, true },
#include "api/routes.tbl"
#undef ROUTE
#undef ROUTE_STREAM
#undef ROUTE_OPEN
#undef ROUTE_OPEN_STREAM
};
const size_t api_n_routes = ARRAY_LEN(api_routes);

/* In the order of the routes. */
static route_handler *const handlers[] = {
#define ROUTE(method, path, handler, verb, kind) handler,
#define ROUTE_STREAM ROUTE
#define ROUTE_OPEN(method, path, handler) handler,
#define ROUTE_OPEN_STREAM ROUTE_OPEN
#include "api/routes.tbl"
#undef ROUTE
#undef ROUTE_STREAM
#undef ROUTE_OPEN
#undef ROUTE_OPEN_STREAM
};

void api_run(struct request *r)
{
	handlers[r->route - api_routes](r);
}

/* ---- errors ---- */

bool api_is_kube(const struct request *r)
{
	struct str path = r->in->path;

	return str_starts(path, STR("/apis/")) || str_is(path, "/apis") ||
	       str_is(path, "/api/v1/namespaces") ||
	       str_starts(path, STR("/api/v1/namespaces/")) || str_is(path, "/api") ||
	       str_is(path, "/api/v1") || str_starts(path, STR("/openapi/"));
}

static const char *kube_reason(enum code code)
{
	switch (code) {
	case E_INVALID:
	case E_USAGE:
		return "BadRequest";
	case E_UNAUTHORIZED:
		return "Unauthorized";
	case E_DENIED:
	case E_QUOTA:
		return "Forbidden";
	case E_NOT_FOUND:
		return "NotFound";
	case E_METHOD:
		return "MethodNotAllowed";
	case E_EXISTS:
		return "AlreadyExists";
	case E_CONFLICT:
	case E_MANAGED:
	case E_PRECONDITION:
	case E_BLOB_MISSING:
		return "Conflict";
	case E_GONE:
		return "Expired";
	case E_TOO_LARGE:
		return "RequestEntityTooLarge";
	case E_MEDIA_TYPE:
		return "UnsupportedMediaType";
	case E_NOT_ACCEPTABLE:
		return "NotAcceptable";
	case E_UNPROCESSABLE:
	case E_PARSE:
	case E_IDEMPOTENCY:
		return "Invalid";
	case E_RATE:
		return "TooManyRequests";
	case E_TIMEOUT:
		return "Timeout";
	case E_UNAVAILABLE:
	case E_UNCERTAIN:
	case E_BUSY:
	case E_NOT_LEADER:
	case E_FULL:
	case E_NOT_YET:
		return "ServiceUnavailable";
	default:
		return "InternalError";
	}
}

static const struct kind *kind_of_request(const struct request *r)
{
	bool namespaced = str_find_str(r->in->path, STR("/namespaces/")) != SIZE_MAX;

	return kind_by_plural(r->in->args[namespaced ? 1 : 0]);
}

static void status_details(struct buf *out, const struct request *r)
{
	const struct kind *kind = kind_of_request(r);
	bool namespaced = str_find_str(r->in->path, STR("/namespaces/")) != SIZE_MAX;
	struct str name = r->in->args[namespaced ? 2 : 1];

	if (!kind)
		return;
	buf_z(out, "\"group\":\"" API_GROUP "\",\"kind\":");
	buf_json(out, kind->plural);
	if (name.n) {
		buf_z(out, ",\"name\":");
		buf_json(out, name);
	}
}

void api_status_body(struct buf *out, const struct request *r,
		     const struct err *err)
{
	buf_z(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
		   "\"status\":\"Failure\",\"message\":");
	if (err->hint[0] && err->code != E_NOT_FOUND && err->code != E_CONFLICT) {
		AUTO_BUF text = BUF_NONE;

		buf_printf(&text, "%s (%s)", err->text, err->hint);
		buf_json(out, buf_view(&text));
	} else {
		buf_json(out, str_of(err->text));
	}
	buf_printf(out, ",\"reason\":\"%s\",\"details\":{",
		   kube_reason(err->code));
	status_details(out, r);
	buf_printf(out, "},\"code\":%d}", code_http(err->code));
}

void api_error(struct request *r, const struct err *err)
{
	AUTO_BUF body = BUF_NONE;

	if (err->code == E_UNCERTAIN || err->code == E_UNAVAILABLE ||
	    err->code == E_BUSY || err->code == E_NOT_LEADER ||
	    err->code == E_RATE || err->code == E_NOT_YET)
		answer_header_u64(r, "Retry-After", caller_of(r) ?
				  MAX(caller_of(r)->retry_after_s, 1u) : 1);
	if (api_is_grpc(r)) {
		grpc_error(r, err);
		return;
	}
	if (!api_is_kube(r)) {
		answer_error(r, err);
		return;
	}
	/* A Status cannot tell uncertain from unavailable, nor managed by
	 * another from modified. */
	answer_header(r, "X-Conflux-Code", str_of(code_slug(err->code)));
	api_status_body(&body, r, err);
	answer(r, code_http(err->code), "application/json", buf_view(&body));
}

void api_fail(struct request *r, enum code code, const char *fmt, ...)
{
	char text[400];
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(&err, code, "%s", text);
	api_error(r, &err);
}

/* ---- no route ---- */

static void no_route(struct request *r, const struct err *err)
{
	struct err e = *err;

	if (origin_preflight(r))
		return;
	origin_add_headers(r);
	if (api_is_kube(r) && e.code == E_NOT_FOUND)
		str_copy(e.text, sizeof(e.text),
			 STR("the server could not find the requested resource"));
	if (api_is_grpc(r) && e.code == E_NOT_FOUND) {
		e.code = E_UNSUPPORTED;
		str_copy(e.text, sizeof(e.text), STR("there is no such method"));
		err_hint(&e, "reflection lists what there is; a gateway may have "
			 "changed the path");
	}
	api_error(r, &e);
}

/* ---- reading requests ---- */

bool api_view(struct request *r, struct kv_txn **out)
{
	const struct caller *caller = caller_of(r);
	struct err err;

	if (view_use(caller->at->view, caller->min_rev, out, &err) == OK)
		return true;
	api_error(r, &err);
	return false;
}

static bool add_label(struct request *r, struct labels *out, struct str key,
		      struct str value)
{
	struct err err;

	if (label_check(key, value, &err)) {
		api_error(r, &err);
		return false;
	}
	if (labels_set(r->arena, out, key, value))
		return true;
	api_fail(r, E_INVALID, "more than %d labels", LABELS_MAX);
	return false;
}

bool api_labels(struct request *r, struct labels *out)
{
	static const struct str header = { "x-conflux-label-", 16 };
	static const struct str query = { "label.", 6 };

	*out = (struct labels){ 0 };
	for (size_t i = 0; i < r->in->n_headers; i++)
		if (str_starts(r->in->headers[i].name, header) &&
		    !add_label(r, out, str_from(r->in->headers[i].name, header.n),
			       r->in->headers[i].value))
			return false;
	for (size_t i = 0; i < r->in->n_query; i++)
		if (str_starts(r->in->query[i].name, query) &&
		    !add_label(r, out, str_from(r->in->query[i].name, query.n),
			       r->in->query[i].value))
			return false;
	return true;
}

enum code api_may_be(const struct api *api, const struct subject *s,
		     struct str instance, struct err *err)
{
	bool is_bound = subject_is_bound(s);

	if (is_bound ? subject_may_be(s, instance) : !api->config.bound_instances)
		return OK;
	err_set(err, E_DENIED, "%.*s may not speak for the instance %.*s: its token is "
		"bound to %s", STR_ARG(s->name), STR_ARG(str_first(instance, 128)),
		is_bound ? "others" : "none");
	return err_hint(err, "conflux token create --subject NAME --instance NAME|PATTERN "
			"binds a token");
}

bool api_client(struct request *r, struct client *out)
{
	const struct str *id = request_query(r, "instance");
	struct err err;

	*out = (struct client){ 0 };
	if (!id)
		id = request_header(r, "x-conflux-instance");
	if (id && id->n && !ack_instance_is_valid(*id)) {
		api_fail(r, E_INVALID, "the name of an instance has 1 to %d bytes "
			 "that can be seen", ACK_INSTANCE_MAX);
		return false;
	}
	if (id)
		out->id = *id;
	if (out->id.n && api_may_be(caller_of(r)->at->api, &caller_of(r)->subject,
				    out->id, &err)) {
		api_error(r, &err);
		return false;
	}
	return api_labels(r, &out->labels);
}

bool api_body(struct request *r, struct value **out)
{
	bool yaml = str_find_str(r->in->content_type, STR("yaml")) != SIZE_MAX;
	struct err err;
	enum code rc;

	if (r->in->body.n == 0) {
		api_fail(r, E_INVALID, "the request has no body");
		return false;
	}
	if (yaml)
		rc = doc_parse(FORMAT_YAML, r->in->body, r->arena, NULL, out, NULL,
			       &err);
	else
		rc = doc_parse_json(r->in->body, r->arena, NULL, out, &err);
	if (rc == OK && (*out)->type != VALUE_OBJECT)
		rc = err_set(&err, E_INVALID, "it is no object");
	if (rc == OK)
		return true;
	err_wrap(&err, "request body");
	if (err.code == E_PARSE)
		err.code = E_INVALID;
	api_error(r, &err);
	return false;
}

static void refuse_member(struct request *r, struct str name,
			  const struct body_member *members, size_t n)
{
	AUTO_BUF known = BUF_NONE;
	struct err err;

	for (size_t i = 0; i < n; i++)
		buf_printf(&known, "%s%s", i ? ", " : "", members[i].name);
	err_set(&err, E_UNPROCESSABLE, "request body: \"%.*s\" is not known here",
		STR_ARG(str_first(name, 100)));
	err_hint(&err, "known are: %s", known.p);
	api_error(r, &err);
}

static const struct body_member *member_of(const struct body_member *members, size_t n,
				      struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(name, str_of(members[i].name)))
			return &members[i];
	return NULL;
}

bool api_body_of(struct request *r, const struct body_member *members, size_t n,
		 struct value **out)
{
	return api_body(r, out) && api_check_members(r, members, n, *out);
}

bool api_check_members(struct request *r, const struct body_member *members,
		       size_t n, const struct value *body)
{
	for (size_t i = 0; i < body->o.n; i++) {
		const struct body_member *m = member_of(members, n,
							body->o.m[i].key);

		if (!m) {
			refuse_member(r, body->o.m[i].key, members, n);
			return false;
		}
		if (body->o.m[i].value->type != m->type) {
			api_fail(r, E_UNPROCESSABLE, "request body: \"%s\" must "
				 "be of type %s", m->name,
				 value_type_name(m->type));
			return false;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (members[i].is_required &&
		    !value_get(body, str_of(members[i].name))) {
			api_fail(r, E_UNPROCESSABLE,
				 "request body: \"%s\" is missing",
				 members[i].name);
			return false;
		}
	return true;
}

/* ---- loops ---- */

static void on_turn(struct turn *turn)
{
	struct api_loop *at = container_of(turn, struct api_loop, turn);

	/* Behind the server's own, which may have run requests. */
	wait_turn(at);
	view_idle(at->view);
	admission_turn(&at->admission, door_woke_ns(at), clock_mono_ns());
}

static void on_wake(struct follower *f, uint64_t rev)
{
	struct api_loop *at = container_of(f, struct api_loop, follower);

	watching_wake(at->watching);
	kube_watches_wake(at->objects);
	wait_wake(at);
	/* To be woken by each commit costs as much as a small request. */
	if (!watching_any(at->watching) && !kube_watches_any(at->objects) &&
	    list_empty(&at->waits))
		follower_rests(&at->follower, true);
}

static bool enter(void *data, const struct stream_addr *peer)
{
	const struct api_loop *at = data;

	return crowd_enter_host(at->api->crowd, peer->host);
}

static void leave(void *data, const struct stream_addr *peer)
{
	const struct api_loop *at = data;

	crowd_leave_host(at->api->crowd, peer->host);
}

static enum code loop_open(struct api *api, struct api_loop *at, unsigned i,
			   struct err *err)
{
	struct http_server_config config = {
		.routes = api_routes, .n_routes = api_n_routes,
		.limits = api->config.limits, .data = at, .before = door_open,
		.again = fetch_again,
		.end = instance_leave, .enter = enter, .leave = leave,
		.no_route = no_route,
	};
	char name[16];
	enum code rc;

	snprintf(name, sizeof(name), "http-%u", i);
	at->api = api;
	at->flags = ofrep_cache_new(FLAGS_BYTES);
	at->admission.target_ns = api->config.queue_target_ms * UINT64_C(1000000);
	list_init(&at->waits);
	list_init(&at->reads);
	list_init(&at->calls);
	at->texts = watch_texts_new();
	rc = loop_try_new(name, 0, &at->loop, err);
	if (rc == OK)
		at->watching = watching_new(at);
	if (rc == OK)
		at->healths = grpc_healths_new(at);
	if (rc == OK)
		at->sockets = sockets_new(at);
	if (rc == OK)
		at->objects = kube_watches_new(at);
	if (rc == OK)
		rc = view_new(api->config.store, &at->view, err);
	if (rc == OK)
		rc = http_server_new(at->loop, &config, &at->server, err);
	if (rc)
		return rc;
	loop_set_spin_us(at->loop, api->config.spin_us);
	at->turn.run = on_turn;
	loop_on_turn(at->loop, &at->turn);
	at->follower.home = at->loop;
	at->follower.wake = on_wake;
	return OK;
}

enum code api_new(const struct api_config *config, struct api **out,
		  struct err *err)
{
	enum code rc = origin_check(str_of(config->allowed_origins), err);
	struct api *api;

	if (rc)
		return err_wrap(err, "server.allowed_origins");
	api = NEW(struct api);
	api->config = *config;
	api->n = config->loops ? config->loops : 1;
	api->started_ms = clock_wall_ms();
	api->limits = limits_new(config->rates);
	api->acks = acks_new(config->acks);
	api->crowd = crowd_new(config->connections_per_address);
	api->watches = crowd_new(config->subject_watches);
	api->loops = mem_zero(api->n * sizeof(*api->loops));
	rc = grpc_schema_new(str_n(proto_descriptors, proto_descriptors_n),
			     &api->schema, err);
	for (unsigned i = 0; i < api->n && rc == OK; i++)
		rc = loop_open(api, &api->loops[i], i, err);
	if (rc) {
		api_free(&api);
		return rc;
	}
	*out = api;
	return OK;
}

static void no_connection(struct listener *l, struct stream *s, void *data)
{
	stream_abort(s);
}

/* Loops share one address, and would share it with another daemon too: asked
 * for alone it is refused where somebody has it. */
static enum code probe(struct api *api, struct str addr,
		       struct stream_addr *bound, struct err *err)
{
	struct listener *l;
	enum code rc = listener_new(api->loops[0].loop, addr, false, NULL,
				    no_connection, NULL, &l, err);

	if (rc)
		return rc;
	listener_addr(l, bound);
	listener_close(&l);
	return OK;
}

/* All of them, or none. */
static enum code start_loops(struct api *api, struct err *err)
{
	enum code rc = OK;
	unsigned n = 0;

	while (n < api->n && rc == OK)
		rc = loop_start(api->loops[n++].loop, err);
	for (unsigned i = 0; rc && i + 1 < n; i++) {
		loop_stop(api->loops[i].loop);
		loop_join(api->loops[i].loop);
	}
	return rc;
}

/* Listening is done before the loops run, so no thread is needed for it. */
enum code api_listen(struct api *api, struct str addr, struct tls_server *tls,
		     struct stream_addr *bound, struct err *err)
{
	struct str where = addr;
	bool share = api->n > 1;
	enum code rc = share ? probe(api, addr, bound, err) : OK;

	if (share && rc == OK)
		where = str_of(bound->text);
	for (unsigned i = 0; i < api->n && rc == OK; i++) {
		rc = http_server_listen(api->loops[i].server, where, share, tls,
					bound, err);
		/* Port 0 was chosen by the first; the others share it. */
		where = str_of(bound->text);
		if (rc == OK && !tls && !bound->is_loopback) {
			rc = err_set(err, E_DENIED, "clear text beyond loopback "
				     "is refused");
			err_hint(err, "set tls.cert_file and tls.key_file, or "
				 "listen on 127.0.0.1");
		}
	}
	if (rc == OK)
		rc = start_loops(api, err);
	for (unsigned i = 0; i < api->n && rc == OK; i++)
		store_follow(api->config.store, &api->loops[i].follower);
	return rc;
}

/* ---- the end ---- */

struct drain {
	struct msg msg;
	struct api_loop *at;
	unsigned grace_ms;
};

static void stopped(struct follower *f)
{
	struct api_loop *at = container_of(f, struct api_loop, follower);

	atomic_store(&at->is_stopped, true);
	loop_stop(at->loop);
}

static void drained(void *data)
{
	struct api_loop *at = data;

	atomic_store(&at->is_drained, true);
	store_unfollow(at->api->config.store, &at->follower, stopped);
}

static void drain_here(struct msg *msg)
{
	struct drain *d = container_of(msg, struct drain, msg);
	struct api_loop *at = d->at;

	http_server_drain(at->server, d->grace_ms, drained, at);
	sockets_drain(at->sockets);
	watching_drain(at->watching);
	kube_watches_drain(at->objects);
	grpc_drain(at);
	free(d);
}

void api_leave(struct api *api)
{
	atomic_store(&api->is_leaving, true);
}

void api_drain(struct api *api, unsigned grace_ms)
{
	api_leave(api);
	for (unsigned i = 0; i < api->n; i++) {
		struct drain *d = NEW(struct drain);

		d->msg.run = drain_here;
		d->at = &api->loops[i];
		d->grace_ms = grace_ms;
		loop_post_sure(api->loops[i].loop, &d->msg);
	}
	for (unsigned i = 0; i < api->n; i++)
		loop_join(api->loops[i].loop);
}

void api_free(struct api **ap)
{
	struct api *api = *ap;

	if (!api)
		return;
	for (unsigned i = 0; i < api->n; i++) {
		struct api_loop *at = &api->loops[i];

		if (at->server)
			http_server_free(&at->server);
		view_free(&at->view);
		token_cache_fini(&at->token);
		ofrep_cache_free(&at->flags);
		sign_cache_free(&at->signatures);
		if (at->loop)
			loop_free(&at->loop);
		watching_free(&at->watching);
		kube_watches_free(&at->objects);
		sockets_free(&at->sockets);
		watch_texts_free(&at->texts);
		grpc_frames_free(&at->frames);
		grpc_healths_free(&at->healths);
	}
	limits_free(&api->limits);
	acks_free(&api->acks);
	grpc_schema_free(&api->schema);
	crowd_free(&api->crowd);
	crowd_free(&api->watches);
	free(api->loops);
	free(api);
	*ap = NULL;
}
