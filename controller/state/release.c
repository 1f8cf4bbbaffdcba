/*
 * Release objects: what one command made live together.
 *
 * Made by apply as the last change of a command that released something, so
 * that no entrance can forget it; the oldest go when a tenant has more than
 * limits.releases_max.  They have no row by uid: nothing asks for one.
 * Deterministic.
 */
#include "state/rollout.h"

#include "base/banned.h"

/* Configurations that a Release names; the rest is counted. */
#define NAMED_MAX 100
/* Removed by one command: more than come in, so that a lower limit is reached. */
#define REMOVED_MAX 2

static const char *release_type(const struct op *op)
{
	switch (op->type) {
	case OP_VERSION_ADD:
		return op->release ? "publish" : NULL;
	case OP_RULES_SET:
		return "rules";
	case OP_ROLLBACK:
		return "rollback";
	default:
		return NULL;
	}
}

void release_start(struct apply *a)
{
	a->release.n = 0;
	a->release.type = NULL;
	buf_reset(&a->release.tenant);
	buf_reset(&a->release.message);
	buf_reset(&a->release.configs);
	buf_reset(&a->release.name);
	releasing_start(a);
}

static void add_config(struct release_notes *r, struct str name, uint32_t version)
{
	if (r->n++ >= NAMED_MAX)
		return;
	buf_z(&r->configs, r->n > 1 ? ",{\"name\":" : "{\"name\":");
	buf_json(&r->configs, name);
	if (version) {
		buf_z(&r->configs, ",\"version\":");
		buf_u64(&r->configs, version);
	}
	buf_c(&r->configs, '}');
}

/* A release that is out brings it: the operation lifted what is held there. */
static bool is_coming(struct apply *a, const struct op *op)
{
	uint32_t version;

	return op->type == OP_VERSION_ADD && releasing_is_there(a, op->tenant) &&
	       releasing_brings(a, op->tenant, op->name, &op->sha, &version);
}

void release_note(struct apply *a, const struct op *op,
		  const struct op_result *res)
{
	struct release_notes *r = &a->release;
	const char *type = release_type(op);

	if (!type || is_coming(a, op) || (r->type && !str_eq(buf_view(&r->tenant), op->tenant)))
		return;
	if (!r->type) {
		buf_str(&r->tenant, op->tenant);
		buf_str(&r->message, op->message);
		r->type = type;
	}
	/* In steps: release_make adds it, with what else goes along. */
	if (!releasing_is_there(a, op->tenant) || !releasing_is_listed(a, op->name))
		add_config(r, op->name, res->version);
}

static void add_text(struct buf *out, const char *name, struct str text)
{
	if (text.n == 0)
		return;
	buf_c(out, '"');
	buf_z(out, name);
	buf_z(out, "\":");
	buf_json(out, text);
	buf_c(out, ',');
}

/* Canonical: members in the order of their names.  'row': it goes out in steps. */
static void write_spec(struct buf *out, const struct apply *a,
		       const struct rollout_row *row, struct str strategy)
{
	const struct release_notes *r = &a->release;

	buf_c(out, '{');
	add_text(out, "author", a->cmd->subject.name);
	add_text(out, "commit", a->cmd->commit);
	buf_z(out, "\"configs\":[");
	buf_str(out, buf_view(&r->configs));
	buf_z(out, "],\"count\":");
	buf_u64(out, r->n);
	buf_c(out, ',');
	if (row) {
		add_text(out, "policy", row->policy);
		buf_z(out, "\"policyRevision\":");
		buf_u64(out, row->policy_rev);
		buf_c(out, ',');
	}
	add_text(out, "reason", a->cmd->reason.n ? a->cmd->reason :
						   buf_view(&r->message));
	buf_z(out, "\"strategy\":");
	buf_json(out, strategy);
	buf_z(out, ",\"type\":\"");
	buf_z(out, r->type);
	buf_z(out, "\"}");
}

/* As unique as the chain of the audit log, which grows with each command that
 * makes a Release, and alike on each node. */
static struct uuid make_uid(const struct apply *a)
{
	struct uuid uid;

	memcpy(uid.b, a->head->audit_head.b, sizeof(uid.b));
	uid.b[6] = (uid.b[6] & 0x0f) | 0x80;     /* version 8: our own */
	uid.b[8] = (uid.b[8] & 0x3f) | 0x80;
	return uid;
}

/* What goes out in steps tells of them; what is live at once is begun and over with it. */
static void tell(struct apply *a, struct str tenant, uint64_t number)
{
	const struct release_notes *r = &a->release;
	bool is_back = str_is(str_of(r->type), "rollback");
	struct rollout_row row = {
		.number = number, .commit = a->cmd->commit, .n_configs = r->n,
		.phase = is_back ? ROLLOUT_ROLLED_BACK : ROLLOUT_COMPLETED,
		.message = a->cmd->reason.n ? a->cmd->reason : buf_view(&r->message) };

	if (!is_back)
		rollout_tell(a, tenant, &row, NOTICE_RELEASE_STARTED);
	rollout_tell(a, tenant, &row,
		     is_back ? NOTICE_ROLLED_BACK : NOTICE_COMPLETED);
}

static enum code put_release(struct apply *a, struct str tenant, struct err *err)
{
	const struct rollout_row *begun = releasing_begun(a);
	uint64_t rev = ap_next_rev(a);
	char number[RELEASE_NAME_MAX];
	struct str name;
	AUTO_BUF key = BUF_NONE;
	AUTO_BUF val = BUF_NONE;
	AUTO_BUF spec = BUF_NONE;
	struct object_row row = {
		.uid = make_uid(a), .rev = rev, .generation = 1,
		.created_ms = a->head->time_ms, .labels = STR("{}"),
		.meta = STR("{}"), .status = STR("{\"phase\":\"Completed\"}"),
	};
	struct event_row event = { .type = EVENT_ADDED, .kind = KIND_RELEASE,
				   .tenant = tenant };

	release_name(number, rev);
	event.name = name = arena_str(a->arena, str_of(number));
	buf_str(&a->release.name, name);
	if (begun)
		row.status = arena_printf(a->arena, "{\"phase\":\"%s\"}",
					  rollout_phase_name(begun->phase));
	write_spec(&spec, a, begun, releasing_strategy(a));
	row.spec = buf_view(&spec);
	key_object(&key, tenant, KIND_RELEASE, name);
	object_row_encode(&val, &row);
	event.after = buf_view(&val);
	ap_put(a, KV_OBJECTS, buf_view(&key), buf_view(&val));
	/* No diff of it in the audit: it only repeats what the command did. */
	ap_event(a, rev, &event);
	if (begun)
		return releasing_begin(a, rev, row.uid, err);
	tell(a, tenant, rev);
	return OK;
}

static bool can_move(struct apply *a, struct str tenant, struct str name)
{
	AUTO_BUF key = BUF_NONE;

	key_rollout(&key, tenant, name);
	return kv_get(a->txn, KV_ROLLOUTS, buf_view(&key), NULL);
}

/* The oldest of a tenant, those that can still move apart unless 'all'; false: there
 * is none. */
static bool remove_oldest(struct apply *a, struct str tenant, bool all)
{
	AUTO_BUF prefix = BUF_NONE;
	struct event_row event = { .type = EVENT_DELETED, .kind = KIND_RELEASE,
				   .tenant = tenant };
	struct kv_cursor c;
	struct str key;
	bool found;

	key_objects(&prefix, tenant, KIND_RELEASE);
	found = kv_seek(a->txn, KV_OBJECTS, buf_view(&prefix), &c);
	while (found && str_starts(c.key, buf_view(&prefix)) && !all &&
	       can_move(a, tenant, str_from(c.key, prefix.n)))
		found = kv_next(&c);
	found = found && str_starts(c.key, buf_view(&prefix));
	if (found) {
		key = arena_str(a->arena, c.key);
		event.before = arena_str(a->arena, c.val);
		event.name = str_from(key, prefix.n);
	}
	kv_cursor_close(&c);
	if (!found)
		return false;
	ap_del(a, KV_OBJECTS, key);
	ap_event(a, ap_next_rev(a), &event);
	return true;
}

enum code release_make(struct apply *a, struct err *err)
{
	struct str tenant;
	uint64_t n, max = MAX(a->head->limits.releases_max, (uint64_t)1);
	const struct rollout_row *begun = releasing_begun(a);
	enum code rc;

	for (size_t i = 0; begun && i < begun->n_configs; i++)
		add_config(&a->release, begun->configs[i].name,
			   begun->configs[i].version);
	if (a->release.n == 0)
		return OK;
	tenant = buf_view(&a->release.tenant);
	n = ap_count(a, tenant, KIND_RELEASE) + 1;
	for (unsigned i = 0; i < REMOVED_MAX && n > max; i++)
		n -= remove_oldest(a, tenant, false);
	rc = put_release(a, tenant, err);
	ap_set_count(a, tenant, KIND_RELEASE, n);
	return rc;
}

/* Of one that goes: a row, and its event. */
#define REMOVED_UNITS 8u

bool release_remove_some(struct apply *a, struct str tenant, unsigned *left)
{
	while (*left && remove_oldest(a, tenant, true))
		*left -= MIN(*left, REMOVED_UNITS);
	if (!*left)
		return false;
	ap_set_count(a, tenant, KIND_RELEASE, 0);
	return releasing_remove_some(a, tenant, left);
}
