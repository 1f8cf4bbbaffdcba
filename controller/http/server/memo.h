/*
 * Answers that are given again (answer_may_repeat): what a connection keeps of the
 * last.  Only the other files of http/server include it.
 */
#ifndef HTTP_SERVER_MEMO_H
#define HTTP_SERVER_MEMO_H

#include "http/server/own.h"

void memo_free(struct memo **memo);
/* 'in' begins with what was asked earlier: that is 'repeat' and 'memo' from here on, and
 * what they were is kept for later. */
bool memo_recall(struct conn *c, struct str in);
/* Something else is asked than what is kept: makes room for it, behind the oldest. */
void memo_push(struct conn *c);
void memo_free_all(struct conn *c);
/* Keeps the answer that is about to be given, where its handler has allowed it. */
void memo_keep(struct exchange *ex, const char *content_type,
	       const struct stream_vec *v, unsigned n);
/* The header block of what memo_keep was just called for. */
void memo_keep_head(struct exchange *ex, struct str head);
/* Gives the answer that is kept; false: it has to be made. */
bool memo_give(struct exchange *ex);
/* The same for all that came, 'in', where nothing else is open: without an exchange,
 * in the bytes that were sent before.  False: nothing was done. */
bool memo_give_at_once(struct conn *c, struct str in);

#endif
