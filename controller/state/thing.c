/* Objects that operations work on: see thing.h. */
#include "state/thing.h"

#include "state/rollout.h"
#include "state/way_back.h"

#include "base/banned.h"

void thing_fini(struct thing *t)
{
	buf_fini(&t->key);
	buf_fini(&t->live_key);
}

enum code thing_corrupt(struct err *err, const char *what)
{
	err_set(err, E_CORRUPT, "%s row is malformed", what);
	return err_hint(err, "the store is rebuilt from checkpoint and log at "
			     "the next start");
}

void thing_live_key(struct thing *t, struct str tenant,
			   const struct object_row *row)
{
	struct address at = { tenant, row->application, row->environment,
			      row->config_name };

	buf_reset(&t->live_key);
	address_key(&t->live_key, &at);
}

enum code thing_load(struct apply *a, struct thing *t, struct str tenant,
			    enum kind_id kind, struct str name, struct err *err)
{
	*t = (struct thing){ 0 };
	key_object(&t->key, tenant, kind, name);
	t->val = ap_get(a, KV_OBJECTS, buf_view(&t->key));
	if (!t->val.p)
		return OK;
	if (!object_row_decode(t->val, &t->row))
		return thing_corrupt(err, "an object");
	if (kind != KIND_CONFIG)
		return OK;
	thing_live_key(t, tenant, &t->row);
	t->live_val = ap_get(a, KV_LIVE, buf_view(&t->live_key));
	if (!t->live_val.p || !live_row_decode(t->live_val, &t->live))
		return thing_corrupt(err, "a live");
	return OK;
}

/* The resourceVersion that people see: of the object or of what is live. */
uint64_t thing_rev(const struct thing *t)
{
	return MAX(t->row.rev, t->live.rev);
}

enum code thing_not_found(const struct op *op, struct err *err)
{
	const struct kind *kind = kind_by_id(op->kind);

	return err_set(err, E_NOT_FOUND, "%.*s.%s \"%.*s\" not found",
		       STR_ARG(kind->plural), API_GROUP, STR_ARG(op->name));
}

enum code thing_check_expect(const struct thing *t, const struct op *op,
			      struct err *err)
{
	const struct kind *kind = kind_by_id(op->kind);

	if (op->expect == REV_NONE && t->val.p)
		return err_set(err, E_EXISTS, "%.*s.%s \"%.*s\" already exists",
			       STR_ARG(kind->plural), API_GROUP,
			       STR_ARG(op->name));
	if (op->expect == REV_ANY || op->expect == REV_NONE)
		return OK;
	if (!t->val.p)
		return thing_not_found(op, err);
	if (thing_rev(t) == op->expect)
		return OK;
	err_set(err, E_CONFLICT,
		"Operation cannot be fulfilled on %.*s.%s \"%.*s\": the object "
		"has been modified; please apply your changes to the latest "
		"version and try again",
		STR_ARG(kind->plural), API_GROUP, STR_ARG(op->name));
	return err_hint(err, "it is at revision %llu, the write expected %llu",
			(unsigned long long)thing_rev(t),
			(unsigned long long)op->expect);
}

/* Who writes: a source is Git with its own name as reference. */
enum manager thing_writer(const struct command *c, struct str *ref)
{
	if (c->writes_as.n) {
		*ref = c->writes_as;
		return MANAGER_GIT;
	}
	if (c->subject.role != ROLE_SOURCE) {
		*ref = STR_NONE;
		return MANAGER_API;
	}
	*ref = c->subject.name;
	return MANAGER_GIT;
}

enum code thing_check_owner(const struct apply *a, const struct thing *t,
			     struct err *err)
{
	struct str ref;
	enum manager who = thing_writer(a->cmd, &ref);

	if ((a->cmd->flags & COMMAND_TAKE_OVER) || !t->val.p)
		return OK;
	if (t->row.manager == who && str_eq(t->row.manager_ref, ref))
		return OK;
	if (t->row.manager == MANAGER_API && who == MANAGER_API)
		return OK;
	err_set(err, E_MANAGED, "it is managed by %s%s%.*s",
		manager_name(t->row.manager), t->row.manager_ref.n ? " " : "",
		STR_ARG(t->row.manager_ref));
	return err_hint(err, "change it there, or take it over explicitly");
}

void thing_put_row(struct apply *a, struct thing *t,
		    const struct object_row *row, struct str *bytes)
{
	AUTO_BUF val = BUF_NONE;

	object_row_encode(&val, row);
	*bytes = arena_str(a->arena, buf_view(&val));
	ap_put(a, KV_OBJECTS, buf_view(&t->key), *bytes);
}

struct str thing_put_live(struct apply *a, const struct thing *t,
			   const struct live_row *live)
{
	AUTO_BUF val = BUF_NONE;
	struct str bytes;

	live_row_encode(&val, live);
	bytes = arena_str(a->arena, buf_view(&val));
	ap_put(a, KV_LIVE, buf_view(&t->live_key), bytes);
	return bytes;
}

/* ---- configurations ---- */

enum code config_load(struct apply *a, struct thing *t,
			     const struct op *op, struct err *err)
{
	enum code rc;

	if (op->kind != KIND_CONFIG || op->name.n > 253 || op->tenant.n > 63)
		return err_set(err, E_INVALID, "not a configuration");
	rc = thing_load(a, t, op->tenant, KIND_CONFIG, op->name, err);
	if (rc)
		return rc;
	if (!t->val.p)
		return thing_not_found(op, err);
	return thing_check_expect(t, op, err);
}

enum code config_version(struct apply *a, const struct thing *t,
			     struct str tenant, uint32_t version,
			     struct version_row *out, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct str val;

	key_version(&key, tenant, t->row.uid, version);
	val = ap_get(a, KV_VERSIONS, buf_view(&key));
	if (!val.p)
		return err_set(err, E_UNPROCESSABLE,
			       "version %u does not exist (newest is %u)",
			       version, t->live.last_version);
	if (!version_row_decode(buf_view(&key), val, out))
		return thing_corrupt(err, "a version");
	return OK;
}

/* Is it told to, and is it another's? */
bool thing_takes_over(const struct apply *a, const struct thing *t)
{
	struct str ref;
	enum manager who = thing_writer(a->cmd, &ref);

	return (a->cmd->flags & COMMAND_TAKE_OVER) &&
	       (t->row.manager != who || !str_eq(t->row.manager_ref, ref));
}

/* Writes the live row with its next revision; its event is still to come. */
static struct event_row write_live(struct apply *a, struct thing *t,
				   struct str tenant, struct str name)
{
	struct event_row event = { .type = EVENT_MODIFIED, .kind = KIND_CONFIG,
				   .tenant = tenant, .name = name,
				   .after = t->val };

	event.live = thing_put_live(a, t, &t->live);
	event_row_was(&event, t->live_val, &t->live);
	ap_diff(a, t->live_val, event.live);
	t->live_val = event.live;
	return event;
}

static void write_with_event(struct apply *a, struct thing *t, struct str tenant,
			     struct str name)
{
	struct event_row event = write_live(a, t, tenant, name);

	ap_event(a, t->live.rev, &event);
}

void config_write(struct apply *a, struct thing *t, struct str tenant,
		  struct str name)
{
	t->live.rev = t->live.base_rev = ap_next_rev(a);
	write_with_event(a, t, tenant, name);
}

void config_write_step(struct apply *a, struct thing *t, struct str tenant,
		       struct str name)
{
	t->live.rev = ap_next_rev(a);
	write_with_event(a, t, tenant, name);
}

void config_change(struct apply *a, struct thing *t, const struct op *op,
		   struct op_result *res)
{
	struct event_row event;

	t->live.rev = t->live.base_rev = ap_next_rev(a);
	event = write_live(a, t, op->tenant, op->name);
	res->rev = t->live.rev;
	res->changed = true;
	outbox_drift(a, op, &t->row);
	if (thing_takes_over(a, t)) {
		t->row.manager = thing_writer(a->cmd, &t->row.manager_ref);
		t->row.rev = res->rev;
		thing_put_row(a, t, &t->row, &event.after);
		ap_diff(a, t->val, event.after);
		t->val = event.after;
	}
	ap_event(a, res->rev, &event);
}

void config_unhold(struct apply *a, struct thing *t, struct str tenant)
{
	releasing_unhold(a, tenant, t);
	t->live.has_hold = false;
	t->live.hold_release = 0;
	t->live.hold_version = 0;
	t->live.hold_by = STR_NONE;
}

struct str config_encode_rules(struct apply *a, const struct rules *rules)
{
	AUTO_BUF b = BUF_NONE;

	rules_encode(&b, rules);
	return arena_str(a->arena, buf_view(&b));
}

enum code config_rules(struct apply *a, const struct thing *t,
			      struct rules *out, struct err *err)
{
	if (!rules_decode(a->arena, t->live.rules, out))
		return thing_corrupt(err, "a rules");
	return OK;
}

/* Points the default rule at 'v', making it where there is none; keeps the
 * labelled ones unless 'alone'. */
enum code config_move_default(struct apply *a, struct thing *t, struct str tenant,
			      const struct version_row *v, bool alone,
			      struct err *err)
{
	struct rules rules;
	enum code rc = config_rules(a, t, &rules, err);
	int at;
	struct rule *r;

	if (rc)
		return rc;
	at = rules_default(&rules);
	if (at >= 0)
		t->live.stable_version = rules.r[at].version;
	if (alone) {
		rules = (struct rules){ 0 };
		at = -1;
	}
	r = at >= 0 ? &rules.r[at] : rules_add(a->arena, &rules);
	r->version = v->version;
	r->sha = v->sha;
	r->size = v->size;
	rc = rules_check(&rules, err);
	t->live.rules = config_encode_rules(a, &rules);
	if (!v->was_live || v->turned_back)
		version_mark_live(a, tenant, t->row.uid, v->version);
	return rc;
}

uint32_t config_default(struct apply *a, const struct thing *t,
				struct sha256 *sha)
{
	struct rules rules;
	int at;

	if (!rules_decode(a->arena, t->live.rules, &rules))
		return 0;
	at = rules_default(&rules);
	if (at < 0)
		return 0;
	*sha = rules.r[at].sha;
	return rules.r[at].version;
}
