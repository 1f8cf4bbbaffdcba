/*
 * Which data directory each other node had when it was first met.
 *
 * A node that has lost its directory has forgotten what it acknowledged and whom
 * it voted for, so it must not come back under its old id: a majority with it
 * could elect somebody who lacks what was acknowledged.  Each node keeps a durable
 * list of ids and incarnations (identity.h) and turns such a node away, in both
 * directions.  It is enough that a majority does.  An id that was removed from the
 * cluster is forgotten: under a new membership it begins from nothing.
 *
 * Raft loop only; known_check and known_keep write a small file, rarely.
 */
#ifndef NODE_KNOWN_H
#define NODE_KNOWN_H

#include "node/identity.h"

#define KNOWN_MAX 64

struct known {
	struct fs *fs;
	const char *dir;
	uint64_t members_index;          /* of the membership that was looked at */
	size_t n;
	struct {
		uint64_t id;
		struct uuid incarnation;
		/* The id may have been removed and added anew since: it was kept
		 * over a membership that came with a checkpoint, or what could not
		 * be written was that it left. */
		bool is_doubtful;
	} nodes[KNOWN_MAX];
};

/* Reads <dir>/known, and takes the founders of 'id' in.  'dir' is borrowed.
 * E_CORRUPT, E_UNSUPPORTED. */
enum code known_open(struct known *k, struct fs *fs, const char *dir,
		     const struct identity *id, struct err *err) MUST_USE;
/* The cluster was formed: its founders are known. */
enum code known_adopt(struct known *k, const struct identity *id,
		      struct err *err) MUST_USE;
/* OK: it is the one that is known, or is known from now on, durably; or it does not
 * say (zeros, a node of before incarnations).  E_DENIED: it is another; the text is
 * for both sides.  E_FULL, E_IO: it could not be written down. */
enum code known_check(struct known *k, uint64_t id, const struct uuid *incarnation,
		      struct err *err) MUST_USE;
/* The incarnation of 'id'; NULL: it was never met. */
const struct uuid *known_of(const struct known *k, uint64_t id);
/* The membership of entry 'index' is in force: forgets all but those.  One that was
 * looked at before, and is applied again, changes nothing: a node that was added
 * anew since stays known.  Who left where that cannot be written down is not forgotten
 * but doubtful.  'whole': it came with a checkpoint, and what was in force before it
 * nobody here has seen. */
void known_keep(struct known *k, uint64_t index, const uint64_t *ids, size_t n,
		bool whole);
bool known_is_doubtful(const struct known *k, uint64_t id);
/* A member of the cluster says that it is this one now; it stays doubtful.  E_IO. */
enum code known_replace(struct known *k, uint64_t id,
			const struct uuid *incarnation, struct err *err) MUST_USE;
/* What the file holds; false: it is none.  'out' keeps fs and dir. */
bool known_decode(struct str bytes, struct known *out);

#endif
