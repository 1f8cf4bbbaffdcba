/*
 * The release policies of a tenant, for the choice (rollout_choice.c).  They are read out
 * of their rows and parsed as a whole, in slices, and stay in memory until one of the
 * tenant's is written or another tenant's are asked for: a command that releases one file
 * is not to cost what all policies of its tenant do.  What is in memory decides nothing.
 */
#include "state/rollout_own.h"

#include "base/mem.h"

#include "base/banned.h"

/* Bytes that are read and parsed in about the time of one operation. */
#define BYTES_A_UNIT 4096

struct policies *policies_new(void)
{
	struct policies *p = NEW(struct policies);

	p->arena = arena_new(4096);
	p->is_stale = true;
	return p;
}

void policies_free(struct policies **pp)
{
	struct policies *p = TAKE(*pp);

	if (!p)
		return;
	arena_free(&p->arena);
	buf_fini(&p->next);
	free(p);
}

void releasing_forget_policies(struct apply *a)
{
	a->releasing->policies->is_stale = true;
}

enum code releasing_policy(struct apply *a, struct str tenant, struct str before,
			   struct str after, struct err *err)
{
	uint64_t n = ap_count(a, tenant, COUNT_POLICY_BYTES);

	n = n - MIN(n, before.n) + after.n;
	if (after.n > before.n && n > POLICY_BYTES_MAX) {
		err_set(err, E_QUOTA, "the release policies of tenant %.*s would have %llu "
			"bytes together, at most %u are allowed", STR_ARG(tenant),
			(unsigned long long)n, POLICY_BYTES_MAX);
		return err_hint(err, "name instances by labels, or as a percentage");
	}
	ap_set_count(a, tenant, COUNT_POLICY_BYTES, n);
	releasing_forget_policies(a);
	return OK;
}

/* ---- reading ---- */

static void begin(struct policies *p, struct str tenant)
{
	arena_reset(p->arena);
	p->tenant = arena_str(p->arena, tenant);
	p->v = NULL;
	p->n = p->cap = 0;
	buf_reset(&p->next);
	key_objects(&p->next, tenant, KIND_RELEASE_POLICY);
	p->is_whole = p->is_stale = false;
}

static enum code read_one(struct policies *p, struct str name, struct str val,
			  struct err *err)
{
	struct object_row row;
	struct candidate *one;
	enum code rc;

	if (!object_row_decode(arena_str(p->arena, val), &row))
		return thing_corrupt(err, "an object");
	p->v = arena_grow(p->arena, p->v, &p->cap, p->n + 1, sizeof(*p->v));
	one = &p->v[p->n++];
	*one = (struct candidate){ .name = arena_str(p->arena, name),
				   .spec = row.spec, .rev = row.rev };
	rc = strategy_read(p->arena, row.spec, &one->is, err);
	return rc ? err_wrap(err, "%.*s", STR_ARG(one->name)) : OK;
}

static enum code read_on(struct apply *a, struct policies *p, struct err *err)
{
	AUTO_BUF prefix = BUF_NONE;
	struct kv_cursor c;
	enum code rc = OK;
	bool on;

	key_objects(&prefix, p->tenant, KIND_RELEASE_POLICY);
	on = kv_seek(a->txn, KV_OBJECTS, buf_view(&p->next), &c);
	while (on && rc == OK && str_starts(c.key, buf_view(&prefix)) && a->units > 0) {
		a->units -= 1 + (int)(c.val.n / BYTES_A_UNIT);
		rc = read_one(p, str_from(c.key, prefix.n), c.val, err);
		on = kv_next(&c);
	}
	p->is_whole = !on || !str_starts(c.key, buf_view(&prefix));
	buf_reset(&p->next);
	if (!p->is_whole)
		buf_str(&p->next, c.key);
	kv_cursor_close(&c);
	return rc;
}

enum code policies_load(struct apply *a, bool *done, struct err *err)
{
	struct releasing *r = a->releasing;
	struct policies *p = r->policies;
	enum code rc = OK;

	if (p->is_stale || !str_eq(p->tenant, r->tenant))
		begin(p, r->tenant);
	if (!p->is_whole)
		rc = read_on(a, p, err);
	/* Nor is what could not be read taken for all that there is. */
	if (rc)
		p->is_stale = true;
	*done = p->is_whole;
	return rc;
}
