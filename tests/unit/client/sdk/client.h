/*
 * What tests of a client against a server of the test share: a folder, options that
 * are quick, and turns of the loop until something is so.
 */
#ifndef TESTS_CLIENT_SDK_CLIENT_H
#define TESTS_CLIENT_SDK_CLIENT_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/must.h"
#include "client/sdk/conflux.h"
#include "server.h"
#include "unit.h"

#define JSON "application/json"

static char folder[256];

static inline const char *in_folder(const char *name)
{
	static char room[4][512];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(room[at], sizeof(room[at]), "%s/%s", folder, name);
	return room[at];
}

static inline void make_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/sdk-XXXXXX", tmp ? tmp : "/tmp");
	must(mkdtemp(folder));
}

static inline struct server *new_server(bool signs)
{
	struct server_config config = { .folder = folder, .signs = signs };
	struct server *s = server_new(&config);

	server_publish(s, "main.json", JSON, "{\"n\":1,\"s\":\"one\"}", true);
	return s;
}

/* Quick, so that tests are. */
static inline struct cfx_options options_of(const char *endpoints)
{
	return (struct cfx_options){
		.size = sizeof(struct cfx_options),
		.endpoints = endpoints,
		.tenant = "acme", .application = "shop", .environment = "prod",
		.configs = "main.json",
		.token = "secret",
		.mode = CFX_MODE_LOOP,
		.retry_min_ms = 10, .retry_max_ms = 50,
		.boot_timeout_ms = 5000,
	};
}

static inline struct cfx *open_with(const struct cfx_options *o)
{
	struct cfx_error error;
	struct cfx *cfx = NULL;

	ck_assert_msg(cfx_open(o, &cfx, &error) == CFX_OK, "%s", error.text);
	return cfx;
}

static inline void fails_with(const struct cfx_options *o, enum cfx_code code,
		       const char *text)
{
	struct cfx_error error;
	struct cfx *cfx = NULL;

	ck_assert_int_eq(cfx_open(o, &cfx, &error), code);
	ck_assert_int_eq(error.code, code);
	ck_assert_ptr_null(cfx);
	ck_assert_msg(strstr(error.text, text) != NULL, "%s", error.text);
}

static inline int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Runs the loop until it is so; false: not in thirty seconds. */
#define UNTIL(cfx, what) \
	({ \
		int64_t until_ = now_ms() + 30000; \
		while (!(what) && now_ms() < until_) \
			run_once(cfx); \
		ck_assert_msg(what, "%s", #what); \
	})

static inline void run_once(struct cfx *cfx)
{
	struct pollfd p = { cfx_fd(cfx), POLLIN, 0 };
	int ms = cfx_timeout_ms(cfx);

	poll(&p, 1, ms < 0 || ms > 100 ? 100 : ms);
	cfx_dispatch(cfx);
}

static inline int64_t n_of(struct cfx *cfx)
{
	return cfx_get_i64(cfx, "main.json", "n", -1);
}

static inline struct cfx_status status_of(struct cfx *cfx)
{
	struct cfx_status s = { .size = sizeof(s) };

	cfx_status(cfx, &s);
	return s;
}

#endif
