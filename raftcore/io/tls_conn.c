/*
 * One TLS connection between two buffers.
 *
 * OpenSSL reads and writes through a BIO of our own that lies directly on the
 * bytes which came from the socket and on the buffer that goes to it, or on the
 * socket itself: no copy and no allocation on the way.
 */
#include "io/tls_conn.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "base/mem.h"
#include "io/tls_own.h"

#include "base/banned.h"

struct tls_conn {
	SSL *ssl;
	struct str in;          /* from the wire, not consumed yet */
	struct buf *wire;       /* to the wire */
	tls_sink *sink;         /* what is written goes there; NULL: to 'wire' */
	void *sink_data;
	char alpn[16];
	bool failed;            /* nothing may be asked of 'ssl' any more */
};

/* ---- the BIO ---- */

static int wire_read(BIO *bio, char *out, int n)
{
	struct tls_conn *conn = BIO_get_data(bio);
	size_t take = MIN(conn->in.n, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, conn->in.p, take);
	conn->in = str_from(conn->in, take);
	return (int)take;
}

static int wire_write(BIO *bio, const char *p, int n)
{
	struct tls_conn *conn = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (conn->sink)
		conn->sink(conn->sink_data, str_n(p, (size_t)n));
	else
		buf_add(conn->wire, p, (size_t)n);
	return n;
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire_method;
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

static void wire_method_make(void)
{
	wire_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
				   "wire");
	must(wire_method);
	BIO_meth_set_read(wire_method, wire_read);
	BIO_meth_set_write(wire_method, wire_write);
	BIO_meth_set_ctrl(wire_method, wire_ctrl);
}

/* ---- life ---- */

static struct tls_conn *conn_new(SSL *ssl, struct buf *wire)
{
	struct tls_conn *conn = NEW(struct tls_conn);
	BIO *bio;

	pthread_once(&wire_once, wire_method_make);
	bio = BIO_new(wire_method);
	must(bio);
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	conn->ssl = ssl;
	conn->wire = wire;
	return conn;
}

struct tls_conn *tls_conn_server(struct tls_server *tls, struct buf *wire)
{
	return conn_new(tls_server_ssl(tls), wire);
}

struct tls_conn *tls_conn_client(struct tls_client *tls, const char *name,
				 struct buf *wire)
{
	return conn_new(tls_client_ssl(tls, name), wire);
}

void tls_conn_free(struct tls_conn **at)
{
	struct tls_conn *conn = TAKE(*at);

	if (!conn)
		return;
	SSL_free(conn->ssl);
	free(conn);
}

void tls_conn_feed(struct tls_conn *conn, struct str bytes)
{
	conn->in = bytes;
}

struct str tls_conn_left(const struct tls_conn *conn)
{
	return conn->in;
}

/* ---- steps ---- */

static enum tls_step fail(struct tls_conn *conn, struct err *err)
{
	long verify = SSL_get_verify_result(conn->ssl);

	conn->failed = true;
	if (!SSL_is_init_finished(conn->ssl) && verify != X509_V_OK) {
		ERR_clear_error();
		err_set(err, E_TLS, "the peer's certificate: %s",
			X509_verify_cert_error_string(verify));
		return TLS_FAILED;
	}
	tls_err(err);
	err_wrap(err, "TLS");
	return TLS_FAILED;
}

/* What an operation that gave 'rc' and no bytes has come to. */
static enum tls_step step_of(struct tls_conn *conn, int rc, struct err *err)
{
	switch (SSL_get_error(conn->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_END;
	default:
		return fail(conn, err);
	}
}

static void keep_alpn(struct tls_conn *conn)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(conn->ssl, &p, &n);
	str_copy(conn->alpn, sizeof(conn->alpn), str_n(p, n));
}

enum tls_step tls_conn_handshake(struct tls_conn *conn, struct err *err)
{
	int rc;

	must(!conn->failed);
	ERR_clear_error();
	rc = SSL_do_handshake(conn->ssl);
	if (rc != 1)
		return step_of(conn, rc, err);
	keep_alpn(conn);
	return TLS_DONE;
}

enum tls_step tls_conn_read(struct tls_conn *conn, char *out, size_t cap,
			    size_t *n, struct err *err)
{
	int rc;

	must(!conn->failed);
	ERR_clear_error();
	rc = SSL_read_ex(conn->ssl, out, cap, n);
	return rc == 1 ? TLS_DONE : step_of(conn, rc, err);
}

enum code tls_conn_write(struct tls_conn *conn, struct str bytes,
			 struct err *err)
{
	size_t done = 0;

	must(!conn->failed && bytes.n > 0 && bytes.n <= TLS_RECORD_BYTES);
	ERR_clear_error();
	/* The buffer takes everything, so that there is nothing to wait for. */
	if (SSL_write_ex(conn->ssl, bytes.p, bytes.n, &done) == 1 &&
	    done == bytes.n)
		return OK;
	fail(conn, err);
	return E_TLS;
}

enum code tls_conn_write_to(struct tls_conn *conn, struct str bytes,
			    tls_sink *sink, void *data, struct err *err)
{
	enum code rc;

	conn->sink = sink;
	conn->sink_data = data;
	rc = tls_conn_write(conn, bytes, err);
	conn->sink = NULL;
	return rc;
}

void tls_conn_goodbye(struct tls_conn *conn)
{
	if (conn->failed || !SSL_is_init_finished(conn->ssl))
		return;
	ERR_clear_error();
	if (SSL_shutdown(conn->ssl) < 0)
		ERR_clear_error();
}

const char *tls_conn_alpn(const struct tls_conn *conn)
{
	return conn->alpn[0] ? conn->alpn : NULL;
}

struct tls_cert *tls_conn_cert(const struct tls_conn *conn)
{
	return tls_cert_of(conn->ssl);
}
