/*
 * Checkpoints to other nodes and from them: files by ship, in workers.
 *
 *	checkpoints/trees/      hashes of what is sent; go with their checkpoint
 *	checkpoints/incoming/   what comes; read and compared with its meta file
 *	                        before the core hears of it
 *
 * What is offered with a picture is the content of its meta file.  On the way it
 * is plain, but for the connection; each side has keys of its own, and what
 * comes is sealed as it is written.
 */
#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"
#include "node/guard.h"

#include "base/banned.h"

#define NEWER_MAX 8u                     /* then one that is sent may go */
#define RETRY_MS 10u                     /* where no worker was free */
#define LOOK_MS 200u                     /* after what is being sent */
#define AGAIN_MS 1000u                   /* to the next try */
#define PATIENCE_MS 15000u               /* from sent to installed */
#define ULL(x) ((unsigned long long)(x))

/* ---- sending ---- */

/*
 * A peer that needs a checkpoint.  It is sent the newest, and again until the
 * engine knows that the peer has what it was asked for, because the engine does
 * not ask again by itself.  Where this node does not lead any more, what is under
 * way is finished and no other begun: the picture of the next leader is another, so
 * the peer would begin anew with each, and where leaders change more often than it
 * takes one in, for ever.
 */
struct outgoing {
	struct errand errand;
	struct list at;
	uint64_t peer, asked;
	bool is_under_way;
	bool is_done;                    /* only what it holds still counts */
	bool is_left;                    /* of when this node led */
	uint64_t again_ms;
	struct buf id;                   /* of the one under way */
	struct checkpoint_reading reading;       /* of its picture */
	unsigned newer;                  /* that were taken since it began */
};

static uint64_t index_of(const struct buf *id)
{
	uint64_t index = 0;

	(void)!str_u64(str_first(buf_view(id), str_find(buf_view(id), '-')),
		       &index);
	return index;
}

/*
 * What is being sent, and then installed, is not removed when newer ones come,
 * nor is the log behind it: else a state that takes longer to send than two
 * checkpoints to come would be begun anew for ever.  But not without end: the log
 * grows meanwhile.
 */
static void hold(struct rc_node *n)
{
	uint64_t index[ARRAY_LEN(n->held_index)] = { 0 };
	struct outgoing *o;
	unsigned k = 0;

	list_each(&n->outgoing, o, at)
		if (o->newer < NEWER_MAX && k < ARRAY_LEN(index))
			index[k++] = index_of(&o->id);
	for (unsigned i = 0; i < ARRAY_LEN(index); i++)
		atomic_store(&n->held_index[i], index[i]);
}

static void outgoing_free(struct outgoing *o)
{
	list_remove(&o->at);
	checkpoint_reading_end(&o->reading);
	buf_fini(&o->id);
	free(o);
}

static void say_sent(const struct rc_node *n, const struct outgoing *o,
		     enum code rc, const struct err *err)
{
	if (rc == OK)
		log_info(PART, LOG_KV(log_u("peer", o->peer),
				      log_z("checkpoint", o->id.p)),
			 "a checkpoint was sent");
	else if (rc != E_EXISTS && rc != E_CANCELLED)
		log_warn(PART, LOG_KV(log_u("peer", o->peer),
				      log_z("error", err->text)),
			 "a checkpoint was not sent");
}

static void was_sent(struct rc_node *n, struct outgoing *o, enum code rc,
		     const struct err *err)
{
	uint64_t pause_ms = rc == E_CANCELLED ? 0 :
			    rc == OK ? PATIENCE_MS : AGAIN_MS;

	say_sent(n, o, rc, err);
	if (rc == OK)
		atomic_fetch_add(&n->shown.shipped, 1);
	o->is_under_way = false;
	checkpoint_reading_end(&o->reading);
	o->again_ms = node_now(n) + pause_ms;
}

static void on_sent(void *data, uint64_t peer, struct str id, enum code rc,
		    const struct err *err)
{
	struct rc_node *n = data;
	struct outgoing *o;

	if (filer_owns(id)) {
		filer_sent(n, peer, id, rc, err);
		return;
	}
	list_each(&n->outgoing, o, at) {
		if (o->peer != peer || !str_eq(buf_view(&o->id), id))
			continue;
		was_sent(n, o, rc, err);
		return;
	}
}

/* Names begin with the index, so the last is the newest. */
static enum code find_newest(const struct rc_node *n, struct buf *id,
			     struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	enum code rc = fs_real()->ops->list(fs_real(), n->checkpoint_dir,
					    &names, err);

	buf_reset(id);
	for (rest = buf_view(&names); rc == OK && rest.n;) {
		struct str name = str_cut(&rest, '\0');

		if (!str_ends(name, STR(".meta")))
			continue;
		buf_reset(id);
		buf_str(id, str_first(name, name.n - 5));
	}
	if (rc == OK && !id->n)
		rc = err_set(err, E_NOT_FOUND, "there is no checkpoint");
	return rc;
}

static enum code send_newest(struct rc_node *n, struct outgoing *o,
			     struct err *err)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF meta = BUF_NONE;
	AUTO_BUF tree = BUF_NONE;
	struct ship_file file = { .dir = n->tree_dir };
	enum code rc = find_newest(n, &o->id, err);

	if (rc)
		return rc;
	buf_printf(&picture, "%s/%s.ckpt", n->checkpoint_dir, o->id.p);
	buf_printf(&path, "%s/%s.meta", n->checkpoint_dir, o->id.p);
	buf_printf(&tree, "%s/%s.tree", n->tree_dir, o->id.p);
	checkpoint_reading_begin(&o->reading, picture.p);
	rc = fs_get(node_core_files(n->core), path.p, &meta, err);
	if (rc)
		return rc;
	o->newer = 0;
	hold(n);
	file.id = buf_view(&o->id);
	file.meta = buf_view(&meta);
	file.path = picture.p;
	file.tree_path = tree.p;
	return ship_send(n->ship, node_now(n), o->peer, &file, err);
}

static void send_again(struct rc_node *n, struct outgoing *o)
{
	struct err err = { 0 };
	enum code rc;

	o->is_under_way = true;
	rc = send_newest(n, o, &err);
	if (rc)
		was_sent(n, o, rc, &err);
}

/* It leads again, and what is under way since then is what the peer is sent. */
static bool take_up_left(struct rc_node *n, const struct outgoing *asked)
{
	struct outgoing *o;

	list_each(&n->outgoing, o, at) {
		if (o->peer != asked->peer || !o->is_left)
			continue;
		o->asked = asked->asked;
		o->is_left = false;
		return true;
	}
	return false;
}

static void start_outgoing(struct rc_node *n, struct errand *errand)
{
	struct outgoing *o = container_of(errand, struct outgoing, errand);

	if (node_has_ended(n) || take_up_left(n, o)) {
		outgoing_free(o);
		return;
	}
	list_append(&n->outgoing, &o->at);
	send_again(n, o);
}

void host_ship(void *host, uint64_t peer, const struct checkpoint *c)
{
	struct rc_node *n = host;
	struct outgoing *o = NEW(struct outgoing);

	list_init(&o->at);
	o->errand.run = start_outgoing;
	o->peer = peer;
	o->asked = c->index;
	errands_put_sure(&n->to_raft, &o->errand);
}

static void give_up(struct rc_node *n, struct outgoing *o)
{
	if (o->is_under_way)
		(void)ship_cancel(n->ship, node_now(n), o->peer,
				  buf_view(&o->id));
	if (!o->is_done && !o->is_left)
		node_core_shipped(n->core, o->peer);
	node_touch(n);
	outgoing_free(o);
	hold(n);
}

/* This node does not lead.  Who goes away is left to the leader. */
static void leave(struct rc_node *n, struct outgoing *o)
{
	if (o->is_done || !o->is_under_way || !ship_is_up(n->ship, o->peer) ||
	    n->view.divergence == RC_FENCED) {
		give_up(n, o);
		return;
	}
	if (!o->is_left)
		node_core_shipped(n->core, o->peer);
	o->is_left = true;
}

/* What the peer has, as far as the leader knows. */
static uint64_t match_of(const struct outgoing *o, const struct node_peer *peers,
			 size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (peers[i].id == o->peer)
			return peers[i].match;
	return UINT64_MAX;
}

/* The engine has what it asked for; the log behind it is held until the peer has
 * come as far as the newest checkpoint, lest it need that one at once. */
static void is_there(struct rc_node *n, struct outgoing *o, uint64_t match)
{
	if (match >= n->view.checkpoint_index) {
		give_up(n, o);
		return;
	}
	if (!o->is_done)
		node_core_shipped(n->core, o->peer);
	o->is_done = true;
}

static void look_after(struct rc_node *n)
{
	struct node_peer peers[PEERS_MAX];
	struct outgoing *o;
	size_t count;

	if (list_empty(&n->outgoing))
		return;
	count = MIN(node_core_peers(n->core, peers, PEERS_MAX),
		    (size_t)PEERS_MAX);
	list_each(&n->outgoing, o, at)
		if (!n->view.is_leader || (o->is_left && !o->is_under_way))
			leave(n, o);
		else if (o->is_done || match_of(o, peers, count) >= o->asked)
			is_there(n, o, match_of(o, peers, count));
		else if (!o->is_under_way && node_now(n) >= o->again_ms)
			send_again(n, o);
}

void shipper_peer_gone(struct rc_node *n, uint64_t peer)
{
	struct outgoing *o;

	filer_peer_gone(n, peer);
	list_each(&n->outgoing, o, at)
		if (o->peer == peer)
			give_up(n, o);
}

/* ---- what goes with a checkpoint that goes ---- */

static bool has_picture(struct str names, struct str tree)
{
	struct str id = str_first(tree, str_find(tree, '.'));

	while (names.n) {
		struct str name = str_cut(&names, '\0');

		if (str_starts(name, id) && str_ends(name, STR(".ckpt")))
			return true;
	}
	return false;
}

static void sweep_trees(const struct rc_node *n)
{
	struct fs *fs = fs_real();
	AUTO_BUF pictures = BUF_NONE;
	AUTO_BUF trees = BUF_NONE;
	struct str rest;

	if (fs->ops->list(fs, n->checkpoint_dir, &pictures, NULL) ||
	    fs->ops->list(fs, n->tree_dir, &trees, NULL))
		return;
	for (rest = buf_view(&trees); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;

		if (has_picture(buf_view(&pictures), name))
			continue;
		buf_printf(&path, "%s/%.*s", n->tree_dir, STR_ARG(name));
		(void)fs->ops->remove(fs, path.p, NULL);
	}
}

struct sweep {
	struct work work;
	struct rc_node *node;
};

static void sweep_run(struct work *work)
{
	sweep_trees(container_of(work, struct sweep, work)->node);
}

static void sweep_done(struct work *work)
{
	struct sweep *s = container_of(work, struct sweep, work);

	(void)node_work_home(s->node);
	free(s);
}

void shipper_pruned(struct rc_node *n, uint64_t kept_index)
{
	struct outgoing *o;
	struct sweep *s;

	if (!n->ship)
		return;
	list_each(&n->outgoing, o, at)
		o->newer++;
	hold(n);
	list_each(&n->outgoing, o, at)
		if (o->is_under_way && index_of(&o->id) < kept_index)
			(void)ship_cancel(n->ship, node_now(n), o->peer,
					  buf_view(&o->id));
	s = NEW(struct sweep);
	s->work = (struct work){ .home = n->loop, .run = sweep_run,
				 .done = sweep_done };
	s->node = n;
	if (pool_submit(n->config.pool, &s->work))
		n->works++;
	else
		free(s);                 /* the next time, or the next start */
}

/* ---- receiving ---- */

static enum code read_offer(struct rc_node *n, const struct ship_offer *offer,
			    struct checkpoint *out, struct err *err)
{
	*out = (struct checkpoint){ 0 };
	/* Behind this nothing looks at the membership but the engine, who fails. */
	if (!checkpoint_decode(offer->meta, out) ||
	    !guard_conf(buf_view(&out->conf)) ||
	    offer->shape.size < out->bytes) {
		checkpoint_fini(out);
		return err_set(err, E_INVALID, "%.*s is no checkpoint",
			       STR_ARG(offer->id));
	}
	if (memcmp(&out->cluster, &n->view.cluster, sizeof(out->cluster)) == 0)
		return OK;
	checkpoint_fini(out);
	return err_set(err, E_DENIED, "the checkpoint is another cluster's");
}

/* What the filer has begun is its own business. */
static void clear_but(struct rc_node *n, struct str id)
{
	AUTO_BUF keep = BUF_NONE;

	buf_str(&keep, id);
	buf_c(&keep, '\0');
	buf_z(&keep, FILER_ALL);
	(void)ship_clear(n->ship, node_now(n), buf_view(&keep));
}

/* The one that led before finishes what it has begun; then the log may do. */
static bool comes_from_other(const struct rc_node *n, uint64_t peer, struct str id)
{
	uint64_t from;
	struct str of;

	for (unsigned i = 0; ship_coming(n->ship, i, &from, &of); i++)
		if (from != peer && !filer_owns(of) && !str_eq(of, id))
			return true;
	return false;
}

static enum code is_wanted(void *data, uint64_t peer,
			   const struct ship_offer *offer, struct err *err)
{
	struct rc_node *n = data;
	struct node_core_view v;
	struct checkpoint c;
	enum code rc;

	if (filer_owns(offer->id))
		return filer_wanted(n, peer, offer, err);
	rc = read_offer(n, offer, &c, err);
	if (rc)
		return rc;
	node_core_view(n->core, &v);
	if (v.is_leader)
		rc = err_set(err, E_CONFLICT, "node %llu leads",
			     ULL(n->config.node_id));
	else if (v.divergence == RC_FENCED)
		rc = err_set(err, E_CONFLICT, "node %llu is fenced",
			     ULL(n->config.node_id));
	/* The state may stand above the log: see is_needed in install.c. */
	else if (c.index <= v.applied && c.index <= v.last)
		rc = err_set(err, E_EXISTS, "entry %llu is applied here",
			     ULL(c.index));
	else if (n->incoming.state)
		rc = err_set(err, E_BUSY, "a checkpoint is being installed");
	else if (comes_from_other(n, peer, offer->id))
		rc = err_set(err, E_BUSY, "a checkpoint of another node comes");
	checkpoint_fini(&c);
	/* Newer ones come while a slow disk takes one in: each would leave its part
	 * behind, until the disk is full. */
	if (rc == OK)
		clear_but(n, offer->id);
	return rc;
}

static void drop_incoming(struct rc_node *n)
{
	struct incoming *in = &n->incoming;

	(void)fs_real()->ops->remove(fs_real(), in->path.p, NULL);
	checkpoint_fini(&in->c);
	in->state = INCOMING_NONE;
}

static void check_run(struct work *work)
{
	struct incoming *in = container_of(work, struct incoming, work);

	struct rc_node *n = container_of(in, struct rc_node, incoming);

	in->rc = checkpoint_verify(node_core_files(n->core), in->path.p, &in->c,
				   NULL, NULL, &in->err);
}

static void check_done(struct work *work)
{
	struct incoming *in = container_of(work, struct incoming, work);
	struct rc_node *n = container_of(in, struct rc_node, incoming);

	if (!node_work_home(n))
		return;
	if (in->rc) {
		log_error(PART, LOG_KV(log_u("index", in->c.index),
				       log_z("error", in->err.text)),
			  "a checkpoint that came is not taken");
		drop_incoming(n);
		return;
	}
	in->state = INCOMING_GIVEN;
	node_core_install(n->core, node_now(n), &in->c, in->path.p);
	node_touch(n);
}

static void on_received(void *data, uint64_t peer,
			const struct ship_offer *offer, const char *path)
{
	struct rc_node *n = data;
	struct incoming *in = &n->incoming;
	struct err err;

	if (filer_owns(offer->id)) {
		filer_received(n, peer, offer, path);
		return;
	}
	if (in->state)                   /* again */
		return;
	buf_reset(&in->path);
	buf_z(&in->path, path);
	if (read_offer(n, offer, &in->c, &err)) {
		drop_incoming(n);
		return;
	}
	in->state = INCOMING_CHECKED;
	in->work = (struct work){ .home = n->loop, .run = check_run,
				  .done = check_done };
	if (pool_submit(n->config.pool, &in->work)) {
		n->works++;
		return;
	}
	/* It lies there, and is told again with the next offer. */
	checkpoint_fini(&in->c);
	in->state = INCOMING_NONE;
}

static void on_failed(void *data, uint64_t peer, struct str id, enum code rc,
		      const struct err *err)
{
	log_warn(PART, LOG_KV(log_u("peer", peer), log_s("file", id),
			      log_z("error", err->text)),
		 filer_owns(id) ? "a file did not come" :
				  "a checkpoint did not come");
}

/* ---- installing ---- */

static enum code install_step(void *data, struct wal *wal, struct err *err)
{
	struct rc_node *n = data;

	return node_install(fs_real(), node_core_files(n->core), n->dir, wal,
			    n->incoming.of, n->incoming.of_path, err);
}

/* What the log is given later waits behind it, also for room. */
static void install_run(struct writer_task *task, struct wal *wal)
{
	struct incoming *in = container_of(task, struct incoming, task);
	struct rc_node *n = container_of(in, struct rc_node, incoming);
	enum code rc = writer_patiently(n->log.writer, install_step, n, &in->err);

	if (rc != E_FULL)                /* else the node ends */
		machine_reopen(n, rc);
}

void host_install(void *host, const struct checkpoint *c, const char *path)
{
	struct rc_node *n = host;

	log_info(PART, LOG_KV(log_u("index", c->index)),
		 "a checkpoint is installed");
	n->incoming.of = c;
	n->incoming.of_path = path;
	n->incoming.task.run = install_run;
	writer_run(n->log.writer, &n->incoming.task);
}

void host_install_done(void *host, enum code rc)
{
	struct rc_node *n = host;
	struct incoming *in = &n->incoming;

	if (rc) {
		drop_incoming(n);
		return;
	}
	atomic_fetch_add(&n->shown.installed, 1);
	checkpoint_fini(&in->c);
	in->state = INCOMING_NONE;
	clear_but(n, STR_NONE);
}

/* ---- work with files ---- */

struct job {
	struct work work;
	struct rc_node *node;
	struct ship_job *job;
};

static void job_run(struct work *work)
{
	ship_job_run(container_of(work, struct job, work)->job);
}

static void job_done(struct work *work)
{
	struct job *j = container_of(work, struct job, work);

	ship_job_done(j->node->ship, node_now(j->node), j->job);
	(void)node_work_home(j->node);
	free(j);
}

static void on_work(void *data, struct ship_job *job)
{
	struct rc_node *n = data;
	struct job *j = NEW(struct job);

	*j = (struct job){ { .home = n->loop, .run = job_run, .done = job_done },
			   n, job };
	if (pool_submit(n->config.pool, &j->work)) {
		n->works++;
		return;
	}
	free(j);
	job->next = n->jobs;
	n->jobs = job;
}

static void work_again(struct rc_node *n)
{
	struct ship_job *job = TAKE(n->jobs);

	while (job) {
		struct ship_job *next = job->next;

		on_work(n, job);
		job = next;
	}
}

/* ---- time ---- */

uint64_t shipper_deadline(const struct rc_node *n)
{
	uint64_t due;

	if (!n->ship)
		return UINT64_MAX;
	due = ship_deadline(n->ship);
	if (!list_empty(&n->outgoing))
		due = MIN(due, node_now(n) + LOOK_MS);
	return n->jobs ? MIN(due, node_now(n) + RETRY_MS) : due;
}

void shipper_timeout(struct rc_node *n)
{
	if (!n->ship)
		return;
	work_again(n);
	look_after(n);
	if (node_now(n) >= ship_deadline(n->ship))
		ship_timeout(n->ship, node_now(n));
}

/* ---- life ---- */

static bool send_frame(void *data, uint64_t peer, struct str frame)
{
	struct rc_node *n = data;

	return net_send(n->net, peer, NET_SHIP, frame) == OK;
}

static char *below(const struct rc_node *n, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", n->checkpoint_dir, name);
	return buf_take(&path);
}

/* Not where it is plain and what is new is sealed, or its key has gone. */
static bool may_go_on(struct rc_node *n, struct str id)
{
	static const char *const suffixes[] = { ".part", ".file" };
	struct fs *fs = node_core_files(n->core);

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		AUTO_BUF path = BUF_NONE;
		struct file *file;
		enum code rc;

		buf_printf(&path, "%s/%.*s%s", n->incoming_dir, STR_ARG(id),
			   suffixes[i]);
		rc = fs->ops->open(fs, path.p, FILE_WRITE, &file, NULL);
		if (rc == OK)
			fs->ops->close(fs, file);
		else if (rc != E_NOT_FOUND)
			return false;
	}
	return true;
}

/* What was on its way at the last start goes on, if it is still of use: the
 * newest, whose name is the last. */
static struct str to_keep(struct rc_node *n, const struct buf *names)
{
	struct str rest = buf_view(names), last = STR_NONE;
	uint64_t index;

	while (rest.n) {
		struct str name = str_cut(&rest, '\0');

		if (str_find(name, '.') < name.n && !filer_owns(name))
			last = str_first(name, str_find(name, '.'));
	}
	if (!str_u64(str_first(last, str_find(last, '-')), &index) ||
	    (index <= n->view.applied && index <= n->view.durable) ||
	    !may_go_on(n, last))
		return STR_NONE;
	return last;
}

static enum code open_dirs(struct rc_node *n, struct err *err)
{
	struct fs *fs = fs_real();
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF keep = BUF_NONE;
	enum code rc = fs_make_dir(fs, n->checkpoint_dir, err);

	n->incoming_dir = below(n, "incoming");
	n->tree_dir = below(n, "trees");
	if (rc == OK)
		rc = fs->ops->make_dir(fs, n->incoming_dir, err);
	if (rc == OK)
		rc = fs->ops->make_dir(fs, n->tree_dir, err);
	if (rc == OK)
		rc = fs->ops->sync_dir(fs, n->checkpoint_dir, err);
	if (rc == OK)
		rc = fs->ops->list(fs, n->incoming_dir, &names, err);
	if (rc == OK)
		rc = filer_open(n, n->incoming_dir, &names, err);
	buf_str(&keep, to_keep(n, &names));
	buf_c(&keep, '\0');
	if (n->config.on_file)
		buf_z(&keep, FILER_ALL);
	if (rc == OK)
		rc = ship_sweep(fs, n->incoming_dir, buf_view(&keep), err);
	if (rc == OK)
		sweep_trees(n);
	return rc;
}

enum code shipper_open(struct rc_node *n, struct err *err)
{
	struct ship_config c;
	enum code rc;

	if (!n->config.listen || !n->config.pool)
		return OK;
	rc = open_dirs(n, err);
	if (rc)
		return err_wrap(err, "checkpoints and files of other nodes");
	ship_config_defaults(&c);
	c.fs = node_core_files(n->core);
	c.dir = n->incoming_dir;
	c.in_max = c.out_max = 16;
	c.rate = n->config.ship_rate;
	c.host = (struct ship_host){ .send = send_frame, .work = on_work,
				     .wanted = is_wanted,
				     .received = on_received,
				     .failed = on_failed, .sent = on_sent,
				     .data = n };
	n->ship = ship_new(&c);
	return OK;
}

void shipper_stop(struct rc_node *n)
{
	struct ship_job *job;

	if (!n->ship)
		return;
	ship_stop(n->ship);
	/* They wait for an answer each. */
	while ((job = n->jobs)) {
		n->jobs = job->next;
		ship_job_run(job);
		ship_job_done(n->ship, node_now(n), job);
	}
}

void shipper_free(struct rc_node *n)
{
	struct outgoing *o;

	list_each(&n->outgoing, o, at)
		outgoing_free(o);
	ship_free(&n->ship);
	checkpoint_fini(&n->incoming.c);
	buf_fini(&n->incoming.path);
	free(n->incoming_dir);
	free(n->tree_dir);
}
