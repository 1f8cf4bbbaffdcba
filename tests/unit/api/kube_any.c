/*
 * What watches of objects are told is what there is, and never more than their subjects
 * may read: objects that come, change and go, grants too, watches of every kind that begin
 * anywhere, that read or do not, and events that are compacted, all at random, from a
 * printed seed (SEED=N runs that one, STEPS=N so long).
 *
 * With each event that is told, what the watch knew of that object is what a GET behind
 * the command before would have told, and what it knows then is what one tells behind that
 * command: so none is missing, none comes twice, and each in its order.
 */
#include "api/kube.h"
#include "api/limits.h"
#include "asked.h"
#include "base/mem.h"
#include "base/rand.h"
#include "watch_lab.h"

#include "base/banned.h"

#define TENANTS 3
#define NAMES 6
#define KINDS 2
#define OF_KIND (TENANTS * NAMES)
#define PLACES (KINDS * OF_KIND)
#define TOKENS 6
#define WATCHES 10
/* So that some ten of them are more than a client is sent at once. */
#define NOTE 7000u
/* Of a client that does not read, and what is told at once: see kube_watch.c. */
#define PENDING_MAX (64u * 1024)
#define CHUNK_MAX (PENDING_MAX + 4 * NOTE)

/* One is the beginning of another, among tenants and among names. */
static const char *const tenants[TENANTS] = { "acme", "acm", "bank" };
static const char *const names[NAMES] = { "a", "a.b", "a-b", "c", "ca", "d" };
static const enum kind_id kinds[KINDS] = { KIND_APPLICATION, KIND_CONFIG };
static const char *const labels[] = { "{}", "{\"zone\":\"east\"}", "{\"zone\":\"west\"}" };

/* What a GET told from then on; empty: that there is none. */
struct was {
	size_t moment;
	uint64_t rev;
	struct str json;
};

struct place {
	struct was *was;
	size_t n, cap;
};

struct grant {
	char name[16], text[16];
	bool is_there;
};

enum select { SELECT_ALL, SELECT_ZONE, SELECT_NAME, SELECT__COUNT };

struct tail {
	struct asked asked;
	bool is_open;                    /* it is being told */
	unsigned token, kind, name;
	enum subject_role role;          /* these two as it began */
	char whose[16];
	int tenant;                      /* -1: all */
	enum select select;
	bool is_table, is_slow;
	/* There is no telling when a list is over that does not say so. */
	bool is_listing, says_end;
	size_t chunks;                   /* of its list */
	uint64_t last_rev;
	bool is_gone;                    /* it was told 410 */
	struct str known[PLACES];        /* empty: nothing */
	uint64_t since[PLACES];          /* the last revision of it that was told */
};

static struct prng prng;
static uint64_t *moments;                /* the last revision of each command */
static size_t n_moments, cap_moments;
static struct place places[PLACES];
static struct grant grants[TOKENS];
static struct tail tails[WATCHES];
static struct arena *kept;
static struct { unsigned told, lists, stalls, gone, denied, refused, revoked, marks; } seen;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&prng, n);
}

static unsigned kind_of(unsigned place)
{
	return place / OF_KIND;
}

static const char *tenant_of(unsigned place)
{
	return tenants[place % OF_KIND / NAMES];
}

static const char *name_of(unsigned place)
{
	const char *name = names[place % NAMES];

	return kind_of(place) == 0 ? name :
				     arena_z(arena, arena_printf(arena, "shop.prod.%s", name));
}

/* ---- what a GET answers ---- */

static struct kv_txn *picture(void)
{
	struct kv_txn *txn;
	struct err err;

	ck_assert_int_eq(view_use(at.view, 0, &txn, &err), OK);
	return txn;
}

static enum code may(struct kv_txn *txn, unsigned token, enum verb verb, unsigned kind,
		     const char *tenant, const char *name)
{
	struct target target = { .kind = kinds[kind], .tenant = str_of(tenant),
				 .name = str_of(name) };
	struct subject subject;
	struct str credential;
	struct err err;

	token_subject(txn, str_of(grants[token].text), arena, &subject, &credential);
	return permission_check(&subject, verb, &target, &err);
}

/* His grant; tells whether it is what it was when the watch began. */
static bool is_his(struct kv_txn *txn, const struct tail *t, struct subject *now)
{
	struct str credential;

	token_subject(txn, str_of(grants[t->token].text), arena, now, &credential);
	return now->role == t->role && str_eq(now->tenant, str_of(t->whose));
}

/* Who has become another goes on with nothing. */
static enum code may_watch(struct kv_txn *txn, const struct tail *t)
{
	struct subject now;

	if (t->is_open && !is_his(txn, t, &now))
		return E_UNAUTHORIZED;
	return may(txn, t->token, VERB_WATCH, t->kind,
		   t->tenant < 0 ? "" : tenants[t->tenant], "");
}

/* Of one form, wherever it comes from. */
static struct str text_of(const struct value *object)
{
	AUTO_BUF text = BUF_NONE;

	value_json(&text, object);
	return arena_str(kept, buf_view(&text));
}

static struct was get(struct kv_txn *txn, unsigned place)
{
	struct was was = { .moment = n_moments };
	AUTO_BUF json = BUF_NONE;
	struct object_view o;
	struct value *object;
	struct place *p = &places[place];
	struct err err;

	if (view_object(txn, kinds[kind_of(place)], str_of(tenant_of(place)),
			str_of(name_of(place)), &o, &err))
		return was;
	was.rev = o.rev;
	/* It has not changed. */
	if (p->n && p->was[p->n - 1].rev == o.rev)
		return was;
	view_json(&json, &o);
	ck_assert_int_eq(doc_parse_json(buf_view(&json), arena, NULL, &object, NULL), OK);
	was.json = text_of(object);
	return was;
}

static void note_moment(void)
{
	struct kv_txn *txn;

	view_idle(at.view);
	txn = picture();
	for (unsigned i = 0; i < PLACES; i++) {
		struct place *p = &places[i];
		struct was was = get(txn, i);

		if (was.rev == (p->n ? p->was[p->n - 1].rev : 0))
			continue;
		mem_grow((void **)&p->was, &p->cap, p->n + 1, sizeof(*p->was));
		p->was[p->n++] = was;
	}
	mem_grow((void **)&moments, &cap_moments, n_moments + 1, sizeof(*moments));
	moments[n_moments++] = store_rev(api.config.store);
	view_idle(at.view);
}

/* That of the command that 'rev' is of. */
static size_t moment_of(uint64_t rev)
{
	size_t i = n_moments - 1;

	ck_assert_msg(rev <= moments[i], "revision %llu was never seen",
		      (unsigned long long)rev);
	while (i > 0 && moments[i - 1] >= rev)
		i--;
	return i;
}

static struct was at_moment(unsigned place, size_t moment)
{
	const struct place *p = &places[place];

	for (size_t i = p->n; i > 0; i--)
		if (p->was[i - 1].moment <= moment)
			return p->was[i - 1];
	return (struct was){ 0 };
}

/* ---- what a watch is to know ---- */

static bool follows(const struct tail *t, unsigned place)
{
	return kind_of(place) == t->kind &&
	       (t->tenant < 0 || place % OF_KIND / NAMES == (unsigned)t->tenant) &&
	       (t->select != SELECT_NAME || place % NAMES == t->name);
}

static struct str to_know(const struct tail *t, unsigned place, size_t moment)
{
	struct str json = follows(t, place) ? at_moment(place, moment).json : STR_NONE;

	if (t->select == SELECT_ZONE && str_find_str(json, STR("\"zone\":\"east\"")) == SIZE_MAX)
		return STR_NONE;
	return json;
}

static void check_known(const struct tail *t, unsigned place, size_t moment)
{
	struct str want = to_know(t, place, moment), known = t->known[place];

	ck_assert_msg(str_eq(known, want), "of %s in %s it knows\n%.*s\nand not, at %llu,\n%.*s",
		      name_of(place), tenant_of(place), STR_ARG(str_first(known, 300)),
		      (unsigned long long)moments[moment], STR_ARG(str_first(want, 300)));
}

static void check_all(const struct tail *t, uint64_t rev)
{
	size_t moment = moment_of(rev);

	/* Amid a command only who heard all of it knows. */
	for (unsigned i = 0; i < PLACES && moments[moment] == rev; i++)
		check_known(t, i, moment);
}

/* ---- what it is told ---- */

static unsigned place_of(const struct tail *t, const struct value *object)
{
	struct str tenant = value_text_at(object, "metadata.namespace");
	struct str name = value_text_at(object, "metadata.name");

	for (unsigned i = t->kind * OF_KIND; i < PLACES; i++)
		if (str_eq(tenant, str_of(tenant_of(i))) && str_eq(name, str_of(name_of(i))))
			return i;
	ck_abort_msg("it is of no place");
	return 0;
}

static uint64_t rev_of(const struct value *object)
{
	uint64_t rev;

	ck_assert(str_u64(value_text_at(object, "metadata.resourceVersion"), &rev));
	return rev;
}

static void on_bookmark(struct tail *t, const struct value *object)
{
	uint64_t rev = rev_of(object);

	ck_assert_uint_ge(rev, t->last_rev);
	if (value_at(object, "metadata.annotations")) {
		ck_assert(t->says_end && t->is_listing);
		t->is_listing = false;
		seen.lists += t->chunks > 0;
	}
	ck_assert(!t->is_listing || !t->says_end);
	check_all(t, rev);
	t->last_rev = rev;
	seen.marks++;
}

static void on_error(struct tail *t, const struct value *object)
{
	enum code rc = may_watch(picture(), t);
	struct head head;
	uint64_t code;
	struct err err;

	ck_assert(value_to_u64(value_getz(object, "code"), &code));
	t->is_gone = code == 410;
	if (t->is_gone) {
		ck_assert_int_eq(view_head(picture(), &head, &err), OK);
		ck_assert_uint_gt(head.compacted_rev, t->last_rev);
		seen.gone++;
	} else {
		ck_assert_int_ne(rc, OK);
		ck_assert_uint_eq(code, (uint64_t)code_http(rc));
		seen.denied++;
	}
	t->is_open = false;
}

static void on_object(struct tail *t, struct str type, const struct value *object)
{
	unsigned place = place_of(t, object);
	uint64_t rev = rev_of(object), since = t->since[place];
	size_t moment = moment_of(rev);
	bool knew = t->known[place].n > 0;

	ck_assert_msg(follows(t, place), "it was told of %s", name_of(place));
	ck_assert_msg(may(picture(), t->token, VERB_GET, t->kind, tenant_of(place),
			  name_of(place)) == OK,
		      "%s was told of %s in %s and may not read it", grants[t->token].name,
		      name_of(place), tenant_of(place));
	ck_assert_msg(rev > since, "%s of %llu comes behind %llu", name_of(place),
		      (unsigned long long)rev, (unsigned long long)since);
	/* While it lists, by name. */
	ck_assert_msg(t->is_listing || rev > t->last_rev, "%llu comes behind %llu",
		      (unsigned long long)rev, (unsigned long long)t->last_rev);
	if ((since || !t->is_listing) && (!since || moment_of(since) != moment) && moment > 0)
		check_known(t, place, moment - 1);
	ck_assert_msg(knew == !str_is(type, "ADDED"), "%.*s, and it %s", STR_ARG(type),
		      knew ? "was there" : "was not there");
	if (!t->is_listing)
		t->last_rev = rev;
	t->since[place] = rev;
	t->known[place] = STR_NONE;
	seen.told++;
	if (str_is(type, "DELETED"))
		return;
	ck_assert(str_is(type, "ADDED") || str_is(type, "MODIFIED"));
	t->known[place] = text_of(object);
	if (at_moment(place, moment).rev == rev)
		check_known(t, place, moment);
}

static void on_line(struct tail *t, struct str line)
{
	struct value *event, *object;
	struct str type;

	ck_assert(t->is_open);
	ck_assert_int_eq(doc_parse_json(line, arena, NULL, &event, NULL), OK);
	type = value_text(value_getz(event, "type"));
	object = value_getz(event, "object");
	if (str_is(type, "BOOKMARK")) {
		on_bookmark(t, object);
	} else if (str_is(type, "ERROR")) {
		on_error(t, object);
	} else {
		if (t->is_table)
			object = value_getz(value_getz(object, "rows")->a.items[0], "object");
		on_object(t, type, object);
	}
}

/* Whoever does not read is sent no more, and has not got much. */
static void on_told(struct asked *a, struct str bytes)
{
	struct tail *t = container_of(a, struct tail, asked);

	if (!a->is_stream)
		return;
	ck_assert_uint_le(bytes.n, CHUNK_MAX);
	ck_assert(a->unread < PENDING_MAX || str_starts(bytes, STR("{\"type\":\"ERROR\"")));
	t->chunks += t->is_listing;
	seen.stalls += a->unread + bytes.n >= PENDING_MAX;
	while (bytes.n)
		on_line(t, str_cut(&bytes, '\n'));
}

/* ---- watches come and go ---- */

static void ask(struct tail *t, uint64_t since)
{
	struct asked *a = &t->asked;
	const char *tenant = t->tenant < 0 ? NULL : tenants[t->tenant];
	const struct kind *kind = kind_by_id(kinds[t->kind]);
	bool is_let_in, is_kept;
	struct subject now;
	struct err err;

	t->is_gone = false;
	a->told = on_told;
	view_idle(at.view);
	is_let_in = may_watch(picture(), t) == OK;
	is_kept = t->is_listing || feed_check(picture(), since, &err) == OK;
	asked_init(a, &at, tenant ? STR("/apis/x/namespaces/x") : STR("/apis/x"),
		   str_of(grants[t->token].text));
	a->in.args[0] = tenant ? str_of(tenant) : kind->plural;
	a->in.args[1] = tenant ? kind->plural : STR_NONE;
	if (t->is_table) {
		a->headers[a->in.n_headers++] = (struct http_header){
			STR("accept"), STR("application/json;as=Table;v=v1") };
		asked_query(a, "includeObject", STR("Object"));
	}
	if (since || below(2))
		asked_query(a, "resourceVersion", arena_printf(arena, "%llu",
							      (unsigned long long)since));
	if (t->says_end)
		asked_query(a, "sendInitialEvents", STR("true"));
	if (below(2))
		asked_query(a, "allowWatchBookmarks", STR("true"));
	if (t->select == SELECT_ZONE)
		asked_query(a, "labelSelector", STR("zone=east"));
	else if (t->select == SELECT_NAME)
		asked_query(a, "fieldSelector",
			    arena_printf(arena, "metadata.name=%s",
					 name_of(t->kind * OF_KIND + t->name)));
	is_his(picture(), t, &now);
	t->role = now.role;
	must(str_copy(t->whose, sizeof(t->whose), now.tenant));
	t->is_open = true;
	kube_watch(&a->r, tenant);
	ck_assert_msg((a->status == 200) == (is_let_in && is_kept), "%d", a->status);
	t->is_open = a->status == 200;
	t->is_gone = a->status == 410;
	seen.gone += t->is_gone;
	seen.refused += !is_let_in;
}

static void start(struct tail *t)
{
	size_t back = below((unsigned)MIN(n_moments, (size_t)8));
	uint64_t since = below(3) ? 0 : moments[n_moments - 1 - back];

	*t = (struct tail){ .token = below(TOKENS), .kind = below(KINDS),
			    .tenant = (int)below(TENANTS + 1) - 1,
			    .select = below(SELECT__COUNT), .name = below(NAMES),
			    .is_table = below(4) == 0, .is_slow = below(2),
			    .says_end = below(2) };
	t->is_listing = since == 0 || t->says_end;
	for (unsigned i = 0; i < PLACES && !t->is_listing; i++)
		t->known[i] = to_know(t, i, moment_of(since));
	t->last_rev = t->is_listing ? 0 : since;
	ask(t, since);
}

static void stop(struct tail *t)
{
	if (t->is_open)
		asked_leave(&t->asked);
	t->is_open = false;
}

/* As clients do: behind what it heard last, or with all that there is. */
static void come_again(struct tail *t)
{
	stop(t);
	if (!t->is_gone && !t->is_listing && t->last_rev) {
		t->says_end = false;
		ask(t, t->last_rev);
		return;
	}
	memset(t->known, 0, sizeof(t->known));
	memset(t->since, 0, sizeof(t->since));
	t->last_rev = t->chunks = 0;
	t->is_listing = true;
	ask(t, 0);
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
	op->verbs = BIT(VERB_PUBLISH);
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
	ck_assert(happens(c));
	seen.revoked += was_there;
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

/* There or not. */
static void put(struct command *c, unsigned place, unsigned what)
{
	static char note[NOTE];
	struct op *op = op_of(c, OP_OBJECT_PUT, kinds[kind_of(place)], tenant_of(place),
			      name_of(place));
	struct str content = arena_printf(arena, "content %u", what);

	memset(note, 'x', sizeof(note));
	op->labels = str_of(labels[below(ARRAY_LEN(labels))]);
	op->spec = arena_printf(arena, "{\"note\":\"%.*s\"}", (int)sizeof(note), note);
	if (kind_of(place) == 0)
		return;
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = str_of(names[place % NAMES]);
	op->format = STR("text");
	op = op_of(c, OP_VERSION_ADD, KIND_CONFIG, tenant_of(place), name_of(place));
	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = below(4) > 0;
}

/* One of a tenant, or several at once; some of them go. */
static void change_objects(void)
{
	struct command *c = command(COMMAND_OPS);
	unsigned first = below(KINDS * TENANTS) * NAMES, what = below(3);
	unsigned n = 1 + below(NAMES);

	bring(tenant_of(first), what);
	for (unsigned i = 0; i < n; i++) {
		unsigned place = first + (i + what) % NAMES;

		if (at_moment(place, n_moments - 1).rev && below(3) == 0)
			op_of(c, OP_OBJECT_DELETE, kinds[kind_of(place)], tenant_of(place),
			      name_of(place));
		else
			put(c, place, what);
	}
	happens(c);
}

/* Who is not there yet has missed something. */
static void compact(void)
{
	struct command *c = command(COMMAND_LIMITS);

	c->limits.events_max = 1 + below(20);
	submit(c);
	submit(command(COMMAND_TICK));
	c->limits.events_max = 100000;
	submit(c);
	note_moment();
}

static void step(void)
{
	struct tail *t = &tails[below(WATCHES)];

	switch (below(12)) {
	case 0:
		change_grant(&grants[below(TOKENS)]);
		break;
	case 1:
	case 2:
	case 3:
		stop(t);
		for (unsigned n = 3; n > 0 && !t->is_open; n--)
			start(t);
		break;
	case 4:
		come_again(t);
		break;
	case 5:
		if (below(2))
			compact();
		break;
	default:
		change_objects();
	}
	/* It is told now, in part, or with what comes next. */
	for (unsigned n = below(4); n > 0; n--)
		loop_run_once(at.loop);
	t = &tails[below(WATCHES)];
	if (t->is_open && !t->is_slow)
		asked_read(&t->asked);
}

/* ---- when all was told ---- */

/* Whoever may not watch any more is told so, and who missed what is kept no more. */
static bool has_heard_all(struct tail *t)
{
	if (t->is_open && t->asked.unread)
		asked_read(&t->asked);
	if (!t->is_open)
		return true;
	for (unsigned i = 0; i < PLACES; i++)
		if (!str_eq(t->known[i], to_know(t, i, n_moments - 1)))
			return false;
	return may_watch(picture(), t) == OK && !(t->is_listing && t->says_end);
}

static bool all_have(void)
{
	bool have = true;

	view_idle(at.view);
	for (unsigned i = 0; i < WATCHES; i++)
		have &= has_heard_all(&tails[i]);
	return have;
}

static void settle(void)
{
	TURN_UNTIL(all_have());
}

/* The last root token cannot be deleted, and this is it. */
static void begin(void)
{
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_TOKEN_PUT);

	op->name = STR("root");
	op->role = ROLE_ROOT;
	op->sha = sha256_of(STR("cfx_root"));
	note_moment();
	ck_assert(happens(c));
	for (unsigned i = 1; i < TENANTS; i++) {
		c = command(COMMAND_OPS);
		op_of(c, OP_OBJECT_PUT, KIND_TENANT, "", tenants[i]);
		ck_assert(happens(c));
	}
	for (unsigned i = 0; i < TOKENS; i++) {
		snprintf(grants[i].name, sizeof(grants[i].name), "token-%u", i);
		snprintf(grants[i].text, sizeof(grants[i].text), "cfx_%u", i);
		change_grant(&grants[i]);
	}
}

START_TEST(what_is_told_is_what_there_is)
{
	const char *given = getenv("SEED"), *steps = getenv("STEPS");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1 + (uint64_t)_i;
	unsigned n = steps ? (unsigned)strtoul(steps, NULL, 10) : 500;

	fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
	prng_init(&prng, seed);
	/* Without heartbeats who is quiet has to hear of his token all the same. */
	api.config.heartbeat_ms = seed % 2 ? 30000 : 20;
	begin();
	for (unsigned i = 0; i < n; i++) {
		step();
		if (below(6) == 0)
			settle();
	}
	settle();
	for (unsigned i = 0; i < WATCHES; i++)
		stop(&tails[i]);
	fprintf(stderr, "told %u, lists %u, stalls %u, gone %u, denied %u, refused %u, "
		"revoked %u, bookmarks %u\n", seen.told, seen.lists, seen.stalls, seen.gone,
		seen.denied, seen.refused, seen.revoked, seen.marks);
	/* It did happen. */
	ck_assert(seen.told > n / 2 && seen.lists && seen.stalls && seen.gone && seen.denied &&
		  seen.refused && seen.revoked && seen.marks);
}
END_TEST

/* ---- one list ---- */

/* In the order of their names; it is another each time. */
static void put_numbered(unsigned i)
{
	static unsigned times;
	struct command *c = command(COMMAND_OPS);
	struct op *op = op_of(c, OP_OBJECT_PUT, KIND_APPLICATION, "acme",
			      arena_z(arena, arena_printf(arena, "n%03u", i)));

	op->spec = arena_printf(arena, "{\"note\":\"%0*u\"}", (int)NOTE, times++);
	submit(c);
}

static void delete_numbered(unsigned i)
{
	struct command *c = command(COMMAND_OPS);

	op_of(c, OP_OBJECT_DELETE, KIND_APPLICATION, "acme",
	      arena_z(arena, arena_printf(arena, "n%03u", i)));
	submit(c);
}

static struct buf heard;

static void on_heard(struct asked *a, struct str bytes)
{
	ck_assert_uint_le(bytes.n, CHUNK_MAX);
	ck_assert_uint_lt(a->unread, PENDING_MAX);
	while (bytes.n) {
		struct value *event;
		struct str line = str_cut(&bytes, '\n');

		ck_assert_int_eq(doc_parse_json(line, arena, NULL, &event, NULL), OK);
		buf_printf(&heard, "%.*s %.*s ",
			   STR_ARG(str_first(value_text(value_getz(event, "type")), 1)),
			   STR_ARG(value_text_at(event, "object.metadata.name")));
	}
}

/* What changes meanwhile is told where it was told of already, and else not before what
 * there is comes to it. */
START_TEST(what_there_is_comes_as_it_is_read)
{
	struct asked a = { .told = on_heard };
	AUTO_BUF want = BUF_NONE;
	struct command *c = command(COMMAND_OPS);
	struct op *op = command_op(arena, c, OP_TOKEN_PUT);

	op->name = STR("root");
	op->role = ROLE_ROOT;
	op->sha = sha256_of(STR("cfx_root"));
	submit(c);
	for (unsigned i = 1; i < 100; i++)
		put_numbered(i);
	view_idle(at.view);
	asked_init(&a, &at, STR("/apis/x/namespaces/x"), STR("cfx_root"));
	a.in.args[0] = STR("acme");
	a.in.args[1] = STR("applications");
	asked_query(&a, "sendInitialEvents", STR("true"));
	kube_watch(&a.r, true);
	ck_assert_int_eq(a.status, 200);
	TURN_UNTIL(a.unread >= PENDING_MAX);
	for (unsigned i = 1; i < 10; i++)
		buf_printf(&want, "A n%03u ", i);
	ck_assert(str_starts(buf_view(&heard), buf_view(&want)));
	put_numbered(0);
	put_numbered(5);
	put_numbered(95);
	put_numbered(100);
	delete_numbered(6);
	delete_numbered(96);
	buf_reset(&want);
	buf_str(&want, buf_view(&heard));
	for (unsigned n = 0; n < 50; n++)
		loop_run_once(at.loop);
	ck_assert_msg(str_eq(buf_view(&heard), buf_view(&want)), "it was told unread");
	buf_z(&want, "A n000 M n005 D n006 ");
	for (unsigned i = (unsigned)str_find_str(buf_view(&want), STR("A n000")) / 7 + 1;
	     i <= 100; i++)
		if (i != 96)
			buf_printf(&want, "A n%03u ", i);
	buf_z(&want, "B  ");
	while (!str_ends(buf_view(&heard), STR("B  "))) {
		asked_read(&a);
		TURN_UNTIL(a.unread);
	}
	ck_assert_msg(str_eq(buf_view(&heard), buf_view(&want)), "%.*s\nand not\n%.*s",
		      STR_ARG(buf_view(&heard)), STR_ARG(buf_view(&want)));
	put_numbered(1);
	asked_read(&a);
	TURN_UNTIL(a.unread);
	ck_assert(str_ends(buf_view(&heard), STR("B  M n001 ")));
	asked_leave(&a);
	buf_fini(&heard);
}
END_TEST

/* ---- the lab ---- */

static void setup(void)
{
	static const struct limits_rate none[LIMIT__COUNT];

	lab_setup();
	kept = arena_new(0);
	api.limits = limits_new(none);
	at.objects = kube_watches_new(&at);
}

static void teardown(void)
{
	lab_teardown();
	kube_watches_free(&at.objects);
	limits_free(&api.limits);
	arena_free(&kept);
	for (unsigned i = 0; i < PLACES; i++)
		free(places[i].was);
	free(moments);
}

static Suite *suite(void)
{
	Suite *s = suite_create("api/kube_any");
	TCase *t = tcase_create("any");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_there_is_comes_as_it_is_read);
	tcase_add_loop_test(t, what_is_told_is_what_there_is, 0, 4);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
