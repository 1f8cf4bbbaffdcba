/*
 * Fetch: the committed bytes of a configuration as the body.  The path that
 * most requests take: one lookup of what is live, one of the content, and the
 * bytes go from the map to the socket.
 */
#include "api/follow.h"
#include "api/own.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

bool api_not_modified(struct request *r, struct str etag)
{
	const struct str *h = request_header(r, "if-none-match");
	struct str rest;

	if (!h)
		return false;
	rest = *h;
	if (str_is(str_trim(rest), "*"))
		return true;
	while (rest.n) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (str_starts(one, STR("W/")))
			one = str_from(one, 2);
		if (str_eq(one, etag))
			return true;
	}
	return false;
}

bool api_sign(struct api_loop *loop, const struct address *at, uint64_t version,
	      const struct sha256 *sha, char out[SIGNATURE_TEXT_MAX])
{
	struct signing *signing = loop->api->config.signing;

	if (!signing)
		return false;
	if (!loop->signatures)
		loop->signatures = sign_cache_new();
	sign_cache_get(loop->signatures, signing, at, version, sha, out);
	return true;
}

/* Who pins the public key asks for it; others are spared the time. */
static void add_signature(struct request *r, const struct address *at,
			  const struct config_view *v)
{
	const struct str *want = request_header(r, "x-conflux-want-signature");
	char text[SIGNATURE_TEXT_MAX];

	if (want && str_is(*want, "?1") &&
	    api_sign(caller_of(r)->at, at, v->rule.version, &v->rule.sha, text))
		answer_header(r, "X-Conflux-Signature", str_of(text));
}

static void add_headers(struct request *r, const struct config_view *v,
			struct str etag)
{
	answer_header(r, "ETag", etag);
	answer_header_u64(r, "X-Conflux-Version", v->rule.version);
	answer_header_u64(r, "X-Conflux-Revision", v->live.rev);
	answer_header_u64(r, "X-Conflux-Rule", v->position);
	answer_header(r, "Cache-Control", STR("no-cache"));
}

/* Which release that is under way gives it, and whom. */
static void add_release(struct request *r, const struct client *client,
			const struct address *at, const struct config_view *v)
{
	char name[RELEASE_NAME_MAX];

	if (v->rule.release) {
		release_name(name, v->rule.release);
		answer_header(r, "X-Conflux-Release", str_of(name));
	}
	instance_fetched(caller_of(r)->at->api, client->id, at, &v->rule);
}

/* Content of more than one chunk: one is looked up when the client has taken the one
 * before, in the picture of then. */
struct content {
	struct answer_source source;
	struct api_loop *at;
	struct sha256 sha;
	char tenant[64];
};

static bool read_content(struct answer_source *source, uint64_t at, struct str *out)
{
	struct content *c = container_of(source, struct content, source);
	struct kv_txn *txn;
	struct err err;

	if (view_now(c->at->view, &txn, &err) ||
	    view_chunk(txn, str_of(c->tenant), &c->sha,
		       (uint32_t)(at / BLOB_CHUNK), out, &err))
		return false;
	*out = str_from(*out, at % BLOB_CHUNK);
	return true;
}

static void free_content(struct answer_source *source)
{
	free(container_of(source, struct content, source));
}

static void send_source(struct request *r, struct str tenant,
			const struct config_view *v, const char *type)
{
	struct content *c = NEW(struct content);

	_Static_assert(BLOB_CHUNK == ANSWER_PIECE, "one chunk is one piece");
	c->source = (struct answer_source){ .size = v->rule.size,
					    .read = read_content,
					    .free = free_content };
	c->at = caller_of(r)->at;
	c->sha = v->rule.sha;
	must(str_copy(c->tenant, sizeof(c->tenant), tenant));
	answer_from(r, 200, type, &c->source);
}

/* ---- the same again ---- */

/* Of what an answer was made, and whom it counts for. */
struct fetched {
	uint64_t snapshot, until_ms;     /* of the token; 0: for ever */
	char subject[96], tenant[64];
};

/* The answer depends on the request, on the picture of the state, from which also
 * comes who may see it, and on nothing else.  Not before it is known that nothing else
 * is answered: of what an error says nothing stays. */
static void allow_repeat(struct request *r, struct kv_txn *txn, struct str tenant)
{
	const struct caller *caller = caller_of(r);
	struct fetched about = { .snapshot = kv_snapshot(txn),
				 .until_ms = caller->subject.until_ms };

	/* A certificate ends, a key to sign with is exchanged, and a barrier is a
	 * barrier each time. */
	if (r->certificate.n || request_header(r, "x-conflux-want-signature") ||
	    request_query(r, "consistency") ||
	    !str_copy(about.subject, sizeof(about.subject), caller->subject.name) ||
	    !str_copy(about.tenant, sizeof(about.tenant), tenant))
		return;
	answer_may_repeat(r, &about, sizeof(about));
}

/* Whoever may not ask so often, or asks an overloaded loop, is refused at the door,
 * not here. */
static bool has_rate(struct request *r, enum limit_of of, const char *who)
{
	struct api_loop *at = r->server_data;
	uint64_t wait;

	return !limits_is_on(at->api->limits, of) ||
		limits_take(at->api->limits, of, str_of(who), r->start_ns, &wait);
}

/* Would it?  A request that is refused for another's sake costs nothing here, as it is
 * charged again at the door. */
static bool would_have_rate(struct request *r, enum limit_of of, const char *who)
{
	struct api_loop *at = r->server_data;
	uint64_t wait;

	return !limits_is_on(at->api->limits, of) ||
		limits_has(at->api->limits, of, str_of(who), r->start_ns, &wait);
}

bool fetch_again(struct request *r, const void *data)
{
	struct api_loop *at = r->server_data;
	struct fetched about;
	struct kv_txn *txn;
	struct err err;

	memcpy(&about, data, sizeof(about));
	return !at->admission.is_overloaded && !r->certificate.n &&
		view_use(at->view, 0, &txn, &err) == OK &&
		kv_snapshot(txn) == about.snapshot &&
		(about.until_ms == 0 || about.until_ms > clock_wall_ms()) &&
		!store_is_fenced(at->api->config.store) &&
		would_have_rate(r, LIMIT_TENANT, about.tenant) &&
		has_rate(r, LIMIT_SUBJECT, about.subject) &&
		has_rate(r, LIMIT_TENANT, about.tenant);
}

/* ---- the answer ---- */

static void send_content(struct request *r, struct kv_txn *txn,
			 struct str tenant, const struct config_view *v)
{
	enum format format = FORMAT_TEXT;
	struct stream_vec piece;
	struct str chunk;
	struct err err;

	if (view_chunk(txn, tenant, &v->rule.sha, 0, &chunk, &err)) {
		api_error(r, &err);
		return;
	}
	if (!format_parse_name(v->live.format, &format))
		format = FORMAT_TEXT;
	if (v->rule.size > BLOB_CHUNK) {
		send_source(r, tenant, v, format_content_type(format));
		return;
	}
	allow_repeat(r, txn, tenant);
	piece = (struct stream_vec){ chunk.p, chunk.n };
	answer_named(r, 200, format_content_type(format), &piece, 1, v->rule.sha.b);
}

void get_fetch(struct request *r)
{
	struct address at = { r->in->args[0], r->in->args[1], r->in->args[2], r->in->args[3] };
	struct client client;
	struct config_view v;
	struct kv_txn *txn;
	char etag[67];
	struct err err;

	if (!api_may(r, VERB_FETCH, KIND_CONFIG, at.tenant, at.name) ||
	    !api_client(r, &client) || !api_view(r, &txn))
		return;
	if (view_config(txn, &at, &client, &v, &err)) {
		api_error(r, &err);
		return;
	}
	etag[0] = '"';
	sha256_hex(etag + 1, &v.rule.sha);
	etag[65] = '"';
	etag[66] = '\0';
	add_headers(r, &v, str_n(etag, 66));
	add_release(r, &client, &at, &v);
	add_signature(r, &at, &v);
	if (api_not_modified(r, str_n(etag, 66))) {
		allow_repeat(r, txn, at.tenant);
		answer(r, 304, NULL, STR_NONE);
		return;
	}
	send_content(r, txn, at.tenant, &v);
}
