/*
 * Release rules: which version a client gets.
 *
 * A rule matches when all its labels equal the client's, its nodes, where it names
 * some, name the client, and the client's bucket is below its percentage, where it has
 * one.  Of the rules that match the one with the highest priority wins; then one that
 * names nodes; then the one with more labels; then the earlier one.  A default rule
 * has neither labels, nodes nor percentage, is of no release, and matches everybody.
 *
 * Of rules of several releases those of the newest release that has one that matches
 * count, whatever the others' priorities are: a client gets one release, or none.  A
 * rule of a release with the version 0 says that the release brings nothing here and
 * others are not to be mixed with it (state/beside.h): whoever it picks gets what no
 * release gives.
 *
 * The bucket of a client is the first 8 bytes, big-endian, of SHA-256(salt, 0, id)
 * modulo 10,000: with the same salt a client that is below some percentage is below
 * each greater one.  A client whose id is not known has no bucket.
 *
 * Pure; any thread.
 */
#ifndef MODEL_RULES_H
#define MODEL_RULES_H

#include "doc/value.h"
#include "model/labels.h"
#include "wire/sum.h"

#define RULES_MAX 256
#define RULE_NODES_MAX 1000      /* of all rules of a configuration together */
#define CLIENT_ID_MAX 128
#define PERCENT_ALL 10000u       /* basis points */
#define SALT_SIZE 16

/* Who asks: what is known of it. */
struct client {
	struct labels labels;
	struct str id;                /* the instance's name; empty: not known */
};
#define CLIENT_NOBODY (&(const struct client){ 0 })

struct rule {
	struct labels labels;
	int64_t priority;
	uint32_t version;             /* 0: of a release that brings nothing here */
	struct sha256 sha;            /* content of that version */
	uint64_t size;
	struct str *nodes;            /* ids of clients */
	size_t n_nodes, cap_nodes;
	bool has_percent;
	uint32_t percent_bp;          /* basis points, 0 to PERCENT_ALL */
	uint8_t salt[SALT_SIZE];
	uint64_t release;             /* number of the Release that made it; 0: people */
};

struct rules {
	struct rule *r;
	size_t n, cap;
};

struct rule *rules_add(struct arena *arena, struct rules *rules);
/* The same in front of the rule that is 'at' there. */
struct rule *rules_add_at(struct arena *arena, struct rules *rules, size_t at);
void rule_add_node(struct arena *arena, struct rule *rule, struct str id);
/* Takes those of a release away; says how many. */
size_t rules_drop_release(struct rules *rules, uint64_t release);
/* Neither labels, nodes, percentage nor release. */
bool rule_is_default(const struct rule *rule);
/* A thing that only cluster version VERSION_GATE knows. */
bool rules_are_wide(const struct rules *rules);
/* Index of the rule that 'client' gets, or -1. */
int rules_pick(const struct rules *rules, const struct client *client);
/* Index of the rule of a release that picks it, or -1; its version may be 0. */
int rules_pick_release(const struct rules *rules, const struct client *client);
/* Index of the default rule that wins, or -1. */
int rules_default(const struct rules *rules);
/* At most RULES_MAX and RULE_NODES_MAX, no two that match the same with the same
 * priority. */
enum code rules_check(const struct rules *rules, struct err *err) MUST_USE;
/* Below PERCENT_ALL; 'id' is not empty. */
uint32_t rules_bucket(const uint8_t salt[SALT_SIZE], struct str id);

/*
 * In the log and in rows; rules_decode borrows from 'in' and answers false where it
 * is malformed.  Rules with what is not in rules_are_wide are written as they always
 * were, others in a form that begins with RULES_WIDE, which a program that does not
 * know it refuses.
 */
#define RULES_WIDE 1000
void rules_encode(struct buf *out, const struct rules *rules);
bool rules_decode(struct arena *arena, struct str in, struct rules *out);
/* Without an arena, for the read path: the version, digest and size that
 * 'client' gets out of encoded rules; false: none matches or malformed.
 * '*position' is the rule's, for X-Conflux-Rule. */
bool rules_pick_encoded(struct str in, const struct client *client,
			struct rule *out, unsigned *position);
/* [{"labels":{},"priority":0,"version_id":3}], with "nodes", "percent", "salt" and
 * "release" where a rule has them. */
void rules_json(struct buf *out, const struct rules *rules);

/* A percentage out of a JSON number from 0 to 100: what is behind two digits of
 * its fraction is cut off, and '*is_exact' (may be NULL) false.  False: it is none. */
bool percent_read(const struct value *v, uint32_t *bp, bool *is_exact);
/* "12.5" */
void percent_text(struct buf *out, uint32_t bp);
/* 32 hex digits. */
bool salt_read(struct str hex, uint8_t salt[SALT_SIZE]);
/* "r-000000000012", the name of the Release with that number; and back, 0: none. */
#define RELEASE_NAME_MAX 24
void release_name(char out[RELEASE_NAME_MAX], uint64_t number);
uint64_t release_number(struct str name);

#endif
