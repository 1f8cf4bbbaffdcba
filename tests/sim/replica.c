/* A server's state: see replica.h. */
#include "gates.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "state/outbox_row.h"
#include "state/rollout_row.h"
#include "state/state.h"

#include "small_disk.h"

#include "base/banned.h"

#define WALL_MS 1700000000000ull
#define MAP_BYTES (64u << 20)

static struct replica replicas[SERVERS];
static int64_t clock_0[SERVERS];
static uint64_t leapt_ms;
static const char *root;

void replicas_root(const char *dir)
{
	root = dir;
}

const char *replicas_where(void)
{
	return root;
}

struct replica *replica_of(const struct server *s)
{
	return &replicas[s->id - 1];
}

uint64_t replica_wall_ms(const struct server *s)
{
	return WALL_MS + leapt_ms + (uint64_t)((int64_t)w.now + s->clock_us -
				    clock_0[s->id - 1]) / 1000;
}

void replicas_leap(uint64_t ms)
{
	leapt_ms += ms;
}

/* ---- its files ---- */

static void remove_files(const char *dir)
{
	static const char *const files[] = {
		"/store.0/data.mdb", "/store.0/lock.mdb", "/store.0",
		"/store.1/data.mdb", "/store.1/lock.mdb", "/store.1",
		"/store.state", "/store.state.new", "" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s%s", dir, files[i]);
		if (unlink(path.p))
			rmdir(path.p);
	}
}

void replicas_clean(const char *where)
{
	for (unsigned i = 0; i <= SERVERS; i++) {
		AUTO_BUF dir = BUF_NONE;

		buf_printf(&dir, "%s/%u", where, i);
		remove_files(dir.p);
	}
	rmdir(where);
}

/* The power was lost, and nothing of the store had been synced: some of it is
 * there, some is not, and some of what is there is rubbish. */
static void wreck(const char *dir, unsigned folder)
{
	AUTO_BUF path = BUF_NONE;
	struct stat st;
	int fd;

	buf_printf(&path, "%s/store.%u/data.mdb", dir, folder);
	fd = open(path.p, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	if (below(4) == 0) {
		unlink(path.p);
	} else if (below(4) == 0) {
		must(ftruncate(fd, (off_t)below(20) * 4096) == 0);
	} else if (fstat(fd, &st) == 0) {
		for (uint64_t n = below(8); n && st.st_size >= 4096; n--)
			must(pwrite(fd, "rubbish", 7, (off_t)below(
				(uint64_t)st.st_size / 4096) * 4096 + 16) == 7);
	}
	close(fd);
}

/* A file that is gone is all that may happen to it without a loss of power. */
static void lose(const struct replica *r)
{
	for (unsigned i = 0; i < 2; i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/store.%u/data.mdb", r->dir, i);
		unlink(path.p);
	}
}

/* ---- what it tells ---- */

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	struct replica *r = data;
	const struct outcome *is;

	if (!r->s) {
		record_take(id, o);
		return;
	}
	is = record_outcome(id);
	claim(CHECK_EFFECTS, is && is->code == o->code && is->rev == o->rev &&
	      is->replayed == o->replayed && is->n_results == o->n_results,
	      "server %llu: proposal %llu ends with %s at revision %llu, which it "
	      "did not elsewhere", ULL(r->s->id), ULL(id), code_name(o->code),
	      ULL(o->rev));
	clients_outcome(r->s, id, o);
}

/* As the store's: who follows is woken. */
static void on_commit(void *data, uint64_t rev)
{
	struct replica *r = data;
	bool is_new = atomic_load(&r->store.rev) != rev;

	atomic_store(&r->store.rev, rev);
	if (r->s && is_new)
		watchers_wake(r->s);
}

/* ---- planted mistakes ---- */

static struct head *head_of(struct replica *r)
{
	return (struct head *)(uintptr_t)state_head(r->state);
}

typedef bool change_row(struct buf *val);

/* Changes or removes the n-th row of a table, behind the state's back. */
static void bend_row(struct replica *r, enum kv_table table, uint64_t nth,
		     change_row *change)
{
	struct kv *kv = state_kv(r->state);
	struct kv_txn *txn;
	struct kv_cursor c;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	bool on;

	must(kv_write(kv, &txn, NULL) == OK);
	on = kv_seek(txn, table, STR_NONE, &c);
	while (on && nth--)
		on = kv_next(&c);
	if (on) {
		buf_str(&key, c.key);
		buf_str(&val, c.val);
	}
	kv_cursor_close(&c);
	if (on && !change)
		kv_del(txn, table, buf_view(&key));
	else if (on && change(&val))
		kv_put(txn, table, buf_view(&key), buf_view(&val));
	must(kv_commit(&txn, NULL) == OK);
	kv_close(&kv);
}

static bool flip(struct buf *val)
{
	if (val->n)
		val->p[val->n - 1] ^= 1;
	return val->n > 0;
}

static uint64_t rows_of(struct replica *r, enum kv_table table)
{
	struct kv *kv = state_kv(r->state);
	struct kv_txn *txn;
	uint64_t n;

	must(kv_read(kv, &txn, NULL) == OK);
	n = kv_count(txn, table);
	kv_end(&txn);
	kv_close(&kv);
	return n;
}

static void bend_opened(struct replica *r, bool is_install)
{
	enum kv_table table = bad == BAD_INSTALL ? KV_EVENTS : KV_VERSIONS;
	uint64_t n;

	if ((bad != BAD_INSTALL && bad != BAD_ROW) || !is_install)
		return;
	n = rows_of(r, table);
	if (n)
		bend_row(r, table, n - 1 - below(MIN(n, 12u)),
			 bad == BAD_INSTALL ? NULL : flip);
	w.is_bent = true;
}

/* Executed proposals are approved ones, as it lies in their rows. */
static bool approve_again(struct buf *val)
{
	if (val->n < 2 || val->p[1] != PROPOSAL_EXECUTED)
		return false;
	val->p[1] = PROPOSAL_APPROVED;
	return true;
}

/* What happened to a release was another thing, as it lies in the rows of the outbox. */
static bool tell_other(struct buf *val)
{
	size_t at = 1 + sizeof(struct uuid);

	if (val->n <= at || val->p[at] < NOTICE_RELEASE_STARTED ||
	    val->p[at] > NOTICE_ABORTED)
		return false;
	val->p[at] = val->p[at] == NOTICE_STEP ? NOTICE_PAUSED : NOTICE_STEP;
	return true;
}

static bool bend_rollout(struct buf *val)
{
	AUTO_ARENA arena = arena_new(4096);
	AUTO_BUF was = BUF_NONE;
	struct rollout_row row;

	buf_str(&was, buf_view(val));
	if (!rollout_row_decode(arena, buf_view(&was), &row))
		return false;
	if (bad == BAD_HALF && row.n_configs > 1)
		row.n_configs--;
	else if (bad == BAD_SALT)
		row.salt[0]++;
	else
		return false;
	buf_reset(val);
	rollout_row_encode(val, &row);
	return true;
}

static void lose_one(struct replica *r, enum kv_table table, uint64_t index)
{
	uint64_t n = rows_of(r, table);

	if (n)
		bend_row(r, table, index * 7 % n, NULL);
}

/* The same on all servers and in the record: their own mistake. */
static void bend_applied(struct replica *r, uint64_t index)
{
	if (bad == BAD_GAP && index % 40 == 0)
		head_of(r)->rev++;
	if (bad == BAD_COMPACTION && index % 10 == 0 && head_of(r)->compacted_rev)
		head_of(r)->compacted_rev--;
	if (bad == BAD_BYTES && index % 40 == 0)
		head_of(r)->bytes--;
	if (bad == BAD_CONTENT && index % 40 == 0 && rows_of(r, KV_BLOBS))
		bend_row(r, KV_BLOBS, index % rows_of(r, KV_BLOBS), NULL);
	if (bad == BAD_AUDIT && index % 40 == 0 && rows_of(r, KV_AUDIT))
		bend_row(r, KV_AUDIT, rows_of(r, KV_AUDIT) / 2, flip);
	if (bad == BAD_LOCK)
		lose_one(r, KV_LOCKS, index);
	if (bad == BAD_OUTBOX)
		lose_one(r, KV_OUTBOX, index);
	if (bad == BAD_TOLD && rows_of(r, KV_OUTBOX))
		bend_row(r, KV_OUTBOX, index * 7 % rows_of(r, KV_OUTBOX), tell_other);
	if ((bad == BAD_HALF || bad == BAD_SALT) && rows_of(r, KV_ROLLOUTS))
		bend_row(r, KV_ROLLOUTS, index % rows_of(r, KV_ROLLOUTS),
			 bend_rollout);
	if (bad == BAD_AGAIN && rows_of(r, KV_PROPOSALS))
		bend_row(r, KV_PROPOSALS, index % rows_of(r, KV_PROPOSALS),
			 approve_again);
}

static struct op *find_op(struct command *c, enum op_type type, size_t from)
{
	for (size_t i = from; i < c->n_ops; i++)
		if (c->ops[i].type == type)
			return &c->ops[i];
	return NULL;
}

static void exchange(struct op *a, struct op *b)
{
	struct sha256 sha = a->sha;
	uint64_t size = a->size;

	a->sha = b->sha;
	a->size = b->size;
	b->sha = sha;
	b->size = size;
}

static bool bend_move(struct command *c, enum release_move from,
		      enum release_move to)
{
	struct op *op = find_op(c, OP_RELEASE_MOVE, 0);

	if (!op || op->move != from)
		return false;
	op->move = to;
	return true;
}

/* A command of somebody's, as whoever does not look would have it. */
static bool bend_command(struct command *c)
{
	struct op *op = find_op(c, OP_VERSION_ADD, 0), *next;

	switch (bad) {
	case BAD_UNGATED:
		c->subject = (struct subject){ .name = STR("system"),
					       .role = ROLE_SYSTEM };
		return op;
	case BAD_VOTER:
		c->subject = (struct subject){
			.name = STR("cyd"), .role = ROLE_NAMED,
			.token = sha256_of(STR("cyd")) };
		return find_op(c, OP_VOTE, 0);
	case BAD_WINDOW:
		op = find_op(c, OP_OBJECT_PUT, 0);
		if (!op || op->kind != KIND_FREEZE_WINDOW)
			return false;
		op->spec = STR("{\"interval\":{\"end\":\"2001-01-02T00:00:00Z\","
			       "\"start\":\"2001-01-01T00:00:00Z\"},\"owner\":"
			       "\"ann\",\"reason\":\"1-2\"}");
		return true;
	case BAD_PAUSE:
		return bend_move(c, MOVE_PAUSE, MOVE_PROMOTE);
	case BAD_ABORT:
		return bend_move(c, MOVE_ROLLBACK, MOVE_ABORT);
	case BAD_BACK:
		return bend_move(c, MOVE_ROLLBACK, MOVE_PROMOTE_FULL);
	case BAD_OTHER:
		next = op ? find_op(c, OP_VERSION_ADD, (size_t)(op - c->ops) + 1) :
			    NULL;
		if (next)
			exchange(op, next);
		return next;
	default:
		return false;
	}
}

/* An entry as this server would have it. */
static struct rc_entry bend_entry(struct replica *r, const struct rc_entry *e,
				  struct buf *bytes)
{
	struct rc_entry out = *e;
	struct command c;

	if (!e->is_command)
		return out;
	arena_reset(w.arena);
	if (bad == BAD_TIME && str_starts(e->data, STR("\1\5")))
		command_stamp(bytes, e->data, 1);
	else if (bad >= BAD_UNGATED &&
		 command_decode(w.arena, e->data, &c, NULL) == OK &&
		 c.type == COMMAND_OPS && bend_command(&c))
		command_encode(bytes, &c);
	else if (bad == BAD_OWN_CLOCK && r->s && str_starts(e->data, STR("\1\5")))
		command_stamp(bytes, e->data, replica_wall_ms(r->s));
	else if (bad == BAD_TWICE && e->index % 4 == 0 &&
		 command_decode(w.arena, e->data, &c, NULL) == OK &&
		 c.type == COMMAND_OPS) {
		memset(c.id.b, 0, sizeof(c.id.b));
		command_encode(bytes, &c);
	}
	if (bytes->n)
		out.data = buf_view(bytes);
	return out;
}

/* ---- a picture that cannot be read to its end ---- */

struct failing {
	struct fs fs;
	struct fs *inner;
	unsigned left;                   /* reads that go well */
};

static enum code failing_open(struct fs *fs, const char *path, unsigned flags,
			      struct file **out, struct err *err)
{
	struct fs *inner = container_of(fs, struct failing, fs)->inner;

	return inner->ops->open(inner, path, flags, out, err);
}

static void failing_close(struct fs *fs, struct file *file)
{
	struct fs *inner = container_of(fs, struct failing, fs)->inner;

	inner->ops->close(inner, file);
}

static enum code failing_read(struct fs *fs, struct file *file, uint64_t at,
			      void *p, size_t n, size_t *got, struct err *err)
{
	struct failing *f = container_of(fs, struct failing, fs);

	if (!f->left)
		return err_set(err, E_IO, "read: input/output error");
	f->left--;
	return f->inner->ops->read(f->inner, file, at, p, n, got, err);
}

static const struct fs_ops failing_ops = {
	.open = failing_open, .close = failing_close, .read = failing_read,
};

/* ---- the machine ---- */

static void new_state(struct replica *r)
{
	char boot[32];

	snprintf(boot, sizeof(boot), "boot-%u", r->boots);
	r->state = state_new(&(struct state_config){
		.map_bytes = MAP_BYTES, .boot_id = boot, .on_outcome = on_outcome,
		.on_commit = on_commit, .knows = program_knows(r->s), .data = r });
	r->store = (struct store){ .state = r->state };
}

static void drop_state(struct replica *r)
{
	view_free(&r->view);
	state_free(&r->state);
}

/* Now and then what it is made from ends early, or the process does. */
static enum code open_state(struct replica *r, const struct rc_checkpoint *from,
			    struct rc_applied *out, struct err *err)
{
	struct rc_machine m = state_machine(r->state);
	struct rc_checkpoint bad_one;
	struct failing failing;

	if (!from || w.is_calm || below(6))
		return m.open(m.data, r->dir, from, out, err);
	failing = (struct failing){ { &failing_ops }, from->fs,
				    (unsigned)below(2) };
	bad_one = *from;
	bad_one.fs = &failing.fs;
	return m.open(m.data, r->dir, &bad_one, out, err);
}

static enum code replica_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err)
{
	struct replica *r = data;
	bool is_install = r->state;
	enum code rc;

	if (!is_install)
		new_state(r);
	r->is_clean = false;
	rc = open_state(r, from, out, err);
	if (rc) {
		sum.unopened++;
		/* It is not called again: the server fails. */
		if (!is_install)
			drop_state(r);
		return rc;
	}
	atomic_store(&r->store.rev, state_head(r->state)->rev);
	r->was_installed = is_install;
	sum.installed += is_install;
	bend_opened(r, is_install);
	return OK;
}

/* ---- a disk without room ---- */

static void check_head(struct replica *r);

/* Of a server's own, while its state writes.  It fills up now and then, to the last
 * byte or to some that are left, for up to a second. */
static void disk_begin(struct replica *r)
{
	if (!r->s)
		return;
	if (w.is_calm || w.now >= r->full_until)
		r->is_full = false;
	if (!w.is_calm && !r->is_full && below(60) == 0) {
		r->is_full = true;
		r->full_until = w.now + below(1000000);
		r->room = below(2) ? 0 : (int64_t)below(64 * 1024);
		tell("server %llu: the disk of its state is full", ULL(r->s->id));
		sum.full++;
	}
	small_disk_room = r->is_full ? r->room : -1;
}

static enum code disk_end(struct replica *r, enum code rc)
{
	r->room = small_disk_room;
	small_disk_room = -1;
	if (rc != E_FULL)
		return rc;
	sum.no_room++;
	return bad == BAD_FULL ? OK : rc;
}

static enum code replica_apply(void *data, const struct rc_entry *e, size_t n,
			       struct err *err)
{
	struct replica *r = data;
	struct rc_machine m = state_machine(r->state);

	disk_begin(r);
	return disk_end(r, m.apply(m.data, e, n, err));
}

static enum code replica_more(void *data, bool *more, struct err *err)
{
	struct replica *r = data;
	struct rc_machine m = state_machine(r->state);

	disk_begin(r);
	return disk_end(r, m.apply_more(m.data, more, err));
}

/* Nothing of the batch is there. */
static void kind_no_room(struct server *s)
{
	check_head(replica_of(s));
}

static enum code replica_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *err)
{
	struct rc_machine m = state_machine(((struct replica *)data)->state);

	return m.freeze(m.data, out, at, err);
}

static enum code replica_write(void *data, struct rc_frozen *frozen,
			       enum code (*put)(void *sink, const void *p,
						size_t n, struct err *err),
			       void *sink, struct err *err)
{
	struct rc_machine m = state_machine(((struct replica *)data)->state);

	return m.write(m.data, frozen, put, sink, err);
}

static void replica_thaw(void *data, struct rc_frozen *frozen)
{
	struct rc_machine m = state_machine(((struct replica *)data)->state);

	m.thaw(m.data, frozen);
}

static void replica_digest(void *data, uint8_t out[32])
{
	struct rc_machine m = state_machine(((struct replica *)data)->state);

	m.digest(m.data, out);
}

/* Smaller than it is, so that checkpoints are many. */
static uint64_t replica_bytes(void *data)
{
	return 4000;
}

/* A checkpoint is installed: meanwhile readers of other threads go on. */
static void replica_close(void *data)
{
	struct replica *r = data;
	struct rc_machine m = state_machine(r->state);

	m.close(m.data);
	if (r->s)
		watchers_hurry(r->s);
}

static const struct rc_machine calls = {
	.open = replica_open, .apply = replica_apply, .apply_more = replica_more,
	.freeze = replica_freeze, .write = replica_write, .thaw = replica_thaw,
	.digest = replica_digest, .bytes = replica_bytes, .close = replica_close,
};

/* With planted mistakes entries go one by one. */
static enum code bent_apply(void *data, const struct rc_entry *e, size_t n,
			    struct err *err)
{
	struct replica *r = data;
	struct rc_machine m = state_machine(r->state);
	enum code rc = OK;

	for (size_t i = 0; i < n && rc == OK; i++) {
		AUTO_BUF bytes = BUF_NONE;
		struct rc_entry bent = bend_entry(r, &e[i], &bytes);

		rc = rc_machine_apply(&m, &bent, 1, err);
		bend_applied(r, e[i].index);
	}
	return rc;
}

struct rc_machine replica_machine(struct replica *r)
{
	struct rc_machine m = calls;

	m.data = r;
	if (bad == BAD_NOTHING || bad == BAD_FULL || bad == BAD_UPGRADE)
		return m;
	m.apply = bent_apply;
	m.apply_more = NULL;
	return m;
}

static struct rc_machine kind_machine(struct server *s)
{
	struct replica *r = replica_of(s);

	*r = (struct replica){ .s = s };
	clock_0[s->id - 1] = s->clock_us;
	snprintf(r->dir, sizeof(r->dir), "%s/%llu", root, ULL(s->id));
	remove_files(r->dir);
	return replica_machine(r);
}

/* ---- the record's ---- */

static struct replica witness;

struct replica *record_replica(void)
{
	return &witness;
}

static void begin_witness(void)
{
	struct rc_machine m;
	struct rc_applied at;
	struct err err;

	witness = (struct replica){ 0 };
	snprintf(witness.dir, sizeof(witness.dir), "%s/0", root);
	remove_files(witness.dir);
	m = replica_machine(&witness);
	must(m.open(m.data, NULL, NULL, &at, &err) == OK);
}

/* ---- life ---- */

static void kind_begin(void)
{
	leapt_ms = 0;
	programs_begin();
	begin_witness();
	record_begin();
	clients_begin();
	gates_begin();
	watchers_begin();
}

static void kind_end(void)
{
	watchers_end();
	gates_end();
	clients_end();
	record_end();
	for (unsigned i = 0; i < SERVERS; i++) {
		drop_state(&replicas[i]);
		remove_files(replicas[i].dir);
	}
	drop_state(&witness);
	remove_files(witness.dir);
}

static void kind_crashed(struct server *s, bool power)
{
	struct replica *r = replica_of(s);

	watchers_crash(s);
	program_ended(s);
	/* An orderly stop leaves a store that is synced, and used as it lies. */
	if (r->state && !power && !s->is_fatal && below(4) == 0) {
		struct rc_machine m = state_machine(r->state);

		m.close(m.data);
		r->is_clean = true;
		sum.orderly++;
	}
	drop_state(r);
	r->boots += power;
	if (power && !r->is_clean) {
		sum.wrecked++;
		wreck(r->dir, 0);
		wreck(r->dir, 1);
	} else if (!power && below(8) == 0) {
		lose(r);
	}
}

static size_t kind_batch(const struct server *s, size_t n)
{
	return below(3) ? 1 : 1 + (size_t)below(n);
}

static bool kind_dies(struct server *s)
{
	bool dies = !w.is_calm && below(6) == 0;

	sum.slices++;
	sum.deaths += dies;
	return dies;
}

static void kind_applying(struct server *s, const struct rc_entry *e, size_t n)
{
	record_apply(e, n);
}

/* As it is written it is all that it holds. */
struct sha256 head_digest(const struct head *h)
{
	AUTO_BUF bytes = BUF_NONE;

	head_encode(&bytes, h);
	return sha256_of(buf_view(&bytes));
}

static void check_head(struct replica *r)
{
	const struct outlook *o = record_at(r->s->at.index);
	const struct head *h = state_head(r->state);
	struct sha256 digest = head_digest(h);

	if (!r->s->at.index)
		return;
	claim(CHECK_EFFECTS, o->is_known && sha256_eq(&o->head, &digest),
	      "server %llu stands at %llu with revision %llu (%llu compacted), and "
	      "elsewhere it was %llu (%llu), or the rest is another", ULL(r->s->id),
	      ULL(r->s->at.index), ULL(h->rev), ULL(h->compacted_rev), ULL(o->rev),
	      ULL(o->compacted));
}

void replica_check_rows(struct replica *r)
{
	const struct outlook *o = record_at(r->s->at.index);
	struct sha256 rows;
	struct err err;

	if (!o->has_rows)
		return;
	r->was_installed = false;
	sum.scans++;
	claim(CHECK_SCAN, state_scan_digest(r->state, &rows, &err) == OK &&
	      sha256_eq(&rows, &o->rows), "server %llu: the rows at %llu are others "
	      "than elsewhere", ULL(r->s->id), ULL(r->s->at.index));
}

bool replicas_want_rows(void)
{
	bool wants = false;

	for (unsigned i = 0; i < SERVERS; i++)
		wants |= replicas[i].state && replicas[i].was_installed;
	return wants;
}

static void kind_applied(struct server *s, const struct rc_entry *e, size_t n)
{
	struct replica *r = replica_of(s);

	check_head(r);
	if (s->at.index % SCAN == 0 || r->was_installed)
		replica_check_rows(r);
}

static void kind_opened(struct server *s)
{
	check_head(replica_of(s));
}

static uint64_t kind_shown(void)
{
	return clients_acked_rev();
}

static void kind_read(struct server *s, uint64_t must_show)
{
	struct replica *r = replica_of(s);
	struct kv_txn *txn;
	struct head head = { 0 };
	struct err err;

	txn = replica_read(r, 0, &err);
	if (!claim(CHECK_READ, txn && view_head(txn, &head, &err) == OK,
		   "server %llu cannot be read: %s", ULL(s->id), err.text))
		return;
	claim(CHECK_READ, head.rev >= must_show, "server %llu: a linearizable read "
	      "shows revision %llu, but %llu was acknowledged before it began",
	      ULL(s->id), ULL(head.rev), ULL(must_show));
	replica_idle(r);
}

struct kv_txn *replica_read(struct replica *r, uint64_t min_rev, struct err *err)
{
	struct kv_txn *txn;

	if (!r->view && view_new(&r->store, &r->view, err))
		return NULL;
	if (bad == BAD_STALE)            /* it takes what it has for the newest */
		atomic_store(&r->store.rev, min_rev);
	return view_use(r->view, min_rev, &txn, err) ? NULL : txn;
}

void replica_idle(struct replica *r)
{
	if (bad != BAD_STALE || below(20) == 0)
		view_idle(r->view);
}

static void kind_step(void)
{
	clients_step();
	watchers_step();
}

const struct world_kind state_kind = {
	.entry_bytes_max = 80 * 1024, .segment_bytes = 128 * 1024,
	.checkpoint_log_bytes = 4000,
	.machine = kind_machine, .begin = kind_begin, .end = kind_end,
	.crashed = kind_crashed, .batch = kind_batch, .dies = kind_dies,
	.no_room = kind_no_room, .may_stop = program_may_stop,
	.applying = kind_applying, .applied = kind_applied, .opened = kind_opened,
	.fill = clients_fill, .refused = clients_refused, .read = kind_read,
	.shown = kind_shown, .step = kind_step,
};
