/*
 * Server sent events: bytes to events (events.c).
 */
#ifndef CLIENT_SDK_EVENTS_H
#define CLIENT_SDK_EVENTS_H

#include "client/sdk/heap.h"

struct events {
	struct bytes line, data;
	char event[24], id[24];
	bool has_data, was_cr;
};
typedef bool event_each(void *data, const char *event, const char *id,
			struct str text);
/* False: no memory, an event of more than 1 MiB, or 'each' said so. */
bool events_feed(const heap *heap, struct events *events, struct str in,
		 event_each *each, void *data) MUST_USE;
void events_reset(struct events *events);
void events_fini(const heap *heap, struct events *events);

#endif
