/*
 * TLS contexts (OpenSSL 3): least version 1.2, modern ciphers only, forward
 * secrecy always, no renegotiation, no compression.
 *
 * A context is made once and serves the streams of all loops.  Freeing it does
 * not touch the streams that were made from it.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/buf.h"

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
/* As tls_server_reload. */
enum code tls_client_reload(struct tls_client *tls, struct err *err) MUST_USE;

/*
 * Both sides of mutual TLS between nodes: version 1.3 only, no resumption, each
 * shows its certificate and refuses a peer whose own does not chain to
 * 'ca_file'.  No name is compared: that is the caller's, with the certificate
 * that stream_peer_cert answers, before the first byte is trusted.  In 1.3 a
 * client is open before the server has looked at its certificate; a refusal
 * comes as an error behind on_open.
 */
enum code tls_server_new_mutual(const char *cert_file, const char *key_file,
				const char *ca_file, struct tls_server **out,
				struct err *err) MUST_USE;
enum code tls_client_new_mutual(const char *cert_file, const char *key_file,
				const char *ca_file, struct tls_client **out,
				struct err *err) MUST_USE;

/* A certificate that a peer has shown and that was verified. */
struct tls_cert;
void tls_cert_free(struct tls_cert **cert);
/* Unix seconds when it ends. */
int64_t tls_cert_expiry(const struct tls_cert *cert);
/* True where it is for this host name or numeric address, by its subject
 * alternative names; a wildcard is a whole label. */
bool tls_cert_is_for(const struct tls_cert *cert, const char *host);
/*
 * What it calls its holder, appended to 'out': the first URI of its subject
 * alternative names, else "CN=" and the common name of its subject, where it has
 * exactly one.  UTF-8 without control bytes, at most TLS_NAME_MAX bytes; false: it
 * has no such name.  No URI begins with "CN=".
 */
#define TLS_NAME_MAX 512
bool tls_cert_name(const struct tls_cert *cert, struct buf *out);
/* The URI number 'i' of its subject alternative names, borrowed from it; false
 * behind the last. */
bool tls_cert_uri(const struct tls_cert *cert, unsigned i, struct str *out);

#endif
