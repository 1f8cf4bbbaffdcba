/*
 * Errors: one code from errors.tbl plus text in the caller's storage.
 *
 * Functions that can fail return `enum code` (OK is 0) and fill a
 * caller-owned `struct err`, so reporting never allocates.  An error is
 * wrapped on the way up with the noun in hand: the text then reads from the
 * outside in ("source acme/shop: fetch: connection refused").  A hint tells
 * the operator what to do.  Text that does not fit is cut and ends in "...".
 *
 * `err` may be NULL everywhere; err_wrap and err_hint then answer the code that
 * err_set or err_sys gave last on this thread.  Any thread.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/must.h"

enum code {
	OK = 0,
#define ERR(name, num, http, grpc, cli, slug, text) name = num,
#include "base/errors.tbl"
#undef ERR
	CODE__MAX
};

struct err {
	enum code code;
	char text[400];
	char hint[200];
};

/* What the table says of a code; unknown numbers answer as E_INTERNAL. */
int code_http(enum code code);
int code_grpc(enum code code);
int code_exit(enum code code);
const char *code_slug(enum code code);
const char *code_text(enum code code);
const char *code_name(enum code code);
/* True where 'n' is a number of the table (or OK). */
bool code_is_known(unsigned n);
/* A number that another program wrote; E_INTERNAL where it is not of the table. */
enum code code_from_number(uint64_t number);

/* Sets code and text, clears the hint; returns 'code'. */
enum code err_set(struct err *err, enum code code, const char *fmt, ...)
	PRINTF(3, 4);
/* Puts "<formatted>: " before the text; returns the code that was there. */
enum code err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);
/* Sets the hint; returns the code that was there. */
enum code err_hint(struct err *err, const char *fmt, ...) PRINTF(2, 3);
/* As err_set with E_IO or what 'errnum' maps to (ENOENT -> E_NOT_FOUND,
 * ENOSPC -> E_FULL, EACCES -> E_DENIED, ...), followed by strerror text. */
enum code err_sys(struct err *err, int errnum, const char *fmt, ...)
	PRINTF(3, 4);
void err_reset(struct err *err);
void err_copy(struct err *to, const struct err *from);

#endif
