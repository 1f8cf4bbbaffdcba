/*
 * Contexts.  One can be replaced while loops make connections from it, so it
 * sits behind a mutex, held for two instructions; OpenSSL counts who still uses
 * the old one.
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

/* A context and what it was made from. */
struct live {
	char *cert_file, *key_file, *ca_file, *alpn;    /* each may be NULL */
	bool is_server, is_mutual;
	pthread_mutex_t lock;
	SSL_CTX *ctx;                   /* guarded by lock */
};

struct tls_server {
	struct live live;
};

struct tls_client {
	struct live live;
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

static enum code fill_server(SSL_CTX *ctx, const struct live *live,
			     struct err *err)
{
	enum code rc = load_key_pair(ctx, live->cert_file, live->key_file, err);

	if (!rc && live->ca_file)
		rc = ask_for_clients(ctx, live->ca_file, err);
	return rc;
}

static enum code fill_client(SSL_CTX *ctx, const struct live *live,
			     struct err *err)
{
	enum code rc = OK;

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (live->cert_file)
		rc = load_key_pair(ctx, live->cert_file, live->key_file, err);
	if (!rc && live->ca_file)
		return load_ca(ctx, live->ca_file, err);
	if (!rc)
		must(SSL_CTX_set_default_verify_paths(ctx) == 1);
	return rc;
}

static void make_mutual(SSL_CTX *ctx)
{
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   NULL);
	/* A resumed session would carry a certificate that is not verified
	 * again. */
	must(SSL_CTX_set_num_tickets(ctx, 0) == 1);
}

static enum code live_ctx(const struct live *live, SSL_CTX **out,
			  struct err *err)
{
	SSL_CTX *ctx = ctx_new(live->is_server ? TLS_server_method() :
						 TLS_client_method());
	enum code rc = live->is_server ? fill_server(ctx, live, err) :
					 fill_client(ctx, live, err);

	if (rc) {
		SSL_CTX_free(ctx);
		return rc;
	}
	if (live->is_mutual)
		make_mutual(ctx);
	use_alpn(ctx, live->alpn, live->is_server);
	*out = ctx;
	return OK;
}

static char *dup_z(const char *z)
{
	return z ? mem_dup(z, strlen(z)) : NULL;
}

/* 'live' says already whose it is; to be ended by live_fini also on error. */
static enum code live_init(struct live *live, const char *cert, const char *key,
			   const char *ca, const char *alpn, struct err *err)
{
	must(pthread_mutex_init(&live->lock, NULL) == 0);
	live->cert_file = dup_z(cert);
	live->key_file = dup_z(key);
	live->ca_file = dup_z(ca);
	live->alpn = dup_z(alpn);
	return live_ctx(live, &live->ctx, err);
}

static void live_fini(struct live *live)
{
	SSL_CTX_free(live->ctx);
	pthread_mutex_destroy(&live->lock);
	free(live->cert_file);
	free(live->key_file);
	free(live->ca_file);
	free(live->alpn);
}

static enum code live_reload(struct live *live, struct err *err)
{
	SSL_CTX *fresh, *old;
	enum code rc = live_ctx(live, &fresh, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&live->lock);
	old = live->ctx;
	live->ctx = fresh;
	pthread_mutex_unlock(&live->lock);
	SSL_CTX_free(old);
	return OK;
}

/* A reference of the caller's own. */
static SSL_CTX *live_ref(struct live *live)
{
	SSL_CTX *ctx;

	pthread_mutex_lock(&live->lock);
	ctx = live->ctx;
	must(SSL_CTX_up_ref(ctx) == 1);
	pthread_mutex_unlock(&live->lock);
	return ctx;
}

static SSL *live_ssl(struct live *live)
{
	SSL_CTX *ctx = live_ref(live);
	SSL *ssl = SSL_new(ctx);

	must(ssl);
	SSL_CTX_free(ctx);
	return ssl;
}

static int64_t expiry_of(const X509 *cert)
{
	struct tm tm;

	must(cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1);
	return (int64_t)timegm(&tm);
}

/* ---- servers ---- */

static enum code server_new(bool is_mutual, const char *cert, const char *key,
			    const char *ca, const char *alpn,
			    struct tls_server **out, struct err *err)
{
	OWNED(tls_server) tls = NEW(struct tls_server);
	enum code rc;

	tls->live.is_server = true;
	tls->live.is_mutual = is_mutual;
	rc = live_init(&tls->live, cert, key, ca, alpn, err);
	if (rc)
		return rc;
	*out = TAKE(tls);
	return OK;
}

enum code tls_server_new(const char *cert_file, const char *key_file,
			 const char *client_ca, const char *alpn,
			 struct tls_server **out, struct err *err)
{
	return server_new(false, cert_file, key_file, client_ca, alpn, out, err);
}

enum code tls_server_new_mutual(const char *cert_file, const char *key_file,
				const char *ca_file, struct tls_server **out,
				struct err *err)
{
	must(cert_file && key_file && ca_file);
	return server_new(true, cert_file, key_file, ca_file, NULL, out, err);
}

void tls_server_free(struct tls_server **at)
{
	struct tls_server *tls = TAKE(*at);

	if (!tls)
		return;
	live_fini(&tls->live);
	free(tls);
}

enum code tls_server_reload(struct tls_server *tls, struct err *err)
{
	return live_reload(&tls->live, err);
}

int64_t tls_server_expiry(struct tls_server *tls)
{
	SSL_CTX *ctx = live_ref(&tls->live);
	int64_t expiry = expiry_of(SSL_CTX_get0_certificate(ctx));

	SSL_CTX_free(ctx);
	return expiry;
}

SSL *tls_server_ssl(struct tls_server *tls)
{
	SSL *ssl = live_ssl(&tls->live);

	SSL_set_accept_state(ssl);
	return ssl;
}

/* ---- clients ---- */

static enum code client_new(bool is_mutual, const char *cert, const char *key,
			    const char *ca, const char *alpn,
			    struct tls_client **out, struct err *err)
{
	OWNED(tls_client) tls = NEW(struct tls_client);
	enum code rc;

	tls->live.is_mutual = is_mutual;
	rc = live_init(&tls->live, cert, key, ca, alpn, err);
	if (rc)
		return rc;
	*out = TAKE(tls);
	return OK;
}

enum code tls_client_new(const char *ca_file, const char *alpn,
			 struct tls_client **out, struct err *err)
{
	return client_new(false, NULL, NULL, ca_file, alpn, out, err);
}

enum code tls_client_new_mutual(const char *cert_file, const char *key_file,
				const char *ca_file, struct tls_client **out,
				struct err *err)
{
	must(cert_file && key_file && ca_file);
	return client_new(true, cert_file, key_file, ca_file, NULL, out, err);
}

void tls_client_free(struct tls_client **at)
{
	struct tls_client *tls = TAKE(*at);

	if (!tls)
		return;
	live_fini(&tls->live);
	free(tls);
}

enum code tls_client_reload(struct tls_client *tls, struct err *err)
{
	return live_reload(&tls->live, err);
}

static bool is_address(const char *name)
{
	struct in6_addr any;

	return inet_pton(AF_INET, name, &any) == 1 ||
	       inet_pton(AF_INET6, name, &any) == 1;
}

SSL *tls_client_ssl(struct tls_client *tls, const char *name)
{
	SSL *ssl = live_ssl(&tls->live);
	bool is_numeric;

	must(name && *name);
	is_numeric = is_address(name);
	SSL_set_connect_state(ssl);
	/* RFC 6066, section 3: no address in SNI. */
	if (!is_numeric)
		must(SSL_set_tlsext_host_name(ssl, name) == 1);
	if (tls->live.is_mutual)
		return ssl;
	if (is_numeric) {
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1);
		return ssl;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	must(SSL_set1_host(ssl, name) == 1);
	return ssl;
}

/* ---- certificates of peers ---- */

struct tls_cert {
	X509 *x509;
	GENERAL_NAMES *names;           /* NULL: it has none */
};

struct tls_cert *tls_cert_of(SSL *ssl)
{
	X509 *x509 = SSL_get1_peer_certificate(ssl);
	struct tls_cert *cert;

	if (!x509)
		return NULL;
	cert = NEW(struct tls_cert);
	cert->x509 = x509;
	cert->names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	return cert;
}

void tls_cert_free(struct tls_cert **at)
{
	struct tls_cert *cert = TAKE(*at);

	if (!cert)
		return;
	GENERAL_NAMES_free(cert->names);
	X509_free(cert->x509);
	free(cert);
}

int64_t tls_cert_expiry(const struct tls_cert *cert)
{
	return expiry_of(cert->x509);
}

bool tls_cert_is_for(const struct tls_cert *cert, const char *host)
{
	if (is_address(host))
		return X509_check_ip_asc(cert->x509, host, 0) == 1;
	return X509_check_host(cert->x509, host, strlen(host),
			       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
			       NULL) == 1;
}

bool tls_cert_uri(const struct tls_cert *cert, unsigned i, struct str *out)
{
	for (int at = 0; at < sk_GENERAL_NAME_num(cert->names); at++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(cert->names, at);
		const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;

		if (name->type != GEN_URI || i-- > 0)
			continue;
		*out = str_n(ASN1_STRING_get0_data(uri),
			     (size_t)ASN1_STRING_length(uri));
		return true;
	}
	return false;
}

static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > TLS_NAME_MAX - 3 || !str_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool common_name(const struct tls_cert *cert, struct buf *out)
{
	const X509_NAME *subject = X509_get_subject_name(cert->x509);
	int at = X509_NAME_get_index_by_NID((X509_NAME *)subject, NID_commonName, -1);
	unsigned char *text = NULL;
	struct str name;
	bool is_good;
	int n;

	if (at < 0 || X509_NAME_get_index_by_NID((X509_NAME *)subject,
						 NID_commonName, at) >= 0)
		return false;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(
					       X509_NAME_get_entry(subject, at)));
	if (n < 0)
		return false;
	name = str_n(text, (size_t)n);
	is_good = is_name(name);
	if (is_good)
		buf_printf(out, "CN=%.*s", STR_ARG(name));
	OPENSSL_free(text);
	return is_good;
}

bool tls_cert_name(const struct tls_cert *cert, struct buf *out)
{
	struct str uri;

	if (!tls_cert_uri(cert, 0, &uri))
		return common_name(cert, out);
	if (!is_name(uri) || str_starts(uri, STR("CN=")))
		return false;
	buf_str(out, uri);
	return true;
}
