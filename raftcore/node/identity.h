/*
 * Who a data directory belongs to: a lock held while a node runs on it, and a
 * file with cluster id and node id, written once.
 */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "base/rand.h"
#include "io/file.h"

struct identity {
	struct uuid cluster;
	uint64_t node;
	bool is_new;                     /* written now */
};

/* E_BUSY: another process runs on it.  '*fd' holds the lock until closed. */
enum code dir_lock(const char *dir, int *fd, struct err *err) MUST_USE;
/* Reads <dir>/identity, or makes it: of 'cluster', or of a new cluster where
 * that is NULL.  E_DENIED: another node's, or another cluster's; E_CORRUPT. */
enum code identity_open(struct fs *fs, const char *dir, uint64_t node,
			const struct uuid *cluster, struct identity *out,
			struct err *err) MUST_USE;

#endif
