/* See watch_lab.h. */
#include "watch_lab.h"

#include "api/kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

static char dir[64];
struct api api;
struct api_loop at;
struct arena *arena;

/* ---- the store ---- */

struct command *command(enum command_type type)
{
	struct command *c = ANEW(arena, struct command);

	c->type = type;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root");
	c->origin = STR("test");
	return c;
}

struct outcome try_submit(const struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome o;
	struct err err;

	command_encode(&bytes, c);
	ck_assert_msg(store_submit_wait(api.config.store, buf_view(&bytes), arena,
					&o, &err) == OK, "%s", err.text);
	return o;
}

void submit(const struct command *c)
{
	struct outcome o = try_submit(c);

	ck_assert_msg(o.code == OK, "%s", o.text);
}

struct op *op_of(struct command *c, enum op_type type, enum kind_id kind,
		 const char *tenant, const char *name)
{
	struct op *op = command_op(arena, c, type);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

static void on_fatal(void *data, const struct err *err)
{
	ck_abort_msg("%s", err->text);
}

void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000l }, NULL);
}

static void open_store(void)
{
	struct store_config c = { .dir = dir, .map_bytes = 1 << 28,
				  .on_fatal = on_fatal };
	struct store_status st;
	struct command *tenant = command(COMMAND_OPS);
	struct err err;

	ck_assert_msg(store_open(&c, &api.config.store, &err) == OK, "%s", err.text);
	for (store_status(api.config.store, &st); !st.is_ready;
	     store_status(api.config.store, &st))
		pause_ms(2);
	op_of(tenant, OP_OBJECT_PUT, KIND_TENANT, "", "acme");
	submit(tenant);
}

/* ---- the loop, which the test turns ---- */

static bool has_stopped;

static void on_wake(struct follower *f, uint64_t rev)
{
	watching_wake(at.watching);
	if (at.objects)
		kube_watches_wake(at.objects);
}

static void on_stopped(struct follower *f)
{
	has_stopped = true;
}

static void on_turn(struct turn *turn)
{
	view_idle(at.view);
}

void lab_setup(void)
{
	struct err err;

	ck_assert_int_eq(kinds_load(&err), OK);
	arena = arena_new(0);
	snprintf(dir, sizeof(dir), "/tmp/conflux-watcher-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	api = (struct api){ .config.heartbeat_ms = HEARTBEAT_MS,
			    .watches = crowd_new(WATCHES_MAX) };
	open_store();
	at = (struct api_loop){ .api = &api, .loop = loop_new("test", 0) };
	ck_assert_int_eq(view_new(api.config.store, &at.view, &err), OK);
	at.watching = watching_new(&at);
	at.turn.run = on_turn;
	loop_on_turn(at.loop, &at.turn);
	at.follower.home = at.loop;
	at.follower.wake = on_wake;
	store_follow(api.config.store, &at.follower);
}

void lab_teardown(void)
{
	pid_t pid;

	has_stopped = false;
	store_unfollow(api.config.store, &at.follower, on_stopped);
	TURN_UNTIL(has_stopped);
	view_free(&at.view);
	loop_free(&at.loop);
	watching_free(&at.watching);
	store_close(&api.config.store);
	ck_assert_uint_eq(crowd_count(api.watches), 0);
	crowd_free(&api.watches);
	arena_free(&arena);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}
