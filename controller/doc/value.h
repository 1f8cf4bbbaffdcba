/*
 * The value tree that every structured format is parsed to, for validation,
 * comparison and display.  Delivered content stays the committed bytes; a tree
 * is never turned back into what a client gets of its own file.
 *
 * Trees live in an arena and are immutable once shared.  Numbers keep their
 * source text, so nothing is lost and nothing is computed in floating point.
 * Objects keep the order of the source; lookups are linear up to 8 members and
 * by a sorted index beyond.  Duplicate keys were refused by the parser.
 */
#ifndef DOC_VALUE_H
#define DOC_VALUE_H

#include "base/arena.h"

enum value_type {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_NUMBER, /* text: JSON grammar, or inf, -inf, nan (TOML, YAML) */
	VALUE_STRING,
	VALUE_TIME, /* TOML dates and times, RFC 3339 text */
	VALUE_ARRAY,
	VALUE_OBJECT,
};

struct value;

struct member {
	struct str key;
	struct value *value;
};

struct value {
	enum value_type type;
	uint32_t line, column; /* from 1; 0: made by code */
	union {
		bool b;
		struct str s; /* NUMBER, STRING, TIME */
		struct {
			struct value **items;
			size_t n, cap;
		} a;
		struct {
			struct member *m;
			size_t n, cap;
			uint32_t *sorted_; /* of doc alone */
		} o;
	};
};

/* ---- making (all in 'arena'; strings are copied) ---- */
struct value *value_null(struct arena *arena);
struct value *value_bool(struct arena *arena, bool b);
struct value *value_u64(struct arena *arena, uint64_t n);
struct value *value_i64(struct arena *arena, int64_t n);
struct value *value_number(struct arena *arena, struct str text);
struct value *value_str(struct arena *arena, struct str s);
struct value *value_array(struct arena *arena);
struct value *value_object(struct arena *arena);
void value_push(struct arena *arena, struct value *array, struct value *item);
/* Sets or replaces a member. */
void value_set(struct arena *arena, struct value *object, struct str key,
	       struct value *v);
#define value_setz(arena, object, key, v) value_set(arena, object, STR(key), v)
bool value_remove(struct value *object, struct str key); /* true: was there */
/* Removes each member that 'keep' says false of, in one pass. */
typedef bool value_keep_cb(void *data, const struct member *m);
void value_filter(struct value *object, value_keep_cb *keep, void *data);
struct value *value_dup(struct arena *arena, const struct value *v);

/* ---- reading ---- */
/* Member of an object, or NULL (also where 'v' is NULL or no object). */
struct value *value_get(const struct value *v, struct str key);
#define value_getz(v, key) value_get((v), STR(key))
/* By a dotted path of plain keys: "spec.ref.branch". */
struct value *value_at(const struct value *v, const char *path);
struct str value_text(const struct value *v); /* string, else empty */
struct str value_text_at(const struct value *v, const char *path);
bool value_to_u64(const struct value *v, uint64_t *out); /* exact integers only */
bool value_to_i64(const struct value *v, int64_t *out);
bool value_to_bool(const struct value *v, bool otherwise);
/* A number without a fraction, of any size. */
bool value_is_integer(const struct value *v);
/* Two numbers, exactly: less than 0, 0, more than 0; VALUE_UNORDERED where one
 * is nan. */
int value_number_cmp(const struct value *a, const struct value *b);
#define VALUE_UNORDERED 2
size_t value_count(const struct value *v);	   /* array or object */
const char *value_type_name(enum value_type type); /* "string", ... */

/* Equal in canonical form: member order and number spelling do not count
 * (1, 1.0 and 1e0 are equal numbers). */
bool value_eq(const struct value *a, const struct value *b);

/* ---- writing ---- */
void value_json(struct buf *out, const struct value *v);	/* compact */
void value_json_pretty(struct buf *out, const struct value *v); /* 2 spaces */
void value_yaml(struct buf *out, const struct value *v); /* block style */
/*
 * Canonical encoding: JSON without spaces, members sorted by bytes, numbers in
 * one spelling.  What JSON cannot say is the one place with a space,
 * {"$time": "2026-01-02"} or {"$number": "nan"}, so that two values have the
 * same encoding exactly where value_eq says so.  (A string that is not UTF-8
 * has none; compare its bytes.)  Ours, because digests and stored objects
 * depend on it.
 */
void value_canonical(struct buf *out, const struct value *v);

/* ---- changing ---- */
/* RFC 7386.  Returns the result; shares subtrees with both inputs. */
struct value *value_merge_patch(struct arena *arena, const struct value *target,
				const struct value *patch);

/* ---- comparing ---- */
enum value_change { VALUE_ADDED, VALUE_REMOVED, VALUE_MODIFIED };
typedef void value_diff_cb(void *data, enum value_change change,
			   struct str path, const struct value *before,
			   const struct value *after);
/* Calls 'cb' for each leaf or subtree that differs; paths read
 * "spec.servers[2].host". */
void value_diff(const struct value *before, const struct value *after,
		value_diff_cb *cb, void *data);

#endif
