/*
 * What the content of a configuration must be: small enough, readable in its
 * format, and without references ("{{ .Secrets.x }}", and whatever else stands
 * in double braces in one line), which this version does not resolve: taken as
 * they are now, they would mean something else later.  Every entrance asks this
 * one question.  Pure; any thread.
 */
#ifndef MODEL_CONTENT_H
#define MODEL_CONTENT_H

#include "doc/format.h"

#define CONTENT_BYTES_MAX (8 * 1024 * 1024)

/*
 * '*tree' (may be NULL) is the content as a value in 'arena', NULL for plain
 * text.  'limits' NULL: the default.
 *
 * E_TOO_LARGE; E_UNPROCESSABLE with line and reason.
 */
enum code content_check(enum format format, struct str content,
			struct arena *arena, const struct doc_limits *limits,
			struct value **tree, struct err *err) MUST_USE;

#endif
