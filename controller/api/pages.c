/* The order of lists: see pages.h. */
#include "api/pages.h"

#include <stdlib.h>

#include "base/banned.h"

static int compare(const struct page_item *a, const struct page_item *b)
{
	int by_name = str_cmp(b->name, a->name);

	if (a->is_over != b->is_over)
		return a->is_over ? 1 : -1;
	return by_name ? by_name : str_cmp(a->tenant, b->tenant);
}

static int by_order(const void *a, const void *b)
{
	return compare(a, b);
}

bool pages_after(struct pages *p, struct str text)
{
	struct str group = str_cut(&text, '/');

	p->after.is_over = str_is(group, "over");
	p->after.tenant = str_cut(&text, '/');
	p->after.name = text;
	return (p->after.is_over || str_is(group, "open")) && p->after.tenant.n &&
	       p->after.name.n;
}

void pages_add(struct pages *p, const struct page_item *item)
{
	if (p->after.name.n && compare(item, &p->after) <= 0)
		return;
	p->items = arena_grow(p->arena, p->items, &p->cap, p->n + 1, sizeof(*p->items));
	p->items[p->n++] = *item;
}

void pages_sort(struct pages *p)
{
	if (p->n)
		qsort(p->items, p->n, sizeof(*p->items), by_order);
}

void pages_next(struct buf *out, const struct page_item *last)
{
	AUTO_BUF text = BUF_NONE;

	buf_printf(&text, "%s/%.*s/%.*s", last->is_over ? "over" : "open",
		   STR_ARG(last->tenant), STR_ARG(last->name));
	buf_json(out, buf_view(&text));
}
