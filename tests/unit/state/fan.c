/* See fan.h. */
#include "fan.h"

#include "base/banned.h"

struct bench b;
struct hub *hub;

static struct fan *fan_of(struct feed *f)
{
	return container_of(f, struct fan, feed);
}

bool fan_on_change(struct feed *f, const struct feed_change *c)
{
	struct fan *x = fan_of(f);

	ck_assert(!x->is_gone);
	ck_assert(x->enough > 0);
	buf_printf(&x->told, "%s%.*s@%llu", x->told.n ? " " : "", STR_ARG(c->key),
		   (unsigned long long)c->rev);
	if (c->is_deleted)
		buf_z(&x->told, "-");
	else if (!c->has_version)
		buf_z(&x->told, "=0");
	else
		buf_printf(&x->told, "=%u", c->version);
	if (c->end)
		buf_c(&x->told, '.');
	ck_assert_uint_eq(c->at.tenant.n + c->at.application.n +
			  c->at.environment.n + c->at.name.n + 3, c->key.n);
	if (x->removes)
		hub_remove(&x->removes->feed);
	if (x->removes_itself)
		hub_remove(f);
	return --x->enough > 0;
}

static void on_flush(struct feed *f)
{
	fan_of(f)->flushes++;
}

void fan_on_gone(struct feed *f, const struct err *err)
{
	ck_assert_int_eq(err->code, E_GONE);
	fan_of(f)->is_gone = true;
}

static const struct feed_ops ops = { .change = fan_on_change, .flush = on_flush,
				     .gone = fan_on_gone };

void be_version(uint64_t v)
{
	struct command c = { .type = COMMAND_VERSION, .version = v,
			     .time_ms = b.time_ms };

	ck_assert_int_eq(bench_apply(&b, &c)->code, OK);
}

void fan_setup(void)
{
	bench_open(&b, "boot-1");
	be_version(CLUSTER_VERSION);
	hub = hub_new();
}

void fan_setup_old(void)
{
	bench_open(&b, "boot-1");
	hub = hub_new();
}

void fan_teardown(void)
{
	hub_free(&hub);
	bench_close(&b);
}

void add(struct fan *x, const char *key, const char *prefix,
		const char *zone, uint64_t cursor)
{
	struct label label = { STR("zone"), str_of(zone ? zone : "") };
	struct client client = { .labels = { &label, zone ? 1 : 0, 1 } };
	struct str p = str_of(prefix ? prefix : "");
	struct address at;
	struct err err;

	*x = (struct fan){ .feed.ops = &ops, .enough = UINT_MAX };
	if (key)
		ck_assert_int_eq(address_parse(str_of(key), &at, &err), OK);
	hub_add(hub, &x->feed, &at, key ? 1 : 0, &p, prefix ? 1 : 0, &client,
		cursor);
	hub_resume(&x->feed);
}

void drop(struct fan *x)
{
	hub_remove(&x->feed);
	buf_fini(&x->told);
}

bool run(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct err err;
	bool more;

	ck_assert_int_eq(hub_run(hub, txn, NULL, NULL, &more, &err), OK);
	kv_end(&txn);
	return more;
}

const char *told(struct fan *x)
{
	static struct buf out;

	while (run())
		;
	buf_reset(&out);
	buf_str(&out, buf_view(&x->told));
	buf_reset(&x->told);
	buf_c(&out, '\0');
	return out.p;
}

/* ---- what there is ---- */

struct op *config(struct command *c, const char *tenant, const char *name)
{
	return put_config(&b, c, tenant, "shop", "prod", name);
}

void release(struct command *c, const char *tenant, const char *name,
		    const char *content)
{
	struct address at = { str_of(tenant), STR("shop"), STR("prod"),
			      str_of(name) };
	struct str object = address_object_name(b.arena, &at);

	add_version(&b, c, tenant, arena_z(b.arena, object), str_of(content), true);
}

uint64_t apply(struct command *c)
{
	bench_apply(&b, c);
	ck_assert_msg(b.last.code == OK, "%s", b.last.text);
	return b.last.rev;
}

void tenants(void)
{
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "a");
	put_tenant(&b, c, "b");
	apply(c);
	for (unsigned i = 0; i < 4; i++) {
		char content[] = { (char)('0' + i), '\0' };

		put_blob(&b, "a", str_of(content));
		put_blob(&b, "b", str_of(content));
	}
}
