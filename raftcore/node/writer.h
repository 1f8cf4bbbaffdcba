/*
 * The WAL thread: writes one record for all that queued while the last write
 * was in flight, and tells in order.
 */
#ifndef NODE_WRITER_H
#define NODE_WRITER_H

#include "wal/wal.h"

struct writer;

/* Entries of one append; embed it.  'entries' and their bytes stay valid until
 * 'written' ran. */
struct append {
	struct append *next_;
	struct wal_entry *entries;
	size_t n, bytes;
};

struct writer_config {
	struct wal *wal;
	size_t record_bytes;             /* aimed at, 4 MiB */
	/* All up to 'last' is durable; WAL thread.  Calls come in order. */
	void (*on_written)(void *data, uint64_t last);
	/* The log failed; nothing more is written; WAL thread. */
	void (*on_failed)(void *data, enum code rc, const struct err *err);
	void *data;
};

struct writer *writer_start(const struct writer_config *config);
/* Writes what is queued, then ends the thread. */
void writer_stop(struct writer **writer);
/* Any thread. */
void writer_append(struct writer *writer, struct append *append);
/* Gives up segments that hold nothing above 'index', behind what is queued
 * now; any thread.  A failure is told by on_failed. */
void writer_cut(struct writer *writer, uint64_t index);
/* 99th percentile of the last writes, microseconds; any thread. */
uint64_t writer_p99_us(struct writer *writer);
void writer_stats(struct writer *writer, struct wal_stats *out);

#endif
