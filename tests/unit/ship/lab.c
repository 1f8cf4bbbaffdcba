/* Ships in memory: see lab.h. */
#include "lab.h"

#include "base/mem.h"

#include "base/banned.h"

struct lab lab;

struct letter {
	struct list link;
	struct buf bytes;
};

static struct lab_node *node_of(const void *data)
{
	struct lab_node *n = (struct lab_node *)data;

	must(n >= lab.nodes && n < lab.nodes + LAB_NODES);
	return n;
}

/* ---- a disk that may be full ---- */

static struct lab_fs *lab_fs_of(struct fs *fs)
{
	return container_of(fs, struct lab_fs, fs);
}

#define UNDER(fs) struct fs *u = lab_fs_of(fs)->under

static enum code f_open(struct fs *fs, const char *path, unsigned flags,
			struct file **out, struct err *err)
{
	UNDER(fs);

	return u->ops->open(u, path, flags, out, err);
}

static void f_close(struct fs *fs, struct file *file)
{
	UNDER(fs);

	u->ops->close(u, file);
}

static enum code f_read(struct fs *fs, struct file *file, uint64_t at, void *p,
			size_t n, size_t *got, struct err *err)
{
	UNDER(fs);

	return u->ops->read(u, file, at, p, n, got, err);
}

static enum code f_write(struct fs *fs, struct file *file, uint64_t at,
			 const void *p, size_t n, struct err *err)
{
	UNDER(fs);

	if (lab_fs_of(fs)->is_full)
		return err_set(err, E_FULL, "the disk is full");
	lab_fs_of(fs)->writes++;
	return u->ops->write(u, file, at, p, n, err);
}

static enum code f_sync(struct fs *fs, struct file *file, struct err *err)
{
	UNDER(fs);

	if (lab_fs_of(fs)->is_full_in_sync)
		return err_set(err, E_FULL, "the disk is full");
	return u->ops->sync(u, file, err);
}

static enum code f_size(struct fs *fs, struct file *file, uint64_t *out,
			struct err *err)
{
	UNDER(fs);

	return u->ops->size(u, file, out, err);
}

static bool f_is_direct(struct fs *fs, struct file *file)
{
	return false;
}

static enum code f_rename(struct fs *fs, const char *from, const char *to,
			  struct err *err)
{
	UNDER(fs);

	return u->ops->rename(u, from, to, err);
}

static enum code f_remove(struct fs *fs, const char *path, struct err *err)
{
	UNDER(fs);

	return u->ops->remove(u, path, err);
}

static enum code f_make_dir(struct fs *fs, const char *path, struct err *err)
{
	UNDER(fs);

	return u->ops->make_dir(u, path, err);
}

static enum code f_sync_dir(struct fs *fs, const char *path, struct err *err)
{
	UNDER(fs);

	return u->ops->sync_dir(u, path, err);
}

static enum code f_list(struct fs *fs, const char *path, struct buf *names,
			struct err *err)
{
	UNDER(fs);

	return u->ops->list(u, path, names, err);
}

static const struct fs_ops ops = {
	.open = f_open, .close = f_close, .read = f_read, .write = f_write,
	.sync = f_sync, .size = f_size, .is_direct = f_is_direct,
	.rename = f_rename, .remove = f_remove, .make_dir = f_make_dir,
	.sync_dir = f_sync_dir, .list = f_list,
};

/* ---- the host ---- */

static bool host_send(void *data, uint64_t peer, struct str frame)
{
	struct lab_node *n = node_of(data);
	struct letter *l;

	must(peer < LAB_NODES && n->is_up[peer]);
	if (n->is_full[peer])
		return false;
	l = NEW(struct letter);
	buf_str(&l->bytes, frame);
	list_append(&n->links[peer], &l->link);
	n->chunks_sent += frame.p[1] == SHIP_F_CHUNK;
	return true;
}

static void host_work(void *data, struct ship_job *job)
{
	struct lab_node *n = node_of(data);

	job->next = NULL;
	*n->last = job;
	n->last = &job->next;
}

static enum code host_wanted(void *data, uint64_t peer,
			     const struct ship_offer *o, struct err *err)
{
	struct lab_node *n = node_of(data);

	n->n_wanted++;
	if (n->wants)
		return err_set(err, n->wants, "not wanted");
	return OK;
}

static void host_received(void *data, uint64_t peer, const struct ship_offer *o,
			  const char *path)
{
	node_of(data)->n_received++;
}

static void host_failed(void *data, uint64_t peer, struct str id, enum code rc,
			const struct err *err)
{
	struct lab_node *n = node_of(data);

	n->n_failed++;
	n->failed = rc;
	n->why = *err;
}

static void host_sent(void *data, uint64_t peer, struct str id, enum code rc,
		      const struct err *err)
{
	struct lab_node *n = node_of(data);

	n->n_sent++;
	n->sent = rc;
	n->why = *err;
}

/* ---- life ---- */

void lab_init(void)
{
	memset(&lab, 0, sizeof(lab));
	lab.now_ms = 1000;
	for (unsigned i = 0; i < LAB_NODES; i++) {
		struct lab_node *n = &lab.nodes[i];

		n->disk = disk_new(i + 1);
		n->fs.fs.ops = &ops;
		n->fs.under = disk_fs(n->disk);
		must(n->fs.under->ops->make_dir(n->fs.under, "src", NULL) == OK);
		ship_config_defaults(&n->config);
		n->config.host = (struct ship_host){
			.send = host_send, .work = host_work,
			.wanted = host_wanted, .received = host_received,
			.failed = host_failed, .sent = host_sent, .data = n,
		};
		n->config.fs = &n->fs.fs;
		n->config.dir = "in";
		n->config.chunk_bytes = SHIP_CHUNK_MIN;
		n->config.page_log = 2;
		n->config.sync_bytes = 5 * SHIP_CHUNK_MIN;
		n->last = &n->jobs;
		for (unsigned k = 0; k < LAB_NODES; k++)
			list_init(&n->links[k]);
	}
}

void lab_start(unsigned node)
{
	struct lab_node *n = &lab.nodes[node];

	must(!n->ship);
	n->ship = ship_new(&n->config);
}

static void drop(struct letter *l)
{
	list_remove(&l->link);
	buf_fini(&l->bytes);
	free(l);
}

static void lose_link(unsigned from, unsigned to)
{
	struct lab_node *n = &lab.nodes[from];
	struct letter *l;

	while ((l = list_first(&n->links[to], struct letter, link)))
		drop(l);
	if (n->is_up[to] && n->ship)
		ship_peer_down(n->ship, to);
	n->is_up[to] = false;
}

void lab_cut(unsigned a, unsigned b)
{
	lose_link(a, b);
	lose_link(b, a);
}

void lab_connect(unsigned a, unsigned b)
{
	struct err err;

	lab.nodes[a].is_up[b] = lab.nodes[b].is_up[a] = true;
	must(ship_peer_up(lab.nodes[a].ship, lab.now_ms, b, &err) == OK);
	must(ship_peer_up(lab.nodes[b].ship, lab.now_ms, a, &err) == OK);
}

static void again(unsigned node, unsigned peer)
{
	struct ship *s = lab.nodes[node].ship;
	struct err err;

	ship_peer_down(s, peer);
	must(ship_peer_up(s, lab.now_ms, peer, &err) == OK);
}

void lab_half_cut(unsigned from, unsigned to)
{
	struct list *link = &lab.nodes[from].links[to];
	struct letter *l;

	while ((l = list_first(link, struct letter, link)))
		drop(l);
	/* One without bytes is the news. */
	l = NEW(struct letter);
	list_append(link, &l->link);
	again(from, to);
}

static struct ship_job *take_job(struct lab_node *n)
{
	struct ship_job *job = n->jobs;

	if (!job)
		return NULL;
	n->jobs = job->next;
	if (!n->jobs)
		n->last = &n->jobs;
	return job;
}

static void stop(struct lab_node *n)
{
	struct ship_job *job;

	if (!n->ship)
		return;
	ship_stop(n->ship);
	while ((job = take_job(n)))
		ship_job_done(n->ship, lab.now_ms, job);
	must(ship_is_idle(n->ship));
	ship_free(&n->ship);
}

void lab_crash(unsigned node, bool power)
{
	struct lab_node *n = &lab.nodes[node];

	for (unsigned k = 0; k < LAB_NODES; k++)
		lab_cut(node, k);
	stop(n);
	if (power)
		disk_power_loss(n->disk);
	else
		disk_kill(n->disk);
}

void lab_fini(void)
{
	for (unsigned i = 0; i < LAB_NODES; i++)
		for (unsigned k = 0; k < LAB_NODES; k++)
			lose_link(i, k);
	for (unsigned i = 0; i < LAB_NODES; i++) {
		stop(&lab.nodes[i]);
		disk_free(&lab.nodes[i].disk);
	}
}

/* ---- what happens ---- */

bool lab_deliver(unsigned from, unsigned to)
{
	struct letter *l = list_first(&lab.nodes[from].links[to], struct letter,
				      link);
	struct err err;
	enum code rc = E_UNAVAILABLE;

	if (!l)
		return false;
	if (l->bytes.n == 0) {
		drop(l);
		again(to, from);
		return true;
	}
	if (!lab.look || lab.look(from, to, &l->bytes))
		rc = ship_receive(lab.nodes[to].ship, lab.now_ms, from,
				  buf_view(&l->bytes), &err);
	drop(l);
	if (rc) {
		lab.nodes[to].why = err;
		lab_cut(from, to);
	}
	return true;
}

bool lab_job(unsigned node)
{
	struct lab_node *n = &lab.nodes[node];
	struct ship_job *job = take_job(n);

	if (!job)
		return false;
	ship_job_run(job);
	ship_job_done(n->ship, lab.now_ms, job);
	return true;
}

bool lab_step(void)
{
	bool any = false;

	for (unsigned i = 0; i < LAB_NODES; i++) {
		any |= lab_job(i);
		for (unsigned k = 0; k < LAB_NODES; k++)
			any |= lab_deliver(i, k);
	}
	return any;
}

static uint64_t next_ms(void)
{
	uint64_t at = UINT64_MAX;

	for (unsigned i = 0; i < LAB_NODES; i++)
		if (lab.nodes[i].ship)
			at = MIN(at, ship_deadline(lab.nodes[i].ship));
	return at;
}

bool lab_wait(void)
{
	uint64_t at = next_ms();

	if (at == UINT64_MAX)
		return false;
	lab.now_ms = MAX(lab.now_ms, at);
	for (unsigned i = 0; i < LAB_NODES; i++)
		if (lab.nodes[i].ship)
			ship_timeout(lab.nodes[i].ship, lab.now_ms);
	return true;
}

bool lab_is_down(void)
{
	for (unsigned i = 0; i < LAB_NODES; i++)
		if (disk_is_down(lab.nodes[i].disk))
			return true;
	return false;
}

void lab_run(uint64_t ms)
{
	uint64_t until = lab.now_ms + ms;

	for (unsigned i = 0; i < 1000000 && !lab_is_down(); i++) {
		if (lab_step())
			continue;
		if (next_ms() > until || !lab_wait())
			return;
	}
	must(lab_is_down());
}

/* ---- files ---- */

static void content(struct buf *b, uint64_t bytes, uint64_t seed)
{
	struct prng prng;
	char *p = buf_extend(b, bytes);

	prng_init(&prng, seed);
	for (uint64_t i = 0; i < bytes; i++)
		p[i] = (char)prng_next(&prng);
}

void lab_make(unsigned node, const char *path, uint64_t bytes, uint64_t seed)
{
	struct fs *fs = lab.nodes[node].fs.under;
	AUTO_BUF b = BUF_NONE;
	struct file *file;
	struct err err;

	content(&b, bytes, seed);
	if (bytes) {
		must(fs_put(fs, "src", path, buf_view(&b), &err) == OK);
		return;
	}
	/* The disk takes no writes of nothing. */
	must(fs->ops->open(fs, path, FILE_WRITE | FILE_CREATE, &file, &err) == OK);
	fs->ops->close(fs, file);
}

bool lab_has(unsigned node, const char *path, uint64_t bytes, uint64_t seed)
{
	AUTO_BUF want = BUF_NONE;
	AUTO_BUF have = BUF_NONE;

	content(&want, bytes, seed);
	return fs_get(lab.nodes[node].fs.under, path, &have, NULL) == OK &&
	       str_eq(buf_view(&want), buf_view(&have));
}

bool lab_exists(unsigned node, const char *path)
{
	AUTO_BUF have = BUF_NONE;

	return fs_get(lab.nodes[node].fs.under, path, &have, NULL) == OK;
}

void lab_flip(unsigned node, const char *path, uint64_t at)
{
	struct fs *fs = lab.nodes[node].fs.under;
	struct file *file;
	char byte;
	size_t got;

	must(fs->ops->open(fs, path, FILE_WRITE, &file, NULL) == OK);
	must(fs->ops->read(fs, file, at, &byte, 1, &got, NULL) == OK && got);
	byte ^= 1;
	must(fs->ops->write(fs, file, at, &byte, 1, NULL) == OK);
	must(fs->ops->sync(fs, file, NULL) == OK);
	fs->ops->close(fs, file);
}

enum code lab_send(unsigned from, unsigned to, const char *id)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF tree = BUF_NONE;
	struct ship_file file = { .id = str_of(id), .meta = STR("meta"),
				  .dir = "src" };
	struct err err;

	buf_printf(&path, "src/%s", id);
	buf_printf(&tree, "src/%s.tree", id);
	file.path = path.p;
	file.tree_path = tree.p;
	return ship_send(lab.nodes[from].ship, lab.now_ms, to, &file, &err);
}
