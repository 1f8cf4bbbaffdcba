/*
 * Answers that are given again (answer_may_repeat): what a connection keeps of the
 * last.  Protocols and memo.c alone include it.
 *
 * A protocol that knows that a request is the one that came before says so in
 * conn.repeated while it is handled, clears that and conn.about behind it, and keeps
 * (http_protocol.keep) and gives answers by these.
 */
#ifndef HTTP_SERVER_MEMO_H
#define HTTP_SERVER_MEMO_H

#include "http/server/own.h"

#define MEMO_PIECES 4

struct memo {
	const struct route *route;
	/* As it was sent, with a date and a trace to be replaced. */
	char *head;                      /* NULL: none */
	size_t n_head, date_at, trace_at;
	size_t n_about, n_lines;
	int status;
	bool wants_head, is_bodiless;
	bool is_named;
	uint8_t name[BODY_NAME_BYTES];   /* of the body */
	unsigned n_pieces;
	struct stream_vec pieces[MEMO_PIECES];
	char content_type[64];           /* empty: none */
	_Alignas(16) char bytes[];       /* about, then the lines of the header */
};

void memo_free(struct memo **memo);
/* Keeps the answer that is about to be given, where its handler has allowed it; false: not. */
bool memo_keep(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n);
/* Gives the answer that is kept; false: it has to be made. */
bool memo_give(struct exchange *ex);

#endif
