/*
 * The state machine behind raftcore: opens the store, applies batches, takes
 * pictures.  Runs on the core loop; `write` on a worker.
 */
#include "state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "io/file.h"
#include "state/rollout.h"

#include "base/banned.h"

#define HEAD_KEY STR("state")
/* What is applied in one turn of the core loop; an operation, which is a unit,
 * takes 20 to 60 us. */
#define SLICE_UNITS 128

struct pending {
	uint64_t id;
	struct outcome outcome;
};

struct state {
	struct state_config config;
	struct kv *kv;                   /* set under kv_lock */
	pthread_mutex_t kv_lock;
	_Atomic uint64_t generation;     /* of kv, from 1 */
	struct head head;
	char *dir;
	char folder[8];                  /* store.0 or store.1 */
	char boot_id[64];
	char made_from[128];             /* name of a checkpoint, or "-" */
	bool was_clean;                  /* when it was opened; then: may be again */
	bool is_marked_dirty;
	bool is_suspect;                 /* the store failed: made anew at the next
					    start */
	struct apply *apply;
	/* The batch that is being applied; its transaction is apply->txn. */
	struct head work;                /* becomes 'head' with the commit */
	const struct rc_entry *entries;
	size_t n_entries, at;
	struct arena *arena;
	struct pending *pending;         /* its outcomes */
	size_t n_pending, cap_pending;
	struct kv_txn *peek;             /* for state_tick_is_due */
};

struct rc_frozen {
	struct kv *kv;
};

/* ---- store.state ---- */

static void read_boot_id(char out[64])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, 36);

	out[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static enum code write_all(int fd, struct str s, struct err *err)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write");
		s = str_from(s, (size_t)n);
	}
	return OK;
}

static enum code sync_dir(const char *dir, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum code rc = OK;

	if (fd < 0)
		return err_sys(err, errno, "open %s", dir);
	if (fsync(fd))
		rc = err_sys(err, errno, "sync %s", dir);
	close(fd);
	return rc;
}

/* Replaces <dir>/store.state durably. */
static enum code mark(struct state *s, const char *what, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF tmp = BUF_NONE;
	AUTO_BUF text = BUF_NONE;
	enum code rc = failpoint_hit(FP_STORE_STATE, err);
	int fd;

	if (rc)
		return rc;
	buf_printf(&path, "%s/store.state", s->dir);
	buf_printf(&tmp, "%s/store.state.new", s->dir);
	buf_printf(&text, "%s %s %s %s\n", what, s->boot_id, s->folder,
		   s->made_from);
	fd = open(tmp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "open %s", tmp.p);
	rc = write_all(fd, buf_view(&text), err);
	if (rc == OK && fsync(fd))
		rc = err_sys(err, errno, "sync %s", tmp.p);
	close(fd);
	if (rc == OK && rename(tmp.p, path.p))
		rc = err_sys(err, errno, "rename %s", tmp.p);
	return rc ? rc : sync_dir(s->dir, err);
}

/* Reads the mark: may the store file be used as it lies there?  'folder' and
 * 'made_from' are what it says of itself. */
static bool is_usable(struct state *s)
{
	AUTO_BUF path = BUF_NONE;
	char text[256];
	struct str left, what, boot, folder;
	ssize_t n;
	int fd;

	buf_printf(&path, "%s/store.state", s->dir);
	fd = open(path.p, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	left = str_trim(str_n(text, (size_t)n));
	what = str_cut(&left, ' ');
	boot = str_cut(&left, ' ');
	folder = str_cut(&left, ' ');
	if (!str_eq(folder, STR("store.0")) && !str_eq(folder, STR("store.1")))
		return false;
	str_copy(s->folder, sizeof(s->folder), folder);
	str_copy(s->made_from, sizeof(s->made_from), left);
	s->was_clean = str_eq(what, STR("clean"));
	return s->was_clean ||
	       (str_eq(what, STR("dirty")) && s->boot_id[0] &&
		str_eq(boot, str_of(s->boot_id)));
}

/* ---- opening ---- */

static enum code make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_sys(err, errno, "make %s", path);
	return OK;
}

static void remove_store(const struct state *s, const char *folder)
{
	static const char *const files[] = { "/data.mdb", "/lock.mdb", "" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%s%s", s->dir, folder, files[i]);
		if (unlink(path.p))
			rmdir(path.p);
	}
}

static const char *other_folder(const char *folder)
{
	return strcmp(folder, "store.0") == 0 ? "store.1" : "store.0";
}

/* What is sealed is opened on the way: the live store is not. */
static enum code copy_bytes(struct fs *fs, struct file *in, int out, char *block,
			    struct err *err)
{
	uint64_t at = 0;
	size_t got = 1;
	enum code rc = OK;

	while (rc == OK && got) {
		rc = fs->ops->read(fs, in, at, block, 1 << 20, &got, err);
		if (rc == OK && got)
			rc = write_all(out, str_n(block, got), err);
		at += got;
	}
	return rc;
}

static enum code copy_file(const struct rc_checkpoint *from, const char *to,
			   struct err *err)
{
	struct file *in;
	char *block;
	int out;
	enum code rc = from->fs->ops->open(from->fs, from->path, 0, &in, err);

	if (rc)
		return rc;
	block = mem_alloc(1 << 20);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = out < 0 ? err_sys(err, errno, "open %s", to) :
		       copy_bytes(from->fs, in, out, block, err);
	if (out >= 0)
		close(out);
	from->fs->ops->close(from->fs, in);
	free(block);
	return rc;
}

/* A state of a newer version is not touched. */
static enum code read_version(struct kv_txn *txn, uint64_t *out, struct err *err)
{
	struct str val;

	*out = 1;
	if (kv_get(txn, KV_META, VERSION_KEY, &val) &&
	    !cluster_version_decode(val, out))
		return err_set(err, E_CORRUPT, "the cluster's version is malformed");
	return OK;
}

static enum code read_head(struct kv *kv, struct head *out, struct err *err)
{
	struct kv_txn *txn;
	struct str val;
	enum code rc = kv_read(kv, &txn, err);

	if (rc)
		return rc;
	*out = (struct head){ 0 };
	if (!kv_get(txn, KV_META, HEAD_KEY, &val))
		*out = (struct head){ .audit_seq = 1, .audit_first = 1,
				      .limits = limits_default };
	else if (!head_decode(val, out))
		rc = err_set(err, E_CORRUPT, "the store's head is malformed");
	if (rc == OK)
		rc = read_version(txn, &out->version, err);
	kv_end(&txn);
	return rc;
}

static void set_kv(struct state *s, struct kv *kv)
{
	struct kv *old;

	pthread_mutex_lock(&s->kv_lock);
	old = s->kv;
	s->kv = kv;
	if (kv)
		atomic_fetch_add(&s->generation, 1);
	pthread_mutex_unlock(&s->kv_lock);
	kv_close(&old);
}

static enum code check_version(const struct state *s, struct err *err)
{
	if (s->head.version <= s->apply->knows)
		return OK;
	err_set(err, E_UNSUPPORTED, "the state is of cluster version %llu, this "
		"program knows %llu", (unsigned long long)s->head.version,
		(unsigned long long)s->apply->knows);
	return err_hint(err, "start the program that the other nodes run");
}

static enum code open_store(struct state *s, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	struct err own;
	struct kv *kv;
	enum code rc;

	buf_printf(&path, "%s/%s", s->dir, s->folder);
	rc = kv_open(path.p, s->config.map_bytes, &kv, err);
	if (rc)
		return rc;
	rc = read_head(kv, &s->head, err);
	if (rc == OK)
		rc = check_version(s, err);
	/* Too new for this program, and whole: it is left as it was. */
	if (rc == E_UNSUPPORTED && s->was_clean)
		s->was_clean = kv_sync(kv, &own) == OK;
	if (rc)
		kv_close(&kv);
	else
		set_kv(s, kv);
	return rc;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* In the other folder: readers may still hold what was there.  Where it fails what
 * was copied goes, so that it takes no room, and this is done again from the start.
 * Where two do not fit the old one goes as well, once no mark vouches for it. */
static enum code rebuild(struct state *s, const struct rc_checkpoint *from,
			 struct err *err)
{
	AUTO_BUF dir = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	const char *old = other_folder(other_folder(s->folder));
	bool is_marked;
	enum code rc = OK;

	str_copy(s->folder, sizeof(s->folder), str_of(other_folder(old)));
	str_copy(s->made_from, sizeof(s->made_from),
		 from ? str_of(base_name(from->path)) : STR("-"));
	/* A copy that a crash cut off opens like a store: no mark may vouch for
	 * it. */
	rc = mark(s, "rebuilding", err);
	is_marked = rc == OK;
	buf_printf(&dir, "%s/%s", s->dir, s->folder);
	buf_printf(&path, "%s/data.mdb", dir.p);
	if (rc == OK) {
		remove_store(s, s->folder);
		rc = make_dir(dir.p, err);
	}
	if (rc == OK && from)
		rc = copy_file(from, path.p, err);
	if (rc == OK)
		rc = open_store(s, err);
	if (rc == OK)
		rc = mark(s, "dirty", err);
	if (rc == OK) {
		remove_store(s, old);
		return OK;
	}
	set_kv(s, NULL);
	remove_store(s, s->folder);
	if (is_marked && rc == E_FULL)
		remove_store(s, old);
	str_copy(s->folder, sizeof(s->folder), str_of(old));
	return rc;
}

/* Opens the store as it lies there.  LMDB makes a file that is gone anew; so a
 * state below the checkpoint is one that was lost, or the checkpoint came from
 * another node. */
static enum code open_as_is(struct state *s, const struct rc_checkpoint *from,
			    bool *is_open, struct err *err)
{
	struct err own;
	enum code rc;

	*is_open = false;
	if (!is_usable(s))
		return OK;
	/* Opening it may write already: a table that it does not have is made. */
	rc = mark(s, "dirty", err);
	if (rc)
		return rc;
	rc = open_store(s, err);
	if (rc == E_UNSUPPORTED && s->was_clean)
		(void)!mark(s, "clean", &own);
	/* Without room it is whole, and opened when there is some; or when the map
	 * is larger. */
	if (rc == E_UNSUPPORTED || rc == E_FULL || rc == E_TOO_LARGE)
		return rc;
	*is_open = rc == OK && (!from || s->head.index >= from->index);
	if (rc == OK && !*is_open)
		set_kv(s, NULL);
	return OK;
}

/* What apply has in memory of them. */
static void forget_rows(struct state *s)
{
	counts_forget(s->apply->counts);
	releasing_forget_policies(s->apply);
}

static enum code machine_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err)
{
	struct state *s = data;
	/* Opened again: a checkpoint came in.  LMDB must not have one file open
	 * twice, and readers may still have it. */
	bool is_again = atomic_load(&s->generation) > 0, is_open = false;
	enum code rc;

	forget_rows(s);
	free(s->dir);
	s->dir = mem_dup(dir, strlen(dir));
	rc = make_dir(dir, err);
	if (rc)
		return rc;
	if (!is_again)
		rc = open_as_is(s, from, &is_open, err);
	if (rc == OK && !is_open)
		rc = rebuild(s, from, err);
	if (rc)
		return rc;
	s->is_marked_dirty = true;
	s->is_suspect = false;
	*out = (struct rc_applied){ s->head.index, s->head.term };
	if (is_again && s->config.on_commit)
		s->config.on_commit(s->config.data, s->head.rev);
	return OK;
}

static void end_batch(struct state *s)
{
	kv_end(&s->apply->txn);
	apply_drop(s->apply);
	arena_reset(s->arena);
	s->entries = NULL;
}

static void machine_close(void *data)
{
	struct state *s = data;
	struct err err;

	kv_end(&s->peek);
	end_batch(s);
	if (!s->kv)
		return;
	/* Without the sync the mark stays dirty, which costs a rebuild only. */
	if (!s->is_suspect && kv_sync(s->kv, &err) == OK && s->is_marked_dirty)
		(void)!mark(s, "clean", &err);
	set_kv(s, NULL);
}

/* ---- applying ---- */

static void on_effect(void *data, enum kv_table table, struct str key,
		      struct str val)
{
	chain_effect(data, table, key, val);
}

static struct outcome *add_pending(struct state *s, uint64_t id)
{
	mem_grow((void **)&s->pending, &s->cap_pending, s->n_pending + 1,
		 sizeof(*s->pending));
	s->pending[s->n_pending] = (struct pending){ .id = id };
	return &s->pending[s->n_pending++].outcome;
}

/* As much of it as the slice allows. */
static enum code apply_command(struct state *s, const struct rc_entry *entry,
			       struct err *err)
{
	struct apply *a = s->apply;
	enum code rc;

	if (a->step == APPLY_IDLE) {
		chain_start(a->chain);
		if (failpoint_hit(FP_APPLY_EFFECT, NULL))
			chain_effect(a->chain, KV_META, STR("bent"), STR_NONE);
		rc = apply_start(a, entry->data, add_pending(s, entry->id), err);
	} else {
		rc = apply_go_on(a, &s->pending[s->n_pending - 1].outcome, err);
	}
	if (rc == OK && a->step == APPLY_IDLE)
		s->work.chain = chain_end(a->chain, &s->work.chain,
					  entry->index);
	return rc;
}

static enum code apply_entries(struct state *s, struct err *err)
{
	struct apply *a = s->apply;
	enum code rc = OK;

	while (s->at < s->n_entries && a->units > 0) {
		const struct rc_entry *entry = &s->entries[s->at];

		must(entry->index == s->work.index + 1);
		if (entry->is_command)
			rc = apply_command(s, entry, err);
		if (rc)
			return rc;
		if (a->step != APPLY_IDLE)
			continue;
		s->work.index = entry->index;
		s->work.term = entry->term;
		s->at++;
	}
	return OK;
}

static void put_head(struct state *s, struct kv_txn *txn)
{
	AUTO_BUF val = BUF_NONE;

	kv_on_effect(txn, NULL, NULL);   /* the head holds the chain */
	head_encode(&val, &s->work);
	kv_put(txn, KV_META, HEAD_KEY, buf_view(&val));
}

static void tell(struct state *s)
{
	for (size_t i = 0; i < s->n_pending; i++)
		if (s->config.on_outcome)
			s->config.on_outcome(s->config.data, s->pending[i].id,
					     &s->pending[i].outcome);
	if (s->config.on_commit)
		s->config.on_commit(s->config.data, s->head.rev);
}

/* What LMDB has after it failed is not known; what it had no room for, or what
 * was never tried, has changed nothing. */
static void note_failure(struct state *s, enum code rc)
{
	if (rc == OK || rc == E_FULL || rc == E_UNSUPPORTED || s->is_suspect)
		return;
	s->is_suspect = true;
	(void)!mark(s, "failed", NULL);
}

static enum code machine_apply(void *data, const struct rc_entry *entries,
			       size_t n, struct err *err)
{
	struct state *s = data;
	enum code rc;

	must(!s->entries);
	rc = kv_write(s->kv, &s->apply->txn, err);
	note_failure(s, rc);
	if (rc)
		return rc;
	s->work = s->head;
	s->entries = entries;
	s->n_entries = n;
	s->at = s->n_pending = 0;
	kv_on_effect(s->apply->txn, on_effect, s->apply->chain);
	return OK;
}

static enum code commit(struct state *s, struct err *err)
{
	enum code rc;

	put_head(s, s->apply->txn);
	rc = failpoint_hit(FP_APPLY_BEFORE_COMMIT, err);
	if (rc == OK)
		rc = kv_commit(&s->apply->txn, err);
	if (rc == OK)
		rc = failpoint_hit(FP_APPLY_AFTER_COMMIT, err);
	return rc;
}

static enum code machine_apply_more(void *data, bool *more, struct err *err)
{
	struct state *s = data;
	enum code rc;

	s->apply->units = SLICE_UNITS;
	rc = apply_entries(s, err);
	*more = rc == OK && s->at < s->n_entries;
	if (*more)
		return OK;
	if (rc == OK)
		rc = commit(s, err);
	if (rc == OK) {
		s->head = s->work;
		tell(s);
	} else {
		forget_rows(s);
	}
	end_batch(s);
	note_failure(s, rc);
	return rc;
}

/* ---- pictures ---- */

static enum code machine_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *err)
{
	struct state *s = data;
	struct rc_frozen *f = NEW(struct rc_frozen);

	/* LMDB's copy takes its own read transaction when it starts, so the
	 * picture may be newer than 'at'; its head says what it is, and entries
	 * up to there are skipped when it is opened. */
	f->kv = s->kv;
	*at = (struct rc_applied){ s->head.index, s->head.term };
	*out = f;
	return OK;
}

static enum code machine_write(void *data, struct rc_frozen *f,
			       enum code (*put)(void *sink, const void *p,
						size_t n, struct err *err),
			       void *sink, struct err *err)
{
	return kv_copy(f->kv, put, sink, err);
}

static void machine_thaw(void *data, struct rc_frozen *f)
{
	free(f);
}

static void machine_digest(void *data, uint8_t out[32])
{
	struct state *s = data;

	memcpy(out, s->head.chain.b, 32);
}

static uint64_t machine_bytes(void *data)
{
	struct state *s = data;

	return s->kv ? kv_file_bytes(s->kv) : 0;
}

/* ---- the door ---- */

struct state *state_new(const struct state_config *config)
{
	struct state *s = NEW(struct state);

	s->config = *config;
	pthread_mutex_init(&s->kv_lock, NULL);
	str_copy(s->folder, sizeof(s->folder), STR("store.1"));
	if (config->boot_id)
		str_copy(s->boot_id, sizeof(s->boot_id), str_of(config->boot_id));
	else
		read_boot_id(s->boot_id);
	s->arena = arena_new(64 * 1024);
	s->apply = apply_new();
	s->apply->head = &s->work;
	s->apply->knows = config->knows ? config->knows : CLUSTER_VERSION;
	s->apply->keep = s->arena;
	return s;
}

void state_free(struct state **sp)
{
	struct state *s = *sp;

	if (!s)
		return;
	kv_end(&s->peek);
	end_batch(s);
	set_kv(s, NULL);
	pthread_mutex_destroy(&s->kv_lock);
	apply_free(&s->apply);
	arena_free(&s->arena);
	free(s->pending);
	free(s->dir);
	free(s);
	*sp = NULL;
}

struct rc_machine state_machine(struct state *s)
{
	return (struct rc_machine){
		.data = s, .open = machine_open, .apply = machine_apply,
		.apply_more = machine_apply_more,
		.freeze = machine_freeze, .write = machine_write,
		.thaw = machine_thaw, .digest = machine_digest,
		.bytes = machine_bytes, .close = machine_close,
	};
}

struct kv *state_kv(struct state *s)
{
	struct kv *kv;

	pthread_mutex_lock(&s->kv_lock);
	kv = s->kv ? kv_ref(s->kv) : NULL;
	pthread_mutex_unlock(&s->kv_lock);
	return kv;
}

uint64_t state_generation(const struct state *s)
{
	return atomic_load(&s->generation);
}

uint64_t state_token_changes(const struct state *s)
{
	return s->apply->token_changes + state_generation(s);
}

uint64_t state_source_changes(const struct state *s)
{
	return s->apply->source_changes + state_generation(s);
}

uint64_t state_gate_changes(const struct state *s)
{
	return s->apply->gate_changes + state_generation(s);
}

uint64_t state_window_changes(const struct state *s)
{
	return s->apply->window_changes + state_generation(s);
}

uint64_t state_outbox_changes(const struct state *s)
{
	return s->apply->outbox_changes + state_generation(s);
}

uint64_t state_rollout_changes(const struct state *s)
{
	return s->apply->rollout_changes + state_generation(s);
}

const struct head *state_head(const struct state *s)
{
	return &s->head;
}

static bool peek(struct state *s)
{
	return s->kv && (s->peek ? kv_renew(s->peek, NULL) :
				   kv_read(s->kv, &s->peek, NULL)) == OK;
}

void state_open_members(struct state *s,
			void (*each)(void *data, const struct member_row *row),
			void *data)
{
	struct member_row row;
	struct kv_cursor c;

	if (!peek(s))
		return;
	for (bool on = kv_seek(s->peek, KV_META, KEY_MEMBERS, &c);
	     on && str_starts(c.key, KEY_MEMBERS); on = kv_next(&c))
		if (member_row_decode(c.key, c.val, &row))
			each(data, &row);
	kv_cursor_close(&c);
	kv_reset(s->peek);
}

bool state_tick_is_due(struct state *s, uint64_t now_ms)
{
	bool due;

	if (!peek(s))
		return false;
	due = retain_is_due(s->peek, &s->head, now_ms);
	kv_reset(s->peek);
	return due;
}

bool state_has_outcome(struct state *s, const struct sha256 *id)
{
	struct str row;
	bool has;

	if (!peek(s))
		return false;
	has = kv_get(s->peek, KV_IDEM, str_n(id->b, sizeof(id->b)), &row);
	kv_reset(s->peek);
	return has;
}

static void scan_table(struct kv_txn *txn, enum kv_table table,
		       struct chain *chain)
{
	struct kv_cursor c;

	for (bool on = kv_seek(txn, table, STR_NONE, &c); on; on = kv_next(&c))
		if (table != KV_META || !str_eq(c.key, HEAD_KEY))
			chain_effect(chain, table, c.key, c.val);
	kv_cursor_close(&c);
}

enum code state_scan_digest(struct state *s, struct sha256 *out,
			    struct err *err)
{
	struct chain *chain = chain_new();
	struct kv_txn *txn;
	AUTO_BUF text = BUF_NONE;
	enum code rc = kv_read(s->kv, &txn, err);

	if (rc == OK) {
		for (unsigned i = 0; i < KV__TABLES; i++)
			scan_table(txn, (enum kv_table)i, chain);
		head_encode(&text, &s->head);
		chain_effect(chain, KV_META, HEAD_KEY, buf_view(&text));
		*out = chain_end(chain, &s->head.chain, s->head.index);
		kv_end(&txn);
	}
	chain_free(&chain);
	return rc;
}
