/*
 * TLS of links: OpenSSL over a descriptor, with MSG_NOSIGNAL, because a library
 * changes no one's SIGPIPE.  Servers are verified by name or address, always.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "client/sdk/own.h"

#include "base/banned.h"

enum cfx_code tls_fail(struct cfx_error *error, SSL *ssl, const char *what)
{
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	unsigned long no = ERR_peek_last_error();
	const char *reason = no ? ERR_reason_error_string(no) : NULL;
	bool is_memory = no && ERR_GET_REASON(no) == ERR_R_MALLOC_FAILURE;

	ERR_clear_error();
	if (is_memory)
		return cfx_no_memory(error);
	if (verdict != X509_V_OK)
		reason = X509_verify_cert_error_string(verdict);
	return cfx_fail(error, CFX_E_TLS, "%s: %s", what,
			reason ? reason : "the connection ended");
}

/* ---- the descriptor ---- */

static int fd_of(BIO *bio)
{
	return (int)(intptr_t)BIO_get_data(bio);
}

static int bio_result(BIO *bio, ssize_t n, int retry)
{
	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	return (int)n;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	return bio_result(bio, send(fd_of(bio), p, (size_t)n, MSG_NOSIGNAL),
			  BIO_FLAGS_WRITE);
}

static int bio_read(BIO *bio, char *p, int n)
{
	ssize_t got = recv(fd_of(bio), p, (size_t)n, 0);

	if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return bio_result(bio, got, BIO_FLAGS_READ);
}

static long bio_ctrl(BIO *bio, int cmd, long n, void *p)
{
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "libconflux");

	if (m && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_read(m, bio_read) && BIO_meth_set_ctrl(m, bio_ctrl) &&
	    BIO_meth_set_create(m, bio_create))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- setup ---- */

static enum cfx_code add_identity(SSL_CTX *ctx, const struct cfx_options *o,
				  struct cfx_error *error)
{
	if (!o->cert_file && !o->key_file)
		return CFX_OK;
	if (!o->cert_file || !o->key_file)
		return cfx_fail(error, CFX_E_USAGE, "cert_file and key_file go "
				"together");
	if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
		return tls_fail(error, NULL, "cert_file");
	if (SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1)
		return tls_fail(error, NULL, "key_file");
	return CFX_OK;
}

/* A key with a pass phrase is refused: nobody is asked at a terminal. */
static int no_pass_phrase(char *p, int n, int rw, void *data)
{
	return -1;
}

/* Was memory short somewhere, although what was called says that all is well?  An
 * authority may be missing then. */
static bool was_short(void)
{
	unsigned long no;
	bool was = false;

	while ((no = ERR_get_error()))
		was |= ERR_GET_REASON(no) == ERR_R_MALLOC_FAILURE;
	return was;
}

enum cfx_code tls_setup_init(struct tls_setup *tls, const struct cfx_options *o,
			     struct cfx_error *error)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	SSL_CTX *ctx;

	ERR_clear_error();
	tls->bio = bio_method();
	tls->ctx = ctx = tls->bio ? SSL_CTX_new(TLS_client_method()) : NULL;
	if (!ctx) {
		ERR_clear_error();
		return cfx_no_memory(error);
	}
	SSL_CTX_set_default_passwd_cb(ctx, no_pass_phrase);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
			      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			      SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0)
		return tls_fail(error, NULL, "TLS");
	if (o->ca_file ? SSL_CTX_load_verify_file(ctx, o->ca_file) != 1 :
			 SSL_CTX_set_default_verify_paths(ctx) != 1)
		return tls_fail(error, NULL, o->ca_file ? "ca_file" :
				"the system's authorities");
	if (was_short())
		return cfx_no_memory(error);
	return add_identity(ctx, o, error);
}

void tls_setup_fini(struct tls_setup *tls)
{
	SSL_CTX_free(tls->ctx);
	BIO_meth_free(tls->bio);
	*tls = (struct tls_setup){ 0 };
}

static bool expect(SSL *ssl, const struct endpoint *to)
{
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (to->is_numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
						     to->host) == 1;
	return SSL_set1_host(ssl, to->host) == 1 &&
	       SSL_set_tlsext_host_name(ssl, to->host) == 1;
}

enum cfx_code tls_new(const struct tls_setup *tls, const struct endpoint *to,
		      int fd, SSL **out, struct cfx_error *error)
{
	SSL *ssl;
	BIO *bio;

	ERR_clear_error();
	ssl = SSL_new(tls->ctx);
	bio = ssl ? BIO_new(tls->bio) : NULL;
	if (!bio || !expect(ssl, to)) {
		BIO_free(bio);
		SSL_free(ssl);
		ERR_clear_error();
		return cfx_no_memory(error);
	}
	BIO_set_data(bio, (void *)(intptr_t)fd);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_connect_state(ssl);
	*out = ssl;
	return CFX_OK;
}
