/* Plans: see plan.h. */
#include "source/plan.h"

#include "base/map.h"
#include "base/mem.h"
#include "source/left.h"
#include "state/view.h"
#include "state/view_rollout.h"

#include "base/banned.h"

struct plan {
	const struct plan_config *config;
	struct kv_txn *txn;
	struct arena *arena;             /* what the command is made of */
	struct arena *scratch;           /* one file */
	struct str subject;
	struct command cmd;              /* ops on the heap: they are many */
	struct sha256_ctx *digest;
	struct sha256 sealed;
	struct map *seen;                /* objects told, by kind and name */
	struct map *parents;             /* applications, environments known */
	struct plan_counts counts;
	uint64_t owned;
	bool leaves;                     /* the source is no more */
};

struct str plan_subject(struct arena *arena, struct str ns, struct str name)
{
	return arena_printf(arena, "source:%.*s/%.*s", STR_ARG(ns),
			    STR_ARG(name));
}

struct plan *plan_new(struct kv_txn *txn, const struct plan_config *config)
{
	struct plan *p = NEW(struct plan);

	p->config = config;
	p->txn = txn;
	p->arena = arena_new(16 * 1024);
	p->scratch = arena_new(64 * 1024);
	p->subject = plan_subject(p->arena, config->tenant, config->source);
	p->digest = sha256_new();
	sha256_start(p->digest);
	p->seen = map_new();
	p->parents = map_new();
	return p;
}

void plan_renew(struct plan *p, struct kv_txn *txn)
{
	p->txn = txn;
}

void plan_free(struct plan **plan)
{
	struct plan *p = *plan;

	if (!p)
		return;
	free(p->cmd.ops);
	sha256_ctx_free(&p->digest);
	map_free(&p->seen);
	map_free(&p->parents);
	arena_free(&p->scratch);
	arena_free(&p->arena);
	free(p);
	*plan = NULL;
}

/* ---- operations ---- */

static struct op *add_op(struct plan *p, enum op_type type, enum kind_id kind,
			 struct str name)
{
	struct command *c = &p->cmd;
	struct op *op;

	mem_grow((void **)&c->ops, &c->cap_ops, c->n_ops + 1, sizeof(*c->ops));
	op = &c->ops[c->n_ops++];
	*op = (struct op){ .type = type, .kind = kind,
			   .tenant = p->config->tenant, .name = name };
	return op;
}

/* One line of the plan's canonical encoding; 'before' and 'after' are digests
 * of content, zeros where there is none. */
static void note(struct plan *p, const struct op *op, const struct sha256 *before,
		 const struct sha256 *after)
{
	static const struct sha256 none;
	AUTO_BUF b = BUF_NONE;

	wr_u8(&b, (uint8_t)op->type);
	wr_u8(&b, (uint8_t)op->kind);
	wr_str(&b, op->name);
	wr_raw(&b, before ? before->b : none.b, sizeof(none.b));
	wr_raw(&b, after ? after->b : none.b, sizeof(none.b));
	wr_u8(&b, op->formatting_only);
	wr_u64(&b, op->expect);
	wr_str(&b, op->spec);
	wr_str(&b, op->labels);
	wr_str(&b, op->meta);
	sha256_add(p->digest, b.p, b.n);
}

/* ---- what is live ---- */

struct found {
	bool is_there, is_ours, adopt;
	struct object_view object;
	bool has_default;
	struct rule rule;                /* the default rule */
	bool is_coming;                  /* a release brings something */
	struct releasing_at coming;
};

/* Ours, or left behind by a source that is no more: that one is adopted. */
static void judge_owner(struct plan *p, struct found *f)
{
	const struct object_row *row = &f->object.row;

	f->is_ours = row->manager == MANAGER_GIT &&
		     str_eq(row->manager_ref, p->subject);
	if (row->manager == MANAGER_API)
		f->adopt = left_is(&f->object);
	else if (row->manager == MANAGER_GIT && !f->is_ours)
		f->adopt = str_starts(row->manager_ref, STR("source:")) &&
			   !source_exists(p->txn, row->manager_ref);
}

static enum code owned_by_other(const struct found *f, struct str path,
				const struct address *at, struct err *err)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, at);
	err_set(err, E_MANAGED, "%.*s: %s is managed by %s%s%.*s",
		(int)MIN(path.n, (size_t)120), path.p, text.p,
		manager_name(f->object.row.manager),
		f->object.row.manager_ref.n ? " " : "",
		STR_ARG(f->object.row.manager_ref));
	return err_hint(err, "remove the file, or delete the configuration "
			     "there first");
}

/* Copies what a picture lends, because the row is needed after other reads
 * only during this call: the transaction does not move, so borrowing is fine. */
static enum code find_live(struct plan *p, struct str path,
			   const struct address *at, struct found *f,
			   struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct live_row live;
	struct str val;
	unsigned position;
	enum code rc;

	*f = (struct found){ 0 };
	address_key(&key, at);
	if (!kv_get(p->txn, KV_LIVE, buf_view(&key), &val))
		return OK;
	if (!live_row_decode(val, &live))
		return err_set(err, E_CORRUPT, "a live row is malformed");
	rc = view_object(p->txn, KIND_CONFIG, at->tenant, live.name, &f->object,
			 err);
	if (rc)
		return rc;
	f->is_there = true;
	judge_owner(p, f);
	if (!f->is_ours && !f->adopt)
		return owned_by_other(f, path, at, err);
	f->has_default = rules_pick_encoded(f->object.live.rules, CLIENT_NOBODY,
					    &f->rule, &position);
	f->is_coming = view_releasing(p->txn, at->tenant, live.name, &f->coming);
	return OK;
}

/* ---- parents ---- */

static enum code add_parent(struct plan *p, enum kind_id kind, struct str name,
			    struct value *spec, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct object_view view;
	struct op *op;
	enum code rc;

	buf_printf(&key, "%d ", (int)kind);
	buf_str(&key, name);
	if (map_get(p->parents, buf_view(&key)))
		return OK;
	map_put(p->parents, buf_view(&key), p);
	if (view_object(p->txn, kind, p->config->tenant, name, &view, NULL) == OK)
		return OK;
	op = add_op(p, OP_OBJECT_PUT, kind, arena_str(p->arena, name));
	op->uid = uuid_new();
	op->only_create = true;
	op->manager = MANAGER_GIT;
	op->manager_ref = p->subject;
	op->labels = op->meta = STR("{}");
	rc = layout_default_spec(kind, p->config->tenant, name, spec, p->scratch,
				 &op->spec, err);
	op->spec = arena_str(p->arena, op->spec);
	note(p, op, NULL, NULL);
	return rc;
}

static enum code add_parents(struct plan *p, const struct address *at,
			     struct err *err)
{
	struct str app = layout_application_name(p->scratch, at->application);
	struct value *spec = value_object(p->scratch);
	enum code rc = add_parent(p, KIND_APPLICATION, app,
				  value_object(p->scratch), err);

	value_setz(p->scratch, spec, "application",
		   value_str(p->scratch, at->application));
	value_setz(p->scratch, spec, "environment",
		   value_str(p->scratch, at->environment));
	return rc ? rc :
		    add_parent(p, KIND_ENVIRONMENT,
			       environment_object_name(p->scratch,
						       at->application,
						       at->environment),
			       spec, err);
}

/* ---- configurations ---- */

/* One configuration as the commit has it. */
struct wanted {
	struct str path;
	const struct address *at;
	struct str name;                 /* of the object; empty: by its address */
	struct str labels, meta, spec;   /* spec empty: of a file */
	enum format format;
	bool has_content;
	struct str content;
	const struct value *tree;
};

static struct op *put_op(struct plan *p, const struct wanted *w,
			 const struct found *f, struct str name)
{
	struct op *op = add_op(p, OP_OBJECT_PUT, KIND_CONFIG, name);

	op->expect = f->is_there ? f->object.rev : REV_NONE;
	op->uid = uuid_new();
	op->manager = MANAGER_GIT;
	op->manager_ref = p->subject;
	op->labels = arena_str(p->arena, w->labels);
	op->meta = arena_str(p->arena, w->meta);
	op->spec = arena_str(p->arena, w->spec);
	op->application = arena_str(p->arena, w->at->application);
	op->environment = arena_str(p->arena, w->at->environment);
	op->config_name = arena_str(p->arena, w->at->name);
	op->format = str_of(format_name(w->format));
	note(p, op, NULL, NULL);
	return op;
}

static bool needs_put(const struct wanted *w, const struct found *f)
{
	const struct object_row *row = &f->object.row;

	if (!f->is_there || f->adopt)
		return true;
	if (!str_eq(row->format, str_of(format_name(w->format))))
		return true;
	return w->name.n && (!str_eq(row->spec, w->spec) ||
			     !str_eq(row->labels, w->labels) ||
			     !str_eq(row->meta, w->meta));
}

/* The spec of a configuration that is made from a file. */
static enum code file_spec(struct plan *p, struct wanted *w, struct str name,
			   struct err *err)
{
	struct value *spec = value_object(p->scratch);

	value_setz(p->scratch, spec, "application",
		   value_str(p->scratch, w->at->application));
	value_setz(p->scratch, spec, "environment",
		   value_str(p->scratch, w->at->environment));
	value_setz(p->scratch, spec, "name", value_str(p->scratch, w->at->name));
	value_setz(p->scratch, spec, "format",
		   value_str(p->scratch, str_of(format_name(w->format))));
	return layout_default_spec(KIND_CONFIG, p->config->tenant, name, spec,
				   p->scratch, &w->spec, err);
}

static bool is_formatting(struct plan *p, const struct wanted *w,
			  const struct found *f)
{
	AUTO_BUF before = BUF_NONE;
	struct value *tree = NULL;

	if (!format_is_structured(w->format) || !w->tree)
		return false;
	return view_content(p->txn, p->config->tenant, &f->rule.sha,
			    f->rule.size, &before, NULL) == OK &&
	       doc_parse(w->format, buf_view(&before), p->scratch,
			 p->config->limits, &tree, NULL, NULL) == OK &&
	       value_eq(tree, w->tree);
}

static enum code add_version(struct plan *p, const struct wanted *w,
			     const struct found *f, struct str name,
			     bool has_put, struct err *err)
{
	struct sha256 sha = sha256_of(w->content);
	const struct live_row *live = &f->object.live;
	struct op *op;
	bool same = f->has_default && sha256_eq(&f->rule.sha, &sha);
	bool comes = f->is_coming && sha256_eq(&f->coming.sha, &sha);
	bool left = live->has_hold && !sha256_eq(&live->hold, &sha);
	bool lifts;

	if (!same && !comes && live->has_hold && sha256_eq(&live->hold, &sha)) {
		p->counts.held++;
		return OK;
	}
	/* The commit changed the file back to what is live: that ends the hold
	 * on what was rolled back, and a release that brings another.  What is on
	 * its way ends a hold on another: where it turns back, it is to be held. */
	lifts = comes ? left :
		same && (f->is_coming || (live->has_hold && !p->config->full));
	if ((comes || same) && !lifts) {
		p->counts.kept += !has_put;
		p->counts.changed += has_put;
		return OK;
	}
	op = add_op(p, OP_VERSION_ADD, KIND_CONFIG, name);
	if (f->is_there && !has_put)
		op->expect = f->object.rev;
	op->sha = sha;
	op->size = w->content.n;
	op->release = op->lift_hold = true;
	op->formatting_only = f->has_default && !same && is_formatting(p, w, f);
	op->message = p->config->message;
	op->author = p->config->author;
	op->path = arena_str(p->arena, w->path);
	note(p, op, f->has_default ? &f->rule.sha : NULL, &sha);
	p->counts.formatting += op->formatting_only;
	p->counts.added += !f->is_there;
	p->counts.changed += f->is_there;
	return p->config->content ?
		       p->config->content(p->config->data, w->content, err) :
		       OK;
}

/* Two documents of one name or address would take turns. */
static enum code see(struct plan *p, struct str what, struct str path,
		     struct err *err)
{
	struct str copy = arena_printf(p->arena, "%.*s", STR_ARG(path));
	struct str *before, *held = arena_alloc(p->arena, sizeof(*held));

	*held = copy;
	before = map_put(p->seen, what, held);
	if (!before)
		return OK;
	return err_set(err, E_UNPROCESSABLE, "%.*s: %.*s is also in %.*s",
		       (int)MIN(path.n, (size_t)120), path.p, STR_ARG(what),
		       (int)MIN(before->n, (size_t)120), before->p);
}

static enum code see_address(struct plan *p, const struct wanted *w,
			     struct err *err)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, w->at);
	return see(p, buf_view(&text), w->path, err);
}

static enum code name_of(struct plan *p, const struct wanted *w,
			 const struct found *f, struct str *out,
			 struct err *err)
{
	struct object_view other;
	struct str name = f->is_there ? f->object.name :
			  w->name.n   ? w->name :
					address_object_name(p->scratch, w->at);

	*out = arena_str(p->arena, name);
	if (f->is_there && w->name.n && !str_eq(w->name, name))
		return err_set(err, E_UNPROCESSABLE,
			       "%.*s: the address of \"%.*s\" is that of \"%.*s\"",
			       (int)MIN(w->path.n, (size_t)120), w->path.p,
			       STR_ARG(w->name), STR_ARG(name));
	if (f->is_there || view_object(p->txn, KIND_CONFIG, p->config->tenant,
				       name, &other, NULL))
		return OK;
	return err_set(err, E_MANAGED,
		       "%.*s: the name \"%.*s\" is taken by a configuration of "
		       "another address",
		       (int)MIN(w->path.n, (size_t)120), w->path.p,
		       STR_ARG(name));
}

static enum code plan_config_at(struct plan *p, struct wanted *w,
				struct err *err)
{
	struct found f;
	struct str name = STR_NONE;
	bool put;
	enum code rc = find_live(p, w->path, w->at, &f, err);

	if (rc == OK)
		rc = name_of(p, w, &f, &name, err);
	if (rc == OK && (p->config->full || w->name.n))
		rc = see(p, name, w->path, err);
	if (rc == OK && w->name.n)
		rc = see_address(p, w, err);
	if (rc == OK && !f.is_there)
		rc = add_parents(p, w->at, err);
	put = rc == OK && needs_put(w, &f);
	if (put && !w->name.n)
		rc = file_spec(p, w, name, err);
	if (rc)
		return rc;
	p->owned++;
	if (put)
		put_op(p, w, &f, name);
	if (f.adopt)
		p->cmd.flags |= COMMAND_TAKE_OVER;
	if (!w->has_content) {
		p->counts.added += put && !f.is_there;
		p->counts.changed += put && f.is_there;
		p->counts.kept += !put;
		return OK;
	}
	return add_version(p, w, &f, name, put, err);
}

enum code plan_file(struct plan *p, struct str path, const struct address *at,
		    struct str content, struct err *err)
{
	struct wanted w = { .path = path, .at = at, .labels = STR("{}"),
			    .meta = STR("{}"), .has_content = true,
			    .content = content };
	struct value *tree = NULL;
	enum code rc;

	arena_reset(p->scratch);
	w.format = format_of_path(path);
	rc = layout_check(path, w.format, content, p->scratch,
			  p->config->limits, &tree, err);
	w.tree = tree;
	return rc ? rc : plan_config_at(p, &w, err);
}

/* ---- manifests ---- */

static enum code plan_parent(struct plan *p, struct str path,
			     const struct manifest *m, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct object_view view;
	bool there = view_object(p->txn, m->kind, p->config->tenant, m->name,
				 &view, NULL) == OK;
	struct op *op;
	enum code rc;

	buf_str(&key, kind_by_id(m->kind)->name);
	buf_c(&key, ' ');
	buf_str(&key, m->name);
	rc = see(p, buf_view(&key), path, err);
	if (rc)
		return rc;
	buf_reset(&key);
	buf_printf(&key, "%d ", (int)m->kind);
	buf_str(&key, m->name);
	map_put(p->parents, buf_view(&key), p);
	if (there && str_eq(view.row.spec, m->spec) &&
	    str_eq(view.row.labels, m->labels) && str_eq(view.row.meta, m->meta))
		return OK;
	if (there && left_is(&view))
		p->cmd.flags |= COMMAND_TAKE_OVER;
	op = add_op(p, OP_OBJECT_PUT, m->kind, arena_str(p->arena, m->name));
	op->expect = there ? view.rev : REV_NONE;
	op->uid = uuid_new();
	op->manager = MANAGER_GIT;
	op->manager_ref = p->subject;
	op->labels = arena_str(p->arena, m->labels);
	op->meta = arena_str(p->arena, m->meta);
	op->spec = arena_str(p->arena, m->spec);
	note(p, op, NULL, NULL);
	return OK;
}

enum code plan_manifest(struct plan *p, struct str path,
			const struct manifest *m, struct err *err)
{
	struct wanted w = { .path = path, .at = &m->at, .name = m->name,
			    .labels = m->labels, .meta = m->meta,
			    .spec = m->spec, .format = m->format,
			    .has_content = m->has_content,
			    .content = m->content };
	struct value *tree = NULL;

	arena_reset(p->scratch);
	if (m->kind != KIND_CONFIG)
		return plan_parent(p, path, m, err);
	/* It was checked already; the tree is for the comparison. */
	if (m->has_content && doc_parse(m->format, m->content, p->scratch,
					p->config->limits, &tree, NULL,
					NULL) == OK)
		w.tree = tree;
	return plan_config_at(p, &w, err);
}

/* ---- what is gone ---- */

static void remove_object(struct plan *p, const struct object_view *o)
{
	struct op *op;

	if (!p->config->prune) {
		p->counts.orphans++;
		return;
	}
	op = add_op(p, OP_OBJECT_DELETE, KIND_CONFIG,
		    arena_str(p->arena, o->name));
	op->expect = o->rev;
	note(p, op, NULL, NULL);
	p->counts.removed++;
}

enum code plan_gone(struct plan *p, const struct address *at, struct err *err)
{
	struct found f;

	/* What is not ours is none of our business. */
	if (find_live(p, STR("removed"), at, &f, err) == OK && f.is_there &&
	    f.is_ours)
		remove_object(p, &f.object);
	return OK;
}

static bool find_gone(void *data, const struct object_view *o)
{
	struct plan *p = data;

	if (o->row.manager == MANAGER_GIT &&
	    str_eq(o->row.manager_ref, p->subject) && !map_get(p->seen, o->name))
		remove_object(p, o);
	return true;
}

/* ---- what is left behind ---- */

struct leaving {
	struct plan *plan;
	struct err *err;
	enum code rc;
};

static bool leave_one(void *data, const struct object_view *o)
{
	struct leaving *l = data;
	struct plan *p = l->plan;
	struct arena *a = p->arena;
	struct str meta;
	struct op *op;

	if (o->row.manager != MANAGER_GIT ||
	    !str_eq(o->row.manager_ref, p->subject))
		return true;
	arena_reset(p->scratch);
	l->rc = left_meta(p->scratch, o, &meta, l->err);
	if (l->rc)
		return false;
	op = add_op(p, OP_OBJECT_PUT, o->kind, arena_str(a, o->name));
	op->expect = o->rev;
	op->uid = o->row.uid;
	op->manager = MANAGER_API;
	op->labels = arena_str(a, o->row.labels);
	op->meta = arena_str(a, meta);
	op->spec = arena_str(a, o->row.spec);
	op->application = arena_str(a, o->row.application);
	op->environment = arena_str(a, o->row.environment);
	op->config_name = arena_str(a, o->row.config_name);
	op->format = arena_str(a, o->row.format);
	note(p, op, NULL, NULL);
	return true;
}

enum code plan_leave(struct plan *p, struct err *err)
{
	static const enum kind_id kinds[] = { KIND_APPLICATION,
					      KIND_ENVIRONMENT, KIND_CONFIG };
	struct leaving l = { p, err, OK };
	/* The configurations of a source that prunes are deleted. */
	size_t n = ARRAY_LEN(kinds) - (p->config->full && p->config->prune);

	p->leaves = true;
	for (size_t i = 0; i < n && l.rc == OK; i++) {
		enum code rc = view_list(p->txn, kinds[i], p->config->tenant,
					 STR_NONE, STR_NONE, leave_one, &l, err);

		l.rc = l.rc ? l.rc : rc;
	}
	return l.rc;
}

/* ---- sealing ---- */

/* The precondition is part of the plan: the same change against another state
 * of the source is another plan, so its key is never one of the past. */
static struct sha256 digest_of(struct plan *p)
{
	AUTO_BUF b = BUF_NONE;

	wr_raw(&b, p->sealed.b, sizeof(p->sealed.b));
	wr_u64(&b, p->config->full);
	wr_u64(&b, p->cmd.flags);
	wr_u64(&b, p->cmd.pre->rev);
	return sha256_of(buf_view(&b));
}

static struct sha256 key_of(struct plan *p, const struct sha256 *digest)
{
	AUTO_BUF b = BUF_NONE;

	wr_str(&b, p->subject);
	wr_raw(&b, p->config->uid.b, sizeof(p->config->uid.b));
	wr_raw(&b, p->config->commit.b, sizeof(p->config->commit.b));
	wr_raw(&b, digest->b, sizeof(digest->b));
	return sha256_of(buf_view(&b));
}

static void command_head(struct command *c, const struct plan_config *config,
			 struct arena *arena, struct str subject)
{
	static const struct oid none;
	char hex[OID_TEXT];
	struct precondition *pre = command_pre(arena, c);

	*pre = (struct precondition){ KIND_SOURCE, config->tenant,
				      config->source, config->rev };
	oid_text(hex, &config->commit);
	c->type = COMMAND_OPS;
	c->subject = (struct subject){ .name = subject, .role = ROLE_SOURCE,
				       .tenant = config->tenant };
	c->credential = STR("source");
	c->origin = config->origin;
	c->reason = config->message;
	if (!oid_eq(&config->commit, &none))
		c->commit = arena_str(arena, str_of(hex));
	rand_bytes(c->trace, sizeof(c->trace));
}

enum code plan_seal(struct plan *p, struct err *err)
{
	enum code rc = OK;

	if (p->config->full)
		rc = view_list(p->txn, KIND_CONFIG, p->config->tenant, STR_NONE,
			       STR_NONE, find_gone, p, err);
	if (rc)
		return rc;
	command_head(&p->cmd, p->config, p->arena, p->subject);
	if (p->leaves) {
		p->cmd.subject.role = ROLE_SYSTEM;
		p->cmd.subject.tenant = STR_NONE;
		p->cmd.flags |= COMMAND_TAKE_OVER;
	}
	p->sealed = sha256_end(p->digest);
	if (p->cmd.n_ops >= COMMAND_OPS_MAX)
		return err_set(err, E_TOO_LARGE, "the commit needs more than "
						 "%d operations",
			       COMMAND_OPS_MAX);
	return OK;
}

size_t plan_size(const struct plan *p)
{
	return p->cmd.n_ops;
}

const struct plan_counts *plan_counts(const struct plan *p)
{
	return &p->counts;
}

uint64_t plan_owned(const struct plan *p)
{
	return p->owned;
}

struct sha256 plan_own_digest(const struct plan *p)
{
	must(p->cmd.pre);
	return digest_of((struct plan *)(uintptr_t)p);
}

void plan_rebase(struct plan *p, uint64_t rev)
{
	p->cmd.pre->rev = rev;
}

static void status_op(struct op *op, const struct plan_config *config,
		      struct str status)
{
	*op = (struct op){ .type = OP_OBJECT_STATUS, .kind = KIND_SOURCE,
			   .tenant = config->tenant, .name = config->source,
			   .status = status };
}

void plan_command(struct plan *p, struct str status, uint64_t now_ms,
		  struct buf *out)
{
	struct sha256 digest = plan_own_digest(p);

	p->cmd.id = key_of(p, &digest);
	p->cmd.body = digest;
	p->cmd.time_ms = now_ms;
	if (status.n)
		status_op(add_op(p, OP_OBJECT_STATUS, KIND_SOURCE,
				 p->config->source),
			  p->config, status);
	command_encode(out, &p->cmd);
}

/* Without an idempotency key: the precondition alone makes it happen once. */
void plan_status_command(const struct plan_config *config, struct str status,
			 uint64_t now_ms, struct buf *out)
{
	AUTO_ARENA arena = arena_new(0);
	struct command c = { .time_ms = now_ms };

	command_head(&c, config, arena,
		     plan_subject(arena, config->tenant, config->source));
	status_op(command_op(arena, &c, OP_OBJECT_STATUS), config, status);
	command_encode(out, &c);
}
