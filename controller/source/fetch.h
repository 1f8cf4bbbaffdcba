/*
 * One fetch of one branch or tag, bounded in time and bytes, in a child
 * process.  Blocks the calling thread (a worker, never a loop).
 */
#ifndef SOURCE_FETCH_H
#define SOURCE_FETCH_H

#include <stdatomic.h>

#include "base/arena.h"
#include "source/git.h"
#include "source/source.h"

struct fetch_target {
	struct str url;
	struct str branch, tag;          /* exactly one is set */
	const char *dir;                 /* of the clone */
	uint64_t timeout_ms;             /* 0, or less than the settings' */
	/* Where 'push' names a branch: fetch_revert. */
	struct str push, message;
	struct oid revert, base;         /* base zeros: its first parent */
};

struct fetch_result {
	struct oid commit;
	uint64_t bytes, us;
};

/*
 * E_DENIED: a file url outside of the roots, a private address.  E_INVALID:
 * another scheme, user information in the url, a malformed ref.  E_TIMEOUT:
 * killed at the deadline.  E_CANCELLED: '*cancel' turned true meanwhile.
 * E_TOO_LARGE, E_UNAVAILABLE, E_UNAUTHORIZED, E_NOT_FOUND, E_TLS.
 */
enum code fetch_run(const struct source_settings *settings,
		    const struct fetch_target *target, atomic_bool *cancel,
		    struct fetch_result *out, struct err *err) MUST_USE;

/*
 * Fetches the branch, makes a commit on top of it that takes back what came after
 * 'base' up to 'revert', and pushes it to the branch 'push'; where that exists, it
 * is left as it is.
 * out->commit is what 'push' holds then.  Codes of fetch_run, and E_CONFLICT: it
 * cannot be taken back by itself, or is not there any more; E_DENIED: the server
 * refuses.
 */
enum code fetch_revert(const struct source_settings *settings,
		       const struct fetch_target *target, atomic_bool *cancel,
		       struct fetch_result *out, struct err *err) MUST_USE;

/* Checks a url against the settings without talking to anybody; '*out' is
 * what to fetch from (for file urls the resolved path), in 'arena'. */
enum code fetch_check_url(const struct source_settings *settings,
			  struct str url, struct arena *arena, struct str *out,
			  struct err *err) MUST_USE;

/* Removes a clone that has gathered too many packs, or bytes in them, or any where
 * packs_max is 0.  It is a cache, and the next fetch makes it anew.  True where it was
 * removed; else errno says why not, where it was to be. */
bool fetch_clone_trim(const char *dir, unsigned packs_max, uint64_t bytes_max);

#endif
