/*
 * confluxd: one node of Conflux.  Reads settings, starts the daemon, waits for
 * signals: SIGTERM and SIGINT drain and end it, SIGHUP reads certificates, the
 * signing key and log level again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/notify.h"
#include "source/source.h"
#include "tbl/settings.h"

#include "base/banned.h"

#define PART "confluxd"
#define ROOM_MS 1000u                    /* until a start is tried again */

static int fail(const struct err *err)
{
	fprintf(stderr, "confluxd: %s\n", err->text);
	if (err->hint[0])
		fprintf(stderr, "  hint: %s\n", err->hint);
	return code_exit(err->code);
}

static int print(const struct buf *b)
{
	return fwrite(b->p, 1, b->n, stdout) == b->n && fflush(stdout) == 0 ?
		EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_help(void)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out,
	      "confluxd - a node of Conflux: configuration from Git, released "
	      "safely\n\n"
	      "  confluxd --data-dir DIR [--listen ADDR:PORT] [flags]\n\n"
	      "The root token is in DIR/root.token after the first start.\n"
	      "Each flag is also a line of the file that --config names, and a\n"
	      "variable CONFLUX_SECTION_NAME; docs/settings.md has them all.\n\n"
	      "  --config FILE     settings in YAML (CONFLUX_CONFIG)\n"
	      "  --check-config    checks the settings, prints them, and ends\n"
	      "  --help, --version\n\n");
	settings_help(&out);
	return print(&out);
}

static int check(const struct settings *settings)
{
	AUTO_BUF out = BUF_NONE;
	struct err err;

	if (daemon_check(settings, &err))
		return fail(&err);
	settings_print(settings, &out);
	return print(&out);
}

/* ---- running ---- */

static void reload(struct daemon *daemon, int argc, char **argv)
{
	struct settings *fresh = settings_new();
	struct err err;
	enum code rc;

	notify("RELOADING=1");
	rc = settings_load(fresh, argc, argv, environ, &err);
	if (rc == OK)
		rc = daemon_reload(daemon, fresh, &err);
	if (rc)
		log_error(PART, LOG_KV(log_z("hint", err.hint)),
			  "reload: %s; what was in force stays", err.text);
	else
		log_info(PART, LOG_NO_KV, "certificates, the token of sources and "
			 "the log level are read again");
	settings_free(&fresh);
	notify("READY=1");
}

static bool is_end(int got)
{
	return got == SIGTERM || got == SIGINT;
}

/* The signal that came before: one that ends it, or SIGHUP where 'hups'; or 0. */
static int sleep_ms(uint64_t ms, const sigset_t *wanted, bool hups)
{
	uint64_t until = clock_mono_ms() + ms;

	for (;;) {
		uint64_t now = clock_mono_ms();
		uint64_t left = until > now ? until - now : 0;
		const struct timespec wait = {
			.tv_sec = (time_t)(left / 1000),
			.tv_nsec = (long)(left % 1000) * 1000000,
		};
		int got;

		if (left == 0)
			return 0;
		got = sigtimedwait(wanted, NULL, &wait);
		if (is_end(got) || (hups && got == SIGHUP))
			return got;
	}
}

/*
 * On a full disk a node cannot begin: each start makes a segment of the log, and
 * marks its store.  Nothing is lost, so it is tried again until there is room; who
 * supervises is told that it takes longer.  E_CANCELLED: a signal came before.
 */
static enum code start(const struct settings *settings, const sigset_t *wanted,
		       struct daemon **daemon, struct err *err)
{
	bool was_full = false;
	enum code rc;
	int got;

	for (;;) {
		rc = daemon_start(settings, daemon, err);
		if (rc != E_FULL)
			break;
		if (!was_full)
			log_error(PART, LOG_KV(log_z("error", err->text),
					       log_z("hint", err->hint)),
				  "there is no room to start: it is tried again "
				  "until there is");
		was_full = true;
		notify("EXTEND_TIMEOUT_USEC=60000000\n"
		       "STATUS=the disk is full: waits for room");
		got = sleep_ms(ROOM_MS, wanted, true);
		if (is_end(got))
			return err_set(err, E_CANCELLED, "a signal came before "
				       "there was room");
		if (got == SIGHUP)
			log_info(PART, LOG_NO_KV, "reload: it has not started: each "
				 "try reads certificates and keys anew");
	}
	if (was_full && rc == OK)
		log_info(PART, LOG_NO_KV, "there is room again");
	if (rc == OK)
		notify("READY=1\nSTATUS=");
	return rc;
}

/* Its data directory was restored. */
static enum code restart(const struct settings *settings, const sigset_t *wanted,
			 struct daemon **daemon, struct err *err)
{
	notify("RELOADING=1");
	daemon_stop(daemon);
	return start(settings, wanted, daemon, err);
}

/* What it ends with where it did not start. */
static int not_started(const struct err *err)
{
	if (err->code != E_CANCELLED)
		return fail(err);
	log_info(PART, LOG_NO_KV, "stopped: %s", err->text);
	return EXIT_SUCCESS;
}

/* Serves on while whoever sends clients here learns of it; a second signal ends
 * that. */
static void leave(const struct settings *settings, struct daemon *daemon,
		  const sigset_t *wanted)
{
	daemon_leave(daemon);
	(void)!sleep_ms(settings_u64(settings, SETTING_server_drain_delay), wanted,
			false);
}

static int run(const struct settings *settings, int argc, char **argv)
{
	struct daemon *daemon;
	struct err err;
	sigset_t wanted;
	int got;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGHUP);
	sigaddset(&wanted, DAEMON_SIGNAL);
	/* Threads inherit the mask: signals wait for this thread alone. */
	pthread_sigmask(SIG_BLOCK, &wanted, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);        /* it is an error of who writes */
	log_setup((enum log_level)settings_word(settings, SETTING_log_level),
		  (enum log_format)settings_word(settings, SETTING_log_format));
	if (start(settings, &wanted, &daemon, &err))
		return not_started(&err);
	for (;;) {
		got = sigwaitinfo(&wanted, NULL);
		if (got == SIGHUP)
			reload(daemon, argc, argv);
		else if (got == DAEMON_SIGNAL && !daemon_wants_restart(daemon))
			continue;
		else if (got == DAEMON_SIGNAL) {
			if (restart(settings, &wanted, &daemon, &err))
				return not_started(&err);
		} else if (got > 0) {
			break;
		}
	}
	log_info(PART, LOG_KV(log_z("signal", strsignal(got))), "draining");
	notify("STOPPING=1");
	leave(settings, daemon, &wanted);
	daemon_stop(&daemon);
	log_info(PART, LOG_NO_KV, "stopped");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct settings *settings;
	struct err err;
	int status;

	if (argc > 1 && strcmp(argv[1], SOURCE_FETCH_ARG) == 0)
		return source_fetch_child_main(argc, argv);
	settings = settings_new();
	if (settings_load(settings, argc, argv, environ, &err)) {
		settings_free(&settings);
		return fail(&err);
	}
	switch (settings_asked(settings)) {
	case SETTINGS_HELP:
		status = print_help();
		break;
	case SETTINGS_VERSION:
		status = printf("confluxd " DAEMON_VERSION "\n") > 0 ?
			EXIT_SUCCESS : EXIT_FAILURE;
		break;
	case SETTINGS_CHECK:
		status = check(settings);
		break;
	case SETTINGS_RUN:
	default:
		status = run(settings, argc, argv);
	}
	settings_free(&settings);
	return status;
}
