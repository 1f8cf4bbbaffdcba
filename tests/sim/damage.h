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

#endif
