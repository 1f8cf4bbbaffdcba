/*
 * A disk in memory behind `struct fs`, with the faults of real ones.
 *
 * What is written is seen at once, but survives a power loss only as io/file.h
 * promises: writes to FILE_DURABLE files and what file_sync covered; names once
 * their folder was synced.  Of the rest each block of 4 KiB survives or not by
 * itself, and of the changes of names a prefix in the order in which they were
 * made, as a journal would keep them.
 *
 * Each write, sync and change of a name is a step; at a chosen step the machine
 * goes down: a write is torn, everything afterwards answers E_IO, until
 * disk_power_loss or disk_kill.
 *
 * Folders exist once made, durably.  Everything follows from the seed.  One
 * thread.
 */
#ifndef IO_SIM_DISK_H
#define IO_SIM_DISK_H

#include "base/rand.h"
#include "io/file.h"

struct disk;

struct disk *disk_new(uint64_t seed);
void disk_free(struct disk **disk);
struct fs *disk_fs(struct disk *disk);

/* Steps so far; and at which the machine goes down (0: never). */
uint64_t disk_steps(const struct disk *disk);
void disk_crash_at(struct disk *disk, uint64_t step);
bool disk_is_down(const struct disk *disk);
/* Answers E_IO to so many of a million steps.  As with those that a failpoint
 * fails (`file.write`), a write may be there in part; of what a sync should have
 * covered blocks are lost, and the next sync finds nothing to do; changes of names
 * have not happened. */
void disk_set_errors(struct disk *disk, unsigned per_million);

/* Syncs of files and folders answer OK and do nothing. */
void disk_set_lies(struct disk *disk, bool lies);
/* Another byte stands in the file, durably; false: there is none such. */
bool disk_damage(struct disk *disk, const char *path, uint64_t at);
/* The next write puts another byte than it was given, and says nothing; or not,
 * after all. */
void disk_rot_next(struct disk *disk, bool rots);
/* Steps that make something larger answer E_FULL. */
void disk_set_full(struct disk *disk, bool is_full);

/* What was not durable is lost, by the rules above; files that were open are
 * gone.  The machine is up again. */
void disk_power_loss(struct disk *disk);
/* Only the process ended: everything written is there. */
void disk_kill(struct disk *disk);

#endif
