/* Shared by the files of wal/: the layout of segments. */
#ifndef WAL_OWN_H
#define WAL_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal/wal.h"
#include "wire/sum.h"
#include "wire/wire.h"

#define WAL_BLOCK FILE_BLOCK
#define WAL_MAGIC 0x314c415758464343ull      /* "CCFXWAL1" */
#define WAL_FORMAT 1
#define WAL_FORMAT_SEALED 2              /* an envelope follows in the header */
#define WAL_HEADER_BYTES 64
#define WAL_STAMP_BYTES 28       /* segment, sequence, position, crc */
#define WAL_PAYLOAD (WAL_BLOCK - WAL_STAMP_BYTES)
#define WAL_ENTRY_LEAST 3        /* bytes of an entry: term, type, length */
#define WAL_RECORD_BYTES 32      /* crc, length, sequence, first, count */

struct wal_stamp {
	uint64_t segment, sequence;
	uint32_t position, blocks;       /* in the record, of the record */
};

struct segment {
	uint64_t id, first_sequence;
	uint64_t max_index;              /* of its entries; 0: none */
	uint64_t bytes;                  /* that its header says */
	bool is_sealed;
	struct aead *aead;               /* of its records; NULL: plain, or closed
					    (is_sealed), which only inspect.c has */
	char key_name[SEAL_NAME_MAX + 1];
	char path[512];
};

/* Where a record lies; by first index, without overlap: what a later record
 * replaced is not in it. */
struct wal_place {
	uint64_t segment, offset;
	uint64_t first;                  /* index of its first entry */
	uint32_t blocks, n;              /* entries that still count */
};

struct wal {
	struct wal_config config;
	char dir[400];
	struct segment *segments;        /* by id; the last one is written */
	size_t n_segments, cap_segments;
	struct wal_place *places;
	size_t n_places, cap_places;
	struct tend *tend;
	struct file *file;               /* of the last segment */
	uint64_t offset;                 /* where the next record goes */
	uint64_t next_id, next_sequence;
	const char *key_name;            /* of new segments; NULL: plain */
	char *block;                     /* aligned, grows */
	size_t block_cap;
	struct wal_stats stats;
	struct err failed;               /* why it is broken */
	bool is_broken;
};

/* ---- tend.c ---- */

void tend_new(struct wal *wal);
/* The thread, where the log has one.  E_BUSY. */
enum code tend_start(struct wal *wal, struct err *err);
/* After this the rest of the log may go. */
void tend_free(struct wal *wal);
/* A file that an earlier run left. */
void tend_left(struct wal *wal, struct str name);
/* A file that a segment can be made of; false: there is none ready. */
bool tend_take(struct wal *wal, char path[512]);
void tend_put_back(struct wal *wal, const char *path);
/* The name of a new one. */
void tend_name(struct wal *wal, char path[512]);
/* The segment is none of the log's any more. */
void tend_give_up(struct wal *wal, const struct segment *s);
/* Something was taken or given up. */
void tend_wake(struct wal *wal);
/* Too little is free for files that are not needed yet; not of one that is tended
 * in its own calls. */
bool tend_is_tight(const struct wal *wal);
/* Until all that was given up has lost its name. */
enum code tend_drain(struct wal *wal, struct err *err);
/* Why what was given up is not gone yet, where that fails; OK: nothing did, or it went
 * well since. */
enum code tend_failed(struct wal *wal, struct err *err);
/* E_IO: the folder could not be synced, for good, with the reason; OK: that was not. */
enum code tend_broken(const struct wal *wal, struct err *err);

void wal_segment_path(const struct wal *wal, uint64_t id, char out[512]);
void wal_stamp_write(char *block, const struct wal_stamp *stamp);
/* What stands at the start of a block: nothing (zeros), a stamp, or garbage. */
enum wal_found { WAL_FOUND_NOTHING, WAL_FOUND_STAMP, WAL_FOUND_GARBAGE };
enum wal_found wal_stamp_read(const char *block, struct wal_stamp *out);
/* The header of a new segment, whose key it makes. */
enum code wal_header_write(const struct wal *wal, struct segment *s,
			   char block[WAL_BLOCK], struct err *err);
/* A header, taken apart; nothing is opened. */
struct wal_header {
	uint64_t bytes, id, node, first_sequence;
	struct uuid cluster;
	bool is_sealed;
	struct str envelope;             /* of a sealed one; borrows */
};
/* E_CORRUPT, E_UNSUPPORTED. */
enum code wal_header_decode(const char *path, const char block[WAL_BLOCK],
			    struct wal_header *out, struct err *err);
/* What a header that is damaged says, for what it is worth. */
bool wal_header_says_sealed(const char block[WAL_BLOCK]);
/* Makes the segment's key out of a sealed one's envelope.  E_CORRUPT, E_DENIED. */
enum code wal_header_open(const struct seal_provider *seal,
			  const struct wal_header *h, struct segment *s,
			  struct err *err);
/* The log of another cluster or node: E_DENIED. */
enum code wal_header_check(const char *path, const struct wal_header *h,
			   const struct uuid *cluster, uint64_t node,
			   struct err *err);
/* All of these; fills 's', which has id and path. */
enum code wal_header_read(const struct wal *wal, const char block[WAL_BLOCK],
			  struct segment *s, struct err *err);
/* Encrypts the entries behind a record's header in place, with room for a tag
 * behind them; 'n' is the record's length with it. */
void wal_record_seal(const struct segment *s, char *record, size_t n);
/* The other way; false: it was not sealed as this record of this segment. */
bool wal_record_open(const struct segment *s, char *record, size_t n);
struct segment *wal_segment_find(struct wal *wal, uint64_t id);
/* Room for 'n' bytes of blocks in wal->block. */
void wal_block_reserve(struct wal *wal, size_t n);
/* Damage of a segment: E_CORRUPT with file, place and hint. */
enum code wal_damage(const char *path, uint64_t at, const char *what,
		     struct err *err);

struct wal_record {
	uint32_t crc, length;
	uint64_t sequence, first_index, count;
};
/* Checks the record in the stamped blocks at 'blocks', which came from 'at' of
 * 's', and tells its entries ('each' may be NULL).  Of a closed segment no entry is
 * told, and what is encrypted is not checked. */
enum code wal_record_read(const struct segment *s, uint64_t at, const char *blocks,
			  size_t n_blocks, uint64_t sequence,
			  wal_recovered *each, void *data,
			  struct wal_record *out, struct err *err);
/* The blocks of a segment, as they were read. */
struct wal_image {
	const char *path;
	uint64_t segment;                /* id */
	char *bytes;
	uint64_t n;                      /* whole blocks */
};
/* The whole file, in memory that is freed with free().  E_CORRUPT: it is larger
 * than a segment can be. */
enum code wal_image_read(struct fs *fs, unsigned flags, struct wal_image *im,
			 struct err *err);
/* Blocks of the whole record 'sequence' at 'at', by its stamps; 0: none, or torn. */
size_t wal_image_record(const struct wal_image *im, uint64_t at,
			uint64_t sequence);
/*
 * What is from 'at' on, where no record with this sequence begins.  Blocks of the
 * one that was being written may lie there (torn: '*bad' is the first); anything
 * later of this segment means that something before it is missing ('*bad', '*what').
 */
enum wal_rest { WAL_REST_NONE, WAL_REST_TORN, WAL_REST_DAMAGED };
enum wal_rest wal_image_rest(const struct wal_image *im, uint64_t at,
			     uint64_t sequence, uint64_t *bad,
			     const char **what);
/* The id in a segment's name; false: it is none. */
bool wal_segment_id(struct str name, uint64_t *id);
/* As well in those of files that are none: "<id>.spare", "new-<id>.spare". */
bool wal_spare_id(struct str name, uint64_t *id);
bool wal_new_id(struct str name, uint64_t *id);
/* A record was written or found: it replaces what was from its first on. */
void wal_place_add(struct wal *wal, const struct wal_place *place);
/* The segment was given up. */
void wal_places_drop(struct wal *wal, uint64_t segment);
enum code wal_recover(struct wal *wal, wal_recovered *each, void *data,
		      struct err *err);

#endif
