/* Pictures of the state for whoever reads. */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "kv/kv.h"

struct store;

/*
 * A view per loop or thread: one read transaction that is kept and renewed.
 * view_use answers a picture that has at least 'min_rev' applied (0: any) and
 * is not older than the last wake-up; valid until the next view_use or
 * view_idle.  E_TIMEOUT where 'min_rev' is not there yet: the caller waits for
 * a wake-up (store_follow) with a deadline.
 */
struct view;
enum code view_new(struct store *store, struct view **out, struct err *err) MUST_USE;
void view_free(struct view **view);
enum code view_use(struct view *view, uint64_t min_rev, struct kv_txn **out,
		   struct err *err) MUST_USE;
/* The picture that is in use, or a new one where none is: what was read of it before
 * stays where it is. */
enum code view_now(struct view *view, struct kv_txn **out, struct err *err) MUST_USE;
/* Lets the picture go; call at the end of each loop turn. */
void view_idle(struct view *view);

#endif
