/* Files that are not whole any more. */
#ifndef TESTS_SIM_DAMAGE_H
#define TESTS_SIM_DAMAGE_H

#include "io/sim/disk.h"

/*
 * Damages byte 'at' of the newest checkpoint's picture in 'dir', where there is
 * one before it, at or above 'floor', that is enough.  False: there is not.
 */
bool damage_newest(struct disk *disk, const char *dir, uint64_t floor,
		   uint64_t at);
/* Damages byte 'at' of copy 'which' of term and vote in 'dir'.  False: the two are not
 * both there and whole. */
bool damage_vote(struct disk *disk, const char *dir, unsigned which, uint64_t at);


/* Where a byte of a log is another one. */
struct damaged_log {
	char path[128];                  /* of the segment; "": none is */
	uint64_t at, from, to;           /* the byte; its record, or the header */
};
/*
 * Damages one of the records of the log in 'dir', or now and then the header of its
 * segment, as 'pick' says; all of it has to be durable.  False: there is no record.
 */
bool damage_log(struct disk *disk, const char *dir, uint64_t pick,
		struct damaged_log *out);
/* Whether a start that was refused says that place. */
bool damage_is_said(const struct damaged_log *d, struct str text);

#endif
