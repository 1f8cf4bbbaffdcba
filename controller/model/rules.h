/*
 * Release rules: which version a client gets.
 *
 * A rule matches when all its labels equal the client's.  The matching rule
 * with the highest priority wins; then the one with more labels; then the
 * earlier one.  The default rule has no labels and matches everybody.
 * Pure; any thread.
 */
#ifndef MODEL_RULES_H
#define MODEL_RULES_H

#include "model/labels.h"
#include "wire/sum.h"

#define RULES_MAX 256

struct rule {
	struct labels labels;
	int64_t priority;
	uint32_t version;
	struct sha256 sha;            /* content of that version */
	uint64_t size;
};

struct rules {
	struct rule *r;
	size_t n, cap;
};

struct rule *rules_add(struct arena *arena, struct rules *rules);
/* Index of the rule that a client with 'labels' gets, or -1. */
int rules_pick(const struct rules *rules, const struct labels *labels);
/* Index of the default rule (no labels) that wins, or -1. */
int rules_default(const struct rules *rules);
/* At most RULES_MAX, no two rules with the same labels and priority. */
enum code rules_check(const struct rules *rules, struct err *err) MUST_USE;

/* In the log and in rows; rules_decode borrows from 'in' and answers false
 * where it is malformed. */
void rules_encode(struct buf *out, const struct rules *rules);
bool rules_decode(struct arena *arena, struct str in, struct rules *out);
/* Without an arena, for the read path: the version, digest and size that
 * 'labels' get out of encoded rules; false: none matches or malformed.
 * '*rule' is the position for X-Conflux-Rule. */
bool rules_pick_encoded(struct str in, const struct labels *labels,
			struct rule *out, unsigned *position);
/* [{"labels":{},"priority":0,"version_id":3}] */
void rules_json(struct buf *out, const struct rules *rules);

#endif
