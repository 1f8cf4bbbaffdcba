/* Commands of the log in words: see words.h. */
#include "state/words.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/command.h"

#include "base/banned.h"

#define PARTS_MAX 65536
#define ULL(x) ((unsigned long long)(x))

/* The parts of one staged command. */
struct staged {
	struct uuid transaction;
	struct buf *parts;
	size_t n, cap;
	size_t bytes;                    /* that it takes, slots included */
};

struct words_reader {
	struct arena *arena;             /* of the command */
	struct arena *op_arena;          /* of the operation */
	struct op_reader ops;
	struct staged *staged;           /* oldest first */
	size_t n, cap;
	size_t bytes;                    /* of all */
	struct buf gathered;
};

void words_fini(struct words *w)
{
	buf_fini(&w->text);
	buf_fini(&w->json);
}

void words_reset(struct words *w)
{
	buf_reset(&w->text);
	buf_reset(&w->json);
}

/* ---- text ---- */

/* What changes how a terminal shows what follows: C0, DEL, C1, and what turns the
 * direction of writing. */
static bool is_command(struct str c)
{
	const unsigned char *p = (const unsigned char *)c.p;

	if (c.n == 1)
		return p[0] < ' ' || p[0] == 127;
	if (c.n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (c.n == 3 && p[0] == 0xe2)
		return (p[1] == 0x80 && ((p[2] >= 0x8e && p[2] <= 0x8f) ||
					 (p[2] >= 0xa8 && p[2] <= 0xae))) ||
		       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
	return false;
}

void words_plain(struct buf *out, struct str text)
{
	while (text.n) {
		size_t n = str_utf8_len(text);
		struct str c = str_first(text, n ? n : 1);

		if (n && !is_command(c))
			buf_str(out, c);
		else
			for (size_t i = 0; i < c.n; i++)
				buf_printf(out, "\\x%02x", (unsigned char)c.p[i]);
		text = str_from(text, c.n);
	}
}

static void say(struct words *w, const char *text)
{
	buf_z(&w->text, text);
}

/* "<before>text", where there is one; and its member. */
static void say_str(struct words *w, const char *name, const char *before,
		    struct str text)
{
	if (!text.n)
		return;
	if (before) {
		buf_z(&w->text, before);
		words_plain(&w->text, text);
	}
	buf_printf(&w->json, "%s\"%s\":", w->json.n ? "," : "", name);
	buf_json(&w->json, text);
}

static void say_z(struct words *w, const char *name, const char *before,
		  const char *text)
{
	say_str(w, name, before, str_of(text));
}

static void say_u64(struct words *w, const char *name, const char *before,
		    uint64_t n)
{
	if (before)
		buf_printf(&w->text, "%s%llu", before, ULL(n));
	buf_printf(&w->json, "%s\"%s\":%llu", w->json.n ? "," : "", name, ULL(n));
}

static void say_flag(struct words *w, const char *name, const char *text, bool is)
{
	if (!is)
		return;
	buf_z(&w->text, text);
	buf_printf(&w->json, "%s\"%s\":true", w->json.n ? "," : "", name);
}

static void say_id(struct words *w, const char *name, const char *before,
		   struct uuid id)
{
	char text[37];

	uuid_text(text, id);
	say_z(w, name, before, text);
}

static void say_time(struct words *w, uint64_t ms)
{
	char text[RFC3339_MAX];

	/* The last that has a year of four digits. */
	if (ms > 253402300799999ull) {
		say_u64(w, "time_ms", "", ms);
		return;
	}
	clock_rfc3339(text, ms, true);
	say_z(w, "time", "", text);
}

/* The address of a repository may hold a password; "git https://user:word@host/". */
static void say_origin(struct words *w, struct str origin)
{
	size_t scheme = str_find_str(origin, STR("://"));
	struct str rest = str_from(origin, scheme == SIZE_MAX ? origin.n :
								scheme + 3);
	struct str host = str_first(rest, MIN(str_find(rest, '/'), rest.n));
	size_t at = str_rfind(host, '@');
	AUTO_BUF clean = BUF_NONE;

	if (at == SIZE_MAX) {
		say_str(w, "origin", " from ", origin);
		return;
	}
	buf_str(&clean, str_first(origin, origin.n - rest.n));
	buf_str(&clean, str_from(rest, at + 1));
	say_str(w, "origin", " from ", buf_view(&clean));
}

/* ---- operations ---- */

/* "configs acme/shop.prod.db.yaml". */
static void say_target(struct words *w, enum kind_id id, struct str tenant,
		       struct str name)
{
	const struct kind *kind = kind_by_id(id);

	if (kind)
		say_str(w, "kind", " ", kind->plural);
	else
		say_u64(w, "kind_number", " kind ", id);
	say_str(w, "tenant", " ", tenant);
	say_str(w, "name", tenant.n ? "/" : " ", name);
}

static void say_expect(struct words *w, const struct op *op)
{
	if (op->expect != REV_ANY && op->expect != REV_NONE)
		say_u64(w, "expect", ", if it is at revision ", op->expect);
}

static void say_put(struct words *w, const struct op *op)
{
	const char *how = op->expect == REV_NONE ? "create" :
			  op->only_create ? "create where it is missing" :
					    "write";
	AUTO_BUF address = BUF_NONE;

	say(w, how);
	say_target(w, op->kind, op->tenant, op->name);
	if (op->kind == KIND_CONFIG) {
		struct address a = { op->tenant, op->application,
				     op->environment, op->config_name };

		address_text(&address, &a);
		say_str(w, "address", " at ", buf_view(&address));
		say_str(w, "format", ", ", op->format);
	}
	say_z(w, "manager", ", managed by ", manager_name(op->manager));
	say_str(w, "manager_ref", " ", op->manager_ref);
	if (op->only_create)
		say_flag(w, "only_create", "", true);
	say_expect(w, op);
}

static void say_version(struct words *w, const struct op *op)
{
	say(w, op->release ? "publish" : "add a version of");
	say_target(w, op->kind, op->tenant, op->name);
	say_u64(w, "bytes", ": ", op->size);
	say(w, " bytes");
	say_flag(w, "release", ", live at once", op->release);
	say_flag(w, "formatting_only", ", formatting only", op->formatting_only);
	say_flag(w, "lift_hold", ", lifts a hold", op->lift_hold);
	say_str(w, "path", ", path ", op->path);
	say_str(w, "author", ", by ", op->author);
	say_str(w, "message", ", because: ", op->message);
	say_expect(w, op);
}

static void say_rules(struct words *w, const struct op *op)
{
	say(w, "set rules of");
	say_target(w, op->kind, op->tenant, op->name);
	buf_printf(&w->json, "%s\"rules\":", w->json.n ? "," : "");
	rules_json(&w->json, &op->rules);
	for (size_t i = 0; i < op->rules.n; i++) {
		const struct rule *r = &op->rules.r[i];

		say(w, i ? "; " : ": ");
		for (size_t k = 0; k < r->labels.n; k++) {
			say(w, k ? "," : "");
			words_plain(&w->text, r->labels.l[k].key);
			say(w, "=");
			words_plain(&w->text, r->labels.l[k].value);
		}
		say(w, r->labels.n ? " gets " : "all get ");
		if (r->version)
			buf_printf(&w->text, "version %u", r->version);
		else
			say(w, "the new version");
		if (r->priority)
			buf_printf(&w->text, " (priority %lld)",
				   (long long)r->priority);
	}
	say_expect(w, op);
}

static void say_rollback(struct words *w, const struct op *op)
{
	say(w, "roll back");
	say_target(w, op->kind, op->tenant, op->name);
	if (op->version)
		say_u64(w, "version", " to version ", op->version);
	else
		say(w, " to the version before");
	say_flag(w, "emergency", ", rules with labels too",
		 op->mode == ROLLBACK_EMERGENCY);
	say_flag(w, "hold", ", and hold it", op->hold);
	say_str(w, "message", ", because: ", op->message);
	say_expect(w, op);
}

static void say_token(struct words *w, const struct op *op)
{
	bool is_put = op->type != OP_TOKEN_DELETE;

	say_str(w, "name", is_put ? "make token " : "delete token ", op->name);
	if (is_put && op->role < ROLE__COUNT)
		say_z(w, "role", ", ", role_name(op->role));
	if (op->type == OP_CERTIFICATE_PUT)
		say_str(w, "certificate", ", for the certificate ",
			op->certificate);
}

static void say_denied(struct words *w, const struct op *op)
{
	say_u64(w, "count", "record ", op->size);
	say_str(w, "subject", " denied requests of ", op->name);
	say_str(w, "message", ": ", op->message);
}

/* As the audit log has it. */
static void say_members(struct words *w, const struct op *op)
{
	static const char *const stages[MEMBER_STAGE__END] = {
		[MEMBER_ASKED] = "asked", [MEMBER_ENDED] = "ended",
		[MEMBER_FOUND] = "found", [MEMBER_NOTED] = "noted",
	};

	say_z(w, "action", "record ", member_action(op->member));
	if (op->node)
		say_u64(w, "node", " of node ", op->node);
	say_str(w, "address", " at ", op->name);
	say_flag(w, "force", ", by force", op->force);
	say_z(w, "stage", ": ", stages[op->stage]);
	if (op->stage == MEMBER_ENDED || op->stage == MEMBER_NOTED) {
		buf_printf(&w->json, ",\"is_done\":%s",
			   op->is_done ? "true" : "false");
		say(w, op->is_done ? ", done" : ", refused");
	}
	say_str(w, "message", str_starts(op->message, STR(",")) ? "" : ", ",
		op->message);
}

static void say_simple(struct words *w, const char *what, const struct op *op)
{
	say(w, what);
	say_target(w, op->kind, op->tenant, op->name);
	if (op->type == OP_OBJECT_STATUS) {
		say_u64(w, "bytes", ", ", op->status.n);
		say(w, " bytes");
	}
	say_expect(w, op);
}

/* Never keys of webhooks, and of a plan how large it is alone. */
static void say_gate(struct words *w, const struct op *op)
{
	switch (op->type) {
	case OP_SUBJECT_PUT:
		say(w, "create token");
		say_str(w, "name", " ", op->name);
		say_str(w, "of", " of ", op->author);
		say_str(w, "tenant", " in tenant ", op->tenant);
		return;
	case OP_VOTE:
		say(w, vote_action(op->vote));
		break;
	case OP_RELEASE_MOVE:
		say(w, move_action(op->move));
		break;
	case OP_OUTBOX:
		say(w, "outcome of a delivery to");
		break;
	case OP_PLAN_PUT:
		say(w, "keep a plan of");
		break;
	case OP_EXECUTE:
		say(w, "execute a plan of");
		break;
	case OP_HOOK_KEY:
		say(w, "new key of");
		break;
	case OP_VERSION_DROP:
		say(w, "remove a version of");
		break;
	default:
		say(w, "lift the hold of");
		break;
	}
	say_target(w, op->kind, op->tenant, op->name);
	if (op->type == OP_PLAN_PUT)
		say_u64(w, "bytes", ", bytes ", op->bytes.n);
	if (op->type == OP_RELEASE_MOVE)
		say_u64(w, "step", " at step ", op->step);
	if (op->type == OP_OUTBOX)
		say_u64(w, "sequence", ", number ", op->count);
	if (op->type == OP_VERSION_DROP)
		say_u64(w, "version", ", version ", op->version);
	say_str(w, "message", ", because: ", op->message);
	say_expect(w, op);
}

static void say_op(struct words *w, const struct op *op)
{
	enum verb verb = op->only_create ? VERB_CREATE : op_verb(op);

	say_z(w, "verb", NULL, verb_name(verb));
	switch (op->type) {
	case OP_OBJECT_PUT:
		say_put(w, op);
		break;
	case OP_OBJECT_STATUS:
		say_simple(w, "set the status of", op);
		break;
	case OP_OBJECT_DELETE:
		say_simple(w, "delete", op);
		break;
	case OP_VERSION_ADD:
		say_version(w, op);
		break;
	case OP_RULES_SET:
		say_rules(w, op);
		break;
	case OP_ROLLBACK:
		say_rollback(w, op);
		break;
	case OP_TOKEN_PUT:
	case OP_TOKEN_DELETE:
	case OP_CERTIFICATE_PUT:
		say_token(w, op);
		break;
	case OP_DENIED:
		say_denied(w, op);
		break;
	case OP_MEMBERS:
		say_members(w, op);
		break;
	case OP_SUBJECT_PUT:
	case OP_PLAN_PUT:
	case OP_EXECUTE:
	case OP_VOTE:
	case OP_RELEASE_MOVE:
	case OP_HOOK_KEY:
	case OP_OUTBOX:
	case OP_VERSION_DROP:
	case OP_HOLD_LIFT:
		say_gate(w, op);
		break;
	}
}

/* ---- commands ---- */

static void say_contents(struct words *w, const struct command *c)
{
	uint64_t bytes = 0;

	if (!c->n_contents)
		return;
	for (size_t i = 0; i < c->n_contents; i++)
		bytes += c->contents[i].bytes.n;
	say_u64(w, "contents", ", brings ", c->n_contents);
	say_u64(w, "content_bytes", c->n_contents == 1 ? " content of " :
							 " contents of ", bytes);
	say(w, " bytes");
}

static void say_preconditions(struct words *w, const struct command *c)
{
	for (size_t i = 0; i < c->n_pre; i++) {
		const struct precondition *p = &c->pre[i];
		struct words one = { 0 };

		say_target(&one, p->kind, p->tenant, p->name);
		say_u64(&one, "revision", " at revision ", p->rev);
		say(w, i ? " and" : ", relies on");
		buf_str(&w->text, buf_view(&one.text));
		buf_printf(&w->json, i ? ",{" : "%s\"relies_on\":[{",
			   w->json.n ? "," : "");
		buf_str(&w->json, buf_view(&one.json));
		buf_c(&w->json, '}');
		words_fini(&one);
	}
	if (c->n_pre)
		buf_c(&w->json, ']');
}

static void say_ops(struct words *w, const struct command *c, size_t n_ops)
{
	say_str(w, "subject", ", by ", c->subject.name);
	if (c->subject.role < ROLE__COUNT) {
		say_z(w, "role", " (", role_name(c->subject.role));
		say(w, ")");
	}
	say_str(w, "credential", NULL, c->credential);
	say_origin(w, c->origin);
	say_flag(w, "takes_over", ", takes over", c->flags & COMMAND_TAKE_OVER);
	say_flag(w, "break_glass", ", breaks the glass",
		 c->flags & COMMAND_BREAK_GLASS);
	say_str(w, "commit", ", commit ", c->commit);
	say_str(w, "reason", ", because: ", c->reason);
	say_preconditions(w, c);
	say_contents(w, c);
	if (n_ops == 0 && c->n_contents == 0)
		say(w, ", does nothing");
}

static void say_limits(struct words *w, const struct limits *l)
{
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "events_ms", l->events_ms }, { "events_max", l->events_max },
		{ "audit_ms", l->audit_ms }, { "audit_max", l->audit_max },
		{ "idem_ms", l->idem_ms }, { "idem_max", l->idem_max },
		{ "versions_max", l->versions_max },
		{ "releases_max", l->releases_max },
		{ "blob_idle_ms", l->blob_idle_ms },
		{ "bytes_max", l->bytes_max },
	};

	_Static_assert(sizeof(*l) == ARRAY_LEN(all) * sizeof(uint64_t),
		       "a limit is missing here");
	say(w, ", what is kept:");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!all[i].value)
			continue;
		buf_printf(&w->text, " %s=", all[i].name);
		say_u64(w, all[i].name, "", all[i].value);
	}
}

static void say_command(struct words *w, const struct command *c, size_t n_ops)
{
	static const char *const names[] = {
		[COMMAND_OPS] = "operations", [COMMAND_BLOB] = "blob",
		[COMMAND_STAGE] = "stage", [COMMAND_STAGED] = "staged",
		[COMMAND_TICK] = "tick", [COMMAND_LIMITS] = "limits",
		[COMMAND_RESTORED] = "restored", [COMMAND_VERSION] = "version",
	};

	say_z(w, "command", NULL, names[c->type]);
	say_time(w, c->time_ms);
	switch (c->type) {
	case COMMAND_OPS:
		say_ops(w, c, n_ops);
		break;
	case COMMAND_BLOB:
		say_str(w, "tenant", ", content for ", c->tenant);
		say_u64(w, "content_bytes", ": ", c->bytes.n);
		say_u64(w, "content_offset", " bytes at ", c->offset);
		say_u64(w, "content_total", " of ", c->total);
		break;
	case COMMAND_STAGE:
		say_u64(w, "part", ", part ", c->part);
		say_id(w, "transaction", " of staged command ", c->transaction);
		say_u64(w, "part_bytes", ", ", c->bytes.n);
		say(w, " bytes");
		break;
	case COMMAND_STAGED:
		say_id(w, "transaction", ", staged command ", c->transaction);
		say_u64(w, "parts", ", parts ", c->part);
		break;
	case COMMAND_TICK:
		say(w, ", time goes on");
		break;
	case COMMAND_LIMITS:
		say_limits(w, &c->limits);
		break;
	case COMMAND_RESTORED:
		say_z(w, "restored_from", ", the state was restored from a ",
		      c->from == RESTORED_BACKUP ? "backup" :
		      c->from == RESTORED_SURVIVOR ? "survivor" : "?");
		say_str(w, "origin", " by ", c->origin);
		say_str(w, "reason", ": ", c->reason);
		break;
	case COMMAND_VERSION:
		say_u64(w, "version", ", the cluster has version ", c->version);
	}
}

/* ---- staged commands ---- */

static void staged_drop(struct words_reader *r, size_t i)
{
	struct staged *s = &r->staged[i];

	for (size_t k = 0; k < s->n; k++)
		buf_fini(&s->parts[k]);
	free(s->parts);
	r->bytes -= s->bytes;
	r->n--;
	memmove(s, s + 1, (r->n - i) * sizeof(*s));
}

static size_t staged_find(const struct words_reader *r, struct uuid id)
{
	size_t i = 0;

	while (i < r->n && memcmp(r->staged[i].transaction.b, id.b, sizeof(id.b)))
		i++;
	return i;
}

static void staged_add(struct words_reader *r, const struct command *c)
{
	size_t i = staged_find(r, c->transaction);
	struct staged *s;

	if (c->part >= PARTS_MAX)
		return;
	if (i == r->n) {
		mem_grow((void **)&r->staged, &r->cap, r->n + 1,
			 sizeof(*r->staged));
		r->staged[r->n++] = (struct staged){ .transaction =
							     c->transaction };
	}
	s = &r->staged[i];
	if (c->part >= s->n) {
		mem_grow((void **)&s->parts, &s->cap, c->part + 1,
			 sizeof(*s->parts));
		while (s->n <= c->part) {
			s->parts[s->n++] = BUF_NONE;
			s->bytes += sizeof(*s->parts);
			r->bytes += sizeof(*s->parts);
		}
	}
	s->bytes -= s->parts[c->part].n;
	r->bytes -= s->parts[c->part].n;
	buf_reset(&s->parts[c->part]);
	buf_str(&s->parts[c->part], c->bytes);
	s->bytes += c->bytes.n;
	r->bytes += c->bytes.n;
	while (r->bytes > WORDS_STAGED_MAX)
		staged_drop(r, 0);
}

/* Into r->gathered; false: not all of it was read. */
static bool staged_gather(struct words_reader *r, const struct command *c)
{
	size_t i = staged_find(r, c->transaction);
	struct sha256 sha;

	buf_reset(&r->gathered);
	if (i == r->n)
		return false;
	for (size_t k = 0; k < r->staged[i].n; k++)
		buf_str(&r->gathered, buf_view(&r->staged[i].parts[k]));
	staged_drop(r, i);
	sha = sha256_of(buf_view(&r->gathered));
	return sha256_eq(&sha, &c->sha);
}

/* ---- reading ---- */

struct words_reader *words_new(void)
{
	struct words_reader *r = NEW(struct words_reader);

	r->arena = arena_new(0);
	r->op_arena = arena_new(0);
	return r;
}

void words_free(struct words_reader **rp)
{
	struct words_reader *r = TAKE(*rp);

	if (!r)
		return;
	while (r->n)
		staged_drop(r, 0);
	free(r->staged);
	buf_fini(&r->gathered);
	arena_free(&r->arena);
	arena_free(&r->op_arena);
	free(r);
}

/* The command that was staged, behind the one that says that it is whole. */
static enum code say_staged(struct words_reader *r, const struct command *c,
			    struct words *out, struct err *err)
{
	struct words inner = { 0 };
	struct command whole;
	enum code rc;

	if (!staged_gather(r, c)) {
		say(out, "; not all of its parts were read");
		return OK;
	}
	rc = command_open(r->arena, buf_view(&r->gathered), &whole, &r->ops, err);
	if (rc)
		return err_wrap(err, "a staged command");
	say_command(&inner, &whole, r->ops.n);
	say(out, ": ");
	buf_str(&out->text, buf_view(&inner.text));
	buf_z(&out->json, ",\"staged\":{");
	buf_str(&out->json, buf_view(&inner.json));
	buf_c(&out->json, '}');
	words_fini(&inner);
	return OK;
}

enum code words_command(struct words_reader *r, struct str encoded,
			struct words *out, struct err *err)
{
	struct command c;
	enum code rc;

	arena_reset(r->arena);
	rc = command_open(r->arena, encoded, &c, &r->ops, err);
	if (rc) {
		r->ops = (struct op_reader){ 0 };
		return rc;
	}
	say_command(out, &c, r->ops.n);
	if (c.type == COMMAND_STAGE)
		staged_add(r, &c);
	if (c.type == COMMAND_STAGED)
		rc = say_staged(r, &c, out, err);
	if (rc)
		r->ops = (struct op_reader){ 0 };
	return rc;
}

enum code words_operation(struct words_reader *r, struct words *out,
			  struct err *err)
{
	struct op op;
	enum code rc;

	arena_reset(r->op_arena);
	rc = command_next(r->op_arena, &r->ops, &op, err);
	if (rc == OK)
		say_op(out, &op);
	else if (rc != E_NOT_FOUND)
		r->ops = (struct op_reader){ 0 };
	return rc;
}
