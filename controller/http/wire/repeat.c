/* Requests that come again: see http1.h. */
#include "http/wire/http1.h"

#include "base/mem.h"

#include "base/banned.h"

#define RAW_MAX 2048

/* In one piece of memory: headers, what came, and what was made of it. */
struct http1_repeat {
	size_t n;
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
	r->raw = (char *)r->headers + headers;
	r->block = r->raw + raw.n;
	memcpy(r->raw, raw.p, raw.n);
	memcpy(r->block, block, raw.n);
	move(&r->head, r->headers, block, r->block);
	*repeat = r;
}

bool http1_repeat_is(const struct http1_repeat *r, struct str in)
{
	return r && in.n >= r->n && memcmp(in.p, r->raw, r->n) == 0;
}

bool http1_repeat_is_all(const struct http1_repeat *r, struct str in)
{
	return http1_repeat_is(r, in) && in.n == r->n;
}

struct str http1_repeat_raw(const struct http1_repeat *r)
{
	return str_n(r->raw, r->n);
}

size_t http1_repeat_take(const struct http1_repeat *r, struct arena *arena,
			 struct http1_head *out)
{
	char *block = arena_z(arena, str_n(r->block, r->n));

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
