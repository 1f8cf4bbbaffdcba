/*
 * Intrusive doubly linked list with a sentinel head.  One thread.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/must.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
	node->next = at;
	node->prev = at->prev;
	at->prev->next = node;
	at->prev = node;
}
static inline void list_append(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}
static inline void list_prepend(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}
/* Leaves 'node' pointing at itself, so removing twice is harmless. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
/* Safe against removal of 'it' itself. */
#define list_each(head, it, member)                                          \
	for (struct list *it##_p = (head)->next, *it##_n = it##_p->next;      \
	     it##_p != (head) &&                                              \
	     ((it) = container_of(it##_p, __typeof__(*(it)), member), true);  \
	     it##_p = it##_n, it##_n = it##_p->next)

#endif
