/*
 * Room on the disk for a file that is written through its map.
 *
 * A page of a map for which the disk has no room is a signal (SIGBUS) to who touches it,
 * where a write would answer ENOSPC.  So the file grows before it is touched: it ends
 * somewhat behind what is used, where nothing was written, so that those pages are in
 * the page cache; and what lies behind its end has blocks already, as much again.
 * Touching what is behind the end is a signal too, and makes it grow in the middle of a
 * transaction.  Where it cannot, memory of nobody's file takes the page's place, so that
 * who writes gets through, and map_room_lost says that nothing of it may count: the
 * transaction is given up, and the pages are the file's again.  What is reserved behind
 * the end is for the commit (map_room_last), which cannot be given up any more once it
 * has begun.
 *
 * File systems that write elsewhere what is written again (btrfs, XFS with shared blocks)
 * may have no room for a page that is there; that is found in the same way.  In a commit
 * it is an error of the store: then what says which pages are live is not written to the
 * file either, where the transaction before stays whole.
 *
 * The signal is handled for the maps that the thread itself writes at that moment; all
 * others go where they went before.  One thread at a time writes a map: who enters, until
 * it leaves or another leaves for it, which then writes no more.  The handler
 * calls fstat, getrlimit, fallocate, ftruncate, pread, pwrite, mmap, mremap and munmap, which
 * on Linux are system calls and no more.
 *
 * A file that somebody else cut short meanwhile does not grow any more, and a page that was
 * cut off ends the process, as one that cannot be read does: the file stays too short.
 */
#ifndef KV_MAP_ROOM_H
#define KV_MAP_ROOM_H

#include "base/err.h"

#define MAP_ROOM_LOST 256

/* All zero: of a file that is not written so; then nothing is done. */
struct map_room {
	char *map;
	size_t n;
	int fd;
	uint64_t end, reserved;          /* the file's length; what has blocks */
	bool is_last, keeps_head, is_broken;  /* broken: what is there is not known */
	int error;                       /* why it could not grow, an errno */
	unsigned n_lost;
	struct { char *p; size_t n; } lost[MAP_ROOM_LOST];
	unsigned slot;                   /* where the handler finds it */
};

/* Of a file that was just mapped, whole, shared and to write, over 'n' bytes; its length
 * becomes 'end', which is what is used.  E_IO: /proc/self/maps has no such map. */
enum code map_room_init(struct map_room *r, int fd, size_t n, uint64_t end,
			struct err *err) MUST_USE;

/* The calling thread begins to write it, of which 'used' bytes are. */
void map_room_enter(struct map_room *r, uint64_t used);
/* Now comes what cannot be given up.  0, or why there is no room that is reserved for it,
 * an errno. */
int map_room_last(struct map_room *r);
/* 0, or why pages that were written are not the file's, an errno. */
static inline int map_room_lost(const struct map_room *r)
{
	return r->n_lost ? r->error : 0;
}
/* So much is used, also where nobody touched it (what LMDB set apart and did not need). */
void map_room_cover(struct map_room *r, uint64_t used);
/* Before it is closed: what lies behind is given back, so that a file that was only opened is as
 * it was. */
void map_room_cut(struct map_room *r, uint64_t used);
/* 'is_kept': what was lost stays as it was written, for those who read it. */
void map_room_leave(struct map_room *r, bool is_kept);

#endif
