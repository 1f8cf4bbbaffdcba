/*
 * A file on its way in.  One page of chunks at a time: the hashes above it are
 * pulled and verified, what the part has of it is read and verified, the rest is
 * pulled, a window at a time, verified and written.  At most one job is out, and
 * what it reads and writes is its own until it is back.
 */
#include "ship/own.h"

#include "base/mem.h"

#include "base/banned.h"

#define PAGE_HASHES_MAX 1024u

enum in_state { IN_OPENING, IN_PULLING, IN_FINISHING, IN_ENDED, IN__STATES };

static const struct fsm_state states[IN__STATES] = {
	[IN_OPENING] = { "opening",
			 BIT(IN_PULLING) | BIT(IN_FINISHING) | BIT(IN_ENDED) },
	[IN_PULLING] = { "pulling", BIT(IN_FINISHING) | BIT(IN_ENDED) },
	[IN_FINISHING] = { "finishing", BIT(IN_ENDED) },
	[IN_ENDED] = { "ended", 0, .end = true },
};

/* One that was asked for; with bytes once it is here. */
struct chunk {
	uint64_t index;
	char *bytes;
	size_t n;
};

struct page {
	struct sha256 *hashes;
	uint64_t index;                  /* UINT64_MAX: none */
};

struct in {
	struct ship *ship;
	struct fsm fsm;
	struct ship_job job;
	uint64_t peer, number;
	bool has_sender;
	struct buf id, meta, said;       /* meta of who sends it now */
	struct ship_offer offer;
	struct store store;              /* the job's while one is out */

	unsigned levels;
	struct page pages[TREE_LEVELS_MAX];
	bool page_asked;
	unsigned asked_level;
	struct buf page_bytes;           /* here, not verified */
	bool has_page;

	uint64_t page;                   /* of level 0 that is worked on */
	uint64_t has[PAGE_HASHES_MAX / 64];      /* bits: written or checked */
	unsigned check_at, ask_at;       /* chunks of the page */
	struct chunk window[SHIP_WINDOW_MAX];    /* a ring; those here first */
	unsigned first, n_here, n_asked;
	struct chunk writing;            /* the job's, with bytes */
	char *checked;                   /* a chunk of the part is read to it */
	unsigned bad;                    /* in a row */
	uint64_t unsynced, pause_ms, last_ms;

	bool is_right;                   /* of the job: it verifies */
	enum code rc;
	struct err err;
};

static void go_on(struct in *in);

/* ---- life ---- */

size_t in_memory_max(const struct ship_config *c)
{
	/* Whatever page size is offered: many small levels take no more than few
	 * large ones. */
	struct ship_shape s = { c->file_bytes_max, SHIP_CHUNK_MIN, 10 };

	return (shape_levels(&s) + 1) * shape_page_bytes(&s) +
	       ((size_t)c->window + 2) * c->chunk_bytes_max;
}

static void window_reset(struct in *in)
{
	for (; in->n_here; in->n_here--) {
		block_give(in->ship, in->window[in->first].bytes,
			   in->window[in->first].n);
		in->first = (in->first + 1) % SHIP_WINDOW_MAX;
	}
	in->n_asked = 0;
}

static void pages_free(struct in *in)
{
	for (unsigned i = 0; i < in->levels; i++)
		block_give(in->ship, in->pages[i].hashes,
			   shape_page_bytes(&in->offer.shape));
}

void in_free(struct in **ip)
{
	struct in *in = *ip;

	if (!in)
		return;
	*ip = NULL;
	must(!in->job.is_out_);
	window_reset(in);
	block_give(in->ship, in->writing.bytes, in->writing.n);
	block_give(in->ship, in->checked, in->offer.shape.chunk_bytes);
	pages_free(in);
	in->ship->seen.memory -= shape_page_bytes(&in->offer.shape);
	store_fini(&in->store);
	buf_fini(&in->page_bytes);
	buf_fini(&in->id);
	buf_fini(&in->meta);
	buf_fini(&in->said);
	free(in);
}

static void let_go(struct in *in)
{
	struct ship *s = in->ship;

	for (unsigned i = 0; i < s->config.in_max; i++)
		if (s->in[i] == in)
			in_free(&s->in[i]);
}

static void tell(struct in *in, enum ship_frame_type type, unsigned level,
		 uint64_t index)
{
	struct ship_frame f = { .type = type, .number = in->number,
				.piece = { level, index, STR_NONE } };
	struct peer *p = peer_find_up(in->ship, in->peer);

	if (p && in->has_sender)
		peer_post(in->ship, p, &f);
}

/* Nobody sends it any more; what is here and not verified goes. */
static void lose_sender(struct in *in)
{
	in->has_sender = false;
	in->page_asked = false;
	in->ask_at = 0;
	window_reset(in);
	if (!in->job.is_out_)
		in->has_page = false;
}

static void fail(struct in *in, const struct err *err)
{
	struct ship *s = in->ship;
	struct peer *p = peer_find_up(s, in->peer);
	struct err why = *err;
	AUTO_BUF id = BUF_NONE;
	uint64_t peer = in->peer;

	buf_str(&id, buf_view(&in->id));
	if (p && in->has_sender)
		peer_refuse(s, p, in->number, &why);
	lose_sender(in);
	fsm_move(&in->fsm, IN_ENDED, why.text);
	if (!in->job.is_out_)
		let_go(in);
	if (s->config.host.failed)
		s->config.host.failed(s->config.host.data, peer, buf_view(&id),
				      why.code, &why);
}

/* The owner first: a sender may let go of its copy. */
static void complete(struct in *in)
{
	struct ship *s = in->ship;
	struct ship_offer o = in->offer;

	o.meta = buf_view(&in->said);
	fsm_move(&in->fsm, IN_ENDED, "it is whole");
	if (s->config.host.received)
		s->config.host.received(s->config.host.data, in->peer, &o,
					in->store.whole);
	tell(in, SHIP_F_DONE, 0, 0);
	let_go(in);
}

/* ---- places ---- */

static uint64_t page_above(const struct in *in, unsigned level)
{
	return in->page >> (in->offer.shape.page_log * level);
}

static bool has_bit(const struct in *in, unsigned at)
{
	return in->has[at / 64] >> (at % 64) & 1;
}

static uint64_t chunk_at(const struct in *in, unsigned at)
{
	return (in->page << in->offer.shape.page_log) + at;
}

static unsigned in_page(const struct in *in, uint64_t chunk)
{
	return (unsigned)(chunk & (BIT(in->offer.shape.page_log) - 1));
}

static unsigned page_chunks(const struct in *in)
{
	return (unsigned)shape_page_hashes(&in->offer.shape, 0, in->page);
}

static bool is_done(const struct in *in)
{
	return in->levels == 0 || in->page == shape_pages(&in->offer.shape, 0);
}

/* Chunks from the first on that are verified and written. */
static uint64_t whole_up_to(const struct in *in)
{
	unsigned at = 0, n = is_done(in) ? 0 : page_chunks(in);

	while (at < n && has_bit(in, at))
		at++;
	return chunk_at(in, at);
}

/* ---- work: on a worker ---- */

static enum code check_empty(const struct in *in, struct err *err)
{
	struct sha256 top = tree_fold(NULL, 0);
	struct sha256 root = tree_root(&in->offer.shape, &top);

	if (in->levels || sha256_eq(&root, &in->offer.root))
		return OK;
	return err_set(err, E_CORRUPT, "the root of an empty file is another");
}

static void open_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);

	in->rc = check_empty(in, &in->err);
	if (in->rc == OK)
		in->rc = store_open_part(&in->store, &in->offer, &in->err);
}

/* The page goes to its place where it is what the page above says. */
static void page_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);
	const struct ship_shape *s = &in->offer.shape;
	unsigned level = in->asked_level;
	struct page *p = &in->pages[level];
	struct sha256 fold, want = in->offer.root;
	size_t n = shape_page_hashes(s, level, page_above(in, level));

	in->rc = OK;
	in->is_right = in->page_bytes.n == n * sizeof(fold);
	if (!in->is_right)
		return;
	p->index = UINT64_MAX;
	memcpy(p->hashes, in->page_bytes.p, in->page_bytes.n);
	fold = tree_fold(p->hashes, n);
	if (level + 1 == in->levels)
		fold = tree_root(s, &fold);
	else
		want = in->pages[level + 1].hashes[in_page(in,
						page_above(in, level))];
	in->is_right = sha256_eq(&fold, &want);
	if (in->is_right)
		p->index = page_above(in, level);
}

static bool verifies(const struct in *in, uint64_t chunk, struct str bytes)
{
	struct sha256 leaf = tree_leaf(bytes);

	return bytes.n == shape_chunk_bytes(&in->offer.shape, chunk) &&
	       sha256_eq(&leaf, &in->pages[0].hashes[in_page(in, chunk)]);
}

static void check_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);
	struct fs *fs = in->store.fs;
	uint64_t chunk = chunk_at(in, in->check_at);
	size_t n = shape_chunk_bytes(&in->offer.shape, chunk), got = 0;

	in->rc = fs->ops->read(fs, in->store.file,
			       chunk * in->offer.shape.chunk_bytes, in->checked,
			       n, &got, &in->err);
	/* What is torn in a sealed part does not open. */
	if (in->rc == E_CORRUPT) {
		in->rc = OK;
		got = 0;
	}
	in->is_right = in->rc == OK && verifies(in, chunk,
						str_n(in->checked, got));
}

static void write_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);
	struct chunk *c = &in->writing;
	struct fs *fs = in->store.fs;

	in->rc = OK;
	in->is_right = verifies(in, c->index, str_n(c->bytes, c->n));
	if (in->is_right)
		in->rc = fs->ops->write(fs, in->store.file,
					c->index * in->offer.shape.chunk_bytes,
					c->bytes, c->n, &in->err);
	/* The rest of a sealed piece, which this chunk is a part of, is torn. */
	if (in->rc == E_CORRUPT)
		store_drop(&in->store);
}

static void sync_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);

	in->rc = store_sync(&in->store, &in->offer, whole_up_to(in), &in->err);
}

static void finish_run(struct ship_job *job)
{
	struct in *in = container_of(job, struct in, job);

	in->rc = store_finish(&in->store, &in->err);
}

/* ---- work: what became of it ---- */

/* False: the transfer has gone. */
static bool count_bad(struct in *in, const char *what, uint64_t index,
		      uint64_t at)
{
	struct err err;

	in->ship->seen.bad++;
	if (++in->bad < TRIES_MAX)
		return true;
	err_set(&err, E_CORRUPT, "%.*s: %s %llu, at byte %llu, does not verify",
		STR_ARG(buf_view(&in->id)), what, (unsigned long long)index,
		(unsigned long long)at);
	fail(in, &err);
	return false;
}

/* A full disk is waited for, all else ends it.  True: there is no error. */
static bool is_well(struct in *in, bool may_pause)
{
	struct ship *s = in->ship;
	struct err err = in->err;

	if (in->rc == OK)
		return true;
	if (in->rc == E_FULL && may_pause) {
		in->pause_ms = s->now_ms + s->config.retry_ms;
		s->seen.pauses++;
		return false;
	}
	fail(in, &err);
	return false;
}

static void opened(struct in *in)
{
	if (!is_well(in, true))
		return;
	if (in->store.is_whole)
		complete(in);
	else
		fsm_move(&in->fsm, IN_PULLING, "the part is open");
}

static void page_verified(struct in *in)
{
	unsigned level = in->asked_level;

	in->page_asked = in->has_page = false;
	buf_reset(&in->page_bytes);
	if (in->is_right)
		in->bad = 0;
	else
		(void)count_bad(in, "the hashes of page", page_above(in, level),
				(page_above(in, level) <<
				 (in->offer.shape.page_log * (level + 1))) *
				in->offer.shape.chunk_bytes);
}

static void checked(struct in *in)
{
	struct ship_view *seen = &in->ship->seen;

	if (!is_well(in, false))
		return;
	if (in->is_right) {
		in->has[in->check_at / 64] |= 1ull << (in->check_at % 64);
		seen->chunks_checked++;
	} else {
		seen->chunks_torn++;
		seen->chunks_damaged += chunk_at(in, in->check_at) <
					in->store.durable;
	}
	in->check_at++;
}

static void written(struct in *in)
{
	struct chunk *c = &in->writing;
	unsigned at = in_page(in, c->index);

	if (!is_well(in, true))
		return;                  /* the chunk stays, for the next try */
	if (in->is_right) {
		in->has[at / 64] |= 1ull << (at % 64);
		in->unsynced += c->n;
		in->ship->seen.bytes_in += c->n;
		in->bad = 0;
	}
	block_give(in->ship, TAKE(c->bytes), c->n);
	if (!in->is_right)
		(void)count_bad(in, "chunk", c->index,
				c->index * in->offer.shape.chunk_bytes);
}

static void synced(struct in *in)
{
	in->unsynced = 0;
	(void)is_well(in, false);
}

static void finished(struct in *in)
{
	if (is_well(in, false))
		complete(in);
}

/* Back from a worker: to 'then', where nobody has given it up. */
static void back(struct ship_job *job, void (*then)(struct in *))
{
	struct in *in = container_of(job, struct in, job);
	struct ship *s = in->ship;

	if (in->fsm.state == IN_ENDED) {
		let_go(in);
		return;
	}
	then(in);
	/* 'then' may have let go of it. */
	for (unsigned i = 0; i < s->config.in_max; i++)
		if (s->in[i] == in)
			go_on(in);
}

static void open_done(struct ship_job *job)
{
	back(job, opened);
}

static void page_done(struct ship_job *job)
{
	back(job, page_verified);
}

static void check_done(struct ship_job *job)
{
	back(job, checked);
}

static void write_done(struct ship_job *job)
{
	back(job, written);
}

static void sync_done(struct ship_job *job)
{
	back(job, synced);
}

static void finish_done(struct ship_job *job)
{
	back(job, finished);
}

/* ---- going on ---- */

static void work(struct in *in, void (*run)(struct ship_job *),
		 void (*done)(struct ship_job *))
{
	ship_work(in->ship, &in->job, run, done);
}

static void write_next(struct in *in)
{
	if (!in->writing.bytes) {
		in->writing = in->window[in->first];
		in->first = (in->first + 1) % SHIP_WINDOW_MAX;
		in->n_here--;
	}
	work(in, write_run, write_done);
}

/* Highest level whose page is not the one above the present; -1: none. */
static int level_missing(const struct in *in)
{
	for (int l = (int)in->levels - 1; l >= 0; l--)
		if (in->pages[l].index != page_above(in, (unsigned)l))
			return l;
	return -1;
}

static void ask_page(struct in *in, unsigned level)
{
	if (!in->has_sender || in->page_asked)
		return;
	in->page_asked = true;
	in->asked_level = level;
	in->last_ms = in->ship->now_ms;
	tell(in, SHIP_F_ASK_PAGE, level, page_above(in, level));
}

static void ask_chunks(struct in *in)
{
	unsigned n = page_chunks(in);

	if (in->n_asked == 0)
		in->last_ms = in->ship->now_ms;
	for (; in->has_sender && in->ask_at < n &&
	       in->n_here + in->n_asked < in->ship->config.window; in->ask_at++) {
		unsigned to = (in->first + in->n_here + in->n_asked) %
			      SHIP_WINDOW_MAX;

		if (has_bit(in, in->ask_at))
			continue;
		in->window[to] = (struct chunk){ chunk_at(in, in->ask_at), NULL, 0 };
		in->n_asked++;
		tell(in, SHIP_F_ASK_CHUNK, 0, chunk_at(in, in->ask_at));
	}
}

/* The window is empty and all was asked for: what did not verify is asked for
 * again, or the page is done.  True: there is more to do. */
static bool end_page(struct in *in)
{
	if (in->n_asked || in->ask_at < page_chunks(in))
		return false;
	if (whole_up_to(in) == chunk_at(in, page_chunks(in))) {
		in->page++;
		memset(in->has, 0, sizeof(in->has));
		in->check_at = 0;
	}
	in->ask_at = 0;
	return true;
}

static bool has_on_disk(const struct in *in)
{
	return in->check_at < page_chunks(in) &&
	       chunk_at(in, in->check_at) * in->offer.shape.chunk_bytes <
	       in->store.part_bytes;
}

/* True: once more. */
static bool pull(struct in *in)
{
	int level;

	if (in->n_here || in->writing.bytes) {
		write_next(in);
		return false;
	}
	if (in->has_page) {
		work(in, page_run, page_done);
		return false;
	}
	if (is_done(in)) {
		fsm_move(&in->fsm, IN_FINISHING, "all chunks are there");
		return true;
	}
	if (in->unsynced >= in->ship->config.sync_bytes) {
		work(in, sync_run, sync_done);
		return false;
	}
	level = level_missing(in);
	if (level >= 0) {
		ask_page(in, (unsigned)level);
		return false;
	}
	if (has_on_disk(in)) {
		work(in, check_run, check_done);
		return false;
	}
	ask_chunks(in);
	return in->has_sender && end_page(in);
}

static void go_on(struct in *in)
{
	bool more = true;

	if (in->ship->now_ms < in->pause_ms)
		return;
	while (more && !in->job.is_out_ && !in->ship->is_stopped) {
		more = false;
		if (in->fsm.state == IN_OPENING)
			work(in, open_run, open_done);
		else if (in->fsm.state == IN_PULLING)
			more = pull(in);
		else if (in->fsm.state == IN_FINISHING)
			work(in, finish_run, finish_done);
	}
	/* While the head is written, more may be asked for. */
	if (in->writing.bytes && in->fsm.state == IN_PULLING)
		ask_chunks(in);
}

void in_go(struct in *in)
{
	if (in->fsm.state != IN_ENDED)
		go_on(in);
}

void in_peer_down(struct in *in, uint64_t peer)
{
	if (in->peer == peer && in->has_sender)
		lose_sender(in);
}

/* ---- time ---- */

static bool waits(const struct in *in)
{
	return in->has_sender && (in->n_asked || in->page_asked) &&
	       in->fsm.state == IN_PULLING && !in->has_page && !in->n_here &&
	       !in->job.is_out_ && in->ship->config.stall_ms;
}

uint64_t in_deadline(const struct in *in)
{
	if (in->pause_ms > in->ship->now_ms)
		return in->pause_ms;
	return waits(in) ? in->last_ms + in->ship->config.stall_ms : UINT64_MAX;
}

void in_timeout(struct in *in)
{
	struct ship *s = in->ship;
	struct peer *p = peer_find_up(s, in->peer);
	struct err err;

	if (!waits(in) || s->now_ms < in->last_ms + s->config.stall_ms)
		return;
	err_set(&err, E_TIMEOUT, "nothing came for %u ms", s->config.stall_ms);
	if (p)
		peer_refuse(s, p, in->number, &err);
	lose_sender(in);
}

/* ---- what the sender says ---- */

static struct in *find_id(const struct ship *s, struct str id)
{
	for (unsigned i = 0; i < s->config.in_max; i++)
		if (s->in[i] && str_eq(buf_view(&s->in[i]->id), id))
			return s->in[i];
	return NULL;
}

static enum code is_wanted(const struct ship *s, const struct peer *p,
			   const struct ship_offer *o, struct err *err)
{
	const struct ship_config *c = &s->config;

	if (o->shape.size > c->file_bytes_max)
		return err_set(err, E_TOO_LARGE, "%.*s has %llu bytes, at most "
			       "%llu are taken", STR_ARG(o->id),
			       (unsigned long long)o->shape.size,
			       (unsigned long long)c->file_bytes_max);
	if (o->shape.chunk_bytes > c->chunk_bytes_max)
		return err_set(err, E_TOO_LARGE, "%.*s comes in chunks of %u "
			       "bytes, at most %u are taken", STR_ARG(o->id),
			       o->shape.chunk_bytes, c->chunk_bytes_max);
	return c->host.wanted ? c->host.wanted(c->host.data, p->id, o, err) : OK;
}

static bool is_same(const struct ship_offer *a, const struct ship_offer *b)
{
	return a->shape.size == b->shape.size &&
	       a->shape.chunk_bytes == b->shape.chunk_bytes &&
	       a->shape.page_log == b->shape.page_log &&
	       sha256_eq(&a->root, &b->root);
}

static struct in *in_new(struct ship *s, const struct ship_offer *o)
{
	struct in *in = NEW(struct in);

	in->ship = s;
	fsm_init(&in->fsm, "incoming file", states, IN__STATES, IN_OPENING);
	buf_str(&in->id, o->id);
	buf_str(&in->meta, o->meta);
	in->offer = *o;
	in->offer.id = buf_view(&in->id);
	in->offer.meta = buf_view(&in->meta);
	in->levels = shape_levels(&o->shape);
	for (unsigned i = 0; i < in->levels; i++) {
		in->pages[i].hashes = block_take(s, shape_page_bytes(&o->shape));
		in->pages[i].index = UINT64_MAX;
	}
	in->checked = block_take(s, o->shape.chunk_bytes);
	buf_reserve(&in->page_bytes, shape_page_bytes(&o->shape));
	s->seen.memory += shape_page_bytes(&o->shape);
	store_init(&in->store, s->config.fs, s->config.dir, in->offer.id);
	return in;
}

void in_clear(struct ship *s, struct str but, struct buf *kept)
{
	for (unsigned i = 0; i < s->config.in_max; i++) {
		struct in *in = s->in[i];

		if (!in)
			continue;
		if (!in->has_sender && !in->job.is_out_ &&
		    in->fsm.state != IN_ENDED &&
		    !store_keeps(but, buf_view(&in->id))) {
			in_free(&s->in[i]);
			continue;
		}
		buf_str(kept, buf_view(&in->id));
		buf_c(kept, '\0');
	}
}

bool ship_coming(const struct ship *s, unsigned at, uint64_t *peer, struct str *id)
{
	for (unsigned i = 0; i < s->config.in_max; i++) {
		const struct in *in = s->in[i];

		if (!in || !in->has_sender || in->fsm.state == IN_ENDED || at--)
			continue;
		*peer = in->peer;
		*id = buf_view(&in->id);
		return true;
	}
	return false;
}

/* A slot for a new transfer: a free one, or one that waits for a sender. */
static struct in **free_slot(struct ship *s)
{
	for (unsigned i = 0; i < s->config.in_max; i++)
		if (!s->in[i])
			return &s->in[i];
	for (unsigned i = 0; i < s->config.in_max; i++)
		if (!s->in[i]->has_sender && !s->in[i]->job.is_out_ &&
		    s->in[i]->fsm.state != IN_ENDED) {
			in_free(&s->in[i]);
			return &s->in[i];
		}
	return NULL;
}

/* Finds or makes the transfer of an offer that is wanted. */
static enum code take_up(struct ship *s, struct peer *p,
			 const struct ship_offer *o, struct in **out,
			 struct err *err)
{
	struct in *in = find_id(s, o->id), **slot;

	if (in && in->has_sender && in->peer != p->id)
		return err_set(err, E_BUSY, "%.*s comes from node %llu already",
			       STR_ARG(o->id), (unsigned long long)in->peer);
	if (!in && s->is_clearing &&
	    !store_keeps(buf_view(&s->clear_keep), o->id))
		return err_set(err, E_BUSY, "what was left of other files is being "
			       "removed");
	if (in && in->has_sender)
		lose_sender(in);
	if (in && is_same(&in->offer, o) && in->fsm.state != IN_ENDED) {
		*out = in;
		return OK;
	}
	if (in && (in->job.is_out_ || in->fsm.state == IN_ENDED))
		return err_set(err, E_BUSY, "another file of this name is being "
			       "let go of");
	if (in)
		let_go(in);
	slot = free_slot(s);
	if (!slot)
		return err_set(err, E_BUSY, "%u files are being received already",
			       s->config.in_max);
	*out = *slot = in_new(s, o);
	return OK;
}

static enum code take_offer(struct ship *s, struct peer *p,
			    const struct ship_frame *f, struct err *err)
{
	struct in *in = NULL;
	struct err no;
	enum code rc;

	if (f->number <= p->last_offer)
		return err_set(err, E_INVALID, "node %llu makes offer %llu after "
			       "%llu", (unsigned long long)p->id,
			       (unsigned long long)f->number,
			       (unsigned long long)p->last_offer);
	p->last_offer = f->number;
	err_reset(&no);
	rc = is_wanted(s, p, &f->offer, &no);
	if (rc == OK)
		rc = take_up(s, p, &f->offer, &in, &no);
	if (rc) {
		no.code = rc;
		peer_refuse(s, p, f->number, &no);
		return OK;
	}
	in->peer = p->id;
	in->number = f->number;
	buf_reset(&in->said);
	buf_str(&in->said, f->offer.meta);
	in->has_sender = true;
	in->bad = 0;
	return OK;
}

static enum code not_asked(const struct peer *p, const struct ship_frame *f,
			   struct err *err)
{
	return err_set(err, E_INVALID, "node %llu sends %s %llu, which was not "
		       "asked for", (unsigned long long)p->id,
		       f->type == SHIP_F_PAGE ? "page" : "chunk",
		       (unsigned long long)f->piece.index);
}

static enum code take_page(struct in *in, const struct peer *p,
			   const struct ship_frame *f, struct err *err)
{
	if (!in->page_asked || in->has_page || f->piece.level != in->asked_level ||
	    f->piece.index != page_above(in, in->asked_level) ||
	    f->piece.bytes.n > shape_page_bytes(&in->offer.shape))
		return not_asked(p, f, err);
	buf_reset(&in->page_bytes);
	buf_str(&in->page_bytes, f->piece.bytes);
	in->has_page = true;
	return OK;
}

static enum code take_chunk(struct in *in, const struct peer *p,
			    const struct ship_frame *f, struct err *err)
{
	struct chunk *c = &in->window[(in->first + in->n_here) %
				      SHIP_WINDOW_MAX];

	if (in->n_asked == 0 || c->index != f->piece.index ||
	    f->piece.bytes.n > in->offer.shape.chunk_bytes)
		return not_asked(p, f, err);
	c->n = f->piece.bytes.n;
	c->bytes = block_take(in->ship, c->n);
	memcpy(c->bytes, f->piece.bytes.p, c->n);
	in->n_here++;
	in->n_asked--;
	return OK;
}

enum code in_receive(struct ship *s, struct peer *p, const struct ship_frame *f,
		     struct err *err)
{
	struct in *in = NULL;

	if (f->type == SHIP_F_OFFER)
		return take_offer(s, p, f, err);
	for (unsigned i = 0; i < s->config.in_max && !in; i++)
		if (s->in[i] && s->in[i]->has_sender && s->in[i]->peer == p->id &&
		    s->in[i]->number == f->number)
			in = s->in[i];
	if (!in)
		return OK;               /* it has ended, or is of before */
	in->last_ms = s->now_ms;
	if (f->type == SHIP_F_PAGE)
		return take_page(in, p, f, err);
	if (f->type == SHIP_F_CHUNK)
		return take_chunk(in, p, f, err);
	lose_sender(in);
	if (s->config.host.failed) {
		struct err why;

		err_set(&why, f->end.code, "node %llu: %.*s",
			(unsigned long long)p->id, STR_ARG(f->end.text));
		s->config.host.failed(s->config.host.data, p->id,
				      buf_view(&in->id), f->end.code, &why);
	}
	return OK;
}
