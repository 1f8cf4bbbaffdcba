/* The steps of a job: see pass.h. */
#include "source/pass.h"

#include "base/clock.h"
#include "source/tree.h"

#include "base/banned.h"

#define INTERVAL_MIN_MS 1000
#define INTERVAL_DEFAULT_MS 60000
/* Contents after which the picture is renewed. */
#define PICTURE_CONTENTS 256

enum code pass_begin(struct pass *p, struct job *job, struct err *err)
{
	*p = (struct pass){ .job = job, .tenant = str_of(job->tenant),
			    .name = str_of(job->name), .doc = doc_limits_default };
	p->arena = arena_new(16 * 1024);
	if (job->settings->limits.file_bytes)
		p->doc.bytes_max = job->settings->limits.file_bytes;
	job->phase = STATUS_READY;
	job->interval_ms = INTERVAL_DEFAULT_MS;
	return view_new(job->store, &p->view, err);
}

void pass_plan_end(struct pass *p)
{
	plan_free(&p->plan);
	feed_free(&p->feed);
	p->bytes = p->ignored_added = p->ignored_removed = 0;
}

void pass_end(struct pass *p)
{
	pass_plan_end(p);
	repo_free(&p->repo);
	if (p->dir)
		clones_let_go(p->job->clones, p->dir);
	if (p->view)
		view_idle(p->view);
	view_free(&p->view);
	buf_fini(&p->content);
	buf_fini(&p->path);
	arena_free(&p->arena);
}

bool pass_is_cancelled(const struct pass *p)
{
	return atomic_load(&p->job->cancel);
}

/* ---- the source ---- */

static enum code parse_json(struct pass *p, struct str text,
			    const struct value **out, struct err *err)
{
	struct value *v = NULL;
	enum code rc;

	*out = NULL;
	if (!text.n)
		return OK;
	/* What is parsed must outlive the picture. */
	rc = doc_parse_json(arena_str(p->arena, text), p->arena, NULL, &v, err);
	*out = v;
	return rc;
}

static uint64_t interval_of(const struct value *spec)
{
	uint64_t ms;

	if (!str_duration_ms(value_text_at(spec, "interval"), &ms))
		return INTERVAL_DEFAULT_MS;
	return MAX(ms, (uint64_t)INTERVAL_MIN_MS);
}

/* Reads the source out of a picture that has at least 'min_rev'. */
enum code pass_load(struct pass *p, uint64_t min_rev, struct err *err)
{
	struct job *j = p->job;
	enum code rc = view_use(p->view, min_rev, &p->txn, err);

	if (rc == OK)
		rc = view_object(p->txn, KIND_SOURCE, p->tenant, p->name,
				 &p->object, err);
	if (rc) {
		j->is_gone = rc == E_NOT_FOUND;
		return rc;
	}
	rc = parse_json(p, p->object.row.spec, &p->spec, err);
	if (rc == OK)
		rc = parse_json(p, p->object.row.status, &p->status, err);
	if (rc)
		return err_wrap(err, "the source's row");
	status_parse(p->status, &p->before);
	j->generation = p->object.row.generation;
	j->interval_ms = interval_of(p->spec);
	j->uid = p->object.row.uid;
	p->object.row.status = arena_str(p->arena, p->object.row.status);
	p->config = (struct plan_config){
		.tenant = p->tenant, .source = p->name,
		.uid = p->object.row.uid, .rev = p->object.row.rev,
		.commit = p->fetched.commit,
		.message = str_of(p->commit.summary),
		.author = str_of(p->commit.author),
		.prune = value_to_bool(value_getz(p->spec, "prune"), false),
		.limits = &p->doc,
		.origin = arena_printf(p->arena, "git %.*s",
				       STR_ARG(value_text_at(p->spec, "url"))),
	};
	return OK;
}

/* ---- status ---- */

struct str pass_status(struct pass *p, struct status_write *w)
{
	w->generation = p->object.row.generation;
	return status_text(p->arena, p->status, w, clock_wall_ms());
}

/* Writes a status alone, unless it says what is said already. */
enum code pass_write_status(struct pass *p, struct status_write *w,
			      struct err *err)
{
	struct str text = pass_status(p, w);
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out;
	enum code rc;

	if (str_eq(text, p->object.row.status))
		return OK;
	plan_status_command(&p->config, text, clock_wall_ms(), &bytes);
	rc = store_submit_wait(p->job->store, buf_view(&bytes), p->arena, &out,
			       err);
	if (rc == OK && out.code)
		rc = err_set(err, out.code, "%s", out.text);
	if (rc == OK && out.n_results)
		p->config.rev = out.results[0].rev;
	return rc;
}

/* Which word a condition gives for what went wrong, and whether only a change
 * of commit, source or setting can help. */
static const char *reason_of(enum code rc, bool fetched, bool *stalls)
{
	*stalls = true;
	switch (rc) {
	case E_UNPROCESSABLE:
	case E_PARSE:
		return "InvalidContent";
	case E_MANAGED:
		return "AddressOwned";
	case E_INVALID:
		return "InvalidSpec";
	case E_DENIED:
		return fetched ? "Denied" : "UrlNotAllowed";
	case E_REJECTED:
		return "Rejected";
	case E_TOO_LARGE:
		return "TooLarge";
	default:
		break;
	}
	*stalls = false;
	switch (rc) {
	case E_FROZEN:
		return "Frozen";
	case E_TIMEOUT:
		return "Timeout";
	case E_UNAUTHORIZED:
		return "AuthenticationFailed";
	/* A larger quota helps, which nobody tells a source. */
	case E_QUOTA:
		return "QuotaExceeded";
	case E_NOT_FOUND:
		return fetched ? "ApplyFailed" : "RefNotFound";
	default:
		return fetched ? "ApplyFailed" : "FetchFailed";
	}
}

/* The store will not take a status either; ask again soon. */
static bool is_of_store(enum code rc)
{
	switch (rc) {
	case E_CONFLICT:
	case E_BUSY:
	case E_NOT_LEADER:
	case E_UNCERTAIN:
	case E_BLOB_MISSING:
	case E_CANCELLED:
	case E_FULL:
		return true;
	default:
		return false;
	}
}

void pass_fail(struct pass *p, enum code rc, const struct err *err)
{
	struct job *j = p->job;
	struct err ignored;
	bool stalls;
	struct status_write w = {
		.reason = reason_of(rc, p->revision.n > 0, &stalls),
		.attempted = p->revision,
		.message = err->hint[0] ?
				   arena_printf(p->arena, "%s (%s)", err->text,
						err->hint) :
				   arena_str(p->arena, str_of(err->text)),
	};

	j->phase = w.phase = stalls ? STATUS_STALLED : STATUS_FAILING;
	j->result.code = rc;
	str_copy(j->result.text, sizeof(j->result.text), str_of(err->text));
	str_copy(j->result.hint, sizeof(j->result.hint), str_of(err->hint));
	j->is_transient |= is_of_store(rc);
	if (j->is_gone || j->is_transient || j->ends)
		return;
	/* AddressOwned may end without a new commit; what a file holds not. */
	if ((rc == E_UNPROCESSABLE || rc == E_TOO_LARGE) && p->revision.n) {
		j->memory = (struct job_memory){ true, p->fetched.commit,
						 j->generation, *err };
		j->memory.err.code = rc;
	}
	if (pass_load(p, 0, &ignored) == OK && pass_write_status(p, &w, &ignored))
		j->is_transient = true;
}

/* ---- fetching ---- */

enum code pass_fetch(struct pass *p, struct err *err)
{
	const struct source_settings *s = p->job->settings;
	struct fetch_target target = {
		.url = value_text_at(p->spec, "url"),
		.branch = value_text_at(p->spec, "ref.branch"),
		.tag = value_text_at(p->spec, "ref.tag"),
	};
	enum code rc;

	if (!target.branch.n && !target.tag.n)
		target.branch = STR("main");
	(void)!str_duration_ms(value_text_at(p->spec, "timeout"),
			       &target.timeout_ms);
	p->ref = target.tag.n ? target.tag : target.branch;
	must(!p->dir);
	/* Who only plans has a clone of his own, so that he waits for no strand. */
	p->dir = arena_z(p->arena,
			 clones_path(p->job->clones, p->arena, p->tenant, p->name,
				     target.url, p->job->plans));
	clones_hold(p->job->clones, p->dir);
	clones_trim(p->job->clones, p->dir);
	target.dir = p->dir;
	rc = fetch_run(s, &target, &p->job->cancel, &p->fetched, err);
	p->job->fetch_us = p->fetched.us;
	p->job->fetch_bytes = p->fetched.bytes;
	p->seen_ms = clock_mono_ms();
	return rc;
}

/* Opens the clone and reads the commit; a clone that is damaged is removed,
 * because it is only a cache. */
enum code pass_open_commit(struct pass *p, struct err *err)
{
	enum code rc = repo_open(p->dir, &p->repo, err);

	if (rc == OK)
		rc = repo_commit(p->repo, &p->fetched.commit, &p->commit, err);
	if (rc == E_CORRUPT || rc == E_NOT_FOUND) {
		repo_free(&p->repo);
		(void)!fetch_clone_trim(p->dir, 0, 0);
		p->job->is_transient = true;
		return err_set(err, E_IO, "the clone was damaged, and is made "
					  "anew");
	}
	if (rc == OK)
		p->revision = status_revision(p->arena, p->ref,
					      &p->fetched.commit);
	str_copy(p->job->result.revision, sizeof(p->job->result.revision),
		 p->revision);
	return rc;
}

/* ---- what is invalid ---- */

static unsigned lines_of(struct str text)
{
	unsigned n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static void put_word(struct buf *out, struct str word, char end)
{
	for (size_t i = 0; i < word.n; i++)
		buf_c(out, (unsigned char)word.p[i] < ' ' ? ' ' : word.p[i]);
	buf_c(out, end);
}

/* All that is wrong with a commit is told.  OK: it goes on, for the rest of it. */
static enum code judge(struct pass *p, enum code rc, struct str path, struct str object,
		       const struct err *err)
{
	struct source_result *res = &p->job->result;
	struct str reason = str_of(err->text);
	AUTO_BUF line = BUF_NONE;
	size_t n = strlen(res->invalid);

	if (rc != E_UNPROCESSABLE && rc != E_MANAGED)
		return rc;
	if (!res->n_invalid++) {
		err_copy(&p->first, err);
		p->first.code = rc;
	}
	if (str_starts(reason, path) && str_starts(str_from(reason, path.n), STR(": ")))
		reason = str_from(reason, path.n + 2);
	put_word(&line, path, '\t');
	put_word(&line, object, '\t');
	put_word(&line, reason, '\n');
	/* Those behind the first that finds no room are counted alone. */
	if (n + line.n >= sizeof(res->invalid) ||
	    res->n_invalid != lines_of(str_of(res->invalid)) + 1)
		return OK;
	memcpy(res->invalid + n, line.p, line.n);
	res->invalid[n + line.n] = '\0';
	return OK;
}

static enum code check_verdicts(const struct pass *p, struct err *err)
{
	unsigned n = p->job->result.n_invalid;
	char text[320];

	if (!n)
		return OK;
	/* As the only one, it is what the source's status says. */
	if (!p->job->plans) {
		str_copy(text, sizeof(text), str_of(p->first.text));
		if (n == 1)
			err_set(err, p->first.code, "%s", text);
		else
			err_set(err, p->first.code, "%s; and %u more of what the commit "
				"holds %s invalid", text, n - 1, n == 2 ? "is" : "are");
		return err_hint(err, "%s", p->first.hint);
	}
	err_set(err, E_UNPROCESSABLE, "%u of what the commit holds %s invalid", n,
		n == 1 ? "is" : "are");
	return err_hint(err, "nothing is planned until all of it is right");
}

/* ---- comparing ---- */

/* What Git LFS leaves in place of a file (its docs/spec.md: less than 1,024 bytes, and
 * the version first). */
static bool is_lfs_pointer(struct str content)
{
	return content.n < 1024 &&
	       str_starts(content, STR("version https://git-lfs.github.com/spec/"));
}

static enum code refuse_pointer(struct str path, struct err *err)
{
	err_set(err, E_UNPROCESSABLE, "%.*s: a pointer of Git LFS, not the file itself",
		(int)MIN(path.n, (size_t)250), path.p);
	return err_hint(err, "what lies in LFS is not fetched: keep configuration in "
			"Git (git lfs untrack, git add --renormalize)");
}

/* Reads a blob into p->content, with the bound on the whole pass. */
static enum code read_blob(struct pass *p, struct str path,
			   const struct oid *id, struct err *err)
{
	const struct source_limits *l = &p->job->settings->limits;
	uint64_t total = l->total_bytes ? l->total_bytes : 4ull << 30;
	enum code rc;

	if (pass_is_cancelled(p))
		return err_set(err, E_CANCELLED, "the reconcile was ended");
	buf_reset(&p->content);
	rc = repo_blob(p->repo, id, l->file_bytes ? l->file_bytes :
						    CONTENT_BYTES_MAX,
		       &p->content, err);
	if (rc) {
		err_wrap(err, "%.*s", (int)MIN(path.n, (size_t)250), path.p);
		return rc == E_TOO_LARGE ? E_UNPROCESSABLE : rc;
	}
	p->bytes += p->content.n;
	if (p->bytes > total)
		return err_set(err, E_TOO_LARGE,
			       "the files that differ have more than %llu bytes",
			       (unsigned long long)total);
	return is_lfs_pointer(buf_view(&p->content)) ? refuse_pointer(path, err) : OK;
}

static struct str text_at(struct pass *p, const struct address *at)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, at);
	return arena_str(p->arena, buf_view(&text));
}

static enum code on_file(void *data, enum tree_change change, struct str path,
			 const struct oid *id, const struct oid *before,
			 struct err *err)
{
	struct pass *p = data;
	struct address at;
	enum code rc;

	(void)before;
	if (!layout_match(&p->layout, p->tenant, path, &at)) {
		p->ignored_added += change == TREE_ADDED;
		p->ignored_removed += change == TREE_REMOVED;
		return OK;
	}
	if (change == TREE_REMOVED)
		return plan_gone(p->plan, &at, err);
	rc = read_blob(p, path, id, err);
	if (rc == OK)
		rc = plan_file(p->plan, path, &at, buf_view(&p->content), err);
	return rc ? judge(p, rc, path, text_at(p, &at), err) : OK;
}

struct manifest_file {
	struct pass *pass;
	struct str path;
	bool is_judged;                  /* its last object was */
};

static enum code on_object(void *data, const struct manifest *m, struct err *err)
{
	struct manifest_file *f = data;
	enum code rc = m ? plan_manifest(f->pass->plan, f->path, m, err) : err->code;

	f->is_judged = rc != OK;
	return rc ? judge(f->pass, rc, f->path, m ? m->name : STR_NONE, err) : OK;
}

static enum code on_manifest(void *data, enum tree_change change,
			     struct str path, const struct oid *id,
			     const struct oid *before, struct err *err)
{
	struct pass *p = data;
	AUTO_ARENA arena = arena_new(0);
	struct manifest_file f = { p, path, false };
	enum code rc;

	(void)change;
	(void)before;
	if (p->prefix.n) {
		buf_reset(&p->path);
		buf_printf(&p->path, "%.*s/%.*s", STR_ARG(p->prefix),
			   STR_ARG(path));
		f.path = buf_view(&p->path);
	}
	if (!layout_is_manifest(&p->layout, f.path)) {
		p->ignored_added++;
		return OK;
	}
	rc = read_blob(p, f.path, id, err);
	if (rc == OK)
		rc = layout_manifests(f.path, p->tenant, buf_view(&p->content), arena,
				      &p->doc, on_object, &f, err);
	return rc && !f.is_judged ? judge(p, rc, f.path, STR_NONE, err) : rc;
}

static enum code compare(struct pass *p, const struct oid *before,
			 const struct oid *after, tree_cb *cb, struct err *err)
{
	const struct source_limits *l = &p->job->settings->limits;
	struct tree_limits limits = { l->depth ? l->depth : 32,
				      l->entries ? l->entries : 1000000 };
	struct tree_stats stats;
	enum code rc = tree_compare(p->repo, before, after, &limits, cb, p,
				    &stats, err);

	p->job->opened = stats.opened;
	return rc;
}

/* All manifests are read where anything below their folder differs: a document
 * may move between files, and names are unique over all of them. */
static enum code compare_manifests(struct pass *p, struct err *err)
{
	enum repo_mode mode;
	struct oid folder;
	enum code rc = repo_find(p->repo, &p->commit.tree, p->layout.path,
				 &folder, &mode, err);

	if (rc == OK && mode != REPO_TREE)
		rc = err_set(err, E_NOT_FOUND, "\"%.*s\" is no folder",
			     STR_ARG(p->layout.path));
	if (rc) {
		err_wrap(err, "spec.layout.manifests.path");
		return rc == E_NOT_FOUND ? E_UNPROCESSABLE : rc;
	}
	p->prefix = p->layout.path;
	return compare(p, NULL, &folder, on_manifest, err);
}

/* The tree that was applied last, where this clone still has it and the source
 * still means the same by it. */
static bool base_tree(struct pass *p, struct oid *out)
{
	struct commit_info info;
	uint64_t generation = 0;

	(void)!value_to_u64(value_getz(p->status, "lastAppliedGeneration"),
			    &generation);
	if (!p->before.has_applied || generation != p->object.row.generation ||
	    p->layout.type != LAYOUT_FILES)
		return false;
	if (repo_commit(p->repo, &p->before.applied, &info, NULL))
		return false;
	*out = info.tree;
	return true;
}

/* The plan keeps nothing of the picture, and expects a revision of each object
 * it changes: so the picture may move on meanwhile.  It must, because the store
 * cannot use its freed pages again while an old one is held, and a first import
 * writes for many seconds. */
static enum code on_content(void *data, struct str bytes, struct err *err)
{
	struct pass *p = data;
	/* Of a commit that is refused nothing more is kept. */
	enum code rc = p->job->result.n_invalid ? OK : feed_put(p->feed, bytes, err);

	if (rc || ++p->contents % PICTURE_CONTENTS)
		return rc;
	view_idle(p->view);
	rc = view_use(p->view, 0, &p->txn, err);
	/* Of another store, where a checkpoint was installed: the old one is gone. */
	if (rc == OK)
		plan_renew(p->plan, p->txn);
	return rc;
}

enum code pass_plan(struct pass *p, struct err *err)
{
	uint64_t start = clock_mono_ns();
	struct oid base;
	bool has_base;
	enum code rc = layout_of_spec(p->spec, p->arena, &p->layout, err);

	if (rc)
		return rc;
	p->job->result.n_invalid = 0;
	p->job->result.invalid[0] = '\0';
	has_base = base_tree(p, &base);
	p->config.full = !has_base;
	p->config.content = on_content;
	p->config.data = p;
	p->feed = feed_new(p->job->store, p->tenant);
	p->plan = plan_new(p->txn, &p->config);
	if (p->layout.type == LAYOUT_MANIFESTS)
		rc = compare_manifests(p, err);
	else
		rc = compare(p, has_base ? &base : NULL, &p->commit.tree,
			     on_file, err);
	/* What ends it early is no list of what is invalid. */
	if (rc)
		p->job->result.n_invalid = 0;
	else
		rc = check_verdicts(p, err);
	if (rc == OK)
		rc = plan_seal(p->plan, err);
	p->job->plan_us = (clock_mono_ns() - start) / 1000;
	return rc;
}

/* ---- what is said once it is live ---- */

static struct str counts_text(struct pass *p)
{
	const struct plan_counts *c = plan_counts(p->plan);
	AUTO_BUF b = BUF_NONE;

	buf_printf(&b, "applied %.*s", STR_ARG(p->revision));
	if (c->held)
		buf_printf(&b, "; %llu rolled back and held",
			   (unsigned long long)c->held);
	if (c->orphans)
		buf_printf(&b, "; %llu gone from Git and left live (prune is off)",
			   (unsigned long long)c->orphans);
	return arena_str(p->arena, buf_view(&b));
}

static void count(struct pass *p, struct status_write *w)
{
	const struct plan_counts *c = plan_counts(p->plan);

	w->has_counts = true;
	w->configs = p->config.full ? plan_owned(p->plan) :
		     p->before.configs + c->added -
			     MIN(p->before.configs + c->added,
				 c->removed + c->orphans);
	w->ignored = p->config.full ? p->ignored_added :
		     p->before.ignored + p->ignored_added -
			     MIN(p->before.ignored + p->ignored_added,
				 p->ignored_removed);
}

struct str pass_ready_status(struct pass *p)
{
	struct status_write w = {
		.phase = STATUS_READY, .reason = "Applied",
		.message = counts_text(p),
		.applied = p->revision, .attempted = p->revision,
		.has_lag = true, .lag_ms = clock_mono_ms() - p->seen_ms,
		.applied_generation = p->object.row.generation,
	};

	count(p, &w);
	return pass_status(p, &w);
}
