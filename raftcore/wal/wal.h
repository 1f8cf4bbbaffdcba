/*
 * The durable log: records of entries in pre-zeroed, recycled segments.
 *
 * Layout (docs/formats/wal.md).  A segment is a file <id>.seg of fixed size in
 * blocks of 4 KiB.  Block 0 is its header: cluster, node, id, sequence of the
 * first record.  Every other block starts with a stamp {segment id, record
 * sequence, position, blocks of the record, CRC32C of these}.  A record takes
 * whole blocks and is one write: a header {CRC32C, length, sequence, first
 * index, count} and the entries.  Sequences count on over all segments without
 * gap.  A block of 4 KiB is assumed to be written as a whole or not at all.
 *
 * Recovery reads all segments in order.  In the last record a block that still
 * holds what was there before (zeros, or the stamp of an older segment) is a
 * torn write, and the record is cut: nobody was told of it.  Everything else
 * that is wrong is damage, refused with file and offset: a stamp that does not
 * match its checksum, a record whose blocks are all stamped and whose checksum
 * is wrong, a gap in the sequences, a block behind the end.
 *
 * A record whose first index is at or below the last one replaces the log from
 * there on.
 *
 * Where a provider of keys says so, segments that begin from now on are sealed:
 * the entries of each record are encrypted (AES-256-GCM) with a key of the
 * segment, which lies wrapped in its header; stamps, headers and checksums are
 * not, so torn and damaged are told as without.  The nonce is the record's
 * sequence: a segment's key is never used by another run, and in one run no
 * sequence is encrypted twice.  A file with plain records is not recycled then.
 *
 * This is the synchronous core: one thread at a time.  writer.h puts it on a
 * thread of its own.  What can be done beside (tend.c: files are made ready for
 * segments to come, those that were given up lose their names and blocks) is done as
 * wal_config.tending says.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/rand.h"
#include "io/file.h"
#include "seal/seal.h"

struct wal;

struct wal_entry {
	uint64_t index, term;
	uint8_t type;                    /* of the engine */
	struct str data;
};

/*
 * Who does what need not be waited for.  A log that is tended keeps files with zeros
 * ready, and gives the blocks of what it does not keep back in pieces, so that a write
 * beside it does not wait long for the disk.
 */
enum wal_tending {
	WAL_TEND_INLINE,                 /* nobody: append and cut do it and wait */
	WAL_TEND_THREAD,                 /* a thread of the log's own, beside; 'fs'
					    is one of any thread */
	WAL_TEND_CALLER,                 /* who calls wal_tend */
};

#define WAL_SEGMENT_MAX (1ull << 30)     /* bytes of a file */

#define WAL_AHEAD 2u                     /* files with zeros that are made ready */
#define WAL_PLENTY 32u

struct wal_config {
	struct fs *fs;
	const char *dir;
	struct uuid cluster;
	uint64_t node;
	uint64_t segment_bytes;          /* 64 MiB; a multiple of 4 KiB, at most
					    WAL_SEGMENT_MAX */
	/* Segments that were given up and are kept to be written again.  Where the
	 * log is tended and the disk has room for fewer than WAL_PLENTY segments, at
	 * most WAL_AHEAD are, and none is made ahead of need. */
	unsigned spares_max;
	enum wal_tending tending;
	/* Keys of sealed segments; NULL: none are opened, none are made.  Asked on
	 * the log's thread; an error of its wrap is one of the disk. */
	const struct seal_provider *seal;
	/* Nothing on disk is changed: it is read, and closed. */
	bool reads_only;
};

/* Called for each entry in the order of the records; an entry at an index
 * that was there before replaces it and all behind it.  An error ends the
 * recovery. */
typedef enum code wal_recovered(void *data, const struct wal_entry *entry,
				struct err *err);

struct wal_stats {
	uint64_t records, entries, bytes, segments;
	uint64_t first_index, last_index;      /* 0: empty */
	uint64_t torn;                          /* records cut at the start */
	uint64_t other_segments;                /* not sealed as new ones are: plain,
						   or by another key */
	bool is_direct, is_sealed;
};

/*
 * Opens or creates the log in 'dir' and recovers it.  Never appends to an old
 * segment.  E_CORRUPT: damage, with file and offset; E_DENIED: the log of
 * another cluster or node, or sealed with a key that is not here; E_BUSY: the machine
 * has no thread for it, or no descriptor.
 */
enum code wal_open(const struct wal_config *config, wal_recovered *each,
		   void *data, struct wal **out, struct err *err) MUST_USE;
void wal_close(struct wal **wal);
/*
 * Writes the entries (consecutive indexes) as one record; durable when it
 * returns OK.  E_FULL: nothing was written that counts, and it may be tried again,
 * on a disk that is full or where no descriptor was left for a new segment; any
 * other error: the log must not be used any more, and says why to who does.  What
 * fails beside it (wal_trouble) and is tried again is no error of an append.
 */
enum code wal_append(struct wal *wal, const struct wal_entry *entries, size_t n,
		     struct err *err) MUST_USE;
/*
 * Tells the entries 'from'..'to', which are in the log and were not replaced,
 * reading them back; 'each' may end it early with a code of its own.
 * E_NOT_FOUND: 'from' was cut or is not there; E_CORRUPT.
 */
enum code wal_read(struct wal *wal, uint64_t from, uint64_t to,
		   wal_recovered *each, void *data, struct err *err) MUST_USE;
/*
 * Gives up segments all of whose entries are at or below 'index'.  Of a log that is
 * tended they lose their names later, oldest first, and after a crash the newer ones
 * are there again; an error is one of an earlier cut then, which did not go well since,
 * and it is tried again.  Where the folder cannot be synced, nothing is appended any
 * more; where no descriptor was left for it, that is tried again too.
 */
enum code wal_cut(struct wal *wal, uint64_t index, struct err *err) MUST_USE;
/* Gives up all entries, oldest first, and waits until they are gone; what is appended
 * next may have any index.  A crash in between leaves the newer ones: it is done
 * again.  E_FULL: as of wal_append; it may be called again. */
enum code wal_restart(struct wal *wal, struct err *err) MUST_USE;
/* A piece of what can be done beside, for WAL_TEND_CALLER; any thread.  '*did': there
 * was one.  What fails is tried again later. */
enum code wal_tend(struct wal *wal, bool *did, struct err *err) MUST_USE;
/*
 * What fails of that now: what, where, and what helps; '*err' is OK where nothing does,
 * or it went well since.  False: that is as it was told last; '*seen', 0 at first, is the
 * caller's.  Cheap, so that it may be asked behind each append; any thread.
 */
bool wal_trouble(const struct wal *wal, unsigned *seen, struct err *err) MUST_USE;
void wal_stats_get(const struct wal *wal, struct wal_stats *out);
/* Files of segments that were given up, which were not sealed as new ones are, and are
 * still on the disk; any thread. */
uint64_t wal_gone_others(const struct wal *wal);
/* Most bytes of entries' data that one record can hold. */
size_t wal_record_max(const struct wal *wal);

#endif
