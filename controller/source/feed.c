/* Content ahead of its command: see feed.h. */
#include "source/feed.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define HOLD_BYTES (8u << 20)
#define FLIGHT_BYTES (8u << 20)
#define FLIGHT_WRITES 512

struct held {
	struct held *next;
	size_t n;
	char bytes[];
};

struct feed {
	struct store *store;
	struct str tenant;
	struct arena *arena;             /* of the batch */
	struct command batch;            /* small contents, sent as one entry */
	struct held *first, **last;
	size_t held_bytes;
	bool streams;                    /* the hold was outgrown */
	bool stopped;

	/* Shared with the core loop. */
	uv_mutex_t lock;
	uv_cond_t changed;
	size_t flight_bytes, flight_writes;
	enum code refused;
	char text[200];
};

struct part {
	struct store_write write;
	struct feed *feed;
	size_t n;
	char bytes[];
};

struct feed *feed_new(struct store *store, struct str tenant)
{
	struct feed *f = NEW(struct feed);

	f->store = store;
	f->tenant = tenant;
	f->arena = arena_new(0);
	f->last = &f->first;
	must(uv_mutex_init(&f->lock) == 0);
	must(uv_cond_init(&f->changed) == 0);
	return f;
}

static void drop_held(struct feed *f)
{
	struct held *next;

	for (struct held *h = f->first; h; h = next) {
		next = h->next;
		free(h);
	}
	f->first = NULL;
	f->last = &f->first;
	f->held_bytes = 0;
}

void feed_free(struct feed **feed)
{
	struct feed *f = *feed;

	if (!f)
		return;
	uv_mutex_lock(&f->lock);
	while (f->flight_writes)
		uv_cond_wait(&f->changed, &f->lock);
	uv_mutex_unlock(&f->lock);
	drop_held(f);
	uv_cond_destroy(&f->changed);
	uv_mutex_destroy(&f->lock);
	arena_free(&f->arena);
	free(f);
	*feed = NULL;
}

/* ---- in flight ---- */

static void part_done(struct store_write *w, const struct outcome *outcome)
{
	struct part *part = container_of(w, struct part, write);
	struct feed *f = part->feed;

	uv_mutex_lock(&f->lock);
	f->flight_bytes -= part->n;
	f->flight_writes--;
	if (outcome->code && !f->refused) {
		f->refused = outcome->code;
		str_copy(f->text, sizeof(f->text), str_of(outcome->text));
	}
	free(part);
	uv_cond_signal(&f->changed);
	uv_mutex_unlock(&f->lock);
}

static void wait_for_room(struct feed *f, size_t n)
{
	uv_mutex_lock(&f->lock);
	while (f->flight_writes &&
	       (f->flight_bytes + n > FLIGHT_BYTES ||
		f->flight_writes >= FLIGHT_WRITES))
		uv_cond_wait(&f->changed, &f->lock);
	f->flight_bytes += n;
	f->flight_writes++;
	uv_mutex_unlock(&f->lock);
}

static void send_part(void *data, struct str bytes)
{
	struct feed *f = data;
	struct part *part = mem_alloc(sizeof(*part) + bytes.n);

	*part = (struct part){ .feed = f, .n = bytes.n };
	memcpy(part->bytes, bytes.p, bytes.n);
	part->write.home = store_core_loop(f->store);
	part->write.bytes = str_n(part->bytes, bytes.n);
	part->write.done = part_done;
	wait_for_room(f, bytes.n);
	if (store_submit(f->store, &part->write))
		return;
	f->stopped = true;
	part_done(&part->write, &(struct outcome){ .code = E_CANCELLED });
}

static void send_batch(struct feed *f)
{
	AUTO_BUF bytes = BUF_NONE;

	if (f->batch.n_contents) {
		f->batch.type = COMMAND_OPS;
		f->batch.time_ms = clock_wall_ms();
		command_encode(&bytes, &f->batch);
		send_part(f, buf_view(&bytes));
	}
	f->batch = (struct command){ 0 };
	arena_reset(f->arena);
}

static void send_large(struct feed *f, struct str content)
{
	store_blob_commands(f->arena, f->tenant, content, clock_wall_ms(),
			    send_part, f);
	arena_reset(f->arena);
}

/* Into the batch, which goes when the next does not fit. */
static void batch_content(struct feed *f, struct str content)
{
	struct sha256 sha = sha256_of(content);

	if (store_inline_content(f->arena, &f->batch, f->tenant,
				 arena_str(f->arena, content), &sha))
		return;
	send_batch(f);
	must(store_inline_content(f->arena, &f->batch, f->tenant,
				  arena_str(f->arena, content), &sha));
}

static enum code send_content(struct feed *f, struct str content, struct err *err)
{
	enum code rc;

	if (content.n > CONTENT_INLINE_MAX) {
		send_batch(f);
		send_large(f, content);
	} else {
		batch_content(f, content);
	}
	if (f->stopped)
		return err_set(err, E_CANCELLED, "the store is stopping");
	uv_mutex_lock(&f->lock);
	rc = f->refused;
	if (rc)
		err_set(err, rc, "store content: %s", f->text);
	uv_mutex_unlock(&f->lock);
	return rc;
}

/* ---- held back ---- */

enum code feed_flush(struct feed *f, struct err *err)
{
	enum code rc = OK;

	for (struct held *h = f->first; h && rc == OK; h = h->next)
		rc = send_content(f, str_n(h->bytes, h->n), err);
	drop_held(f);
	if (rc == OK)
		send_batch(f);
	return f->stopped && rc == OK ?
		       err_set(err, E_CANCELLED, "the store is stopping") : rc;
}

enum code feed_put(struct feed *f, struct str content, struct err *err)
{
	struct held *h;
	enum code rc;

	if (!f->streams && f->held_bytes + content.n > HOLD_BYTES) {
		f->streams = true;
		rc = feed_flush(f, err);
		if (rc)
			return rc;
	}
	if (f->streams)
		return send_content(f, content, err);
	h = mem_alloc(sizeof(*h) + content.n);
	h->next = NULL;
	h->n = content.n;
	if (content.n)
		memcpy(h->bytes, content.p, content.n);
	*f->last = h;
	f->last = &h->next;
	f->held_bytes += content.n + sizeof(*h);
	return OK;
}
