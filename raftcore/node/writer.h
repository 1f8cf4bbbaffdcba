/*
 * The WAL thread: writes one record for all that queued while the last write
 * was in flight, and tells in order.
 */
#ifndef NODE_WRITER_H
#define NODE_WRITER_H

#include "wal/wal.h"

struct writer;

/* Something done on the log between two writes; embed it.  Valid until it
 * ran; after a failure of the log it does not run. */
struct writer_task {
	struct writer_task *next_;
	void (*run)(struct writer_task *task, struct wal *wal);
};

/* Entries of one append; embed it.  Its entries and their bytes stay valid
 * until 'written' told of its sequence. */
struct append {
	struct writer_task task_;
	struct wal_entry *entries;       /* consecutive indexes */
	size_t n, bytes;
	uint64_t sequence;               /* counts up from append to append */
};

struct writer_config {
	struct wal *wal;
	size_t record_bytes;             /* aimed at, 4 MiB */
	/* All appends up to 'sequence' are durable; WAL thread.  Calls come in
	 * order. */
	void (*on_written)(void *data, uint64_t sequence);
	/* The log failed; nothing more is written; WAL thread. */
	void (*on_failed)(void *data, enum code rc, const struct err *err);
	/* There is no room for a record, or for what a task does patiently; it is
	 * tried again until there is.  NULL: it went in.  WAL thread. */
	void (*on_room)(void *data, const struct err *err);
	/* Something fails beside the log (wal_trouble); told behind a record or a
	 * task.  NULL: it goes well again.  WAL thread; may be NULL. */
	void (*on_trouble)(void *data, const struct err *err);
	void *data;
};

/* E_BUSY: the machine has no more threads. */
enum code writer_start(const struct writer_config *config, struct writer **out,
		       struct err *err) MUST_USE;
/* Writes what is queued, as far as there is room, then ends the thread. */
void writer_stop(struct writer **writer);
/* Any thread; both in the order of the calls.  What is appended is written at the latest
 * when the thread is woken. */
void writer_append(struct writer *writer, struct append *append);
void writer_wake(struct writer *writer);
void writer_run(struct writer *writer, struct writer_task *task);
/*
 * For a task, on the WAL thread: does 'step' until it answers something else than
 * E_FULL, and waits between.  E_FULL: the thread is to end.
 */
typedef enum code writer_step(void *data, struct wal *wal, struct err *err);
enum code writer_patiently(struct writer *writer, writer_step *step, void *data,
			   struct err *err) MUST_USE;
/* 99th percentile of the last writes, microseconds; any thread. */
uint64_t writer_p99_us(struct writer *writer);
void writer_stats(struct writer *writer, struct wal_stats *out);

#endif
