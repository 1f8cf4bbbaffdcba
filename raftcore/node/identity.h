/*
 * Who a data directory belongs to: a lock held while a node runs on it, and a
 * file with cluster id, node id and incarnation.
 *
 * The incarnation is drawn when the directory is made.  A node tells it to the
 * others, and who comes with a known id and another incarnation has lost its
 * data, and with it whom it voted for (acquaintances.h).
 *
 * A directory that waits for its cluster to be formed (form.h) has no cluster
 * yet.  The file is replaced once, when that is agreed; it holds the first
 * members then, so that a start after a crash writes the same first entry.
 */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "base/rand.h"
#include "io/file.h"

#define FOUNDERS_MAX 16

struct founder {
	uint64_t id;
	struct uuid incarnation;
	char address[272];
};

struct identity {
	struct uuid cluster;             /* zeros where it waits */
	struct uuid incarnation;
	uint64_t node;
	bool waits;                      /* for its cluster to be formed */
	bool is_new;                     /* written now */
	size_t n_founders;               /* 0: they were in the configuration */
	struct founder founders[FOUNDERS_MAX];
};

/* E_BUSY: another process runs on it.  '*fd' holds the lock until closed. */
enum code dir_lock(const char *dir, int *fd, struct err *err) MUST_USE;
/*
 * Reads <dir>/identity, or makes it: of 'cluster', or of a new cluster where
 * that is NULL; one that waits where 'waits'.  A file of before incarnations gets
 * one.  E_DENIED: another node's, or another cluster's; E_CORRUPT; E_UNSUPPORTED:
 * a later version's.
 */
enum code identity_open(struct fs *fs, const char *dir, uint64_t node,
			const struct uuid *cluster, bool waits,
			struct identity *out, struct err *err) MUST_USE;
/* Replaces the file, durably. */
enum code identity_write(struct fs *fs, const char *dir,
			 const struct identity *id, struct err *err) MUST_USE;
/* Reads it, and makes nothing: E_NOT_FOUND. */
enum code identity_read(struct fs *fs, const char *dir, struct identity *out,
			struct err *err) MUST_USE;

static inline bool uuid_is_none(const struct uuid *id)
{
	static const struct uuid none;

	return memcmp(id->b, none.b, sizeof(none.b)) == 0;
}

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

#endif
