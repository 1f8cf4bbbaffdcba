/*
 * The store of one node: LMDB with named tables.  One environment a process
 * and path; all tables are opened once, the map size is fixed.
 *
 * Reads are zero-copy: what kv_get and cursors answer points into the map and
 * is valid until the transaction is reset, renewed or ended (in a write
 * transaction: until the next change).  Any number of read transactions, one
 * writer.  A read transaction may move between threads but is used by one at
 * a time (MDB_NOTLS).
 *
 * Write transactions keep their first error: later calls do nothing, and
 * kv_commit answers it.  So code that writes many rows reads straight down.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include "base/buf.h"

#define KV_KEY_MAX 511

enum kv_table {
#define KV_TABLE(ident, name, text) KV_##ident,
#include "kv/tables.tbl"
#undef KV_TABLE
	KV__TABLES
};

struct kv;
struct kv_txn;

/* Opens or creates the environment in directory 'dir'.  'map_bytes' is
 * virtual; the file grows with use.  The file is written without sync: the
 * log is the truth, and kv_sync makes an orderly stop durable.  E_IO, E_FULL,
 * E_TOO_LARGE: 'map_bytes' are too few, E_CORRUPT: also a file that ends before its
 * last page. */
enum code kv_open(const char *dir, uint64_t map_bytes, struct kv **out,
		  struct err *err) MUST_USE;
/* Opens a copy (kv_copy) to read from: the file itself, without a lock beside
 * it. */
enum code kv_open_copy(const char *path, struct kv **out,
		       struct err *err) MUST_USE;
/* The environment ends with the last transaction that is still open on it, so
 * that readers on other threads may let go of it when it suits them. */
void kv_close(struct kv **kv);
/* Another handle, to be closed as well. */
struct kv *kv_ref(struct kv *kv);
enum code kv_sync(struct kv *kv, struct err *err) MUST_USE;
/* Bytes of the file in use (pages). */
uint64_t kv_file_bytes(struct kv *kv);
/* Rows put and deleted since it was opened, and the bytes of their keys and of
 * what was put; with those that were taken back.  Any thread. */
void kv_written(struct kv *kv, uint64_t *rows, uint64_t *bytes);
/* Streams a consistent copy of the file through 'put'; any thread.  Holds a
 * read transaction meanwhile.  The copy is a whole data.mdb. */
enum code kv_copy(struct kv *kv,
		  enum code (*put)(void *sink, const void *p, size_t n,
				   struct err *err),
		  void *sink, struct err *err) MUST_USE;
const char *kv_table_name(enum kv_table table);

/* ---- transactions ---- */
enum code kv_read(struct kv *kv, struct kv_txn **out, struct err *err) MUST_USE;
/* Lets go of the picture; kv_renew takes the newest. */
void kv_reset(struct kv_txn *txn);
enum code kv_renew(struct kv_txn *txn, struct err *err) MUST_USE;
/* Number of the picture that it sees: two that are equal see the same, also of
 * two environments of this process. */
uint64_t kv_snapshot(const struct kv_txn *txn);
void kv_end(struct kv_txn **txn);              /* read: ends; write: aborts */

enum code kv_write(struct kv *kv, struct kv_txn **out, struct err *err) MUST_USE;
/* Ends the transaction in every case and sets '*txn' to NULL. */
enum code kv_commit(struct kv_txn **txn, struct err *err) MUST_USE;
/* The first error of a write transaction so far, or OK. */
enum code kv_status(const struct kv_txn *txn, struct err *err);
/* For one command: kv_undo takes back what was changed since kv_mark, kv_keep
 * lets it stand.  Until then what was there before is held in memory. */
void kv_mark(struct kv_txn *txn);
void kv_keep(struct kv_txn *txn);
void kv_undo(struct kv_txn *txn);
/* Called for each change, in order, also inside a mark: what the effect chain
 * is made of.  'val' has p NULL where the key was deleted.  What is taken back is
 * not told. */
typedef void kv_effect(void *data, enum kv_table table, struct str key,
		       struct str val);
void kv_on_effect(struct kv_txn *txn, kv_effect *cb, void *data);

/* ---- rows ---- */
/* False where there is none (or the transaction has failed). */
bool kv_get(struct kv_txn *txn, enum kv_table table, struct str key,
	    struct str *val);
/* Both answer the bytes of key and value that were there before; 0: none.  A
 * value of no bytes is one all the same. */
size_t kv_put(struct kv_txn *txn, enum kv_table table, struct str key,
	      struct str val);
size_t kv_del(struct kv_txn *txn, enum kv_table table, struct str key);

/* ---- cursors ---- */
struct kv_cursor {
	void *mdb_;
	struct kv_txn *txn_;
	struct str key, val;             /* where it stands */
};

/* Stands on the first key >= 'from'; false: none.  Always kv_cursor_close. */
bool kv_seek(struct kv_txn *txn, enum kv_table table, struct str from,
	     struct kv_cursor *out);
bool kv_next(struct kv_cursor *c);
/* Stands on the last key < 'before' (p NULL: the last of all). */
bool kv_seek_before(struct kv_txn *txn, enum kv_table table,
		    struct str before, struct kv_cursor *out);
bool kv_prev(struct kv_cursor *c);
void kv_cursor_close(struct kv_cursor *c);
uint64_t kv_count(struct kv_txn *txn, enum kv_table table);

#endif
