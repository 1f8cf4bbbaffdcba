/*
 * Lists of proposals and releases, a page at a time, in the order in which people look
 * for them: what is open first, and the newest first.  Names hold the revision at which
 * a thing was made.
 *
 * A page says where it ends by its last item, and whether that was among the open ones
 * (`next`, which goes into ?after=); what ends between two pages moves behind that place,
 * so nothing is left out.
 *
 * Pure; any thread.
 */
#ifndef API_PAGES_H
#define API_PAGES_H

#include "base/arena.h"
#include "base/buf.h"

struct page_item {
	struct str tenant, name;
	bool is_over;                    /* not open */
};

struct pages {
	struct arena *arena;
	struct page_item *items;
	size_t n, cap;
	struct page_item after;          /* no name: from the start */
};

/* "open/TENANT/NAME" or "over/TENANT/NAME"; borrows.  False: it is none. */
bool pages_after(struct pages *p, struct str text);
/* Borrows the names; what is not behind `after` is left out. */
void pages_add(struct pages *p, const struct page_item *item);
void pages_sort(struct pages *p);
/* The `next` of a page that ends with it. */
void pages_next(struct buf *out, const struct page_item *last);

#endif
