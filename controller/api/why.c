/* What a release waits for: see why.h. */
#include "api/why.h"

#include "base/mem.h"

#include "base/banned.h"

/* request.data while it is under way. */
struct asking {
	struct caller caller;
	struct fleet_why_query query;
	struct request *r;               /* NULL: the connection ended */
	why_known *then;
};

static void gone(struct request *r)
{
	container_of(caller_of(r), struct asking, caller)->r = NULL;
}

static void known(struct fleet_why_query *q, enum code rc, const struct err *err)
{
	struct asking *a = container_of(q, struct asking, query);
	struct request *r = a->r;
	struct caller *caller;

	if (r) {
		caller = ANEW(r->arena, struct caller);
		*caller = a->caller;
		r->data = caller;
		r->on_gone = NULL;
		a->then(r, &q->why, rc ? err : NULL);
	}
	free(a);
}

void api_why(struct request *r, uint64_t release, why_known *then)
{
	struct fleet_node *fleet = caller_of(r)->at->api->config.fleet;
	struct fleet_why none = { .is_known = false };
	struct asking *a;

	if (!fleet) {
		then(r, &none, NULL);
		return;
	}
	a = NEW(struct asking);
	a->caller = *caller_of(r);
	a->r = r;
	a->then = then;
	a->query.home = r->loop;
	a->query.release = release;
	a->query.done = known;
	r->data = &a->caller;
	r->on_gone = gone;
	fleet_node_why(fleet, &a->query);
}

void put_why(struct buf *out, const struct fleet_why *why, const struct err *err)
{
	if (err) {
		buf_z(out, ",\"waits_for\":null,\"waits_for_error\":");
		buf_json(out, str_of(err->text));
	} else if (why->text[0]) {
		buf_z(out, ",\"waits_for\":");
		buf_json(out, str_of(why->text));
	}
}
