/*
 * GET /api/v1/holds: what sources may not bring again, and why: contents that were
 * rolled back, or that a release took back (docs/releases.md).  A part at a time: an
 * answer with `next` says where to go on (?after=).
 */
#include "api/own.h"

#include "base/clock.h"

#include "base/banned.h"

#define SLICE_NS (4 * UINT64_C(1000000))
#define HOLDS_MOST 1000u
#define LOOKS 64u                        /* at the clock, once in so many */

struct holds {
	struct request *r;
	struct buf out;
	uint64_t until_ns;
	size_t n, examined;
	struct str tenant, name;         /* that was looked at last */
	bool has_more;
};

static void put_hold(struct buf *out, const struct object_view *o)
{
	AUTO_BUF key = BUF_NONE;

	buf_printf(&key, "%.*s/%.*s/%.*s/%.*s", STR_ARG(o->tenant),
		   STR_ARG(o->row.application), STR_ARG(o->row.environment),
		   STR_ARG(o->row.config_name));
	buf_z(out, "{\"tenant\":");
	buf_json(out, o->tenant);
	buf_z(out, ",\"name\":");
	buf_json(out, o->name);
	buf_z(out, ",\"address\":");
	buf_json(out, buf_view(&key));
	buf_printf(out, ",\"revision\":%llu,\"hold\":", (unsigned long long)o->live.rev);
	view_hold_json(out, &o->live);
	buf_c(out, '}');
}

static bool one_config(void *data, const struct object_view *o)
{
	struct holds *h = data;

	if (h->n >= HOLDS_MOST ||
	    (++h->examined % LOOKS == 0 && clock_mono_ns() >= h->until_ns)) {
		h->has_more = true;
		return false;
	}
	if (o->has_live && o->live.has_hold) {
		buf_z(&h->out, h->n++ ? "," : "");
		put_hold(&h->out, o);
	}
	h->tenant = o->tenant;
	h->name = o->name;
	return true;
}

void get_holds(struct request *r)
{
	const struct str *given = request_query(r, "tenant");
	const struct str *after = request_query(r, "after");
	struct str tenant = given ? *given : caller_of(r)->subject.tenant;
	struct str name = after ? *after : STR_NONE, of = str_cut(&name, '/');
	struct holds h = { .r = r, .until_ns = clock_mono_ns() + SLICE_NS };
	AUTO_BUF next = BUF_NONE;
	struct kv_txn *txn;
	struct err err;

	if (!api_may(r, VERB_LIST, KIND_CONFIG, tenant, STR_NONE) || !api_view(r, &txn))
		return;
	buf_z(&h.out, "{\"holds\":[");
	if (view_list(txn, KIND_CONFIG, tenant, of, name, one_config, &h, &err)) {
		api_error(r, &err);
		buf_fini(&h.out);
		return;
	}
	buf_c(&h.out, ']');
	if (h.has_more) {
		buf_printf(&next, "%.*s/%.*s", STR_ARG(h.tenant), STR_ARG(h.name));
		buf_z(&h.out, ",\"next\":");
		buf_json(&h.out, buf_view(&next));
	}
	buf_z(&h.out, "}\n");
	answer(r, 200, "application/json", buf_view(&h.out));
	buf_fini(&h.out);
}
