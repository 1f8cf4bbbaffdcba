/*
 * The TLS half of one connection as a pure transformation: bytes from the wire
 * in, plain bytes out, and the other way round.  It knows no socket and calls
 * nobody.  One thread at a time.
 *
 * tls_conn_feed lends it bytes from the wire; handshake and read consume them.
 * What it wants to send is appended to 'wire', which the caller sends after
 * each call, also after a failure (an alert tells the peer why).
 */
#ifndef IO_TLS_CONN_H
#define IO_TLS_CONN_H

#include "base/buf.h"
#include "io/tls.h"

struct tls_conn;

/* The most that one record carries. */
#define TLS_RECORD_BYTES 16384u

enum tls_step {
	TLS_DONE,               /* handshake over, or bytes were read */
	TLS_MORE,               /* needs more from the wire */
	TLS_END,                /* the peer said that it sends no more */
	TLS_FAILED,             /* 'err' (E_TLS) says why; the end of it */
};

struct tls_conn *tls_conn_server(struct tls_server *tls, struct buf *wire);
/* 'name' is a host name or an address; the certificate must be for it. */
struct tls_conn *tls_conn_client(struct tls_client *tls, const char *name,
				 struct buf *wire);
void tls_conn_free(struct tls_conn **conn);

/* 'bytes' are read in place until consumed; tls_conn_left is what remains. */
void tls_conn_feed(struct tls_conn *conn, struct str bytes);
struct str tls_conn_left(const struct tls_conn *conn);

enum tls_step tls_conn_handshake(struct tls_conn *conn, struct err *err);
/* Reads up to 'cap' plain bytes into 'out'; '*n' is set on TLS_DONE. */
enum tls_step tls_conn_read(struct tls_conn *conn, char *out, size_t cap,
			    size_t *n, struct err *err);
/* Enciphers all of 'bytes' (at most TLS_RECORD_BYTES) as one record.  E_TLS. */
enum code tls_conn_write(struct tls_conn *conn, struct str bytes,
			 struct err *err) MUST_USE;
/* The same, but the record is not appended to 'wire' and goes to 'sink' from where
 * OpenSSL has made it, during the call; what 'wire' holds comes before it. */
typedef void tls_sink(void *data, struct str record);
enum code tls_conn_write_to(struct tls_conn *conn, struct str bytes,
			    tls_sink *sink, void *data, struct err *err) MUST_USE;
/* Says that no more will be sent. */
void tls_conn_goodbye(struct tls_conn *conn);
/* NULL: none was agreed on. */
const char *tls_conn_alpn(const struct tls_conn *conn);
/* Of the peer, the caller's; NULL: it has shown none. */
struct tls_cert *tls_conn_cert(const struct tls_conn *conn);

#endif
