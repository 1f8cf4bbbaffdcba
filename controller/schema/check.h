/*
 * Checks an object against its kind: unknown fields are found and pruned,
 * defaults filled in, values validated.  Runs before a command is proposed,
 * never inside apply.  Pure; any thread.
 */
/*
 * The dialect: JSON Schema as Kubernetes' structural schemas use it.  Known are
 *
 *	type			one name or a list of names
 *	enum
 *	minimum maximum		exact, of any size, fractions too
 *	exclusiveMinimum exclusiveMaximum
 *	minLength maxLength	in code points
 *	pattern			POSIX extended, on bytes, found anywhere
 *	format			date-time (from 1970 on) and duration (500ms,
 *				1m30s: not ISO 8601); others say nothing
 *	items minItems maxItems
 *	properties required additionalProperties
 *	default
 *	description		and everything else: says nothing
 *	true, false		as a whole schema
 *
 * with what JSON Schema does not say: members that an object's schema does not
 * know are pruned and listed, unless additionalProperties or
 * x-kubernetes-preserve-unknown-fields is there; a null is the absence of a
 * member; defaults are filled in first, and then checked.  Our own are
 * x-conflux-least (of a duration), x-conflux-max-bytes (of a string),
 * x-conflux-oneof (exactly one of these members) and x-conflux-refused (a text:
 * not supported yet).
 */
#ifndef SCHEMA_CHECK_H
#define SCHEMA_CHECK_H

#include "schema/kind.h"

/* As LABELS_MAX of model/labels.h, which is above this. */
#define SCHEMA_LABELS_MAX 64

/* Reasons follow Kubernetes' status causes (KUBECTL brief, section 9). */
enum cause_reason {
	CAUSE_INVALID,            /* FieldValueInvalid */
	CAUSE_REQUIRED,           /* FieldValueRequired */
	CAUSE_NOT_SUPPORTED,      /* FieldValueNotSupported (enum) */
	CAUSE_TYPE,               /* FieldValueTypeInvalid */
	CAUSE_DUPLICATE,          /* FieldValueDuplicate */
	CAUSE_TOO_LONG,           /* FieldValueTooLong */
	CAUSE_TOO_MANY,           /* FieldValueTooMany */
	CAUSE_FORBIDDEN,          /* FieldValueForbidden */
};

struct cause {
	enum cause_reason reason;
	struct str field;         /* "spec.interval" */
	struct str message;       /* "Invalid value: \"x\": must match ..." */
	uint32_t line, column;    /* in the source text; 0 unknown */
};

#define CHECK_UNKNOWN_MAX 100

struct check {
	struct cause *causes;
	size_t n_causes, cap_causes;
	struct str *unknown;      /* paths that the schema does not know: the first */
	size_t n_unknown, cap_unknown;
};

const char *cause_reason_name(enum cause_reason reason);
void check_add(struct arena *arena, struct check *check,
	       enum cause_reason reason, struct str field, struct str message,
	       const struct value *at);

/*
 * Checks and completes 'object' (apiVersion, kind, metadata, spec, status) of
 * 'kind' in place: prunes unknown fields (listed in check->unknown), applies
 * defaults, validates metadata (names: DNS-1123 subdomain, at most 253; label
 * and annotation grammar; sizes) and spec, status where present.  Empty maps
 * and nulls in metadata are dropped.  E_UNPROCESSABLE where causes were found.
 */
enum code check_object(const struct kind *kind, struct value *object,
		       struct arena *arena, struct check *check,
		       struct err *err) MUST_USE;
/* One value against one schema; paths start with 'path'. */
void check_value(const struct value *schema, struct value **v, struct str path,
		 struct arena *arena, struct check *check);

#endif
