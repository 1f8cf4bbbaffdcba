/*
 * Contexts.  The one of a server can be replaced while loops make connections
 * from it, so it sits behind a mutex, held for two instructions; OpenSSL counts
 * who still uses the old one.
 */
#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/tls_own.h"

#include "base/banned.h"

#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct tls_server {
	char *cert_file, *key_file, *client_ca, *alpn;
	pthread_mutex_t lock;
	SSL_CTX *ctx;                   /* guarded by lock */
};

struct tls_client {
	SSL_CTX *ctx;
};

/* ---- errors ---- */

enum code tls_err(struct err *err)
{
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	/* The first error is the cause; the others are its way up. */
	ERR_clear_error();
	return err_set(err, E_TLS, "%s", reason ? reason : "no reason given");
}

/* OpenSSL's own words for a missing file are of little use. */
static enum code check_readable(const char *path, const char *noun,
				struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "%s %s", noun, path);
	close(fd);
	return OK;
}

static enum code file_err(struct err *err, const char *noun, const char *path)
{
	tls_err(err);
	err_wrap(err, "%s %s", noun, path);
	return err_hint(err, "it must be PEM, and a key without a passphrase");
}

/* ---- ALPN ---- */

/*
 * The list in the form of RFC 7301: each name behind a byte that counts it.
 * It lives as long as the context, which callbacks of old connections may
 * still use when the tls_server is gone.
 */
struct alpn {
	unsigned n;
	unsigned char wire[];
};

static int alpn_index;
static pthread_once_t alpn_once = PTHREAD_ONCE_INIT;

static void alpn_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
		      long argl, void *argp)
{
	free(ptr);
}

static void alpn_index_make(void)
{
	alpn_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, alpn_free);
	must(alpn_index >= 0);
}

/* NULL where the list is empty. */
static struct alpn *alpn_parse(const char *list)
{
	struct str rest = str_of(list);
	struct alpn *alpn;

	if (rest.n == 0)
		return NULL;
	alpn = mem_alloc(sizeof(*alpn) + rest.n + 1);
	alpn->n = 0;
	while (rest.n) {
		struct str name = str_trim(str_cut(&rest, ','));

		must(name.n > 0 && name.n < 256);
		alpn->wire[alpn->n++] = (unsigned char)name.n;
		memcpy(alpn->wire + alpn->n, name.p, name.n);
		alpn->n += (unsigned)name.n;
	}
	return alpn;
}

static int select_alpn(SSL *ssl, const unsigned char **out,
		       unsigned char *out_n, const unsigned char *in,
		       unsigned in_n, void *data)
{
	const struct alpn *alpn = data;
	unsigned char *chosen = NULL;

	if (SSL_select_next_proto(&chosen, out_n, alpn->wire, alpn->n, in,
				  in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void use_alpn(SSL_CTX *ctx, const char *list, bool server)
{
	struct alpn *alpn = alpn_parse(list);

	if (!alpn)
		return;
	pthread_once(&alpn_once, alpn_index_make);
	must(SSL_CTX_set_ex_data(ctx, alpn_index, alpn) == 1);
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, select_alpn, alpn);
	else
		must(SSL_CTX_set_alpn_protos(ctx, alpn->wire, alpn->n) == 0);
}

/* ---- contexts ---- */

static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	must(ctx);
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	must(SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) == 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	/* An idle connection keeps no record buffers; the chain is what the
	 * file holds, and not searched for in each handshake. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	/* Tickets resume sessions; a cache would be shared by all loops. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

/* A key with a passphrase must not stop the daemon at a prompt. */
static int no_passphrase(char *buf, int size, int rwflag, void *data)
{
	return 0;
}

static enum code load_key_pair(SSL_CTX *ctx, const char *cert, const char *key,
			       struct err *err)
{
	enum code rc = check_readable(cert, "certificate", err);

	if (!rc)
		rc = check_readable(key, "private key", err);
	if (rc)
		return rc;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return file_err(err, "certificate", cert);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return file_err(err, "private key", key);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return file_err(err, "private key", key);
	return OK;
}

static enum code load_ca(SSL_CTX *ctx, const char *file, struct err *err)
{
	enum code rc = check_readable(file, "CA file", err);

	if (rc)
		return rc;
	ERR_clear_error();
	if (SSL_CTX_load_verify_locations(ctx, file, NULL) != 1)
		return file_err(err, "CA file", file);
	return OK;
}

static enum code ask_for_clients(SSL_CTX *ctx, const char *ca, struct err *err)
{
	static const unsigned char session_id[] = "conflux";
	enum code rc = load_ca(ctx, ca, err);
	STACK_OF(X509_NAME) * names;

	if (rc)
		return rc;
	names = SSL_load_client_CA_file(ca);
	if (!names)
		return file_err(err, "CA file", ca);
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* Resumed sessions carry the verified certificate; OpenSSL wants a
	 * context named for that. */
	must(SSL_CTX_set_session_id_context(ctx, session_id,
					    sizeof(session_id) - 1) == 1);
	return OK;
}

static enum code server_ctx(const struct tls_server *tls, SSL_CTX **out,
			    struct err *err)
{
	SSL_CTX *ctx = ctx_new(TLS_server_method());
	enum code rc = load_key_pair(ctx, tls->cert_file, tls->key_file, err);

	if (!rc && tls->client_ca)
		rc = ask_for_clients(ctx, tls->client_ca, err);
	if (rc) {
		SSL_CTX_free(ctx);
		return rc;
	}
	use_alpn(ctx, tls->alpn, true);
	*out = ctx;
	return OK;
}

static char *dup_z(const char *z)
{
	return z ? mem_dup(z, strlen(z)) : NULL;
}

enum code tls_server_new(const char *cert_file, const char *key_file,
			 const char *client_ca, const char *alpn,
			 struct tls_server **out, struct err *err)
{
	OWNED(tls_server) tls = NEW(struct tls_server);
	enum code rc;

	must(pthread_mutex_init(&tls->lock, NULL) == 0);
	tls->cert_file = dup_z(cert_file);
	tls->key_file = dup_z(key_file);
	tls->client_ca = dup_z(client_ca);
	tls->alpn = dup_z(alpn);
	rc = server_ctx(tls, &tls->ctx, err);
	if (rc)
		return rc;
	*out = TAKE(tls);
	return OK;
}

void tls_server_free(struct tls_server **at)
{
	struct tls_server *tls = TAKE(*at);

	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	pthread_mutex_destroy(&tls->lock);
	free(tls->cert_file);
	free(tls->key_file);
	free(tls->client_ca);
	free(tls->alpn);
	free(tls);
}

enum code tls_server_reload(struct tls_server *tls, struct err *err)
{
	SSL_CTX *fresh, *old;
	enum code rc = server_ctx(tls, &fresh, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&tls->lock);
	old = tls->ctx;
	tls->ctx = fresh;
	pthread_mutex_unlock(&tls->lock);
	SSL_CTX_free(old);
	return OK;
}

/* A reference of the caller's own. */
static SSL_CTX *server_ctx_ref(struct tls_server *tls)
{
	SSL_CTX *ctx;

	pthread_mutex_lock(&tls->lock);
	ctx = tls->ctx;
	must(SSL_CTX_up_ref(ctx) == 1);
	pthread_mutex_unlock(&tls->lock);
	return ctx;
}

int64_t tls_server_expiry(struct tls_server *tls)
{
	SSL_CTX *ctx = server_ctx_ref(tls);
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	struct tm tm;

	must(cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1);
	SSL_CTX_free(ctx);
	return (int64_t)timegm(&tm);
}

SSL *tls_server_ssl(struct tls_server *tls)
{
	SSL_CTX *ctx = server_ctx_ref(tls);
	SSL *ssl = SSL_new(ctx);

	must(ssl);
	SSL_CTX_free(ctx);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* ---- clients ---- */

enum code tls_client_new(const char *ca_file, const char *alpn,
			 struct tls_client **out, struct err *err)
{
	OWNED(tls_client) tls = NEW(struct tls_client);
	enum code rc;

	tls->ctx = ctx_new(TLS_client_method());
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	if (ca_file) {
		rc = load_ca(tls->ctx, ca_file, err);
		if (rc)
			return rc;
	} else {
		must(SSL_CTX_set_default_verify_paths(tls->ctx) == 1);
	}
	use_alpn(tls->ctx, alpn, false);
	*out = TAKE(tls);
	return OK;
}

void tls_client_free(struct tls_client **at)
{
	struct tls_client *tls = TAKE(*at);

	if (!tls)
		return;
	SSL_CTX_free(tls->ctx);
	free(tls);
}

static bool is_address(const char *name)
{
	struct in6_addr any;

	return inet_pton(AF_INET, name, &any) == 1 ||
	       inet_pton(AF_INET6, name, &any) == 1;
}

SSL *tls_client_ssl(struct tls_client *tls, const char *name)
{
	SSL *ssl = SSL_new(tls->ctx);

	must(ssl && name && *name);
	SSL_set_connect_state(ssl);
	if (is_address(name)) {
		/* RFC 6066, section 3: no address in SNI. */
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1);
		return ssl;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	must(SSL_set1_host(ssl, name) == 1);
	must(SSL_set_tlsext_host_name(ssl, name) == 1);
	return ssl;
}
