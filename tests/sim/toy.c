/*
 * The toy machine of a world: a digest of all entries, in memory.  Where a run
 * bends a server (diverge.c), one entry has another effect there.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "wire/wire.h"
#include "world.h"

#include "base/banned.h"

/* Its state, and what a picture is of. */
struct toy {
	uint64_t index, term;
	struct sha256 digest;
};

struct rc_frozen {
	struct toy at;
};

/* What lies in a file: a little longer than it must be. */
struct picture {
	struct toy toy;
	uint64_t zero;
};

static struct toy live[SERVERS];

static struct toy *toy_of(const struct server *s)
{
	return &live[s->id - 1];
}

/* Like a store that compares what it has with the checkpoint. */
static enum code toy_open(void *data, const char *dir,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *err)
{
	const struct server *s = data;
	struct toy *toy = toy_of(s);
	AUTO_BUF bytes = BUF_NONE;
	struct picture picture;

	if (s->state_is_lost)
		*toy = (struct toy){ 0 };
	if (from) {
		enum code rc = fs_get(from->fs, from->path, &bytes, err);

		if (rc)
			return rc;
		holds(bytes.n >= sizeof(picture), "a short checkpoint");
		memcpy(&picture, bytes.p, sizeof(picture));
		if (picture.toy.index > toy->index)
			*toy = picture.toy;
	}
	*out = (struct rc_applied){ toy->index, toy->term };
	return OK;
}

static struct sha256 next_digest(const struct toy *toy, const struct rc_entry *e)
{
	AUTO_BUF b = BUF_NONE;

	wr_raw(&b, toy->digest.b, sizeof(toy->digest.b));
	wr_u64(&b, e->index);
	wr_u64(&b, e->term);
	wr_u64(&b, e->id);
	wr_u32(&b, crc32c(0, e->data.p, e->data.n));
	return sha256_of(buf_view(&b));
}

static enum code toy_apply(void *data, const struct rc_entry *e, size_t n,
			   struct err *err)
{
	const struct server *s = data;
	struct toy *toy = toy_of(s);

	for (size_t i = 0; i < n; i++) {
		toy->digest = next_digest(toy, &e[i]);
		toy->index = e[i].index;
		toy->term = e[i].term;
		if (e[i].index == s->bent_at)
			toy->digest.b[0] ^= s->bent_by;
	}
	return OK;
}

static enum code toy_freeze(void *data, struct rc_frozen **out,
			    struct rc_applied *at, struct err *err)
{
	const struct toy *toy = toy_of(data);

	*out = NEW(struct rc_frozen);
	(*out)->at = *toy;
	*at = (struct rc_applied){ toy->index, toy->term };
	return OK;
}

/* A copy may be taken a little later than it says. */
static enum code toy_write(void *data, struct rc_frozen *frozen,
			   enum code (*put)(void *sink, const void *p, size_t n,
					    struct err *err),
			   void *sink, struct err *err)
{
	struct picture picture = { below(2) ? frozen->at : *toy_of(data), 0 };

	return put(sink, &picture, sizeof(picture), err);
}

static void toy_thaw(void *data, struct rc_frozen *frozen)
{
	free(frozen);
}

static void toy_digest(void *data, uint8_t out[32])
{
	memcpy(out, toy_of(data)->digest.b, 32);
}

/* Of each other seed it grows under a copy, as pages do that a copy reads: then whoever
 * leads lets fewer in, and who follows applies nothing. */
static uint64_t toy_bytes(void *data)
{
	const struct server *s = data;
	uint64_t grown = 0;

	if (s->frozen && !s->takes_none && w.seed % 2)
		grown = 1000 * (toy_of(s)->index - s->frozen->at.index);
	return 1000 + grown;
}

static struct rc_machine toy_machine(struct server *s)
{
	*toy_of(s) = (struct toy){ 0 };
	return (struct rc_machine){ .data = s, .open = toy_open,
				    .apply = toy_apply, .freeze = toy_freeze,
				    .write = toy_write, .thaw = toy_thaw,
				    .digest = toy_digest, .bytes = toy_bytes };
}

static void toy_fill(struct server *s, struct proposal *p)
{
	size_t size = (size_t)below(below(4) ? 60 : 1500);

	memset(buf_extend(&p->bytes, size + 1), 'x', size + 1);
}

_Static_assert(sizeof(struct picture) >= PICTURE_MIN, "what is damaged is in it");

const struct world_kind toys = {
	.entry_bytes_max = 4096, .segment_bytes = 8 * 4096,
	.checkpoint_log_bytes = 12000,
	.machine = toy_machine, .fill = toy_fill,
};
