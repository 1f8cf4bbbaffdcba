/*
 * Flags in a configuration, as OpenFeature's remote evaluation protocol (OFREP)
 * tells them.
 *
 * The flags are the members of the configuration's root object; a name that
 * begins with '$' is none ("$schema").  Where the root has a member `flags` whose
 * members are all flags of flagd's form, these are the flags, so that a file that
 * was made for flagd serves as it is.
 *
 * A plain value (boolean, string, number, array, object) is a flag that has this
 * value.  An object with `variants` (an object) and `state` or `defaultVariant` is
 * a flag of flagd's form: its value is that of the default variant.  Who gets
 * which value is what the release rules of the configuration decide; a flag with
 * a `targeting` expression is answered with an error, because to leave it out
 * would give somebody another value than its author wrote down.
 *
 * Pure; one thread an object.
 */
#ifndef API_OFREP_FLAG_H
#define API_OFREP_FLAG_H

#include "doc/value.h"
#include "model/labels.h"

struct flag_set {
	const struct value *flags;       /* an object */
	const struct value *metadata;    /* of all of them, or NULL */
};

/* The flags of a parsed configuration; borrows.  E_PARSE: it is no object. */
enum code flag_set_of(const struct value *root, struct flag_set *out,
		      struct err *err) MUST_USE;
/* False: the root's member is no flag. */
bool flag_is_name(struct str name);
/* The flag 'key', or NULL.  "a.b" is the member "a.b", else "b" of the plain
 * object "a". */
const struct value *flag_find(const struct flag_set *set, struct str key);

/*
 * What a flag comes to.  'value' NULL and no 'error': whoever asks uses the
 * default of its own code (the flag is disabled, null, or without a default
 * variant).
 */
struct flag_result {
	const char *error;               /* OpenFeature's code, or NULL */
	char details[200];               /* of the error */
	const char *reason;              /* "STATIC", ... */
	struct str variant;              /* p NULL: none */
	const struct value *value;
	const struct value *metadata;    /* of this flag, or NULL */
};
/* 'reason': why the client has this version of the configuration; what a flag says
 * itself may come before it. */
void flag_evaluate(const struct value *flag, const char *reason,
		   struct flag_result *out);
/* The answer for one flag as a JSON object; 'version' is the configuration's. */
void flag_json(struct buf *out, struct str key, const struct flag_result *res,
	       const struct flag_set *set, uint64_t version);

/* The answer for all: {"flags":[...],"metadata":{...}}; what lies deeper than the
 * members of the set is part of their values. */
void flag_set_json(struct buf *out, const struct flag_set *set,
		   const char *reason, uint64_t version);

/*
 * Makes labels of an evaluation context: its scalar members, in their order.
 * What is no label (nested, null, a name or value that label_check refuses) and
 * what is beyond LABELS_MAX is left out and counted in '*ignored'.  Strings
 * borrow from 'context' or lie in 'arena'.
 */
void flag_context_labels(struct arena *arena, const struct value *context,
			 struct labels *labels, unsigned *ignored);

#endif
