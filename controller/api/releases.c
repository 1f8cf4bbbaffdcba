/*
 * Releases: which there are, and what people do to one that goes out in steps.  Who
 * may, and whether it can be moved so, is decided in apply (docs/releases.md).
 *
 * The id of a release is TENANT/NAME.
 */
#include "api/gate.h"
#include "api/pages.h"
#include "api/why.h"
#include "state/rollout.h"
#include "state/view_rollout.h"

#include "base/banned.h"

#define LIMIT_DEFAULT 100u
#define LIMIT_MOST 1000u
#define MESSAGE_MOST 1000u               /* that apply takes */

/* ---- which there are ---- */

struct listing {
	struct kv_txn *txn;
	struct str phase;
	struct pages pages;
	struct arena *one;
};

static bool has_phase(struct listing *l, const struct object_view *o)
{
	struct value *status;

	if (l->phase.n == 0)
		return true;
	arena_reset(l->one);
	return doc_parse_json(o->row.status, l->one, NULL, &status, NULL) == OK &&
	       str_eq(value_text_at(status, "phase"), l->phase);
}

static bool one_release(void *data, const struct object_view *o)
{
	struct listing *l = data;
	struct page_item item = {
		o->tenant, o->name, !view_rollout_is_open(l->txn, o->tenant, o->name),
	};

	if (has_phase(l, o))
		pages_add(&l->pages, &item);
	return true;
}

/* Without its last brace. */
static void open_release(struct buf *out, struct kv_txn *txn, const struct page_item *f)
{
	AUTO_BUF id = BUF_NONE;
	struct object_view o;
	struct err err;

	if (view_object(txn, KIND_RELEASE, f->tenant, f->name, &o, &err))
		return;
	buf_str(&id, f->tenant);
	buf_c(&id, '/');
	buf_str(&id, f->name);
	buf_z(out, out->p[out->n - 1] == '[' ? "{\"id\":" : ",{\"id\":");
	buf_json(out, buf_view(&id));
	buf_z(out, ",\"object\":");
	view_json(out, &o);
}

static void put_release(struct buf *out, struct kv_txn *txn, const struct page_item *f)
{
	size_t before = out->n;

	open_release(out, txn, f);
	if (out->n > before)
		buf_c(out, '}');
}

static void answer_listing(struct request *r, struct listing *l, size_t limit)
{
	struct pages *p = &l->pages;
	AUTO_BUF out = BUF_NONE;

	pages_sort(p);
	buf_z(&out, "{\"releases\":[");
	for (size_t i = 0; i < MIN(p->n, limit); i++)
		put_release(&out, l->txn, &p->items[i]);
	buf_c(&out, ']');
	if (p->n > limit) {
		buf_z(&out, ",\"next\":");
		pages_next(&out, &p->items[limit - 1]);
		buf_printf(&out, ",\"remaining\":%zu", p->n - limit);
	}
	buf_z(&out, "}\n");
	answer(r, 200, "application/json", buf_view(&out));
}

/* False: answered. */
static bool check_phase(struct request *r, struct str phase)
{
	for (enum rollout_phase p = ROLLOUT_QUEUED; p < ROLLOUT__END; p++)
		if (str_eq(phase, str_of(rollout_phase_name(p))))
			return true;
	api_fail(r, E_INVALID, "phase=%.*s: there are Queued, Progressing, Paused, "
		 "Completed, RolledBack, Aborted and Superseded",
		 STR_ARG(str_first(phase, 40)));
	return false;
}

void get_releases(struct request *r)
{
	const struct str *limit = request_query(r, "limit");
	const struct str *after = request_query(r, "after");
	const struct str *phase = request_query(r, "phase");
	const struct str *given = request_query(r, "tenant");
	struct str tenant = given ? *given : caller_of(r)->subject.tenant;
	struct listing l = { .pages = { .arena = r->arena } };
	uint64_t n = LIMIT_DEFAULT;
	struct err err;
	enum code rc;

	if (limit && (!str_u64(*limit, &n) || n == 0 || n > LIMIT_MOST)) {
		api_fail(r, E_INVALID, "limit= is 1 to %u", LIMIT_MOST);
		return;
	}
	if (after && !pages_after(&l.pages, *after)) {
		api_fail(r, E_INVALID, "after= is the `next` of the page before");
		return;
	}
	if ((phase && !check_phase(r, *phase)) ||
	    !api_may(r, VERB_LIST, KIND_RELEASE, tenant, STR_NONE) ||
	    !api_view(r, &l.txn))
		return;
	l.phase = phase ? *phase : STR_NONE;
	l.one = arena_new(0);
	rc = view_list(l.txn, KIND_RELEASE, tenant, STR_NONE, STR_NONE, one_release, &l,
		       &err);
	if (rc)
		api_error(r, &err);
	else
		answer_listing(r, &l, (size_t)n);
	arena_free(&l.one);
}

static void answer_release(struct request *r, struct str tenant, struct str name,
			   const struct fleet_why *why, const struct err *unknown)
{
	struct page_item f = { tenant, name, false };
	AUTO_BUF out = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (view_object(txn, KIND_RELEASE, tenant, name, &o, &err)) {
		api_error(r, &err);
		return;
	}
	buf_c(&out, '[');
	open_release(&out, txn, &f);
	if (why)
		put_why(&out, why, unknown);
	buf_z(&out, "}\n");
	answer(r, 200, "application/json", str_from(buf_view(&out), 1));
}

static void answer_known(struct request *r, const struct fleet_why *why,
			 const struct err *err)
{
	answer_release(r, r->in->args[0], r->in->args[1], why, err);
}

void get_release(struct request *r)
{
	struct str tenant = r->in->args[0], name = r->in->args[1];
	struct kv_txn *txn;

	if (!api_may(r, VERB_GET, KIND_RELEASE, tenant, name) || !api_view(r, &txn))
		return;
	if (view_rollout_is_open(txn, tenant, name))
		api_why(r, release_number(name), answer_known);
	else
		answer_release(r, tenant, name, NULL, NULL);
}

/* ---- moves ---- */

static void moved(struct change *ch, struct request *r, const struct outcome *o)
{
	const struct op *op = &ch->cmd.ops[0];

	answer_release(r, op->tenant, op->name, NULL, NULL);
}

/* At which step whoever asks believes it to be: he says so, as the status does, which
 * counts from 1.  Else who promotes means the step of now, so that two who do it at
 * once do not pass two, and whoever stops it means all of them.  False: answered. */
static bool take_step(struct request *r, const struct value *body,
		      enum release_move move, struct str tenant, struct str name,
		      uint32_t *out)
{
	const struct value *given = value_getz(body, "step");
	struct value *status;
	struct object_view o;
	struct kv_txn *txn;
	uint64_t n = 0;
	struct err err;

	*out = STEP_ANY;
	if (given && (!value_to_u64(given, &n) || n == 0 || n >= STEP_ANY)) {
		api_fail(r, E_UNPROCESSABLE, "\"step\" is a whole number from 1 on, "
			 "as the release's status has it");
		return false;
	}
	if (!given && move != MOVE_PROMOTE)
		return true;
	if (!given) {
		if (!api_view(r, &txn))
			return false;
		if (view_object(txn, KIND_RELEASE, tenant, name, &o, &err) ||
		    doc_parse_json(o.row.status, r->arena, NULL, &status, &err)) {
			api_error(r, &err);
			return false;
		}
		(void)!value_to_u64(value_getz(status, "step"), &n);
	}
	if (n)
		*out = (uint32_t)n - 1;
	return true;
}

static bool take_mode(struct request *r, const struct value *body,
		      enum release_move move, enum rollback_mode *out)
{
	struct str mode = value_text_at(body, "mode");

	*out = ROLLBACK_STABLE_ONLY;
	if (!value_getz(body, "mode"))
		return true;
	if (move == MOVE_ROLLBACK && str_is(mode, "emergency"))
		*out = ROLLBACK_EMERGENCY;
	else if (move != MOVE_ROLLBACK || !str_is(mode, "stable_only")) {
		api_fail(r, E_UNPROCESSABLE, "mode is emergency or stable_only, of a "
			 "rollback");
		return false;
	}
	return true;
}

/* Of a promotion: whoever reads the history is to see what it went past.  A force needs
 * a reason of its own. */
static struct str move_message(struct arena *arena, const struct op *op, struct str reason,
			       const struct fleet_why *why)
{
	struct str all;

	if (!why || !why->is_unmet || (op->force && !reason.n))
		return reason;
	all = arena_printf(arena, "%.*s%spromoted over what it waited for%s%s",
			   STR_ARG(reason), reason.n ? "; " : "", why->text[0] ? ": " : "",
			   why->text);
	return all.n <= MESSAGE_MOST ? all : reason;
}

static void move(struct request *r, enum release_move move, enum verb verb,
		 const struct fleet_why *why)
{
	static const struct body_member members[] = {
		{ "reason", VALUE_STRING, false },
		{ "step", VALUE_NUMBER, false },
		{ "mode", VALUE_STRING, false },
		{ "force", VALUE_BOOL, false },
	};
	struct str tenant = r->in->args[0], name = r->in->args[1];
	enum rollback_mode mode;
	struct value *body;
	struct change *ch;
	struct op *op;
	uint32_t step;

	if (!api_may(r, verb, KIND_RELEASE, tenant, name) ||
	    !api_optional_body(r, members, ARRAY_LEN(members), &body) ||
	    !take_mode(r, body, move, &mode) ||
	    !take_step(r, body, move, tenant, name, &step))
		return;
	ch = change_new(r, moved);
	if (!change_take_reason(r, ch, value_text_at(body, "reason")))
		return;
	op = command_op(ch->arena, &ch->cmd, OP_RELEASE_MOVE);
	op->kind = KIND_RELEASE;
	op->tenant = arena_str(ch->arena, tenant);
	op->name = arena_str(ch->arena, name);
	op->move = move;
	op->step = step;
	op->mode = mode;
	op->force = value_to_bool(value_getz(body, "force"), false);
	op->message = move_message(ch->arena, op, ch->cmd.reason, why);
	ch->cmd.reason = op->message;
	change_submit(ch);
}

static void promote_knowing(struct request *r, const struct fleet_why *why,
			    const struct err *err)
{
	move(r, MOVE_PROMOTE, VERB_PROMOTE, why);
}

static void promote_full_knowing(struct request *r, const struct fleet_why *why,
				 const struct err *err)
{
	move(r, MOVE_PROMOTE_FULL, VERB_PROMOTE, why);
}

static void promote(struct request *r, why_known *then)
{
	struct str tenant = r->in->args[0], name = r->in->args[1];

	if (api_may(r, VERB_PROMOTE, KIND_RELEASE, tenant, name))
		api_why(r, release_number(name), then);
}

void post_release_promote(struct request *r)
{
	promote(r, promote_knowing);
}

void post_release_promote_full(struct request *r)
{
	promote(r, promote_full_knowing);
}

void post_release_pause(struct request *r)
{
	move(r, MOVE_PAUSE, VERB_PAUSE, NULL);
}

void post_release_resume(struct request *r)
{
	move(r, MOVE_RESUME, VERB_PAUSE, NULL);
}

void post_release_abort(struct request *r)
{
	move(r, MOVE_ABORT, VERB_ROLLBACK, NULL);
}

void post_release_rollback(struct request *r)
{
	move(r, MOVE_ROLLBACK, VERB_ROLLBACK, NULL);
}
