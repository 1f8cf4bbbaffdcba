/*
 * What clients want: publishes of one and of many, large content, roll-backs,
 * rules, deletions of one and of all, labels, status, tokens, denials, and what
 * must be refused, all of it or nothing.  Three tenants, ten addresses each.
 */
#include "gates.h"

#include "base/mem.h"
#include "state/member.h"

#include "base/banned.h"

#define TENANTS 3
#define APPS 2
#define NAMES 5

static struct arena *names;              /* of a history */

void wishes_begin(void)
{
	names = arena_new(16 * 1024);
}

void wishes_end(void)
{
	arena_free(&names);
}

static struct address some_address(struct str tenant)
{
	return (struct address){
		tenant, arena_printf(names, "a%u", (unsigned)below(APPS)),
		STR("prod"), arena_printf(names, "n%u", (unsigned)below(NAMES)),
	};
}

static struct str some_tenant(void)
{
	return arena_printf(names, "t%u", (unsigned)below(TENANTS));
}

void random_bytes(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)below(256);
}

static struct op *add_op(struct command *c, enum op_type type,
			 const struct address *at)
{
	struct op *op = command_op(names, c, type);

	op->kind = KIND_CONFIG;
	op->tenant = at->tenant;
	op->name = address_object_name(names, at);
	return op;
}

static void op_config(struct command *c, const struct address *at,
		      struct str labels)
{
	struct op *op = add_op(c, OP_OBJECT_PUT, at);

	op->application = at->application;
	op->environment = at->environment;
	op->config_name = at->name;
	op->format = STR("toml");
	op->labels = labels.n ? labels : STR("{}");
	op->meta = op->spec = STR("{}");
	op->only_create = labels.n == 0;
	random_bytes(op->uid.b, sizeof(op->uid.b));
}

static void op_tenant(struct command *c, struct str name)
{
	struct op *op = command_op(names, c, OP_OBJECT_PUT);

	op->kind = KIND_TENANT;
	op->name = name;
	op->labels = op->meta = STR("{}");
	op->spec = below(4) ? STR("{}") :
		   STR("{\"quotas\":{\"configurations\":6}}");
	op->expect = below(3) ? REV_ANY : REV_NONE;
	random_bytes(op->uid.b, sizeof(op->uid.b));
}

/* Some of it was there before, some is new. */
static struct str some_content(void)
{
	struct str s = arena_printf(names, "port = %u\n", (unsigned)below(40));
	size_t n = below(4) ? 0 : (size_t)below(800);
	char *p;

	if (!n)
		return s;
	p = arena_alloc(names, s.n + n);
	memcpy(p, s.p, s.n);
	memset(p + s.n, '#', n);
	return str_n(p, s.n + n);
}

static void note_publish(struct wish *wish, const struct address *at,
			 struct str content)
{
	AUTO_BUF text = BUF_NONE;

	address_text(&text, at);
	wish->address = arena_str(names, buf_view(&text));
	wish->sha = sha256_of(content);
}

static struct op *op_version(struct command *c, const struct address *at,
			     struct str content)
{
	struct op *op = add_op(c, OP_VERSION_ADD, at);

	op->sha = sha256_of(content);
	op->size = content.n;
	op->release = below(8) > 0;
	op->message = STR("as planned");
	return op;
}

void wish_publish(struct wish *wish)
{
	struct command *c = &wish->c;
	struct str tenant = some_tenant();

	for (uint64_t n = below(2) ? 1 : 2 + below(4); n; n--) {
		struct address at = some_address(tenant);
		struct str content = some_content();
		struct op *op;

		*command_content(names, c) = (struct content_part){
			tenant, sha256_of(content), content };
		op_config(c, &at, STR_NONE);
		op = op_version(c, &at, content);
		if (n == 1 && op->release)
			note_publish(wish, &at, content);
	}
	if (below(10) == 0) {
		c->subject = (struct subject){
			.name = arena_printf(names, "source:%.*s/s", STR_ARG(tenant)),
			.role = ROLE_SOURCE, .tenant = tenant };
		c->commit = STR("0123abcd");
		wish_lifts(c);
		c->flags = below(3) ? 0 : COMMAND_TAKE_OVER;
	}
}

/* Too large for the command; now and then for one part. */
static void make_large(struct wish *wish)
{
	struct command *c = &wish->c;
	struct str tenant = some_tenant();
	struct address at = some_address(tenant);
	size_t n = below(6) ? 1000 + (size_t)below(3000) : BLOB_CHUNK + 300;
	char *p = buf_extend(&wish->content, n);

	memset(p, 'a' + (char)below(20), n);
	wish->tenant = tenant;
	op_config(c, &at, STR_NONE);
	op_version(c, &at, buf_view(&wish->content))->release = true;
	note_publish(wish, &at, buf_view(&wish->content));
	sum.blobs++;
}

static void make_rollback(struct command *c)
{
	struct address at = some_address(some_tenant());
	struct op *op = add_op(c, OP_ROLLBACK, &at);

	op->mode = below(3) ? ROLLBACK_STABLE_ONLY : ROLLBACK_EMERGENCY;
	op->version = below(2) ? 0 : 1 + (uint32_t)below(4);
	op->hold = below(2);
	c->reason = STR("it does not start");
}

static void make_rules(struct command *c)
{
	struct address at = some_address(some_tenant());
	struct op *op = add_op(c, OP_RULES_SET, &at);
	struct rule *r = rules_add(names, &op->rules);

	r->version = 1 + (uint32_t)below(3);
	for (unsigned i = 0; i < 2; i++) {
		if (below(3) == 0)
			continue;
		r = rules_add(names, &op->rules);
		r->version = 1 + (uint32_t)below(3);
		r->priority = (int64_t)below(3);
		labels_set(names, &r->labels, STR("zone"),
			   i ? STR("b") : STR("a"));
	}
}

static void make_delete(struct command *c)
{
	struct address at = some_address(some_tenant());
	struct op *op = add_op(c, OP_OBJECT_DELETE, &at);

	op->expect = below(3) ? REV_ANY : 1 + below(record_rev() + 1);
}

/* Of all that there is in a tenant, and of it. */
static void make_wipe(struct command *c)
{
	struct str tenant = some_tenant();

	for (unsigned a = 0; a < APPS; a++)
		for (unsigned i = 0; i < NAMES; i++) {
			struct address at = { tenant, arena_printf(names, "a%u", a),
					      STR("prod"),
					      arena_printf(names, "n%u", i) };
			AUTO_BUF text = BUF_NONE;
			const struct told *newest = NULL;

			address_text(&text, &at);
			for (uint64_t rev = record_rev(); rev && !newest; rev--)
				if (str_eq(record_event(rev)->key,
					   buf_view(&text)))
					newest = record_event(rev);
			if (newest && !newest->is_deleted)
				add_op(c, OP_OBJECT_DELETE, &at);
		}
	if (below(2)) {
		struct op *op = command_op(names, c, OP_OBJECT_DELETE);

		op->kind = KIND_TENANT;
		op->name = tenant;
	}
	if (!c->n_ops) {
		struct address at = some_address(tenant);

		add_op(c, OP_OBJECT_DELETE, &at);
	}
	c->flags = COMMAND_TAKE_OVER;
}

static void make_status(struct command *c, unsigned n)
{
	struct address at = some_address(some_tenant());

	for (unsigned i = 0; i < n; i++)
		add_op(c, OP_OBJECT_STATUS, &at)->status =
			arena_printf(names, "{\"seen\":%u}",
				     n > 1 ? i : (unsigned)below(100));
}

static void make_labels(struct command *c)
{
	struct address at = some_address(some_tenant());

	op_config(c, &at, arena_printf(names, "{\"team\":\"%u\"}",
				       (unsigned)below(3)));
	if (below(3) == 0)
		c->ops[0].expect = 1 + below(record_rev() + 1);
}

/* Refused, whatever the state is: all of it, or nothing. */
static void make_refused(struct wish *wish)
{
	struct command *c = &wish->c;
	struct address at;

	wish_publish(wish);
	wish->must_fail = true;
	wish->address = STR_NONE;
	at = some_address(c->ops[0].tenant);
	at.name = STR("nobody");
	switch (below(4)) {
	case 0:
		c->subject = (struct subject){ .name = STR("token:reader"),
					       .role = ROLE_READ_ONLY };
		break;
	case 1:
		at.tenant = STR("t9");
		op_config(c, &at, STR_NONE);
		break;
	case 2:
		*command_pre(names, c) = (struct precondition){
			KIND_TENANT, STR_NONE, c->ops[0].tenant, UINT64_MAX };
		break;
	default:
		add_op(c, OP_OBJECT_DELETE, &at);
	}
}

static void make_tokens(struct command *c)
{
	static const enum op_type types[] = { OP_TOKEN_DELETE, OP_TOKEN_PUT,
					      OP_CERTIFICATE_PUT };
	struct op *op = command_op(names, c, types[below(3)]);

	op->name = arena_printf(names, "k%u", (unsigned)below(3));
	op->certificate = arena_printf(names, "%u", (unsigned)below(1000));
	op->sha = sha256_of(op->certificate);
	op->role = ROLE_READ_ONLY;
}

static void make_denied(struct command *c)
{
	struct op *op = command_op(names, c, OP_DENIED);

	c->subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	op->name = STR("address 10.0.0.0/24");
	op->message = STR("no token");
	op->size = 1 + below(100);
}

/* Refused until the cluster has the version that knows of it. */
static void make_members(struct command *c)
{
	struct op *op = command_op(names, c, OP_MEMBERS);

	c->subject = (struct subject){ .name = STR("system"), .role = ROLE_SYSTEM };
	op->stage = below(2) ? MEMBER_ASKED : 1 + (unsigned)below(
			MEMBER_STAGE__END - 1);
	op->member = MEMBER_PROMOTE;
	op->node = 1 + below(5);
	op->uid.b[0] = (uint8_t)below(6);
	op->is_done = below(2);
	op->message = op->stage == MEMBER_ASKED ? STR_NONE : STR("as it was found");
}

void wish_make(struct wish *wish, size_t n)
{
	struct command *c = &wish->c;
	uint64_t dice = below(100);

	if (n > 2 * TENANTS && gate_wish(names, wish))
		return;
	/* Tenants come first. */
	if (n <= 2 * TENANTS || dice < 4)
		op_tenant(c, n <= 2 * TENANTS ?
			  arena_printf(names, "t%zu", n % TENANTS) :
			  some_tenant());
	else if (dice < 45)
		wish_publish(wish);
	else if (dice < 52)
		make_large(wish);
	else if (dice < 62)
		make_rollback(c);
	else if (dice < 70)
		make_rules(c);
	else if (dice < 76)
		make_delete(c);
	else if (dice < 78)
		make_wipe(c);
	else if (dice < 83)
		make_status(c, 1);
	else if (dice < 84)
		make_status(c, 140);
	else if (dice < 89)
		make_labels(c);
	else if (dice < 95)
		make_refused(wish);
	else if (dice < 97)
		make_tokens(c);
	else if (dice < 99)
		make_members(c);
	else
		make_denied(c);
	gate_sign(names, wish);
}
