/* Pictures of the state for whoever reads: see view.h. */
#include "store/own.h"

#include "base/mem.h"

#include "base/banned.h"

struct view {
	struct store *store;
	struct kv_txn *txn;
	uint64_t generation;             /* of the store that it reads */
	uint64_t rev;                    /* least that the picture has */
	bool is_idle;
};

/* A first picture, or one of another store: a checkpoint was installed.  While
 * that is under way there is none, and the old one stays. */
static enum code view_open(struct view *v, struct err *err)
{
	struct state *state = v->store->state;
	uint64_t generation = state_generation(state);
	struct kv *kv;
	struct kv_txn *txn;
	enum code rc;

	if (v->txn && v->generation == generation)
		return OK;
	kv = state_kv(state);
	if (!kv && v->txn)
		return OK;
	if (!kv)
		return err_set(err, E_UNAVAILABLE, "the state is not open");
	rc = kv_read(kv, &txn, err);
	kv_close(&kv);
	if (rc)
		return rc;
	kv_end(&v->txn);
	v->txn = txn;
	v->generation = generation;
	v->is_idle = true;
	kv_reset(txn);
	return OK;
}

enum code view_new(struct store *s, struct view **out, struct err *err)
{
	struct view *v = NEW(struct view);
	enum code rc;

	v->store = s;
	rc = view_open(v, err);
	if (rc)
		free(v);
	else
		*out = v;
	return rc;
}

void view_free(struct view **vp)
{
	if (!*vp)
		return;
	kv_end(&(*vp)->txn);
	free(*vp);
	*vp = NULL;
}

enum code view_use(struct view *v, uint64_t min_rev, struct kv_txn **out,
		   struct err *err)
{
	uint64_t now = atomic_load(&v->store->rev);
	enum code rc;

	if (min_rev > now) {
		err_set(err, E_TIMEOUT, "revision %llu is not here yet (%llu)",
			(unsigned long long)min_rev, (unsigned long long)now);
		return E_TIMEOUT;
	}
	rc = view_open(v, err);
	if (rc)
		return rc;
	if (v->is_idle || v->rev < now) {
		rc = kv_renew(v->txn, err);
		if (rc)
			return rc;
		v->rev = now;
		v->is_idle = false;
	}
	*out = v->txn;
	return OK;
}

enum code view_now(struct view *v, struct kv_txn **out, struct err *err)
{
	*out = v->txn;
	return v->is_idle ? view_use(v, 0, out, err) : OK;
}

void view_idle(struct view *v)
{
	if (!v->is_idle)
		kv_reset(v->txn);
	v->is_idle = true;
}
