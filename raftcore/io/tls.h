/*
 * TLS contexts (OpenSSL 3): least version 1.2, modern ciphers only.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/str.h"

struct tls_server;
struct tls_client;

/* Reads PEM files.  'alpn' is a comma-separated list in order of preference
 * ("h2,http/1.1").  'client_ca' may be NULL; else client certificates are
 * asked for and verified when given. */
enum code tls_server_new(const char *cert_file, const char *key_file,
			 const char *client_ca, const char *alpn,
			 struct tls_server **out, struct err *err) MUST_USE;
void tls_server_free(struct tls_server **tls);
/* Reads the same files again; on error the old certificate stays.  Any
 * thread: connections that are open keep what they have. */
enum code tls_server_reload(struct tls_server *tls, struct err *err) MUST_USE;
/* Unix seconds when the certificate ends. */
int64_t tls_server_expiry(struct tls_server *tls);

/* 'ca_file' NULL: the system's store. */
enum code tls_client_new(const char *ca_file, const char *alpn,
			 struct tls_client **out, struct err *err) MUST_USE;
void tls_client_free(struct tls_client **tls);

#endif
