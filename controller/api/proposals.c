/*
 * Proposals: what is answered where a write waits for approval, which there are, and
 * what people say to them.  Who may, and what comes of it, is decided in apply
 * (docs/releases.md); what is asked here is asked for a good answer.
 *
 * The id of a proposal is TENANT/NAME.
 */
#include "api/gate.h"
#include "api/pages.h"
#include "api/why.h"

#include "base/clock.h"
#include "base/hex.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define LIMIT_DEFAULT 100u
#define LIMIT_MOST 1000u
#define REASON_MAX 4096

/* ---- a write that waits ---- */

/* What whoever asks has said goes into an answer only where it is a host. */
static bool is_host(struct str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
		      c == ':' || c == '[' || c == ']'))
			return false;
	}
	return host.n > 0;
}

void proposal_url(struct buf *out, const struct request *r, struct str tenant,
		  struct str name)
{
	const char *base = caller_of(r)->at->api->config.external_url;
	const struct str *host = request_header(r, "host");

	if (base && base[0]) {
		buf_str(out, str_of(base));
		if (out->p[out->n - 1] == '/')
			out->n--;
	} else if (host && is_host(*host)) {
		buf_z(out, r->is_tls ? "https://" : "http://");
		buf_str(out, *host);
	}
	buf_z(out, "/api/v1/proposals/");
	url_encode(out, tenant);
	buf_c(out, '/');
	url_encode(out, name);
}

/* A command touches one tenant. */
static struct str tenant_of(const struct change *ch)
{
	for (size_t i = 0; i < ch->cmd.n_ops; i++)
		if (ch->cmd.ops[i].tenant.n)
			return ch->cmd.ops[i].tenant;
	return STR_NONE;
}

void proposed_of(const struct change *ch, const struct request *r,
		 const struct outcome *o, struct proposed *out)
{
	struct str tenant = tenant_of(ch);
	AUTO_BUF url = BUF_NONE;

	proposal_url(&url, r, tenant, str_of(o->proposal));
	out->url = arena_str(r->arena, buf_view(&url));
	out->id = arena_printf(r->arena, "%.*s/%s", STR_ARG(tenant), o->proposal);
	out->phase = arena_str(r->arena, str_of(o->phase));
	if (str_is(out->phase, "Pending"))
		out->message = arena_printf(r->arena, "waits for approval: proposal "
					    "%.*s", STR_ARG(out->id));
	else if (str_is(out->phase, "Approved") && ch->cmd.not_before_ms)
		out->message = arena_printf(r->arena, "waits for its time: proposal "
					    "%.*s", STR_ARG(out->id));
	else
		out->message = arena_printf(r->arena, "proposal %.*s is %.*s",
					    STR_ARG(out->id), STR_ARG(out->phase));
}

void proposed_headers(struct request *r, const struct proposed *p)
{
	AUTO_BUF warning = BUF_NONE;

	answer_header(r, "Location", p->url);
	answer_header(r, "X-Conflux-Proposal", p->id);
	if (!api_is_kube(r))
		return;
	/* What kubectl prints. */
	buf_z(&warning, "299 - ");
	buf_json(&warning, p->message);
	answer_header(r, "Warning", buf_view(&warning));
}

void proposed_answer(struct request *r, const struct proposed *p)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "{\"message\":");
	buf_json(&out, p->message);
	buf_z(&out, ",\"proposal_id\":");
	buf_json(&out, p->id);
	buf_z(&out, ",\"approval_status\":");
	buf_json(&out, p->phase);
	buf_z(&out, ",\"approval_dashboard_url\":");
	buf_json(&out, p->url);
	buf_z(&out, "}\n");
	answer(r, 202, "application/json", buf_view(&out));
}

/* ---- which there are ---- */

struct wanted {
	bool has_phase;
	enum proposal_phase phase;
	struct str author, config, tenant;
	bool wants_review;
};

struct listing {
	struct request *r;
	struct kv_txn *txn;
	struct wanted want;
	struct pages pages;
	struct buf out;
	uint64_t limit;
};

static bool names_config(const struct proposal_row *row, struct str name)
{
	for (size_t i = 0; i < row->n_configs; i++)
		if (str_eq(row->configs[i].name, name))
			return true;
	return false;
}

/* What it takes the whole row to know. */
static bool is_wanted(const struct wanted *w, const struct proposal_row *row)
{
	return (w->author.n == 0 || str_eq(row->authors.subject, w->author)) &&
	       (w->config.n == 0 || names_config(row, w->config));
}

static void put_proposal(struct buf *out, struct arena *arena, struct str tenant,
			 struct str name, struct proposal_row *row)
{
	AUTO_BUF id = BUF_NONE;
	char time[RFC3339_MAX];

	buf_str(&id, tenant);
	buf_c(&id, '/');
	buf_str(&id, name);
	clock_rfc3339(time, row->created_ms, false);
	buf_z(out, "{\"id\":");
	buf_json(out, buf_view(&id));
	buf_z(out, ",\"tenant\":");
	buf_json(out, tenant);
	buf_z(out, ",\"name\":");
	buf_json(out, name);
	buf_printf(out, ",\"created\":\"%s\",\"spec\":", time);
	proposal_put_words(arena, row);
	proposal_spec(out, row);
	buf_z(out, ",\"status\":");
	proposal_status(out, row);
}

static bool one_head(void *data, struct str tenant, struct str name,
		     enum proposal_phase phase, enum proposal_review review)
{
	struct listing *l = data;
	struct page_item item = {
		tenant, name, !proposal_is_open(phase) && review != REVIEW_OPEN,
	};

	if ((!l->want.has_phase || phase == l->want.phase) &&
	    (!l->want.wants_review || review == REVIEW_OPEN))
		pages_add(&l->pages, &item);
	return true;
}

/* Up to the limit; '*at' is behind the last that was looked at. */
static enum code put_page(struct listing *l, size_t *at, struct err *err)
{
	struct arena *arena = arena_new(0);
	struct proposal_row row;
	enum code rc = OK;
	uint64_t n = 0;

	for (; *at < l->pages.n && n < l->limit && rc == OK; ++*at) {
		const struct page_item *item = &l->pages.items[*at];

		arena_reset(arena);
		rc = view_proposal(l->txn, arena, item->tenant, item->name, &row, err);
		if (rc || !is_wanted(&l->want, &row))
			continue;
		buf_z(&l->out, n++ ? "," : "");
		put_proposal(&l->out, arena, item->tenant, item->name, &row);
		buf_c(&l->out, '}');
	}
	arena_free(&arena);
	return rc;
}

/* False: answered. */
static bool parse_listing(struct request *r, struct listing *l)
{
	const struct str *limit = request_query(r, "limit");
	const struct str *after = request_query(r, "after");
	const struct str *phase = request_query(r, "phase");
	const struct str *author = request_query(r, "author");
	const struct str *config = request_query(r, "configuration");
	const struct str *tenant = request_query(r, "tenant");
	const struct str *review = request_query(r, "review");

	*l = (struct listing){ .r = r, .limit = LIMIT_DEFAULT,
			       .pages = { .arena = r->arena } };
	if (limit && (!str_u64(*limit, &l->limit) || l->limit == 0 ||
		      l->limit > LIMIT_MOST)) {
		api_fail(r, E_INVALID, "limit= is 1 to %u", LIMIT_MOST);
		return false;
	}
	if (phase && !proposal_phase_parse(*phase, &l->want.phase)) {
		api_fail(r, E_INVALID, "phase=%.*s: there are Pending, Approved, Executed, "
			 "Rejected, Cancelled, Expired, Superseded, Failed and Stale",
			 STR_ARG(str_first(*phase, 40)));
		return false;
	}
	if (review && !str_is(*review, "Open")) {
		api_fail(r, E_INVALID, "review= is Open");
		return false;
	}
	l->want.has_phase = phase != NULL;
	l->want.wants_review = review != NULL;
	l->want.author = author ? *author : STR_NONE;
	l->want.config = config ? *config : STR_NONE;
	l->want.tenant = tenant ? *tenant : caller_of(r)->subject.tenant;
	if (after && !pages_after(&l->pages, *after)) {
		api_fail(r, E_INVALID, "after= is the `next` of the page before");
		return false;
	}
	return true;
}

/* How many are left is known where nobody had to look into them. */
static void put_rest(struct listing *l, size_t at)
{
	if (at == l->pages.n)
		return;
	buf_z(&l->out, ",\"next\":");
	pages_next(&l->out, &l->pages.items[at - 1]);
	if (!l->want.author.n && !l->want.config.n)
		buf_printf(&l->out, ",\"remaining\":%zu", l->pages.n - at);
}

void get_proposals(struct request *r)
{
	struct listing l;
	size_t at = 0;
	struct err err;
	enum code rc;

	if (!parse_listing(r, &l) ||
	    !api_may(r, VERB_LIST, KIND_PROPOSAL, l.want.tenant, STR_NONE) ||
	    !api_view(r, &l.txn))
		return;
	buf_z(&l.out, "{\"proposals\":[");
	rc = view_proposal_heads(l.txn, l.want.tenant, one_head, &l, &err);
	pages_sort(&l.pages);
	if (rc == OK)
		rc = put_page(&l, &at, &err);
	if (rc) {
		api_error(r, &err);
	} else {
		buf_c(&l.out, ']');
		put_rest(&l, at);
		buf_z(&l.out, "}\n");
		answer(r, 200, "application/json", buf_view(&l.out));
	}
	buf_fini(&l.out);
}

static enum code find(struct kv_txn *txn, struct request *r, struct str tenant,
		      struct str name, struct proposal_row *row, struct err *err)
{
	return view_proposal(txn, r->arena, tenant, name, row, err);
}

struct proposal_why {
	struct fleet_why is;
	bool is_failed;
	struct err err;
};

/* Who is asked what holds it: the leader, once. */
static void is_known(struct request *r, const struct fleet_why *why,
		     const struct err *err)
{
	struct proposal_why *w = ANEW(r->arena, struct proposal_why);

	w->is_failed = err != NULL;
	w->is = *why;
	if (err)
		err_copy(&w->err, err);
	caller_of(r)->held = w;
	get_proposal(r);
}

static bool ask_held(struct request *r, struct str name, const struct proposal_row *row)
{
	uint64_t number;

	if (row->phase != PROPOSAL_APPROVED || caller_of(r)->held ||
	    !str_u64(str_from(name, 2), &number))
		return false;
	api_why(r, number, is_known);
	return true;
}

static void answer_proposal(struct request *r, struct str tenant, struct str name,
			    bool with_plan)
{
	const struct proposal_why *held = caller_of(r)->held;
	struct proposal_row row;
	AUTO_BUF out = BUF_NONE;
	struct kv_txn *txn;
	struct err err;

	if (!api_view(r, &txn))
		return;
	if (find(txn, r, tenant, name, &row, &err)) {
		api_error(r, &err);
		return;
	}
	if (with_plan && ask_held(r, name, &row))
		return;
	with_plan = with_plan && plan_is_kept(txn, tenant, &row.digest);
	if (with_plan && plan_ask_reach(r, txn, tenant, &row.digest, get_proposal))
		return;
	put_proposal(&out, r->arena, tenant, name, &row);
	if (held && row.phase == PROPOSAL_APPROVED)
		put_why(&out, &held->is, held->is_failed ? &held->err : NULL);
	if (with_plan) {
		buf_z(&out, ",\"plan\":");
		if (plan_json(&out, r, txn, tenant, &row.digest, &err)) {
			api_error(r, &err);
			return;
		}
	}
	buf_z(&out, "}\n");
	answer(r, 200, "application/json", buf_view(&out));
}

void get_proposal(struct request *r)
{
	struct str tenant = r->in->args[0], name = r->in->args[1];

	if (api_may(r, VERB_GET, KIND_PROPOSAL, tenant, name))
		answer_proposal(r, tenant, name, true);
}

/* ---- what people say ---- */

static void voted(struct change *ch, struct request *r, const struct outcome *o)
{
	const struct op *op = &ch->cmd.ops[0];

	answer_proposal(r, op->tenant, op->name, false);
}

/* 64 hex digits, with or without "sha256:". */
static bool digest_parse(struct str text, struct sha256 *out)
{
	if (str_starts(text, STR("sha256:")))
		text = str_from(text, 7);
	return text.n == 64 && hex_parse(text, out->b, sizeof(out->b));
}

bool api_digest(struct request *r, struct str text, struct sha256 *out)
{
	if (digest_parse(text, out))
		return true;
	api_fail(r, E_UNPROCESSABLE, "\"%.*s\" is no digest of a plan: 64 hex digits",
		 STR_ARG(str_first(text, 80)));
	return false;
}

/* A plan never changes under its proposal: without a digest it is the one that the
 * proposal has. */
static bool take_digest(struct request *r, const struct value *body,
			struct str tenant, struct str name, struct sha256 *out)
{
	struct proposal_row row;
	struct kv_txn *txn;
	struct err err;

	if (value_getz(body, "digest"))
		return api_digest(r, value_text_at(body, "digest"), out);
	if (!api_view(r, &txn))
		return false;
	if (find(txn, r, tenant, name, &row, &err)) {
		api_error(r, &err);
		return false;
	}
	*out = row.digest;
	return true;
}

bool api_optional_body(struct request *r, const struct body_member *members, size_t n,
		       struct value **out)
{
	if (r->in->body.n)
		return api_body_of(r, members, n, out);
	*out = value_object(r->arena);
	return true;
}

static void vote(struct request *r, enum vote vote, enum verb verb)
{
	static const struct body_member members[] = {
		{ "reason", VALUE_STRING, false },
		{ "digest", VALUE_STRING, false },
	};
	struct str tenant = r->in->args[0], name = r->in->args[1];
	struct value *body;
	struct sha256 digest;
	struct change *ch;
	struct op *op;

	if (!api_may(r, verb, KIND_PROPOSAL, tenant, name) ||
	    !api_optional_body(r, members, ARRAY_LEN(members), &body) ||
	    !take_digest(r, body, tenant, name, &digest))
		return;
	ch = change_new(r, voted);
	if (!change_take_reason(r, ch, value_text_at(body, "reason")))
		return;
	op = command_op(ch->arena, &ch->cmd, OP_VOTE);
	op->kind = KIND_PROPOSAL;
	op->tenant = arena_str(ch->arena, tenant);
	op->name = arena_str(ch->arena, name);
	op->vote = vote;
	op->sha = digest;
	op->message = ch->cmd.reason;
	change_submit(ch);
}

void post_proposal_approve(struct request *r)
{
	vote(r, VOTE_APPROVE, VERB_APPROVE);
}

void post_proposal_reject(struct request *r)
{
	vote(r, VOTE_REJECT, VERB_APPROVE);
}

void post_proposal_cancel(struct request *r)
{
	vote(r, VOTE_CANCEL, VERB_PLAN);
}

void post_proposal_review(struct request *r)
{
	vote(r, VOTE_REVIEW, VERB_APPROVE);
}
