/*
 * The door: what is asked of each request before anything is read of its body.
 *
 * First, is there room (admission.h)?  Then who asks: a token, looked up in this
 * node's state.  Then how often (limits.h), and whether he may.  What keeps a node
 * observable is let in under any load: health, status, metrics, maintenance.
 *
 * Whoever shows no valid token is counted by network.  A network that has used up
 * its rate is not looked at any more, or it could go on guessing; but tokens that
 * were valid lately, from there, are, so that a guest cannot lock out the others.
 */
#include "api/guess.h"
#include "api/origin.h"
#include "api/own.h"

#include "auth/auth.h"
#include "base/clock.h"

#include "base/banned.h"

struct str api_bearer(const struct request *r)
{
	const struct str *h = request_header(r, "authorization");
	struct str prefix;

	if (!h && str_starts(r->in->path, STR("/api/v1/ofrep/"))) {
		/* OFREP has two ways to say it. */
		h = request_header(r, "x-api-key");
		return h ? *h : STR_NONE;
	}
	if (!h)
		return STR_NONE;
	prefix = str_first(*h, 7);
	if (!str_eq_nocase(prefix, STR("bearer ")))
		return STR_NONE;
	return str_trim(str_from(*h, 7));
}

static bool is_by_certificate(const struct request *r)
{
	return r->certificate.n && api_bearer(r).n == 0;
}

/* Counted for the audit: who is unknown (also NULL) is named by network. */
static void note_denied(struct request *r, const struct subject *subject,
			enum verb verb, const struct err *err)
{
	struct store *store = caller_of(r)->at->api->config.store;
	AUTO_BUF why = BUF_NONE;

	if (err->code != E_DENIED && err->code != E_UNAUTHORIZED &&
	    err->code != E_RATE)
		return;
	buf_printf(&why, "%s, %s", verb_name(verb), code_slug(err->code));
	if (!subject || (err->code == E_UNAUTHORIZED && !is_by_certificate(r)))
		store_denied_from(store, r->peer->host, buf_view(&why));
	else
		store_denied(store, subject->name, buf_view(&why));
}

/* ---- is there room? ---- */

/* Whoever is told to come again does not come together. */
static unsigned spread_s(const struct request *r)
{
	return 1 + r->trace[0] % 3;
}

uint64_t door_woke_ns(const struct api_loop *at)
{
	return loop_now_ms(at->loop) * UINT64_C(1000000);
}

/* What is asked of the node itself, or passed on to the leader. */
static bool needs_no_state(const struct request *r)
{
	unsigned permission = r->route->permission;

	return permission == PERMISSION_NONE ||
	       permission >> 8 == VERB_STATUS ||
	       permission >> 8 == VERB_METRICS ||
	       permission >> 8 == VERB_MAINTAIN;
}

/* Not so what is open to all and asks who it is later, as WebSockets do. */
static bool keeps_observable(const struct request *r)
{
	return needs_no_state(r) && !(r->route->permission == PERMISSION_NONE &&
				      str_starts(r->in->path, STR("/api/")));
}

static bool has_room(struct request *r)
{
	struct api_loop *at = caller_of(r)->at;
	struct err err;

	if (keeps_observable(r) ||
	    admission_take(&at->admission, door_woke_ns(at), r->start_ns))
		return true;
	caller_of(r)->retry_after_s = spread_s(r);
	err_set(&err, E_BUSY, "this node has more requests than it can answer in "
		"time; nothing was done");
	err_hint(&err, "come again later, or ask another node");
	api_error(r, &err);
	return false;
}

/* ---- how often? ---- */

static void refuse_rate(struct request *r, enum limit_of of, struct str who,
			uint64_t wait_ns)
{
	struct limits *limits = caller_of(r)->at->api->limits;
	unsigned wait_s = limits_retry_s(wait_ns);
	AUTO_BUF policy = BUF_NONE;
	AUTO_BUF rest = BUF_NONE;
	struct err err;

	caller_of(r)->retry_after_s = wait_s;
	limits_policy(limits, of, &policy);
	buf_printf(&rest, "\"%s\";r=0;t=%u", limits_name(of), wait_s);
	answer_header(r, "RateLimit-Policy", buf_view(&policy));
	answer_header(r, "RateLimit", buf_view(&rest));
	err_set(&err, E_RATE, "%s %.*s asks more often than it may",
		limits_name(of), STR_ARG(str_first(who, 100)));
	err_hint(&err, "limits.%s_rate and limits.%s_burst are the limit; wait %u s",
		 limits_name(of), limits_name(of), wait_s);
	note_denied(r, of == LIMIT_ADDRESS ? NULL : &caller_of(r)->subject,
		    r->route->permission >> 8, &err);
	api_error(r, &err);
}

static bool take(struct request *r, enum limit_of of, struct str who)
{
	struct limits *limits = caller_of(r)->at->api->limits;
	uint64_t wait;

	if (!limits_is_on(limits, of) ||
	    limits_take(limits, of, who, r->start_ns, &wait))
		return true;
	refuse_rate(r, of, who, wait);
	return false;
}

/* ---- who asks? ---- */

/* A network that guesses is not looked at for a while. */
static bool has_guesses(struct request *r, struct str token, uint64_t now_ns,
			struct buf *network, uint64_t *wait)
{
	struct limits *limits = caller_of(r)->at->api->limits;

	if (!limits_is_on(limits, LIMIT_ADDRESS))
		return true;
	limits_network(network, r->peer->host);
	return limits_has(limits, LIMIT_ADDRESS, buf_view(network), now_ns, wait) ||
	       (token.n && limits_knows(limits, token, buf_view(network)));
}

static bool may_show_token(struct request *r, struct str token)
{
	AUTO_BUF network = BUF_NONE;
	uint64_t wait;

	if (has_guesses(r, token, r->start_ns, &network, &wait))
		return true;
	refuse_rate(r, LIMIT_ADDRESS, buf_view(&network), wait);
	return false;
}

/* What came of it counts for the network. */
static void count_token(struct request *r, struct str token, uint64_t now_ns)
{
	const struct caller *caller = caller_of(r);
	struct limits *limits = caller->at->api->limits;
	AUTO_BUF network = BUF_NONE;
	uint64_t wait;

	if (!limits_is_on(limits, LIMIT_ADDRESS))
		return;
	limits_network(&network, r->peer->host);
	if (caller->subject.role == ROLE_NOBODY)
		(void)!limits_take(limits, LIMIT_ADDRESS, buf_view(&network),
				   now_ns, &wait);
	else
		limits_know(limits, token, buf_view(&network));
}

bool door_may_guess(struct request *r)
{
	return may_show_token(r, STR_NONE);
}

void door_guessed(struct request *r)
{
	count_token(r, STR_NONE, r->start_ns);
}

bool api_credential_key(const struct request *r, struct sha256 *out)
{
	struct str token = api_bearer(r);

	if (token.n)
		*out = sha256_of(token);
	else if (r->certificate.n)
		*out = certificate_key(r->certificate);
	return token.n || r->certificate.n;
}

uint64_t api_credential_ends_ms(const struct request *r)
{
	return is_by_certificate(r) ? request_certificate_ends_ms(r) : 0;
}

/* False: answered. */
static bool identify(struct request *r, struct kv_txn *txn)
{
	struct caller *caller = caller_of(r);
	struct str token = api_bearer(r);
	bool is_same;

	/* Whose authority vouches for him guesses nothing; who shows a token wants to
	 * be who the token says. */
	if (is_by_certificate(r)) {
		certificate_subject(txn, r->certificate, r->arena,
				    &caller->subject, &caller->credential);
		return true;
	}
	is_same = token_cache_has(&caller->at->token, txn, token);

	if (!is_same && !may_show_token(r, token))
		return false;
	token_subject_cached(&caller->at->token, txn, token, r->arena,
			     &caller->subject, &caller->credential);
	if (!is_same)
		count_token(r, token, r->start_ns);
	return true;
}

/* ---- may he? ---- */

static bool authorise(struct request *r, struct caller *caller)
{
	unsigned permission = r->route->permission;
	struct target target = { .kind = permission & 0xff, .is_open = true };
	struct sha256 key;
	struct kv_txn *txn;
	struct err err;

	if (permission == PERMISSION_NONE)
		return true;
	if (view_use(caller->at->view, 0, &txn, &err) == OK) {
		if (!identify(r, txn))
			return false;
		if (caller->subject.role != ROLE_NOBODY && !needs_no_state(r) &&
		    !take(r, LIMIT_SUBJECT, caller->subject.name))
			return false;
		/* A source writes only its own namespace; HTTP has none. */
		if (permission_check(&caller->subject, permission >> 8, &target,
				     &err) == OK)
			return true;
	}
	if (err.code == E_UNAUTHORIZED && is_by_certificate(r)) {
		err_set(&err, E_UNAUTHORIZED, "the certificate \"%.*s\" stands for "
			"no token", STR_ARG(str_first(r->certificate, 200)));
		err_hint(&err, "conflux token create NAME --certificate-name %.*s",
			 STR_ARG(str_first(r->certificate, 100)));
	}
	/* The one who holds a token that has ended is told so. */
	if (err.code == E_UNAUTHORIZED && api_is_kube(r))
		str_copy(err.text, sizeof(err.text), STR("Unauthorized"));
	if (err.code == E_UNAUTHORIZED && api_credential_key(r, &key))
		token_say_over(txn, &key, &err);
	note_denied(r, &caller->subject, permission >> 8, &err);
	if (err.code == E_UNAUTHORIZED)
		answer_header(r, "WWW-Authenticate", STR("Bearer"));
	api_error(r, &err);
	return false;
}

/* What a browser adds by itself is nothing that a page of anybody's may use; nor is the
 * place that it runs at, where no credential is needed. */
static bool page_may(struct request *r)
{
	struct err err;

	if (!(r->route->permission == PERMISSION_NONE ? r->method != HTTP_M_GET :
	      is_by_certificate(r)) || origin_is_trusted(r))
		return true;
	err_set(&err, E_DENIED, "a page of %.*s may do nothing here without a token",
		STR_ARG(str_first(*request_header(r, "origin"), 200)));
	err_hint(&err, "name its origin in server.allowed_origins if it may use "
		 "certificates");
	note_denied(r, NULL, r->route->permission == PERMISSION_NONE ? VERB_GET :
		    r->route->permission >> 8, &err);
	api_error(r, &err);
	return false;
}

enum code door_token(struct request *r, struct str token, struct err *err)
{
	static const struct target target = { .kind = KIND_CONFIG,
					      .is_open = true };
	struct caller *caller = caller_of(r);
	AUTO_BUF network = BUF_NONE;
	/* The request that it comes over may be older. */
	uint64_t wait = 0, now = clock_mono_ns();
	struct kv_txn *txn;
	enum code rc = view_use(caller->at->view, 0, &txn, err);

	if (rc)
		return rc;
	if (!has_guesses(r, token, now, &network, &wait)) {
		rc = err_set(err, E_RATE, "%.*s shows tokens more often than it may",
			     STR_ARG(buf_view(&network)));
	} else {
		token_subject(txn, token, r->arena, &caller->subject,
			      &caller->credential);
		count_token(r, token, now);
		rc = permission_check(&caller->subject, VERB_WATCH, &target, err);
	}
	if (rc == E_UNAUTHORIZED) {
		struct sha256 key = sha256_of(token);

		token_say_over(txn, &key, err);
	}
	if (rc == OK && !limits_take(caller->at->api->limits, LIMIT_SUBJECT,
				     caller->subject.name, now, &wait))
		rc = err_set(err, E_RATE, "subject %.*s asks more often than it may",
			     STR_ARG(caller->subject.name));
	if (rc == E_RATE)
		caller->retry_after_s = limits_retry_s(wait);
	if (rc)
		note_denied(r, rc == E_RATE ? NULL : &caller->subject, VERB_WATCH,
			    err);
	return rc;
}

void door_certificate(struct request *r)
{
	static const struct target target = { .kind = KIND_CONFIG,
					      .is_open = true };
	static const struct subject nobody = { .name = { "anonymous", 9 } };
	struct caller *caller = caller_of(r);
	struct kv_txn *txn;
	struct err err;

	if (view_use(caller->at->view, 0, &txn, &err))
		return;
	certificate_subject(txn, r->certificate, r->arena, &caller->subject,
			    &caller->credential);
	if (permission_check(&caller->subject, VERB_WATCH, &target, &err) == OK)
		return;
	caller->subject = nobody;
	caller->credential = STR("none");
}

/* Who asks for a dry run where there is none must not get a write. */
static bool knows_dry_run(struct request *r)
{
	if (r->method == HTTP_M_GET || api_is_kube(r) ||
	    !request_query(r, "dryRun"))
		return true;
	api_fail(r, E_INVALID, "dryRun is for /apis alone; nothing was done");
	return false;
}

/* A state that is known to be wrong is shown to nobody. */
static bool may_be_shown(struct request *r)
{
	struct err err;

	if (!store_is_fenced(caller_of(r)->at->api->config.store) ||
	    needs_no_state(r))
		return true;
	err_set(&err, E_UNAVAILABLE, "this node is fenced: its state is not that "
		"of the majority");
	err_hint(&err, "ask another node; /readyz?verbose says more");
	api_error(r, &err);
	return false;
}

bool door_open(struct request *r)
{
	struct caller *caller = ANEW(r->arena, struct caller);

	caller->at = r->server_data;
	caller->subject.name = STR("anonymous");
	r->data = caller;
	origin_add_headers(r);
	if (!has_room(r) || !page_may(r) || !authorise(r, caller) || !may_be_shown(r) ||
	    !knows_dry_run(r))
		return false;
	if (r->route->permission >> 8 == VERB_WATCH)
		instance_join(r);
	return true;
}

/* A request counts once for a tenant. */
static bool take_tenant(struct request *r, struct str tenant)
{
	struct caller *caller = caller_of(r);

	if (str_eq(caller->charged, tenant))
		return true;
	caller->charged = arena_str(r->arena, tenant);
	return take(r, LIMIT_TENANT, tenant);
}

bool api_may(struct request *r, enum verb verb, enum kind_id kind,
	     struct str tenant, struct str name)
{
	struct target target = { .kind = kind, .tenant = tenant, .name = name };
	struct err err;

	if (permission_check(&caller_of(r)->subject, verb, &target, &err) == OK)
		return tenant.n == 0 || take_tenant(r, tenant);
	note_denied(r, &caller_of(r)->subject, verb, &err);
	api_error(r, &err);
	return false;
}
