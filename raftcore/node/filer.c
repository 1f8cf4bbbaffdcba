/*
 * Files of the program: see filer.h.  What is sent is given to the ship, some at a
 * time; what has come is moved out of its folder by a worker, so that the ship knows
 * nothing of it any more, and then told.
 */
#include "base/log.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "node/driver.h"
#include "raftcore/files.h"
#include "wire/wire.h"

#include "base/banned.h"

#define TO_PEER_MAX 2u                   /* at a time; checkpoints have room beside */
#define TO_ALL_MAX 8u
#define WAITING_MAX 1024u                /* to one peer */
#define LOOK_MS 250u
#define RETRY_MS 100u
#define WARN_MS 1000u

struct sending {
	struct errand errand;            /* to its loop, and back to 'done' */
	struct list at;
	struct rc_file *file;
	uint64_t peer, told;
	uint64_t number;                 /* of all since the start */
	bool is_under_way, has_tree;
	struct buf id;
	char *path;
	enum code rc;
	struct err err;
};

struct moving {
	struct errand errand;
	struct rc_file *file;
	uint64_t bytes, size;
};

/* One that came. */
struct taking {
	struct work work;
	struct errand errand;
	struct list at;
	struct rc_node *node;
	uint64_t peer;
	struct buf id, from, path;
	bool is_out;                     /* a worker has it, or the program is told */
	bool is_moved;                   /* and may have to be synced yet */
	bool is_gone;                    /* somebody else removed it */
	enum code rc;
	struct err err;
};

void filer_init(struct filer *f)
{
	list_init(&f->waiting);
	list_init(&f->going);
	list_init(&f->taken);
	f->life = rand_u64();
	parts_init(&f->parts);
}

static struct str name_of(struct str id)
{
	return str_from(id, strlen(FILER_ID));
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789-_", name.p[i]) || !name.p[i])
			return false;
	return name.n && name.n <= RC_FILE_NAME_MAX;
}

/* ---- sending ---- */

static void sending_free(struct sending *s)
{
	buf_fini(&s->id);
	free(s->path);
	free(s);
}

static void tell_done(struct rc_node *n, struct errand *errand)
{
	struct sending *s = container_of(errand, struct sending, errand);

	s->file->done(s->file, s->rc, &s->err);
	sending_free(s);
}

/* It is the other thread's from here on. */
static void settle(struct rc_node *n, struct sending *s, enum code rc,
		   const struct err *err)
{
	list_remove(&s->at);
	s->rc = rc;
	if (rc)
		err_copy(&s->err, err);
	s->errand.run = tell_done;
	errands_put_sure(&n->to_apply, &s->errand);
}

/* No two have the same: what was cancelled may be hashed by a worker still, and who
 * sends another file of its name would find the tree of the old one. */
static void tree_of(const struct rc_node *n, const struct sending *s,
		    struct buf *out)
{
	buf_printf(out, "%s/%s-%llu-%llu.tree", n->filer.sent_dir, s->id.p,
		   (unsigned long long)s->peer, (unsigned long long)s->number);
}

/* The new one first: then a worker who has not named it cannot any more.  What one
 * begins behind this goes with the next start. */
static void drop_tree(const struct rc_node *n, const struct sending *s)
{
	AUTO_BUF tree = BUF_NONE;
	AUTO_BUF new = BUF_NONE;

	tree_of(n, s, &tree);
	buf_printf(&new, "%s.new", tree.p);
	(void)fs_real()->ops->remove(fs_real(), new.p, NULL);
	(void)fs_real()->ops->remove(fs_real(), tree.p, NULL);
}

/* To one that is away nothing goes, so that he keeps none from the others. */
static bool may_begin(const struct rc_node *n, const struct sending *s)
{
	const struct sending *other;
	unsigned all = 0, to_peer = 0;

	list_each(&n->filer.going, other, at) {
		all++;
		to_peer += other->peer == s->peer;
	}
	return all < TO_ALL_MAX && to_peer < TO_PEER_MAX &&
	       ship_is_up(n->ship, s->peer);
}

static void begin(struct rc_node *n, struct sending *s)
{
	AUTO_BUF tree = BUF_NONE;
	AUTO_BUF meta = BUF_NONE;
	struct ship_file file = { .dir = n->filer.sent_dir };
	struct err err;
	enum code rc;

	tree_of(n, s, &tree);
	file.id = buf_view(&s->id);
	/* It names this sending: who has it and hears of it again says so. */
	wr_u64(&meta, n->filer.life);
	wr_u64(&meta, s->number);
	file.meta = buf_view(&meta);
	file.path = s->path;
	file.tree_path = tree.p;
	rc = ship_send(n->ship, node_now(n), s->peer, &file, &err);
	if (rc == E_BUSY)                /* filer_timeout tries again */
		return;
	if (rc) {
		settle(n, s, rc, &err);
		return;
	}
	s->is_under_way = s->has_tree = true;
	list_remove(&s->at);
	list_append(&n->filer.going, &s->at);
}

static void send_some(struct rc_node *n)
{
	struct sending *s;

	list_each(&n->filer.waiting, s, at)
		if (may_begin(n, s))
			begin(n, s);
}

/* The ship has room for sixteen, checkpoints among them.  Hashed once, it goes on with
 * that when the peer is back. */
static void put_back(struct rc_node *n, struct sending *s)
{
	uint64_t bytes, size;

	if (ship_is_up(n->ship, s->peer) ||
	    !ship_progress(n->ship, s->peer, buf_view(&s->id), &bytes, &size))
		return;
	/* What the ship says of it then is heard by nobody. */
	s->is_under_way = false;
	(void)ship_cancel(n->ship, node_now(n), s->peer, buf_view(&s->id));
	list_remove(&s->at);
	list_prepend(&n->filer.waiting, &s->at);
}

static struct sending *find_in(const struct list *list, uint64_t peer,
			       struct str id)
{
	struct sending *s;

	list_each(list, s, at)
		if (s->peer == peer && str_eq(buf_view(&s->id), id))
			return s;
	return NULL;
}

static unsigned waiting_to(const struct rc_node *n, uint64_t peer)
{
	const struct sending *s;
	unsigned count = 0;

	list_each(&n->filer.waiting, s, at)
		count += s->peer == peer;
	return count;
}

static bool is_member(const struct rc_node *n, uint64_t id)
{
	struct node_peer peers[PEERS_MAX];
	size_t count = MIN(node_core_peers(n->core, peers, PEERS_MAX),
			   (size_t)PEERS_MAX);

	for (size_t i = 0; i < count; i++)
		if (peers[i].id == id)
			return id != n->config.node_id;
	return false;
}

static enum code check(const struct rc_node *n, const struct sending *s,
		       struct err *err)
{
	struct str name = name_of(buf_view(&s->id));

	if (node_has_ended(n))
		return err_set(err, E_UNAVAILABLE, "the node is stopping");
	if (!n->ship)
		return err_set(err, E_UNSUPPORTED, "a node without workers, or alone, "
			       "sends no files");
	if (!is_name(name))
		return err_set(err, E_INVALID, "a file's name has 1 to %d letters, "
			       "digits, '-' and '_'", RC_FILE_NAME_MAX);
	if (!is_member(n, s->peer))
		return err_set(err, E_NOT_FOUND, "node %llu is no other member",
			       (unsigned long long)s->peer);
	if (find_in(&n->filer.going, s->peer, buf_view(&s->id)) ||
	    find_in(&n->filer.waiting, s->peer, buf_view(&s->id)))
		return err_set(err, E_EXISTS, "%.*s is on its way to node %llu",
			       STR_ARG(name), (unsigned long long)s->peer);
	if (waiting_to(n, s->peer) >= WAITING_MAX)
		return err_set(err, E_BUSY, "%u files wait for node %llu already",
			       WAITING_MAX, (unsigned long long)s->peer);
	return OK;
}

static void start_sending(struct rc_node *n, struct errand *errand)
{
	struct sending *s = container_of(errand, struct sending, errand);
	struct err err;
	enum code rc = check(n, s, &err);

	if (rc) {
		settle(n, s, rc, &err);
		return;
	}
	s->number = ++n->filer.last_number;
	list_append(&n->filer.waiting, &s->at);
	if (may_begin(n, s))
		begin(n, s);
}

bool rc_send_file(struct rc_node *n, struct rc_file *file)
{
	struct sending *s = NEW(struct sending);

	list_init(&s->at);
	s->errand.run = start_sending;
	s->file = file;
	s->peer = file->peer;
	buf_z(&s->id, FILER_ID);
	buf_z(&s->id, file->name);
	s->path = mem_dup(file->path, strlen(file->path));
	if (errands_put(&n->to_raft, &s->errand))
		return true;
	sending_free(s);
	return false;
}

void filer_sent(struct rc_node *n, uint64_t peer, struct str id, enum code rc,
		const struct err *err)
{
	struct sending *s = find_in(&n->filer.going, peer, id);

	if (!s || !s->is_under_way)
		return;
	drop_tree(n, s);
	/* The answer was lost with the connection. */
	settle(n, s, rc == E_EXISTS ? OK : rc, err);
	send_some(n);
}

static void give_up(struct rc_node *n, struct sending *s, enum code rc,
		    const char *why)
{
	struct err err;

	/* What the ship says of it then is heard by nobody. */
	if (s->is_under_way) {
		s->is_under_way = false;
		(void)ship_cancel(n->ship, node_now(n), s->peer, buf_view(&s->id));
	}
	if (s->has_tree)
		drop_tree(n, s);
	err_set(&err, rc, "%s", why);
	settle(n, s, rc, &err);
}

void filer_peer_gone(struct rc_node *n, uint64_t peer)
{
	static const char why[] = "the node is no member any more";
	struct sending *s;

	list_each(&n->filer.going, s, at)
		if (s->peer == peer)
			give_up(n, s, E_NOT_FOUND, why);
	list_each(&n->filer.waiting, s, at)
		if (s->peer == peer)
			give_up(n, s, E_NOT_FOUND, why);
	send_some(n);
}

/* ---- cancelling, forgetting ---- */

struct order {
	struct errand errand;
	struct rc_file *file;            /* NULL: to forget */
};

static struct sending *find_file(const struct rc_node *n, const struct rc_file *file)
{
	struct sending *s;

	list_each(&n->filer.going, s, at)
		if (s->file == file)
			return s;
	list_each(&n->filer.waiting, s, at)
		if (s->file == file)
			return s;
	return NULL;
}

static void obey(struct rc_node *n, struct errand *errand)
{
	struct order *o = container_of(errand, struct order, errand);
	struct sending *s;

	/* Not at once: who sends may have given up a moment ago. */
	if (!o->file && n->ship && !n->filer.forgets) {
		n->filer.forgets = true;
		n->filer.retry_ms = node_now(n) + RETRY_MS;
	}
	s = find_file(n, o->file);
	if (s && !node_has_ended(n)) {
		give_up(n, s, E_CANCELLED, "it was cancelled");
		send_some(n);
	}
	free(o);
	node_touch(n);
}

static void give_order(struct rc_node *n, struct rc_file *file)
{
	struct order *o = NEW(struct order);

	o->errand.run = obey;
	o->file = file;
	if (!errands_put(&n->to_raft, &o->errand))
		free(o);
}

void rc_cancel_file(struct rc_node *n, struct rc_file *file)
{
	give_order(n, file);
}

void rc_forget_files(struct rc_node *n)
{
	give_order(n, NULL);
}

/* ---- progress ---- */

static void tell_moved(struct rc_node *n, struct errand *errand)
{
	struct moving *m = container_of(errand, struct moving, errand);

	m->file->progress(m->file, m->bytes, m->size);
	free(m);
}

/* Behind it comes 'done', so the file is still the caller's. */
static void look(struct rc_node *n, struct sending *s)
{
	uint64_t bytes, size;
	struct moving *m;

	if (!s->file->progress ||
	    !ship_progress(n->ship, s->peer, buf_view(&s->id), &bytes, &size) ||
	    bytes == s->told)
		return;
	s->told = bytes;
	m = NEW(struct moving);
	*m = (struct moving){ .errand.run = tell_moved, .file = s->file,
			      .bytes = bytes, .size = size };
	errands_put_sure(&n->to_apply, &m->errand);
}

/* ---- what has come ---- */

static void taking_free(struct taking *t)
{
	list_remove(&t->at);
	buf_fini(&t->id);
	buf_fini(&t->from);
	buf_fini(&t->path);
	free(t);
}

static void has_told(struct rc_node *n, struct errand *errand)
{
	taking_free(container_of(errand, struct taking, errand));
}

/* Until it is told, another file of its name may not take its place.  Where the node
 * ends, it is told at its next start. */
static void tell_taken(struct rc_node *n, struct errand *errand)
{
	struct taking *t = container_of(errand, struct taking, errand);
	struct rc_received r = { t->peer, name_of(buf_view(&t->id)).p, t->path.p,
				 node_core_files(n->core) };

	if (!node_has_ended(n))
		n->config.on_file(n->config.data, &r);
	t->errand.run = has_told;
	/* Not put: the node ends, and filer_free has it. */
	(void)!errands_put(&n->to_raft, &t->errand);
}

static void tell(struct rc_node *n, struct taking *t)
{
	t->is_out = true;
	t->errand.run = tell_taken;
	errands_put_sure(&n->to_apply, &t->errand);
}

static struct taking *taking_new(struct rc_node *n, uint64_t peer, struct str id)
{
	struct taking *t = NEW(struct taking);

	list_init(&t->at);
	t->node = n;
	t->peer = peer;
	buf_str(&t->id, id);
	buf_printf(&t->from, "%s/%s.file", n->filer.incoming, t->id.p);
	buf_printf(&t->path, "%s/%s", n->filer.dir, name_of(buf_view(&t->id)).p);
	return t;
}

static bool is_there(const char *path)
{
	struct file *file;
	enum code rc = fs_real()->ops->open(fs_real(), path, 0, &file, NULL);

	if (rc == OK)
		fs_real()->ops->close(fs_real(), file);
	return rc != E_NOT_FOUND;
}

/* Its journal speaks of a whole file that is not there any more. */
static enum code move(struct taking *t, struct err *err)
{
	const struct filer *f = &t->node->filer;
	struct fs *fs = node_core_files(t->node->core);
	AUTO_BUF journal = BUF_NONE;
	enum code rc = OK;

	if (!t->is_moved)
		rc = fs->ops->rename(fs, t->from.p, t->path.p, err);
	t->is_moved = rc == OK;
	t->is_gone = rc == E_NOT_FOUND && !is_there(t->from.p);
	if (rc == OK)
		rc = failpoint_hit(FP_FILE_MOVED, err);
	if (rc == OK)
		rc = fs->ops->sync_dir(fs, f->dir, err);
	buf_printf(&journal, "%s/%s.journal", f->incoming, t->id.p);
	if (rc == OK)
		(void)fs->ops->remove(fs, journal.p, NULL);
	return rc;
}

static void take_run(struct work *work)
{
	struct taking *t = container_of(work, struct taking, work);

	t->rc = move(t, &t->err);
}

static void take_done(struct work *work)
{
	struct taking *t = container_of(work, struct taking, work);
	struct rc_node *n = t->node;
	struct filer *f = &n->filer;

	t->is_out = false;
	if (!node_work_home(n))
		return;                  /* filer_free has it */
	if (t->rc == OK) {
		tell(n, t);
		return;
	}
	if (t->is_gone) {
		taking_free(t);
		return;
	}
	f->retry_ms = node_now(n) + RETRY_MS;
	if (node_now(n) < f->warn_ms)
		return;
	f->warn_ms = node_now(n) + WARN_MS;
	log_warn(PART, LOG_KV(log_u("peer", t->peer), log_z("error", t->err.text)),
		 "a file that came is not told of yet");
}

static void take(struct taking *t)
{
	struct rc_node *n = t->node;

	t->work = (struct work){ .home = n->loop, .run = take_run,
				 .done = take_done };
	t->is_out = pool_submit(n->config.pool, &t->work);
	n->works += t->is_out;
}

static struct taking *taking_of(const struct rc_node *n, struct str id)
{
	struct taking *t;

	list_each(&n->filer.taken, t, at)
		if (str_eq(buf_view(&t->id), id))
			return t;
	return NULL;
}

enum code filer_wanted(struct rc_node *n, uint64_t peer,
		       const struct ship_offer *offer, struct err *err)
{
	struct str id = offer->id;

	if (!n->config.on_file)
		return err_set(err, E_UNSUPPORTED, "node %llu takes no files",
			       (unsigned long long)n->config.node_id);
	if (!is_name(name_of(id)))
		return err_set(err, E_INVALID, "%.*s names no file", STR_ARG(id));
	if (parts_has_come(&n->filer.parts, peer, offer))
		return err_set(err, E_EXISTS, "it has come");
	if (taking_of(n, id))
		return err_set(err, E_BUSY, "the one before is being taken");
	parts_offered(n, id);
	return OK;
}

void filer_received(struct rc_node *n, uint64_t peer, const struct ship_offer *offer,
		    const char *path)
{
	struct taking *t;

	if (taking_of(n, offer->id))
		return;
	parts_came(n, peer, offer);
	t = taking_new(n, peer, offer->id);
	list_append(&n->filer.taken, &t->at);
	take(t);
}

/* ---- time ---- */

static bool is_waiting(const struct rc_node *n)
{
	const struct taking *t;

	list_each(&n->filer.taken, t, at)
		if (!t->is_out)
			return true;
	return n->filer.forgets;
}

uint64_t filer_deadline(const struct rc_node *n)
{
	uint64_t due = parts_deadline(n);

	if (is_waiting(n))
		due = MIN(due, MAX(n->filer.retry_ms, node_now(n) + 1));
	else if (!list_empty(&n->filer.going) || !list_empty(&n->filer.waiting))
		due = MIN(due, MAX(n->filer.look_ms, node_now(n) + 1));
	return due;
}

/* What is whole is acknowledged, and stays until it is moved.  Ids of checkpoints are
 * numbers of twenty digits. */
static void keep_whole(struct rc_node *n, struct buf *out)
{
	const struct taking *t;

	buf_z(out, "0*");
	list_each(&n->filer.taken, t, at) {
		buf_c(out, '\0');
		buf_str(out, buf_view(&t->id));
	}
}

static bool forget(struct rc_node *n)
{
	AUTO_BUF keep = BUF_NONE;

	keep_whole(n, &keep);
	return ship_clear(n->ship, node_now(n), buf_view(&keep));
}

static void try_again(struct rc_node *n)
{
	struct filer *f = &n->filer;
	struct taking *t;

	f->retry_ms = node_now(n) + RETRY_MS;
	list_each(&f->taken, t, at)
		if (!t->is_out)
			take(t);
	if (f->forgets && forget(n))
		f->forgets = false;
}

void filer_timeout(struct rc_node *n)
{
	struct filer *f = &n->filer;
	struct sending *s;

	if (is_waiting(n) && node_now(n) >= f->retry_ms)
		try_again(n);
	parts_timeout(n, keep_whole);
	if (node_now(n) < f->look_ms)
		return;
	f->look_ms = node_now(n) + LOOK_MS;
	list_each(&f->going, s, at) {
		look(n, s);
		put_back(n, s);
	}
	send_some(n);
}

/* ---- life ---- */

/* Of an earlier life: moved, or whole and not moved yet. */
static enum code take_up(struct rc_node *n, const struct buf *incoming,
			 struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct fs *fs = fs_real();
	enum code rc = OK;

	for (struct str rest = buf_view(incoming); rc == OK && rest.n;) {
		struct str name = str_cut(&rest, '\0');
		struct taking *t;

		if (!filer_owns(name) || !str_ends(name, STR(".file")) ||
		    !is_name(name_of(str_first(name, name.n - 5))))
			continue;
		t = taking_new(n, 0, str_first(name, name.n - 5));
		rc = move(t, err);
		taking_free(t);
	}
	if (rc == OK)
		rc = fs->ops->list(fs, n->filer.dir, &names, err);
	for (struct str rest = buf_view(&names); rc == OK && rest.n;) {
		AUTO_BUF id = BUF_NONE;
		struct str name = str_cut(&rest, '\0');
		struct taking *t;

		if (!is_name(name))
			continue;
		buf_z(&id, FILER_ID);
		buf_str(&id, name);
		t = taking_new(n, 0, buf_view(&id));
		t->is_moved = t->is_out = true;  /* filer_start tells */
		list_append(&n->filer.taken, &t->at);
	}
	return rc;
}

void filer_start(struct rc_node *n)
{
	struct taking *t;

	list_each(&n->filer.taken, t, at)
		tell(n, t);
}

/* They are made again, of the file as it is then. */
static enum code remove_trees(struct rc_node *n, struct err *err)
{
	struct fs *fs = fs_real();
	AUTO_BUF names = BUF_NONE;
	enum code rc = fs->ops->list(fs, n->filer.sent_dir, &names, err);

	for (struct str rest = buf_view(&names); rc == OK && rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/%.*s", n->filer.sent_dir, STR_ARG(name));
		(void)fs->ops->remove(fs, path.p, NULL);
	}
	return rc;
}

/* Of parts, those that were begun plain and would be sealed now, or whose key has
 * gone. */
static void drop_parts(struct rc_node *n, const struct buf *incoming)
{
	struct fs *fs = node_core_files(n->core);

	for (struct str rest = buf_view(incoming); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;
		struct file *file;
		enum code rc;

		if (!filer_owns(name) || !str_ends(name, STR(".part")))
			continue;
		buf_printf(&path, "%s/%.*s", n->filer.incoming, STR_ARG(name));
		rc = fs->ops->open(fs, path.p, FILE_WRITE, &file, NULL);
		if (rc == OK)
			fs->ops->close(fs, file);
		else if (rc == E_CONFLICT || rc == E_DENIED)
			(void)fs->ops->remove(fs, path.p, NULL);
	}
}

static char *below(const char *dir, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", dir, name);
	return buf_take(&path);
}

enum code filer_open(struct rc_node *n, const char *incoming,
		     const struct buf *names, struct err *err)
{
	struct filer *f = &n->filer;
	enum code rc;

	f->incoming = mem_dup(incoming, strlen(incoming));
	f->dir = below(n->dir, "files");
	f->sent_dir = below(n->checkpoint_dir, "sent");
	rc = fs_real()->ops->make_dir(fs_real(), f->sent_dir, err);
	if (rc == OK)
		rc = remove_trees(n, err);
	if (rc || !n->config.on_file)
		return rc;
	drop_parts(n, names);
	parts_take_up(&f->parts, names);
	rc = fs_make_dir(fs_real(), f->dir, err);
	return rc ? rc : take_up(n, names, err);
}

void filer_end(struct rc_node *n)
{
	struct sending *s;
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	list_each(&n->filer.going, s, at)
		settle(n, s, E_UNAVAILABLE, &err);
	list_each(&n->filer.waiting, s, at)
		settle(n, s, E_UNAVAILABLE, &err);
}

void filer_free(struct rc_node *n)
{
	struct filer *f = &n->filer;
	struct taking *t;

	list_each(&f->taken, t, at)
		taking_free(t);
	parts_free(&f->parts);
	free(f->dir);
	free(f->incoming);
	free(f->sent_dir);
}
