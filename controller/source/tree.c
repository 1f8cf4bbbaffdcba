/* Comparison of trees: see tree.h. */
#include "source/tree.h"

#include "base/banned.h"

struct walk {
	struct repo *repo;
	struct tree_limits limits;
	struct tree_stats *stats;
	tree_cb *cb;
	void *data;
	struct buf path;
	unsigned depth;
};

/* One side of a merge; without a tree it is at its end. */
struct side {
	struct repo_tree *tree;
	size_t i, n;
	struct repo_entry entry;
	bool has;
};

static void side_next(struct side *s)
{
	s->has = s->i < s->n;
	if (s->has)
		repo_tree_at(s->tree, s->i++, &s->entry);
}

static enum code side_open(struct walk *w, struct side *s, const struct oid *id,
			   struct err *err)
{
	enum code rc;

	*s = (struct side){ 0 };
	if (!id)
		return OK;
	rc = repo_tree_open(w->repo, id, &s->tree, err);
	if (rc)
		return err_wrap(err, "%.*s", STR_ARG(buf_view(&w->path)));
	w->stats->opened++;
	s->n = repo_tree_count(s->tree);
	side_next(s);
	return OK;
}

/* The order of entries in a tree: bytes, with a '/' behind names of trees
 * (git's base_name_compare). */
static int order(const struct repo_entry *a, const struct repo_entry *b)
{
	size_t n = MIN(a->name.n, b->name.n);
	int c = memcmp(a->name.p, b->name.p, n);
	unsigned char ca, cb;

	if (c)
		return c;
	ca = n < a->name.n ? (unsigned char)a->name.p[n] :
	     a->mode == REPO_TREE ? '/' : 0;
	cb = n < b->name.n ? (unsigned char)b->name.p[n] :
	     b->mode == REPO_TREE ? '/' : 0;
	return ca < cb ? -1 : ca > cb;
}

/* Appends the entry's name to the path; the caller cuts it again. */
static size_t push(struct walk *w, const struct repo_entry *e)
{
	size_t before = w->path.n;

	if (before)
		buf_c(&w->path, '/');
	buf_str(&w->path, e->name);
	return before;
}

static enum code refuse(struct walk *w, const struct repo_entry *e,
			const char *why, struct err *err)
{
	size_t before = push(w, e);

	err_set(err, E_UNPROCESSABLE, "%.*s: %s",
		(int)MIN(w->path.n, (size_t)250), w->path.p, why);
	buf_cut(&w->path, before);
	return err_hint(err, "remove it from the repository");
}

/* What the new tree may hold. */
static enum code check_entry(struct walk *w, const struct repo_entry *e,
			     struct err *err)
{
	if (e->name.n == 0 || str_is(e->name, ".") || str_is(e->name, "..") ||
	    str_find(e->name, '/') != SIZE_MAX)
		return refuse(w, e, "this is no name of a file", err);
	switch (e->mode) {
	case REPO_FILE:
	case REPO_TREE:
		return OK;
	case REPO_SYMLINK:
		return refuse(w, e, "symbolic links are not followed", err);
	case REPO_SUBMODULE:
		return refuse(w, e, "submodules are not followed", err);
	default:
		return refuse(w, e, "this is no file and no folder", err);
	}
}

static enum code count(struct walk *w, struct err *err)
{
	if (++w->stats->entries > w->limits.entries)
		return err_set(err, E_TOO_LARGE,
			       "more than %llu entries differ",
			       (unsigned long long)w->limits.entries);
	return OK;
}

static enum code compare(struct walk *w, const struct oid *before,
			 const struct oid *after, struct err *err);

static enum code descend(struct walk *w, const struct repo_entry *e,
			 const struct oid *before, const struct oid *after,
			 struct err *err)
{
	size_t cut;
	enum code rc;

	/* A removed folder was taken once already; its depth is known good. */
	if (w->depth >= w->limits.depth && after)
		return err_set(err, E_TOO_LARGE,
			       "%.*s/%.*s: folders are nested deeper than %u",
			       (int)MIN(w->path.n, (size_t)200), w->path.p,
			       (int)MIN(e->name.n, (size_t)80), e->name.p,
			       w->limits.depth);
	cut = push(w, e);
	w->depth++;
	rc = compare(w, before, after, err);
	w->depth--;
	buf_cut(&w->path, cut);
	return rc;
}

static enum code tell(struct walk *w, enum tree_change change,
		      const struct repo_entry *e, const struct oid *before,
		      struct err *err)
{
	size_t cut = push(w, e);
	enum code rc = w->cb(w->data, change, buf_view(&w->path), &e->id,
			     before, err);

	buf_cut(&w->path, cut);
	return rc;
}

static enum code one_removed(struct walk *w, const struct repo_entry *e,
			     struct err *err)
{
	if (e->mode == REPO_TREE)
		return descend(w, e, &e->id, NULL, err);
	/* Links and submodules of the old tree were never taken. */
	return e->mode == REPO_FILE ? tell(w, TREE_REMOVED, e, &e->id, err) : OK;
}

static enum code one_added(struct walk *w, const struct repo_entry *e,
			   struct err *err)
{
	enum code rc = check_entry(w, e, err);

	if (rc)
		return rc;
	return e->mode == REPO_TREE ? descend(w, e, NULL, &e->id, err) :
				      tell(w, TREE_ADDED, e, NULL, err);
}

/* Same name, and both or none are trees. */
static enum code one_changed(struct walk *w, const struct repo_entry *old,
			     const struct repo_entry *e, struct err *err)
{
	enum code rc;

	if (oid_eq(&old->id, &e->id) && old->mode == e->mode)
		return OK;
	rc = check_entry(w, e, err);
	if (rc)
		return rc;
	if (e->mode == REPO_TREE)
		return descend(w, e, &old->id, &e->id, err);
	return old->mode == REPO_FILE ?
		       tell(w, TREE_CHANGED, e, &old->id, err) :
		       tell(w, TREE_ADDED, e, NULL, err);
}

/* Takes the lower of both sides, or both where they are of one name. */
static enum code step(struct walk *w, struct side *a, struct side *b,
		      struct err *err)
{
	int c = !a->has ? 1 : !b->has ? -1 : order(&a->entry, &b->entry);
	struct repo_entry last = b->entry;
	enum code rc = count(w, err);

	if (rc)
		return rc;
	if (c < 0)
		rc = one_removed(w, &a->entry, err);
	else if (c > 0)
		rc = one_added(w, &b->entry, err);
	else
		rc = one_changed(w, &a->entry, &b->entry, err);
	if (c <= 0)
		side_next(a);
	if (c >= 0)
		side_next(b);
	if (rc == OK && c >= 0 && b->has && order(&last, &b->entry) >= 0)
		rc = refuse(w, &b->entry, "the folder's entries are out of order",
			    err);
	return rc;
}

static enum code compare(struct walk *w, const struct oid *before,
			 const struct oid *after, struct err *err)
{
	struct side a = { 0 }, b = { 0 };
	enum code rc = side_open(w, &a, before, err);

	if (rc == OK)
		rc = side_open(w, &b, after, err);
	while (rc == OK && (a.has || b.has))
		rc = step(w, &a, &b, err);
	repo_tree_free(&a.tree);
	repo_tree_free(&b.tree);
	return rc;
}

enum code tree_compare(struct repo *repo, const struct oid *before,
		       const struct oid *after,
		       const struct tree_limits *limits, tree_cb *cb,
		       void *data, struct tree_stats *stats, struct err *err)
{
	struct walk w = { .repo = repo, .limits = *limits, .stats = stats,
			  .cb = cb, .data = data };
	enum code rc;

	*stats = (struct tree_stats){ 0 };
	if (before && oid_eq(before, after))
		return OK;
	rc = compare(&w, before, after, err);
	buf_fini(&w.path);
	return rc;
}
