/* See bench.h. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	struct bench *b = data;

	b->last = *o;
	b->last.results = arena_alloc(b->arena, (o->n_results + 1) *
							sizeof(*o->results));
	if (o->n_results)
		memcpy(b->last.results, o->results,
		       o->n_results * sizeof(*o->results));
}

static void on_commit(void *data, uint64_t rev)
{
	struct bench *b = data;

	b->commits++;
}

static enum code try_open(struct bench *b, const char *boot_id,
			  const struct rc_checkpoint *from, struct err *err)
{
	struct rc_applied at = { 0 };
	enum code rc;

	b->state = state_new(&(struct state_config){
		.map_bytes = 1ull << 30, .boot_id = boot_id, .knows = b->knows,
		.on_outcome = on_outcome, .on_commit = on_commit, .data = b });
	b->machine = state_machine(b->state);
	rc = b->machine.open(b->machine.data, b->dir, from, &at, err);
	b->index = at.index;
	return rc;
}

static void open_machine(struct bench *b, const char *boot_id,
			 const struct rc_checkpoint *from)
{
	struct err err = { 0 };

	ck_assert_msg(try_open(b, boot_id, from, &err) == OK, "%s",
		      err.text);
}

void bench_open(struct bench *b, const char *boot_id)
{
	struct err err;

	*b = (struct bench){ .time_ms = 1700000000000 };
	ck_assert_int_eq(kinds_load(&err), OK);
	snprintf(b->dir, sizeof(b->dir), "/tmp/conflux-state-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	b->arena = arena_new(0);
	open_machine(b, boot_id, NULL);
}

void bench_reopen(struct bench *b, const char *boot_id, bool orderly,
		  const struct rc_checkpoint *from)
{
	if (orderly)
		b->machine.close(b->machine.data);
	state_free(&b->state);
	open_machine(b, boot_id, from);
}

enum code bench_try_reopen(struct bench *b, const char *boot_id,
			   struct err *err)
{
	b->machine.close(b->machine.data);
	state_free(&b->state);
	return try_open(b, boot_id, NULL, err);
}

static void remove_in(const char *dir, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", dir, name);
	if (unlink(path.p))
		rmdir(path.p);
}

void bench_close(struct bench *b)
{
	static const char *const files[] = {
		"store.0/data.mdb", "store.0/lock.mdb", "store.0",
		"store.1/data.mdb", "store.1/lock.mdb", "store.1",
		"store.state", "picture.mdb" };

	b->machine.close(b->machine.data);
	state_free(&b->state);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		remove_in(b->dir, files[i]);
	rmdir(b->dir);
	arena_free(&b->arena);
}

struct command *bench_command(struct bench *b)
{
	struct command *c = ANEW(b->arena, struct command);

	c->type = COMMAND_OPS;
	c->time_ms = b->time_ms;
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root");
	c->origin = STR("test");
	return c;
}

struct str bench_encode(struct bench *b, const struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	return arena_str(b->arena, buf_view(&bytes));
}

enum code bench_try(struct bench *b, const struct str *entries, size_t n,
		    struct err *err)
{
	struct rc_entry *e = arena_zero(b->arena, n * sizeof(*e));

	for (size_t i = 0; i < n; i++)
		e[i] = (struct rc_entry){ .index = ++b->index, .term = 1,
					  .id = b->index, .is_command = true,
					  .data = entries[i] };
	return rc_machine_apply(&b->machine, e, n, err);
}

void bench_batch(struct bench *b, const struct str *entries, size_t n)
{
	struct err err = { 0 };

	ck_assert_msg(bench_try(b, entries, n, &err) == OK, "%s", err.text);
}

const struct outcome *bench_apply(struct bench *b, const struct command *c)
{
	struct str bytes = bench_encode(b, c);

	bench_batch(b, &bytes, 1);
	return &b->last;
}

/* The same in each run: cohorts of releases come of it, and what happens at random is to
 * happen again. */
static struct uuid next_uid(void)
{
	static uint64_t n;
	struct sha256 sha = sha256_of(str_n((const char *)&n, sizeof(n)));
	struct uuid uid;

	n++;
	memcpy(uid.b, sha.b, sizeof(uid.b));
	uid.b[6] = (uid.b[6] & 0x0f) | 0x40;
	uid.b[8] = (uid.b[8] & 0x3f) | 0x80;
	return uid;
}

struct op *put_tenant(struct bench *b, struct command *c, const char *name)
{
	struct op *op = command_op(b->arena, c, OP_OBJECT_PUT);

	op->kind = KIND_TENANT;
	op->name = str_of(name);
	op->uid = next_uid();
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

struct op *put_config(struct bench *b, struct command *c, const char *tenant,
		      const char *app, const char *env, const char *name)
{
	struct op *op = put_tenant(b, c, NULL);
	struct address at = { str_of(tenant), str_of(app), str_of(env),
			      str_of(name) };

	op->kind = KIND_CONFIG;
	op->tenant = at.tenant;
	op->application = at.application;
	op->environment = at.environment;
	op->config_name = at.name;
	op->format = STR("toml");
	op->name = address_object_name(b->arena, &at);
	return op;
}

struct sha256 put_blob(struct bench *b, const char *tenant, struct str bytes)
{
	struct command c = { .type = COMMAND_BLOB, .time_ms = b->time_ms,
			     .tenant = str_of(tenant), .sha = sha256_of(bytes),
			     .total = bytes.n };

	do {
		c.bytes = str_first(str_from(bytes, c.offset), BLOB_PART_MAX);
		bench_apply(b, &c);
		ck_assert_int_eq(b->last.code, OK);
		c.offset += c.bytes.n;
	} while (c.offset < bytes.n);
	return c.sha;
}

struct op *add_version(struct bench *b, struct command *c, const char *tenant,
		       const char *object, struct str content, bool release)
{
	struct op *op = command_op(b->arena, c, OP_VERSION_ADD);

	op->kind = KIND_CONFIG;
	op->tenant = str_of(tenant);
	op->name = str_of(object);
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = release;
	return op;
}

const char *bench_shop(struct bench *b, const char *content)
{
	static const char name[] = "shop.prod.db.toml";
	struct command *c = bench_command(b);

	put_tenant(b, c, "acme");
	bench_apply(b, c);
	ck_assert_msg(b->last.code == OK, "%s", b->last.text);
	put_blob(b, "acme", str_of(content));
	c = bench_command(b);
	put_config(b, c, "acme", "shop", "prod", "db.toml");
	add_version(b, c, "acme", name, str_of(content), true);
	bench_apply(b, c);
	ck_assert_msg(b->last.code == OK, "%s", b->last.text);
	return name;
}

struct kv_txn *bench_read(struct bench *b)
{
	struct kv *kv = state_kv(b->state);
	struct kv_txn *txn;

	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	kv_close(&kv);
	return txn;
}
