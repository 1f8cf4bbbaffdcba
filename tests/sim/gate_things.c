/*
 * What there is for the model of the gate (gates.h): the texts of policies and
 * webhooks with what they say by hand, people, and what commands made of these.
 */
#include "gates_own.h"

#include "base/banned.h"

#define EVERYTHING (~0ull)

/* The texts of the policies, and what they say, by hand. */
const struct policy_form policy_forms[POLICY_FORMS] = {
	{ .spec = "{\"breakGlass\":{\"subjects\":[\"bob\"]},\"stages\":["
		  "{\"from\":{\"groups\":[\"leads\"]}}]}",
	  .deeds = DEED_USUAL, .stages = { { NULL, 1 } }, .n_stages = 1,
	  .expires_ms = DAY_MS, .glass = "bob" },
	{ .spec = "{\"onConflict\":\"Supersede\",\"operations\":[\"publish\","
		  "\"rules\",\"write\",\"delete\",\"rollback\"],\"priority\":5,"
		  "\"select\":{\"applications\":[\"a0\"]},\"stages\":["
		  "{\"from\":{\"groups\":[\"leads\"]},\"required\":2}]}",
	  .about = { .application = "a0" }, .deeds = DEED_USUAL | DEED_ROLLBACK,
	  .stages = { { NULL, 2 } }, .n_stages = 1, .priority = 5,
	  .expires_ms = DAY_MS, .supersedes = true },
	{ .spec = "{\"breakGlass\":{\"subjects\":[\"cyd\"]},\"expiresAfter\":"
		  "\"1500ms\",\"priority\":3,\"select\":{\"names\":[\"n1\"]},"
		  "\"stages\":["
		  "{\"from\":{\"groups\":[\"leads\"]}},"
		  "{\"from\":{\"subjects\":[\"eve\"]}}]}",
	  .about = { .name = "n1" }, .deeds = DEED_USUAL,
	  .stages = { { NULL, 1 }, { "eve", 1 } }, .n_stages = 2, .priority = 3,
	  .expires_ms = 1500, .glass = "cyd" },
	{ .spec = "{\"operations\":[\"publish\",\"delete\"],\"priority\":-1,"
		  "\"select\":{\"labels\":{\"team\":\"1\"}},\"stages\":["
		  "{\"from\":{\"groups\":[\"leads\"]}}],\"startAfter\":\"300ms\"}",
	  .about = { .labels = "{\"team\":\"1\"}" },
	  .deeds = DEED_PUBLISH | DEED_DELETE, .stages = { { NULL, 1 } },
	  .n_stages = 1, .priority = -1, .expires_ms = DAY_MS, .start_ms = 300 },
};

/* Policies of releases. */
const char *const step_forms[STEP_FORMS] = {
	"{\"bake\":\"60ms\",\"conditions\":{\"applied\":{\"atLeast\":90},"
		"\"rejected\":{\"atMost\":10}},\"steps\":[{\"percent\":20},"
		"{\"percent\":50},{\"percent\":99.5}],\"strategy\":\"canary\","
		"\"timeout\":\"1h\"}",
	"{\"bake\":\"20ms\",\"concurrency\":{\"policy\":\"Queue\"},"
		"\"conditions\":{\"rejected\":{\"atMost\":5}},\"steps\":[{\"labels\":"
		"{\"zone\":\"a\"}},{\"percent\":60}],\"strategy\":\"canary\","
		"\"timeout\":\"1h\"}",
	"{\"keepPrevious\":\"1s\",\"preview\":{\"labels\":{\"zone\":\"b\"}},"
		"\"strategy\":\"blue-green\"}",
	"{\"concurrency\":{\"policy\":\"Parallel\"},\"steps\":[{\"nodes\":"
		"[\"c1\",\"c5\"]},{\"percent\":30}],\"strategy\":\"nodes\"}",
	"{\"bake\":\"200ms\",\"concurrency\":{\"policy\":\"Parallel\"},\"steps\":["
		"{\"percent\":30},{\"percent\":70}],\"strategy\":\"canary\","
		"\"timeout\":\"1h\"}",
};

const struct hook_form hook_forms[HOOK_FORMS] = {
	{ "{\"url\":\"https://one.example\"}", EVERYTHING, false },
	{ "{\"events\":[\"APPROVED\",\"EXECUTED\"],\"url\":\"https://two.example\"}",
	  BIT(NOTICE_APPROVED) | BIT(NOTICE_EXECUTED), false },
	{ "{\"events\":[\"PROPOSAL_CREATED\",\"CANCELLED\",\"BREAK_GLASS\"],"
	  "\"url\":\"https://three.example\"}",
	  BIT(NOTICE_PROPOSAL_CREATED) | BIT(NOTICE_CANCELLED) |
		  BIT(NOTICE_BREAK_GLASS), false },
	{ "{\"events\":[\"RELEASE_STARTED\",\"STEP\",\"COMPLETED\",\"ROLLED_BACK\"],"
	  "\"url\":\"https://five.example\"}",
	  BIT(NOTICE_RELEASE_STARTED) | BIT(NOTICE_STEP) | BIT(NOTICE_COMPLETED) |
		  BIT(NOTICE_ROLLED_BACK), false },
	{ "{\"suspend\":true,\"url\":\"https://four.example\"}", EVERYTHING, true },
};

#define USUAL (BIT(VERB_PUBLISH) | BIT(VERB_APPROVE) | BIT(VERB_ROLLBACK) | \
	       BIT(VERB_PROMOTE) | BIT(VERB_PAUSE))
const struct person people[PEOPLE] = {
	{ "ann", "ann", true, USUAL },
	{ "ann-too", "ann", true, USUAL },
	{ "bob", "bob", true, USUAL },
	{ "cyd", "cyd", true, USUAL },
	{ "dan", "dan", true, BIT(VERB_PUBLISH) },
	{ "eve", "eve", false, USUAL },
	{ "fay", "fay", false, USUAL },
	{ "gil", "gil", true, USUAL | BIT(VERB_ADMINISTER) },
};

struct gate_totals gate_sum;

struct gate_model m;

void gates_begin(void)
{
	memset(&m, 0, sizeof(m));
	m.arena = arena_new(64 * 1024);
	m.one = arena_new(64 * 1024);
	m.props = mem_zero(PROPS_MAX * sizeof(*m.props));
	m.is_off = below(4) == 0;
	leads_begin();
}

void gates_end(void)
{
	rolls_end();
	arena_free(&m.arena);
	arena_free(&m.one);
	free(TAKE(m.props));
}

bool gates_have_rolls(struct str tenant)
{
	return tenant.n == 2 && (m.has_rolls & BIT(tenant.p[1] - '0'));
}

bool gates_are_open(void)
{
	return m.is_open;
}

void gates_want(void)
{
	m.is_off = false;
	m.is_wanted = true;
}

bool gates_are_wanted(void)
{
	return m.is_wanted;
}

size_t gates_policies(void)
{
	return m.n_policies;
}

bool gates_are_off(void)
{
	return m.is_off;
}

uint64_t gates_time(void)
{
	return m.time_ms;
}

bool person_is_in(size_t i)
{
	return m.is_in[i];
}

const struct gate_proposal *gates_some_proposal(void)
{
	size_t n = m.n_props ? (size_t)below(MIN(m.n_props, below(3) ? 4u : 40u)) : 0;

	if (!m.n_props || m.props[m.n_props - 1 - n].is_gone)
		return NULL;
	return &m.props[m.n_props - 1 - n];
}

bool gates_some_plan(struct str *tenant, struct sha256 *digest)
{
	size_t i = m.n_plans ? (size_t)below(MIN(m.n_plans, (size_t)PLANS)) : 0;

	*tenant = m.plans[i].tenant;
	*digest = m.plans[i].digest;
	return m.n_plans > 0;
}

struct some_version {
	const struct place *at;
	bool is_new;
	size_t n;
	uint32_t version;
};

static bool choose_version(void *data, const struct version_row *row)
{
	struct some_version *s = data;

	if (s->is_new && was_had(s->at, &row->sha))
		return true;
	if (below(++s->n) == 0)
		s->version = row->version;
	return s->n < 4;
}

bool gates_some_version(struct arena *names, bool is_new, struct str *tenant,
			struct str *name, uint32_t *version)
{
	size_t from = m.n_places ? (size_t)below(m.n_places) : 0;
	struct kv_txn *txn = replica_read(record_replica(), 0, NULL);
	struct some_version s = { .is_new = is_new };

	for (size_t i = 0; txn && i < m.n_places && !s.version; i++) {
		s.at = &m.places[(from + i) % m.n_places];
		if (s.at->is_there)
			view_versions(txn, s.at->tenant, s.at->uid, 0, choose_version,
				      &s);
	}
	replica_idle(record_replica());
	if (!s.version)
		return false;
	*tenant = arena_str(names, s.at->tenant);
	*name = arena_str(names, s.at->name);
	*version = s.version;
	return true;
}

const struct person *person_of(const struct subject *s)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		struct sha256 token = sha256_of(str_of(people[i].token));

		if (m.is_in[i] && sha256_eq(&token, &s->token) &&
		    str_eq(s->name, str_of(people[i].name)))
			return &people[i];
	}
	return NULL;
}

/* ---- what there is from then on ---- */

static void on_policy(const struct op *op)
{
	size_t i = 0;

	while (i < m.n_policies && !(str_eq(m.policies[i].name, op->name) &&
				     str_eq(m.policies[i].tenant, op->tenant)))
		i++;
	if (op->type == OP_OBJECT_DELETE) {
		if (i < m.n_policies)
			m.policies[i] = m.policies[--m.n_policies];
		return;
	}
	must(i < OBJECTS);
	m.n_policies = MAX(m.n_policies, i + 1);
	m.policies[i] = (struct policy){ arena_str(m.arena, op->tenant),
					 arena_str(m.arena, op->name), NULL };
	for (size_t k = 0; k < POLICY_FORMS; k++)
		if (str_eq(op->spec, str_of(policy_forms[k].spec)))
			m.policies[i].is = &policy_forms[k];
	must(m.policies[i].is);
}

static void on_window(const struct op *op)
{
	struct value *spec = NULL;
	struct shut *win;
	struct str text, from;
	size_t i = 0;

	while (i < m.n_windows && !(str_eq(m.windows[i].name, op->name) &&
				    str_eq(m.windows[i].tenant, op->tenant)))
		i++;
	if (op->type == OP_OBJECT_DELETE) {
		if (i < m.n_windows)
			m.windows[i] = m.windows[--m.n_windows];
		return;
	}
	must(i < OBJECTS);
	m.n_windows = MAX(m.n_windows, i + 1);
	win = &m.windows[i];
	*win = (struct shut){ arena_str(m.arena, op->tenant),
				arena_str(m.arena, op->name), 0, 0 };
	/* Its reason says it in numbers. */
	must(doc_parse_json(op->spec, m.one, NULL, &spec, NULL) == OK);
	text = value_text(value_getz(spec, "reason"));
	from = str_cut(&text, '-');
	must(str_u64(from, &win->from_ms) && str_u64(text, &win->to_ms));
}

static void on_hook(const struct look *l, const struct op *op, struct uuid uid)
{
	size_t i = 0;

	while (i < m.n_hooks && !(str_eq(m.hooks[i].name, op->name) &&
				  str_eq(m.hooks[i].tenant, op->tenant)))
		i++;
	if (op->type == OP_OBJECT_DELETE) {
		if (i < m.n_hooks)
			m.hooks[i] = m.hooks[--m.n_hooks];
		return;
	}
	must(i < OBJECTS);
	m.n_hooks = MAX(m.n_hooks, i + 1);
	m.hooks[i] = (struct hook){ arena_str(m.arena, op->tenant),
				    arena_str(m.arena, op->name), NULL, uid,
				    l->index };
	for (size_t k = 0; k < HOOK_FORMS; k++)
		if (str_eq(op->spec, str_of(hook_forms[k].spec)))
			m.hooks[i].is = &hook_forms[k];
	must(m.hooks[i].is);
}

static void on_token(const struct op *op)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (str_eq(op->name, str_of(people[i].token)))
			m.is_in[i] = op->type == OP_SUBJECT_PUT;
}

void keep_plan(const struct op *op)
{
	size_t i = m.n_plans++ % PLANS;

	m.plans[i].tenant = arena_str(m.arena, op->tenant);
	m.plans[i].digest = op->sha;
	must(command_decode(m.arena, arena_str(m.arena, op->bytes), &m.plans[i].c,
			    NULL) == OK);
	gate_sum.plans++;
}

void gate_thing(const struct look *l, const struct op *op, struct uuid uid)
{
	if (op->type == OP_SUBJECT_PUT || op->type == OP_TOKEN_DELETE)
		on_token(op);
	else if (op->type != OP_OBJECT_PUT && op->type != OP_OBJECT_DELETE)
		return;
	else if (op->kind == KIND_APPROVAL_POLICY)
		on_policy(op);
	else if (op->kind == KIND_RELEASE_POLICY)
		m.has_rolls |= BIT(op->tenant.p[1] - '0');
	else if (op->kind == KIND_FREEZE_WINDOW)
		on_window(op);
	else if (op->kind == KIND_WEBHOOK)
		on_hook(l, op, uid);
}

static bool first_row(void *data, const struct outbox_row *row)
{
	*(uint64_t *)data = row->seq;
	return false;
}

bool gates_some_delivery(struct str *tenant, struct str *name, uint64_t *seq)
{
	const struct hook *h = m.n_hooks ? &m.hooks[below(m.n_hooks)] : NULL;
	struct kv_txn *txn = h ? replica_read(record_replica(), 0, NULL) : NULL;

	*seq = 0;
	if (!txn)
		return false;
	*tenant = h->tenant;
	*name = h->name;
	view_outbox(txn, h->uid, OUTBOX_WAITING, 0, first_row, seq);
	replica_idle(record_replica());
	return *seq > 0;
}
