/* Reading a bare clone: see git.h. */
#include "source/git.h"

#include <git2.h>
#include <git2/sys/alloc.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/hex.h"
#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

#define TREE_BYTES_MAX (64u << 20)
#define COMMIT_BYTES_MAX (1u << 20)

struct repo {
	git_repository *git;
	git_odb *odb;
};

/* Never made: a git_tree under our own name. */
struct repo_tree;

void oid_text(char out[OID_TEXT], const struct oid *id)
{
	hex_text(out, id->b, sizeof(id->b));
}

bool oid_parse(struct str s, struct oid *out)
{
	return s.n == 40 && hex_parse(s, out->b, sizeof(out->b));
}

/* ---- memory ---- */

/*
 * A pack says itself how large its objects are, and what is deflated takes a
 * thousandth of that.  The size of the object that is asked for can be looked at
 * before; that of what it is to be made from cannot, so the bound is here: the library
 * gets no piece above it.
 */
static _Atomic size_t piece_max = REPO_PIECE_MAX;

static void *too_much(void)
{
	git_error_set_oom();
	return NULL;
}

static void *lib_resize(void *p, size_t n, size_t size, const char *file, int line)
{
	size_t bytes;
	void *out;

	(void)file;
	(void)line;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > piece_max)
		return too_much();
	out = realloc(p, MAX(bytes, (size_t)1));
	return out ? out : too_much();
}

static void *lib_array(size_t n, size_t size, const char *file, int line)
{
	return lib_resize(NULL, n, size, file, line);
}

static void *lib_zeros(size_t n, size_t size, const char *file, int line)
{
	void *out = lib_resize(NULL, n, size, file, line);

	return out ? memset(out, 0, n * size) : NULL;
}

static void *lib_bytes(size_t n, const char *file, int line)
{
	return lib_resize(NULL, n, 1, file, line);
}

static void *lib_again(void *p, size_t n, const char *file, int line)
{
	return lib_resize(p, n, 1, file, line);
}

static char *lib_part(const char *z, size_t n, const char *file, int line)
{
	char *out = lib_resize(NULL, n + 1, 1, file, line);

	if (!out)
		return NULL;
	memcpy(out, z, n);
	out[n] = '\0';
	return out;
}

static char *lib_text(const char *z, const char *file, int line)
{
	return lib_part(z, strlen(z), file, line);
}

static char *lib_some(const char *z, size_t n, const char *file, int line)
{
	return lib_part(z, strnlen(z, n), file, line);
}

static git_allocator bounded = {
	.gmalloc = lib_bytes, .gcalloc = lib_zeros, .gstrdup = lib_text,
	.gstrndup = lib_some, .gsubstrdup = lib_part, .grealloc = lib_again,
	.greallocarray = lib_resize, .gmallocarray = lib_array, .gfree = free,
};

void repo_set_piece_max(size_t bytes)
{
	piece_max = bytes;
}

static void setup_once(void)
{
	must(git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &bounded) == 0);
	must(git_libgit2_init() > 0);
	/* What a user of this machine has configured for his own git says
	 * nothing about ours. */
	for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA;
	     level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
		git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
	/* The guard against foreign owners protects from hooks and
	 * configuration that run programs; objects alone are read here. */
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
}

void repo_setup(void)
{
	static uv_once_t once = UV_ONCE_INIT;

	uv_once(&once, setup_once);
}

/* The code that an error of the library means, with its text. */
static enum code from_git(int rc, struct err *err, const char *what)
{
	const git_error *e = git_error_last();
	const char *text = e && e->message ? e->message : "unknown error";

	if (rc == GIT_ENOTFOUND)
		return err_set(err, E_NOT_FOUND, "%s: %s", what, text);
	/* What is read was bounded before: it is made from what is larger. */
	if (e && e->klass == GIT_ERROR_NOMEMORY)
		return err_set(err, E_TOO_LARGE, "%s: it is kept as a change of an "
			       "object of more than %zu bytes", what,
			       (size_t)piece_max);
	if (e && e->klass == GIT_ERROR_OS)
		return err_set(err, E_IO, "%s: %s", what, text);
	return err_set(err, E_CORRUPT, "%s: %s", what, text);
}

static git_oid to_git(const struct oid *id)
{
	git_oid out;

	memcpy(out.id, id->b, sizeof(out.id));
	return out;
}

enum code repo_open(const char *path, struct repo **out, struct err *err)
{
	OWNED(repo) repo = NEW(struct repo);
	int rc;

	repo_setup();
	rc = git_repository_open_ext(&repo->git, path,
				     GIT_REPOSITORY_OPEN_NO_SEARCH |
					     GIT_REPOSITORY_OPEN_BARE |
					     GIT_REPOSITORY_OPEN_NO_DOTGIT,
				     NULL);
	if (rc == 0)
		rc = git_repository_odb(&repo->odb, repo->git);
	if (rc)
		return from_git(rc, err, "open the clone");
	*out = TAKE(repo);
	return OK;
}

void repo_free(struct repo **repo)
{
	if (!*repo)
		return;
	git_odb_free((*repo)->odb);
	git_repository_free((*repo)->git);
	free(*repo);
	*repo = NULL;
}

/* At most n - 1 bytes of 'z', cut at a character; what is not UTF-8 is left
 * out, because it goes into JSON. */
static void copy_text(char *to, size_t n, const char *z)
{
	struct str s = str_of(z);
	size_t used = 0;

	while (s.n) {
		size_t len = str_utf8_len(s);

		if (len && used + len < n) {
			memcpy(to + used, s.p, len);
			used += len;
		} else if (len) {
			break;
		}
		s = str_from(s, len ? len : 1);
	}
	to[used] = '\0';
}

enum code repo_resolve(struct repo *repo, struct str text, struct oid *out,
		       struct err *err)
{
	char hex[OID_TEXT];
	git_object *found = NULL;
	git_oid prefix;
	int rc;

	if (text.n < 7 || !str_copy(hex, sizeof(hex), text) ||
	    git_oid_fromstrn(&prefix, hex, text.n))
		return err_set(err, E_INVALID, "a commit is named by 7 to 40 hex "
			       "digits");
	rc = git_object_lookup_prefix(&found, repo->git, &prefix, text.n,
				      GIT_OBJECT_COMMIT);
	if (rc == GIT_EAMBIGUOUS)
		return err_set(err, E_INVALID, "several commits begin with %s", hex);
	if (rc == GIT_ENOTFOUND)
		return err_set(err, E_NOT_FOUND, "there is no commit %s in what the "
			       "source follows", hex);
	if (rc)
		return from_git(rc, err, "find the commit");
	memcpy(out->b, git_object_id(found)->id, sizeof(out->b));
	git_object_free(found);
	return OK;
}

static enum code check_size(struct repo *repo, const git_oid *id,
			    git_object_t want, uint64_t max, struct err *err)
{
	size_t size;
	git_object_t type;
	int rc = git_odb_read_header(&size, &type, repo->odb, id);

	if (rc)
		return from_git(rc, err, "read an object");
	if (type != want)
		return err_set(err, E_CORRUPT, "the object is a %s, not a %s",
			       git_object_type2string(type),
			       git_object_type2string(want));
	if (size > max)
		return err_set(err, E_TOO_LARGE,
			       "it has %zu bytes, at most %llu are taken", size,
			       (unsigned long long)max);
	return OK;
}

enum code repo_commit(struct repo *repo, const struct oid *commit,
		      struct commit_info *out, struct err *err)
{
	git_oid id = to_git(commit);
	git_commit *c = NULL;
	AUTO_BUF author = BUF_NONE;
	const git_signature *who;
	git_time_t at;
	enum code code = check_size(repo, &id, GIT_OBJECT_COMMIT, COMMIT_BYTES_MAX, err);
	int rc;

	if (code)
		return err ? err_wrap(err, "the commit") : code;
	rc = git_commit_lookup(&c, repo->git, &id);
	if (rc)
		return from_git(rc, err, "read the commit");
	memcpy(out->tree.b, git_commit_tree_id(c)->id, sizeof(out->tree.b));
	at = git_commit_time(c);
	out->time_ms = at > 0 ? (uint64_t)at * 1000 : 0;
	who = git_commit_author(c);
	buf_printf(&author, "%s <%s>", who->name, who->email);
	copy_text(out->author, sizeof(out->author), author.p);
	copy_text(out->summary, sizeof(out->summary), git_commit_summary(c));
	git_commit_free(c);
	return OK;
}

/* ---- trees ---- */

static const git_tree *git_of(const struct repo_tree *tree)
{
	return (const git_tree *)tree;
}

enum code repo_tree_open(struct repo *repo, const struct oid *id,
			 struct repo_tree **out, struct err *err)
{
	git_oid oid = to_git(id);
	git_tree *tree = NULL;
	enum code code = check_size(repo, &oid, GIT_OBJECT_TREE, TREE_BYTES_MAX,
				    err);
	int rc;

	if (code)
		return code;
	rc = git_tree_lookup(&tree, repo->git, &oid);
	if (rc)
		return from_git(rc, err, "read a folder");
	*out = (struct repo_tree *)tree;
	return OK;
}

void repo_tree_free(struct repo_tree **tree)
{
	git_tree_free((git_tree *)*tree);
	*tree = NULL;
}

size_t repo_tree_count(const struct repo_tree *tree)
{
	return git_tree_entrycount(git_of(tree));
}

static enum repo_mode mode_of(git_filemode_t mode)
{
	switch (mode) {
	case GIT_FILEMODE_BLOB:
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return REPO_FILE;
	case GIT_FILEMODE_TREE:
		return REPO_TREE;
	case GIT_FILEMODE_LINK:
		return REPO_SYMLINK;
	case GIT_FILEMODE_COMMIT:
		return REPO_SUBMODULE;
	default:
		return REPO_OTHER;
	}
}

static void entry_of(const git_tree_entry *e, struct repo_entry *out)
{
	out->name = str_of(git_tree_entry_name(e));
	out->mode = mode_of(git_tree_entry_filemode(e));
	memcpy(out->id.b, git_tree_entry_id(e)->id, sizeof(out->id.b));
}

void repo_tree_at(const struct repo_tree *tree, size_t i, struct repo_entry *out)
{
	const git_tree_entry *e = git_tree_entry_byindex(git_of(tree), i);

	must(e);
	entry_of(e, out);
}

static const git_tree_entry *by_name(const struct repo_tree *tree,
				     struct str name)
{
	char z[256];

	if (!str_copy(z, sizeof(z), name))
		return NULL;
	return git_tree_entry_byname(git_of(tree), z);
}

enum code repo_find(struct repo *repo, const struct oid *root, struct str path,
		    struct oid *out, enum repo_mode *mode, struct err *err)
{
	struct str rest = path;

	*out = *root;
	*mode = REPO_TREE;
	while (rest.n) {
		struct str name = str_cut(&rest, '/');
		OWNED(repo_tree) tree = NULL;
		const git_tree_entry *e = NULL;
		struct repo_entry entry;
		enum code rc;

		if (name.n == 0 || str_is(name, "."))
			continue;
		if (*mode == REPO_TREE) {
			rc = repo_tree_open(repo, out, &tree, err);
			if (rc)
				return rc;
			e = by_name(tree, name);
		}
		if (!e)
			return err_set(err, E_NOT_FOUND,
				       "\"%.*s\" is not in the repository",
				       STR_ARG(path));
		entry_of(e, &entry);
		*out = entry.id;
		*mode = entry.mode;
	}
	return OK;
}

/* ---- blobs ---- */

enum code repo_blob(struct repo *repo, const struct oid *id, uint64_t max,
		    struct buf *out, struct err *err)
{
	git_oid oid = to_git(id);
	git_odb_object *object = NULL;
	enum code code = check_size(repo, &oid, GIT_OBJECT_BLOB, max, err);
	int rc;

	if (code)
		return code;
	rc = git_odb_read(&object, repo->odb, &oid);
	if (rc)
		return from_git(rc, err, "read a file");
	buf_add(out, git_odb_object_data(object), git_odb_object_size(object));
	git_odb_object_free(object);
	return OK;
}

/* ---- request and answer ---- */

void fetch_request_encode(struct buf *out, const struct fetch_request *r)
{
	wr_str(out, r->dir);
	wr_str(out, r->url);
	wr_str(out, r->ref);
	wr_str(out, r->user);
	wr_str(out, r->token);
	wr_str(out, r->ca_file);
	wr_u8(out, r->allow_private);
	wr_var(out, r->bytes_max);
	wr_var(out, r->objects_max);
	wr_var(out, r->ms_max);
	wr_str(out, r->push);
	wr_str(out, r->message);
	wr_raw(out, r->revert.b, sizeof(r->revert.b));
	wr_raw(out, r->base.b, sizeof(r->base.b));
}

static void rd_oid(struct rd *rd, struct oid *out)
{
	struct str b = rd_raw(rd, sizeof(out->b));

	if (b.n == sizeof(out->b))
		memcpy(out->b, b.p, b.n);
}

bool fetch_request_decode(struct str in, struct fetch_request *r)
{
	struct rd rd = rd_of(in);

	r->dir = rd_str(&rd);
	r->url = rd_str(&rd);
	r->ref = rd_str(&rd);
	r->user = rd_str(&rd);
	r->token = rd_str(&rd);
	r->ca_file = rd_str(&rd);
	r->allow_private = rd_u8(&rd);
	r->bytes_max = rd_var(&rd);
	r->objects_max = rd_var(&rd);
	r->ms_max = rd_var(&rd);
	r->push = rd_str(&rd);
	r->message = rd_str(&rd);
	rd_oid(&rd, &r->revert);
	rd_oid(&rd, &r->base);
	return rd_done(&rd);
}

void fetch_answer_encode(struct buf *out, const struct fetch_answer *a)
{
	wr_var(out, a->code);
	wr_raw(out, a->commit.b, sizeof(a->commit.b));
	wr_var(out, a->bytes);
	wr_str(out, a->text);
	wr_str(out, a->hint);
}

bool fetch_answer_decode(struct str in, struct fetch_answer *a)
{
	struct rd rd = rd_of(in);
	uint64_t code = rd_var(&rd);
	struct str commit = rd_raw(&rd, sizeof(a->commit.b));

	a->bytes = rd_var(&rd);
	a->text = rd_str(&rd);
	a->hint = rd_str(&rd);
	if (!rd_done(&rd) || code_from_number(code) != code)
		return false;
	a->code = (enum code)code;
	memcpy(a->commit.b, commit.p, sizeof(a->commit.b));
	return true;
}
