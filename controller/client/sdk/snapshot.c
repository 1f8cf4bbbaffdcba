/*
 * The bytes of a snapshot: docs/formats/snapshot.md.
 *
 *	"CFXSNAP1", flags (4 bytes), 0 (4 bytes), then
 *	plain:      body, SHA-256 of all before
 *	encrypted:  nonce (12 bytes), body by AES-256-GCM, tag (16 bytes); the
 *	            16 bytes at the front are authenticated too
 *
 * What is not wholly right is refused as a whole.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "client/sdk/own.h"

#include "base/banned.h"

#define MAGIC STR("CFXSNAP1")
#define FRONT 16
#define SEALED 1u
#define NONCE 12
#define TAG 16
#define DIGEST 32

/* ---- small things ---- */

static bool put_number(const heap *h, struct bytes *out, uint64_t n, unsigned size)
{
	char room[8];

	for (unsigned i = 0; i < size; i++)
		room[i] = (char)(n >> 8 * i);
	return bytes_add(h, out, str_n(room, size));
}

static bool put_text(const heap *h, struct bytes *out, struct str s)
{
	return put_number(h, out, s.n, 4) && bytes_add(h, out, s);
}

/* The next 'n' bytes; false: there are fewer. */
static bool take(struct str *in, size_t n, struct str *out)
{
	if (in->n < n)
		return false;
	*out = str_n(in->p, n);
	*in = sdk_from(*in, n);
	return true;
}

static bool take_number(struct str *in, unsigned size, uint64_t *out)
{
	struct str s;

	if (!take(in, size, &s))
		return false;
	*out = 0;
	for (unsigned i = size; i--;)
		*out = *out << 8 | (unsigned char)s.p[i];
	return true;
}

static bool take_text(struct str *in, struct str *out)
{
	uint64_t n;

	return take_number(in, 4, &n) && take(in, n, out);
}

bool snapshot_bind(struct cfx *cfx)
{
	const heap *h = &cfx->heap;
	const char *labels = cfx->o.labels ? cfx->o.labels : "";

	return put_text(h, &cfx->binding, str_of(cfx->o.tenant)) &&
	       put_text(h, &cfx->binding, str_of(cfx->o.application)) &&
	       put_text(h, &cfx->binding, str_of(cfx->o.environment)) &&
	       put_text(h, &cfx->binding, str_of(labels));
}

/* ---- sealing ---- */

static bool seal(const uint8_t *key, struct str body, struct bytes *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char *front = (unsigned char *)out->p;
	unsigned char *nonce = front + FRONT, *text = nonce + NONCE;
	int n;
	bool good = ctx && RAND_bytes(nonce, NONCE) == 1 &&
		    EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key,
				       nonce) == 1 &&
		    EVP_EncryptUpdate(ctx, NULL, &n, front, FRONT) == 1 &&
		    EVP_EncryptUpdate(ctx, text, &n, (const unsigned char *)body.p,
				      (int)body.n) == 1 &&
		    EVP_EncryptFinal_ex(ctx, text + n, &n) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG,
					text + body.n) == 1;

	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	out->n = FRONT + NONCE + body.n + TAG;
	return good;
}

/* 'sealed' is nonce, text and tag; what it holds goes into 'out'. */
static enum cfx_code unseal(const uint8_t *key, struct str front,
			    struct str sealed, char *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const unsigned char *nonce = (const unsigned char *)sealed.p;
	size_t n_text = sealed.n - NONCE - TAG;
	int n;
	bool good = ctx &&
		    EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key,
				       nonce) == 1 &&
		    EVP_DecryptUpdate(ctx, NULL, &n,
				      (const unsigned char *)front.p, FRONT) == 1 &&
		    EVP_DecryptUpdate(ctx, (unsigned char *)out, &n, nonce + NONCE,
				      (int)n_text) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG,
					(void *)(nonce + NONCE + n_text)) == 1;
	enum cfx_code rc = !good ? CFX_E_NO_MEMORY :
			   EVP_DecryptFinal_ex(ctx, (unsigned char *)out + n,
					       &n) == 1 ? CFX_OK : CFX_E_CORRUPT;

	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}

/* ---- writing ---- */

static bool put_doc(const heap *h, struct bytes *out, const char *name,
		    const struct doc *doc)
{
	return put_text(h, out, str_of(name)) &&
	       put_number(h, out, doc->version, 8) &&
	       put_number(h, out, doc->revision, 8) &&
	       put_text(h, out, str_of(doc->content_type)) &&
	       bytes_add(h, out, str_n(doc->sha256, sizeof(doc->sha256))) &&
	       put_number(h, out, doc->is_signed, 1) &&
	       bytes_add(h, out, str_n(doc->signature, sizeof(doc->signature))) &&
	       put_text(h, out, str_n(doc->content, doc->content_n));
}

static bool put_body(const struct cfx *cfx, struct bytes *out)
{
	const struct cfx_view *view = cfx_now(cfx);
	const heap *h = &cfx->heap;
	unsigned n = 0;
	bool good;

	for (unsigned i = 0; i < cfx->names->n; i++)
		n += view->docs[i] != NULL;
	good = put_text(h, out, bytes_view(&cfx->binding)) &&
	       put_number(h, out, n, 4);
	for (unsigned i = 0; i < cfx->names->n && good; i++)
		if (view->docs[i])
			good = put_doc(h, out, cfx->names->name[i],
				       view->docs[i]);
	return good;
}

static bool put_front(const heap *h, struct bytes *out, unsigned flags)
{
	return bytes_add(h, out, MAGIC) && put_number(h, out, flags, 4) &&
	       put_number(h, out, 0, 4);
}

static bool encode_plain(const struct cfx *cfx, struct bytes *out)
{
	uint8_t digest[DIGEST];

	return put_front(&cfx->heap, out, 0) && put_body(cfx, out) &&
	       sdk_sha256(bytes_view(out), digest) &&
	       bytes_add(&cfx->heap, out, str_n(digest, sizeof(digest)));
}

static bool encode_sealed(const struct cfx *cfx, struct bytes *out)
{
	const heap *h = &cfx->heap;
	struct bytes body = { 0 };
	bool good = put_body(cfx, &body) && body.n < INT32_MAX &&
		    put_front(h, out, SEALED) &&
		    bytes_room(h, out, NONCE + body.n + TAG) &&
		    seal(cfx->snapshot_key, bytes_view(&body), out);

	heap_wipe(h, body.p, body.n);
	return good;
}

bool snapshot_encode(const struct cfx *cfx, struct bytes *out,
		     struct cfx_error *error)
{
	bool good = cfx->snapshot_key ? encode_sealed(cfx, out) :
					encode_plain(cfx, out);

	if (good)
		return true;
	heap_wipe(&cfx->heap, out->p, out->n);
	*out = (struct bytes){ 0 };
	cfx_no_memory(error);
	return false;
}

/* ---- reading ---- */

static enum cfx_code damaged(struct cfx_error *error, const char *why)
{
	return cfx_fail(error, CFX_E_CORRUPT, "the snapshot is refused: %s", why);
}

static enum cfx_code stage(struct cfx *cfx, struct str name, struct doc *doc,
			   struct cfx_error *error)
{
	enum cfx_code rc;

	for (unsigned i = 0; i < cfx->names->n; i++) {
		struct config *c = &cfx->configs[i];

		if (!str_eq(name, str_of(cfx->names->name[i])))
			continue;
		if (c->staged)
			return damaged(error, "a name stands there twice");
		if (cfx_now(cfx)->docs[i])
			return CFX_OK;   /* a server's is newer */
		if (cfx->signer && !doc->is_signed)
			return damaged(error, "its content is not signed");
		rc = cfx->signer ? signer_check(cfx->signer, c->key, doc->version,
						doc->sha256, doc->signature,
						error) : CFX_OK;
		if (rc == CFX_OK)
			c->staged = doc_ref(doc);
		return rc;
	}
	return CFX_OK;                   /* it is not asked for any more */
}

static enum cfx_code take_doc(struct cfx *cfx, struct str *in,
			      struct cfx_error *error)
{
	struct str name, type, sha, signature, content;
	uint64_t version, revision, is_signed;
	char type_text[64], *copy;
	struct doc *doc = NULL;
	uint8_t digest[DIGEST];
	enum cfx_code rc;

	if (!take_text(in, &name) || !take_number(in, 8, &version) ||
	    !take_number(in, 8, &revision) || !take_text(in, &type) ||
	    !take(in, DIGEST, &sha) || !take_number(in, 1, &is_signed) ||
	    !take(in, SIGNATURE_BYTES, &signature) || !take_text(in, &content) ||
	    type.n >= sizeof(type_text))
		return damaged(error, "it is malformed");
	if (!sdk_sha256(content, digest))
		return cfx_no_memory(error);
	if (memcmp(digest, sha.p, DIGEST) != 0)
		return damaged(error, "content is not what its hash says");
	snprintf(type_text, sizeof(type_text), "%.*s", STR_ARG(type));
	copy = heap_text(&cfx->heap, content);
	if (!copy)
		return cfx_no_memory(error);
	rc = doc_new(&cfx->heap, copy, content.n, type_text, cfx->c_locale,
		     cfx->seed, &doc, error);
	if (rc)
		return rc;
	doc_number(doc, version);
	doc->revision = revision;
	doc->is_from_snapshot = true;
	doc->is_signed = is_signed != 0;
	memcpy(doc->sha256, digest, DIGEST);
	memcpy(doc->signature, signature.p, SIGNATURE_BYTES);
	rc = stage(cfx, name, doc, error);
	doc_unref(doc);
	return rc;
}

static enum cfx_code take_body(struct cfx *cfx, struct str in,
			       struct cfx_error *error)
{
	enum cfx_code rc = CFX_OK;
	struct str binding;
	uint64_t n;

	if (!take_text(&in, &binding) || !take_number(&in, 4, &n))
		return damaged(error, "it is malformed");
	if (!str_eq(binding, bytes_view(&cfx->binding)))
		return cfx_fail(error, CFX_E_USAGE, "the snapshot is refused: it "
				"is of another application, environment or "
				"labels");
	while (n-- && rc == CFX_OK)
		rc = take_doc(cfx, &in, error);
	if (rc == CFX_OK && in.n)
		rc = damaged(error, "something stands behind its end");
	return rc;
}

static enum cfx_code decode_sealed(struct cfx *cfx, struct str front,
				   struct str in, struct cfx_error *error)
{
	struct bytes body = { 0 };
	enum cfx_code rc;

	if (!cfx->snapshot_key)
		return damaged(error, "it is encrypted, and no snapshot_key_file "
			       "is given");
	if (in.n < NONCE + TAG || in.n > INT32_MAX)
		return damaged(error, "it is malformed");
	if (!bytes_room(&cfx->heap, &body, in.n))
		return cfx_no_memory(error);
	rc = unseal(cfx->snapshot_key, front, in, body.p);
	if (rc == CFX_E_CORRUPT)
		damaged(error, "it was changed, or has another key");
	else if (rc)
		cfx_no_memory(error);
	else
		rc = take_body(cfx, str_n(body.p, in.n - NONCE - TAG), error);
	heap_wipe(&cfx->heap, body.p, body.cap);
	return rc;
}

static enum cfx_code decode_plain(struct cfx *cfx, struct str all,
				  struct cfx_error *error)
{
	uint8_t digest[DIGEST];
	struct str text;

	if (cfx->snapshot_key)
		return damaged(error, "it is not encrypted, and a "
			       "snapshot_key_file is given");
	if (all.n < FRONT + DIGEST)
		return damaged(error, "it is cut off");
	text = str_n(all.p, all.n - DIGEST);
	if (!sdk_sha256(text, digest))
		return cfx_no_memory(error);
	if (memcmp(digest, all.p + text.n, DIGEST) != 0)
		return damaged(error, "its checksum is wrong");
	return take_body(cfx, sdk_from(text, FRONT), error);
}

static void unstage(struct cfx *cfx)
{
	for (unsigned i = 0; i < cfx->names->n; i++)
		doc_unref(TAKE(cfx->configs[i].staged));
}

enum cfx_code snapshot_decode(struct cfx *cfx, struct str all,
			      struct cfx_error *error)
{
	struct str in = all, front;
	uint64_t flags = 0, zero = 0;
	enum cfx_code rc;

	if (!sdk_starts(in, MAGIC) || !take(&in, FRONT, &front))
		return damaged(error, "it is no snapshot of libconflux");
	front = sdk_from(front, MAGIC.n);
	if (!take_number(&front, 4, &flags) || !take_number(&front, 4, &zero) ||
	    flags > SEALED || zero)
		return damaged(error, "a later version has written it");
	rc = flags & SEALED ? decode_sealed(cfx, str_n(all.p, FRONT), in, error) :
			      decode_plain(cfx, all, error);
	if (rc)
		unstage(cfx);
	return rc;
}
