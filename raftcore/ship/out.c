/*
 * A file on its way out: hashed once, offered while the peer is up, and then its
 * pages and chunks read as they are asked for, one at a time.  The frame is
 * where a chunk is read into: a worker has it while the job is out.
 */
#include "ship/own.h"

#include "base/mem.h"

#include "base/banned.h"

#define STEP_BYTES (1u << 20)            /* hashed in one piece of work */

enum out_state { OUT_HASHING, OUT_WAITING, OUT_OFFERED, OUT_ENDED, OUT__STATES };

static const struct fsm_state states[OUT__STATES] = {
	[OUT_HASHING] = { "hashing", BIT(OUT_WAITING) | BIT(OUT_ENDED) },
	[OUT_WAITING] = { "waiting", BIT(OUT_OFFERED) | BIT(OUT_ENDED) },
	[OUT_OFFERED] = { "offered", BIT(OUT_WAITING) | BIT(OUT_ENDED) },
	[OUT_ENDED] = { "ended", 0, .end = true },
};

struct ask {
	bool is_page;
	unsigned level;
	uint64_t index;
};

struct out {
	struct ship *ship;
	struct fsm fsm;
	struct ship_job job;
	uint64_t peer, number, retry_ms;
	struct buf id, meta;
	char *path, *dir, *tree_path;

	struct ship_shape shape;
	struct sha256 root;
	struct file *file;
	struct tree_file *tree;
	bool is_hashed;
	uint64_t hashed;                 /* chunks */
	struct sha256 *leaves;           /* one page of level 0 */
	uint64_t leaves_page;
	size_t counted;                  /* bytes, of tree and frame */

	struct ask asks[ASKS_MAX];       /* a ring */
	unsigned first, n_asks;
	uint64_t next_chunk;             /* behind the highest asked for */
	struct ask doing;
	bool is_again;                   /* it was asked for before */
	uint64_t doing_number;
	struct buf frame;                /* empty: nothing waits to leave */
	size_t chunk_bytes;              /* of a chunk in it */

	enum code rc;                    /* of the job */
	struct err err;
};

static void go_on(struct out *o);

/* ---- life ---- */

static size_t frame_room(const struct ship_shape *s)
{
	return MAX((size_t)s->chunk_bytes, shape_page_bytes(s)) +
	       SHIP_FRAME_HEAD_MAX;
}

size_t out_memory_max(const struct ship_config *c)
{
	struct ship_shape s = { INT64_MAX, c->chunk_bytes, c->page_log };

	return tree_memory(&s) + shape_page_bytes(&s) + frame_room(&s);
}

struct out *out_find(const struct ship *s, uint64_t peer, struct str id)
{
	for (unsigned i = 0; i < s->config.out_max; i++) {
		struct out *o = s->out[i];

		if (o && o->peer == peer && o->fsm.state != OUT_ENDED &&
		    str_eq(buf_view(&o->id), id))
			return o;
	}
	return NULL;
}

void out_free(struct out **op)
{
	struct out *o = *op;

	if (!o)
		return;
	*op = NULL;
	must(!o->job.is_out_);
	if (o->file)
		o->ship->config.fs->ops->close(o->ship->config.fs, o->file);
	tree_free(&o->tree);
	if (o->leaves)
		block_give(o->ship, o->leaves, shape_page_bytes(&o->shape));
	o->ship->seen.memory -= o->counted;
	buf_fini(&o->frame);
	buf_fini(&o->id);
	buf_fini(&o->meta);
	free(o->path);
	free(o->dir);
	free(o->tree_path);
	free(o);
}

static void let_go(struct out *o)
{
	struct ship *s = o->ship;

	for (unsigned i = 0; i < s->config.out_max; i++)
		if (s->out[i] == o)
			out_free(&s->out[i]);
}

/* Its slot is free once no job is out. */
void out_end(struct out *o, enum code rc, const struct err *err)
{
	struct ship *s = o->ship;
	struct peer *p = peer_find_up(s, o->peer);
	AUTO_BUF id = BUF_NONE;
	struct err why = { 0 };
	uint64_t peer = o->peer;

	buf_str(&id, buf_view(&o->id));
	err_copy(&why, err);
	if (p && rc && o->fsm.state == OUT_OFFERED) {
		struct ship_frame f = { .type = SHIP_F_GIVE_UP,
					.number = o->number,
					.end = { rc, str_of(why.text) } };

		peer_post(s, p, &f);
	}
	fsm_move(&o->fsm, OUT_ENDED, rc ? why.text : "it arrived");
	if (!o->job.is_out_)
		let_go(o);
	if (s->config.host.sent)
		s->config.host.sent(s->config.host.data, peer, buf_view(&id), rc,
				    &why);
}

/* ---- hashing, on a worker ---- */

static enum code read_chunk(struct out *o, uint64_t index, char *to,
			    struct err *err)
{
	struct fs *fs = o->ship->config.fs;
	uint64_t at = index * o->shape.chunk_bytes;
	size_t n = shape_chunk_bytes(&o->shape, index), got;
	enum code rc = fs->ops->read(fs, o->file, at, to, n, &got, err);

	if (rc == OK && got < n)
		rc = err_set(err, E_CORRUPT, "%s ends at byte %llu, it had %llu",
			     o->path, (unsigned long long)(at + got),
			     (unsigned long long)o->shape.size);
	return rc;
}

static enum code open_files(struct out *o, struct err *err)
{
	const struct ship_config *c = &o->ship->config;
	struct ship_shape *s = &o->shape;
	enum code rc = c->fs->ops->open(c->fs, o->path, 0, &o->file, err);

	if (rc == OK)
		rc = c->fs->ops->size(c->fs, o->file, &s->size, err);
	if (rc)
		return rc;
	s->chunk_bytes = c->chunk_bytes;
	s->page_log = c->page_log;
	rc = tree_open(c->fs, o->tree_path, s, &o->tree, &o->root, err);
	o->is_hashed = rc == OK;
	if (rc == E_NOT_FOUND || rc == E_CORRUPT || rc == E_DENIED)
		rc = tree_begin(c->fs, o->dir, o->tree_path, s, &o->tree, err);
	return rc;
}

static void open_run(struct ship_job *job)
{
	struct out *o = container_of(job, struct out, job);

	o->rc = open_files(o, &o->err);
}

static enum code hash_some(struct out *o, struct err *err)
{
	uint64_t chunks = shape_chunks(&o->shape);
	uint64_t until = MIN(chunks, o->hashed + STEP_BYTES / o->shape.chunk_bytes);
	enum code rc = OK;

	for (; rc == OK && o->hashed < until; o->hashed++) {
		size_t n = shape_chunk_bytes(&o->shape, o->hashed);
		struct sha256 leaf;

		rc = read_chunk(o, o->hashed, o->frame.p, err);
		if (rc)
			break;
		leaf = tree_leaf(str_n(o->frame.p, n));
		rc = tree_add(o->tree, &leaf, err);
	}
	if (rc || o->hashed < chunks)
		return rc;
	o->is_hashed = true;
	return tree_end(o->tree, &o->root, err);
}

static void hash_run(struct ship_job *job)
{
	struct out *o = container_of(job, struct out, job);

	o->rc = hash_some(o, &o->err);
}

/* ---- reading what was asked for, on a worker ---- */

static enum code read_leaves(struct out *o, uint64_t page, struct err *err)
{
	enum code rc;

	if (o->leaves_page == page)
		return OK;
	o->leaves_page = UINT64_MAX;
	rc = tree_read(o->tree, 0, page, o->leaves, err);
	if (rc == OK)
		o->leaves_page = page;
	return rc;
}

/*
 * The receiver verifies each chunk, and asks again for one that is wrong: then it
 * is looked at here too, to tell a file that changed from a fault on the way.  To
 * look each time would cost a sender as much again as all else.
 */
static enum code read_verified(struct out *o, uint64_t index, char *to,
			       struct err *err)
{
	size_t n = shape_chunk_bytes(&o->shape, index);
	unsigned log = o->shape.page_log;
	struct sha256 leaf;
	enum code rc = read_leaves(o, index >> log, err);

	if (rc == OK)
		rc = read_chunk(o, index, to, err);
	if (rc)
		return rc;
	leaf = tree_leaf(str_n(to, n));
	if (!sha256_eq(&leaf, &o->leaves[index & (BIT(log) - 1)]))
		rc = err_set(err, E_CORRUPT, "%s: chunk %llu, at byte %llu, has "
			     "changed since it was hashed", o->path,
			     (unsigned long long)index,
			     (unsigned long long)index * o->shape.chunk_bytes);
	return rc;
}

/* By way of the leaves: in a frame hashes would not be aligned. */
static enum code read_page(struct out *o, const struct ask *a, char *to, size_t n,
			   struct err *err)
{
	enum code rc = tree_read(o->tree, a->level, a->index, o->leaves, err);

	memcpy(to, o->leaves, n);
	o->leaves_page = rc == OK && a->level == 0 ? a->index : UINT64_MAX;
	return rc;
}

static enum code read_asked(struct out *o, struct err *err)
{
	const struct ask *a = &o->doing;
	struct ship_frame f = { .type = a->is_page ? SHIP_F_PAGE : SHIP_F_CHUNK,
				.number = o->doing_number,
				.piece = { a->level, a->index, STR_NONE } };
	size_t n = a->is_page ? shape_page_hashes(&o->shape, a->level, a->index) *
				sizeof(struct sha256) :
				shape_chunk_bytes(&o->shape, a->index);
	char *to;

	buf_reset(&o->frame);
	ship_frame_encode(&o->frame, &f);
	to = buf_extend(&o->frame, n);
	o->chunk_bytes = a->is_page ? 0 : n;
	if (a->is_page)
		return read_page(o, a, to, n, err);
	return o->is_again ? read_verified(o, a->index, to, err) :
			     read_chunk(o, a->index, to, err);
}

static void read_run(struct ship_job *job)
{
	struct out *o = container_of(job, struct out, job);
	struct fs *fs = o->ship->config.fs;

	o->rc = read_asked(o, &o->err);
	/* The tree is of a file that is no more, or is damaged itself. */
	if (o->rc == E_CORRUPT)
		(void)fs->ops->remove(fs, o->tree_path, NULL);
}

/* ---- going on ---- */

static void job_done(struct ship_job *job)
{
	struct out *o = container_of(job, struct out, job);

	if (o->fsm.state == OUT_ENDED) {
		let_go(o);
		return;
	}
	if (o->rc) {
		/* A copy: 'o' goes. */
		struct err err = o->err;

		out_end(o, o->rc, &err);
		return;
	}
	/* The connection that asked has ended meanwhile. */
	if (o->fsm.state != OUT_OFFERED || o->doing_number != o->number)
		buf_reset(&o->frame);
	go_on(o);
}

static void work(struct out *o, void (*run)(struct ship_job *))
{
	ship_work(o->ship, &o->job, run, job_done);
}

/* What hangs on the size, known now. */
static void make_room(struct out *o)
{
	size_t frame = frame_room(&o->shape);

	if (o->leaves || !o->tree)
		return;
	o->leaves = block_take(o->ship, shape_page_bytes(&o->shape));
	o->leaves_page = UINT64_MAX;
	buf_reserve(&o->frame, frame);
	o->counted = frame + tree_memory(&o->shape);
	o->ship->seen.memory += o->counted;
	o->ship->seen.memory_peak = MAX(o->ship->seen.memory_peak,
					o->ship->seen.memory);
}

static void offer(struct out *o)
{
	struct ship *s = o->ship;
	struct ship_frame f = { .type = SHIP_F_OFFER };

	if (!peer_find_up(s, o->peer) || s->now_ms < o->retry_ms)
		return;
	o->number = ++s->last_number;
	f.number = o->number;
	f.offer = (struct ship_offer){ buf_view(&o->id), buf_view(&o->meta),
				       o->shape, o->root };
	peer_post(s, peer_find_up(s, o->peer), &f);
	o->n_asks = 0;
	o->next_chunk = 0;
	fsm_move(&o->fsm, OUT_OFFERED, "the peer is up");
}

/* True: the frame has left. */
static bool send_frame(struct out *o)
{
	struct ship *s = o->ship;

	if (o->chunk_bytes && !rate_allows(s))
		return false;
	if (!peer_send(s, peer_find_up(s, o->peer), buf_view(&o->frame)))
		return false;
	rate_spend(s, o->chunk_bytes);
	s->seen.bytes_out += o->chunk_bytes;
	buf_reset(&o->frame);
	return true;
}

static void go_on(struct out *o)
{
	if (o->job.is_out_ || o->ship->is_stopped)
		return;
	make_room(o);
	if (o->fsm.state == OUT_HASHING && o->is_hashed)
		fsm_move(&o->fsm, OUT_WAITING, "the tree is there");
	if (o->fsm.state == OUT_HASHING)
		work(o, o->tree ? hash_run : open_run);
	if (o->fsm.state == OUT_WAITING)
		offer(o);
	if (o->fsm.state != OUT_OFFERED || (o->frame.n && !send_frame(o)) ||
	    !o->n_asks)
		return;
	o->doing = o->asks[o->first];
	o->doing_number = o->number;
	o->is_again = !o->doing.is_page && o->doing.index < o->next_chunk;
	if (!o->doing.is_page)
		o->next_chunk = MAX(o->next_chunk, o->doing.index + 1);
	o->first = (o->first + 1) % ASKS_MAX;
	o->n_asks--;
	work(o, read_run);
}

void out_go(struct out *o)
{
	if (o->fsm.state != OUT_ENDED)
		go_on(o);
}

enum code out_new(struct ship *s, uint64_t peer, const struct ship_file *file,
		  struct err *err)
{
	struct out **slot = NULL;

	for (unsigned i = 0; i < s->config.out_max && !slot; i++)
		if (!s->out[i])
			slot = &s->out[i];
	if (!slot)
		return err_set(err, E_BUSY, "%u files are under way already",
			       s->config.out_max);
	*slot = NEW(struct out);
	(*slot)->ship = s;
	(*slot)->peer = peer;
	fsm_init(&(*slot)->fsm, "outgoing file", states, OUT__STATES, OUT_HASHING);
	buf_str(&(*slot)->id, file->id);
	buf_str(&(*slot)->meta, file->meta);
	(*slot)->path = mem_dup(file->path, strlen(file->path));
	(*slot)->dir = mem_dup(file->dir, strlen(file->dir));
	(*slot)->tree_path = mem_dup(file->tree_path, strlen(file->tree_path));
	return OK;
}

static void wait_again(struct out *o, uint64_t retry_ms, const char *why)
{
	fsm_move(&o->fsm, OUT_WAITING, why);
	o->retry_ms = retry_ms;
	o->n_asks = 0;
	if (!o->job.is_out_)
		buf_reset(&o->frame);
}

void out_peer_down(struct out *o, uint64_t peer)
{
	if (o->peer == peer && o->fsm.state == OUT_OFFERED)
		wait_again(o, 0, "the connection ended");
}

/* What hangs on the size is the worker's until it is hashed. */
bool ship_progress(const struct ship *s, uint64_t peer, struct str id,
		   uint64_t *bytes, uint64_t *size)
{
	const struct out *o = out_find(s, peer, id);

	if (!o || o->fsm.state == OUT_HASHING)
		return false;
	*size = o->shape.size;
	*bytes = MIN(o->next_chunk * o->shape.chunk_bytes, o->shape.size);
	return true;
}

uint64_t out_deadline(const struct out *o)
{
	if (o->fsm.state == OUT_WAITING && !o->job.is_out_ &&
	    peer_find_up(o->ship, o->peer))
		return o->retry_ms;
	return UINT64_MAX;
}

/* ---- what the receiver says ---- */

static struct out *find_number(const struct ship *s, uint64_t peer,
			       uint64_t number)
{
	for (unsigned i = 0; i < s->config.out_max; i++) {
		struct out *o = s->out[i];

		if (o && o->peer == peer && o->number == number &&
		    o->fsm.state == OUT_OFFERED)
			return o;
	}
	return NULL;
}

static enum code take_ask(struct out *o, const struct ship_frame *f,
			  struct err *err)
{
	struct ask a = { f->type == SHIP_F_ASK_PAGE, f->piece.level,
			 f->piece.index };
	bool is_there = a.is_page ? a.level < shape_levels(&o->shape) &&
				    a.index < shape_pages(&o->shape, a.level) :
				    a.index < shape_chunks(&o->shape);

	if (!is_there)
		return err_set(err, E_INVALID, "node %llu asks for %s %llu of "
			       "%.*s, which is not there",
			       (unsigned long long)o->peer,
			       a.is_page ? "page" : "chunk",
			       (unsigned long long)a.index,
			       STR_ARG(buf_view(&o->id)));
	if (o->n_asks == ASKS_MAX)
		return err_set(err, E_INVALID, "node %llu asks for more than %u "
			       "pieces at once", (unsigned long long)o->peer,
			       ASKS_MAX);
	o->asks[(o->first + o->n_asks++) % ASKS_MAX] = a;
	return OK;
}

static void take_refusal(struct out *o, const struct ship_frame *f)
{
	struct err err;

	err_set(&err, f->end.code, "node %llu: %.*s",
		(unsigned long long)o->peer, STR_ARG(f->end.text));
	if (may_retry(f->end.code)) {
		wait_again(o, o->ship->now_ms + o->ship->config.retry_ms,
			   err.text);
		return;
	}
	/* It needs not be told what it said. */
	wait_again(o, 0, err.text);
	out_end(o, f->end.code, &err);
}

enum code out_receive(struct ship *s, struct peer *p, const struct ship_frame *f,
		      struct err *err)
{
	struct out *o = find_number(s, p->id, f->number);

	if (!o)
		return OK;               /* it has ended, or is of before */
	if (f->type == SHIP_F_REFUSE)
		take_refusal(o, f);
	else if (f->type == SHIP_F_DONE)
		out_end(o, OK, NULL);
	else
		return take_ask(o, f, err);
	return OK;
}
