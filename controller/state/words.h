/*
 * Commands of the log in words, for people (`conflux cluster log`): what is done, to
 * what, and for whom.  Nothing of them is secret: no content, spec or status, no digest
 * that a secret could be guessed by, nothing of a token but its name.  Decoding never
 * trusts its input.  One thread.
 */
#ifndef STATE_WORDS_H
#define STATE_WORDS_H

#include "base/buf.h"

/* Of one thing. */
struct words {
	struct buf text;                 /* one line; a terminal obeys none of it */
	struct buf json;                 /* members of an object, without braces */
};

void words_fini(struct words *w);
void words_reset(struct words *w);
/* As it may stand in a text: bytes that are no printable UTF-8 become \xNN. */
void words_plain(struct buf *out, struct str text);

/* Reads the commands of a log in their order.  It remembers the parts of staged
 * commands, up to WORDS_STAGED_MAX bytes of them. */
#define WORDS_STAGED_MAX (64u << 20)
struct words_reader;
struct words_reader *words_new(void);
void words_free(struct words_reader **reader);

/* What the next command of the log does, appended to 'out'.  'encoded' stays valid
 * until the one after it.  E_INVALID: malformed; E_UNSUPPORTED: of a newer program. */
enum code words_command(struct words_reader *reader, struct str encoded,
			struct words *out, struct err *err) MUST_USE;
/* The next operation of that command, or of the one that was staged in parts.
 * E_NOT_FOUND behind the last, which err is not set for; else as words_command. */
enum code words_operation(struct words_reader *reader, struct words *out,
			  struct err *err) MUST_USE;

#endif
