/* See nodes.h. */
#include "nodes.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

#include "base/banned.h"

static char folder[64];
struct store *store;
struct arena *arena;
struct err err;
bool made;

const char *dir_of(const char *node)
{
	return arena_printf(arena, "%s/%s", folder, node).p;
}

void nodes_setup(void)
{
	struct store_config c = { .map_bytes = 1ull << 30, .hold_ms = 20000 };

	arena = arena_new(0);
	ck_assert_int_eq(kinds_load(&err), OK);
	snprintf(folder, sizeof(folder), "/tmp/conflux-auth-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	c.dir = dir_of("a");
	ck_assert_msg(store_open(&c, &store, &err) == OK, "%s", err.text);
	ck_assert_int_eq(mkdir(dir_of("b"), 0700), 0);
}

void nodes_teardown(void)
{
	pid_t pid;

	store_close(&store);
	arena_free(&arena);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

enum code ensure(const char *node)
{
	uint64_t until = clock_mono_ms() + 20000;
	enum code rc;

	do
		rc = root_token_ensure(store, dir_of(node), &made, &err);
	while ((rc == E_BUSY || rc == E_UNAVAILABLE) && clock_mono_ms() < until);
	return rc;
}
