/*
 * Files of the program to other members and from them (raftcore/files.h), by the ship
 * of the node's checkpoints (shipper.c): their ids begin with FILER_ID.
 *
 *	checkpoints/incoming/file-NAME.*	what comes
 *	checkpoints/sent/			hashes of what is sent; go with the start
 *	files/NAME				what has come, until the program takes it
 */
#ifndef NODE_FILER_H
#define NODE_FILER_H

#include "node/parts.h"

struct rc_node;

#define FILER_ID "file-"
#define FILER_ALL FILER_ID "*"           /* as ship_clear takes it */

struct filer {
	struct list waiting, going;      /* struct sending */
	struct list taken;               /* struct taking */
	char *dir, *incoming, *sent_dir; /* NULL: no files */
	uint64_t look_ms;                /* when progress is looked at again */
	uint64_t retry_ms;               /* when what failed is tried again */
	uint64_t warn_ms;                /* not before it is said that it failed */
	uint64_t last_number;            /* of what is sent */
	uint64_t life;                   /* a number of this start */
	bool forgets;                    /* what nobody sends is to go */
	struct parts parts;
};

void filer_init(struct filer *f);
/* Takes up what lay there; 'names' are those in 'incoming'.  Blocking. */
enum code filer_open(struct rc_node *n, const char *incoming,
		     const struct buf *names, struct err *err) MUST_USE;
/* Tells of what lay there. */
void filer_start(struct rc_node *n);
static inline bool filer_owns(struct str id)
{
	return str_starts(id, STR(FILER_ID));
}
/* What the ship asks and tells. */
enum code filer_wanted(struct rc_node *n, uint64_t peer,
		       const struct ship_offer *offer, struct err *err) MUST_USE;
void filer_received(struct rc_node *n, uint64_t peer, const struct ship_offer *offer,
		    const char *path);
void filer_sent(struct rc_node *n, uint64_t peer, struct str id, enum code rc,
		const struct err *err);
void filer_peer_gone(struct rc_node *n, uint64_t peer);
uint64_t filer_deadline(const struct rc_node *n);
void filer_timeout(struct rc_node *n);
/* Ends all that is on its way; the raft loop has ended. */
void filer_end(struct rc_node *n);
void filer_free(struct rc_node *n);

#endif
