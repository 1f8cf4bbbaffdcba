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
	if (api_not_modified(r, str_n(etag, 66)))
		answer(r, 304, NULL, STR_NONE);
	else
		send_content(r, txn, at.tenant, &v);
}
