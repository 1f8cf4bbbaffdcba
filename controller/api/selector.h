/*
 * Label and field selectors as Kubernetes writes them:
 *
 *	a=b, a==b, a!=b, a in (b, c), a notin (b, c), a, !a
 *
 * joined by commas; all terms must hold.  A field selector has the first three
 * alone.  Strings borrow from the text that was parsed.  Pure; any thread.
 */
#ifndef API_SELECTOR_H
#define API_SELECTOR_H

#include "doc/value.h"

#define SELECTOR_TERMS_MAX 100

enum selector_op {
	SELECT_IN,                       /* one of the values */
	SELECT_NOT_IN,                   /* none of them, or absent */
	SELECT_EXISTS,
	SELECT_ABSENT,
};

struct selector_term {
	struct str key;
	enum selector_op op;
	struct str *values;
	size_t n, cap;
};

struct query_selector {
	struct selector_term *terms;
	size_t n, cap;
};

/* An empty text selects everything.  E_INVALID names what is not understood. */
enum code label_selector_parse(struct str text, struct arena *arena,
			       struct query_selector *out, struct err *err) MUST_USE;
enum code field_selector_parse(struct str text, struct arena *arena,
			       struct query_selector *out, struct err *err) MUST_USE;
/* 'labels' is an object of strings, or NULL. */
bool label_selector_matches(const struct query_selector *s,
			    const struct value *labels);
/* A field that is not there is as an empty one. */
bool field_selector_matches(const struct query_selector *s, const struct value *object,
			    struct arena *arena);

#endif
