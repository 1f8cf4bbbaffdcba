/*
 * Writes: from a request to a command, and from its outcome to an answer.
 *
 * Small content travels in the command.  Larger content goes first, as blob
 * commands; the log keeps the order, so nothing is waited for but the last
 * outcome.  A change outlives a connection that ends before its outcome.
 */
#include "api/gate.h"
#include "api/grpc.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"

#include "base/banned.h"

/* How often content and command go again. */
#define RESENDS_MAX 3

struct blob_write {
	struct store_write write;
	struct change *change;
	struct blob_write *next;
};

static void change_free(struct change *ch)
{
	struct arena *arena = ch->arena;

	buf_fini(&ch->bytes);
	arena_free(&arena);
}

/* While a change is under way request.data leads to it, for on_gone. */
struct under_way {
	struct caller caller;
	struct change *change;
};

static void gone_under_way(struct request *r)
{
	struct under_way *u = (struct under_way *)caller_of(r);

	grpc_gone(r);
	u->change->r = NULL;
}

/* From here on the request may go before the change is settled. */
static void follow(struct change *ch)
{
	struct request *r = ch->r;
	struct under_way *u;

	/* Sent again it is followed already, or has gone. */
	if (!r || r->on_gone == gone_under_way)
		return;
	u = ANEW(r->arena, struct under_way);
	u->caller = *caller_of(r);
	u->change = ch;
	r->data = &u->caller;
	r->on_gone = gone_under_way;
}

/* What is wrong may have been answered: the request is another one's by now. */
void change_cancel(struct change *ch)
{
	change_free(ch);
}

static struct sha256 digest_of(const struct request *r)
{
	AUTO_BUF b = BUF_NONE;
	struct sha256 body = sha256_of(r->in->body);

	buf_z(&b, http_method_name(r->method));
	buf_c(&b, ' ');
	buf_str(&b, r->in->target);
	buf_add(&b, body.b, sizeof(body.b));
	return sha256_of(buf_view(&b));
}

void change_set_key(struct change *ch, const struct request *r, struct str key)
{
	AUTO_BUF b = BUF_NONE;

	if (key.n == 0)
		return;
	buf_str(&b, ch->cmd.subject.name);
	buf_c(&b, '\0');
	buf_str(&b, key);
	ch->cmd.id = sha256_of(buf_view(&b));
	ch->cmd.body = digest_of(r);
}

bool change_takes_over(const struct request *r)
{
	const struct str *q = request_query(r, "take_over");
	const struct str *h = request_header(r, "x-conflux-take-over");
	bool yes = false;

	return (q && str_bool(*q, &yes) && yes) ||
	       (h && str_bool(*h, &yes) && yes);
}

/* Past the gate: where a policy lets him, and why.  Empty: not asked for. */
static struct str breaks_glass(const struct request *r)
{
	const struct str *q = request_query(r, "break_glass");
	const struct str *h = request_header(r, "x-conflux-break-glass");

	return str_trim(q ? *q : h ? *h : STR_NONE);
}

/* "2h", or "2026-12-24T20:00:00Z"; what is over delays nothing. */
static enum code take_not_before(struct request *r, struct change *ch)
{
	const struct str *q = request_query(r, "not_before");
	const struct str *h = request_header(r, "x-conflux-not-before");
	struct str text = str_trim(q ? *q : h ? *h : STR_NONE);
	struct store_status status;
	uint64_t ms;

	if (text.n == 0)
		return OK;
	store_status(ch->store, &status);
	if (status.version < VERSION_GATE) {
		err_set(&ch->early, E_NOT_YET, "commands wait for their time from "
			"cluster version %d on, and this cluster is at %llu",
			VERSION_GATE, (unsigned long long)status.version);
		return err_hint(&ch->early, VERSION_HINT);
	}
	if (str_duration_ms(text, &ms))
		ms += clock_wall_ms();
	else if (!clock_parse_rfc3339(text, &ms)) {
		err_set(&ch->early, E_INVALID, "not before \"%.*s\" is no time",
			STR_ARG(str_first(text, 80)));
		return err_hint(&ch->early, "a time is 2026-12-24T20:00:00Z, or from "
				"now on 90m, 12h, 7d");
	}
	ch->cmd.not_before_ms = ms;
	return OK;
}

struct change *change_new(struct request *r, change_done *done)
{
	struct caller *caller = caller_of(r);
	struct arena *arena = arena_new(4096);
	struct change *ch = ANEW(arena, struct change);
	const struct str *reason = request_header(r, "x-conflux-reason");
	const struct str *key = request_header(r, "idempotency-key");
	struct str glass = breaks_glass(r);

	ch->arena = arena;
	ch->r = r;
	ch->done = done;
	ch->loop = r->loop;
	ch->store = caller->at->api->config.store;
	ch->cmd.type = COMMAND_OPS;
	ch->cmd.subject = caller->subject;
	ch->cmd.subject.name = arena_str(arena, caller->subject.name);
	ch->cmd.subject.tenant = arena_str(arena, caller->subject.tenant);
	ch->cmd.subject.groups = arena_str(arena, caller->subject.groups);
	ch->cmd.credential = arena_str(arena, caller->credential);
	ch->cmd.origin = arena_str(arena, str_of(r->peer->text));
	ch->cmd.reason = reason ? arena_str(arena, *reason) : STR_NONE;
	memcpy(ch->cmd.trace, r->trace, sizeof(ch->cmd.trace));
	if (change_takes_over(r))
		ch->cmd.flags |= COMMAND_TAKE_OVER;
	if (glass.n) {
		ch->cmd.flags |= COMMAND_BREAK_GLASS;
		ch->glass = arena_str(arena, glass);
	}
	(void)!take_not_before(r, ch);
	if (key)
		change_set_key(ch, r, *key);
	return ch;
}

bool change_if_match(struct request *r, uint64_t *out)
{
	const struct str *h = request_header(r, "if-match");
	struct str text;

	*out = REV_ANY;
	if (!h)
		return true;
	text = str_trim(*h);
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = str_first(str_from(text, 1), text.n - 2);
	if (str_is(text, "*") || str_u64(text, out))
		return true;
	api_fail(r, E_INVALID, "If-Match: \"%.*s\" is no revision",
		 STR_ARG(text));
	return false;
}

/* ---- outcomes ---- */

/* A revision that If-Match named and that moved on is HTTP's 412; Kubernetes
 * says 409 (its clients send the revision in the body). */
static enum code code_of(const struct change *ch, const struct request *r)
{
	if (ch->outcome.code == E_CONFLICT && !api_is_kube(r) &&
	    request_header(r, "if-match"))
		return E_PRECONDITION;
	return ch->outcome.code;
}

/* Of the last operation: what If-Match and resourceVersion know.  The Release
 * that apply makes behind it has a revision of its own. */
uint64_t change_revision(const struct outcome *o)
{
	uint64_t rev = 0;

	for (size_t i = 0; i < o->n_results; i++)
		rev = MAX(rev, o->results[i].rev);
	return rev ? rev : o->rev;
}

/* What was asked for waits; in the form of the route. */
static void answer_proposed(struct change *ch, struct request *r)
{
	struct proposed p;

	proposed_of(ch, r, &ch->outcome, &p);
	if (!api_is_grpc(r))
		proposed_headers(r, &p);
	if (api_is_grpc(r) || api_is_kube(r))
		ch->done(ch, r, &ch->outcome);
	else
		proposed_answer(r, &p);
}

/* What was done past the gate is to be reviewed. */
static void name_proposal(struct change *ch, struct request *r)
{
	struct proposed p;

	if (!ch->outcome.proposal[0] || api_is_grpc(r))
		return;
	proposed_of(ch, r, &ch->outcome, &p);
	answer_header(r, "X-Conflux-Proposal", p.id);
}

/* Where both have to find another leader, a command can overtake the content that it
 * names: then both go again. */
static bool sends_again(struct change *ch)
{
	if (ch->outcome.code != E_BLOB_MISSING || !ch->sent ||
	    ch->resends == RESENDS_MAX)
		return false;
	ch->resends++;
	ch->blobs = TAKE(ch->sent);
	ch->blob_err = (struct err){ .code = OK };
	change_submit(ch);
	return true;
}

static void settle(struct change *ch)
{
	struct request *r = ch->r;
	struct err err;

	if (--ch->open > 0 || sends_again(ch))
		return;
	if (ch->retry && ch->outcome.code && ch->retry(ch, &ch->outcome))
		return;
	if (r) {
		r->on_gone = NULL;
		if (ch->outcome.code == OK && outcome_waits(&ch->outcome)) {
			answer_proposed(ch, r);
		} else if (ch->outcome.code == OK) {
			name_proposal(ch, r);
			answer_header_u64(r, "X-Conflux-Revision",
					  change_revision(&ch->outcome));
			ch->done(ch, r, &ch->outcome);
		} else {
			err_set(&err, code_of(ch, r), "%s", ch->outcome.text);
			err_hint(&err, "%s", ch->outcome.hint);
			/* Of a write that may have happened nothing else is
			 * to be said. */
			api_error(r, ch->blob_err.code &&
				  ch->outcome.code != E_UNCERTAIN ?
				  &ch->blob_err : &err);
		}
	}
	change_free(ch);
}

static void blob_done(struct store_write *w, const struct outcome *o)
{
	struct blob_write *b = container_of(w, struct blob_write, write);

	if (o->code && !b->change->blob_err.code) {
		err_set(&b->change->blob_err, o->code, "%s", o->text);
		err_hint(&b->change->blob_err, "%s", o->hint);
	}
	settle(b->change);
}

static void main_done(struct store_write *w, const struct outcome *o)
{
	struct change *ch = container_of(w, struct change, write);

	ch->outcome = *o;
	ch->outcome.results = arena_alloc(
		ch->arena, (o->n_results + 1) * sizeof(*o->results));
	if (o->n_results)
		memcpy(ch->outcome.results, o->results,
		       o->n_results * sizeof(*o->results));
	settle(ch);
}

static void add_blob(void *data, struct str bytes)
{
	struct change *ch = data;
	struct blob_write *b = ANEW(ch->arena, struct blob_write);
	struct blob_write **last = &ch->blobs;

	b->change = ch;
	b->write = (struct store_write){ .home = ch->loop, .bytes = bytes,
					 .done = blob_done };
	while (*last)
		last = &(*last)->next;
	*last = b;
}

void change_blob(struct change *ch, struct str tenant, struct str content,
		 const struct sha256 *sha)
{
	if (store_inline_content(ch->arena, &ch->cmd, tenant, content, sha))
		return;
	store_blob_commands(ch->arena, tenant, content, clock_wall_ms(),
			    add_blob, ch);
}

/* What has to travel to the leader can get lost on its way, and is sent again
 * only under an id. */
static void make_id(struct change *ch)
{
	static const struct sha256 none;

	if (store_leads(ch->store) || !sha256_eq(&ch->cmd.id, &none))
		return;
	rand_bytes(ch->cmd.id.b, sizeof(ch->cmd.id.b));
	ch->cmd.body = ch->cmd.id;
}

static void submit_blobs(struct change *ch)
{
	for (struct blob_write *b = ch->sent, *next; b; b = next) {
		next = b->next;
		ch->open++;
		if (!store_submit(ch->store, &b->write)) {
			ch->open--;
			err_set(&ch->blob_err, E_BUSY, "too many writes at once");
		}
	}
}

void change_submit(struct change *ch)
{
	if (ch->early.code) {
		struct err err = ch->early;
		struct request *r = ch->r;

		change_cancel(ch);
		api_error(r, &err);
		return;
	}
	follow(ch);
	ch->cmd.time_ms = clock_wall_ms();
	if (ch->glass.n)
		ch->cmd.reason = ch->glass;
	make_id(ch);
	buf_reset(&ch->bytes);
	command_encode(&ch->bytes, &ch->cmd);
	ch->sent = TAKE(ch->blobs);
	/* Held until all are handed over, so that none settles it early. */
	ch->open = 1;
	if (failpoint_hit(FP_CONTENT_LATE, NULL) == OK)
		submit_blobs(ch);
	ch->write = (struct store_write){ .home = ch->loop,
					  .bytes = buf_view(&ch->bytes),
					  .done = main_done };
	ch->open++;
	if (!store_submit(ch->store, &ch->write)) {
		ch->open--;
		ch->outcome = (struct outcome){ .code = E_BUSY };
		str_copy(ch->outcome.text, sizeof(ch->outcome.text),
			 STR("too many writes at once, or the node is stopping"));
	}
	settle(ch);
}
