/*
 * Who asked for a change of the membership, and what came of it: audit records, and
 * a row for each change that is open.  Deterministic; the texts are the proposer's.
 */
#include "state/apply.h"

#include "base/banned.h"

#define NODE_MAX 65535

static enum code check_members(struct apply *a, const struct op *op,
			       struct err *err)
{
	if (a->head->version < VERSION_MEMBERS)
		return err_set(err, E_CONFLICT, "changes of members are written "
			       "from cluster version %d on", VERSION_MEMBERS);
	if (op->node > NODE_MAX ||
	    (op->node == 0) != (op->member == MEMBER_INITIALIZE))
		return err_set(err, E_INVALID, "node %llu is none",
			       (unsigned long long)op->node);
	if (op->name.n > 271 || op->message.n > MEMBER_TEXT_MAX ||
	    !str_is_utf8(op->name) || !str_is_utf8(op->message))
		return err_set(err, E_INVALID, "an address or a text of a change "
			       "of members is too long, or no UTF-8");
	return OK;
}

static size_t count_open(struct apply *a)
{
	struct kv_cursor c;
	size_t n = 0;

	for (bool on = kv_seek(a->txn, KV_META, KEY_MEMBERS, &c);
	     on && str_starts(c.key, KEY_MEMBERS); on = kv_next(&c))
		n++;
	kv_cursor_close(&c);
	return n;
}

static enum code begin(struct apply *a, const struct op *op, struct str key,
		       struct err *err)
{
	struct member_row row = {
		.what = op->member, .node = op->node,
		.time_ms = a->head->time_ms, .seq = a->head->audit_seq,
		.force = op->force, .address = op->name,
		.subject = a->cmd->subject.name };
	AUTO_BUF val = BUF_NONE;

	if (ap_get(a, KV_META, key).p)
		return err_set(err, E_EXISTS, "this change was asked for already");
	if (count_open(a) >= MEMBERS_OPEN_MAX)
		return err_set(err, E_BUSY, "%d changes of members are open",
			       MEMBERS_OPEN_MAX);
	member_row_encode(&val, &row);
	ap_put(a, KV_META, key, buf_view(&val));
	ap_diff(a, STR_NONE, buf_view(&val));
	return OK;
}

static void add_node(struct buf *out, const struct op *op)
{
	buf_z(out, member_action(op->member));
	if (op->node)
		buf_printf(out, " node %llu", (unsigned long long)op->node);
	if (op->name.n)
		buf_printf(out, " at %.*s", STR_ARG(op->name));
	if (op->force)
		buf_z(out, ", by force");
	buf_z(out, ": ");
}

void members_note(struct apply *a, const struct op *op)
{
	add_node(&a->targets, op);
	switch (op->stage) {
	case MEMBER_ASKED:
		buf_z(&a->targets, "asked for");
		break;
	case MEMBER_FOUND:
		buf_str(&a->targets, op->message);
		/* Of the row, which is gone now. */
		buf_printf(&a->targets, "; asked for by %.*s in record %llu",
			   STR_ARG(buf_view(&a->member_subject)),
			   (unsigned long long)a->member_seq);
		break;
	default:
		buf_z(&a->targets, op->is_done ? "done" : "refused, ");
		buf_str(&a->targets, op->message);
	}
}

enum code apply_members(struct apply *a, const struct op *op,
			struct op_result *res, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct member_row row;
	struct str val;
	enum code rc = check_members(a, op, err);

	if (rc)
		return rc;
	key_member(&key, &op->uid);
	*res = (struct op_result){ .uid = op->uid, .changed = true };
	if (op->stage == MEMBER_ASKED)
		return begin(a, op, buf_view(&key), err);
	ap_diff(a, STR_NONE, op->message);
	if (op->stage == MEMBER_NOTED)
		return OK;
	val = ap_get(a, KV_META, buf_view(&key));
	if (!val.p) {
		res->changed = false;
		return OK;
	}
	if (!member_row_decode(buf_view(&key), val, &row))
		return err_set(err, E_CORRUPT, "an open change of members is "
			       "malformed");
	a->member_seq = row.seq;
	buf_reset(&a->member_subject);
	buf_str(&a->member_subject, row.subject);
	ap_diff(a, val, STR_NONE);
	ap_del(a, KV_META, buf_view(&key));
	return OK;
}

/* Of another cluster: nobody can say any more what came of them. */
void members_forget(struct apply *a)
{
	AUTO_BUF key = BUF_NONE;
	struct kv_cursor c;
	bool on = true;

	while (on) {
		on = kv_seek(a->txn, KV_META, KEY_MEMBERS, &c) &&
		     str_starts(c.key, KEY_MEMBERS);
		buf_reset(&key);
		if (on)
			buf_str(&key, c.key);
		kv_cursor_close(&c);
		if (on)
			ap_del(a, KV_META, buf_view(&key));
	}
}
