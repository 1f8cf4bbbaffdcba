/* Counts of tenants: see counts.h. */
#include "state/counts.h"

#include "base/mem.h"
#include "state/apply.h"

#include "base/banned.h"

#define KNOWN_MAX 16
#define CHANGED_MAX 16
#define TENANT_MAX 63

struct count {
	enum kind_id kind;
	uint8_t n_tenant;
	char tenant[TENANT_MAX];
	uint64_t stored, now;
};

/* A count is in one of both, if at all. */
struct counts {
	struct count changed[CHANGED_MAX];   /* by the command, in that order */
	struct count known[KNOWN_MAX];
	size_t n_changed, n_known;
};

struct counts *counts_new(void)
{
	return NEW(struct counts);
}

void counts_free(struct counts **counts)
{
	free(TAKE(*counts));
}

void counts_forget(struct counts *counts)
{
	counts->n_changed = counts->n_known = 0;
}

static struct str tenant_of(const struct count *c)
{
	return str_n(c->tenant, c->n_tenant);
}

static struct count *find(struct count *in, size_t n, struct str tenant,
			  enum kind_id kind)
{
	for (size_t i = 0; i < n; i++)
		if (in[i].kind == kind && str_eq(tenant_of(&in[i]), tenant))
			return &in[i];
	return NULL;
}

static uint64_t stored(struct apply *a, struct str tenant, enum kind_id kind)
{
	AUTO_BUF key = BUF_NONE;
	struct str val = STR_NONE;
	struct rd rd;

	key_count(&key, tenant, kind);
	kv_get(a->txn, KV_META, buf_view(&key), &val);
	rd = rd_of(val);
	return rd_u64(&rd);
}

static void store(struct apply *a, struct str tenant, enum kind_id kind, uint64_t n)
{
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;

	key_count(&key, tenant, kind);
	wr_u64(&val, n);
	ap_put(a, KV_META, buf_view(&key), buf_view(&val));
}

static struct count *know(struct counts *all, struct str tenant, enum kind_id kind,
			  uint64_t n)
{
	struct count *c;

	if (all->n_known == KNOWN_MAX)
		all->n_known = 0;
	c = &all->known[all->n_known++];
	*c = (struct count){ .kind = kind, .n_tenant = (uint8_t)tenant.n,
			     .stored = n, .now = n };
	if (tenant.n)
		memcpy(c->tenant, tenant.p, tenant.n);
	return c;
}

static struct count *count_of(struct apply *a, struct str tenant, enum kind_id kind)
{
	struct counts *all = a->counts;
	struct count *c = find(all->changed, all->n_changed, tenant, kind);

	if (!c)
		c = find(all->known, all->n_known, tenant, kind);
	return c ? c : know(all, tenant, kind, stored(a, tenant, kind));
}

uint64_t ap_count(struct apply *a, struct str tenant, enum kind_id kind)
{
	/* No tenant has such a name. */
	if (tenant.n > TENANT_MAX)
		return stored(a, tenant, kind);
	return count_of(a, tenant, kind)->now;
}

static bool is_changed(const struct counts *all, const struct count *c)
{
	return c >= all->changed && c < all->changed + all->n_changed;
}

/* From 'known' to the end of 'changed'. */
static void note_changed(struct apply *a, struct count *c, uint64_t n)
{
	struct counts *all = a->counts;
	struct count moved = *c;

	moved.now = n;
	*c = all->known[--all->n_known];
	if (all->n_changed == CHANGED_MAX)
		counts_write(a);
	all->changed[all->n_changed++] = moved;
}

void ap_set_count(struct apply *a, struct str tenant, enum kind_id kind, uint64_t n)
{
	struct count *c;

	if (tenant.n > TENANT_MAX) {
		store(a, tenant, kind, n);
		return;
	}
	c = count_of(a, tenant, kind);
	if (is_changed(a->counts, c)) {
		c->now = n;
	} else if (a->head->version >= VERSION_GATE) {
		note_changed(a, c, n);
	} else {
		c->stored = c->now = n;
		store(a, tenant, kind, n);
	}
}

void counts_write(struct apply *a)
{
	struct counts *all = a->counts;

	for (size_t i = 0; i < all->n_changed; i++) {
		const struct count *c = &all->changed[i];

		if (c->now != c->stored)
			store(a, tenant_of(c), c->kind, c->now);
		know(all, tenant_of(c), c->kind, c->now);
	}
	all->n_changed = 0;
}
