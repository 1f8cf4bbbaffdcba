/*
 * Whom a plan reaches, asked of all nodes before it is shown (fleet/reach.h).  Where a
 * node does not answer, or the plan touches more configurations than are asked about,
 * the number is not known, and the plan says so.
 */
#include "api/gate.h"

#include "base/mem.h"
#include "fleet/reach.h"

#include "base/banned.h"

/* Outlives a connection that ends before it is done. */
struct asking {
	struct fleet_reach reach;
	struct request *r;               /* NULL: the connection ended */
	route_handler *then;
};

/* request.data while it is under way: leads to it. */
struct under_way {
	struct caller caller;
	struct asking *asking;
};

static void gone(struct request *r)
{
	struct under_way *u = (struct under_way *)caller_of(r);

	u->asking->r = NULL;
}

static void reached(struct fleet_reach *reach)
{
	struct asking *a = container_of(reach, struct asking, reach);
	struct request *r = a->r;
	struct plan_reach *found;

	if (r) {
		found = ANEW(r->arena, struct plan_reach);
		found->count = reach->count;
		found->is_known = !reach->missing;
		if (reach->missing)
			found->note = arena_printf(r->arena, "%u of %u nodes did not "
				"answer; the others know of %llu", reach->missing,
				reach->nodes, (unsigned long long)reach->count);
		caller_of(r)->reach = found;
		r->on_gone = NULL;
		a->then(r);
	}
	free(a);
}

/* False: there are too many. */
static bool are_few(const struct str *keys, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += keys[i].n + 2;
	return n <= FLEET_REACH_KEYS_MAX && bytes <= FLEET_REACH_BYTES_MAX;
}

bool plan_ask_reach(struct request *r, struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, route_handler *then)
{
	struct fleet_node *fleet = caller_of(r)->at->api->config.fleet;
	struct plan_reach *found;
	struct under_way *u;
	struct asking *a;
	struct str *keys;
	size_t n = 0;
	struct err err;

	if (caller_of(r)->reach ||
	    plan_keys(r->arena, txn, tenant, digest, &keys, &n, &err))
		return false;
	found = ANEW(r->arena, struct plan_reach);
	found->is_known = n == 0;
	found->note = !fleet ? STR("this node knows no instances") :
		arena_printf(r->arena, "of more than %d configurations it is not asked",
			     FLEET_REACH_KEYS_MAX);
	caller_of(r)->reach = found;
	if (n == 0 || !fleet || !are_few(keys, n))
		return false;
	caller_of(r)->reach = NULL;
	a = NEW(struct asking);
	a->r = r;
	a->then = then;
	a->reach = (struct fleet_reach){ .home = r->loop, .keys = keys, .n_keys = n,
					 .done = reached };
	u = ANEW(r->arena, struct under_way);
	u->caller = *caller_of(r);
	u->asking = a;
	r->data = &u->caller;
	r->on_gone = gone;
	fleet_node_reach(fleet, &a->reach);
	return true;
}
