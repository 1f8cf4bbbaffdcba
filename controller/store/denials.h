/*
 * Requests that were denied, counted by who and why until they are written to
 * the audit log: at most a command a minute, at most so many lines, so that
 * nobody fills the log from outside.  Any thread.
 */
#ifndef STORE_DENIALS_H
#define STORE_DENIALS_H

#include "base/arena.h"
#include "state/command.h"

#define DENIALS_MAX 64                   /* lines a minute; the rest is one */
#define DENIALS_MS 60000

struct denials;

struct denials *denials_new(void);
void denials_free(struct denials **denials);
/* 'who' is a subject, or where an unknown one comes from; 'why' what it wanted.
 * Both are cut after 200 bytes. */
void denials_add(struct denials *denials, struct str who, struct str why);
/* Takes what was counted as operations OP_DENIED of 'cmd', strings in 'arena'.
 * False: nothing to write, or the last time is not a minute ago. */
bool denials_take(struct denials *denials, uint64_t now_ms, struct arena *arena,
		  struct command *cmd);

#endif
