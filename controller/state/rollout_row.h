/*
 * Rows of releases that go out in steps (table ROLLOUTS, tenant 0 name of the Release),
 * while they can still move, and the index by which they are found (table RELEASING):
 *
 *	tenant 0 'c' configuration 0 number	open releases that touch it -> digest,
 *						version
 *	tenant 0 'g' group 0 number		open releases of a group
 *	tenant 0 'h' number configuration	what a release holds -> nothing
 *	tenant 0 'b' configuration 0 number	releases that turned back where the content
 *						of another is held -> nothing
 *	tenant 0 'k' configuration 0 number	what a completed one keeps -> digest that it
 *						brought, version before
 *
 * Numbers in keys are 8 bytes, big-endian.  Pure; any thread.
 */
#ifndef STATE_ROLLOUT_ROW_H
#define STATE_ROLLOUT_ROW_H

#include "model/rollout.h"
#include "state/rows.h"

/* Configurations of one release in steps. */
#define ROLLOUT_CONFIGS_MAX 1000
#define ROLLOUT_NOTES_MAX 50

struct rollout_config {
	struct str name;                 /* of the object */
	struct uuid uid;
	uint32_t version;                /* that goes out */
	struct sha256 sha;
	uint64_t size;
	uint32_t previous;               /* the default before; 0 until completed */
};

/* One line of its history. */
struct rollout_note {
	uint64_t time_ms;
	uint32_t step;
	struct str action, subject, message;
};

struct rollout_row {
	uint64_t number;                 /* of the Release: release_name */
	enum rollout_phase phase;
	uint32_t step;                   /* from 0 */
	uint64_t created_ms;
	uint64_t step_ms;                /* when the step began */
	uint64_t pause_ms;               /* PAUSED: since when */
	uint64_t paused_ms;              /* how long before that, in this step */
	uint64_t completed_ms;
	bool is_begun;                   /* 'expected' counts */
	uint64_t expected;               /* instances in the step's cohort */
	uint64_t met_ms, baked_ms;       /* of the step: as in rollout_facts */
	uint8_t salt[SALT_SIZE];
	struct str policy, spec;         /* name, and what it said then */
	uint64_t policy_rev;
	struct str group;                /* empty: each configuration its own */
	struct str author, commit, reason, message;
	struct rollout_note *notes;      /* the newest, oldest first */
	size_t n_notes, cap_notes;
	struct rollout_config *configs;
	size_t n_configs, cap_configs;
};
void rollout_row_encode(struct buf *out, const struct rollout_row *row);
bool rollout_row_decode(struct arena *arena, struct str in,
			struct rollout_row *out);
/* The phase alone. */
bool rollout_row_phase(struct str in, enum rollout_phase *out);
struct rollout_config *rollout_row_config(const struct rollout_row *row,
					  struct str name);

void key_rollout(struct buf *out, struct str tenant, struct str name);
/* Without a number all of them. */
void key_releasing_config(struct buf *out, struct str tenant, struct str config);
void key_releasing_group(struct buf *out, struct str tenant, struct str group);
void key_releasing_hold(struct buf *out, struct str tenant, uint64_t number);
void key_releasing_back(struct buf *out, struct str tenant, struct str config);
void key_releasing_kept(struct buf *out, struct str tenant, struct str config);
/* The value of a 'c', and of a 'k'. */
struct releasing_at {
	uint64_t number;
	struct sha256 sha;
	uint32_t version;
};
void releasing_at_encode(struct buf *out, const struct releasing_at *at);
/* 'key' ends in the number. */
bool releasing_at_decode(struct str key, struct str in, struct releasing_at *out);

#endif
