/*
 * What is wanted of the gate: people, policies, windows and webhooks that come and
 * go, votes of those who may and those who may not, on what is proposed and on other
 * things, executions too early and too often, plans, deliveries, versions that go, and
 * ways back to what nobody had.  And it gives other wishes an author with a name, and now
 * and then a time.
 */
#include "gates.h"

#include "base/clock.h"
#include "base/mem.h"
#include "state/plan.h"
#include "state/view_rollout.h"

#include "base/banned.h"

#define TENANTS 2                /* of three: the third has no policies */

static struct str tenant_of_two(struct arena *names)
{
	return arena_printf(names, "t%u", (unsigned)below(TENANTS));
}

static void be_system(struct command *c)
{
	c->subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
}

static void be_person(struct command *c, const struct person *who)
{
	c->subject = (struct subject){ .name = str_of(who->name),
				       .role = ROLE_NAMED,
				       .token = sha256_of(str_of(who->token)) };
}

static void be_source(struct arena *names, struct command *c, struct str tenant)
{
	c->subject = (struct subject){
		.name = arena_printf(names, "source:%.*s/s", STR_ARG(tenant)),
		.role = ROLE_SOURCE, .tenant = tenant };
	c->commit = STR("0123abcd");
	wish_lifts(c);
}

/* As the reconciler does it; now and then, by the content, not. */
void wish_lifts(struct command *c)
{
	for (size_t i = 0; i < c->n_ops; i++)
		if (c->ops[i].type == OP_VERSION_ADD && c->ops[i].sha.b[0] % 8)
			c->ops[i].lift_hold = c->ops[i].release;
}

/* ---- who there is ---- */

static void add_person(struct arena *names, struct command *c, size_t i)
{
	struct op *op = command_op(names, c, OP_SUBJECT_PUT);

	op->name = str_of(people[i].token);
	op->author = str_of(people[i].name);
	op->sha = sha256_of(op->name);
	op->groups = people[i].leads ? STR("\5leads") : STR_NONE;
	op->verbs = people[i].verbs;
}

/* All who are not there; now and then one goes. */
static bool make_people(struct arena *names, struct command *c)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (!person_is_in(i) && below(8))
			add_person(names, c, i);
	if (!c->n_ops && below(20) == 0)
		command_op(names, c, OP_TOKEN_DELETE)->name =
			str_of(people[below(PEOPLE)].token);
	return c->n_ops > 0;
}

/* ---- objects ---- */

static struct op *put(struct arena *names, struct command *c, enum kind_id kind,
		      struct str name, struct str spec)
{
	struct op *op = command_op(names, c, OP_OBJECT_PUT);

	op->kind = kind;
	op->tenant = tenant_of_two(names);
	op->name = name;
	op->labels = op->meta = STR("{}");
	op->spec = spec;
	random_bytes(op->uid.b, sizeof(op->uid.b));
	return op;
}

static void drop(struct arena *names, struct command *c, enum kind_id kind,
		 struct str name)
{
	struct op *op = command_op(names, c, OP_OBJECT_DELETE);

	op->kind = kind;
	op->tenant = tenant_of_two(names);
	op->name = name;
}

static void make_policy(struct arena *names, struct command *c)
{
	struct str name = below(2) ? STR("first") : STR("second");

	if (below(6) == 0)
		drop(names, c, KIND_APPROVAL_POLICY, name);
	else
		put(names, c, KIND_APPROVAL_POLICY, name,
		    str_of(policy_forms[below(POLICY_FORMS)].spec));
}

/* Soon, and not for long. */
static void make_window(struct arena *names, struct command *c)
{
	uint64_t from = gates_time() + below(800), to = from + 100 + below(700);
	char start[RFC3339_MAX], end[RFC3339_MAX];

	if (below(8) == 0) {
		drop(names, c, KIND_FREEZE_WINDOW, STR("sale"));
		return;
	}
	clock_rfc3339(start, from, true);
	clock_rfc3339(end, to, true);
	put(names, c, KIND_FREEZE_WINDOW, STR("sale"),
	    arena_printf(names, "{\"blocks\":[\"publish\",\"steps\"],\"interval\":"
			 "{\"end\":\"%s\",\"start\":\"%s\"},\"owner\":\"ann\","
			 "\"reason\":\"%llu-%llu\"}", end, start, ULL(from),
			 ULL(to)));
}

static void make_hook(struct arena *names, struct command *c)
{
	struct str name = below(2) ? STR("chat") : STR("desk");

	if (below(5) == 0)
		drop(names, c, KIND_WEBHOOK, name);
	else
		put(names, c, KIND_WEBHOOK, name,
		    str_of(hook_forms[below(HOOK_FORMS)].spec));
}

/* ---- proposals ---- */

static struct op *op_of(struct arena *names, struct command *c, enum op_type type,
			const struct gate_proposal *p)
{
	struct op *op = command_op(names, c, type);

	op->kind = KIND_PROPOSAL;
	op->tenant = p->tenant;
	op->name = p->name;
	op->sha = p->digest;
	if (below(12) == 0)
		op->sha.b[0] ^= 1;
	return op;
}

/* Mostly to agree. */
static bool make_vote(struct arena *names, struct command *c)
{
	static const enum vote votes[] = { VOTE_REJECT, VOTE_CANCEL, VOTE_REVIEW };
	const struct gate_proposal *p = gates_some_proposal();
	struct op *op;

	for (unsigned i = 0; i < 4 && p && p->phase != PROPOSAL_PENDING; i++)
		p = gates_some_proposal();
	if (!p)
		return false;
	if (below(15))
		be_person(c, &people[below(PEOPLE)]);
	/* He says that he is another. */
	if (below(20) == 0)
		c->subject.name = STR("bob");
	c->subject.groups = STR("\5leads");
	op = op_of(names, c, OP_VOTE, p);
	op->vote = below(6) ? VOTE_APPROVE : votes[below(3)];
	op->message = STR("as I see it");
	gate_sum.own_votes += str_eq(c->subject.name, p->author);
	return true;
}

/* Whether it is time or not. */
static bool make_execute(struct arena *names, struct command *c)
{
	const struct gate_proposal *p = gates_some_proposal();

	for (unsigned i = 0; i < 4 && p && p->phase != PROPOSAL_APPROVED; i++)
		p = gates_some_proposal();
	if (!p)
		return false;
	be_system(c);
	if (below(20) == 0)
		be_person(c, &people[below(PEOPLE)]);
	op_of(names, c, OP_EXECUTE, p);
	return true;
}

/* A plan of a change that somebody wants is put, with its digest as it is now. */
static bool make_plan(struct arena *names, struct wish *wish)
{
	struct wish inner = { .c = { .type = COMMAND_OPS } };
	AUTO_BUF bytes = BUF_NONE;
	struct kv_txn *txn;
	struct sha256 digest;
	struct op *op;

	wish_publish(&inner);
	/* The content comes beside the plan. */
	wish->c.contents = inner.c.contents;
	wish->c.n_contents = inner.c.n_contents;
	inner.c.n_contents = 0;
	inner.c.flags = 0;
	be_person(&inner.c, &people[below(PEOPLE)]);
	command_encode(&bytes, &inner.c);
	txn = replica_read(record_replica(), 0, NULL);
	if (!txn)
		return false;
	if (planned_digest(txn, buf_view(&bytes), &digest, NULL)) {
		replica_idle(record_replica());
		return false;
	}
	replica_idle(record_replica());
	wish->c.subject = inner.c.subject;
	op = command_op(names, &wish->c, OP_PLAN_PUT);
	op->tenant = inner.c.ops[0].tenant;
	op->sha = digest;
	op->bytes = arena_str(names, buf_view(&bytes));
	return true;
}

static bool make_run(struct arena *names, struct command *c)
{
	struct sha256 digest;
	struct str tenant;
	struct op *op;

	if (!gates_some_plan(&tenant, &digest))
		return false;
	be_person(c, &people[below(PEOPLE)]);
	if (below(6) == 0)
		c->not_before_ms = gates_time() + below(900);
	op = command_op(names, c, OP_EXECUTE);
	op->tenant = tenant;
	op->sha = digest;
	return true;
}

static bool make_delivery(struct arena *names, struct command *c)
{
	struct str tenant, name;
	struct op *op;
	uint64_t seq;

	if (!gates_some_delivery(&tenant, &name, &seq))
		return false;
	be_system(c);
	op = command_op(names, c, OP_OUTBOX);
	op->kind = KIND_WEBHOOK;
	op->tenant = tenant;
	op->name = name;
	op->count = seq;
	op->outbox = below(5) ? OUTBOX_DELIVERED : OUTBOX_DEAD;
	op->message = op->outbox == OUTBOX_DEAD ? STR("it says 500") : STR_NONE;
	return true;
}

/* ---- releases ---- */

static void make_steps(struct arena *names, struct command *c)
{
	if (below(8) == 0)
		drop(names, c, KIND_RELEASE_POLICY, STR("usual"));
	else
		put(names, c, KIND_RELEASE_POLICY, STR("usual"),
		    str_of(step_forms[below(STEP_FORMS)]));
	/* Mostly where nobody has to agree. */
	if (below(3))
		c->ops[c->n_ops - 1].tenant = STR("t2");
}

struct choice {
	struct arena *names;
	struct str tenant, name;
	uint32_t step;
	struct str config;               /* one of it, and a version that it names */
	uint32_t version;
	bool leaves_half;                /* those of odd numbers are who leads' own */
	size_t n;
};

static bool choose(void *data, struct str tenant, struct str name,
		   const struct rollout_row *row)
{
	struct choice *c = data;

	if (c->leaves_half && row->number % 2)
		return true;
	if (below(++c->n) == 0) {
		static const struct rollout_config none;
		const struct rollout_config *one = row->n_configs ?
				&row->configs[below(row->n_configs)] : &none;

		c->tenant = arena_str(c->names, tenant);
		c->name = arena_str(c->names, name);
		c->step = row->step;
		c->config = arena_str(c->names, one->name);
		c->version = one->previous ?: one->version;
	}
	return true;
}

/* A release that can move; 'n' 0: none. */
static struct choice some_release(struct arena *names, bool leaves_half)
{
	struct kv_txn *txn = replica_read(record_replica(), 0, NULL);
	struct choice choice = { .names = names, .leaves_half = leaves_half };
	AUTO_ARENA arena = arena_new(4096);

	if (txn && view_rollouts(txn, arena, choose, &choice, NULL))
		choice.n = 0;
	replica_idle(record_replica());
	return choice;
}

/* Releases of which a newer one may take a part. */
struct beside {
	struct choice *to;
	struct rollout_row rows[16];     /* the older ones */
	size_t n;
	struct str tenant;               /* of these */
};

static bool share_some(const struct rollout_row *old, const struct rollout_row *row)
{
	size_t n = 0;

	for (size_t i = 0; i < old->n_configs; i++)
		n += rollout_row_config(row, old->configs[i].name) != NULL;
	return n && n < old->n_configs;
}

static bool choose_newer(void *data, struct str tenant, struct str name,
			 const struct rollout_row *row)
{
	struct beside *b = data;
	bool overtakes = false;

	if (!rollout_is_open(row->phase))
		return true;
	if (!str_eq(b->tenant, tenant))
		b->n = 0;
	b->tenant = tenant;
	for (size_t i = 0; i < b->n; i++)
		overtakes |= share_some(&b->rows[i], row);
	if (overtakes)
		choose(b->to, tenant, name, row);
	if (b->n < ARRAY_LEN(b->rows))
		b->rows[b->n++] = *row;
	return true;
}

/* One that goes out beside an older one, which has more than that. */
static struct choice some_newer(struct arena *names)
{
	struct kv_txn *txn = replica_read(record_replica(), 0, NULL);
	struct choice choice = { .names = names, .leaves_half = true };
	struct beside b = { .to = &choice };
	AUTO_ARENA arena = arena_new(4096);

	if (txn && view_rollouts(txn, arena, choose_newer, &b, NULL))
		choice.n = 0;
	replica_idle(record_replica());
	return choice;
}

/* What the leader would do, and people; now and then for another step. */
static bool make_move(struct arena *names, struct command *c)
{
	static const enum release_move moves[] = {
		MOVE_START, MOVE_STEP_BEGUN, MOVE_ADVANCE, MOVE_ADVANCE, MOVE_ADVANCE,
		MOVE_PROMOTE, MOVE_PROMOTE_FULL, MOVE_PAUSE, MOVE_RESUME,
		MOVE_ROLLBACK, MOVE_ROLLBACK, MOVE_ABORT, MOVE_FORGET, MOVE_MET,
		MOVE_UNMET };
	struct choice choice = below(3) ? (struct choice){ .n = 0 } : some_newer(names);
	bool overtakes = choice.n;
	struct op *op;

	if (!overtakes)
		choice = some_release(names, true);
	if (!choice.n)
		return false;
	if (below(3))
		be_system(c);
	else
		be_person(c, &people[below(PEOPLE)]);
	op = command_op(names, c, OP_RELEASE_MOVE);
	op->kind = KIND_RELEASE;
	op->tenant = choice.tenant;
	op->name = choice.name;
	op->move = overtakes ? MOVE_PROMOTE_FULL : moves[below(ARRAY_LEN(moves))];
	op->step = below(10) ? choice.step : (uint32_t)below(3);
	op->count = below(100);
	op->mode = below(4) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	op->message = STR("as it looks");
	return true;
}

/* ---- versions ---- */

/* As the collector would have it, and as nobody should: one that is in use. */
static bool make_drop(struct arena *names, struct command *c)
{
	struct choice of_release = below(2) ? some_release(names, false) :
					      (struct choice){ .n = 0 };
	struct str tenant = of_release.tenant, name = of_release.config;
	uint32_t version = of_release.version;

	if (!version &&
	    !gates_some_version(names, below(2), &tenant, &name, &version))
		return false;
	be_system(c);
	if (below(15) == 0)
		be_person(c, &people[below(PEOPLE)]);
	for (uint32_t n = below(3) ? 1 : 2; n && version; n--, version--) {
		struct op *op = command_op(names, c, OP_VERSION_DROP);

		op->kind = KIND_CONFIG;
		op->tenant = tenant;
		op->name = name;
		op->version = version;
	}
	return true;
}

/* Called a way back, and to what nobody had. */
static bool make_way_to_new(struct arena *names, struct wish *wish)
{
	struct command *c = &wish->c;
	struct op *op = command_op(names, c, OP_ROLLBACK);

	op->kind = KIND_CONFIG;
	op->mode = below(3) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	op->hold = below(2);
	c->reason = STR("it was meant so");
	if (!gates_some_version(names, true, &op->tenant, &op->name, &op->version)) {
		c->n_ops = 0;
		return false;
	}
	gate_sign(names, wish);
	return true;
}

/* Something newer comes while a release goes out, or waits. */
static bool make_newer(struct arena *names, struct wish *wish)
{
	struct choice at = some_release(names, true);
	struct command *c = &wish->c;
	struct str content = arena_printf(names, "port = %u\n",
					  (unsigned)below(10000));
	struct op *op;

	if (!at.config.n)
		return false;
	*command_content(names, c) = (struct content_part){
		at.tenant, sha256_of(content), content };
	op = command_op(names, c, OP_VERSION_ADD);
	op->kind = KIND_CONFIG;
	op->tenant = at.tenant;
	op->name = at.config;
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = true;
	if (below(2))
		be_source(names, c, at.tenant);
	else
		gate_sign(names, wish);
	return true;
}

/* What the newest release that goes out there brings. */
static bool some_coming(struct str tenant, struct str name, struct sha256 *sha)
{
	struct kv_txn *txn = replica_read(record_replica(), 0, NULL);
	struct releasing_at at;
	bool found = txn && view_releasing(txn, tenant, name, &at);

	if (found)
		*sha = at.sha;
	replica_idle(record_replica());
	return found;
}

/* Everything that goes out there turns back. */
static bool make_way_back(struct arena *names, struct command *c)
{
	struct choice at = some_release(names, true);
	struct op *op;

	if (!at.config.n)
		return false;
	op = command_op(names, c, OP_ROLLBACK);
	op->kind = KIND_CONFIG;
	op->tenant = at.tenant;
	op->name = at.config;
	op->mode = below(3) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	c->reason = STR("all of it is bad");
	return true;
}

/* Its source brings again what was turned back, or another content, or has left that
 * for what is on its way. */
static bool make_again(struct arena *names, struct command *c)
{
	struct str content = arena_printf(names, "port = %u\n",
					  (unsigned)below(10000));
	struct str tenant, name;
	struct sha256 sha;
	struct op *op;

	if (!rolls_some_held(&tenant, &name, &sha))
		return false;
	op = command_op(names, c, OP_VERSION_ADD);
	op->kind = KIND_CONFIG;
	op->tenant = tenant;
	op->name = name;
	op->sha = sha;
	op->release = true;
	if (below(2)) {
		*command_content(names, c) = (struct content_part){
			tenant, sha256_of(content), content };
		op->sha = sha256_of(content);
		op->size = content.n;
	}
	be_source(names, c, tenant);
	if (below(2) && some_coming(tenant, name, &op->sha))
		op->lift_hold = true;
	return true;
}

bool gate_wish(struct arena *names, struct wish *wish)
{
	struct command *c = &wish->c;
	uint64_t dice = below(gates_are_wanted() ? 110 : 145);

	/* Refused until the cluster has the version that knows of it. */
	if (gates_are_off() || (!gates_are_open() && below(30)))
		return false;
	if (dice < 3 || (!person_is_in(0) && below(3) == 0))
		return make_people(names, c);
	if (dice < 6 || (gates_policies() < 2 && below(6) == 0))
		make_policy(names, c);
	else if (dice < 8)
		make_window(names, c);
	else if (dice < 11)
		make_hook(names, c);
	else if (dice < 28)
		return make_vote(names, c);
	else if (dice < 40)
		return make_execute(names, c);
	else if (dice < 42)
		return make_plan(names, wish);
	else if (dice < 44)
		return make_run(names, c);
	else if (dice < 46)
		return make_delivery(names, c);
	else if (dice < 49)
		make_steps(names, c);
	else if (dice < 63)
		return make_move(names, c);
	else if (dice < 66)
		return make_again(names, c);
	else if (dice < 71)
		return make_drop(names, c);
	else if (dice < 75)
		return below(2) ? make_way_back(names, c) :
				  make_way_to_new(names, wish);
	else if (dice < 84)
		return make_newer(names, wish);
	else
		return false;
	return true;
}

void gate_sign(struct arena *names, struct wish *wish)
{
	struct command *c = &wish->c;

	if (gates_are_off() || !gates_are_open() || wish->must_fail || c->subject.role != ROLE_ROOT)
		return;
	/* Later, or when that is over. */
	if (below(8) == 0)
		c->not_before_ms = gates_time() + below(900);
	if (c->n_ops && c->ops[c->n_ops - 1].type == OP_VERSION_ADD && below(4) == 0) {
		be_source(names, c, c->ops[0].tenant);
		c->flags = COMMAND_TAKE_OVER;
	} else if (below(3)) {
		be_person(c, &people[below(PEOPLE)]);
		if (below(10) == 0) {
			/* Who may, mostly, and says why, mostly. */
			c->flags |= COMMAND_BREAK_GLASS;
			if (below(4))
				be_person(c, &people[below(2) ? 2 : 3]);
			c->reason = below(5) ? STR("it burns") : c->reason;
		}
	} else if (c->n_ops && c->ops[c->n_ops - 1].type == OP_VERSION_ADD &&
		   below(4) == 0) {
		c->ops[c->n_ops - 1].author = STR("Bob <bob>");
	}
}
