/*
 * Requests that were denied, counted by who and why until they are written to
 * the audit log: at most a command a minute, at most so many lines, so that
 * nobody fills the log from outside.  Any thread.
 */
#ifndef STORE_DENIALS_H
#define STORE_DENIALS_H

#include "base/arena.h"
#include "base/buf.h"
#include "state/command.h"

/* Lines a minute; the rest is one.  As many as an audit record names. */
#define DENIALS_MAX 19
#define DENIALS_MS 60000

struct denials;

struct denials *denials_new(void);
void denials_free(struct denials **denials);
/* 'who' is a subject, or where an unknown one comes from; 'why' what it wanted.
 * Both are cut after 200 bytes. */
void denials_add(struct denials *denials, struct str who, struct str why);
/* The network that 'host', a numeric address, counts with: its /24 (IPv4) or /48
 * (IPv6), so that who has many addresses has one line.  Loopback addresses, and
 * what is no address, stand for themselves. */
void denials_network(struct buf *out, const char *host);
/* Takes what was counted as operations OP_DENIED of 'cmd', strings in 'arena'.
 * False: nothing to write, or the last time is not a minute ago and this is not
 * the 'last' time. */
bool denials_take(struct denials *denials, uint64_t now_ms, bool last,
		  struct arena *arena, struct command *cmd);

#endif
