/*
 * TLS contexts (OpenSSL 3): least version 1.2, modern ciphers only, forward
 * secrecy always, no renegotiation, no compression.
 *
 * A context is made once and serves the streams of all loops.  Freeing it does
 * not touch the streams that were made from it.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/str.h"

struct tls_server;
struct tls_client;

/*
 * Reads PEM files: the certificate with its chain, and its key (which must
 * have no passphrase).  'alpn' is a comma-separated list in order of
 * preference ("h2,http/1.1"); NULL or "": no ALPN.  A client that shares no
 * protocol is refused.  'client_ca' may be NULL; else client certificates are
 * asked for and verified when given.
 *
 * E_NOT_FOUND, E_DENIED: a file cannot be read; E_TLS: what it holds is of no
 * use (text and hint say which file and why).
 */
enum code tls_server_new(const char *cert_file, const char *key_file,
			 const char *client_ca, const char *alpn,
			 struct tls_server **out, struct err *err) MUST_USE;
void tls_server_free(struct tls_server **tls);
/* Reads the same files again; on error the old certificate stays.  Any
 * thread: connections that are open keep what they have. */
enum code tls_server_reload(struct tls_server *tls, struct err *err) MUST_USE;
/* Unix seconds when the certificate ends.  Any thread. */
int64_t tls_server_expiry(struct tls_server *tls);

/* 'ca_file' NULL: the system's store.  'alpn' as above.  Errors as above. */
enum code tls_client_new(const char *ca_file, const char *alpn,
			 struct tls_client **out, struct err *err) MUST_USE;
void tls_client_free(struct tls_client **tls);

#endif
