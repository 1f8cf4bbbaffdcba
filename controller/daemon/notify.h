/*
 * Tells the service manager how the daemon stands (sd_notify(3): a datagram to
 * the socket that NOTIFY_SOCKET names).  Nothing happens without one.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1", "RELOADING=1". */
void notify(const char *state);

#endif
