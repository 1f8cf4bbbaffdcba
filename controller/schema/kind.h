/*
 * Kinds: what schemas/kinds/<kind>.yaml declares, compiled into the program.
 *
 * A kind file holds: kind, plural, singular, shortNames, categories, scope
 * (Cluster | Namespaced), system (true: people cannot write it), description,
 * status (true: has a status subresource), columns (additionalPrinterColumns:
 * name, path, type, priority, description), selectableFields, immutable (list
 * of paths), and schema (structural JSON Schema of spec and status).
 * Loaded once at start, then read-only; any thread.
 */
#ifndef SCHEMA_KIND_H
#define SCHEMA_KIND_H

#include "doc/value.h"

#define API_GROUP "gitops.conflux.io"
#define API_VERSION "v1alpha1"
#define API_GROUP_VERSION API_GROUP "/" API_VERSION

/* Stable numbers: they are in the log and the store.  Each id has one file. */
enum kind_id {
	KIND_NONE = 0,
	KIND_TENANT = 1,
	KIND_APPLICATION = 2,
	KIND_ENVIRONMENT = 3,
	KIND_CONFIG = 4,               /* ConfluxConfig */
	KIND_SOURCE = 5,               /* ConfluxSource */
	KIND_RELEASE = 6,
	KIND_RELEASE_POLICY = 7,
	KIND_APPROVAL_POLICY = 8,
	KIND_FREEZE_WINDOW = 9,
	KIND_PROPOSAL = 10,            /* ReleaseProposal */
	KIND_WEBHOOK = 11,
	KIND__END
};

struct kind_column {
	struct str name, path, type, description;   /* path: dotted, from the object */
	unsigned priority;
};

struct kind {
	enum kind_id id;
	struct str name, plural, singular, list_name, description;
	struct str *short_names;
	size_t n_short_names;
	struct str *categories;
	size_t n_categories;
	bool namespaced, is_system, has_status;
	struct kind_column *columns;
	size_t n_columns;
	struct str *selectable;                     /* field selector paths */
	size_t n_selectable;
	const struct value *spec_schema, *status_schema;
};

/* Parses the built-in kinds; call once before threads start. */
enum code kinds_load(struct err *err) MUST_USE;
const struct kind *kind_by_id(enum kind_id id);          /* NULL: unknown */
const struct kind *kind_by_name(struct str name);        /* "ConfluxConfig" */
const struct kind *kind_by_plural(struct str plural);
/* Plural, singular, short name or kind, any case. */
const struct kind *kind_by_any(struct str word);
/* All, in order of id. */
size_t kinds_all(const struct kind *const **out);

/* The cell of a printer column as JSON: null where the path leads nowhere; a
 * date becomes an age, "3d" or "in 3d"; of the type `window` (a string for kubectl)
 * what a FreezeWindow is now, and until when.  Paths read ".status.version", or
 * ".status.conditions[?(@.type==\"Ready\")].status". */
void kind_cell_json(const struct kind_column *column, const struct value *object,
		    uint64_t now_ms, struct buf *out);

#endif
