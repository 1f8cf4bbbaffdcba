/*
 * Reading a bare clone: commits, trees, blobs by object id.  git.c and
 * git_child.c alone include the header of libgit2.
 *
 * A repo is used by one thread at a time.  Nothing here reads a work tree,
 * runs a hook, or looks at configuration of the user or the machine.
 */
#ifndef SOURCE_GIT_H
#define SOURCE_GIT_H

#include "base/buf.h"

#define OID_TEXT 41

struct oid {
	uint8_t b[20];
};

void oid_text(char out[OID_TEXT], const struct oid *id);
bool oid_parse(struct str s, struct oid *out);          /* 40 hex digits */
static inline bool oid_eq(const struct oid *a, const struct oid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Of one piece of memory that the library gets here: what the largest object needs
 * that is read (a folder of 64 MiB with its entries).  A small object may be kept as
 * what differs from one that is not. */
#define REPO_PIECE_MAX (96u << 20)

/* Prepares the library for this process; repeating it is harmless.  Any
 * thread. */
void repo_setup(void);
/* Another bound in place of REPO_PIECE_MAX.  Any thread. */
void repo_set_piece_max(size_t bytes);

struct repo;
/* E_NOT_FOUND where 'path' is no bare repository. */
enum code repo_open(const char *path, struct repo **out, struct err *err) MUST_USE;
void repo_free(struct repo **repo);

struct commit_info {
	struct oid tree;
	uint64_t time_ms;                /* of the committer; Unix epoch */
	char summary[200];               /* first line of the message, UTF-8 */
	char author[120];                /* "Ann <ann@example.org>" */
};
/* E_NOT_FOUND: the clone does not have it (any more).  E_TOO_LARGE: a commit object
 * above 1 MiB. */
enum code repo_commit(struct repo *repo, const struct oid *commit,
		      struct commit_info *out, struct err *err) MUST_USE;

/* The commit that 'text' names: 7 to 40 hex digits.  E_INVALID: it is none, or
 * several begin so; E_NOT_FOUND. */
enum code repo_resolve(struct repo *repo, struct str text, struct oid *out,
		       struct err *err) MUST_USE;

/* ---- trees ---- */
enum repo_mode { REPO_FILE, REPO_TREE, REPO_SYMLINK, REPO_SUBMODULE, REPO_OTHER };

struct repo_entry {
	struct str name;                 /* borrows from the tree */
	enum repo_mode mode;
	struct oid id;
};

struct repo_tree;
/* E_NOT_FOUND, E_CORRUPT, E_TOO_LARGE (a tree object above 64 MiB). */
enum code repo_tree_open(struct repo *repo, const struct oid *id,
			 struct repo_tree **out, struct err *err) MUST_USE;
void repo_tree_free(struct repo_tree **tree);
size_t repo_tree_count(const struct repo_tree *tree);
void repo_tree_at(const struct repo_tree *tree, size_t i, struct repo_entry *out);
/* Finds "a/b/c" below 'root'; E_NOT_FOUND. */
enum code repo_find(struct repo *repo, const struct oid *root, struct str path,
		    struct oid *out, enum repo_mode *mode,
		    struct err *err) MUST_USE;

/* ---- blobs ---- */
/* Appends the content of a blob.  Its size is looked at before it is read:
 * E_TOO_LARGE above 'max', and where what it is kept as differs from an object above
 * REPO_PIECE_MAX.  E_NOT_FOUND, E_CORRUPT. */
enum code repo_blob(struct repo *repo, const struct oid *id, uint64_t max,
		    struct buf *out, struct err *err) MUST_USE;

/* ---- the request to the child, and its answer (git_child.c, fetch.c) ---- */
struct fetch_request {
	struct str dir;                  /* of the bare clone; made if missing */
	struct str url, ref;             /* ref: "refs/heads/main" */
	struct str user, token, ca_file; /* token empty: offers none */
	bool allow_private;
	uint64_t bytes_max, objects_max, ms_max;
	/* Where 'push' is not empty ("refs/heads/conflux/revert-1"), the ref is
	 * fetched, and a commit on top of it that takes back what lies between
	 * 'base' (zeros: its first parent) and 'revert' is pushed there, unless that
	 * branch exists.  The answer's commit is what it holds. */
	struct str push, message;
	struct oid revert, base;
};

struct fetch_answer {
	enum code code;
	struct oid commit;
	uint64_t bytes;                  /* received */
	struct str text, hint;
};

void fetch_request_encode(struct buf *out, const struct fetch_request *req);
bool fetch_request_decode(struct str in, struct fetch_request *out);
void fetch_answer_encode(struct buf *out, const struct fetch_answer *ans);
/* Strings borrow from 'in'. */
bool fetch_answer_decode(struct str in, struct fetch_answer *out);

#endif
