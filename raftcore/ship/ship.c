/*
 * The door: connections, what waits to be sent, the rate, work, and whose turn it
 * is.  Every call of a driver ends in one round over all transfers, each of which
 * goes on as far as it can.
 */
#include "ship/own.h"

#include "base/mem.h"

#include "base/banned.h"

/* Small frames that may wait for a peer: what offers of ours take, and some. */
#define QUEUE_MAX ((size_t)2 << 20)
/* More than is sent in this time at once is never owed to anybody. */
#define BURST_MS 100

struct waiting {
	struct list link;
	struct buf bytes;
};

/* ---- life ---- */

void ship_config_defaults(struct ship_config *c)
{
	*c = (struct ship_config){
		.chunk_bytes = 256 << 10, .page_log = 10,
		.chunk_bytes_max = SHIP_CHUNK_MAX,
		.file_bytes_max = 1ull << 40, .window = 8, .in_max = 4,
		.out_max = 4, .sync_bytes = 32 << 20, .retry_ms = 1000,
		.stall_ms = 60000, .first_number = 1,
	};
}

size_t ship_memory_max(const struct ship_config *c)
{
	return c->in_max * in_memory_max(c) + c->out_max * out_memory_max(c);
}

struct ship *ship_new(const struct ship_config *config)
{
	struct ship *s = NEW(struct ship);
	struct ship_shape shape = { 0, config->chunk_bytes, config->page_log };

	must(config->host.send && config->host.work && config->fs && config->dir);
	must(shape_is_valid(&shape) && config->chunk_bytes_max <= SHIP_CHUNK_MAX);
	must(config->window >= 1 && config->window <= SHIP_WINDOW_MAX);
	must(config->in_max >= 1 && config->in_max <= TRANSFERS_MAX);
	must(config->out_max >= 1 && config->out_max <= TRANSFERS_MAX);
	must(config->retry_ms > 0 && config->first_number > 0);
	s->config = *config;
	s->last_number = config->first_number - 1;
	s->config.dir = mem_dup(config->dir, strlen(config->dir));
	return s;
}

void ship_stop(struct ship *s)
{
	s->is_stopped = true;
}

bool ship_is_idle(const struct ship *s)
{
	return s->seen.jobs == 0;
}

static void queue_reset(struct peer *p)
{
	struct waiting *w;

	while ((w = list_first(&p->queue, struct waiting, link))) {
		list_remove(&w->link);
		buf_fini(&w->bytes);
		free(w);
	}
	p->queue_bytes = 0;
}

void ship_free(struct ship **sp)
{
	struct ship *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	must(ship_is_idle(s));
	for (unsigned i = 0; i < TRANSFERS_MAX; i++) {
		out_free(&s->out[i]);
		in_free(&s->in[i]);
	}
	must(s->seen.memory == 0);
	for (unsigned i = 0; i < s->n_peers; i++) {
		queue_reset(s->peers[i]);
		free(s->peers[i]);
	}
	buf_fini(&s->scratch);
	buf_fini(&s->clear_keep);
	free((char *)s->config.dir);
	free(s);
}

/* ---- memory ---- */

void *block_take(struct ship *s, size_t n)
{
	s->seen.memory += n;
	s->seen.memory_peak = MAX(s->seen.memory_peak, s->seen.memory);
	return mem_alloc(n + 1);
}

void block_give(struct ship *s, void *p, size_t n)
{
	if (!p)
		return;
	must(s->seen.memory >= n);
	s->seen.memory -= n;
	free(p);
}

/* ---- sending ---- */

static struct peer *find(const struct ship *s, uint64_t id)
{
	for (unsigned i = 0; i < s->n_peers; i++)
		if (s->peers[i]->id == id)
			return s->peers[i];
	return NULL;
}

struct peer *peer_find_up(const struct ship *s, uint64_t id)
{
	struct peer *p = find(s, id);

	return p && p->is_up ? p : NULL;
}

static bool send(struct ship *s, struct peer *p, struct str frame)
{
	if (p->is_blocked)
		return false;
	p->is_blocked = !s->config.host.send(s->config.host.data, p->id, frame);
	return !p->is_blocked;
}

bool peer_send(struct ship *s, struct peer *p, struct str frame)
{
	return list_empty(&p->queue) && send(s, p, frame);
}

void peer_post(struct ship *s, struct peer *p, const struct ship_frame *f)
{
	struct waiting *w;

	buf_reset(&s->scratch);
	ship_frame_encode(&s->scratch, f);
	if (peer_send(s, p, buf_view(&s->scratch)))
		return;
	if (p->queue_bytes + s->scratch.n > QUEUE_MAX) {
		p->has_flooded = true;
		return;
	}
	w = NEW(struct waiting);
	buf_str(&w->bytes, buf_view(&s->scratch));
	p->queue_bytes += w->bytes.n;
	list_append(&p->queue, &w->link);
}

static void send_waiting(struct ship *s, struct peer *p)
{
	struct waiting *w;

	while ((w = list_first(&p->queue, struct waiting, link))) {
		if (!send(s, p, buf_view(&w->bytes)))
			return;
		p->queue_bytes -= w->bytes.n;
		list_remove(&w->link);
		buf_fini(&w->bytes);
		free(w);
	}
}

void peer_refuse(struct ship *s, struct peer *p, uint64_t number,
		 const struct err *err)
{
	struct ship_frame f = { .type = SHIP_F_REFUSE, .number = number,
				.end = { err->code, str_of(err->text) } };

	peer_post(s, p, &f);
}

bool may_retry(enum code rc)
{
	return rc == E_BUSY || rc == E_FULL || rc == E_TIMEOUT ||
	       rc == E_UNAVAILABLE;
}

/* ---- the rate ---- */

/* A chunk leaves while there is credit, and may take it below zero. */
static void rate_refill(struct ship *s)
{
	uint64_t rate = MIN(s->config.rate, (uint64_t)1 << 40);
	/* Far more than any debt, and no overflow. */
	uint64_t ms = MIN(s->now_ms - s->credit_ms,
			  ((uint64_t)1 << 62) / MAX(rate, (uint64_t)1));

	s->credit += (int64_t)(rate * ms);
	s->credit = MIN(s->credit, (int64_t)(rate * BURST_MS));
	s->credit_ms = s->now_ms;
}

bool rate_allows(struct ship *s)
{
	rate_refill(s);
	s->waits_for_rate = s->config.rate && s->credit <= 0;
	return !s->waits_for_rate;
}

void rate_spend(struct ship *s, size_t bytes)
{
	if (s->config.rate)
		s->credit -= (int64_t)bytes * 1000;
}

static uint64_t rate_deadline(const struct ship *s)
{
	if (!s->waits_for_rate || s->config.rate == 0 || s->credit > 0)
		return UINT64_MAX;
	return s->credit_ms + (uint64_t)-s->credit / s->config.rate + 1;
}

/* ---- whose turn it is ---- */

static void set_now(struct ship *s, uint64_t now_ms)
{
	s->now_ms = MAX(s->now_ms, now_ms);
}

static void go_on(struct ship *s)
{
	if (s->is_stopped)
		return;
	for (unsigned i = 0; i < s->n_peers; i++)
		if (s->peers[i]->is_up)
			send_waiting(s, s->peers[i]);
	for (unsigned i = 0; i < s->config.in_max; i++)
		if (s->in[i])
			in_go(s->in[i]);
	s->turn++;
	for (unsigned i = 0; i < s->config.out_max; i++) {
		struct out *o = s->out[(s->turn + i) % s->config.out_max];

		if (o)
			out_go(o);
	}
}

void ship_work(struct ship *s, struct ship_job *job,
	       void (*run)(struct ship_job *), void (*done)(struct ship_job *))
{
	job->run_ = run;
	job->done_ = done;
	job->is_out_ = true;
	s->seen.jobs++;
	s->config.host.work(s->config.host.data, job);
}

void ship_job_run(struct ship_job *job)
{
	job->run_(job);
}

void ship_job_done(struct ship *s, uint64_t now_ms, struct ship_job *job)
{
	set_now(s, now_ms);
	must(s->seen.jobs > 0);
	s->seen.jobs--;
	job->is_out_ = false;
	if (s->is_stopped)
		return;
	job->done_(job);
	go_on(s);
}

/* ---- what nobody goes on with ---- */

static void clear_run(struct ship_job *job)
{
	struct ship *s = container_of(job, struct ship, clear);

	/* What stays goes the next time. */
	(void)!store_sweep(s->config.fs, s->config.dir, buf_view(&s->clear_keep),
			   NULL);
}

static void clear_done(struct ship_job *job)
{
	container_of(job, struct ship, clear)->is_clearing = false;
}

bool ship_clear(struct ship *s, uint64_t now_ms, struct str but)
{
	set_now(s, now_ms);
	if (s->is_clearing || s->is_stopped)
		return false;
	s->is_clearing = true;
	buf_reset(&s->clear_keep);
	buf_str(&s->clear_keep, but);
	buf_c(&s->clear_keep, '\0');
	in_clear(s, but, &s->clear_keep);
	ship_work(s, &s->clear, clear_run, clear_done);
	return true;
}

/* ---- connections ---- */

/* It is met anew when it comes: down, nothing of it is here but its id. */
static bool forget_one(struct ship *s)
{
	for (unsigned i = 0; i < s->n_peers; i++) {
		if (s->peers[i]->is_up)
			continue;
		queue_reset(s->peers[i]);
		free(s->peers[i]);
		s->peers[i] = s->peers[--s->n_peers];
		return true;
	}
	return false;
}

enum code ship_peer_up(struct ship *s, uint64_t now_ms, uint64_t id,
		       struct err *err)
{
	struct peer *p = find(s, id);

	set_now(s, now_ms);
	if (!p && s->n_peers == SHIP_PEERS_MAX && !forget_one(s))
		return err_set(err, E_BUSY, "node %llu: %u nodes are connected "
			       "already", (unsigned long long)id, s->n_peers);
	if (!p) {
		p = s->peers[s->n_peers++] = NEW(struct peer);
		p->id = id;
		list_init(&p->queue);
	}
	must(!p->is_up);
	p->is_up = true;
	p->is_blocked = p->has_flooded = false;
	p->last_offer = 0;
	go_on(s);
	return OK;
}

bool ship_is_up(const struct ship *s, uint64_t peer)
{
	return peer_find_up(s, peer) != NULL;
}

void ship_peer_down(struct ship *s, uint64_t id)
{
	struct peer *p = peer_find_up(s, id);

	if (!p)
		return;
	p->is_up = false;
	queue_reset(p);
	for (unsigned i = 0; i < TRANSFERS_MAX; i++) {
		if (s->out[i])
			out_peer_down(s->out[i], id);
		if (s->in[i])
			in_peer_down(s->in[i], id);
	}
}

static enum code dispatch(struct ship *s, struct peer *p,
			  const struct ship_frame *f, struct err *err)
{
	switch (f->type) {
	case SHIP_F_OFFER:
	case SHIP_F_GIVE_UP:
	case SHIP_F_PAGE:
	case SHIP_F_CHUNK:
		return in_receive(s, p, f, err);
	default:
		return out_receive(s, p, f, err);
	}
}

enum code ship_receive(struct ship *s, uint64_t now_ms, uint64_t peer,
		       struct str frame, struct err *err)
{
	struct peer *p = peer_find_up(s, peer);
	struct ship_frame f;
	enum code rc;

	set_now(s, now_ms);
	if (!p)
		return err_set(err, E_UNAVAILABLE, "node %llu is not connected",
			       (unsigned long long)peer);
	rc = ship_frame_decode(frame, &f, err);
	if (rc == OK && !s->is_stopped)
		rc = dispatch(s, p, &f, err);
	if (rc == OK)
		go_on(s);
	if (rc == OK && p->has_flooded)
		rc = err_set(err, E_BUSY, "node %llu asks and does not listen",
			     (unsigned long long)peer);
	return rc;
}

void ship_writable(struct ship *s, uint64_t now_ms, uint64_t peer)
{
	struct peer *p = peer_find_up(s, peer);

	set_now(s, now_ms);
	if (!p)
		return;
	p->is_blocked = false;
	go_on(s);
}

uint64_t ship_deadline(const struct ship *s)
{
	uint64_t at = rate_deadline(s);

	for (unsigned i = 0; i < TRANSFERS_MAX && !s->is_stopped; i++) {
		if (s->out[i])
			at = MIN(at, out_deadline(s->out[i]));
		if (s->in[i])
			at = MIN(at, in_deadline(s->in[i]));
	}
	return s->is_stopped ? UINT64_MAX : at;
}

void ship_timeout(struct ship *s, uint64_t now_ms)
{
	set_now(s, now_ms);
	for (unsigned i = 0; i < s->config.in_max && !s->is_stopped; i++)
		if (s->in[i])
			in_timeout(s->in[i]);
	/* Also where what waited is gone. */
	rate_refill(s);
	go_on(s);
}

/* ---- sending files ---- */

enum code ship_send(struct ship *s, uint64_t now_ms, uint64_t peer,
		    const struct ship_file *file, struct err *err)
{
	enum code rc;

	set_now(s, now_ms);
	if (!ship_id_is_valid(file->id))
		return err_set(err, E_INVALID, "an id has 1 to %u letters, digits, "
			       "'-' and '_'", SHIP_ID_MAX);
	if (file->meta.n > SHIP_META_MAX)
		return err_set(err, E_INVALID, "meta has %zu bytes, at most %u",
			       file->meta.n, SHIP_META_MAX);
	if (out_find(s, peer, file->id))
		return OK;
	rc = out_new(s, peer, file, err);
	if (rc == OK)
		go_on(s);
	return rc;
}

bool ship_cancel(struct ship *s, uint64_t now_ms, uint64_t peer, struct str id)
{
	struct out *o = out_find(s, peer, id);
	struct err err;

	set_now(s, now_ms);
	if (!o)
		return false;
	err_set(&err, E_CANCELLED, "%.*s is not sent any more", STR_ARG(id));
	out_end(o, E_CANCELLED, &err);
	go_on(s);
	return true;
}

void ship_set_rate(struct ship *s, uint64_t now_ms, uint64_t rate)
{
	set_now(s, now_ms);
	rate_refill(s);
	s->config.rate = rate;
	go_on(s);
}

void ship_view(const struct ship *s, struct ship_view *out)
{
	*out = s->seen;
	for (unsigned i = 0; i < TRANSFERS_MAX; i++) {
		out->out += s->out[i] != NULL;
		out->in += s->in[i] != NULL;
	}
}
