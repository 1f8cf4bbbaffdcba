/* See asked.h; the linker sends all calls here. */
#include "asked.h"

#include "unit.h"

#include "base/banned.h"

void __wrap_request_forget(struct request *r);
void __wrap_answer(struct request *r, int status, const char *content_type, struct str body);
void __wrap_answer_header(struct request *r, const char *name, struct str value);
void __wrap_answer_header_u64(struct request *r, const char *name, uint64_t value);
void __wrap_answer_stream(struct request *r, int status, const char *content_type);
void __wrap_answer_chunk(struct request *r, struct str bytes);
size_t __wrap_answer_pending(const struct request *r);
void __wrap_answer_on_drain(struct request *r, void (*cb)(struct request *r));
void __wrap_answer_end(struct request *r);

static const struct request_in nothing;

static struct asked *asked_of(const struct request *r)
{
	return r->server_data;
}

void asked_init(struct asked *a, struct api_loop *at, struct str path, struct str token)
{
	static const struct stream_addr peer = { .host = "127.0.0.1" };
	struct kv_txn *txn;
	struct err err;

	*a = (struct asked){ .told = a->told };
	a->r = (struct request){ .method = HTTP_M_GET, .in = &a->in, .peer = &peer,
				 .arena = arena_new(0), .loop = at->loop,
				 .server_data = a, .data = &a->caller };
	a->in = (struct request_in){ .path = path, .target = path, .query = a->query,
				     .headers = a->headers, .n_headers = 1 };
	a->headers[0] = (struct http_header){
		STR("authorization"), arena_printf(a->r.arena, "Bearer %.*s", STR_ARG(token)),
	};
	a->caller = (struct caller){ .at = at };
	ck_assert_int_eq(view_use(at->view, 0, &txn, &err), OK);
	token_subject(txn, token, a->r.arena, &a->caller.subject, &a->caller.credential);
}

void asked_query(struct asked *a, const char *name, struct str value)
{
	ck_assert_uint_lt(a->in.n_query, ARRAY_LEN(a->query));
	a->query[a->in.n_query++] =
		(struct url_param){ str_of(name), arena_str(a->r.arena, value) };
}

void asked_read(struct asked *a)
{
	a->unread = 0;
	if (!a->is_over && a->on_drain)
		a->on_drain(&a->r);
}

void asked_leave(struct asked *a)
{
	if (a->is_over)
		return;
	a->is_over = true;
	if (a->r.on_gone)
		a->r.on_gone(&a->r);
	arena_free(&a->r.arena);
}

static void over(struct asked *a)
{
	ck_assert(!a->is_over);
	a->is_over = true;
	arena_free(&a->r.arena);
}

void __wrap_request_forget(struct request *r)
{
	r->in = (struct request_in *)&nothing;
	arena_free(&r->arena);
}

void __wrap_answer_header(struct request *r, const char *name, struct str value)
{
}

void __wrap_answer_header_u64(struct request *r, const char *name, uint64_t value)
{
}

void __wrap_answer(struct request *r, int status, const char *content_type, struct str body)
{
	struct asked *a = asked_of(r);

	ck_assert_int_eq(a->status, 0);
	a->status = status;
	a->told(a, body);
	over(a);
}

void __wrap_answer_stream(struct request *r, int status, const char *content_type)
{
	struct asked *a = asked_of(r);

	ck_assert_int_eq(a->status, 0);
	a->status = status;
	a->is_stream = true;
}

void __wrap_answer_chunk(struct request *r, struct str bytes)
{
	struct asked *a = asked_of(r);

	ck_assert(a->is_stream && !a->is_over);
	if (bytes.n == 0)
		return;
	a->told(a, bytes);
	a->unread += bytes.n;
}

size_t __wrap_answer_pending(const struct request *r)
{
	return asked_of(r)->unread;
}

void __wrap_answer_on_drain(struct request *r, void (*cb)(struct request *r))
{
	asked_of(r)->on_drain = cb;
}

void __wrap_answer_end(struct request *r)
{
	over(asked_of(r));
}
