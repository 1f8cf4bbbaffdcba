/*
 * libconflux in an event loop of the program's own: no thread, no callback from
 * elsewhere.  The loop here is poll(2) with a timer of a second; any other works the
 * same way: one descriptor, one timeout, one call.
 *
 *	cc sdk_loop.c $(pkg-config --cflags --libs conflux) -o sdk_loop
 *	./sdk_loop http://127.0.0.1:8080 $CONFLUX_TOKEN acme shop production \
 *		features.json 10
 *
 * The last argument is how many seconds it runs.  With a folder as the only argument
 * it starts without any server, from defaults, and runs three turns.
 */
#include <conflux.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Inside of cfx_dispatch, so in this thread. */
static void on_change(void *data, const struct cfx_change *change)
{
	printf("version %" PRIu64 " of %s\n", change->version, change->config);
	fflush(stdout);
}

/* Waits for what comes first: the library's, or the program's own time. */
static void turn(struct cfx *cfx, int64_t own_ms)
{
	struct pollfd fds[] = { { cfx_fd(cfx), POLLIN, 0 } };
	int ms = cfx_timeout_ms(cfx);

	if (ms < 0 || ms > own_ms)
		ms = (int)own_ms;
	poll(fds, 1, ms);
	cfx_dispatch(cfx);
}

int main(int argc, char **argv)
{
	struct cfx_options options = CFX_OPTIONS_INIT;
	struct cfx_error error;
	bool is_offline = argc == 2;
	int64_t end;
	struct cfx *cfx;

	if (!is_offline && argc != 8) {
		fprintf(stderr, "usage: sdk_loop ENDPOINTS TOKEN TENANT "
			"APPLICATION ENVIRONMENT CONFIG SECONDS\n");
		return 2;
	}
	options.endpoints = is_offline ? "http://127.0.0.1:1" : argv[1];
	options.token = is_offline ? NULL : argv[2];
	options.tenant = is_offline ? "acme" : argv[3];
	options.application = is_offline ? "shop" : argv[4];
	options.environment = is_offline ? "prod" : argv[5];
	options.configs = is_offline ? "main.json" : argv[6];
	options.mode = CFX_MODE_LOOP;
	options.boot = CFX_BOOT_AT_ONCE;
	options.retry_max_ms = 1000;
	if (cfx_open(&options, &cfx, &error) ||
	    (error.code = cfx_on_change(cfx, NULL, "", on_change, NULL, NULL))) {
		fprintf(stderr, "sdk_loop: %s\n", error.text);
		return 1;
	}
	end = now_ms() + (is_offline ? 300 : 1000 * atoll(argv[7]));
	while (now_ms() < end)
		turn(cfx, is_offline ? 100 : 1000);
	printf("n is %" PRId64 "\n", cfx_get_i64(cfx, options.configs, "n", -1));
	cfx_close(cfx);
	return 0;
}
