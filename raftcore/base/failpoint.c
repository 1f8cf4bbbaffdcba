/*
 * Failpoints.  Each is one counter of passes and one word that says what
 * happens at which passes, both atomic, so that any thread may pass and any
 * may set.
 */
#include "base/failpoint.h"

#include "base/banned.h"

static const char *const names[FP__COUNT] = {
#define FAILPOINT_ROW(ident, name, text) [FP_##ident] = name,
#include "base/failpoints.tbl"
#undef FAILPOINT_ROW
};

const char *failpoint_name(enum failpoint fp)
{
	must(fp < FP__COUNT);
	return names[fp];
}

#ifdef CONFLUX_FAILPOINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

enum action { ACT_NONE, ACT_ERROR, ACT_FULL, ACT_CRASH, ACT_STOP };

/* action in the top 4 bits, then the first and the last pass it is for. */
#define PASS_BITS 30
#define PASS_MAX ((1u << PASS_BITS) - 1)
#define PLAN(action, first, last)                                              \
	((uint64_t)(action) << 2 * PASS_BITS | (uint64_t)(first) << PASS_BITS | \
	 (uint64_t)(last))

static _Atomic uint64_t passes[FP__COUNT];
static _Atomic uint64_t plans[FP__COUNT];
static pthread_once_t env_once = PTHREAD_ONCE_INIT;

/* Set before other threads run. */
static failpoint_hook *hook;
static void *hook_data;

static enum failpoint find(struct str name)
{
	unsigned i;

	for (i = 0; i < FP__COUNT; i++)
		if (str_eq(name, str_of(names[i])))
			break;
	return (enum failpoint)i;
}

static bool action_of(struct str s, enum action *out)
{
	if (str_is(s, "error"))
		*out = ACT_ERROR;
	else if (str_is(s, "full"))
		*out = ACT_FULL;
	else if (str_is(s, "crash"))
		*out = ACT_CRASH;
	else if (str_is(s, "stop"))
		*out = ACT_STOP;
	else if (str_is(s, "off"))
		*out = ACT_NONE;
	else
		return false;
	return true;
}

/* A number behind 'mark' at the end of '*s', cut off; 'dflt' without one. */
static bool cut_number(struct str *s, char mark, uint64_t dflt, uint64_t *out)
{
	size_t at = str_find(*s, mark);

	*out = dflt;
	if (at == SIZE_MAX)
		return true;
	if (!str_u64(str_from(*s, at + 1), out) || *out == 0 || *out > PASS_MAX)
		return false;
	*s = str_first(*s, at);
	return true;
}

/* "crash", "crash@5", "error*3", "error@2*3" */
static bool set_plan(enum failpoint fp, struct str what)
{
	uint64_t first, times, done = atomic_load(&passes[fp]);
	enum action action;

	if (!cut_number(&what, '*', PASS_MAX, &times) ||
	    !cut_number(&what, '@', 1, &first) || !action_of(what, &action))
		return false;
	first = MIN(done + first, (uint64_t)PASS_MAX);
	atomic_store(&plans[fp],
		     PLAN(action, first,
			  MIN(first + times - 1, (uint64_t)PASS_MAX)));
	return true;
}

static enum code set_one(struct str item, struct err *err)
{
	struct str what = item, name = str_cut(&what, '=');
	enum failpoint fp = find(name);

	if (fp == FP__COUNT)
		return err_set(err, E_USAGE, "no failpoint is named \"%.*s\"",
			       STR_ARG(name));
	if (!set_plan(fp, what))
		return err_set(err, E_USAGE, "failpoint %s: \"%.*s\" is no action",
			       names[fp], STR_ARG(what));
	return OK;
}

static enum code set_all(const char *spec, struct err *err)
{
	struct str rest = str_of(spec);

	while (rest.n) {
		struct str item = str_trim(str_cut(&rest, ','));
		enum code rc = item.n ? set_one(item, err) : OK;

		if (rc)
			return rc;
	}
	return OK;
}

/* A test that misspells its failpoint must not pass. */
static void read_env(void)
{
	const char *spec = getenv("CONFLUX_FAILPOINTS");
	struct err err = { 0 };

	if (!spec || set_all(spec, &err) == OK)
		return;
	dprintf(STDERR_FILENO, "CONFLUX_FAILPOINTS: %s\n", err.text);
	abort();
}

enum code failpoint_set(const char *spec, struct err *err)
{
	/* First, so that the environment does not undo it later. */
	pthread_once(&env_once, read_env);
	return set_all(spec, err);
}

void failpoint_set_hook(failpoint_hook *run, void *data)
{
	hook = run;
	hook_data = data;
}

void failpoint_nth(enum failpoint fp, uint64_t n, enum code code)
{
	uint64_t at = atomic_load(&passes[fp]) + n;

	must(code == E_IO || code == E_FULL);
	pthread_once(&env_once, read_env);
	must(at <= PASS_MAX);
	atomic_store(&plans[fp],
		     n ? PLAN(code == E_IO ? ACT_ERROR : ACT_FULL, at, at) : 0);
}

uint64_t failpoint_passes(enum failpoint fp)
{
	must(fp < FP__COUNT);
	return atomic_load(&passes[fp]);
}

static enum code fail(enum failpoint fp, enum code code, struct err *err)
{
	return err_set(err, code, "failpoint %s", names[fp]);
}

enum code failpoint_hit(enum failpoint fp, struct err *err)
{
	uint64_t pass, plan;

	must(fp < FP__COUNT);
	pthread_once(&env_once, read_env);
	pass = atomic_fetch_add(&passes[fp], 1) + 1;
	if (hook) {
		enum code rc = hook(hook_data, fp);

		return rc ? fail(fp, rc, err) : OK;
	}
	plan = atomic_load(&plans[fp]);
	if (pass < (plan >> PASS_BITS & PASS_MAX) || pass > (plan & PASS_MAX))
		return OK;
	switch ((enum action)(plan >> 2 * PASS_BITS)) {
	case ACT_ERROR:
		return fail(fp, E_IO, err);
	case ACT_FULL:
		return fail(fp, E_FULL, err);
	case ACT_CRASH:
		kill(getpid(), SIGKILL);
		return OK;
	case ACT_STOP:
		kill(getpid(), SIGSTOP);
		return OK;
	case ACT_NONE:
		break;
	}
	return OK;
}

#endif
