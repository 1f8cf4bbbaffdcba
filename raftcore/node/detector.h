/*
 * What the comparison of states (detector.c) and the fence of a node that is
 * outvoted (fence.c) keep, as parts of the core (own.h), and what its other files
 * ask of them.
 */
#ifndef NODE_DETECTOR_H
#define NODE_DETECTOR_H

#include "node/node_core.h"

/* What a node noted, or told: its newest fixed indexes, a ring, and the newest
 * of the others (detector.c). */
#define CHAIN_POINTS 64
struct chain {
	uint64_t id;
	struct chain_point fixed[CHAIN_POINTS], last;
	/* Of another: the newest index that both have, and what came of it. */
	uint64_t compared;
	bool differs;
};

struct detector {
	struct chain own;
	struct chain *chains;            /* of others */
	size_t n, cap;
	uint64_t noted;                  /* the newest index of 'own' */
	uint64_t applied_ms;
	uint64_t quiet_ms;               /* when to look whether nothing is
					    applied; 0: never */
	uint64_t tell_ms, told_ms;
	bool asks;                       /* the machine, when it has nothing else */
	uint64_t compared;               /* the newest that some other has too */
	enum rc_divergence verdict;
	uint64_t index, peer;            /* what it is about */
	struct chain_point told[CHAIN_POINTS + 1];       /* being sent */
};

/* What the file `fenced` says: the index, what this node had there, and most
 * of the voters. */
struct fence_mark {
	struct chain_point own, others;
};

struct fence {
	bool is_on;
	struct fence_mark mark;
	struct node_transfer transfer;   /* of its own leadership */
	uint64_t again_ms, tried;
};

/* detector.c: effect chains compared. */
/* True where a batch ends with this entry, so that what it leaves is noted. */
bool core_ends_batch(const struct node_core *c, uint64_t index);
/* The last entry of a batch that begins with 'from'. */
uint64_t core_batch_limit(const struct node_core *c, uint64_t from);
/* What the machine said of c->applied. */
void core_noted(struct node_core *c, uint64_t now_ms, const uint8_t digest[32]);
void core_detect_applied(struct node_core *c, uint64_t now_ms);
/* The machine is to be asked where it stands, if nothing is to be applied. */
bool core_wants_chain(const struct node_core *c);
/* The machine was opened anew, from a checkpoint. */
void core_detect_anew(struct node_core *c);
/* What is told now, in the order of the indexes; valid until the next call. */
struct chain_point *core_points(struct node_core *c, unsigned *n);
/* False: it is none of theirs. */
bool core_hear_chain(struct node_core *c, uint64_t now_ms,
		     const struct engine_message *m);
void core_detect_start(struct node_core *c, uint64_t now_ms);
void core_detect_due(struct node_core *c, uint64_t now_ms);
uint64_t core_detect_deadline(const struct node_core *c);
void core_detect_end(struct node_core *c);

/* fence.c: a node that is outvoted. */
void fence_encode(struct buf *out, const struct fence_mark *m);
bool fence_decode(struct str bytes, struct fence_mark *out);
/* E_CORRUPT: damaged. */
enum code fence_read(struct fs *fs, const char *dir, struct fence *out,
		     struct err *err) MUST_USE;
void core_fence(struct node_core *c, uint64_t now_ms,
		const struct chain_point *own, const struct chain_point *others);
void core_fence_start(struct node_core *c, uint64_t now_ms);
void core_fence_due(struct node_core *c, uint64_t now_ms);
uint64_t core_fence_deadline(const struct node_core *c);

#endif
