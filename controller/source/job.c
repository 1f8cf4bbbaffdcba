/* One pass over one source: see job.h. */
#include "source/job.h"

#include "base/clock.h"
#include "source/feed.h"
#include "source/fetch.h"
#include "source/layout.h"
#include "source/plan.h"
#include "source/tree.h"

#include "base/banned.h"

#define TRIES 4
#define INTERVAL_MIN_MS 1000
#define INTERVAL_DEFAULT_MS 60000
/* From this many operations on a status says that they are being applied. */
#define LARGE_PLAN 500
/* Contents after which the picture is renewed. */
#define PICTURE_CONTENTS 256

/* What the worker holds while a job runs. */
struct pass {
	struct job *job;
	struct arena *arena;             /* the whole pass */
	struct str tenant, name;
	struct view *view;
	struct kv_txn *txn;
	/* The source as it is now. */
	struct object_view object;
	const struct value *spec, *status;
	struct status_read before;
	struct layout layout;
	struct str ref;                  /* branch or tag */
	/* The commit. */
	const char *dir;
	struct fetch_result fetched;
	uint64_t seen_ms;                /* monotonic, when the fetch was done */
	struct repo *repo;
	struct commit_info commit;
	struct str revision;
	/* The plan. */
	struct plan_config config;
	struct plan *plan;
	struct feed *feed;
	struct doc_limits doc;
	uint64_t bytes, contents, ignored_added, ignored_removed;
	struct str prefix;               /* manifests: of the paths told */
	struct buf content, path;
};

static void pass_plan_end(struct pass *p)
{
	plan_free(&p->plan);
	feed_free(&p->feed);
	p->bytes = p->ignored_added = p->ignored_removed = 0;
}

static void pass_end(struct pass *p)
{
	pass_plan_end(p);
	repo_free(&p->repo);
	if (p->view)
		view_idle(p->view);
	view_free(&p->view);
	buf_fini(&p->content);
	buf_fini(&p->path);
	arena_free(&p->arena);
}

static bool is_cancelled(const struct pass *p)
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
static enum code load(struct pass *p, uint64_t min_rev, struct err *err)
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

static struct str next_status(struct pass *p, struct status_write *w)
{
	w->generation = p->object.row.generation;
	return status_text(p->arena, p->status, w, clock_wall_ms());
}

/* Writes a status alone, unless it says what is said already. */
static enum code write_status(struct pass *p, struct status_write *w,
			      struct err *err)
{
	struct str text = next_status(p, w);
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
	case E_TOO_LARGE:
		return "TooLarge";
	default:
		break;
	}
	*stalls = false;
	switch (rc) {
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

static void fail(struct pass *p, enum code rc, const struct err *err)
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
	if (load(p, 0, &ignored) == OK && write_status(p, &w, &ignored))
		j->is_transient = true;
}

/* ---- fetching ---- */

static enum code fetch(struct pass *p, struct err *err)
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
	p->dir = arena_z(p->arena,
			 fetch_clone_dir(s, p->arena, p->tenant, p->name,
					 target.url));
	fetch_clone_trim(p->dir, s->limits.packs ? s->limits.packs : 64);
	target.dir = p->dir;
	rc = fetch_run(s, &target, &p->job->cancel, &p->fetched, err);
	p->job->fetch_us = p->fetched.us;
	p->job->fetch_bytes = p->fetched.bytes;
	p->seen_ms = clock_mono_ms();
	return rc;
}

/* Opens the clone and reads the commit; a clone that is damaged is removed,
 * because it is only a cache. */
static enum code open_commit(struct pass *p, struct err *err)
{
	enum code rc = repo_open(p->dir, &p->repo, err);

	if (rc == OK)
		rc = repo_commit(p->repo, &p->fetched.commit, &p->commit, err);
	if (rc == E_CORRUPT || rc == E_NOT_FOUND) {
		repo_free(&p->repo);
		fetch_clone_trim(p->dir, 0);
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

/* ---- comparing ---- */

/* Reads a blob into p->content, with the bound on the whole pass. */
static enum code read_blob(struct pass *p, struct str path,
			   const struct oid *id, struct err *err)
{
	const struct source_limits *l = &p->job->settings->limits;
	uint64_t total = l->total_bytes ? l->total_bytes : 4ull << 30;
	enum code rc;

	if (is_cancelled(p))
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
	return OK;
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
	return rc ? rc : plan_file(p->plan, path, &at, buf_view(&p->content), err);
}

struct manifest_file {
	struct pass *pass;
	struct str path;
};

static enum code on_object(void *data, const struct manifest *m, struct err *err)
{
	struct manifest_file *f = data;

	return plan_manifest(f->pass->plan, f->path, m, err);
}

static enum code on_manifest(void *data, enum tree_change change,
			     struct str path, const struct oid *id,
			     const struct oid *before, struct err *err)
{
	struct pass *p = data;
	AUTO_ARENA arena = arena_new(0);
	struct manifest_file f = { p, path };
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
	return rc ? rc :
		    layout_manifests(f.path, p->tenant, buf_view(&p->content),
				     arena, &p->doc, on_object, &f, err);
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
	enum code rc = feed_put(p->feed, bytes, err);

	if (rc || ++p->contents % PICTURE_CONTENTS)
		return rc;
	view_idle(p->view);
	return view_use(p->view, 0, &p->txn, err);
}

static enum code make_plan(struct pass *p, struct err *err)
{
	uint64_t start = clock_mono_ns();
	struct oid base;
	bool has_base;
	enum code rc = layout_of_spec(p->spec, p->arena, &p->layout, err);

	if (rc)
		return rc;
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
	if (rc == OK)
		rc = plan_seal(p->plan, err);
	p->job->plan_us = (clock_mono_ns() - start) / 1000;
	return rc;
}

/* ---- applying ---- */

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

static struct str ready_status(struct pass *p)
{
	struct status_write w = {
		.phase = STATUS_READY, .reason = "Applied",
		.message = counts_text(p),
		.applied = p->revision, .attempted = p->revision,
		.has_lag = true, .lag_ms = clock_mono_ms() - p->seen_ms,
		.applied_generation = p->object.row.generation,
	};

	count(p, &w);
	return next_status(p, &w);
}

/* A large command takes its time; say so first. */
static enum code announce(struct pass *p, struct err *err)
{
	struct status_write w = {
		.phase = STATUS_RECONCILING, .reason = "Applying",
		.message = arena_printf(p->arena, "applying %.*s: %zu operations",
					STR_ARG(p->revision),
					plan_size(p->plan)),
		.attempted = p->revision,
	};
	enum code rc;

	if (plan_size(p->plan) < LARGE_PLAN)
		return OK;
	rc = write_status(p, &w, err);
	if (rc == OK)
		plan_rebase(p->plan, p->config.rev);
	return rc;
}

/* An uncertain write is asked again under its key: it happens at most once. */
static enum code submit(struct pass *p, struct str bytes, struct outcome *out,
			struct err *err)
{
	enum code rc = E_UNCERTAIN;

	for (unsigned i = 0; i < TRIES && rc == E_UNCERTAIN; i++) {
		rc = store_submit_wait(p->job->store, bytes, p->arena, out, err);
		if (rc == OK && out->code) {
			rc = err_set(err, out->code, "%s", out->text);
			if (out->hint[0])
				err_hint(err, "%s", out->hint);
		}
	}
	return rc;
}

static enum code apply_plan(struct pass *p, struct err *err)
{
	struct job *j = p->job;
	uint64_t start = clock_mono_ns();
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out = { 0 };
	struct str status;
	uint64_t formatting;
	enum code rc = feed_flush(p->feed, err);

	j->result.operations = plan_size(p->plan);
	if (rc == OK)
		rc = announce(p, err);
	if (rc)
		return rc;
	status = ready_status(p);
	plan_command(p->plan, status, clock_wall_ms(), &bytes);
	formatting = plan_counts(p->plan)->formatting;
	/* A first import is large twice over: as a plan and as bytes. */
	if (plan_size(p->plan) >= LARGE_PLAN)
		plan_free(&p->plan);
	if (is_cancelled(p))
		return err_set(err, E_CANCELLED, "the reconcile was ended");
	rc = submit(p, buf_view(&bytes), &out, err);
	j->submit_us = (clock_mono_ns() - start) / 1000;
	if (rc == OK) {
		j->result.rev = out.rev;
		j->formatting = formatting;
	}
	return rc;
}

/* ---- the pass ---- */

/* The same commit under the same spec is live already. */
static bool is_done(struct pass *p)
{
	uint64_t generation = 0;

	(void)!value_to_u64(value_getz(p->status, "lastAppliedGeneration"),
			    &generation);
	return generation == p->object.row.generation &&
	       str_eq(p->before.applied_text, p->revision);
}

/* After a failure that is over the conditions say so; else nothing is
 * written. */
static enum code stay_ready(struct pass *p, struct err *err)
{
	struct status_write w = {
		.phase = STATUS_READY, .reason = "Applied",
		.message = arena_printf(p->arena, "applied %.*s",
					STR_ARG(p->revision)),
		.attempted = p->revision,
	};

	if (status_is_ready(p->status))
		return OK;
	return write_status(p, &w, err);
}

static bool is_known_bad(struct pass *p)
{
	const struct job_memory *m = &p->job->memory;

	return m->has_bad && oid_eq(&m->commit, &p->fetched.commit) &&
	       m->generation == p->object.row.generation;
}

static enum code try_once(struct pass *p, uint64_t generation, struct err *err)
{
	enum code rc = load(p, 0, err);

	if (rc)
		return rc;
	/* The spec moved while the fetch ran: this is work overtaken. */
	if (p->object.row.generation != generation)
		return err_set(err, E_CONFLICT, "the source changed meanwhile");
	if (is_done(p))
		return stay_ready(p, err);
	if (is_known_bad(p)) {
		err_copy(err, &p->job->memory.err);
		return err->code;
	}
	rc = make_plan(p, err);
	return rc ? rc : apply_plan(p, err);
}

static enum code run(struct pass *p, struct err *err)
{
	struct job *j = p->job;
	uint64_t generation;
	enum code rc = load(p, 0, err);

	if (rc)
		return rc;
	if (value_to_bool(value_getz(p->spec, "suspend"), false)) {
		struct status_write w = { .phase = STATUS_SUSPENDED,
					  .reason = "Suspended",
					  .message = STR("spec.suspend is true") };

		j->phase = STATUS_SUSPENDED;
		(void)!write_status(p, &w, err);
		return err_set(err, E_CONFLICT, "the source is suspended");
	}
	generation = j->generation;
	/* A picture is not held over a fetch that may take a minute; what was
	 * parsed from it lives in the arena. */
	view_idle(p->view);
	rc = fetch(p, err);
	if (rc == OK)
		rc = open_commit(p, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < TRIES; i++) {
		rc = try_once(p, generation, err);
		pass_plan_end(p);
		if ((rc != E_CONFLICT && rc != E_BLOB_MISSING) || is_cancelled(p))
			break;
	}
	return rc;
}

/* What a deleted source owned goes with it or is nobody's; the precondition is
 * that there is no such source. */
static enum code end_source(struct pass *p, struct err *err)
{
	AUTO_BUF bytes = BUF_NONE;
	struct outcome out;
	bool prunes = p->job->prunes;
	enum code rc = view_use(p->view, 0, &p->txn, err);

	if (rc)
		return rc;
	p->config = (struct plan_config){
		.tenant = p->tenant, .source = p->name, .uid = p->job->uid,
		.origin = STR("git"), .message = STR("the source was deleted"),
		.prune = prunes, .full = prunes,
	};
	p->plan = plan_new(p->txn, &p->config);
	rc = plan_leave(p->plan, err);
	if (rc == OK)
		rc = plan_seal(p->plan, err);
	if (rc || plan_size(p->plan) == 0)
		return rc;
	plan_command(p->plan, STR_NONE, clock_wall_ms(), &bytes);
	rc = submit(p, buf_view(&bytes), &out, err);
	p->job->result.operations = plan_size(p->plan);
	return rc;
}

/* Somebody may write in between, and then the plan is made anew; a source that
 * was made again owns them again, which its strand is told by an event. */
static enum code end_source_surely(struct pass *p, struct err *err)
{
	struct object_view made;
	enum code rc = E_CONFLICT;

	for (unsigned i = 0; i < TRIES && rc == E_CONFLICT && !is_cancelled(p);
	     i++) {
		rc = end_source(p, err);
		pass_plan_end(p);
	}
	if (rc == E_CONFLICT && view_use(p->view, 0, &p->txn, NULL) == OK &&
	    view_object(p->txn, KIND_SOURCE, p->tenant, p->name, &made,
			NULL) == OK)
		return OK;
	return rc;
}

void job_run(struct job *j)
{
	struct pass p = { .job = j, .tenant = str_of(j->tenant),
			  .name = str_of(j->name), .doc = doc_limits_default };
	struct err err = { 0 };
	enum code rc;

	p.arena = arena_new(16 * 1024);
	if (j->settings->limits.file_bytes)
		p.doc.bytes_max = j->settings->limits.file_bytes;
	j->phase = STATUS_READY;
	j->interval_ms = INTERVAL_DEFAULT_MS;
	rc = view_new(j->store, &p.view, &err);
	if (rc == OK)
		rc = j->ends ? end_source_surely(&p, &err) : run(&p, &err);
	if (rc && j->phase == STATUS_SUSPENDED)
		j->result.code = rc, str_copy(j->result.text,
					      sizeof(j->result.text),
					      str_of(err.text));
	else if (rc)
		fail(&p, rc, &err);
	pass_end(&p);
}
