/*
 * The child that talks to Git servers: what its two files share.  git_child.c
 * fetches, git_revert.c makes and pushes a commit on top of what was fetched.
 */
#ifndef SOURCE_GIT_CHILD_H
#define SOURCE_GIT_CHILD_H

#include <git2.h>

#include "source/git.h"

#define LOCAL_REF "refs/conflux/head"

struct child {
	struct fetch_request req;
	struct fetch_answer ans;
	struct err err;
	unsigned asked;                  /* for credentials */
	const char *stopped;             /* which bound was passed */
	git_remote *remote;
	git_repository *git;
};

/* What libgit2's 'rc' means, in c->err. */
enum code child_git_error(struct child *c, int rc, const char *what);
void child_callbacks(struct child *c, git_remote_callbacks *cb);
/* Anew, where it was connected already. */
enum code child_connect(struct child *c, git_direction direction);
/* What the server has under 'ref'. */
enum code child_find_ref(struct child *c, struct str ref, git_oid *out,
			 bool *found);
/* After a fetch: see struct fetch_request. */
enum code child_revert(struct child *c);

#endif
