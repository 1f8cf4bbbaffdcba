/*
 * The files of one transfer at its receiver: part, journal, whole file
 * (docs/formats/ship.md).  Blocking; any thread, one thread an object.
 */
#ifndef SHIP_STORE_H
#define SHIP_STORE_H

#include "ship/ship.h"

struct store {
	struct fs *fs;
	char *dir, *part, *journal, *whole;      /* paths */
	struct file *file;               /* the part */
	uint64_t part_bytes;             /* when it was opened */
	uint64_t durable;                /* chunks from the first on, that were
					    synced, as the journal says */
	bool is_whole;                   /* it is there already, verified */
};

void store_init(struct store *st, struct fs *fs, const char *dir, struct str id);
void store_fini(struct store *st);
/* Takes up what there is of 'offer'; what is there of another one goes. */
enum code store_open_part(struct store *st, const struct ship_offer *offer,
		     struct err *err) MUST_USE;
/* Makes what is written durable, and then that chunks up to 'durable' are there.
 * After another code than OK the part is gone. */
enum code store_sync(struct store *st, const struct ship_offer *offer,
		     uint64_t durable, struct err *err) MUST_USE;
/* The part cannot be written any more: it goes. */
void store_drop(struct store *st);
bool store_keeps(struct str keep, struct str id);
/* Removes the files of 'dir' that belong to none of 'keep': ids, each ended by NUL. */
enum code store_sweep(struct fs *fs, const char *dir, struct str keep,
		      struct err *err) MUST_USE;
/* Syncs, names, syncs the folder.  E_FULL, E_IO of the sync: the part is gone. */
enum code store_finish(struct store *st, struct err *err) MUST_USE;

#endif
