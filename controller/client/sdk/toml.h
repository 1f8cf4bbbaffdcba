/* TOML as it is read: the tree (toml.c) and what stands for a value (toml_value.c).
 * Private to these two. */
#ifndef CLIENT_SDK_TOML_H
#define CLIENT_SDK_TOML_H

#include "client/sdk/own.h"
#include "client/sdk/table.h"

#define NODE_NONE UINT32_MAX

enum made {
	MADE_SCALAR, MADE_ARRAY,
	MADE_TABLES,                     /* the array of [[headers]] */
	MADE_INLINE,                     /* {}: closed */
	MADE_DOTTED,                     /* by a dotted key */
	MADE_IMPLICIT,                   /* a header went through it */
	MADE_HEADER,                     /* the root too */
};

struct node {
	uint32_t parent, first, last, next;
	uint32_t key, key_n;             /* in names */
	uint32_t value, value_n;         /* in values: JSON */
	uint32_t depth;
	enum made made;
};

struct toml {
	const heap *heap;
	struct cfx_error *error;
	uint64_t seed;
	const char *start, *p, *end;     /* '*end' is a NUL, and there may be others */
	struct node *nodes;
	size_t n_nodes, cap_nodes;
	struct table by_key;
	struct bytes names, values;
	struct bytes part;               /* the key or string that was read last */
};

enum cfx_code toml_refuse(struct toml *t, const char *why);
/* At a quote: into t->part.  'may_be_long': three quotes are one of many lines. */
enum cfx_code toml_string(struct toml *t, bool may_be_long) MUST_USE;
/* A number, boolean, date or time: its JSON to t->values. */
enum cfx_code toml_plain(struct toml *t) MUST_USE;

/* A byte that stands in no string and comment. */
static inline bool toml_is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

#endif
