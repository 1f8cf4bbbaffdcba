/* Forming a cluster: see form.h. */
#include "node/form.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

#define FORM_VERSION 1
#define HEARD_MAX 64
#define ULL(x) ((unsigned long long)(x))

struct heard {
	uint64_t at_ms;
	struct form_statement said;
};

struct form {
	struct form_config config;
	bool is_by_hand;
	size_t n_heard;
	struct heard *heard[HEARD_MAX];  /* one an incarnation */
	bool has_met;                    /* somebody who has a cluster */

	/* A proposal of this node, or the one that it follows. */
	bool has_proposal;
	struct uuid cluster;
	size_t n_set;
	struct founder set[FOUNDERS_MAX];

	char waits_for[300];
};

/* ---- bytes ---- */

static void put_node(struct buf *out, const struct founder *f)
{
	wr_var(out, f->id);
	wr_raw(out, f->incarnation.b, sizeof(f->incarnation.b));
	wr_str(out, str_of(f->address));
}

static void get_node(struct rd *rd, struct founder *f)
{
	struct str raw;

	f->id = rd_var(rd);
	raw = rd_raw(rd, sizeof(f->incarnation.b));
	if (raw.n == sizeof(f->incarnation.b))
		memcpy(f->incarnation.b, raw.p, raw.n);
	if (!str_copy(f->address, sizeof(f->address), rd_str(rd)) || !f->id)
		rd->bad = true;
}

static void put_nodes(struct buf *out, const struct founder *f, size_t n)
{
	wr_var(out, n);
	for (size_t i = 0; i < n; i++)
		put_node(out, &f[i]);
}

static size_t get_nodes(struct rd *rd, struct founder *f, size_t max)
{
	uint64_t n = rd_var(rd);

	if (n > max)
		rd->bad = true;
	for (size_t i = 0; i < n && !rd->bad; i++)
		get_node(rd, &f[i]);
	return rd->bad ? 0 : (size_t)n;
}

void form_encode(struct buf *out, const struct form_statement *s)
{
	wr_u8(out, FORM_VERSION);
	put_node(out, &s->self);
	wr_u8(out, (uint8_t)s->phase);
	wr_u32(out, s->expect);
	wr_u8(out, s->is_by_hand);
	wr_raw(out, s->cluster.b, sizeof(s->cluster.b));
	put_nodes(out, s->founders, s->n_founders);
	put_nodes(out, s->members, s->n_members);
}

/* Later versions add at the end. */
enum code form_decode(struct str bytes, struct form_statement *out,
		      struct err *err)
{
	struct rd rd = rd_of(bytes);
	struct str raw;

	memset(out, 0, sizeof(*out));
	if (rd_u8(&rd) < FORM_VERSION)
		rd.bad = true;
	get_node(&rd, &out->self);
	out->phase = (enum form_phase)rd_u8(&rd);
	out->expect = rd_u32(&rd);
	out->is_by_hand = rd_u8(&rd);
	raw = rd_raw(&rd, sizeof(out->cluster.b));
	if (raw.n == sizeof(out->cluster.b))
		memcpy(out->cluster.b, raw.p, raw.n);
	out->n_founders = get_nodes(&rd, out->founders, FOUNDERS_MAX);
	out->n_members = get_nodes(&rd, out->members, FORM_MEMBERS_MAX);
	if (rd.bad || out->phase < FORM_SEEKING || out->phase > FORM_JOINING)
		return err_set(err, E_INVALID, "a statement is malformed");
	return OK;
}

/* ---- what was heard ---- */

static bool seeks(const struct form_statement *s)
{
	return s->phase == FORM_SEEKING || s->phase == FORM_PROPOSED;
}

PRINTF(2, 3) static enum form_result waits(struct form *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->waits_for, sizeof(f->waits_for), fmt, ap);
	va_end(ap);
	return FORM_WAIT;
}

struct form *form_new(const struct form_config *config)
{
	struct form *f = NEW(struct form);

	must(config->self.id && !uuid_is_none(&config->self.incarnation));
	f->config = *config;
	return f;
}

void form_free(struct form **fp)
{
	struct form *f = *fp;

	if (!f)
		return;
	for (size_t i = 0; i < f->n_heard; i++)
		free(f->heard[i]);
	free(f);
	*fp = NULL;
}

static bool is_same(const struct founder *a, const struct founder *b)
{
	return a->id == b->id && uuid_eq(&a->incarnation, &b->incarnation);
}

/* The one of that incarnation, or the one that spoke last the longest ago. */
static struct heard *place_for(struct form *f, const struct founder *who)
{
	struct heard *oldest = NULL;

	for (size_t i = 0; i < f->n_heard; i++) {
		struct heard *h = f->heard[i];

		if (is_same(&h->said.self, who))
			return h;
		if (!oldest || h->at_ms < oldest->at_ms)
			oldest = h;
	}
	if (f->n_heard == HEARD_MAX)
		return oldest;
	return f->heard[f->n_heard++] = NEW(struct heard);
}

void form_hear(struct form *f, uint64_t now_ms,
	       const struct form_statement *said)
{
	struct heard *h;

	if (is_same(&said->self, &f->config.self))
		return;                  /* one's own voice */
	h = place_for(f, &said->self);
	h->at_ms = now_ms;
	h->said = *said;
	if (!f->has_met && !seeks(said)) {
		f->has_met = true;
		(void)waits(f, "node %llu at %s has a cluster, whose members are "
			    "not there", ULL(said->self.id), said->self.address);
	}
	/* Who was told nothing goes by who was. */
	if (said->is_by_hand && said->expect && !f->config.expect &&
	    seeks(said)) {
		f->config.expect = said->expect;
		f->is_by_hand = true;
	}
}

static bool is_fresh(const struct heard *h, uint64_t now_ms)
{
	return now_ms < h->at_ms + FORM_FRESH_MS;
}

void form_expect(struct form *f, uint64_t now_ms, uint32_t expect)
{
	uint32_t n = 1;

	for (size_t i = 0; i < f->n_heard; i++)
		n += is_fresh(f->heard[i], now_ms) && seeks(&f->heard[i]->said);
	f->config.expect = expect ? expect : n;
	f->is_by_hand = true;
}

void form_state(const struct form *f, struct form_statement *out)
{
	memset(out, 0, sizeof(*out));
	out->self = f->config.self;
	out->expect = f->config.expect;
	out->is_by_hand = f->is_by_hand;
	out->phase = FORM_SEEKING;
	if (!uuid_is_none(&f->config.joining)) {
		out->phase = FORM_JOINING;
		out->cluster = f->config.joining;
	} else if (f->has_proposal) {
		out->phase = FORM_PROPOSED;
		out->cluster = f->cluster;
		out->n_founders = f->n_set;
		memcpy(out->founders, f->set, f->n_set * sizeof(*f->set));
	}
}

const char *form_waits_for(const struct form *f)
{
	return f->waits_for;
}

/* ---- a cluster that exists ---- */

static const struct founder *find(const struct founder *list, size_t n,
				  uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].id == id)
			return &list[i];
	return NULL;
}

static enum form_result join(const struct form_statement *s, bool as_founder,
			     struct form_outcome *out)
{
	memset(out, 0, sizeof(*out));
	out->cluster = s->cluster;
	out->n_members = s->n_members;
	memcpy(out->members, s->members, s->n_members * sizeof(*s->members));
	if (!as_founder)
		return FORM_JOIN;
	out->n_founders = s->n_founders;
	memcpy(out->founders, s->founders, s->n_founders * sizeof(*s->founders));
	return FORM_FOUND;
}

/* It has a cluster: is this node one of it? */
static enum form_result meet(struct form *f, const struct form_statement *s,
			     struct form_outcome *out)
{
	const struct founder *self = &f->config.self;
	const struct founder *is = find(s->members, s->n_members, self->id);
	const struct founder *was = find(s->founders, s->n_founders, self->id);
	bool is_joining = !uuid_is_none(&f->config.joining);
	char text[37];

	uuid_text(text, s->cluster);
	if (is_joining && !uuid_eq(&f->config.joining, &s->cluster))
		return waits(f, "node %llu at %s belongs to another cluster, %s",
			     ULL(s->self.id), s->self.address, text);
	if (is && is_same(is, self))
		return join(s, !is_joining && was && is_same(was, self), out);
	if (is && uuid_is_none(&is->incarnation))
		return join(s, false, out);
	if (is)
		return waits(f, "node %llu of cluster %s had another data directory, "
			     "and must not come back without it: remove node %llu "
			     "from the cluster, then add it anew", ULL(self->id),
			     text, ULL(self->id));
	return waits(f, "cluster %s exists, and node %llu is no member of it: add "
		     "node %llu at %s to it, or give this node a cluster of its own",
		     text, ULL(self->id), ULL(self->id), self->address);
}

/* ---- a new one ---- */

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct founder *)a)->id;
	uint64_t y = ((const struct founder *)b)->id;

	return x < y ? -1 : x > y;
}

static bool is_set(const struct founder *a, size_t n_a, const struct founder *b,
		   size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!is_same(&a[i], &b[i]) ||
		    strcmp(a[i].address, b[i].address) != 0)
			return false;
	return true;
}

/* Who seeks now, this node among them; false: not as it should be. */
static bool gather(struct form *f, uint64_t now_ms, struct founder *set,
		   size_t *n)
{
	*n = 0;
	set[(*n)++] = f->config.self;
	for (size_t i = 0; i < f->n_heard; i++) {
		const struct form_statement *s = &f->heard[i]->said;

		if (!is_fresh(f->heard[i], now_ms) || !seeks(s))
			continue;
		if (find(set, *n, s->self.id)) {
			waits(f, "two nodes say that they are node %llu, one at %s",
			      ULL(s->self.id), s->self.address);
			return false;
		}
		if (s->expect && s->expect != f->config.expect) {
			waits(f, "node %llu expects %u nodes, and this one %u",
			      ULL(s->self.id), s->expect, f->config.expect);
			return false;
		}
		if (*n == FOUNDERS_MAX) {
			waits(f, "more than %d nodes want to found it",
			      FOUNDERS_MAX);
			return false;
		}
		set[(*n)++] = s->self;
	}
	qsort(set, *n, sizeof(*set), by_id);
	return true;
}

static const struct form_statement *latest_of(const struct form *f,
					      uint64_t now_ms, uint64_t id)
{
	const struct heard *last = NULL;

	for (size_t i = 0; i < f->n_heard; i++) {
		const struct heard *h = f->heard[i];

		if (h->said.self.id == id && is_fresh(h, now_ms) &&
		    (!last || h->at_ms >= last->at_ms))
			last = h;
	}
	return last ? &last->said : NULL;
}

static bool says_set(const struct form_statement *s, const struct uuid *cluster,
		     const struct founder *set, size_t n)
{
	return s && s->phase == FORM_PROPOSED && uuid_eq(&s->cluster, cluster) &&
	       is_set(s->founders, s->n_founders, set, n);
}

static void take_set(struct form *f, const struct uuid *cluster,
		     const struct founder *set, size_t n)
{
	f->has_proposal = true;
	f->cluster = *cluster;
	f->n_set = n;
	memcpy(f->set, set, n * sizeof(*set));
}

/* All follow: it is so, as soon as it is written down. */
static enum form_result propose(struct form *f, uint64_t now_ms,
				const struct uuid *fresh,
				const struct founder *set, size_t n,
				struct form_outcome *out)
{
	if (!f->has_proposal || !is_set(f->set, f->n_set, set, n))
		take_set(f, fresh, set, n);
	for (size_t i = 0; i < n; i++)
		if (set[i].id != f->config.self.id &&
		    !says_set(latest_of(f, now_ms, set[i].id), &f->cluster, set,
			      n))
			return waits(f, "node %llu has not agreed yet",
				     ULL(set[i].id));
	memset(out, 0, sizeof(*out));
	out->cluster = f->cluster;
	out->n_founders = n;
	memcpy(out->founders, set, n * sizeof(*set));
	return FORM_FOUND;
}

static enum form_result follow(struct form *f, uint64_t now_ms,
			       const struct founder *set, size_t n)
{
	const struct form_statement *s = latest_of(f, now_ms, set[0].id);

	if (s && says_set(s, &s->cluster, set, n))
		take_set(f, &s->cluster, set, n);
	return waits(f, "node %llu decides", ULL(set[0].id));
}

/* A proposal of another is followed until its proposer says otherwise: when it is
 * silent it may have decided. */
static void let_go(struct form *f, uint64_t now_ms)
{
	const struct form_statement *s;

	if (!f->has_proposal || f->set[0].id == f->config.self.id)
		return;
	s = latest_of(f, now_ms, f->set[0].id);
	if (s && seeks(s) && !says_set(s, &f->cluster, f->set, f->n_set))
		f->has_proposal = false;
}

static enum form_result found(struct form *f, uint64_t now_ms,
			      const struct uuid *fresh, struct form_outcome *out)
{
	struct founder set[FOUNDERS_MAX];
	size_t n;

	let_go(f, now_ms);
	if (!gather(f, now_ms, set, &n))
		return FORM_WAIT;
	if (f->config.expect == 0)
		return waits(f, "%zu nodes are there; how many found the cluster is "
			     "to be said by hand", n);
	if (n > f->config.expect)
		return waits(f, "%u nodes are expected, and %zu are there: expect as "
			     "many as there are", f->config.expect, n);
	if (n < f->config.expect)
		return waits(f, "%zu of %u nodes are there", n,
			     f->config.expect);
	/* Bound to another proposal, whose proposer is not heard. */
	if (f->has_proposal && f->set[0].id != f->config.self.id &&
	    !is_set(f->set, f->n_set, set, n))
		return waits(f, "node %llu may have decided, and is silent",
			     ULL(f->set[0].id));
	if (set[0].id == f->config.self.id)
		return propose(f, now_ms, fresh, set, n, out);
	return follow(f, now_ms, set, n);
}

enum form_result form_step(struct form *f, uint64_t now_ms,
			   const struct uuid *fresh, struct form_outcome *out)
{
	enum form_result rc;

	for (size_t i = 0; i < f->n_heard; i++) {
		struct heard *h = f->heard[i];

		if (!is_fresh(h, now_ms) || h->said.phase != FORM_FORMED)
			continue;
		rc = meet(f, &h->said, out);
		if (rc != FORM_WAIT)
			return rc;
	}
	if (!uuid_is_none(&f->config.joining) && !f->has_met)
		return waits(f, "no member of its cluster is there");
	if (f->has_met)
		return FORM_WAIT;        /* 'waits_for' says why */
	return found(f, now_ms, fresh, out);
}
