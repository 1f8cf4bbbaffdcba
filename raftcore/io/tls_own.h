/* What tls.c gives to tls_conn.c. */
#ifndef IO_TLS_OWN_H
#define IO_TLS_OWN_H

#include <openssl/ssl.h>

#include "io/tls.h"

/* New connections, in their role; the caller frees them. */
SSL *tls_server_ssl(struct tls_server *tls);
SSL *tls_client_ssl(struct tls_client *tls, const char *name);
/* What the peer has shown, for the caller to free; NULL: nothing. */
struct tls_cert *tls_cert_of(SSL *ssl);
/* E_TLS with the first error of OpenSSL's queue, which is emptied. */
enum code tls_err(struct err *err);

#endif
