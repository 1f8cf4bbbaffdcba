/*
 * Rows of the outbox and of the keys of webhooks.
 *
 *	outbox	  uid of a webhook, OUTBOX_WAITING or OUTBOX_REFUSED, sequence
 *			-> an event for it (outbox_row)
 *		  uid of a webhook, OUTBOX_TALLY
 *			-> how much of that there is (outbox_tally)
 *	hook_keys uid of a webhook -> its key (hook_key_row)
 *	meta	  "outbox" -> the last sequence, of all webhooks
 *		  "outbox_gone/" and a uid -> nothing: rows of a webhook that was
 *			deleted, which time removes
 */
#ifndef STATE_OUTBOX_ROW_H
#define STATE_OUTBOX_ROW_H

#include "model/webhook.h"
#include "state/rows.h"

/* In keys: append only. */
enum outbox_state {
	OUTBOX_WAITING = 0,              /* to be delivered, in order */
	OUTBOX_REFUSED = 1,              /* dead: given up */
	OUTBOX_TALLY = 2,
};

struct outbox_row {
	uint64_t seq;                    /* from the key */
	/* The same for all webhooks that are told, and in no two histories. */
	struct uuid id;
	enum notice notice;
	uint64_t time_ms;                /* when it happened */
	uint64_t since_ms;               /* when it began to wait */
	enum kind_id kind;               /* what it is about */
	struct str tenant, name;
	struct str data;                 /* JSON object */
	/* Where it is dead. */
	uint64_t dead_ms;
	struct str error;
};
void key_outbox_of(struct buf *out, struct uuid hook, enum outbox_state state);
void key_outbox(struct buf *out, struct uuid hook, enum outbox_state state,
		uint64_t seq);
void outbox_row_encode(struct buf *out, const struct outbox_row *row);
bool outbox_row_decode(struct str key, struct str in, struct outbox_row *out);

struct outbox_tally {
	uint64_t waiting, dead;
	uint64_t delivered, delivered_ms;        /* in all; when the last was */
	uint64_t lost, lost_ms;          /* not even kept, or removed unread */
	/* Format 2 of the row, where any is set: of what waits and what is dead; the
	 * last that waits says that what followed is lost. */
	uint64_t bytes;
	bool is_lossy;
};
void outbox_tally_encode(struct buf *out, const struct outbox_tally *row);
bool outbox_tally_decode(struct str in, struct outbox_tally *out);

#define HOOK_KEY_BYTES 32
struct hook_key_row {
	uint8_t key[HOOK_KEY_BYTES];
	uint64_t made_ms;
	/* The one before counts until then; 0: there is none. */
	uint8_t before[HOOK_KEY_BYTES];
	uint64_t before_until_ms;
};
void hook_key_encode(struct buf *out, const struct hook_key_row *row);
bool hook_key_decode(struct str in, struct hook_key_row *out);

#define KEY_OUTBOX_SEQ STR("outbox")
#define KEY_OUTBOX_GONE STR("outbox_gone/")

#endif
