/*
 * Follows a configuration with libconflux, on a thread of the library's own: says
 * what a value is, and again whenever it has become another one.
 *
 *	cc sdk_follow.c $(pkg-config --cflags --libs conflux) -o sdk_follow
 *	./sdk_follow endpoints=http://127.0.0.1:8080 token=$CONFLUX_TOKEN \
 *		at=acme/shop/production config=features.json path=search.max_results
 *
 * More: labels=region=eu instance=web-1 boot=fast|safe|once ca=FILE cert=FILE
 * key=FILE public_key=FILE snapshot=FILE snapshot_key=FILE token_file=FILE
 * timeout=MS, and reject=TEXT: a version whose content has this text in it is
 * rejected by the program's validator.
 *
 * Lines on standard input are commands: `get`, `status`, `quit`.  With a folder as the
 * only argument it starts without any server, from defaults.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE                  /* memmem */
#endif
#include <conflux.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct follower {
	const char *config, *path, *reject;
};

static void say_value(const struct cfx_view *view, const struct follower *f,
		      const char *what)
{
	struct cfx_info info = { 0 };
	size_t n;
	const char *text = cfx_view_string(view, f->config, f->path, "(none)", &n);

	cfx_view_info(view, f->config, &info);
	printf("%s %.*s version=%" PRIu64 "%s\n", what, (int)n, text,
	       info.version, info.is_from_snapshot ? " snapshot" : "");
	fflush(stdout);
}

/* On the library's thread. */
static void on_change(void *data, const struct cfx_change *change)
{
	say_value(change->after, data, "change");
}

static bool is_fine(void *data, const struct cfx_candidate *candidate,
		    char *reason, size_t size)
{
	const struct follower *f = data;
	size_t n;
	const char *text = cfx_view_string(candidate->view, candidate->config, "",
					   "", &n);

	if (!f->reject || !memmem(text, n, f->reject, strlen(f->reject)))
		return true;
	snprintf(reason, size, "it has \"%s\" in it", f->reject);
	return false;
}

static void say_log(void *data, enum cfx_level level, const char *text)
{
	if (level != CFX_LOG_DEBUG)
		fprintf(stderr, "%s\n", text);
}

static void say_now(struct cfx *cfx, const struct follower *f, const char *what)
{
	struct cfx_view *view = cfx_view(cfx);

	say_value(view, f, what);
	cfx_view_free(view);
}

static void say_status(struct cfx *cfx)
{
	struct cfx_status s = { .size = sizeof(s) };

	cfx_status(cfx, &s);
	printf("status connected=%d complete=%d snapshot=%d endpoint=%s "
	       "revision=%" PRIu64 " acknowledged=%" PRIu64 " rejected=%" PRIu64
	       " last=%s\n", s.is_connected, s.is_complete, s.is_from_snapshot,
	       s.endpoint, s.revision, s.acknowledged, s.rejected,
	       cfx_code_name(s.last.code));
	fflush(stdout);
}

static const char *value_of(const char **argv, const char *name)
{
	const char *value = NULL;
	size_t n = strlen(name);

	for (; *argv; argv++)
		if (strncmp(*argv, name, n) == 0 && (*argv)[n] == '=')
			value = *argv + n + 1;
	return value;            /* the last wins */
}

/* "acme/shop/prod" */
static int split(char *at, struct cfx_options *o)
{
	char *rest = NULL;

	o->tenant = strtok_r(at, "/", &rest);
	o->application = strtok_r(NULL, "/", &rest);
	o->environment = strtok_r(NULL, "/", &rest);
	return o->environment ? 0 : -1;
}

static int fill(const char **argv, struct cfx_options *o, struct follower *f, char *at)
{
	const char *boot = value_of(argv, "boot");
	const char *timeout = value_of(argv, "timeout");

	if (split(at, o))
		return -1;
	f->config = value_of(argv, "config");
	f->path = value_of(argv, "path");
	f->path = f->path ? f->path : "";
	f->reject = value_of(argv, "reject");
	o->endpoints = value_of(argv, "endpoints");
	o->configs = f->config;
	o->labels = value_of(argv, "labels");
	o->instance = value_of(argv, "instance");
	o->token = value_of(argv, "token");
	o->token_file = value_of(argv, "token_file");
	o->ca_file = value_of(argv, "ca");
	o->cert_file = value_of(argv, "cert");
	o->key_file = value_of(argv, "key");
	o->public_key_file = value_of(argv, "public_key");
	o->snapshot_file = value_of(argv, "snapshot");
	o->snapshot_key_file = value_of(argv, "snapshot_key");
	o->boot_timeout_ms = timeout ? (unsigned)atoi(timeout) : 0;
	o->boot = boot && strcmp(boot, "safe") == 0 ? CFX_BOOT_FAIL_SAFE :
		  boot && strcmp(boot, "once") == 0 ? CFX_BOOT_AT_ONCE :
						      CFX_BOOT_FAIL_FAST;
	o->validator = is_fine;
	o->validator_data = f;
	o->log = say_log;
	return 0;
}

int main(int argc, char **argv)
{
	static const char *offline[] = { "endpoints=http://127.0.0.1:1", "boot=safe",
				   "at=acme/shop/prod", "config=main.json",
				   "path=http.port", NULL };
	bool is_offline = argc == 2 && !strchr(argv[1], '=');
	const char **args = is_offline ? offline : (const char **)argv + 1;
	struct cfx_options options = CFX_OPTIONS_INIT;
	struct follower follower = { 0 };
	struct cfx_error error;
	const char *place = value_of(args, "at");
	char *at = place ? strdup(place) : NULL;
	struct cfx *cfx;
	char line[64];

	if (!at || fill(args, &options, &follower, at)) {
		fprintf(stderr, "usage: sdk_follow endpoints=URL,... "
			"at=TENANT/APPLICATION/ENVIRONMENT config=NAME ...\n");
		return 2;
	}
	if (cfx_open(&options, &cfx, &error)) {
		fprintf(stderr, "sdk_follow: %s: %s\n", cfx_code_name(error.code),
			error.text);
		free(at);
		return 1;
	}
	say_now(cfx, &follower, "open");
	if (cfx_on_change(cfx, follower.config, follower.path, on_change,
			  &follower, NULL))
		return 1;
	while (!is_offline && fgets(line, sizeof(line), stdin) &&
	       strcmp(line, "quit\n") != 0) {
		if (strcmp(line, "get\n") == 0)
			say_now(cfx, &follower, "get");
		else
			say_status(cfx);
	}
	cfx_close(cfx);
	free(at);
	return 0;
}
