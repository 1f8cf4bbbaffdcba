/*
 * Fetch: the committed bytes of a configuration as the body.  The path that
 * most requests take: one lookup of what is live, one of the content, and the
 * bytes go from the map to the socket.
 */
#include "api/own.h"

#include "base/banned.h"

#define PIECES_MAX 128       /* 8 MiB in chunks of 64 KiB */

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

static void send_content(struct request *r, struct kv_txn *txn,
			 struct str tenant, const struct config_view *v)
{
	struct stream_vec pieces[PIECES_MAX];
	unsigned n = 0;
	enum format format = FORMAT_TEXT;
	struct err err;

	do {
		struct str chunk;

		if (n == PIECES_MAX ||
		    view_chunk(txn, tenant, &v->rule.sha, n, &chunk, &err)) {
			if (n == PIECES_MAX)
				err_set(&err, E_INTERNAL, "content too large");
			api_error(r, &err);
			return;
		}
		pieces[n++] = (struct stream_vec){ chunk.p, chunk.n };
	} while ((uint64_t)n * BLOB_CHUNK < v->rule.size);
	if (!format_parse_name(v->live.format, &format))
		format = FORMAT_TEXT;
	answer_pieces(r, 200, format_content_type(format), pieces, n);
}

/* ---- the same again ---- */

/* Of what an answer was made, and whom it counts for. */
struct fetched {
	uint64_t snapshot;
	char subject[96], tenant[64];
};

/* The answer depends on the request, on the picture of the state, from which also
 * comes who may see it, and on nothing else. */
static void allow_repeat(struct request *r, struct kv_txn *txn, struct str tenant)
{
	const struct caller *caller = caller_of(r);
	struct fetched about = { .snapshot = kv_snapshot(txn) };

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
		!store_is_fenced(at->api->config.store) &&
		has_rate(r, LIMIT_SUBJECT, about.subject) &&
		has_rate(r, LIMIT_TENANT, about.tenant);
}

void get_fetch(struct request *r)
{
	struct address at = { r->args[0], r->args[1], r->args[2], r->args[3] };
	struct labels labels;
	struct config_view v;
	struct kv_txn *txn;
	char etag[67];
	struct err err;

	if (!api_may(r, VERB_FETCH, KIND_CONFIG, at.tenant, at.name) ||
	    !api_labels(r, &labels) || !api_view(r, &txn))
		return;
	if (view_config(txn, &at, &labels, &v, &err)) {
		api_error(r, &err);
		return;
	}
	etag[0] = '"';
	sha256_hex(etag + 1, &v.rule.sha);
	etag[65] = '"';
	etag[66] = '\0';
	add_headers(r, &v, str_n(etag, 66));
	add_signature(r, &at, &v);
	allow_repeat(r, txn, at.tenant);
	if (api_not_modified(r, str_n(etag, 66)))
		answer(r, 304, NULL, STR_NONE);
	else
		send_content(r, txn, at.tenant, &v);
}
