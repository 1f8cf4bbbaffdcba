/*
 * What the tests of the state share: a machine on a folder of its own, and
 * short words to make commands.
 */
#ifndef TEST_STATE_BENCH_H
#define TEST_STATE_BENCH_H

#include <check.h>

#include "state/state.h"
#include "state/view.h"

struct bench {
	char dir[64];
	struct state *state;
	struct rc_machine machine;
	uint64_t index, time_ms;
	uint64_t knows;                  /* see struct state_config */
	struct arena *arena;
	struct outcome last;             /* of the last command */
	uint64_t commits;
};

void bench_open(struct bench *b, const char *boot_id);
void bench_reopen(struct bench *b, const char *boot_id, bool orderly,
		  const struct rc_checkpoint *from);
enum code bench_try_reopen(struct bench *b, const char *boot_id,
			   struct err *err);
void bench_close(struct bench *b);

/* A command of root at the bench's time. */
struct command *bench_command(struct bench *b);
/* Applies it as one entry and keeps its outcome in b->last. */
const struct outcome *bench_apply(struct bench *b, const struct command *c);
/* Applies encoded entries as one batch; the other one answers what the machine
 * does, which then is to be opened again unless that is OK. */
enum code bench_try(struct bench *b, const struct str *entries, size_t n,
		    struct err *err);
void bench_batch(struct bench *b, const struct str *entries, size_t n);
struct str bench_encode(struct bench *b, const struct command *c);

struct op *put_tenant(struct bench *b, struct command *c, const char *name);
struct op *put_config(struct bench *b, struct command *c, const char *tenant,
		      const char *app, const char *env, const char *name);
/* Stores content in a command of its own. */
struct sha256 put_blob(struct bench *b, const char *tenant, struct str bytes);
struct op *add_version(struct bench *b, struct command *c, const char *tenant,
		       const char *object, struct str content, bool release);
/* Tenant acme, application, and configuration shop/prod/db.toml with one
 * version released; answers the object's name. */
const char *bench_shop(struct bench *b, const char *content);

struct kv_txn *bench_read(struct bench *b);

#endif
