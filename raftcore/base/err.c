/*
 * Errors in the caller's storage.  Nothing here allocates or can fail: text
 * that does not fit is cut and ends in "...".
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const struct code_row {
	const char *name, *slug, *text;
	int http, grpc, cli;
} rows[CODE__MAX] = {
	[OK] = { "OK", "ok", "done", 200, 0, 0 },
#define ERR(name, num, http, grpc, cli, slug, text) \
	[num] = { #name, slug, text, http, grpc, cli },
#include "base/errors.tbl"
#undef ERR
};

/*
 * What the last failing call of this thread answered, so that a wrap without
 * storage (err == NULL) still passes the right code on.
 */
static _Thread_local enum code last_code = E_INTERNAL;

bool code_is_known(unsigned n)
{
	return n < CODE__MAX && rows[n].name;
}

enum code code_from_number(uint64_t number)
{
	if (number >= CODE__MAX || !code_is_known((unsigned)number))
		return E_INTERNAL;
	return (enum code)number;
}

static const struct code_row *row_of(enum code code)
{
	return &rows[code_is_known((unsigned)code) ? code : E_INTERNAL];
}

int code_http(enum code code)
{
	return row_of(code)->http;
}

int code_grpc(enum code code)
{
	return row_of(code)->grpc;
}

int code_exit(enum code code)
{
	return row_of(code)->cli;
}

const char *code_slug(enum code code)
{
	return row_of(code)->slug;
}

const char *code_text(enum code code)
{
	return row_of(code)->text;
}

const char *code_name(enum code code)
{
	return row_of(code)->name;
}

/* Marks text that vsnprintf had to cut. */
static void mark_cut(char *text, size_t cap, int wanted)
{
	if (wanted < 0)
		text[0] = '\0';
	else if ((size_t)wanted >= cap)
		memcpy(text + cap - 4, "...", 4);
}

PRINTF(3, 0)
static void format(char *out, size_t cap, const char *fmt, va_list ap)
{
	mark_cut(out, cap, vsnprintf(out, cap, fmt, ap));
}

/*
 * All text is formatted aside first: an argument may well be the text or hint
 * of 'err' itself.
 */
static void set_text(struct err *err, const char *text, const char *tail)
{
	char whole[sizeof(err->text)];

	mark_cut(whole, sizeof(whole),
		 snprintf(whole, sizeof(whole), "%s%s%s", text,
			  tail[0] ? ": " : "", tail));
	memcpy(err->text, whole, sizeof(whole));
}

enum code err_set(struct err *err, enum code code, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;

	must(code != OK);
	last_code = code;
	if (!err)
		return code;
	va_start(ap, fmt);
	format(text, sizeof(text), fmt, ap);
	va_end(ap);
	err->code = code;
	set_text(err, text, "");
	err->hint[0] = '\0';
	return code;
}

/* A wrap says that something failed; without a code there, it is E_INTERNAL. */
static enum code code_there(struct err *err)
{
	if (!err)
		return last_code;
	if (err->code == OK)
		err->code = E_INTERNAL;
	return err->code;
}

enum code err_wrap(struct err *err, const char *fmt, ...)
{
	enum code code = code_there(err);
	char text[sizeof(err->text)];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	format(text, sizeof(text), fmt, ap);
	va_end(ap);
	set_text(err, text, err->text);
	return code;
}

enum code err_hint(struct err *err, const char *fmt, ...)
{
	enum code code = code_there(err);
	char hint[sizeof(err->hint)];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	format(hint, sizeof(hint), fmt, ap);
	va_end(ap);
	memcpy(err->hint, hint, sizeof(hint));
	return code;
}

static enum code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return E_NOT_FOUND;
	case EEXIST:
		return E_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return E_DENIED;
	case ENOSPC:
	case EDQUOT:
		return E_FULL;
	case EFBIG:
		return E_TOO_LARGE;
	case ETIMEDOUT:
		return E_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case EPIPE:
		return E_UNAVAILABLE;
	case EBUSY:
	case EADDRINUSE:
	case EMFILE:
	case ENFILE:
		return E_BUSY;
	case ECANCELED:
		return E_CANCELLED;
	case EOPNOTSUPP:
	case ENOSYS:
		return E_UNSUPPORTED;
	default:
		return E_IO;
	}
}

enum code err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	enum code code = code_of_errno(errnum);
	char text[sizeof(err->text)];
	char reason[128];
	va_list ap;

	last_code = code;
	if (!err)
		return code;
	va_start(ap, fmt);
	format(text, sizeof(text), fmt, ap);
	va_end(ap);
	err->code = code;
	set_text(err, text, strerror_r(errnum, reason, sizeof(reason)));
	err->hint[0] = '\0';
	return code;
}

void err_reset(struct err *err)
{
	if (!err)
		return;
	err->code = OK;
	err->text[0] = '\0';
	err->hint[0] = '\0';
}

void err_copy(struct err *to, const struct err *from)
{
	if (!to || to == from)
		return;
	if (from)
		*to = *from;
	else
		err_reset(to);
}
