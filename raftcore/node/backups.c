/*
 * Backups of a running node: a linearizable read, a checkpoint that has what it
 * saw, and that checkpoint's picture as a stream.
 *
 * The file stays open as long as the stream is read.  Checkpoints that come
 * meanwhile may remove its name; its bytes stay (checkpoint_reading), and go with the
 * last reader.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

/* ---- the stream ---- */

struct rc_picture {
	struct seal_files *files;        /* its own: it may outlive the node */
	struct fs *fs;
	struct file *file;
	struct checkpoint_reading reading;       /* of that */
	struct backup_head head;         /* its strings are own copies */
	struct backup_writer *writer;
	struct sha256_ctx *sum;          /* of what was read */
	char *piece;                     /* aligned */
	uint64_t at;
	enum { PICTURE_HEAD, PICTURE_PIECES, PICTURE_END } next;
	enum code failed;
};

static struct rc_picture *picture_alloc(void)
{
	struct rc_picture *p = NEW(struct rc_picture);

	p->writer = backup_writer_new();
	p->sum = sha256_new();
	sha256_start(p->sum);
	p->piece = file_alloc(BACKUP_PIECE);
	return p;
}

void rc_picture_free(struct rc_picture **pp)
{
	struct rc_picture *p = TAKE(*pp);

	if (!p)
		return;
	if (p->file)
		p->fs->ops->close(p->fs, p->file);
	checkpoint_reading_end(&p->reading);
	seal_files_free(&p->files);
	for (size_t i = 0; i < p->head.n_members; i++)
		free((char *)(uintptr_t)p->head.members[i].address.p);
	free((char *)(uintptr_t)p->head.about.p);
	backup_writer_free(&p->writer);
	sha256_ctx_free(&p->sum);
	free(p->piece);
	free(p);
}

const struct backup_head *rc_picture_head(const struct rc_picture *p)
{
	return &p->head;
}

static enum code read_piece(struct rc_picture *p, struct buf *out,
			    struct err *err)
{
	size_t n = (size_t)MIN(p->head.bytes - p->at, (uint64_t)BACKUP_PIECE);
	size_t got;
	enum code rc = p->fs->ops->read(p->fs, p->file, p->at, p->piece,
					BACKUP_PIECE, &got, err);

	if (rc)
		return rc;
	if (got < n)
		return err_set(err, E_CORRUPT, "the checkpoint ends before its "
			       "length");
	sha256_add(p->sum, p->piece, n);
	backup_piece(p->writer, str_n(p->piece, n), out);
	p->at += n;
	return OK;
}

/* What the disk gives now is what was written: else there is no end, and nobody
 * takes it for whole. */
static enum code read_end(struct rc_picture *p, struct buf *out,
			  struct err *err)
{
	struct sha256 sum = sha256_end(p->sum);

	if (!sha256_eq(&sum, &p->head.sum))
		return err_set(err, E_CORRUPT, "the checkpoint at %llu is not "
			       "what was written any more",
			       (unsigned long long)p->head.index);
	backup_end(p->writer, out);
	p->next = PICTURE_END;
	return OK;
}

enum code rc_picture_read(struct rc_picture *p, struct buf *out, bool *more,
			  struct err *err)
{
	enum code rc = OK;

	*more = false;
	if (p->failed)
		return err_set(err, p->failed, "the backup was given up before");
	if (p->next == PICTURE_HEAD) {
		backup_start(p->writer, &p->head, out);
		p->next = PICTURE_PIECES;
	} else if (p->next == PICTURE_PIECES && p->at < p->head.bytes) {
		rc = read_piece(p, out, err);
	} else if (p->next == PICTURE_PIECES) {
		rc = read_end(p, out, err);
	}
	p->failed = rc;
	*more = rc == OK && p->next != PICTURE_END;
	return rc;
}

/* ---- from a question to a stream ---- */

struct backing {
	struct rc_node *node;
	struct rc_backup *backup;
	struct rc_read read;
	struct errand errand;
	struct node_backup core;
	struct work work;
	uint64_t index, term;
	struct rc_picture *picture;
	enum code rc;
	struct err err;
};

static void end(struct backing *b)
{
	struct rc_backup *backup = b->backup;

	if (b->rc)
		rc_picture_free(&b->picture);
	backup->done(backup, b->rc, TAKE(b->picture), &b->err);
	free(b);
}

static void end_here(struct rc_node *n, struct errand *errand)
{
	end(container_of(errand, struct backing, errand));
}

static void tell(struct backing *b, enum code rc)
{
	b->rc = rc;
	b->errand.run = end_here;
	errands_put_sure(&b->node->to_apply, &b->errand);
}

static enum code open_picture(struct backing *b, struct err *err)
{
	struct rc_picture *p = b->picture;
	const char *dir = b->node->checkpoint_dir;
	struct checkpoint c = { .index = b->index, .term = b->term };
	AUTO_BUF path = BUF_NONE;
	enum code rc;

	checkpoint_path(dir, &c, ".ckpt", &path);
	checkpoint_reading_begin(&p->reading, path.p);
	rc = checkpoint_load(p->fs, dir, b->index, b->term, &c, err);
	if (rc == OK)
		rc = p->fs->ops->open(p->fs, path.p, FILE_DIRECT, &p->file, err);
	if (rc == E_NOT_FOUND)
		rc = err_set(err, E_BUSY, "checkpoint %llu was replaced before it "
			     "could be read; ask again",
			     (unsigned long long)b->index);
	if (rc)
		return rc;
	p->head.cluster = c.cluster;
	p->head.index = c.index;
	p->head.term = c.term;
	p->head.bytes = c.bytes;
	p->head.sum = c.sum;
	checkpoint_fini(&c);
	return OK;
}

static void open_run(struct work *work)
{
	struct backing *b = container_of(work, struct backing, work);

	b->rc = open_picture(b, &b->err);
}

static void open_done(struct work *work)
{
	struct backing *b = container_of(work, struct backing, work);
	struct rc_node *n = b->node;

	tell(b, b->rc);
	node_work_home(n);
}

static void on_core(struct node_backup *core, enum code rc,
		    const struct checkpoint *c, const struct err *err)
{
	struct backing *b = container_of(core, struct backing, core);
	struct rc_node *n = b->node;

	if (rc) {
		err_copy(&b->err, n->picture_err.code == rc ? &n->picture_err :
							      err);
		tell(b, rc);
		return;
	}
	b->index = c->index;
	b->term = c->term;
	b->work = (struct work){ .home = n->loop, .run = open_run,
				 .done = open_done };
	if (pool_submit(n->config.pool, &b->work))
		n->works++;
	else
		tell(b, err_set(&b->err, E_BUSY, "no worker for a backup"));
}

static void fill_members(struct rc_node *n, struct backup_head *h)
{
	struct node_peer peers[BACKUP_MEMBERS_MAX];
	size_t count = node_core_peers(n->core, peers, ARRAY_LEN(peers));

	h->n_members = MIN(count, ARRAY_LEN(peers));
	for (size_t i = 0; i < h->n_members; i++) {
		size_t len = strlen(peers[i].address);

		h->members[i] = (struct backup_member){
			peers[i].id, peers[i].votes,
			str_n(mem_dup(peers[i].address, len), len) };
	}
}

static void start_backup(struct rc_node *n, struct errand *errand)
{
	struct backing *b = container_of(errand, struct backing, errand);

	if (node_has_ended(n)) {
		tell(b, err_set(&b->err, E_UNAVAILABLE, "the node is stopping"));
		return;
	}
	/* Here and not before: a node that waits to form a cluster has no id of it. */
	b->picture->files = checkpoint_files_new(
		fs_real(), n->config.seal, node_core_identity(n->core)->cluster);
	b->picture->fs = seal_files_fs(b->picture->files);
	fill_members(n, &b->picture->head);
	node_core_backup(n->core, node_now(n), &b->core);
	node_touch(n);
}

/* What the application says, before the picture is taken. */
static void fill_about(struct backing *b)
{
	struct backup_head *h = &b->picture->head;
	AUTO_BUF about = BUF_NONE;

	h->node = b->node->config.node_id;
	h->time_ms = clock_wall_ms();
	if (b->backup->about)
		b->backup->about(b->backup, &about);
	must(about.n <= BACKUP_ABOUT_MAX);
	h->about.n = about.n;
	h->about.p = about.n ? mem_dup(about.p, about.n) : NULL;
}

/* On the apply loop. */
static void confirmed(struct rc_read *read, enum code rc, const struct err *err)
{
	struct backing *b = container_of(read, struct backing, read);
	struct rc_node *n = b->node;

	if (rc == OK && node_has_ended(n))
		rc = err_set(&b->err, E_UNAVAILABLE, "the node is stopping");
	else if (rc)
		err_copy(&b->err, err);
	b->rc = rc;
	if (rc) {
		end(b);
		return;
	}
	fill_about(b);
	b->errand.run = start_backup;
	errands_put_sure(&n->to_raft, &b->errand);
}

bool rc_backup(struct rc_node *n, struct rc_backup *backup)
{
	struct backing *b = NEW(struct backing);

	must(backup->done);
	b->node = n;
	b->backup = backup;
	b->picture = picture_alloc();
	b->core.done = on_core;
	b->read = (struct rc_read){ .timeout_ms = backup->timeout_ms,
				    .done = confirmed };
	if (rc_read(n, &b->read))
		return true;
	rc_picture_free(&b->picture);
	free(b);
	return false;
}
