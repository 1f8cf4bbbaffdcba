/*
 * Labels: sorted key-value pairs of rules, clients and objects.
 * Pure; any thread.
 */
#ifndef MODEL_LABELS_H
#define MODEL_LABELS_H

#include "base/arena.h"

#define LABELS_MAX 64

struct label {
	struct str key, value;
};

struct labels {
	struct label *l;              /* sorted by key, each key once */
	size_t n, cap;
};

/* Sets or replaces; strings are borrowed.  False beyond LABELS_MAX. */
bool labels_set(struct arena *arena, struct labels *labels, struct str key,
		struct str value);
const struct str *labels_get(const struct labels *labels, struct str key);
/* True where each label of 'want' is in 'have' with the same value. */
bool labels_match(const struct labels *want, const struct labels *have);
bool labels_eq(const struct labels *a, const struct labels *b);
/* Key: 1..63 bytes of [A-Za-z0-9._/-]; value: at most 253 printable bytes. */
enum code label_check(struct str key, struct str value, struct err *err) MUST_USE;
/* {"a":"b"}: keys in order. */
void labels_json(struct buf *out, const struct labels *labels);

#endif
