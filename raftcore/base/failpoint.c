/* Failpoints of test builds: see failpoint.h. */
#include "base/failpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

#include "base/banned.h"

static const char *const names[FP__COUNT] = {
#define FAILPOINT_ROW(ident, name, text) [FP_##ident] = name,
#include "base/failpoints.tbl"
#undef FAILPOINT_ROW
};

const char *failpoint_name(enum failpoint fp)
{
	return fp < FP__COUNT ? names[fp] : "unknown";
}

#ifdef CONFLUX_FAILPOINTS

static struct {
	enum { FAIL_NOTHING, FAIL_ERROR, FAIL_CRASH } what;
	uint64_t at, times;          /* first pass that fails (from 1), how many */
	uint64_t passes;
} points[FP__COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static failpoint_hook *hook_cb;
static void *hook_data;

static enum code set_one(struct str item, struct err *err)
{
	struct str rest = item, name = str_cut(&rest, '=');
	struct str what = rest, count = STR_NONE;
	uint64_t n = 1;
	size_t fp = 0;
	size_t mark = str_find(what, '@');
	bool at = mark != SIZE_MAX;

	if (!at)
		mark = str_find(what, '*');
	if (mark != SIZE_MAX) {
		count = str_from(what, mark + 1);
		what = str_first(what, mark);
		if (!str_u64(count, &n) || n == 0)
			return err_set(err, E_INVALID, "failpoint %.*s: bad number",
				       STR_ARG(item));
	}
	while (fp < FP__COUNT && !str_eq(name, str_of(names[fp])))
		fp++;
	if (fp == FP__COUNT)
		return err_set(err, E_NOT_FOUND, "no failpoint %.*s",
			       STR_ARG(name));
	points[fp].at = points[fp].passes + (at ? n : 1);
	points[fp].times = at ? 1 : n;
	if (str_is(what, "crash"))
		points[fp].what = FAIL_CRASH;
	else if (str_is(what, "error"))
		points[fp].what = FAIL_ERROR;
	else if (str_is(what, "off"))
		points[fp].what = FAIL_NOTHING;
	else
		return err_set(err, E_INVALID, "failpoint %.*s: crash, error or off",
			       STR_ARG(item));
	return OK;
}

enum code failpoint_set(const char *spec, struct err *err)
{
	struct str rest = str_of(spec);
	enum code rc = OK;

	pthread_mutex_lock(&lock);
	while (rest.n && rc == OK)
		rc = set_one(str_cut(&rest, ','), err);
	pthread_mutex_unlock(&lock);
	return rc;
}

static void read_environment(void)
{
	const char *spec = getenv("CONFLUX_FAILPOINTS");
	struct err err;

	must(!spec || failpoint_set(spec, &err) == OK);
}

void failpoint_set_hook(failpoint_hook *hook, void *data)
{
	hook_cb = hook;
	hook_data = data;
}

uint64_t failpoint_passes(enum failpoint fp)
{
	return points[fp].passes;
}

static int due(enum failpoint fp)
{
	uint64_t pass;
	int what;

	pthread_mutex_lock(&lock);
	pass = ++points[fp].passes;
	what = points[fp].what;
	if (pass < points[fp].at || pass >= points[fp].at + points[fp].times)
		what = FAIL_NOTHING;
	pthread_mutex_unlock(&lock);
	return what;
}

enum code failpoint_hit(enum failpoint fp, struct err *err)
{
	int what;

	pthread_once(&once, read_environment);
	what = due(fp);
	if (what == FAIL_CRASH)
		kill(getpid(), SIGKILL);
	if (what == FAIL_ERROR)
		return err_set(err, E_IO, "failpoint %s", names[fp]);
	if (hook_cb) {
		enum code rc = hook_cb(hook_data, fp);

		if (rc)
			return err_set(err, rc, "failpoint %s", names[fp]);
	}
	return OK;
}

#endif
