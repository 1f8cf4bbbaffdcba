/*
 * Encoding and decoding of commands and outcomes: see command.h.  Called by
 * the proposer (any thread) and by apply (core loop).
 */
#include "state/command.h"

#include "wire/wire.h"

#include "base/banned.h"

const struct limits limits_default = {
	.events_ms = 7ull * 86400000, .events_max = 1000000,
	.audit_ms = 365ull * 86400000, .audit_max = 10000000,
	.idem_ms = 86400000, .idem_max = 1000000,
	.versions_max = 100, .releases_max = 1000,
	.blob_idle_ms = 3600000,
	.bytes_max = 48ull << 30,
};

const char *manager_name(enum manager m)
{
	static const char *const names[MANAGER__COUNT] = {
		[MANAGER_API] = "api", [MANAGER_GIT] = "git",
		[MANAGER_TERRAFORM] = "terraform",
	};

	return m < MANAGER__COUNT ? names[m] : "unknown";
}

struct op *command_op(struct arena *arena, struct command *c, enum op_type type)
{
	struct op *op;

	c->ops = arena_grow(arena, c->ops, &c->cap_ops, c->n_ops + 1,
			    sizeof(*c->ops));
	op = &c->ops[c->n_ops++];
	*op = (struct op){ .type = type };
	return op;
}

struct precondition *command_pre(struct arena *arena, struct command *c)
{
	c->pre = arena_grow(arena, c->pre, &c->cap_pre, c->n_pre + 1,
			    sizeof(*c->pre));
	return &c->pre[c->n_pre++];
}

struct content_part *command_content(struct arena *arena, struct command *c)
{
	c->contents = arena_grow(arena, c->contents, &c->cap_contents,
				 c->n_contents + 1, sizeof(*c->contents));
	return &c->contents[c->n_contents++];
}

static enum verb move_verb(enum release_move move)
{
	switch (move) {
	case MOVE_PROMOTE:
	case MOVE_PROMOTE_FULL:
		return VERB_PROMOTE;
	case MOVE_PAUSE:
	case MOVE_RESUME:
		return VERB_PAUSE;
	case MOVE_ROLLBACK:
	case MOVE_ABORT:
		return VERB_ROLLBACK;
	default:
		return VERB_MAINTAIN;    /* the system's own */
	}
}

enum verb op_verb(const struct op *op)
{
	switch (op->type) {
	case OP_OBJECT_PUT:
		return op->expect == REV_NONE ? VERB_CREATE : VERB_UPDATE;
	case OP_OBJECT_STATUS:
		return VERB_PATCH;
	case OP_OBJECT_DELETE:
		return VERB_DELETE;
	case OP_VERSION_ADD:
	case OP_RULES_SET:
		return VERB_PUBLISH;
	case OP_ROLLBACK:
		return VERB_ROLLBACK;
	case OP_TOKEN_PUT:
	case OP_TOKEN_DELETE:
	case OP_CERTIFICATE_PUT:
	case OP_SUBJECT_PUT:
		return VERB_TOKEN;
	case OP_PLAN_PUT:
		return VERB_PLAN;
	/* Of whoever may what the plan does: each of its operations is asked. */
	case OP_EXECUTE:
		return VERB_PLAN;
	case OP_VOTE:
		/* Of whoever brought the change, by whichever verb: apply looks. */
		return op->vote == VOTE_CANCEL ? VERB_PLAN : VERB_APPROVE;
	case OP_RELEASE_MOVE:
		return move_verb(op->move);
	case OP_HOOK_KEY:
	case OP_VERSION_DROP:
	case OP_HOLD_LIFT:
		return VERB_ADMINISTER;
	case OP_OUTBOX:
		return VERB_ADMINISTER;
	case OP_DENIED:
	case OP_MEMBERS:
		return VERB_MAINTAIN;
	}
	return VERB_MAINTAIN;
}

const char *member_action(enum member_what what)
{
	static const char *const names[MEMBER_WHAT__END] = {
		[MEMBER_ADD] = "member-add", [MEMBER_PROMOTE] = "member-promote",
		[MEMBER_DEMOTE] = "member-demote",
		[MEMBER_REMOVE] = "member-remove",
		[MEMBER_LEAD] = "leader-transfer",
		[MEMBER_INITIALIZE] = "cluster-initialize",
	};

	return what > 0 && what < MEMBER_WHAT__END ? names[what] : "unknown";
}

const char *vote_action(enum vote vote)
{
	static const char *const names[VOTE__END] = {
		[VOTE_APPROVE] = "approve", [VOTE_REJECT] = "reject",
		[VOTE_CANCEL] = "cancel", [VOTE_REVIEW] = "review",
	};

	return vote > 0 && vote < VOTE__END ? names[vote] : "unknown";
}

const char *move_action(enum release_move move)
{
	static const char *const names[MOVE__END] = {
		[MOVE_START] = "release-start",
		[MOVE_STEP_BEGUN] = "release-step-begun",
		[MOVE_ADVANCE] = "release-advance",
		[MOVE_PROMOTE] = "release-promote",
		[MOVE_PROMOTE_FULL] = "release-promote-full",
		[MOVE_PAUSE] = "release-pause", [MOVE_RESUME] = "release-resume",
		[MOVE_ROLLBACK] = "release-rollback",
		[MOVE_ABORT] = "release-abort", [MOVE_FORGET] = "release-forget",
		[MOVE_MET] = "release-met", [MOVE_UNMET] = "release-unmet",
	};

	return move > 0 && move < MOVE__END ? names[move] : "unknown";
}

/* ---- one operation ---- */

enum { PUT_ONLY_CREATE = 1 };
enum { ADD_FORMATTING = 1, ADD_RELEASE = 2, ADD_LIFT_HOLD = 4, ADD_AUTHOR = 8 };

static void encode_target(struct buf *out, const struct op *op)
{
	wr_u8(out, (uint8_t)op->kind);
	wr_str(out, op->tenant);
	wr_str(out, op->name);
	wr_var(out, op->expect == REV_NONE ? 1 : op->expect << 1);
}

static void decode_target(struct rd *rd, struct op *op)
{
	uint64_t expect;

	op->kind = rd_u8(rd);
	op->tenant = rd_str(rd);
	op->name = rd_str(rd);
	expect = rd_var(rd);
	op->expect = expect == 1 ? REV_NONE : expect >> 1;
}

static void encode_put(struct buf *out, const struct op *op)
{
	wr_u8(out, op->only_create ? PUT_ONLY_CREATE : 0);
	wr_raw(out, op->uid.b, sizeof(op->uid.b));
	wr_u8(out, (uint8_t)op->manager);
	wr_str(out, op->manager_ref);
	wr_str(out, op->labels);
	wr_str(out, op->meta);
	wr_str(out, op->spec);
	if (op->kind != KIND_CONFIG)
		return;
	wr_str(out, op->application);
	wr_str(out, op->environment);
	wr_str(out, op->config_name);
	wr_str(out, op->format);
}

static void rd_bytes(struct rd *rd, void *to, size_t n)
{
	struct str s = rd_raw(rd, n);

	if (s.n == n)
		memcpy(to, s.p, n);
}

static void decode_put(struct rd *rd, struct op *op)
{
	op->only_create = rd_u8(rd) & PUT_ONLY_CREATE;
	rd_bytes(rd, op->uid.b, sizeof(op->uid.b));
	op->manager = rd_u8(rd);
	op->manager_ref = rd_str(rd);
	op->labels = rd_str(rd);
	op->meta = rd_str(rd);
	op->spec = rd_str(rd);
	if (op->manager >= MANAGER__COUNT)
		rd->bad = true;
	if (op->kind != KIND_CONFIG)
		return;
	op->application = rd_str(rd);
	op->environment = rd_str(rd);
	op->config_name = rd_str(rd);
	op->format = rd_str(rd);
}

static void encode_add(struct buf *out, const struct op *op)
{
	wr_u8(out, (uint8_t)((op->formatting_only ? ADD_FORMATTING : 0) |
			     (op->release ? ADD_RELEASE : 0) |
			     (op->lift_hold ? ADD_LIFT_HOLD : 0) |
			     (op->author.n ? ADD_AUTHOR : 0)));
	wr_raw(out, op->sha.b, sizeof(op->sha.b));
	wr_var(out, op->size);
	wr_str(out, op->message);
	wr_str(out, op->path);
	if (op->author.n)
		wr_str(out, op->author);
}

static void decode_add(struct rd *rd, struct op *op)
{
	uint8_t flags = rd_u8(rd);

	op->formatting_only = flags & ADD_FORMATTING;
	op->release = flags & ADD_RELEASE;
	op->lift_hold = flags & ADD_LIFT_HOLD;
	rd_bytes(rd, op->sha.b, sizeof(op->sha.b));
	op->size = rd_var(rd);
	op->message = rd_str(rd);
	op->path = rd_str(rd);
	if (!(flags & ADD_AUTHOR))
		return;
	op->author = rd_str(rd);
	if (op->author.n == 0)
		rd->bad = true;
}

static void encode_rules(struct buf *out, const struct rules *rules)
{
	AUTO_BUF b = BUF_NONE;

	rules_encode(&b, rules);
	wr_str(out, buf_view(&b));
}

static void encode_members(struct buf *out, const struct op *op)
{
	wr_u8(out, (uint8_t)op->stage);
	wr_u8(out, (uint8_t)op->member);
	wr_raw(out, op->uid.b, sizeof(op->uid.b));
	wr_var(out, op->node);
	wr_str(out, op->name);
	wr_u8(out, op->force);
	wr_u8(out, op->is_done);
	wr_str(out, op->message);
}

static void decode_members(struct rd *rd, struct op *op)
{
	op->stage = rd_u8(rd);
	op->member = rd_u8(rd);
	rd_bytes(rd, op->uid.b, sizeof(op->uid.b));
	op->node = rd_var(rd);
	op->name = rd_str(rd);
	op->force = rd_u8(rd);
	op->is_done = rd_u8(rd);
	op->message = rd_str(rd);
	if (!op->stage || !op->member)
		rd->bad = true;
}

static void encode_subject_put(struct buf *out, const struct op *op)
{
	wr_str(out, op->name);
	wr_str(out, op->author);
	wr_raw(out, op->sha.b, sizeof(op->sha.b));
	wr_str(out, op->certificate);
	wr_str(out, op->tenant);
	wr_str(out, op->groups);
	wr_var(out, op->verbs);
	wr_var(out, op->count);
}

static void decode_subject_put(struct rd *rd, struct op *op)
{
	op->name = rd_str(rd);
	op->author = rd_str(rd);
	rd_bytes(rd, op->sha.b, sizeof(op->sha.b));
	op->certificate = rd_str(rd);
	op->tenant = rd_str(rd);
	op->groups = rd_str(rd);
	op->verbs = rd_var(rd);
	op->count = rd_var(rd);
}

void op_encode(struct buf *out, const struct op *op)
{
	wr_u8(out, (uint8_t)op->type);
	if (op->type == OP_SUBJECT_PUT) {
		encode_subject_put(out, op);
		return;
	}
	if (op->type == OP_TOKEN_PUT || op->type == OP_TOKEN_DELETE) {
		wr_str(out, op->name);
		wr_raw(out, op->sha.b, sizeof(op->sha.b));
		wr_u8(out, (uint8_t)op->role);
		return;
	}
	if (op->type == OP_CERTIFICATE_PUT) {
		wr_str(out, op->name);
		wr_u8(out, (uint8_t)op->role);
		wr_str(out, op->certificate);
		return;
	}
	if (op->type == OP_DENIED) {
		wr_str(out, op->name);
		wr_str(out, op->message);
		wr_var(out, op->size);
		return;
	}
	if (op->type == OP_MEMBERS) {
		encode_members(out, op);
		return;
	}
	encode_target(out, op);
	switch (op->type) {
	case OP_OBJECT_PUT:
		encode_put(out, op);
		break;
	case OP_OBJECT_STATUS:
		wr_str(out, op->status);
		break;
	case OP_VERSION_ADD:
		encode_add(out, op);
		break;
	case OP_RULES_SET:
		encode_rules(out, &op->rules);
		break;
	case OP_ROLLBACK:
		wr_u8(out, (uint8_t)op->mode);
		wr_u8(out, op->hold);
		wr_var(out, op->version);
		wr_str(out, op->message);
		break;
	case OP_PLAN_PUT:
	case OP_EXECUTE:
		wr_raw(out, op->sha.b, sizeof(op->sha.b));
		wr_str(out, op->bytes);
		break;
	case OP_VOTE:
		wr_u8(out, (uint8_t)op->vote);
		wr_raw(out, op->sha.b, sizeof(op->sha.b));
		wr_str(out, op->message);
		break;
	case OP_RELEASE_MOVE:
		wr_u8(out, (uint8_t)op->move);
		wr_var(out, op->step);
		wr_var(out, op->count);
		wr_u8(out, (uint8_t)op->mode);
		wr_u8(out, op->force);
		wr_str(out, op->message);
		break;
	case OP_HOOK_KEY:
		wr_u8(out, op->force);
		wr_str(out, op->bytes);
		break;
	case OP_OUTBOX:
		wr_u8(out, (uint8_t)op->outbox);
		wr_var(out, op->count);
		wr_str(out, op->message);
		break;
	case OP_VERSION_DROP:
		wr_var(out, op->version);
		break;
	default:
		break;
	}
}

/* Those of VERSION_GATE that have a target.  False: another. */
static bool decode_gate(struct rd *rd, struct op *op)
{
	switch (op->type) {
	case OP_PLAN_PUT:
	case OP_EXECUTE:
		rd_bytes(rd, op->sha.b, sizeof(op->sha.b));
		op->bytes = rd_str(rd);
		return true;
	case OP_VOTE:
		op->vote = rd_u8(rd);
		rd_bytes(rd, op->sha.b, sizeof(op->sha.b));
		op->message = rd_str(rd);
		rd->bad = rd->bad || !op->vote;
		return true;
	case OP_RELEASE_MOVE:
		op->move = rd_u8(rd);
		op->step = (uint32_t)rd_var(rd);
		op->count = rd_var(rd);
		op->mode = rd_u8(rd);
		op->force = rd_u8(rd);
		op->message = rd_str(rd);
		rd->bad = rd->bad || !op->move;
		return true;
	case OP_HOOK_KEY:
		op->force = rd_u8(rd);
		op->bytes = rd_str(rd);
		return true;
	case OP_OUTBOX:
		op->outbox = rd_u8(rd);
		op->count = rd_var(rd);
		op->message = rd_str(rd);
		rd->bad = rd->bad || !op->outbox;
		return true;
	case OP_VERSION_DROP:
		op->version = (uint32_t)rd_var(rd);
		return true;
	case OP_HOLD_LIFT:
		return true;
	default:
		return false;
	}
}

static void decode_op(struct arena *arena, struct rd *rd, struct op *op)
{
	op->type = rd_u8(rd);
	if (op->type == OP_SUBJECT_PUT) {
		decode_subject_put(rd, op);
		return;
	}
	if (op->type == OP_TOKEN_PUT || op->type == OP_TOKEN_DELETE) {
		op->name = rd_str(rd);
		rd_bytes(rd, op->sha.b, sizeof(op->sha.b));
		op->role = rd_u8(rd);
		return;
	}
	if (op->type == OP_CERTIFICATE_PUT) {
		op->name = rd_str(rd);
		op->role = rd_u8(rd);
		op->certificate = rd_str(rd);
		return;
	}
	if (op->type == OP_DENIED) {
		op->name = rd_str(rd);
		op->message = rd_str(rd);
		op->size = rd_var(rd);
		return;
	}
	if (op->type == OP_MEMBERS) {
		decode_members(rd, op);
		return;
	}
	decode_target(rd, op);
	switch (op->type) {
	case OP_OBJECT_PUT:
		decode_put(rd, op);
		break;
	case OP_OBJECT_STATUS:
		op->status = rd_str(rd);
		break;
	case OP_OBJECT_DELETE:
		break;
	case OP_VERSION_ADD:
		decode_add(rd, op);
		break;
	case OP_RULES_SET:
		if (!rules_decode(arena, rd_str(rd), &op->rules))
			rd->bad = true;
		break;
	case OP_ROLLBACK:
		op->mode = rd_u8(rd);
		op->hold = rd_u8(rd);
		op->version = (uint32_t)rd_var(rd);
		op->message = rd_str(rd);
		break;
	default:
		if (!decode_gate(rd, op))
			rd->bad = true;
	}
}

/* ---- commands ---- */

static void encode_contents(struct buf *out, const struct command *c)
{
	wr_var(out, c->n_contents);
	for (size_t i = 0; i < c->n_contents; i++) {
		wr_str(out, c->contents[i].tenant);
		wr_raw(out, c->contents[i].sha.b, sizeof(c->contents[i].sha.b));
		wr_str(out, c->contents[i].bytes);
	}
}

static void decode_contents(struct arena *arena, struct rd *rd,
			    struct command *c)
{
	uint64_t n = rd_var(rd);

	if (n > COMMAND_CONTENTS_MAX)
		rd->bad = true;
	for (uint64_t i = 0; i < n && !rd->bad; i++) {
		struct content_part *part = command_content(arena, c);

		part->tenant = rd_str(rd);
		rd_bytes(rd, part->sha.b, sizeof(part->sha.b));
		part->bytes = rd_str(rd);
	}
}

static void encode_ops(struct buf *out, const struct command *c)
{
	bool is_named = c->subject.role == ROLE_NAMED;

	encode_contents(out, c);
	wr_raw(out, c->id.b, sizeof(c->id.b));
	wr_raw(out, c->body.b, sizeof(c->body.b));
	wr_str(out, c->subject.name);
	wr_u8(out, (uint8_t)c->subject.role);
	wr_str(out, c->subject.tenant);
	wr_str(out, c->credential);
	wr_str(out, c->origin);
	wr_raw(out, c->trace, sizeof(c->trace));
	wr_str(out, c->reason);
	wr_str(out, c->commit);
	wr_var(out, (c->flags & ~(unsigned)COMMAND_LATER) |
		    (is_named ? COMMAND_SUBJECT : 0) |
		    (c->not_before_ms ? COMMAND_LATER : 0));
	if (is_named) {
		wr_str(out, c->subject.groups);
		wr_var(out, c->subject.verbs);
		wr_raw(out, c->subject.token.b, sizeof(c->subject.token.b));
	}
	if (c->not_before_ms)
		wr_u64(out, c->not_before_ms);
	wr_var(out, c->n_pre);
	for (size_t i = 0; i < c->n_pre; i++) {
		wr_u8(out, (uint8_t)c->pre[i].kind);
		wr_str(out, c->pre[i].tenant);
		wr_str(out, c->pre[i].name);
		wr_var(out, c->pre[i].rev);
	}
	wr_var(out, c->n_ops);
	for (size_t i = 0; i < c->n_ops; i++)
		op_encode(out, &c->ops[i]);
}

/* Up to the operations. */
static void decode_ops_head(struct arena *arena, struct rd *rd,
			    struct command *c)
{
	uint64_t n;

	decode_contents(arena, rd, c);
	rd_bytes(rd, c->id.b, sizeof(c->id.b));
	rd_bytes(rd, c->body.b, sizeof(c->body.b));
	c->subject.name = rd_str(rd);
	c->subject.role = rd_u8(rd);
	c->subject.tenant = rd_str(rd);
	c->credential = rd_str(rd);
	c->origin = rd_str(rd);
	rd_bytes(rd, c->trace, sizeof(c->trace));
	c->reason = rd_str(rd);
	c->commit = rd_str(rd);
	c->flags = (unsigned)rd_var(rd);
	if (c->flags & COMMAND_SUBJECT) {
		c->subject.groups = rd_str(rd);
		c->subject.verbs = rd_var(rd);
		rd_bytes(rd, c->subject.token.b, sizeof(c->subject.token.b));
	}
	if (c->flags & COMMAND_LATER)
		c->not_before_ms = rd_u64(rd);
	n = rd_var(rd);
	for (uint64_t i = 0; i < n && !rd->bad; i++) {
		struct precondition *pre = command_pre(arena, c);

		pre->kind = rd_u8(rd);
		pre->tenant = rd_str(rd);
		pre->name = rd_str(rd);
		pre->rev = rd_var(rd);
	}
}

/* The settings in the order of the struct: all of them are uint64_t. */
#define LIMIT_COUNT (sizeof(struct limits) / sizeof(uint64_t))

void limits_encode(struct buf *out, const struct limits *limits)
{
	uint64_t fields[LIMIT_COUNT];

	memcpy(fields, limits, sizeof(fields));
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		wr_var(out, fields[i]);
}

void limits_decode(struct rd *rd, struct limits *out)
{
	uint64_t fields[LIMIT_COUNT];

	for (size_t i = 0; i < LIMIT_COUNT; i++)
		fields[i] = rd_var(rd);
	memcpy(out, fields, sizeof(fields));
}

void command_encode(struct buf *out, const struct command *c)
{
	wr_u8(out, COMMAND_FORMAT);
	wr_u8(out, (uint8_t)c->type);
	wr_var(out, c->time_ms);
	switch (c->type) {
	case COMMAND_OPS:
		encode_ops(out, c);
		break;
	case COMMAND_BLOB:
		wr_str(out, c->tenant);
		wr_raw(out, c->sha.b, sizeof(c->sha.b));
		wr_var(out, c->total);
		wr_var(out, c->offset);
		wr_str(out, c->bytes);
		break;
	case COMMAND_STAGE:
		wr_raw(out, c->transaction.b, sizeof(c->transaction.b));
		wr_var(out, c->part);
		wr_str(out, c->bytes);
		break;
	case COMMAND_STAGED:
		wr_raw(out, c->transaction.b, sizeof(c->transaction.b));
		wr_var(out, c->part);
		wr_raw(out, c->sha.b, sizeof(c->sha.b));
		break;
	case COMMAND_LIMITS:
		limits_encode(out, &c->limits);
		break;
	case COMMAND_VERSION:
		wr_var(out, c->version);
		break;
	case COMMAND_RESTORED:
		wr_u8(out, (uint8_t)c->from);
		wr_str(out, c->origin);
		wr_str(out, c->reason);
		break;
	case COMMAND_TICK:
		break;
	}
}

static void decode_body(struct arena *arena, struct rd *rd, struct command *c)
{
	switch (c->type) {
	case COMMAND_OPS:
		decode_ops_head(arena, rd, c);
		break;
	case COMMAND_BLOB:
		c->tenant = rd_str(rd);
		rd_bytes(rd, c->sha.b, sizeof(c->sha.b));
		c->total = rd_var(rd);
		c->offset = rd_var(rd);
		c->bytes = rd_str(rd);
		break;
	case COMMAND_STAGE:
		rd_bytes(rd, c->transaction.b, sizeof(c->transaction.b));
		c->part = (uint32_t)rd_var(rd);
		c->bytes = rd_str(rd);
		break;
	case COMMAND_STAGED:
		rd_bytes(rd, c->transaction.b, sizeof(c->transaction.b));
		c->part = (uint32_t)rd_var(rd);
		rd_bytes(rd, c->sha.b, sizeof(c->sha.b));
		break;
	case COMMAND_LIMITS:
		limits_decode(rd, &c->limits);
		break;
	case COMMAND_VERSION:
		c->version = rd_var(rd);
		break;
	case COMMAND_RESTORED:
		c->from = rd_u8(rd);
		c->origin = rd_str(rd);
		c->reason = rd_str(rd);
		break;
	case COMMAND_TICK:
		break;
	default:
		rd->bad = true;
	}
}

/* Only a newer program writes such a thing: who refused it would stand elsewhere
 * than those that know it. */
static enum code too_new(const char *what, unsigned type, struct err *err)
{
	err_set(err, E_UNSUPPORTED, "%s %u is of a newer version", what, type);
	return err_hint(err, "start the program that the other nodes run; this "
			     "one is too old for this cluster");
}

static enum code malformed(const struct rd *rd, struct err *err)
{
	return err_set(err, E_INVALID, "malformed command, %zu bytes before its "
		       "end", rd_left(rd));
}

bool command_is_known(struct str encoded)
{
	struct rd rd = rd_of(encoded);

	return rd_u8(&rd) <= COMMAND_FORMAT && rd_u8(&rd) <= COMMAND_VERSION;
}

enum code command_open(struct arena *arena, struct str in, struct command *out,
		       struct op_reader *ops, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);

	*out = (struct command){ 0 };
	*ops = (struct op_reader){ 0 };
	if (format > COMMAND_FORMAT)
		return too_new("a command of format", format, err);
	if (format == 0)
		return malformed(&rd, err);
	out->type = rd_u8(&rd);
	if (out->type > COMMAND_VERSION)
		return too_new("a command of type", out->type, err);
	out->time_ms = rd_var(&rd);
	decode_body(arena, &rd, out);
	if (out->type != COMMAND_OPS)
		return rd_done(&rd) ? OK : malformed(&rd, err);
	ops->n = rd_var(&rd);
	ops->rd = rd;
	/* An operation has at least a byte. */
	if (rd.bad || ops->n > COMMAND_OPS_MAX || ops->n > rd_left(&rd) ||
	    (ops->n == 0 && rd_left(&rd)))
		return malformed(&rd, err);
	return OK;
}

enum code command_next(struct arena *arena, struct op_reader *ops,
		       struct op *out, struct err *err)
{
	if (ops->next == ops->n)
		return E_NOT_FOUND;
	*out = (struct op){ 0 };
	decode_op(arena, &ops->rd, out);
	if (out->type > OP__LAST)
		return too_new("an operation of type", out->type, err);
	if (out->stage >= MEMBER_STAGE__END || out->member >= MEMBER_WHAT__END)
		return too_new("a change of members of stage and kind",
			       out->stage * 100 + out->member, err);
	if (out->vote >= VOTE__END || out->move >= MOVE__END ||
	    out->outbox >= OUTBOX__END)
		return too_new("a vote, move or delivery of kind",
			       out->vote + out->move + out->outbox, err);
	ops->next++;
	if (ops->rd.bad || (ops->next == ops->n && rd_left(&ops->rd)))
		return malformed(&ops->rd, err);
	return OK;
}

enum code command_decode(struct arena *arena, struct str in,
			 struct command *out, struct err *err)
{
	struct op_reader ops;
	struct op op;
	enum code rc = command_open(arena, in, out, &ops, err);

	while (rc == OK && ops.next < ops.n) {
		rc = command_next(arena, &ops, &op, err);
		if (rc == OK)
			*command_op(arena, out, op.type) = op;
	}
	return rc;
}

bool command_has_content(struct str encoded)
{
	struct rd rd = rd_of(encoded);
	uint8_t type;

	rd_u8(&rd);
	type = rd_u8(&rd);
	rd_var(&rd);
	return type == COMMAND_BLOB ||
	       (type == COMMAND_OPS && rd_var(&rd) > 0);
}

static bool op_grows(enum op_type type)
{
	return type == OP_OBJECT_PUT || type == OP_OBJECT_STATUS ||
	       type == OP_VERSION_ADD || type == OP_RULES_SET ||
	       type == OP_PLAN_PUT || type == OP_EXECUTE;
}

bool command_may_grow(struct str encoded)
{
	AUTO_ARENA arena = arena_new(0);
	struct command c;
	struct op_reader ops;
	struct op op;
	bool grows;

	if (command_open(arena, encoded, &c, &ops, &(struct err){ 0 }))
		return true;
	grows = c.type == COMMAND_BLOB || c.type == COMMAND_STAGE ||
		c.type == COMMAND_STAGED || c.n_contents > 0;
	while (!grows && ops.next < ops.n)
		grows = command_next(arena, &ops, &op, &(struct err){ 0 }) ||
			op_grows(op.type);
	return grows;
}

static bool skip_contents(struct rd *rd)
{
	for (uint64_t n = rd_var(rd); n > 0 && !rd->bad; n--) {
		rd_str(rd);
		rd_raw(rd, sizeof(struct sha256));
		rd_str(rd);
	}
	return !rd->bad;
}

bool command_id(struct str encoded, struct sha256 *out)
{
	static const struct sha256 none;
	struct rd rd = rd_of(encoded);
	bool has_operations;

	*out = none;
	rd_u8(&rd);
	has_operations = rd_u8(&rd) == COMMAND_OPS;
	rd_var(&rd);
	if (!has_operations || !skip_contents(&rd))
		return false;
	rd_bytes(&rd, out->b, sizeof(out->b));
	return !rd.bad && !sha256_eq(out, &none);
}

bool command_is_repeatable(struct str encoded)
{
	struct rd rd = rd_of(encoded);
	uint8_t type;

	rd_u8(&rd);
	type = rd_u8(&rd);
	if (type != COMMAND_OPS)
		return type == COMMAND_BLOB || type == COMMAND_STAGE ||
		       type == COMMAND_TICK || type == COMMAND_LIMITS;
	return command_id(encoded, &(struct sha256){ 0 });
}

void command_stamp(struct buf *out, struct str encoded, uint64_t time_ms)
{
	struct rd rd = rd_of(encoded);
	struct str head = rd_raw(&rd, 2);

	rd_var(&rd);
	if (rd.bad || !command_is_known(encoded))
		return;
	buf_str(out, head);
	wr_var(out, time_ms);
	buf_str(out, str_from(encoded, encoded.n - rd_left(&rd)));
}

bool command_strip(struct buf *out, struct str encoded)
{
	struct rd rd = rd_of(encoded);

	if (rd_u8(&rd) != COMMAND_FORMAT || rd_u8(&rd) != COMMAND_OPS)
		return false;
	rd_var(&rd);
	buf_str(out, str_first(encoded, encoded.n - rd_left(&rd)));
	wr_var(out, 0);
	if (!skip_contents(&rd))
		return false;
	buf_str(out, str_from(encoded, encoded.n - rd_left(&rd)));
	return true;
}
