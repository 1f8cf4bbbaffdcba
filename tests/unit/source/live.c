/* See live.h. */
#include "live.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	struct live *l = data;

	(void)id;
	l->last = *o;
	l->last.results = arena_alloc(l->arena, (o->n_results + 1) *
							sizeof(*o->results));
	if (o->n_results)
		memcpy(l->last.results, o->results,
		       o->n_results * sizeof(*o->results));
}

void live_open(struct live *l)
{
	struct rc_applied at;
	struct err err = { 0 };

	*l = (struct live){ .arena = arena_new(0) };
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
	snprintf(l->dir, sizeof(l->dir), "/tmp/conflux-source-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(l->dir));
	l->state = state_new(&(struct state_config){
		.map_bytes = 1ull << 30, .on_outcome = on_outcome, .data = l });
	l->machine = state_machine(l->state);
	ck_assert_msg(l->machine.open(l->machine.data, l->dir, NULL, &at,
				      &err) == OK,
		      "%s", err.text);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void live_close(struct live *l)
{
	l->machine.close(l->machine.data);
	state_free(&l->state);
	nftw(l->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&l->arena);
}

const struct outcome *live_apply(struct live *l, struct str bytes)
{
	struct rc_entry e = { .index = ++l->index, .term = 1, .id = l->index,
			      .is_command = true, .data = bytes };
	struct err err = { 0 };

	ck_assert_msg(rc_machine_apply(&l->machine, &e, 1, &err) == OK, "%s",
		      err.text);
	return &l->last;
}

struct command *live_command(struct live *l)
{
	struct command *c = ANEW(l->arena, struct command);

	c->type = COMMAND_OPS;
	c->time_ms = 1700000000000;
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	return c;
}

void live_run(struct live *l, struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	live_apply(l, buf_view(&bytes));
	ck_assert_msg(l->last.code == OK, "%s", l->last.text);
}

void live_blob(struct live *l, const char *tenant, struct str content)
{
	struct command c = { .type = COMMAND_BLOB, .time_ms = 1700000000000,
			     .tenant = str_of(tenant),
			     .sha = sha256_of(content), .total = content.n,
			     .bytes = content };

	live_run(l, &c);
}

static void put(struct live *l, enum kind_id kind, const char *tenant,
		const char *name)
{
	struct command *c = live_command(l);
	struct op *op = command_op(l->arena, c, OP_OBJECT_PUT);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	live_run(l, c);
}

void live_tenant(struct live *l, const char *name)
{
	put(l, KIND_TENANT, NULL, name);
}

void live_source(struct live *l, const char *tenant, const char *name)
{
	put(l, KIND_SOURCE, tenant, name);
}

struct kv_txn *live_read(struct live *l)
{
	struct kv *kv = state_kv(l->state);
	struct kv_txn *txn = NULL;

	ck_assert_int_eq(kv_read(kv, &txn, NULL), OK);
	kv_close(&kv);
	return txn;
}

const char *live_fetch(struct live *l, const char *address)
{
	struct kv_txn *txn = live_read(l);
	struct config_view view;
	struct address at;
	AUTO_BUF content = BUF_NONE;
	const char *out = "-";

	ck_assert_int_eq(address_parse(str_of(address), &at, NULL), OK);
	if (view_config(txn, &at, CLIENT_NOBODY, &view, NULL) == OK &&
	    view_content(txn, at.tenant, &view.rule.sha, view.rule.size,
			 &content, NULL) == OK)
		out = arena_z(l->arena, buf_view(&content));
	kv_end(&txn);
	return out;
}
