/*
 * LMDB behind the interface of kv.h.
 *
 * Who calls it: controller/state, for apply and views.  It owns the
 * environment and every transaction.  An LMDB error other than "not found"
 * marks a write transaction as failed; the caller aborts and stops apply, for
 * the file is a cache that is rebuilt from checkpoint and log.
 *
 * Commands that are refused half-way are undone from a list of what was there
 * before (kv_mark).  LMDB's nested transactions would copy each page once more
 * and merge lists of pages for every command, and commands are seldom refused.
 */
#include "kv/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "kv/map_room.h"

#include "base/banned.h"

#define UNDO_BLOCK (64 * 1024)
#define READERS 1024
#define LOCK_BYTES (READERS * 64 + 4096)  /* of their table: a line each, and more */

struct kv {
	MDB_env *env;
	MDB_dbi dbi[KV__TABLES];
	struct arena *undo;              /* of the one write transaction */
	struct map_room room;            /* of a copy: none */
	_Atomic unsigned refs;           /* handles and transactions */
	uint64_t serial;                 /* of this process, from 1 */
	_Atomic uint64_t rows, bytes;    /* written; by one thread at a time */
};

/* What a key was before a change; newest first. */
struct change {
	struct change *before;
	enum kv_table table;
	struct str key, old;             /* old.p NULL: it was not there */
};

struct kv_txn {
	struct kv *kv;
	MDB_txn *mdb;
	/* Of a write: one a table, opened when it is first wanted, freed by LMDB
	 * with the transaction.  What a batch touches lies close together, and a
	 * cursor that stands near needs no way from the root. */
	MDB_cursor *cursors[KV__TABLES];
	struct change *changes;    /* since the mark */
	bool is_write, is_reset, is_marked, has_written;
	enum code rc;
	struct err err;
	kv_effect *effect;
	void *effect_data;
};

static const char *const table_names[KV__TABLES] = {
#define KV_TABLE(ident, name, text) [KV_##ident] = name,
#include "kv/tables.tbl"
#undef KV_TABLE
};

static enum code mdb_error(struct err *err, int rc, const char *what)
{
	switch (rc) {
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		err_set(err, E_FULL, "%s: the store is full", what);
		return err_hint(err, "raise storage.map_size or free disk space");
	case EFBIG:
		err_set(err, E_FULL, "%s: a file may not be longer", what);
		return err_hint(err, "raise the limit of a file's size (ulimit -f)");
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
		return err_set(err, E_CORRUPT, "%s: %s", what, mdb_strerror(rc));
	default:
		return err_set(err, E_IO, "%s: %s", what, mdb_strerror(rc));
	}
}

/* What LMDB would answer where the failpoint fails. */
static int failing(enum failpoint fp)
{
	enum code rc = failpoint_hit(fp, NULL);

	return rc == E_FULL ? ENOSPC : rc ? EIO : 0;
}

static enum code txn_failed(struct kv_txn *txn, int rc, const char *what,
			    enum kv_table table)
{
	if (txn->rc == OK) {
		txn->rc = mdb_error(&txn->err, rc, what);
		err_wrap(&txn->err, "store table %s", table_names[table]);
	}
	return txn->rc;
}

static MDB_val val_of(struct str s)
{
	return (MDB_val){ s.n, (void *)(uintptr_t)s.p };
}

static struct str str_of_val(MDB_val v)
{
	return str_n(v.mv_data, v.mv_size);
}

/* As mdb_error, where it is opened: that its map is too small is no matter of waiting
 * for room. */
static enum code open_error(struct err *err, int rc, const char *what)
{
	if (rc != MDB_MAP_FULL)
		return mdb_error(err, rc, what);
	err_set(err, E_TOO_LARGE, "%s: the store has no room in its map", what);
	return err_hint(err, "raise storage.map_size");
}

/* ---- room for what is written through the map ---- */

/* What LMDB answered, where the pages that it wrote are the file's. */
static int settled(const struct kv *kv, int rc)
{
	int lost = map_room_lost(&kv->room);

	return lost ? lost : rc;
}

static void give_up(struct kv *kv, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	map_room_leave(&kv->room, false);
}

/* What LMDB writes at its end has room in what was reserved.  Where that was not enough
 * it is live for those who read, and not in the file.  A transaction that changed nothing
 * writes nothing. */
static enum code commit(struct kv *kv, MDB_txn *txn, bool has_written, struct err *err)
{
	int rc = map_room_last(&kv->room);
	bool is_lost;

	if (!rc)
		rc = map_room_lost(&kv->room);   /* to who read, behind the last change */
	if (rc && has_written) {
		give_up(kv, txn);
		return mdb_error(err, rc, "commit");
	}
	rc = mdb_txn_commit(txn);
	is_lost = map_room_lost(&kv->room) != 0;
	if (rc == 0 && has_written)
		map_room_cover(&kv->room, kv_file_bytes(kv));
	map_room_leave(&kv->room, is_lost && rc == 0);
	if (is_lost && rc == 0)
		return err_set(err, E_CORRUPT, "commit: the disk had no room for pages "
			       "of the store");
	return rc ? mdb_error(err, rc, "commit") : OK;
}

static enum code open_tables(struct kv *kv, bool is_copy, struct err *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(kv->env, NULL, is_copy ? MDB_RDONLY : 0, &txn);
	bool has_written = false;

	if (rc)
		return open_error(err, rc, "open tables");
	map_room_enter(&kv->room, kv_file_bytes(kv));
	for (unsigned i = 0; i < KV__TABLES; i++) {
		rc = mdb_dbi_open(txn, table_names[i], 0, &kv->dbi[i]);
		if (rc == MDB_NOTFOUND && !is_copy) {
			has_written = true;
			rc = settled(kv, mdb_dbi_open(txn, table_names[i], MDB_CREATE,
						      &kv->dbi[i]));
		}
		if (rc) {
			give_up(kv, txn);
			open_error(err, rc, "open table");
			return err_wrap(err, "%s", table_names[i]);
		}
	}
	rc = failing(FP_KV_COMMIT);
	if (rc == 0)
		return commit(kv, txn, has_written, err);
	give_up(kv, txn);
	return open_error(err, rc, "open tables");
}

static uint64_t length_of(const char *dir, bool is_file)
{
	AUTO_BUF path = BUF_NONE;
	struct stat st;

	buf_printf(&path, "%s%s", dir, is_file ? "" : "/data.mdb");
	return stat(path.p, &st) ? 0 : (uint64_t)st.st_size;
}

/*
 * Cut short from outside: reading behind its end would be a signal.  It is looked at
 * before it is opened to write, which makes it as long as its map: were the process
 * killed then, nothing would tell any more that it was shorter.  LMDB says where its last
 * page is, of a file that it opens to read and leaves as it is.
 */
static enum code check_length(const char *path, unsigned flags, struct err *err)
{
	uint64_t length = length_of(path, flags & MDB_NOSUBDIR), want = 0;
	struct kv shut = { 0 };
	int rc;

	if (length == 0)
		return OK;
	rc = mdb_env_create(&shut.env);
	if (rc)
		return mdb_error(err, rc, "open");
	rc = mdb_env_set_mapsize(shut.env, 1);   /* it takes what is used */
	if (rc == 0)
		rc = mdb_env_open(shut.env, path, MDB_RDONLY | MDB_NOLOCK |
				  (flags & MDB_NOSUBDIR), 0);
	if (rc == 0)
		want = kv_file_bytes(&shut);
	mdb_env_close(shut.env);
	if (rc)
		return mdb_error(err, rc, "open");
	if (length >= want)
		return OK;
	return err_set(err, E_CORRUPT, "the file ends at byte %llu, its last page at %llu",
		       (unsigned long long)length, (unsigned long long)want);
}

/* LMDB makes a file that it writes through its map as long as that.  It ends behind its
 * last page again, so that an end that is reached tells that it grows. */
static enum code open_room(struct kv *kv, struct err *err)
{
	enum code rc = failpoint_hit(FP_KV_OPENED, err);
	MDB_envinfo info;
	int fd;

	if (rc)
		return rc;
	must(mdb_env_info(kv->env, &info) == 0 && mdb_env_get_fd(kv->env, &fd) == 0);
	return map_room_init(&kv->room, fd, info.me_mapsize, kv_file_bytes(kv), err);
}

/*
 * LMDB's table of readers is a file that it makes as one hole and maps: where there is
 * no room for a page of it, who touches that one is ended by a signal.  So it has all
 * of its blocks before; LMDB takes it as long as it is.
 */
static int reserve_lock(const char *dir)
{
	AUTO_BUF path = BUF_NONE;
	int fd, rc;

	buf_printf(&path, "%s/lock.mdb", dir);
	fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	rc = posix_fallocate(fd, 0, LOCK_BYTES);
	close(fd);
	return rc;
}

static enum code open_env(struct kv *kv, const char *path, uint64_t map_bytes,
			  unsigned flags, struct err *err)
{
	enum code code = check_length(path, flags, err);
	int rc;

	if (code)
		return code;
	rc = mdb_env_create(&kv->env);
	if (rc == 0 && map_bytes)
		rc = mdb_env_set_mapsize(kv->env, map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(kv->env, KV__TABLES);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(kv->env, READERS);
	if (rc == 0 && !(flags & MDB_NOLOCK))
		rc = reserve_lock(path);
	if (rc == 0)
		rc = mdb_env_open(kv->env, path, MDB_NOTLS | MDB_NORDAHEAD | flags,
				  0600);
	if (rc) {
		code = mdb_error(err, rc, "open");
		if (rc == ENODEV || rc == EINVAL)
			err_hint(err, "its file system has to let files be written "
				 "through a shared map");
		if (rc == EFBIG) {
			err->code = code = E_TOO_LARGE;
			err_hint(err, "the file is as long as its map for a moment: "
				 "lower storage.map_size, or raise the limit of a "
				 "file's size (ulimit -f)");
		}
		return code;
	}
	if (flags & MDB_WRITEMAP)
		code = open_room(kv, err);
	return code ? code : open_tables(kv, flags & MDB_RDONLY, err);
}

static enum code kv_open_as(const char *path, uint64_t map_bytes,
			    unsigned flags, struct kv **out, struct err *err)
{
	static _Atomic uint64_t serials;
	struct kv *kv = NEW(struct kv);
	enum code rc = open_env(kv, path, map_bytes, flags, err);

	atomic_store(&kv->refs, 1);
	kv->serial = atomic_fetch_add(&serials, 1) + 1;
	kv->undo = arena_new(UNDO_BLOCK);
	if (rc) {
		err_wrap(err, "store %s", path);
		kv_close(&kv);
		return rc;
	}
	*out = kv;
	return OK;
}

enum code kv_open(const char *dir, uint64_t map_bytes, struct kv **out,
		  struct err *err)
{
	return kv_open_as(dir, map_bytes, MDB_NOSYNC | MDB_NOMEMINIT | MDB_WRITEMAP, out, err);
}

enum code kv_open_copy(const char *path, struct kv **out, struct err *err)
{
	return kv_open_as(path, 0, MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK, out,
			  err);
}

static void kv_unref(struct kv *kv)
{
	if (atomic_fetch_sub(&kv->refs, 1) > 1)
		return;
	if (kv->env) {
		if (kv->room.map)
			map_room_cut(&kv->room, kv_file_bytes(kv));
		mdb_env_close(kv->env);
	}
	arena_free(&kv->undo);
	free(kv);
}

void kv_close(struct kv **kvp)
{
	struct kv *kv = TAKE(*kvp);

	if (kv)
		kv_unref(kv);
}

struct kv *kv_ref(struct kv *kv)
{
	atomic_fetch_add(&kv->refs, 1);
	return kv;
}

enum code kv_sync(struct kv *kv, struct err *err)
{
	int rc = mdb_env_sync(kv->env, 1);

	return rc ? mdb_error(err, rc, "sync the store") : OK;
}

static void count_row(struct kv *kv, size_t bytes)
{
	atomic_fetch_add_explicit(&kv->rows, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&kv->bytes, bytes, memory_order_relaxed);
}

void kv_written(struct kv *kv, uint64_t *rows, uint64_t *bytes)
{
	*rows = atomic_load(&kv->rows);
	*bytes = atomic_load(&kv->bytes);
}

uint64_t kv_file_bytes(struct kv *kv)
{
	MDB_envinfo info;
	MDB_stat stat;

	mdb_env_info(kv->env, &info);
	mdb_env_stat(kv->env, &stat);
	return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

const char *kv_table_name(enum kv_table table)
{
	must(table < KV__TABLES);
	return table_names[table];
}

/* ---- copy ---- */

struct copier {
	struct kv *kv;
	int fd;
	int rc;
};

static void *copier_main(void *arg)
{
	struct copier *c = arg;

	c->rc = mdb_env_copyfd2(c->kv->env, c->fd, 0);
	close(c->fd);
	return NULL;
}

/* Passes everything on until the writer closes its end.  After an error the
 * rest is still read, so that the copying thread ends. */
static enum code copy_drain(int fd,
			    enum code (*put)(void *, const void *, size_t,
					     struct err *),
			    void *sink, struct err *err)
{
	const size_t cap = 256 * 1024;
	char *block = mem_alloc(cap);
	enum code rc = OK;
	ssize_t n;

	while ((n = read(fd, block, cap)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = rc ? rc : err_sys(err, errno, "read the copy");
			break;
		}
		if (rc == OK)
			rc = put(sink, block, (size_t)n, err);
	}
	free(block);
	return rc;
}

enum code kv_copy(struct kv *kv,
		  enum code (*put)(void *sink, const void *p, size_t n,
				   struct err *err),
		  void *sink, struct err *err)
{
	int fds[2];
	pthread_t thread;
	struct copier copier = { .kv = kv };
	enum code rc;

	if (pipe2(fds, O_CLOEXEC))
		return err_sys(err, errno, "copy the store: pipe");
	copier.fd = fds[1];
	if (pthread_create(&thread, NULL, copier_main, &copier)) {
		close(fds[0]);
		close(fds[1]);
		return err_set(err, E_IO, "copy the store: no thread");
	}
	rc = copy_drain(fds[0], put, sink, err);
	pthread_join(thread, NULL);
	close(fds[0]);
	if (rc == OK && copier.rc)
		rc = mdb_error(err, copier.rc, "copy the store");
	return rc;
}

/* ---- transactions ---- */

static struct kv_txn *txn_new(struct kv *kv, bool is_write)
{
	struct kv_txn *txn = NEW(struct kv_txn);

	txn->kv = kv_ref(kv);
	txn->is_write = is_write;
	return txn;
}

static void txn_free(struct kv_txn *txn)
{
	kv_unref(txn->kv);
	free(txn);
}

static enum code txn_begin(struct kv *kv, bool is_write, struct kv_txn **out,
			   struct err *err)
{
	struct kv_txn *txn = txn_new(kv, is_write);
	int rc;

	/* What is live for those who read is not in the file. */
	if (is_write && kv->room.is_broken) {
		txn_free(txn);
		return mdb_error(err, MDB_PANIC, "begin a transaction");
	}
	rc = mdb_txn_begin(kv->env, NULL, is_write ? 0 : MDB_RDONLY, &txn->mdb);
	if (rc) {
		txn_free(txn);
		return mdb_error(err, rc, "begin a transaction");
	}
	if (is_write)
		map_room_enter(&kv->room, kv_file_bytes(kv));
	*out = txn;
	return OK;
}

enum code kv_read(struct kv *kv, struct kv_txn **out, struct err *err)
{
	return txn_begin(kv, false, out, err);
}

enum code kv_write(struct kv *kv, struct kv_txn **out, struct err *err)
{
	return txn_begin(kv, true, out, err);
}

void kv_reset(struct kv_txn *txn)
{
	must(!txn->is_write);
	if (!txn->is_reset)
		mdb_txn_reset(txn->mdb);
	txn->is_reset = true;
}

enum code kv_renew(struct kv_txn *txn, struct err *err)
{
	int rc;

	kv_reset(txn);
	rc = mdb_txn_renew(txn->mdb);
	if (rc)
		return mdb_error(err, rc, "renew a transaction");
	txn->is_reset = false;
	return OK;
}

uint64_t kv_snapshot(const struct kv_txn *txn)
{
	return txn->kv->serial << 44 | mdb_txn_id(txn->mdb);
}

void kv_end(struct kv_txn **txnp)
{
	struct kv_txn *txn = *txnp;

	if (!txn)
		return;
	if (txn->is_write)
		give_up(txn->kv, txn->mdb);
	else
		mdb_txn_abort(txn->mdb);
	txn_free(txn);
	*txnp = NULL;
}

enum code kv_commit(struct kv_txn **txnp, struct err *err)
{
	struct kv_txn *txn = TAKE(*txnp);
	enum code code = txn->rc;
	int rc;

	must(txn->is_write && !txn->is_marked);
	if (code) {
		err_copy(err, &txn->err);
		kv_end(&txn);
		return code;
	}
	rc = failing(FP_KV_COMMIT);
	if (rc) {
		kv_end(&txn);
		return mdb_error(err, rc, "commit");
	}
	code = commit(txn->kv, txn->mdb, txn->has_written, err);
	txn_free(txn);
	return code;
}

enum code kv_status(const struct kv_txn *txn, struct err *err)
{
	if (txn->rc)
		err_copy(err, &txn->err);
	return txn->rc;
}

void kv_mark(struct kv_txn *txn)
{
	must(txn->is_write && !txn->is_marked);
	txn->is_marked = true;
}

void kv_keep(struct kv_txn *txn)
{
	must(txn->is_marked);
	txn->is_marked = false;
	txn->changes = NULL;
	arena_reset(txn->kv->undo);
}

static MDB_cursor *cursor_of(struct kv_txn *txn, enum kv_table table)
{
	MDB_cursor **c = &txn->cursors[table];
	int rc;

	if (*c)
		return *c;
	rc = mdb_cursor_open(txn->mdb, txn->kv->dbi[table], c);
	if (rc) {
		txn_failed(txn, rc, "open a cursor", table);
		*c = NULL;
	}
	return *c;
}

static void change_back(struct kv_txn *txn, const struct change *c)
{
	MDB_val k = val_of(c->key), v = val_of(c->old);
	int rc = c->old.p ?
			 mdb_put(txn->mdb, txn->kv->dbi[c->table], &k, &v, 0) :
			 mdb_del(txn->mdb, txn->kv->dbi[c->table], &k, NULL);

	rc = settled(txn->kv, rc);
	if (rc)
		txn_failed(txn, rc, "undo", c->table);
}

void kv_undo(struct kv_txn *txn)
{
	for (const struct change *c = txn->changes; c && !txn->rc; c = c->before)
		change_back(txn, c);
	kv_keep(txn);
}

/* The cursor of a table that is about to change; NULL: the transaction has
 * failed. */
static MDB_cursor *before_change(struct kv_txn *txn, enum kv_table table,
				 struct str key)
{
	must(txn->is_write && !txn->is_reset);
	must(key.n > 0 && key.n <= KV_KEY_MAX);
	txn->has_written = true;
	return txn->rc ? NULL : cursor_of(txn, table);
}

/* Keeps what is there, where there is a mark.  'old.p' NULL: nothing. */
static void keep_old(struct kv_txn *txn, enum kv_table table, struct str key,
		     struct str old)
{
	struct arena *undo = txn->kv->undo;
	struct change *c;

	if (!txn->is_marked)
		return;
	c = arena_alloc(undo, sizeof(*c));
	*c = (struct change){ txn->changes, table, arena_str(undo, key),
			      STR_NONE };
	if (old.p)
		c->old = arena_str(undo, old);
	txn->changes = c;
}

void kv_on_effect(struct kv_txn *txn, kv_effect *cb, void *data)
{
	txn->effect = cb;
	txn->effect_data = data;
}

/* ---- rows ---- */

static int get(struct kv_txn *txn, enum kv_table table, MDB_val *k, MDB_val *v)
{
	MDB_cursor *c;

	if (!txn->is_write)
		return mdb_get(txn->mdb, txn->kv->dbi[table], k, v);
	c = cursor_of(txn, table);
	return c ? mdb_cursor_get(c, k, v, MDB_SET) : MDB_NOTFOUND;
}

bool kv_get(struct kv_txn *txn, enum kv_table table, struct str key,
	    struct str *val)
{
	MDB_val k = val_of(key), v;
	int rc;

	must(!txn->is_reset);
	if (key.n == 0 || key.n > KV_KEY_MAX || txn->rc)
		return false;
	rc = get(txn, table, &k, &v);
	if (rc == 0 && val)
		*val = str_of_val(v);
	else if (rc && rc != MDB_NOTFOUND)
		txn_failed(txn, rc, "get", table);
	return rc == 0;
}

size_t kv_put(struct kv_txn *txn, enum kv_table table, struct str key,
	      struct str val)
{
	MDB_val k = val_of(key), v = val_of(val), old = v;
	MDB_cursor *cursor = before_change(txn, table, key);
	size_t freed = 0;
	int rc;

	if (!cursor)
		return 0;
	count_row(txn->kv, key.n + val.n);
	rc = failing(FP_KV_WRITE);
	/* One way through the tree: it stops at what is there. */
	if (rc == 0)
		rc = mdb_cursor_put(cursor, &k, &old, MDB_NOOVERWRITE);
	if (rc == 0) {
		keep_old(txn, table, key, STR_NONE);
	} else if (rc == MDB_KEYEXIST) {
		freed = key.n + old.mv_size;
		keep_old(txn, table, key, str_of_val(old));
		rc = mdb_cursor_put(cursor, &k, &v, MDB_CURRENT);
	}
	rc = settled(txn->kv, rc);
	if (rc)
		txn_failed(txn, rc, "put", table);
	else if (txn->effect)
		txn->effect(txn->effect_data, table, key, val);
	return freed;
}

size_t kv_del(struct kv_txn *txn, enum kv_table table, struct str key)
{
	MDB_cursor *cursor = before_change(txn, table, key);
	struct str old;
	size_t freed;
	int rc;

	if (!cursor || !kv_get(txn, table, key, &old))
		return 0;
	count_row(txn->kv, key.n);
	freed = key.n + old.n;
	keep_old(txn, table, key, old);
	rc = settled(txn->kv, mdb_cursor_del(cursor, 0));
	if (rc)
		txn_failed(txn, rc, "delete", table);
	else if (txn->effect)
		txn->effect(txn->effect_data, table, key, STR_NONE);
	return freed;
}

uint64_t kv_count(struct kv_txn *txn, enum kv_table table)
{
	MDB_stat stat;

	if (mdb_stat(txn->mdb, txn->kv->dbi[table], &stat))
		return 0;
	return stat.ms_entries;
}

/* ---- cursors ---- */

static bool cursor_move(struct kv_cursor *c, MDB_cursor_op op, struct str at)
{
	MDB_val k = val_of(at), v;
	int rc = mdb_cursor_get(c->mdb_, &k, &v, op);

	if (rc) {
		if (rc != MDB_NOTFOUND)
			txn_failed(c->txn_, rc, "move a cursor", KV_META);
		return false;
	}
	c->key = str_of_val(k);
	c->val = str_of_val(v);
	return true;
}

static bool cursor_open(struct kv_txn *txn, enum kv_table table,
			struct kv_cursor *c)
{
	MDB_cursor *mdb;
	int rc;

	must(!txn->is_reset);
	*c = (struct kv_cursor){ .txn_ = txn };
	if (txn->rc)
		return false;
	rc = mdb_cursor_open(txn->mdb, txn->kv->dbi[table], &mdb);
	if (rc) {
		txn_failed(txn, rc, "open a cursor", table);
		return false;
	}
	c->mdb_ = mdb;
	return true;
}

bool kv_seek(struct kv_txn *txn, enum kv_table table, struct str from,
	     struct kv_cursor *c)
{
	if (!cursor_open(txn, table, c))
		return false;
	if (from.n == 0)
		return cursor_move(c, MDB_FIRST, STR_NONE);
	return cursor_move(c, MDB_SET_RANGE, from);
}

bool kv_next(struct kv_cursor *c)
{
	return c->mdb_ && cursor_move(c, MDB_NEXT, STR_NONE);
}

bool kv_seek_before(struct kv_txn *txn, enum kv_table table,
		    struct str before, struct kv_cursor *c)
{
	if (!cursor_open(txn, table, c))
		return false;
	if (before.n == 0 || !cursor_move(c, MDB_SET_RANGE, before))
		return cursor_move(c, MDB_LAST, STR_NONE);
	return cursor_move(c, MDB_PREV, STR_NONE);
}

bool kv_prev(struct kv_cursor *c)
{
	return c->mdb_ && cursor_move(c, MDB_PREV, STR_NONE);
}

void kv_cursor_close(struct kv_cursor *c)
{
	if (c->mdb_)
		mdb_cursor_close(c->mdb_);
	c->mdb_ = NULL;
}
