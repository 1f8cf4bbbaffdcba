/*
 * gRPC calls: see grpc.h.
 *
 * A call is owned by itself.  It lives from grpc_serve until it is answered or the
 * client is gone, and a turn longer: its timer is closed then, so that whoever called
 * into it still finds it.
 */
#include "api/grpc.h"

#include <stdatomic.h>

#include "api/grpc_message.h"
#include "api/stranger.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gen/proto/conflux.pb-c.h"
#include "http/wire/grpc.h"
#include "io/timer.h"

#include "base/banned.h"

#define CONTENT_TYPE "application/grpc"
#define PENDING_MAX (256 * 1024)
/* A deadline that is farther away is none: loops count milliseconds in 64 bits, but
 * nobody waits for ten years. */
#define DEADLINE_MAX_MS (10ull * 365 * 24 * 3600 * 1000)

struct grpc_call {
	struct list at_;                 /* of the loop */
	struct request *r;               /* NULL: over */
	struct api_loop *at;
	struct caller caller;            /* for who answers after a cancellation */
	const struct grpc_method *method;
	struct grpc_reader reader;
	struct arena *arena;             /* of one message, where many come */
	struct timer deadline;
	bool is_streaming;               /* the header was sent */
	bool has_message;                /* the only one was told, or is being */
	bool is_cancelling;
	bool is_paused;                  /* what it asks, until it reads */
	void *data;
	void (*gone)(struct grpc_call *call);
	void (*drained)(struct grpc_call *call);
};

struct grpc_call *grpc_call_of(const struct request *r)
{
	return r->data ? caller_of(r)->grpc : NULL;
}

struct request *grpc_request(const struct grpc_call *call)
{
	return call->r;
}

void grpc_set(struct grpc_call *call, void *data,
	      void (*gone)(struct grpc_call *call))
{
	call->data = data;
	call->gone = gone;
}

void *grpc_data(const struct grpc_call *call)
{
	return call->data;
}

void grpc_forget(struct grpc_call *call)
{
	/* Its texts lie in the arena. */
	call->caller.subject = (struct subject){ .role = call->caller.subject.role };
	call->caller.credential = call->caller.charged = STR_NONE;
	call->r->data = &call->caller;
	grpc_reader_fini(&call->reader);
	(void)!request_body_keeps(call->r, 0);
	request_forget(call->r);
}

/* ---- the end ---- */

static void call_closed(struct timer *timer)
{
	struct grpc_call *call = container_of(timer, struct grpc_call, deadline);

	if (call->arena)
		arena_free(&call->arena);
	grpc_reader_fini(&call->reader);
	free(call);
}

static void count(struct api_loop *at, int status)
{
	atomic_fetch_add_explicit(&at->grpc_ended[status], 1,
				  memory_order_relaxed);
}

static void call_over(struct grpc_call *call, int status)
{
	if (call->method->is_open)
		stranger_leave(call->at, CROWD_HEALTH, call->r->peer);
	call->r = NULL;
	count(call->at, status);
	list_remove(&call->at_);
	timer_close(&call->deadline, call_closed);
}

void grpc_gone(struct request *r)
{
	struct grpc_call *call = grpc_call_of(r);

	if (!call || !call->r || call->is_cancelling)
		return;
	if (call->gone)
		call->gone(call);
	call_over(call, code_grpc(E_CANCELLED));
}

/* ---- errors ---- */

bool api_is_grpc(const struct request *r)
{
	return r->method == HTTP_M_POST &&
	       str_starts(r->in->content_type, STR(CONTENT_TYPE)) &&
	       (r->in->content_type.n == strlen(CONTENT_TYPE) ||
		r->in->content_type.p[strlen(CONTENT_TYPE)] == '+');
}

void grpc_error(struct request *r, const struct err *err)
{
	struct grpc_call *call = grpc_call_of(r);
	void (*put)(struct request *r, const char *name, struct str value) =
		call && call->is_streaming ? answer_trailer : answer_header;
	AUTO_BUF status = BUF_NONE, text = BUF_NONE, details = BUF_NONE;
	AUTO_ARENA arena = arena_new(0);
	char trace[REQUEST_TRACE_TEXT];

	request_trace(r, trace);
	buf_printf(&status, "%d", code_grpc(err->code));
	grpc_message_encode(&text, str_of(err->text));
	grpc_details(&details, arena, err, str_of(trace),
		     r->data ? caller_of(r)->retry_after_s : 0);
	r->on_gone = NULL;
	put(r, "grpc-status", buf_view(&status));
	put(r, "grpc-message", buf_view(&text));
	put(r, "grpc-status-details-bin", buf_view(&details));
	if (call)
		call_over(call, code_grpc(err->code));
	else
		count(r->server_data, code_grpc(err->code));
	if (put == answer_trailer)
		answer_end(r);
	else
		answer(r, 200, CONTENT_TYPE, STR_NONE);
}

void grpc_fail(struct grpc_call *call, const struct err *err)
{
	grpc_error(call->r, err);
}

/* ---- answers ---- */

static void send_message(struct request *r, const ProtobufCMessage *m)
{
	AUTO_BUF out = BUF_NONE;

	grpc_put_message(&out, m);
	answer_chunk(r, buf_view(&out));
}

static void end_ok(struct grpc_call *call)
{
	struct request *r = call->r;

	r->on_gone = NULL;
	answer_trailer(r, "grpc-status", STR("0"));
	call_over(call, GRPC_OK);
	answer_end(r);
}

void grpc_reply(struct grpc_call *call, const ProtobufCMessage *m)
{
	answer_stream(call->r, 200, CONTENT_TYPE);
	send_message(call->r, m);
	end_ok(call);
}

static void on_drained(struct request *r)
{
	struct grpc_call *call = grpc_call_of(r);

	if (call && call->drained)
		call->drained(call);
	if (call && call->r && call->is_paused) {
		call->is_paused = false;
		request_body_resume(r);
	}
}

static void start_stream(struct grpc_call *call)
{
	if (call->is_streaming)
		return;
	call->is_streaming = true;
	answer_stream(call->r, 200, CONTENT_TYPE);
	answer_on_drain(call->r, on_drained);
}

bool grpc_send(struct grpc_call *call, const ProtobufCMessage *m)
{
	start_stream(call);
	if (m)
		send_message(call->r, m);
	return answer_pending(call->r) <= PENDING_MAX;
}

bool grpc_send_frames(struct grpc_call *call, struct str frames)
{
	start_stream(call);
	if (frames.n)
		answer_chunk(call->r, frames);
	return answer_pending(call->r) <= PENDING_MAX;
}

size_t grpc_pending(const struct grpc_call *call)
{
	return call->is_streaming ? answer_pending(call->r) : 0;
}

void grpc_on_drain(struct grpc_call *call,
		   void (*drained)(struct grpc_call *call))
{
	call->drained = drained;
}

void grpc_end(struct grpc_call *call)
{
	grpc_send(call, NULL);
	end_ok(call);
}

/* ---- messages that come ---- */

/* False: the call has failed. */
static bool decode(struct grpc_call *call, const ProtobufCMessage **out)
{
	struct arena *arena = call->r->arena;
	struct err err;

	if (call->method->takes_many) {
		if (!call->arena)
			call->arena = arena_new(0);
		arena_reset(call->arena);
		arena = call->arena;
	}
	if (grpc_take_message(call->method->request,
			      buf_view(&call->reader.message), arena, out,
			      &err) == OK)
		return true;
	grpc_fail(call, &err);
	return false;
}

static void refuse_count(struct grpc_call *call, const char *what)
{
	struct err err;

	/* "Request cardinality violation". */
	err_set(&err, E_UNSUPPORTED, "the method takes one message, and %s", what);
	grpc_fail(call, &err);
}

/* False: the call is over. */
static bool take_message(struct grpc_call *call)
{
	const ProtobufCMessage *m;

	if (call->method->takes_many) {
		if (decode(call, &m))
			call->method->message(call, m);
		return call->r;
	}
	if (call->has_message) {
		refuse_count(call, "there are more");
		return false;
	}
	call->has_message = true;
	return true;
}

static void refuse_more(struct grpc_call *call)
{
	struct err err;

	err_set(&err, E_RATE, "your connection has more messages that are half sent, or "
		"are not answered yet, than it may");
	err_hint(&err, "send some to their end, and wait for some answers, before others "
		 "begin");
	grpc_fail(call, &err);
}

/* The only message: it stays until the call is answered. */
static void run_whole(struct grpc_call *call)
{
	const ProtobufCMessage *m;

	if (!request_body_keeps(call->r, call->reader.message.n)) {
		refuse_more(call);
		return;
	}
	if (!decode(call, &m))
		return;
	/* The digest of an idempotent write is that of its body. */
	call->r->in->body = buf_view(&call->reader.message);
	call->method->message(call, m);
}

/* The client has said all. */
static void body_ended(struct grpc_call *call)
{
	struct err err;

	if (!grpc_reader_is_between(&call->reader)) {
		err_set(&err, E_INTERNAL, "the body ends within a message");
		grpc_fail(call, &err);
	} else if (call->method->takes_many) {
		grpc_end(call);
	} else if (!call->has_message) {
		refuse_count(call, "there is none");
	} else {
		run_whole(call);
	}
}

/* Where many come, nothing of one that is whole: it is answered. */
static size_t kept_of(const struct grpc_call *call)
{
	return call->method->takes_many && grpc_reader_is_between(&call->reader) ?
		       0 : call->reader.message.n;
}

static void on_body(struct request *r, struct str bytes, bool is_last)
{
	struct grpc_call *call = grpc_call_of(r);
	struct err err;
	bool whole;

	while (bytes.n) {
		if (grpc_read(&call->reader, &bytes, &whole, &err)) {
			if (err.code == E_INVALID)
				err.code = E_INTERNAL;
			grpc_fail(call, &err);
			return;
		}
		if (whole && !take_message(call))
			return;
	}
	if (is_last) {
		body_ended(call);
	} else if (!request_body_keeps(r, kept_of(call))) {
		refuse_more(call);
	} else if (call->is_streaming && answer_pending(r) > PENDING_MAX) {
		call->is_paused = true;
		request_body_pause(r);
	}
}

/* ---- the start ---- */

static void on_gone(struct request *r)
{
	grpc_gone(r);
}

/* Whoever holds the request lets go of it as if the client were gone; then the
 * client is told. */
static void on_deadline(struct timer *timer)
{
	struct grpc_call *call = container_of(timer, struct grpc_call, deadline);
	struct request *r = call->r;
	void (*gone)(struct request *r) = r->on_gone;
	struct err err;

	call->is_cancelling = true;
	r->on_gone = NULL;
	if (gone)
		gone(r);
	if (call->gone)
		call->gone(call);
	r->data = &call->caller;
	err_set(&err, E_TIMEOUT, "the deadline has passed");
	if (verb_writes(r->route->permission >> 8))
		err_hint(&err, "a write may happen all the same: repeat it with the "
			 "same idempotency key");
	grpc_error(r, &err);
}

/* False: answered. */
static bool take_headers(struct request *r, bool *has_deadline, uint64_t *ms)
{
	const struct str *timeout = request_header(r, "grpc-timeout");
	const struct str *encoding = request_header(r, "grpc-encoding");
	struct err err;

	*has_deadline = timeout != NULL;
	if (!api_is_grpc(r) ||
	    (!str_is(r->in->content_type, CONTENT_TYPE) &&
	     !str_is(r->in->content_type, CONTENT_TYPE "+proto"))) {
		r->in->content_type = STR("");
		api_fail(r, E_MEDIA_TYPE, "the content type of a gRPC call is "
			 "application/grpc or application/grpc+proto");
		return false;
	}
	if (encoding && !str_is(*encoding, "identity")) {
		answer_header(r, "grpc-accept-encoding", STR("identity"));
		err_set(&err, E_UNSUPPORTED, "messages that are compressed with "
			"%.*s are not supported", STR_ARG(str_first(*encoding, 20)));
		grpc_error(r, &err);
		return false;
	}
	if (timeout && !grpc_timeout_parse(*timeout, ms)) {
		err_set(&err, E_INTERNAL, "grpc-timeout: \"%.*s\" is none",
			STR_ARG(str_first(*timeout, 20)));
		grpc_error(r, &err);
		return false;
	}
	return true;
}

static void start_deadline(struct grpc_call *call, uint64_t ms)
{
	uint64_t gone_ms = (clock_mono_ns() - call->r->start_ns) / 1000000;

	if (ms < DEADLINE_MAX_MS)
		timer_start(&call->deadline, ms > gone_ms ? ms - gone_ms : 0);
}

void grpc_serve(struct request *r, const struct grpc_method *method)
{
	struct caller *caller = caller_of(r);
	struct grpc_call *call;
	bool has_deadline;
	uint64_t ms;

	if (!take_headers(r, &has_deadline, &ms) ||
	    (method->is_open && !stranger_enter(r, CROWD_HEALTH)))
		return;
	call = NEW(struct grpc_call);
	call->r = r;
	call->at = caller->at;
	call->method = method;
	caller->grpc = call;
	call->caller = *caller;
	grpc_reader_init(&call->reader, method->bytes_max);
	list_append(&call->at->calls, &call->at_);
	timer_init(&call->deadline, r->loop, on_deadline);
	if (has_deadline)
		start_deadline(call, ms);
	r->on_gone = on_gone;
	request_on_body(r, on_body);
}

/* ---- the loop ---- */

/* Looked for anew each time: an end may be the end of others. */
static struct grpc_call *first_long(const struct api_loop *at)
{
	struct grpc_call *call;

	list_each(&at->calls, call, at_)
		if (call->method->is_long)
			return call;
	return NULL;
}

void grpc_drain(struct api_loop *at)
{
	struct grpc_call *call;
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	err_hint(&err, "go on at another node");
	while ((call = first_long(at))) {
		if (call->gone)
			call->gone(call);
		grpc_fail(call, &err);
	}
}

void grpc_metrics(struct buf *out, struct api *api)
{
	static const char name[] = "conflux_grpc_calls_total";

	buf_printf(out, "# HELP %s gRPC calls that have ended, by status\n# TYPE "
		   "%s counter\n", name, name);
	for (int s = 0; s < GRPC__STATUSES; s++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < api->n; i++)
			sum += atomic_load_explicit(&api->loops[i].grpc_ended[s],
						    memory_order_relaxed);
		if (sum || s == GRPC_OK)
			buf_printf(out, "%s{status=\"%s\"} %llu\n", name,
				   grpc_status_name(s), (unsigned long long)sum);
	}
}

/* ---- messages ---- */

enum code grpc_address(const void *address, struct address *out, struct err *err)
{
	const Conflux__V1__Address *a = address;

	if (!a)
		return err_set(err, E_INVALID, "address is missing");
	*out = (struct address){ str_of(a->tenant), str_of(a->application),
				 str_of(a->environment), str_of(a->name) };
	return address_check(out, err);
}
