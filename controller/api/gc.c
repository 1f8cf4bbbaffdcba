/*
 * /api/v1/_cluster/gc: removes versions beyond what is kept (docs/releases.md,
 * "Retention"), a part at a time: an answer with `next` says where to go on.  What is
 * proposed here is looked at once more where it is applied.
 */
#include <stdatomic.h>

#include "api/own.h"

#include "base/clock.h"
#include "state/collect.h"

#include "base/banned.h"

#define DROPS_MAX 500u                   /* of one command, about */
#define SLICE_NS (5 * UINT64_C(1000000))
#define PREVIEW_MAX 1000u                /* versions in one answer */

/* ---- what would go ---- */

struct preview {
	struct buf out;
	size_t n, goes;
	uint32_t after;                  /* they begin behind it; 0: with the newest */
	uint32_t last;                   /* that was shown */
	bool has_more;
};

static bool one_version(void *data, const struct collected *one)
{
	struct preview *p = data;
	char time[RFC3339_MAX];

	if (p->after && one->version->version >= p->after)
		return true;
	p->has_more = p->n == PREVIEW_MAX;
	if (p->has_more)
		return false;
	p->last = one->version->version;
	clock_rfc3339(time, one->version->created_ms, false);
	buf_printf(&p->out, "%s{\"version_id\":%u,\"created\":\"%s\",\"size\":%llu,"
		   "\"removed\":%s,\"why\":\"%s\"}", p->n++ ? "," : "",
		   one->version->version, time,
		   (unsigned long long)one->version->size,
		   one->goes ? "true" : "false", one->why);
	p->goes += one->goes;
	return true;
}

void get_gc_preview(struct request *r)
{
	const struct str *after = request_query(r, "after");
	struct preview p = { .out = BUF_NONE };
	struct retention keep = { 0 };
	struct object_view o;
	struct kv_txn *txn;
	uint64_t behind = 0;

	if (after && (!str_u64(*after, &behind) || !behind || behind > UINT32_MAX)) {
		api_fail(r, E_INVALID, "after=%.*s is no version", STR_ARG(*after));
		return;
	}
	p.after = (uint32_t)behind;
	if (!config_by_id(r, VERB_GET, &o) || !api_view(r, &txn))
		return;
	collect_retention(txn, r->arena, &o, &keep);
	buf_z(&p.out, "{\"name\":");
	buf_json(&p.out, o.name);
	buf_z(&p.out, ",\"retention\":\"");
	retention_text(&p.out, &keep);
	buf_z(&p.out, "\",\"versions\":[");
	collect_versions(txn, r->arena, &o, &keep, clock_wall_ms(), one_version, &p);
	buf_printf(&p.out, "],\"removed\":%zu", p.goes);
	if (p.has_more)
		buf_printf(&p.out, ",\"next\":%u", p.last);
	buf_c(&p.out, '}');
	answer(r, 200, "application/json", buf_view(&p.out));
	buf_fini(&p.out);
}

/* ---- the removal ---- */

struct pass {
	struct change *ch;
	struct kv_txn *txn;
	struct arena *scratch;
	uint64_t now_ms, until_ns;
	size_t examined;
	const struct object_view *config;
	struct str tenant, name;         /* behind these it goes on */
	bool has_more;
};

static bool drop_one(void *data, const struct collected *one)
{
	struct pass *p = data;
	struct arena *arena = p->ch->arena;
	struct op *op;

	if (!one->goes)
		return true;
	op = command_op(arena, &p->ch->cmd, OP_VERSION_DROP);
	op->kind = KIND_CONFIG;
	op->tenant = arena_str(arena, p->config->tenant);
	op->name = arena_str(arena, p->config->name);
	op->version = one->version->version;
	return p->ch->cmd.n_ops < DROPS_MAX;
}

/* A command is of one tenant. */
static bool is_enough(const struct pass *p, const struct object_view *o)
{
	const struct command *cmd = &p->ch->cmd;

	return cmd->n_ops >= DROPS_MAX || clock_mono_ns() >= p->until_ns ||
	       (cmd->n_ops && !str_eq(cmd->ops[0].tenant, o->tenant));
}

static bool one_config(void *data, const struct object_view *o)
{
	struct pass *p = data;
	struct retention keep;

	if (p->examined && is_enough(p, o)) {
		p->has_more = true;
		return false;
	}
	p->examined++;
	p->config = o;
	arena_reset(p->scratch);
	if (collect_retention(p->txn, p->scratch, o, &keep))
		collect_versions(p->txn, p->scratch, o, &keep, p->now_ms, drop_one,
				 p);
	/* Full in the middle of one: it is looked at again. */
	if (p->ch->cmd.n_ops >= DROPS_MAX) {
		p->has_more = true;
		return false;
	}
	p->tenant = arena_str(p->ch->arena, o->tenant);
	p->name = arena_str(p->ch->arena, o->name);
	return true;
}

static void tell(struct request *r, const struct pass *p, size_t removed)
{
	struct api *api = caller_of(r)->at->api;
	AUTO_BUF out = BUF_NONE;
	AUTO_BUF next = BUF_NONE;

	atomic_fetch_add(&api->gc.runs, 1);
	atomic_fetch_add(&api->gc.examined, p->examined);
	atomic_fetch_add(&api->gc.removed, removed);
	atomic_store(&api->gc.last_ms, clock_wall_ms());
	buf_printf(&out, "{\"examined\":%zu,\"removed\":%zu", p->examined, removed);
	if (p->has_more) {
		buf_str(&next, p->tenant);
		buf_c(&next, '/');
		buf_str(&next, p->name);
		buf_z(&out, ",\"next\":");
		buf_json(&out, buf_view(&next));
	}
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

static void removed(struct change *ch, struct request *r, const struct outcome *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n_results; i++)
		n += o->results[i].changed;
	tell(r, ch->data, n);
}

void post_gc(struct request *r)
{
	const struct str *after = request_query(r, "after");
	struct str name = after ? *after : STR_NONE;
	struct str tenant = str_cut(&name, '/');
	struct change *ch;
	struct kv_txn *txn;
	struct pass *p;
	struct err err;
	enum code rc;

	if (!api_may(r, VERB_ADMINISTER, KIND_CONFIG, STR_NONE, STR_NONE) ||
	    !api_view(r, &txn))
		return;
	ch = change_new(r, removed);
	p = ANEW(ch->arena, struct pass);
	*p = (struct pass){ .ch = ch, .txn = txn, .scratch = arena_new(0),
			    .now_ms = clock_wall_ms(),
			    .until_ns = clock_mono_ns() + SLICE_NS,
			    .tenant = arena_str(ch->arena, tenant),
			    .name = arena_str(ch->arena, name) };
	ch->data = p;
	rc = view_list(txn, KIND_CONFIG, STR_NONE, tenant, name, one_config, p, &err);
	arena_free(&p->scratch);
	if (rc == OK && ch->cmd.n_ops) {
		change_submit(ch);
		return;
	}
	if (rc)
		api_error(r, &err);
	else
		tell(r, p, 0);
	change_cancel(ch);
}

void get_gc_status(struct request *r)
{
	struct api *api = caller_of(r)->at->api;
	uint64_t last = atomic_load(&api->gc.last_ms);
	AUTO_BUF out = BUF_NONE;
	char time[RFC3339_MAX];

	/* Counts of all tenants. */
	if (!api_may(r, VERB_STATUS, KIND_NONE, STR_NONE, STR_NONE))
		return;
	buf_printf(&out, "{\"runs\":%llu,\"examined\":%llu,\"removed\":%llu",
		   (unsigned long long)atomic_load(&api->gc.runs),
		   (unsigned long long)atomic_load(&api->gc.examined),
		   (unsigned long long)atomic_load(&api->gc.removed));
	if (last) {
		clock_rfc3339(time, last, false);
		buf_printf(&out, ",\"last\":\"%s\"", time);
	}
	if (api->config.collected) {
		buf_z(&out, ",\"leader\":{");
		api->config.collected(api->config.data, &out);
		buf_c(&out, '}');
	}
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}
