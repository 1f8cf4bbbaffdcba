/* Signatures of configurations: see sign.h. */
#include "api/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/own.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/secret.h"
#include "io/file.h"

#include "base/banned.h"

#define PEM_MAX 4096
#define NAME_BYTES 8
#define SIGNATURE_BYTES 64
#define PLACES 1024                  /* a power of two */

struct signing {
	char *path;
	pthread_mutex_t lock;
	EVP_PKEY *key;                   /* under the lock; counted */
	char name[2 * NAME_BYTES + 1];
	_Atomic uint64_t generation;     /* of the key; from 1 */
};

/* ---- the key ---- */

/* Nobody is at the terminal of a server. */
static int no_passphrase(char *to, int size, int rwflag, void *data)
{
	return 0;
}

static EVP_PKEY *parse(struct str pem)
{
	BIO *bio = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
	EVP_PKEY *key;

	must(bio);
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (key && !EVP_PKEY_is_a(key, "ED25519")) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static enum code load(const char *path, EVP_PKEY **out, struct err *err)
{
	struct buf pem = BUF_NONE;
	enum code rc = file_get_small(path, PEM_MAX, true, &pem, err);

	if (rc == OK) {
		*out = parse(buf_view(&pem));
		if (!*out) {
			rc = err_set(err, E_INVALID, "%s: no private key of "
				     "Ed25519 in PEM", path);
			err_hint(err, "openssl genpkey -algorithm ED25519 -out "
				 "signing.key");
		}
	}
	if (pem.p)
		wipe(pem.p, pem.cap);
	buf_fini(&pem);
	return rc;
}

static void name_of(EVP_PKEY *key, char out[2 * NAME_BYTES + 1])
{
	unsigned char bytes[32];
	size_t n = sizeof(bytes);
	struct sha256 sum;

	must(EVP_PKEY_get_raw_public_key(key, bytes, &n) == 1);
	sum = sha256_of(str_n(bytes, n));
	hex_text(out, sum.b, NAME_BYTES);
}

enum code signing_new(const char *key_file, struct signing **out, struct err *err)
{
	EVP_PKEY *key = NULL;
	struct signing *s;
	enum code rc = load(key_file, &key, err);

	if (rc)
		return rc;
	s = NEW(struct signing);
	s->path = mem_dup(key_file, strlen(key_file));
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	s->key = key;
	name_of(key, s->name);
	atomic_init(&s->generation, 1);
	*out = s;
	return OK;
}

void signing_free(struct signing **sp)
{
	struct signing *s = TAKE(*sp);

	if (!s)
		return;
	EVP_PKEY_free(s->key);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

enum code signing_reload(struct signing *s, struct err *err)
{
	EVP_PKEY *key = NULL;
	enum code rc = load(s->path, &key, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	EVP_PKEY_free(s->key);
	s->key = key;
	name_of(key, s->name);
	atomic_fetch_add(&s->generation, 1);
	pthread_mutex_unlock(&s->lock);
	return OK;
}

/* The key of now, for the caller to free. */
static EVP_PKEY *key_now(struct signing *s, char name[2 * NAME_BYTES + 1],
			 uint64_t *generation)
{
	EVP_PKEY *key;

	pthread_mutex_lock(&s->lock);
	key = s->key;
	must(EVP_PKEY_up_ref(key) == 1);
	memcpy(name, s->name, sizeof(s->name));
	*generation = atomic_load(&s->generation);
	pthread_mutex_unlock(&s->lock);
	return key;
}

void signing_public(struct signing *s, struct buf *pem, char name[17])
{
	uint64_t generation;
	EVP_PKEY *key = key_now(s, name, &generation);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	must(bio && PEM_write_bio_PUBKEY(bio, key) == 1);
	n = BIO_get_mem_data(bio, &text);
	buf_str(pem, str_n(text, (size_t)n));
	BIO_free(bio);
	EVP_PKEY_free(key);
}

/* ---- signatures ---- */

/* What was signed is known by its hash, so that nothing else is taken for it. */
struct place {
	struct sha256 of;
	uint64_t generation;             /* 0: empty */
	char text[SIGNATURE_TEXT_MAX];
};

struct sign_cache {
	struct place places[PLACES];
};

struct sign_cache *sign_cache_new(void)
{
	return NEW(struct sign_cache);
}

void sign_cache_free(struct sign_cache **cp)
{
	free(TAKE(*cp));
}

void sign_text(struct buf *out, const struct address *at, uint64_t version,
	       const struct sha256 *sha)
{
	buf_z(out, "conflux-signature-v1\n");
	address_text(out, at);
	buf_printf(out, "\n%llu\n", (unsigned long long)version);
	buf_hex(out, sha->b, sizeof(sha->b));
	buf_c(out, '\n');
}

static void sign(struct signing *s, struct str text, struct place *out)
{
	unsigned char sig[SIGNATURE_BYTES];
	char name[2 * NAME_BYTES + 1];
	size_t n = sizeof(sig);
	AUTO_BUF base64 = BUF_NONE;
	EVP_PKEY *key = key_now(s, name, &out->generation);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
	must(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p,
			    text.n) == 1 && n == sizeof(sig));
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	base64_text(&base64, str_n(sig, n));
	snprintf(out->text, sizeof(out->text), "ed25519; key=%s; sig=%.*s", name,
		 STR_ARG(buf_view(&base64)));
}

void sign_cache_get(struct sign_cache *cache, struct signing *s,
		    const struct address *at, uint64_t version,
		    const struct sha256 *sha, char out[SIGNATURE_TEXT_MAX])
{
	AUTO_BUF text = BUF_NONE;
	struct place *place;
	struct sha256 of;

	sign_text(&text, at, version, sha);
	of = sha256_of(buf_view(&text));
	place = &cache->places[(of.b[0] | of.b[1] << 8) % PLACES];
	if (place->generation != atomic_load(&s->generation) ||
	    memcmp(&place->of, &of, sizeof(of)) != 0) {
		place->of = of;
		sign(s, buf_view(&text), place);
	}
	memcpy(out, place->text, sizeof(place->text));
}

/* ---- the route ---- */

void get_signing_key(struct request *r)
{
	struct signing *s = caller_of(r) ? caller_of(r)->at->api->config.signing :
					   NULL;
	AUTO_BUF pem = BUF_NONE;
	char name[17];

	if (!s) {
		api_fail(r, E_NOT_FOUND, "this node signs nothing: it has no "
			 "signing.key_file");
		return;
	}
	signing_public(s, &pem, name);
	answer_header(r, "X-Conflux-Key", str_of(name));
	answer(r, 200, "application/x-pem-file", buf_view(&pem));
}
