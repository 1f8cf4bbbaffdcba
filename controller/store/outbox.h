/*
 * Told on the core loop when what webhooks are to be told (state/outbox.h) has become
 * other than it was, behind the commit.  Embed it; both on the core loop, off also
 * within 'changed'.
 */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include "store/store.h"

struct store_outbox {
	void (*changed)(struct store_outbox *outbox);
	struct list at_;
};
void store_on_outbox(struct store *store, struct store_outbox *outbox);
void store_off_outbox(struct store_outbox *outbox);

#endif
