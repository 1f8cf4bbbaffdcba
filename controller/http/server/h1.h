/*
 * HTTP/1.1 (RFC 9112) behind struct http_protocol: what its files share.
 *
 *	h1.c		requests, answers and their order, limits, ends
 *	h1_repeat.c	requests that come again
 */
#ifndef HTTP_SERVER_H1_H
#define HTTP_SERVER_H1_H

#include "http/server/own.h"

/* What was asked, and what it was answered (or NULL). */
struct h1_asked {
	struct http1_repeat *repeat;
	struct memo *memo;
};

struct h1_conn {
	struct conn c;                   /* first */
	size_t scanned;                  /* of c.in */
	bool has_asked;
	struct http1_repeat *repeat;     /* asked last; its answer is c.memo */
	struct h1_asked earlier[2];
};

struct h1_request {
	struct exchange x;               /* first */
	struct http1_body decoder;
	struct buf held;                 /* of the answer, until it is its turn */
	bool is_old;                     /* HTTP/1.0 */
	bool wants_continue, is_chunked;
};

static inline struct h1_conn *h1_of(const struct conn *c)
{
	return (struct h1_conn *)c;
}

static inline struct h1_request *own(const struct exchange *ex)
{
	return (struct h1_request *)ex;
}

/* ---- h1_repeat.c ---- */

/* 'in' begins with what was asked earlier: that is 'repeat' and c->memo from here on,
 * and what they were is kept for later. */
bool h1_recall(struct conn *c, struct str in);
/* Something else is asked than what is kept: makes room for it, behind the oldest. */
void h1_push(struct conn *c);
/* The header block of what memo_keep was just called for. */
void h1_keep_head(struct exchange *ex, struct str head);
/* As http_protocol.again: in the bytes that were sent before. */
bool h1_again(struct conn *c, struct str in);
void h1_repeat_free(struct conn *c);

#endif
