/* Requests that come again: see http1.h. */
#include "http/wire/http1.h"

#include "base/mem.h"

#include "base/banned.h"

#define RAW_MAX 2048

/* "00-<trace>-<span>-<flags>" (W3C Trace Context): a new one each time. */
#define TRACE_BYTES 55u

/* In one piece of memory: headers, what came, and what was made of it. */
struct http1_repeat {
	size_t n;
	size_t trace_at;                 /* where a traceparent lies; 0: there is none */
	char *raw, *block;
	struct http1_head head;
	struct http_header headers[];
};

/* A string of 'from' is at the same place of 'to'. */
static struct str moved(struct str s, const char *from, const char *to)
{
	return s.n ? str_n(to + (s.p - from), s.n) : s;
}

static void move(struct http1_head *head, struct http_header *headers,
		 const char *from, const char *to)
{
	for (size_t i = 0; i < head->n_headers; i++)
		headers[i] = (struct http_header){
			moved(head->headers[i].name, from, to),
			moved(head->headers[i].value, from, to),
		};
	head->headers = headers;
	head->target = moved(head->target, from, to);
}

/* "http://host" asks for a "/" that is not there. */
static bool lies_in(struct str s, const char *block, size_t n)
{
	return s.p >= block && s.p + s.n <= block + n;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		(c >= 'A' && c <= 'F');
}

/* Of such bytes one is as long as another, and taken apart like it. */
static bool is_trace(const char *p)
{
	for (unsigned i = 0; i < TRACE_BYTES; i++)
		if (i == 2 || i == 35 || i == 52 ? p[i] != '-' : !is_hex(p[i]))
			return false;
	return true;
}

/* Where the only one lies. */
static size_t trace_of(const struct http1_head *head, const char *block)
{
	const struct http_header *found = NULL;

	for (size_t i = 0; i < head->n_headers; i++) {
		if (!str_is(head->headers[i].name, "traceparent"))
			continue;
		if (found)
			return 0;
		found = &head->headers[i];
	}
	return found && found->value.n == TRACE_BYTES && is_trace(found->value.p) ?
		(size_t)(found->value.p - block) : 0;
}

void http1_repeat_keep(struct http1_repeat **repeat, struct str raw,
		       const char *block, const struct http1_head *head)
{
	size_t headers = head->n_headers * sizeof(*head->headers);
	struct http1_repeat *r;

	http1_repeat_free(repeat);
	if (raw.n > RAW_MAX || head->framing != HTTP1_EMPTY || head->upgrade ||
	    !lies_in(head->target, block, raw.n))
		return;
	r = mem_alloc(sizeof(*r) + headers + 2 * raw.n);
	r->head = *head;
	r->n = raw.n;
	r->trace_at = trace_of(head, block);
	r->raw = (char *)r->headers + headers;
	r->block = r->raw + raw.n;
	memcpy(r->raw, raw.p, raw.n);
	memcpy(r->block, block, raw.n);
	move(&r->head, r->headers, block, r->block);
	*repeat = r;
}

/* As long as it is. */
static bool is_same(const struct http1_repeat *r, const char *p)
{
	size_t at = r->trace_at, end = at + TRACE_BYTES;

	if (at == 0)
		return memcmp(p, r->raw, r->n) == 0;
	return memcmp(p, r->raw, at) == 0 &&
	       memcmp(p + end, r->raw + end, r->n - end) == 0 && is_trace(p + at);
}

bool http1_repeat_is(const struct http1_repeat *r, struct str in)
{
	return r && in.n >= r->n && is_same(r, in.p);
}

bool http1_repeat_is_all(const struct http1_repeat *r, struct str in)
{
	return http1_repeat_is(r, in) && in.n == r->n;
}

struct str http1_repeat_raw(const struct http1_repeat *r)
{
	return str_n(r->raw, r->n);
}

struct str http1_repeat_trace(const struct http1_repeat *r, struct str in)
{
	return r->trace_at ? str_n(in.p + r->trace_at, TRACE_BYTES) : STR_NONE;
}

size_t http1_repeat_take(const struct http1_repeat *r, struct str in,
			 struct arena *arena, struct http1_head *out)
{
	char *block = arena_z(arena, str_n(r->block, r->n));

	if (r->trace_at)
		memcpy(block + r->trace_at, in.p + r->trace_at, TRACE_BYTES);
	*out = r->head;
	move(out, arena_alloc(arena, out->n_headers * sizeof(*out->headers)),
	     r->block, block);
	return r->n;
}

void http1_repeat_free(struct http1_repeat **repeat)
{
	free(*repeat);
	*repeat = NULL;
}
