/*
 * The daemon: all parts of one node, made in order, ended in the opposite
 * order.
 *
 *	kinds -> store (core loop, raft loop, WAL thread) -> root token
 *	      -> reconciler (workers) -> api (HTTP loops)
 *
 * One thread: main's.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <signal.h>

#include "base/err.h"

#define DAEMON_VERSION "0.1.0"

struct settings;
struct daemon;

/*
 * Starts everything; when it returns the node serves.  Writes the address that
 * it listens on to <data_dir>/confluxd.listen, for scripts that asked for port
 * 0.  'settings' must outlive the daemon.  Blocking.
 *
 * Any error of a part, with the setting it comes from in the hint.
 */
enum code daemon_start(const struct settings *settings, struct daemon **out,
		       struct err *err) MUST_USE;
/* /readyz says no from now on, while everything is served still. */
void daemon_leave(struct daemon *daemon);
/* Drains: stops accepting, ends watches, waits for requests as long as
 * server.drain_timeout, then stops the parts.  Also for half-made ones. */
void daemon_stop(struct daemon **daemon);

/* It has sent DAEMON_SIGNAL to its own process: its data directory was restored,
 * and it is to be stopped and started again.  Any thread. */
#define DAEMON_SIGNAL SIGUSR1
bool daemon_wants_restart(const struct daemon *daemon);

/* SIGHUP: certificates (also those for other nodes) and log level.  The old ones stay on error. */
enum code daemon_reload(struct daemon *daemon, const struct settings *fresh,
			struct err *err) MUST_USE;

/* Looks at what the settings name, as --check-config does. */
enum code daemon_check(const struct settings *settings, struct err *err)
	MUST_USE;

#endif
