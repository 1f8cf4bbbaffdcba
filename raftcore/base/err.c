/* Errors and what the table says of them: see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct row {
	const char *name, *slug, *text;
	int http, grpc, exit;
};

static const struct row rows[CODE__MAX] = {
	[OK] = { "OK", "ok", "ok", 200, 0, 0 },
#define ERR(name, num, http, grpc, cli, slug, text) \
	[num] = { #name, slug, text, http, grpc, cli },
#include "base/errors.tbl"
#undef ERR
};

bool code_is_known(unsigned n)
{
	return n < CODE__MAX && rows[n].name;
}

static const struct row *row_of(enum code code)
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
	return row_of(code)->exit;
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

void err_reset(struct err *err)
{
	if (!err)
		return;
	err->code = OK;
	err->text[0] = err->hint[0] = '\0';
}

enum code err_set(struct err *err, enum code code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* Puts ": <more>" behind the text, as far as it fits. */
static void append(struct err *err, const char *more)
{
	size_t n = strlen(err->text);

	for (const char *p = ": "; *p && n + 1 < sizeof(err->text); p++)
		err->text[n++] = *p;
	for (; *more && n + 1 < sizeof(err->text); more++)
		err->text[n++] = *more;
	err->text[n] = '\0';
}

enum code err_wrap(struct err *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;

	if (!err)
		return E_INTERNAL;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	append(err, old);
	return err->code;
}

enum code err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return E_INTERNAL;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return err->code;
}

static enum code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return E_NOT_FOUND;
	case EACCES:
	case EPERM:
		return E_DENIED;
	case ENOSPC:
	case EDQUOT:
		return E_FULL;
	case EEXIST:
		return E_EXISTS;
	case ETIMEDOUT:
		return E_TIMEOUT;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return E_UNAVAILABLE;
	default:
		return E_IO;
	}
}

enum code err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	enum code code = code_of_errno(errnum);
	va_list ap;

	if (!err)
		return code;
	err_reset(err);
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	append(err, strerror(errnum));
	return code;
}

void err_copy(struct err *to, const struct err *from)
{
	if (to && to != from)
		*to = *from;
}
