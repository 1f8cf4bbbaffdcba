/*
 * What is shown of a plan: its operations, what is different between the contents
 * before and after, what the gate wants of it, and whom it reaches (docs/plans.md).
 *
 * "Before" is what was there at the plan's bases: of a configuration that has moved
 * since, the newest version that there was then.
 */
#include "api/gate.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "model/diff.h"
#include "model/select.h"
#include "state/gate.h"
#include "state/way_back.h"

#include "base/banned.h"

/* Shown; the rest is counted. */
#define OPS_SHOWN 1000u
#define OBJECTS_SHOWN 200u
#define BYTES_SHOWN (2u * 1024 * 1024)
#define NAMES_SHOWN 100u
/* The gate is asked about all that a plan touches, as long as that takes no more looks
 * of policies at touches; about so many always. */
#define LOOKS_MAX 4000000u
#define TOUCHES_MIN 10000u
/* Parsed to be compared: of one content, and of all that one answer shows. */
#define DIFF_BYTES_MAX (512u * 1024)
#define DIFF_BYTES_ALL (8u * 1024 * 1024)

/* One object that the plan touches. */
struct thing {
	enum kind_id kind;
	struct str name;
	uint64_t base;
	const struct op *put, *add, *rules, *back, *gone;
	bool is_there, has_moved;
	struct object_view o;            /* where it is there */
	struct address at;               /* CONFIG */
};

struct shown {
	struct request *r;
	struct kv_txn *txn;
	struct arena *arena;
	struct str tenant;
	struct command cmd;
	struct op *ops;
	uint64_t *bases;
	size_t n_ops;
	struct thing *things;
	size_t n, cap;
	struct map *by_name;
	struct view_released released;
	uint64_t compared;               /* bytes */
	struct buf *out;
};

bool plan_is_kept(struct kv_txn *txn, struct str tenant, const struct sha256 *digest)
{
	struct plan_row row;
	struct err err;

	return view_plan(txn, tenant, digest, &row, NULL, &err) == OK && !row.is_going;
}

/* ---- what it touches ---- */

static struct thing *thing_of(struct shown *s, const struct op *op, uint64_t base)
{
	struct str key = arena_printf(s->arena, "%d %.*s", (int)op->kind,
				      STR_ARG(op->name));
	uintptr_t at = (uintptr_t)map_get(s->by_name, key);
	struct thing *t;
	struct err err;

	if (at)
		return &s->things[at - 1];
	s->things = arena_grow(s->arena, s->things, &s->cap, s->n + 1,
			       sizeof(*s->things));
	t = &s->things[s->n++];
	*t = (struct thing){ .kind = op->kind, .name = op->name, .base = base };
	map_put(s->by_name, key, (void *)(uintptr_t)s->n);
	t->is_there = view_object(s->txn, op->kind, s->tenant, op->name, &t->o, &err) ==
		      OK;
	t->has_moved = (t->is_there ? MAX(t->o.row.rev, t->o.live.base_rev) : 0) != base;
	if (t->is_there)
		t->at = (struct address){ s->tenant, t->o.row.application,
					  t->o.row.environment, t->o.row.config_name };
	return t;
}

static void note(struct shown *s, const struct op *op, uint64_t base)
{
	struct thing *t;

	/* Made where it is missing: nothing that anybody looks at. */
	if (op->type == OP_OBJECT_STATUS || op->only_create)
		return;
	t = thing_of(s, op, base);
	switch (op->type) {
	case OP_OBJECT_PUT:
		t->put = op;
		if (!t->is_there)
			t->at = (struct address){ s->tenant, op->application,
						  op->environment, op->config_name };
		break;
	case OP_VERSION_ADD:
		t->add = op;
		break;
	case OP_RULES_SET:
		t->rules = op;
		break;
	case OP_ROLLBACK:
		t->back = op;
		break;
	case OP_OBJECT_DELETE:
		t->gone = op;
		break;
	default:
		break;
	}
}

static enum code read_ops(struct shown *s, const struct plan_body *body,
			  struct err *err)
{
	struct rd bases = rd_of(body->bases);
	enum code rc = command_decode(s->arena, body->command, &s->cmd, err);

	if (rc)
		return rc;
	s->ops = s->cmd.ops;
	s->n_ops = s->cmd.n_ops;
	s->bases = arena_zero(s->arena, (s->n_ops + 1) * sizeof(*s->bases));
	for (size_t i = 0; i < s->n_ops; i++)
		if (!planned_next_base(&bases, &s->bases[i]))
			return err_set(err, E_CORRUPT, "the bases of a plan are malformed");
	for (size_t i = 0; i < s->n_ops; i++)
		note(s, &s->ops[i], s->bases[i]);
	return OK;
}

/* ---- words ---- */

static const char *word_of(const struct thing *t, const struct op *op)
{
	switch (op->type) {
	case OP_OBJECT_PUT:
		return t->is_there ? "update" : "create";
	case OP_OBJECT_DELETE:
		return "delete";
	case OP_VERSION_ADD:
		return op->release ? "publish" : "version";
	case OP_RULES_SET:
		return "rules";
	case OP_ROLLBACK:
		return "rollback";
	default:
		return "write";
	}
}

static void put_address(struct buf *out, const struct address *at)
{
	AUTO_BUF text = BUF_NONE;

	buf_str(&text, at->tenant);
	buf_c(&text, '/');
	buf_str(&text, at->application);
	buf_c(&text, '/');
	buf_str(&text, at->environment);
	buf_c(&text, '/');
	buf_str(&text, at->name);
	buf_json(out, buf_view(&text));
}

static void put_names(struct buf *out, const struct thing *t)
{
	const struct kind *kind = kind_by_id(t->kind);

	buf_z(out, "\"kind\":");
	buf_json(out, kind ? kind->name : STR_NONE);
	buf_z(out, ",\"name\":");
	buf_json(out, t->name);
	if (t->kind != KIND_CONFIG)
		return;
	buf_z(out, ",\"address\":");
	put_address(out, &t->at);
}

/* ---- contents ---- */

struct content {
	bool is_there;
	uint32_t version;
	struct sha256 sha;
	uint64_t size;
};

static void of_version(struct shown *s, const struct thing *t, uint32_t version,
		       struct content *out)
{
	struct version_row row;
	struct err err;

	if (view_version(s->txn, s->tenant, t->o.row.uid, version, &row, &err) == OK)
		*out = (struct content){ true, version, row.sha, row.size };
}

struct newest {
	uint64_t rev;
	struct content *out;
};

static bool is_old_enough(void *data, const struct version_row *row)
{
	struct newest *n = data;

	if (row->rev > n->rev)
		return true;
	*n->out = (struct content){ true, row->version, row->sha, row->size };
	return false;
}

static void content_before(struct shown *s, const struct thing *t, struct content *out)
{
	struct newest newest = { t->base, out };
	struct rules rules;
	int at;

	*out = (struct content){ 0 };
	if (!t->is_there || !t->o.has_live)
		return;
	if (t->has_moved) {
		view_versions(s->txn, s->tenant, t->o.row.uid, 0, is_old_enough, &newest);
		return;
	}
	if (!rules_decode(s->arena, t->o.live.rules, &rules))
		return;
	at = rules_default(&rules);
	if (at >= 0)
		*out = (struct content){ true, rules.r[at].version, rules.r[at].sha,
					 rules.r[at].size };
}

/* Of what everybody gets who is in no rule. */
static void content_after(struct shown *s, const struct thing *t,
			  const struct content *before, struct content *out)
{
	int at = t->rules ? rules_default(&t->rules->rules) : -1;

	*out = *before;
	if (t->gone)
		*out = (struct content){ 0 };
	else if (t->add)
		*out = (struct content){ true, 0, t->add->sha, t->add->size };
	else if (t->back && t->is_there)
		of_version(s, t, t->back->version ?:
			   way_back(s->txn, s->arena, s->tenant, &t->o.live,
				    before->version), out);
	else if (at >= 0 && t->is_there && t->rules->rules.r[at].version)
		of_version(s, t, t->rules->rules.r[at].version, out);
}

static bool read_content(struct shown *s, const struct content *c, struct buf *out)
{
	struct err err;

	buf_z(out, "");
	return !c->is_there || view_content(s->txn, s->tenant, &c->sha, c->size, out,
					    &err) == OK;
}

static void put_sha(struct buf *out, const char *name, const struct content *c)
{
	char hex[65];

	if (!c->is_there)
		return;
	sha256_hex(hex, &c->sha);
	buf_printf(out, ",\"%s\":{\"sha256\":\"%s\",\"size\":%llu", name, hex,
		   (unsigned long long)c->size);
	if (c->version)
		buf_printf(out, ",\"version_id\":%u", c->version);
	buf_c(out, '}');
}

/* ---- differences ---- */

static void put_diff(struct shown *s, struct str as, const struct value *before,
		     const struct value *after)
{
	struct diff diff;

	diff_values(s->arena, before, after, &diff);
	buf_printf(s->out, ",\"%.*s\":", STR_ARG(as));
	diff_json(s->out, &diff);
	if (diff.more)
		buf_printf(s->out, ",\"%.*s_more\":%zu", STR_ARG(as), diff.more);
}

static struct value *tree_of(struct shown *s, enum format format, struct str text)
{
	struct value *v;
	struct err err;

	return doc_parse(format, text, s->arena, NULL, &v, NULL, &err) ? NULL : v;
}

static void put_content_diff(struct shown *s, const struct thing *t,
			     const struct content *a, const struct content *b)
{
	AUTO_BUF before = BUF_NONE, after = BUF_NONE, text = BUF_NONE;
	struct value *was = NULL, *is = NULL;
	enum format format = FORMAT_TEXT;

	if ((a->is_there && b->is_there && sha256_eq(&a->sha, &b->sha)) ||
	    (!a->is_there && !b->is_there))
		return;
	if (a->size > DIFF_BYTES_MAX || b->size > DIFF_BYTES_MAX ||
	    s->compared + a->size + b->size > DIFF_BYTES_ALL) {
		buf_z(s->out, ",\"too_large\":true");
		return;
	}
	s->compared += a->size + b->size;
	if (!read_content(s, a, &before) || !read_content(s, b, &after)) {
		buf_z(s->out, ",\"is_gone\":true");
		return;
	}
	(void)!format_parse_name(t->put ? t->put->format : t->o.live.format, &format);
	if (a->is_there)
		was = tree_of(s, format, buf_view(&before));
	if (b->is_there)
		is = tree_of(s, format, buf_view(&after));
	if (format_is_structured(format) && (was || !a->is_there) && (is || !b->is_there)) {
		bool is_same = was && is && value_eq(was, is);

		buf_printf(s->out, ",\"formatting_only\":%s", is_same ? "true" : "false");
		put_diff(s, STR("diff"), was, is);
		return;
	}
	diff_lines(&text, buf_view(&before), buf_view(&after));
	buf_z(s->out, ",\"text\":");
	buf_json(s->out, buf_view(&text));
}

/* labels and spec, as one tree. */
static struct value *object_tree(struct shown *s, struct str labels, struct str spec)
{
	struct value *v = value_object(s->arena), *part;
	struct err err;

	if (doc_parse_json(labels, s->arena, NULL, &part, &err) == OK &&
	    value_count(part))
		value_setz(s->arena, v, "labels", part);
	if (doc_parse_json(spec, s->arena, NULL, &part, &err) == OK)
		value_setz(s->arena, v, "spec", part);
	return v;
}

static void put_object_diff(struct shown *s, const struct thing *t)
{
	const struct object_row *row = &t->o.row;

	if (!t->put && !(t->gone && t->kind != KIND_CONFIG))
		return;
	put_diff(s, STR("object"),
		 t->is_there ? object_tree(s, row->labels, row->spec) : NULL,
		 t->put ? object_tree(s, t->put->labels, t->put->spec) : NULL);
}

static struct value *rules_tree(struct shown *s, const struct rules *rules)
{
	AUTO_BUF json = BUF_NONE;
	struct value *v;
	struct err err;

	rules_json(&json, rules);
	return doc_parse_json(buf_view(&json), s->arena, NULL, &v, &err) ? NULL : v;
}

static void put_rules_diff(struct shown *s, const struct thing *t)
{
	struct rules rules = { 0 };

	if (!t->rules)
		return;
	if (t->is_there && t->o.has_live)
		(void)!rules_decode(s->arena, t->o.live.rules, &rules);
	put_diff(s, STR("releases"), rules_tree(s, &rules),
		 rules_tree(s, &t->rules->rules));
}

static void put_change(struct shown *s, const struct thing *t)
{
	struct content before = { 0 }, after = { 0 };
	struct arena *kept = s->arena;

	/* What is parsed goes with the object: of all of them it would be gigabytes. */
	s->arena = arena_new(0);
	buf_c(s->out, '{');
	put_names(s->out, t);
	buf_printf(s->out, ",\"base\":%llu,\"has_moved\":%s",
		   (unsigned long long)t->base, t->has_moved ? "true" : "false");
	if (t->kind == KIND_CONFIG) {
		content_before(s, t, &before);
		content_after(s, t, &before, &after);
		put_sha(s->out, "before", &before);
		put_sha(s->out, "after", &after);
		put_content_diff(s, t, &before, &after);
		put_rules_diff(s, t);
	}
	put_object_diff(s, t);
	buf_c(s->out, '}');
	arena_free(&s->arena);
	s->arena = kept;
}

static void put_changes(struct shown *s)
{
	size_t start = s->out->n, i = 0;

	buf_z(s->out, ",\"changes\":[");
	for (; i < s->n && i < OBJECTS_SHOWN && s->out->n - start < BYTES_SHOWN; i++) {
		buf_z(s->out, i ? "," : "");
		put_change(s, &s->things[i]);
	}
	buf_c(s->out, ']');
	if (i < s->n)
		buf_printf(s->out, ",\"changes_more\":%zu", s->n - i);
}

static void put_ops(struct shown *s)
{
	size_t shown = 0, all = 0;

	buf_z(s->out, ",\"operations\":[");
	for (size_t i = 0; i < s->n_ops; i++) {
		const struct op *op = &s->ops[i];
		const struct thing *t;

		if (op->type == OP_OBJECT_STATUS || op->only_create)
			continue;
		if (++all > OPS_SHOWN)
			continue;
		t = thing_of(s, op, s->bases[i]);
		buf_printf(s->out, "%s{\"op\":\"%s\",", shown++ ? "," : "",
			   word_of(t, op));
		put_names(s->out, t);
		buf_c(s->out, '}');
	}
	buf_c(s->out, ']');
	if (all > shown)
		buf_printf(s->out, ",\"operations_more\":%zu", all - shown);
}

/* What no operation names, and goes out with the rest all the same. */
static void put_along(struct shown *s)
{
	const struct view_released *r = &s->released;
	size_t n = MIN(r->n_along, (size_t)OBJECTS_SHOWN);

	buf_z(s->out, ",\"along\":[");
	for (size_t i = 0; i < n; i++) {
		buf_z(s->out, i ? ",{\"name\":" : "{\"name\":");
		buf_json(s->out, r->along[i].name);
		buf_z(s->out, ",\"address\":");
		put_address(s->out, &r->along[i].at);
		buf_printf(s->out, ",\"was_held\":%s}", r->along[i].anew ? "true" : "false");
	}
	buf_c(s->out, ']');
	if (n < r->n_along)
		buf_printf(s->out, ",\"along_more\":%zu", r->n_along - n);
}

/* ---- the gate ---- */

struct touching {
	struct arena *arena;
	struct gate_touch *t;
	size_t n, cap, max, left;
	struct str tenant;
};

/* False: it is counted alone. */
static bool has_room(struct touching *x)
{
	x->left += x->n >= x->max;
	return x->n < x->max;
}

static struct gate_touch *add_touch(struct touching *x)
{
	x->t = arena_grow(x->arena, x->t, &x->cap, x->n + 1, sizeof(*x->t));
	x->t[x->n] = (struct gate_touch){ 0 };
	return &x->t[x->n++];
}

static bool touch_owned(void *data, struct str name, const struct object_row *row)
{
	struct touching *x = data;
	struct gate_touch *t;

	(void)name;
	if (!has_room(x))
		return true;
	t = add_touch(x);
	t->action = GATE_DELETE;
	t->at = (struct address){ x->tenant, arena_str(x->arena, row->application),
				  arena_str(x->arena, row->environment),
				  arena_str(x->arena, row->config_name) };
	t->labels_before = arena_str(x->arena, row->labels);
	return true;
}

/* With a source that prunes goes what it owns. */
static void touch_source(struct touching *x, struct kv_txn *txn, const struct op *op)
{
	struct object_view o;
	struct err err;

	x->tenant = op->tenant;
	if (view_object(txn, KIND_SOURCE, op->tenant, op->name, &o, &err) == OK &&
	    source_prunes(o.row.spec))
		(void)!view_owned(txn, op->tenant, op->name, touch_owned, x, &err);
}

static void touch_config(struct touching *x, struct kv_txn *txn, const struct op *op)
{
	struct gate_touch *t;
	struct object_view o;
	struct err err;

	if (!has_room(x))
		return;
	t = add_touch(x);
	if (view_object(txn, KIND_CONFIG, op->tenant, op->name, &o, &err) == OK) {
		t->at = (struct address){ op->tenant, o.row.application,
					  o.row.environment, o.row.config_name };
		t->labels_before = t->labels_after = o.row.labels;
	}
	if (op->type == OP_OBJECT_PUT) {
		t->at = (struct address){ op->tenant, op->application,
					  op->environment, op->config_name };
		t->labels_after = op->labels;
	}
	t->action = op->type == OP_OBJECT_PUT	 ? GATE_WRITE :
		    op->type == OP_OBJECT_DELETE ? GATE_DELETE :
		    op->type == OP_RULES_SET	 ? GATE_RULES :
		    op->type == OP_ROLLBACK	 ? GATE_ROLLBACK :
						   GATE_PUBLISH;
	t->formatting_only = op->formatting_only;
	/* A publish as well, whatever it is called. */
	if (op_brings_new(txn, x->arena, op, 0)) {
		struct gate_touch one = *t;

		one.action = GATE_PUBLISH;
		*add_touch(x) = one;
	}
}

/* Past the windows, and where it was turned back past people too. */
static void touch_along(struct touching *x, const struct view_along *along)
{
	struct gate_touch *t = add_touch(x);

	t->action = GATE_PUBLISH;
	t->is_along = true;
	t->anew = along->anew;
	t->at = along->at;
	t->labels_before = t->labels_after = along->labels;
}

size_t plan_touches(struct arena *arena, struct kv_txn *txn, const struct op *ops,
		    size_t n, const struct view_released *released,
		    struct gate_touch **out, size_t *left)
{
	struct str tenant = n ? ops[0].tenant : STR_NONE;
	uint64_t policies = view_count(txn, tenant, COUNT_POLICIES);
	struct touching x = { .arena = arena,
			      .max = MAX(LOOKS_MAX / MAX(policies, 1u), TOUCHES_MIN) };

	for (size_t i = 0; i < n; i++) {
		const struct op *op = &ops[i];

		if (op->kind == KIND_SOURCE && op->type == OP_OBJECT_DELETE)
			touch_source(&x, txn, op);
		else if (op->kind == KIND_CONFIG && op->type != OP_OBJECT_STATUS &&
			 (op->type != OP_VERSION_ADD || op->release))
			touch_config(&x, txn, op);
	}
	for (size_t i = 0; i < released->n_along; i++)
		touch_along(&x, &released->along[i]);
	*out = x.t;
	*left = x.left;
	return x.n;
}

static void put_list(struct buf *out, const char *name, const struct str *all, size_t n)
{
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		buf_z(out, i ? "," : "");
		buf_json(out, all[i]);
	}
	buf_c(out, ']');
}

static void put_stage(struct buf *out, const struct approval_stage *stage)
{
	buf_z(out, "{\"name\":");
	buf_json(out, stage->name);
	buf_printf(out, ",\"required\":%u", stage->required);
	put_list(out, "subjects", stage->from.subjects, stage->from.n_subjects);
	put_list(out, "groups", stage->from.groups, stage->from.n_groups);
	buf_c(out, '}');
}

static void put_policy(struct buf *out, const struct gate_found_policy *policy)
{
	buf_z(out, "{\"name\":");
	buf_json(out, policy->name);
	buf_printf(out, ",\"resourceVersion\":\"%llu\",\"priority\":%lld,\"stages\":[",
		   (unsigned long long)policy->rev, (long long)policy->is.priority);
	for (size_t i = 0; i < policy->is.n_stages; i++) {
		buf_z(out, i ? "," : "");
		put_stage(out, &policy->is.stages[i]);
	}
	buf_z(out, "]}");
}

static void put_window(struct buf *out, const struct gate_found_window *window)
{
	char time[RFC3339_MAX];

	buf_z(out, "{\"name\":");
	buf_json(out, window->name);
	buf_z(out, ",\"owner\":");
	buf_json(out, window->is.owner);
	buf_z(out, ",\"reason\":");
	buf_json(out, window->is.reason);
	if (window->until_ms != UINT64_MAX) {
		clock_rfc3339(time, window->until_ms, false);
		buf_printf(out, ",\"until\":\"%s\"", time);
	}
	buf_c(out, '}');
}

/* What a source brings lifts what releases hold; people who execute its plan do not. */
static enum code find_released(struct shown *s, const struct plan_row *row,
			       struct err *err)
{
	struct proposal_row by = { 0 };

	if (row->proposal.n && view_proposal(s->txn, s->arena, s->tenant, row->proposal,
					     &by, NULL))
		by.role = ROLE_ROOT;
	return view_released(s->txn, s->arena, s->tenant, s->ops, s->n_ops,
			     row->proposal.n && by.role == ROLE_SOURCE, &s->released,
			     err);
}

static void put_release_policy(struct shown *s)
{
	const struct view_released *r = &s->released;

	/* No policy selects what is not there yet: it goes out all the same. */
	if (!r->policy.n && !(r->n_policies && r->first))
		return;
	buf_z(s->out, ",\"release_policy\":{\"name\":");
	buf_json(s->out, r->policy);
	buf_z(s->out, ",\"strategy\":");
	buf_json(s->out, r->policy.n ? r->strategy : STR("immediate"));
	buf_printf(s->out, ",\"configurations\":%zu,\"first_versions\":%zu}", r->count,
		   r->first);
}

/* A policy that matches nothing so far may match what was not looked at. */
static const char *verdict(bool is, size_t left)
{
	return is ? "true" : left ? "null" : "false";
}

static enum code put_gate(struct shown *s, struct err *err)
{
	struct gate_touch *touches;
	size_t left, n = plan_touches(s->arena, s->txn, s->ops, s->n_ops, &s->released,
				      &touches, &left);
	struct gate_answer answer = { 0 };
	enum code rc = OK;

	if (n)
		rc = view_gate(s->txn, s->arena, s->tenant, touches, n,
			       &caller_of(s->r)->subject, clock_wall_ms(), &answer, err);
	if (rc)
		return rc;
	buf_printf(s->out, ",\"gate\":{\"needs_approval\":%s,\"is_frozen\":%s,"
		   "\"may_break_glass\":%s,\"policies\":[",
		   verdict(answer.n_policies, left), verdict(answer.n_windows, left),
		   verdict(answer.may_break_glass && !left, left));
	for (size_t i = 0; i < answer.n_policies; i++) {
		buf_z(s->out, i ? "," : "");
		put_policy(s->out, &answer.policies[i]);
	}
	buf_z(s->out, "],\"windows\":[");
	for (size_t i = 0; i < answer.n_windows; i++) {
		buf_z(s->out, i ? "," : "");
		put_window(s->out, &answer.windows[i]);
	}
	buf_c(s->out, ']');
	if (left)
		buf_printf(s->out, ",\"not_looked_at\":%zu", left);
	put_release_policy(s);
	buf_c(s->out, '}');
	return OK;
}

/* ---- whom it reaches ---- */

struct reach {
	struct map *applications, *environments;
};

static void reach_one(const struct address *at, struct reach *reach)
{
	AUTO_BUF key = BUF_NONE;

	buf_str(&key, at->application);
	map_put(reach->applications, buf_view(&key), reach);
	buf_c(&key, '/');
	buf_str(&key, at->environment);
	map_put(reach->environments, buf_view(&key), reach);
}

/* Never another number than the cluster's. */
static void put_instances(struct shown *s)
{
	static const struct plan_reach none = { .note = { "it was not asked", 16 } };
	const struct plan_reach *reach = caller_of(s->r)->reach ?: &none;

	buf_z(s->out, ",\"instances_connected\":");
	if (reach->is_known) {
		buf_u64(s->out, reach->count);
		return;
	}
	buf_z(s->out, "null,\"instances_note\":");
	buf_json(s->out, reach->note);
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* The map's own order is random. */
static void put_keys(struct shown *s, const char *name, const struct map *map)
{
	size_t n = map_count(map), i = 0;
	struct str *all = arena_zero(s->arena, (n + 1) * sizeof(*all));

	for (size_t at = 0; i < n && map_next(map, &at, &all[i], NULL); i++)
		;
	if (n)
		qsort(all, n, sizeof(*all), by_text);
	put_list(s->out, name, all, MIN(n, (size_t)NAMES_SHOWN));
	if (n > NAMES_SHOWN)
		buf_printf(s->out, ",\"%s_more\":%zu", name, n - NAMES_SHOWN);
}

static void put_reach(struct shown *s)
{
	struct reach reach = { map_new(), map_new() };
	size_t configs = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].kind == KIND_CONFIG) {
			configs++;
			reach_one(&s->things[i].at, &reach);
		}
	for (size_t i = 0; i < s->released.n_along; i++, configs++)
		reach_one(&s->released.along[i].at, &reach);
	buf_printf(s->out, ",\"blast_radius\":{\"configurations\":%zu", configs);
	put_instances(s);
	put_keys(s, "applications", reach.applications);
	put_keys(s, "environments", reach.environments);
	buf_c(s->out, '}');
	map_free(&reach.applications);
	map_free(&reach.environments);
}

/* ---- all of it ---- */

static void put_head(struct shown *s, const struct sha256 *digest,
		     const struct plan_row *row)
{
	char hex[65], created[RFC3339_MAX], expires[RFC3339_MAX];
	bool has_moved = false;

	for (size_t i = 0; i < s->n; i++)
		has_moved |= s->things[i].has_moved;
	sha256_hex(hex, digest);
	clock_rfc3339(created, row->created_ms, false);
	clock_rfc3339(expires, row->expires_ms, false);
	buf_printf(s->out, "{\"digest\":\"%s\",\"tenant\":", hex);
	buf_json(s->out, s->tenant);
	buf_z(s->out, ",\"author\":");
	buf_json(s->out, row->subject);
	buf_printf(s->out, ",\"created\":\"%s\"", created);
	if (row->proposal.n) {
		AUTO_BUF id = BUF_NONE;

		buf_printf(&id, "%.*s/%.*s", STR_ARG(s->tenant), STR_ARG(row->proposal));
		buf_z(s->out, ",\"proposal_id\":");
		buf_json(s->out, buf_view(&id));
	} else {
		buf_printf(s->out, ",\"expires\":\"%s\"", expires);
	}
	buf_printf(s->out, ",\"is_current\":%s", has_moved ? "false" : "true");
}

static enum code show(struct shown *s, const struct sha256 *digest,
		      const struct plan_row *row, const struct plan_body *body,
		      struct err *err)
{
	enum code rc = read_ops(s, body, err);

	if (rc)
		return rc;
	rc = find_released(s, row, err);
	if (rc)
		return rc;
	put_head(s, digest, row);
	put_ops(s);
	put_changes(s);
	put_along(s);
	rc = put_gate(s, err);
	put_reach(s);
	buf_c(s->out, '}');
	return rc;
}

static struct str key_text(struct arena *arena, const struct address *at)
{
	AUTO_BUF key = BUF_NONE;

	address_text(&key, at);
	return arena_str(arena, buf_view(&key));
}

enum code plan_keys(struct arena *arena, struct kv_txn *txn, struct str tenant,
		    const struct sha256 *digest, struct str **out, size_t *n,
		    struct err *err)
{
	struct shown s = { .txn = txn, .arena = arena, .tenant = tenant };
	struct plan_row row;
	struct plan_body body;
	enum code rc = view_plan(txn, tenant, digest, &row, &body, err);

	if (rc)
		return rc;
	s.by_name = map_new();
	rc = read_ops(&s, &body, err);
	map_free(&s.by_name);
	if (rc == OK)
		rc = find_released(&s, &row, err);
	*out = arena_zero(arena, (s.n + s.released.n_along + 1) * sizeof(**out));
	*n = 0;
	for (size_t i = 0; rc == OK && i < s.n; i++)
		if (s.things[i].kind == KIND_CONFIG)
			(*out)[(*n)++] = key_text(arena, &s.things[i].at);
	for (size_t i = 0; rc == OK && i < s.released.n_along; i++)
		(*out)[(*n)++] = key_text(arena, &s.released.along[i].at);
	return rc;
}

enum code plan_json(struct buf *out, struct request *r, struct kv_txn *txn,
		    struct str tenant, const struct sha256 *digest, struct err *err)
{
	struct shown s = { .r = r, .txn = txn, .arena = r->arena, .tenant = tenant,
			   .out = out };
	struct plan_row row;
	struct plan_body body;
	enum code rc = view_plan(txn, tenant, digest, &row, &body, err);

	if (rc)
		return rc;
	s.by_name = map_new();
	rc = show(&s, digest, &row, &body, err);
	map_free(&s.by_name);
	return rc;
}
