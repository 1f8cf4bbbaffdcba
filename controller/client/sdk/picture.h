/*
 * What getters read: an immutable picture of all configurations, exchanged as a
 * whole under readers that take no lock and write no memory that they share.
 *
 * A reader counts itself in and out at a slot of its thread; a slot has two counts,
 * and `epoch` says which one is used by who comes now.  Who replaced a picture lets
 * it go when it has seen each count of each slot at 0 since: whoever read the old
 * pointer had counted himself in before the exchange (all of this is sequentially
 * consistent), so he is seen.  Turning the epoch makes a count fall to 0 that busy
 * threads would keep up for ever.
 */
#ifndef CLIENT_SDK_PICTURE_H
#define CLIENT_SDK_PICTURE_H

#include "client/sdk/doc.h"

#define CONFIGS_MAX 64
#define SLOTS 64

/* The names, in the order of the pictures' documents: counted, immutable. */
struct names {
	atomic_uint refs;
	unsigned n;
	uint8_t table[CONFIGS_MAX * 4];  /* by hash: place + 1, or 0 */
	char *name[];
};

/* 'list': with commas between.  CFX_E_USAGE; CFX_E_NO_MEMORY. */
enum cfx_code names_new(const heap *heap, const char *list, struct names **out,
			struct cfx_error *error) MUST_USE;
void names_unref(const heap *heap, struct names *names);         /* NULL is fine */
/* -1: none of them. */
int names_find(const struct names *names, const char *name);

/* What cfx_view answers too. */
struct cfx_view {
	atomic_uint refs;
	heap heap;
	struct names *names;
	struct cfx_view *next;           /* of those to be let go */
	struct doc *docs[];              /* NULL: not there */
};

/* With all that 'of' has (NULL: empty).  NULL: no memory. */
struct cfx_view *picture_new(const heap *heap, struct names *names,
			     const struct cfx_view *of) MUST_USE;
void picture_set(struct cfx_view *picture, unsigned at, struct doc *doc);

struct slot {
	_Alignas(128) atomic_uint readers[2];
};

struct shelf {
	_Atomic(struct cfx_view *) now;
	atomic_uint epoch;
	struct slot *slots;
	void *slots_room;
	/* The writer's: what was replaced, and what is waited for. */
	struct cfx_view *old, *waiting;
	unsigned phase;                  /* counts seen at 0 up to here */
};

bool shelf_init(const heap *heap, struct shelf *shelf,
		struct cfx_view *first) MUST_USE;
void shelf_fini(const heap *heap, struct shelf *shelf);
/* One thread: takes 'next' over. */
void shelf_exchange(struct shelf *shelf, struct cfx_view *next);
/* One thread: lets go of what nobody reads.  True: something is left. */
bool shelf_clean(struct shelf *shelf);

#endif
