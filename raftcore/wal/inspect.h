/*
 * All that a log holds and all that is wrong with it, for people.
 *
 * Where recovery refuses damage, this names it and goes on behind it: with the next
 * record that verifies, and with the next segment.  It only reads, takes no lock and
 * may look at a log that a node is writing: what changes between two readings is read
 * again, and a segment that is given up meanwhile is left out.  Blocking; any thread.
 */
#ifndef WAL_INSPECT_H
#define WAL_INSPECT_H

#include "wal/wal.h"

struct wal_inspect_config {
	struct fs *fs;
	const char *dir;
	/* Whose log it is to be; NULL: anybody's. */
	const struct uuid *cluster;
	uint64_t node;
	/* Opens sealed segments; NULL: none. */
	const struct seal_provider *seal;
};

struct wal_seen_segment {
	const char *path;
	uint64_t id, first_sequence;     /* 0: the header cannot be read */
	bool is_sealed;
	const char *key_name;            /* that it was opened with; "" */
	/* Why it stays closed: no entry of it is told.  NULL: it does not. */
	const struct err *closed;
};

struct wal_seen_record {
	const char *path;
	uint64_t offset;                 /* in the file */
	uint64_t sequence, first_index, count;
	uint64_t bytes;                  /* without padding */
	unsigned blocks;
	bool is_closed;                  /* its entries are not told */
	uint64_t replaces;               /* last index before; 0: none replaced */
};

/*
 * What is called, in the order of the log; each may be NULL.  What is pointed to
 * is valid during the call.  An error ends the inspection.
 */
struct wal_visitor {
	enum code (*segment)(void *data, const struct wal_seen_segment *s,
			     struct err *err);
	enum code (*record)(void *data, const struct wal_seen_record *r,
			    struct err *err);
	wal_recovered *entry;            /* of the record before */
	/* The log ends here in a record that was not written whole, or is being
	 * written now: nobody was told of it. */
	enum code (*torn)(void *data, const char *path, uint64_t offset,
			  struct err *err);
	/* 'why' names the file, the place and what is wrong. */
	enum code (*damage)(void *data, const struct err *why, struct err *err);
	void *data;
};

struct wal_inspected {
	uint64_t segments, records, entries, torn, damaged;
	uint64_t closed_segments;        /* no key opens them */
	uint64_t first_index, last_index; /* of what is told; 0: nothing */
};

/* OK also where there is damage.  E_NOT_FOUND: there is no such folder; E_IO; what
 * the visitor answered. */
enum code wal_inspect(const struct wal_inspect_config *config,
		      const struct wal_visitor *visitor,
		      struct wal_inspected *out, struct err *err) MUST_USE;

#endif
