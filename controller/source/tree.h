/*
 * What differs between two trees, by object id.  Equal subtrees are never
 * opened, so the cost is that of the change and not that of the repository.
 *
 * Hostile trees are bounded in depth and entries; entries out of order, names
 * that are no names, symlinks and submodules of the new tree are refused by
 * name.  Blocking reads of local files; a worker.
 */
#ifndef SOURCE_TREE_H
#define SOURCE_TREE_H

#include "source/git.h"

enum tree_change { TREE_ADDED, TREE_CHANGED, TREE_REMOVED };

/* One file; 'id' is that of the new blob (removed: of the old one), 'before'
 * is NULL where it was added.  'path' is valid during the call.  What it
 * answers but OK ends the walk. */
typedef enum code tree_cb(void *data, enum tree_change change, struct str path,
			  const struct oid *id, const struct oid *before,
			  struct err *err);

struct tree_limits {
	unsigned depth;
	uint64_t entries;
};

struct tree_stats {
	uint64_t opened;                 /* trees that were read */
	uint64_t entries;                /* looked at */
};

/* 'before' NULL: everything is added.  E_UNPROCESSABLE names what is refused,
 * E_TOO_LARGE the bound; else as repo_tree_open and 'cb'. */
enum code tree_compare(struct repo *repo, const struct oid *before,
		       const struct oid *after,
		       const struct tree_limits *limits, tree_cb *cb,
		       void *data, struct tree_stats *stats,
		       struct err *err) MUST_USE;

#endif
