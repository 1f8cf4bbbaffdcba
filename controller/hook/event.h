/*
 * Events as they go out: CloudEvents 1.0, structured JSON (docs/webhooks.md).  Pure;
 * any thread.
 */
#ifndef HOOK_EVENT_H
#define HOOK_EVENT_H

#include "state/outbox_row.h"

#define HOOK_CONTENT_TYPE "application/cloudevents+json; charset=utf-8"

/* 'cluster' is the id of the cluster as text; 'hook' the name of the webhook. */
void event_json(struct buf *out, const struct outbox_row *row, struct str cluster,
		struct str hook);
/* One that is made here and stored nowhere: what `conflux webhook test` sends. */
void event_test(struct outbox_row *out, struct uuid id, struct str tenant,
		uint64_t now_ms);

#endif
