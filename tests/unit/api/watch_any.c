/*
 * What watches tell is never more than what their subjects may fetch: subjects of tenants
 * and of none, grants that come, change and end, watches of every kind that begin
 * anywhere, publishes, rules and releases in steps, all at random, from a printed seed
 * (SEED=N runs that one, STEPS=N so long).
 *
 * With each change that is told, the same token is asked in the picture that it is told
 * from: it may fetch that, and a fetch behind that revision's command gave just this.
 * Whenever all has been told, what each watch knows by now is what fetches get.
 */
#include "auth/auth.h"
#include "base/mem.h"
#include "base/rand.h"
#include "state/rollout_row.h"
#include "watch_lab.h"

#include "base/banned.h"

#define TENANTS 3
#define NAMES 3
#define PLACES (TENANTS * NAMES)
#define ZONES 3
#define IDS 3
#define CLIENTS (ZONES * IDS)
#define TOKENS 6
#define WATCHES 10

/* One is the beginning of another, among tenants and among names. */
static const char *const tenants[TENANTS] = { "acme", "acm", "bank" };
static const char *const names[NAMES] = { "a", "a.b", "c" };
static const char *const zones[ZONES] = { NULL, "east", "west" };
static const char *const ids[IDS] = { NULL, "web-1", "web-2" };
static const char *const prefixes[] = { "", "a", "acm", "acm/", "acme/shop/prod/a",
					"acme/shop/prod/a.", "bank/shop/", "bank/shop/prod/c",
					"nobody/" };

struct got {
	bool has_version;
	uint32_t version;
	struct sha256 sha;
};

/* What clients get everywhere, behind a command. */
struct moment {
	uint64_t rev;                    /* its last */
	struct got got[CLIENTS][PLACES];
};

struct grant {
	char name[16], text[16];
	bool is_there;
	unsigned changes;                /* of what it allows */
};

struct tail {
	struct watcher watcher;
	bool is_open;
	unsigned token, client;
	unsigned changes;                /* of its grant, when it began */
	bool follows[PLACES];            /* of its keys and prefixes */
	bool knows[PLACES];
	struct got known[PLACES];
	uint64_t since[PLACES];          /* the last revision of it that was told */
	uint64_t last_rev;
};

static struct prng prng;
static struct moment *moments;
static size_t n_moments, cap_moments;
static struct grant grants[TOKENS];
static struct tail tails[WATCHES];
static struct { unsigned told, denied, refused, revoked, moves; } seen;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static struct address address_of(unsigned place)
{
	return (struct address){ str_of(tenants[place / NAMES]), STR("shop"), STR("prod"),
				 str_of(names[place % NAMES]) };
}

static unsigned place_of(const struct address *at_)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (str_eq(at_->tenant, str_of(tenants[i / NAMES])) &&
		    str_eq(at_->name, str_of(names[i % NAMES])))
			return i;
	ck_abort_msg("it is of no place");
	return 0;
}

static struct str key_of(unsigned place)
{
	return arena_printf(arena, "%s/shop/prod/%s", tenants[place / NAMES],
			    names[place % NAMES]);
}

static void client_of(unsigned number, struct client *out)
{
	const char *zone = zones[number / IDS], *id = ids[number % IDS];

	*out = (struct client){ .id = str_of(id ? id : "") };
	if (zone)
		labels_set(arena, &out->labels, STR("zone"), str_of(zone));
}

static bool is_same(const struct got *a, const struct got *b)
{
	return a->has_version == b->has_version && a->version == b->version &&
	       sha256_eq(&a->sha, &b->sha);
}

/* ---- what a fetch answers ---- */

static struct kv_txn *picture(void)
{
	struct kv_txn *txn;
	struct err err;

	ck_assert_int_eq(view_use(at.view, 0, &txn, &err), OK);
	return txn;
}

static enum code may(struct kv_txn *txn, unsigned token, enum verb verb, int place)
{
	struct target target = { .kind = KIND_CONFIG, .is_open = place < 0 };
	struct subject subject;
	struct str credential;
	struct err err;

	if (place >= 0) {
		target.tenant = str_of(tenants[place / NAMES]);
		target.name = str_of(names[place % NAMES]);
	}
	token_subject(txn, str_of(grants[token].text), arena, &subject, &credential);
	return permission_check(&subject, verb, &target, &err);
}

/* As the route of it does: may he at all, may he there, what does he get. */
static bool may_fetch(struct kv_txn *txn, unsigned token, unsigned place)
{
	return may(txn, token, VERB_FETCH, -1) == OK &&
	       may(txn, token, VERB_FETCH, (int)place) == OK;
}

static struct got fetch(struct kv_txn *txn, unsigned client, unsigned place)
{
	struct address where = address_of(place);
	struct config_view v;
	struct client who;
	struct err err;
	enum code rc;

	client_of(client, &who);
	rc = view_config(txn, &where, &who, &v, &err);
	ck_assert_msg(rc == OK || rc == E_NOT_FOUND, "%s", err.text);
	return rc ? (struct got){ 0 } :
		    (struct got){ true, v.rule.version, v.rule.sha };
}

static void note_moment(void)
{
	struct kv_txn *txn;
	struct moment *m;

	mem_grow((void **)&moments, &cap_moments, n_moments + 1, sizeof(*moments));
	m = &moments[n_moments++];
	view_idle(at.view);
	txn = picture();
	m->rev = store_rev(api.config.store);
	for (unsigned c = 0; c < CLIENTS; c++)
		for (unsigned p = 0; p < PLACES; p++)
			m->got[c][p] = fetch(txn, c, p);
	view_idle(at.view);
}

/* Behind the command that 'rev' is of. */
static const struct moment *behind(uint64_t rev)
{
	for (size_t i = 0; i < n_moments; i++)
		if (moments[i].rev >= rev)
			return &moments[i];
	ck_abort_msg("revision %llu was never seen", (unsigned long long)rev);
	return NULL;
}

/* ---- what watches are told ---- */

static struct tail *tail_of(struct watcher *w)
{
	return container_of(w, struct tail, watcher);
}

/* What was told last of it in that command: one may take back a release and begin
 * another, which are told one after the other. */
static void check_told(const struct tail *t, unsigned place)
{
	ck_assert_msg(!t->since[place] ||
		      is_same(&t->known[place],
			      &behind(t->since[place])->got[t->client][place]),
		      "%s was told version %u of %s", grants[t->token].name,
		      t->known[place].version, arena_z(arena, key_of(place)));
}

static bool on_change(struct watcher *w, const struct feed_change *c)
{
	struct tail *t = tail_of(w);
	unsigned place = place_of(&c->at);
	struct got told = { .has_version = c->has_version };

	if (c->has_version) {
		told.version = c->version;
		told.sha = c->sha;
	}
	ck_assert_msg(t->follows[place], "%s was told of %.*s", grants[t->token].name,
		      STR_ARG(c->key));
	ck_assert_msg(may_fetch(picture(), t->token, place),
		      "%s was told of %.*s and may not fetch it", grants[t->token].name,
		      STR_ARG(c->key));
	if (t->since[place] && behind(c->rev) != behind(t->since[place]))
		check_told(t, place);
	ck_assert_uint_gt(c->rev, t->last_rev);
	t->last_rev = t->since[place] = c->rev;
	t->known[place] = told;
	t->knows[place] = true;
	seen.told++;
	return below(20) > 0;
}

static void on_bookmark(struct watcher *w, uint64_t rev)
{
}

/* Nobody's watch ends but theirs who may not any more. */
static void on_end(struct watcher *w, enum watch_reason reason, const struct err *err)
{
	struct tail *t = tail_of(w);

	ck_assert_msg(reason == WATCH_DENIED, "%s", err->text);
	ck_assert_int_ne(may(picture(), t->token, VERB_WATCH, -1), OK);
	t->is_open = false;
	seen.denied++;
}

static const struct watcher_ops ops = {
	.change = on_change, .bookmark = on_bookmark, .end = on_end,
};

/* ---- watches come and go ---- */

static void follow(struct watch_spec *spec, struct tail *t)
{
	struct str prefix, key;
	struct err err;

	for (unsigned n = below(3); n > 0 || spec->n_keys + spec->n_prefixes == 0; n -= n > 0) {
		prefix = str_of(prefixes[below(ARRAY_LEN(prefixes))]);
		key = key_of(below(PLACES));
		ck_assert_int_eq(below(3) ? watch_spec_prefix(spec, arena, prefix, &err) :
					    watch_spec_key(spec, arena, key, &err), OK);
	}
	for (unsigned p = 0; p < PLACES; p++) {
		key = key_of(p);
		for (size_t i = 0; i < spec->n_prefixes; i++)
			t->follows[p] |= str_starts(key, spec->prefixes[i]);
		for (size_t i = 0; i < spec->n_keys; i++)
			t->follows[p] |= place_of(&spec->keys[i]) == p;
	}
}

static void start(struct tail *t)
{
	struct watch_spec spec = { .who.has_token = true };
	bool is_let_in;
	struct kv_txn *txn;
	struct err err;
	enum code rc;

	*t = (struct tail){ .token = below(TOKENS), .client = below(CLIENTS) };
	t->changes = grants[t->token].changes;
	client_of(t->client, &spec.client);
	spec.who.token = sha256_of(str_of(grants[t->token].text));
	str_copy(spec.who.name, sizeof(spec.who.name), str_of(grants[t->token].name));
	follow(&spec, t);
	spec.has_since = below(3) == 0;
	spec.since = moments[n_moments - 1 - below((unsigned)MIN(n_moments, (size_t)8))].rev;
	view_idle(at.view);
	txn = picture();
	is_let_in = may(txn, t->token, VERB_WATCH, -1) == OK;
	for (size_t i = 0; i < spec.n_keys; i++)
		is_let_in &= may_fetch(txn, t->token, place_of(&spec.keys[i]));
	for (unsigned p = 0; p < PLACES && !spec.has_since; p++) {
		t->known[p] = fetch(txn, t->client, p);
		t->knows[p] = t->follows[p] && may_fetch(txn, t->token, p);
	}
	rc = watcher_start(&t->watcher, &at, &spec, &ops, &err);
	ck_assert_msg((rc == OK) == is_let_in, "%d: %s", rc, err.text);
	t->is_open = rc == OK;
	seen.refused += rc != OK;
}

static void stop(struct tail *t)
{
	if (t->is_open)
		watcher_stop(&t->watcher);
	t->is_open = false;
}

/* ---- what happens ---- */

static bool happens(struct command *c)
{
	struct outcome o = try_submit(c);

	note_moment();
	if (o.code && getenv("SEED"))
		fprintf(stderr, "refused: %s\n", o.text);
	return o.code == OK;
}

/* OP_SUBJECT_PUT, or a role's; anew under the same digest it is another grant. */
static void give(struct command *c, struct grant *g)
{
	static const enum subject_role roles[] = { ROLE_READ_ONLY, ROLE_ROOT };
	bool has_name = below(4) > 0;
	struct op *op = command_op(arena, c, has_name ? OP_SUBJECT_PUT : OP_TOKEN_PUT);

	op->name = str_of(g->name);
	op->sha = sha256_of(str_of(g->text));
	if (!has_name) {
		op->role = roles[below(2)];
		return;
	}
	op->author = str_of(g->name);
	op->tenant = str_of(below(4) ? tenants[below(TENANTS)] : "");
	op->verbs = below(2) ? BIT(VERB_PUBLISH) : BIT(VERB_APPROVE) | BIT(VERB_ROLLBACK);
}

static void change_grant(struct grant *g)
{
	struct command *c = command(COMMAND_OPS);
	bool was_there = g->is_there;

	if (was_there)
		command_op(arena, c, OP_TOKEN_DELETE)->name = str_of(g->name);
	/* In one command nobody sees it gone. */
	if (!was_there || below(3))
		give(c, g);
	g->is_there = c->n_ops > (size_t)was_there;
	g->changes++;
	ck_assert(happens(c));
	seen.revoked += was_there;
}

/* What it brings is stored already. */
static void version_of(struct command *c, unsigned place, unsigned what)
{
	struct str content = arena_printf(arena, "content %u", what);
	const char *object = arena_z(arena, arena_printf(arena, "shop.prod.%s",
							 names[place % NAMES]));
	struct op *op = op_of(c, OP_OBJECT_PUT, KIND_CONFIG, tenants[place / NAMES], object);

	op->only_create = true;
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = str_of(names[place % NAMES]);
	op->format = STR("text");
	op = op_of(c, OP_VERSION_ADD, KIND_CONFIG, tenants[place / NAMES], object);
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = below(4) > 0;
}

static void bring(const char *tenant, unsigned what)
{
	struct command *c = command(COMMAND_BLOB);
	struct str content = arena_printf(arena, "content %u", what);

	c->tenant = str_of(tenant);
	c->sha = sha256_of(content);
	c->total = content.n;
	c->bytes = content;
	submit(c);
}

/* One of a tenant, or several at once. */
static void publish(void)
{
	struct command *c = command(COMMAND_OPS);
	unsigned first = below(TENANTS) * NAMES, what = below(3), n = 1 + below(NAMES);

	bring(tenants[first / NAMES], what);
	for (unsigned i = 0; i < n; i++)
		version_of(c, first + (i + what) % NAMES, what);
	happens(c);
}

static struct op *op_at(struct command *c, enum op_type type, unsigned place)
{
	return op_of(c, type, KIND_CONFIG, tenants[place / NAMES],
		     arena_z(arena, arena_printf(arena, "shop.prod.%s",
						 names[place % NAMES])));
}

static void set_rules(unsigned place)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = op_at(c, OP_RULES_SET, place);

	for (unsigned i = below(4); i > 0; i--) {
		struct rule *r = rules_add(arena, &op->rules);

		r->version = 1 + below(3);
		r->priority = (int64_t)i;
		if (below(3))
			labels_set(arena, &r->labels, STR("zone"),
				   str_of(zones[1 + below(2)]));
		if (below(3) == 0)
			rule_add_node(arena, r, str_of(ids[1 + below(2)]));
		if (below(3) == 0) {
			r->has_percent = true;
			r->percent_bp = below(PERCENT_ALL + 1);
		}
	}
	happens(c);
}

static void remove_config(unsigned place)
{
	struct command *c = command(COMMAND_OPS);

	op_at(c, OP_OBJECT_DELETE, place);
	happens(c);
}

/* Publishes go out in steps from then on, or at once again. */
static void set_policy(const char *tenant)
{
	struct command *c = command(COMMAND_OPS);

	op_of(c, OP_OBJECT_PUT, KIND_RELEASE_POLICY, tenant, "steps")->spec =
		below(3) ? STR("{\"strategy\":\"canary\",\"steps\":[{\"labels\":{\"zone\":"
			       "\"east\"},\"pause\":\"manual\"},{\"nodes\":[\"web-1\"]}]}") :
			   STR("{}");
	happens(c);
}

/* The release that gives something at 'place', where one runs; 0: none. */
static uint64_t release_at(unsigned place)
{
	struct address where = address_of(place);
	struct object_view o;
	struct rules rules;
	uint64_t number = 0;
	struct err err;

	view_idle(at.view);
	if (view_at(picture(), &where, &o, &err) || !rules_decode(arena, o.live.rules, &rules))
		return 0;
	for (size_t i = 0; i < rules.n; i++)
		number = MAX(number, rules.r[i].release);
	return number;
}

/* A place where one runs, if there is any. */
static unsigned released(void)
{
	unsigned first = below(PLACES);

	for (unsigned i = 0; i < PLACES; i++)
		if (release_at((first + i) % PLACES))
			return (first + i) % PLACES;
	return first;
}

static void move_release(unsigned place)
{
	static const enum release_move moves[] = { MOVE_PROMOTE, MOVE_PROMOTE_FULL,
						   MOVE_ROLLBACK, MOVE_ABORT };
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_RELEASE_MOVE);
	uint64_t number = release_at(place);
	char name[RELEASE_NAME_MAX];

	release_name(name, number ? number : 1);
	op->kind = KIND_RELEASE;
	op->tenant = str_of(tenants[place / NAMES]);
	op->name = arena_str(arena, str_of(name));
	op->move = moves[below(ARRAY_LEN(moves))];
	op->step = below(2);
	op->mode = ROLLBACK_STABLE_ONLY;
	op->message = STR("because");
	seen.moves += happens(c) && number;
}

static void step(void)
{
	struct tail *t = &tails[below(WATCHES)];

	switch (below(13)) {
	case 0:
	case 1:
		change_grant(&grants[below(TOKENS)]);
		break;
	case 2:
	case 3:
		set_rules(below(PLACES));
		break;
	case 4:
		remove_config(below(PLACES));
		break;
	case 5:
		set_policy(tenants[below(TENANTS)]);
		break;
	case 6:
	case 7:
		move_release(released());
		break;
	case 8:
	case 9:
		stop(t);
		for (unsigned n = 3; n > 0 && !t->is_open; n--)
			start(t);
		break;
	default:
		publish();
	}
	/* It is told now, in part, or with what comes next. */
	for (unsigned n = below(4); n > 0; n--)
		loop_run_once(at.loop);
}

/* ---- when all was told ---- */

static bool has_heard_all(struct tail *t)
{
	if (!t->is_open)
		return true;
	watcher_resume(&t->watcher);
	/* Whoever may not watch any more is told so. */
	return may(picture(), t->token, VERB_WATCH, -1) == OK &&
	       hub_is_idle(&t->watcher.feed) &&
	       hub_position(&t->watcher.feed) >= store_rev(api.config.store);
}

static bool all_have(void)
{
	bool have = true;

	view_idle(at.view);
	for (unsigned i = 0; i < WATCHES; i++)
		have &= has_heard_all(&tails[i]);
	return have;
}

/* What it knows is what its token fetches now; where the grant has changed since it
 * began it need not know all of that. */
static void compare(const struct tail *t, struct kv_txn *txn)
{
	for (unsigned p = 0; p < PLACES; p++) {
		bool is_given = t->follows[p] && may_fetch(txn, t->token, p);
		struct got now = fetch(txn, t->client, p);

		if (!is_given) {
			ck_assert(!t->knows[p] || t->changes != grants[t->token].changes);
			continue;
		}
		ck_assert_msg(!t->knows[p] || t->changes != grants[t->token].changes ||
			      is_same(&t->known[p], &now),
			      "%s knows version %u of %s, and fetches %u",
			      grants[t->token].name, t->known[p].version,
			      arena_z(arena, key_of(p)), now.version);
	}
}

static void settle(void)
{
	struct kv_txn *txn;

	TURN_UNTIL(all_have());
	view_idle(at.view);
	txn = picture();
	for (unsigned i = 0; i < WATCHES; i++) {
		if (!tails[i].is_open)
			continue;
		for (unsigned p = 0; p < PLACES; p++)
			check_told(&tails[i], p);
		compare(&tails[i], txn);
	}
}

/* The last root token cannot be deleted, and this is it. */
static void put_root(void)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_TOKEN_PUT);

	op->name = STR("root");
	op->role = ROLE_ROOT;
	op->sha = sha256_of(STR("cfx_root"));
	ck_assert(happens(c));
}

START_TEST(what_is_told_may_be_fetched)
{
	const char *given = getenv("SEED"), *steps = getenv("STEPS");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1 + (uint64_t)_i;
	unsigned n = steps ? (unsigned)strtoul(steps, NULL, 10) : 600;

	fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
	prng_init(&prng, seed);
	note_moment();
	put_root();
	for (unsigned i = 1; i < TENANTS; i++) {
		struct command *c = command(COMMAND_OPS);

		op_of(c, OP_OBJECT_PUT, KIND_TENANT, "", tenants[i]);
		ck_assert(happens(c));
	}
	for (unsigned i = 0; i < TOKENS; i++) {
		snprintf(grants[i].name, sizeof(grants[i].name), "token-%u", i);
		snprintf(grants[i].text, sizeof(grants[i].text), "cfx_%u", i);
		change_grant(&grants[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		step();
		if (below(4) == 0)
			settle();
	}
	settle();
	for (unsigned i = 0; i < WATCHES; i++)
		stop(&tails[i]);
	fprintf(stderr, "told %u, denied %u, refused %u, revoked %u, moves %u\n", seen.told,
		seen.denied, seen.refused, seen.revoked, seen.moves);
	/* It did happen. */
	ck_assert(seen.told > n / 4 && seen.denied && seen.refused && seen.revoked && seen.moves);
	free(moments);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/watch_any");
	TCase *t = tcase_create("any");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_loop_test(t, what_is_told_may_be_fetched, 0, 4);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
