/*
 * What is different between two contents, for people: values of structured formats by
 * path, text by line, and what looks like a secret shown as changed and not as it is.
 *
 *	changed   server.timeout         "10s" -> "30s"
 *	removed   users[name=ann].role   "admin"
 *	added     zones[2]               "eu"
 *	reordered filters                [a, b] -> [b, a]
 *
 * Elements of arrays are matched by a member that identifies them (name, id, key, ...:
 * each has it, a text or number, and no two have the same), else by what they are, with
 * the fewest edits; what stands between two that stayed is paired in order.  A number
 * that is spelled otherwise is no difference.
 *
 * The order is that of the earlier document, with what was added behind.  Changes are
 * the fewest up to DIFF_EDITS_MAX edits of one array or text; beyond, the part of it
 * between what begins and ends alike is shown as replaced.
 *
 * A secret is what has a name that says so anywhere in its path (password, token, api
 * key, ...: diff_is_secret), a private key in PEM, or the user's part of a URL with a
 * password.  Secrets that are equal are no difference, and that they differ is all
 * that is told of others.
 *
 * Pure; any thread.
 */
#ifndef MODEL_DIFF_H
#define MODEL_DIFF_H

#include "doc/value.h"

#define DIFF_EDITS_MAX 1000u
/* Of one document; more are counted. */
#define DIFF_CHANGES_MAX 1000u

enum diff_kind { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED, DIFF_REORDERED, DIFF__KINDS };
const char *diff_kind_name(enum diff_kind kind);

struct diff_change {
	enum diff_kind kind;
	struct str path;                 /* "a.b[2]"; empty: all of it */
	/* NULL where there is none; of REORDERED what identifies the elements. */
	const struct value *before, *after;
	bool is_secret;                  /* by its path */
};

struct diff {
	struct diff_change *c;
	size_t n, cap;
	size_t more;                     /* beyond DIFF_CHANGES_MAX */
};

/* Borrows from both, which may be NULL; the rest is in 'arena'. */
void diff_values(struct arena *arena, const struct value *before,
		 const struct value *after, struct diff *out);
/* [{"change":"changed","path":"a.b","before":1,"after":2,"masked":true}] */
void diff_json(struct buf *out, const struct diff *diff);
/* "unified", with three lines of context; nothing where they are equal. */
void diff_lines(struct buf *out, struct str before, struct str after);

/* Does a member of that name hold a secret? */
bool diff_is_secret(struct str name);

#endif
