/*
 * A commit that takes another back, pushed to a branch of its own: what is offered
 * to Git when a release turned back.  Nobody's branch is ever moved: one that
 * exists is left as it is.
 */
#include "source/git_child.h"

#include "base/banned.h"

#define PUSHED_REF "refs/conflux/revert"

/* What the branch held before: of a merge the first parent is what it was merged
 * into, and before the first commit there was nothing. */
static int base_tree(struct child *c, git_commit *bad, git_tree **out)
{
	static const struct oid none;
	git_commit *base = NULL;
	git_oid id;
	int rc = 0;

	*out = NULL;
	if (!oid_eq(&c->req.base, &none)) {
		memcpy(id.id, c->req.base.b, sizeof(id.id));
		rc = git_commit_lookup(&base, c->git, &id);
	} else if (git_commit_parentcount(bad) > 0) {
		rc = git_commit_parent(&base, bad, 0);
	}
	if (rc == 0 && base)
		rc = git_commit_tree(out, base);
	git_commit_free(base);
	return rc;
}

/* The branch with the way from base to bad walked back: a merge of the two over
 * what bad held. */
static int revert_tree(struct child *c, git_commit *bad, git_commit *tip,
		       git_tree **out, bool *conflicts)
{
	git_tree *was = NULL, *base = NULL, *ours = NULL;
	git_index *index = NULL;
	git_oid id;
	int rc = git_commit_tree(&was, bad);

	if (rc == 0)
		rc = base_tree(c, bad, &base);
	if (rc == 0)
		rc = git_commit_tree(&ours, tip);
	if (rc == 0)
		rc = git_merge_trees(&index, c->git, was, ours, base, NULL);
	*conflicts = rc == 0 && git_index_has_conflicts(index);
	if (rc == 0 && !*conflicts)
		rc = git_index_write_tree_to(&id, index, c->git);
	if (rc == 0 && !*conflicts)
		rc = git_tree_lookup(out, c->git, &id);
	git_index_free(index);
	git_tree_free(was);
	git_tree_free(base);
	git_tree_free(ours);
	return rc;
}

static enum code make_commit(struct child *c, git_commit *bad, git_commit *tip,
			     git_oid *out)
{
	git_signature *who = NULL;
	git_tree *tree = NULL;
	AUTO_BUF message = BUF_NONE;
	bool conflicts = false;
	int rc = revert_tree(c, bad, tip, &tree, &conflicts);
	enum code code = OK;

	if (conflicts) {
		err_set(&c->err, E_CONFLICT, "what came after the commit changed the "
			"same lines: it cannot be reverted by itself");
		err_hint(&c->err, "revert it by hand: git revert");
		git_tree_free(tree);
		return E_CONFLICT;
	}
	if (rc == 0 && git_oid_equal(git_tree_id(tree), git_commit_tree_id(tip)))
		code = err_set(&c->err, E_CONFLICT, "the branch does not hold the "
			       "change any more: there is nothing to revert");
	buf_str(&message, c->req.message);
	buf_c(&message, '\0');
	if (rc == 0 && code == OK)
		rc = git_signature_now(&who, "Conflux", "conflux@localhost");
	if (rc == 0 && code == OK)
		rc = git_commit_create_v(out, c->git, NULL, who, who, "UTF-8",
					 message.p, tree, 1, tip);
	git_signature_free(who);
	git_tree_free(tree);
	return rc ? child_git_error(c, rc, "revert the commit") : code;
}

static enum code commit_of(struct child *c, const struct oid *id,
			   git_commit **out)
{
	git_oid oid;
	int rc;

	memcpy(oid.id, id->b, sizeof(oid.id));
	rc = git_commit_lookup(out, c->git, &oid);
	return rc ? child_git_error(c, rc, "read the commit") : OK;
}

static enum code make_revert(struct child *c, git_oid *out)
{
	git_commit *bad = NULL, *tip = NULL;
	enum code rc = commit_of(c, &c->req.revert, &bad);

	if (rc == OK)
		rc = commit_of(c, &c->ans.commit, &tip);
	if (rc == OK)
		rc = make_commit(c, bad, tip, out);
	git_commit_free(bad);
	git_commit_free(tip);
	return rc;
}

/* Who may read and not write is told so by HTTP's own status, and asking again does not
 * help: 408, 425 and 429 alone, of the 4xx, say that it may. */
static enum code refused(struct child *c, enum code rc)
{
	struct str words = STR("unexpected http status code: ");
	struct str text = str_of(c->err.text);
	size_t at = str_find_str(text, words);
	uint64_t n;

	if (rc != E_UNAVAILABLE || at == SIZE_MAX ||
	    !str_u64(str_from(text, at + words.n), &n))
		return rc;
	if (n < 400 || n >= 500 || n == 408 || n == 425 ||
	    n == 429)
		return rc;
	return err_set(&c->err, E_DENIED, "the server refuses to be pushed to: "
		       "HTTP %llu", (unsigned long long)n);
}

static int on_refused(const char *ref, const char *status, void *data)
{
	struct child *c = data;

	(void)ref;
	if (status && !c->err.code)
		err_set(&c->err, E_DENIED, "the server refuses the branch: %s",
			status);
	return 0;
}

static enum code push(struct child *c, const git_oid *id)
{
	git_push_options opts;
	git_reference *ref = NULL;
	AUTO_BUF spec = BUF_NONE;
	git_strarray specs = { &spec.p, 1 };
	int rc = git_reference_create(&ref, c->git, PUSHED_REF, id, 1, NULL);

	git_reference_free(ref);
	git_push_options_init(&opts, GIT_PUSH_OPTIONS_VERSION);
	child_callbacks(c, &opts.callbacks);
	opts.callbacks.push_update_reference = on_refused;
	opts.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	/* No '+': a branch that appeared meanwhile is not moved. */
	buf_printf(&spec, PUSHED_REF ":%.*s", STR_ARG(c->req.push));
	if (rc == 0)
		rc = git_remote_push(c->remote, &specs, &opts);
	if (rc == 0)
		return c->err.code;
	refused(c, child_git_error(c, rc, "push the revert"));
	return err_hint(&c->err, "the token of the source must be allowed to push, "
			"and a local repository must be bare");
}

static void answer(struct child *c, const git_oid *id)
{
	memcpy(c->ans.commit.b, id->id, sizeof(c->ans.commit.b));
}

enum code child_revert(struct child *c)
{
	git_oid id;
	bool is_there;
	enum code rc = refused(c, child_connect(c, GIT_DIRECTION_PUSH));

	if (rc == OK)
		rc = child_find_ref(c, c->req.push, &id, &is_there);
	if (rc)
		return rc;
	if (!is_there) {
		rc = make_revert(c, &id);
		if (rc == OK)
			rc = push(c, &id);
	}
	if (rc == OK)
		answer(c, &id);
	return rc;
}
