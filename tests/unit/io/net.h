/*
 * What the tests of streams share: a loop that is stepped until something has
 * happened, a recorder for each end of a connection, peers of another make
 * (blocking sockets and plain OpenSSL on a thread of their own), and
 * certificates.
 */
#ifndef TESTS_IO_NET_H
#define TESTS_IO_NET_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/buf.h"
#include "io/stream.h"
#include "unit.h"

/* ---- the loop ---- */

extern struct loop *loop;

void net_step(void);
/* Steps until it holds; fails the test after 20 seconds. */
#define WAIT(cond)                                                            \
	do {                                                                  \
		uint64_t until_ = uv_hrtime() + 20000000000u;                 \
		while (!(cond)) {                                             \
			net_step();                                           \
			ck_assert_msg(uv_hrtime() < until_, "in vain: " #cond);\
		}                                                             \
	} while (0)

/* ---- ends ---- */

struct end {
	struct stream *s;               /* NULL once closed */
	struct buf got;
	int data, opened, eof, drained, closed;
	struct err err;                 /* of on_close */
	/* What the test wants done; each may be NULL. */
	void (*on_data)(struct end *end, struct str bytes);
	void (*on_eof)(struct end *end);
	void (*on_open)(struct end *end);
	void (*on_drain)(struct end *end);
	bool quiet;                     /* does not keep what it gets */
};

extern const struct stream_ops end_ops;
void end_send(struct end *end, struct str bytes);
/* What it got, in all, is this. */
bool got(const struct end *end, struct str want);
void end_fini(struct end *end);

/* The two ends of one connection, or the server's alone. */
struct net {
	struct listener *listener;
	struct stream_addr addr;
	struct end server, client;
	int accepted;
	struct tls_server *tls_server;
	struct tls_client *tls_client;
};

extern struct net net;

/* Fixtures: 'net' is empty and 'loop' new.  The end checks that both ends were
 * told of their close once. */
void net_setup(void);
void net_teardown(void);

/* Listens on 127.0.0.1, with TLS or without; takes one connection at a time
 * into net.server. */
void net_listen(bool tls);
/* Connects net.client and waits until both ends are there. */
void net_connect(void);
/* As both, and waits until both are open. */
void net_pair(bool tls);

/* ---- raw peers ---- */

struct raw {
	pthread_t thread;
	void (*run)(struct raw *raw);
	int fd;                         /* connected, blocking */
	SSL *ssl;                       /* made by raw_handshake */
	const char *cert, *key;         /* shown to the server, or NULL */
	int max_version;                /* of TLS; 0: any */
	const char *alpn;               /* in wire form, or NULL */
	struct buf got;
	int handshake;                  /* SSL_connect's answer */
	int end;                        /* read's last answer, errno when -1 */
	int end_errno;
	_Atomic bool done;
};

/* A blocking socket that is connected to net.addr. */
int net_dial(void);
/* Connects to net.addr and runs 'run' on a thread. */
void raw_start(struct raw *raw, void (*run)(struct raw *raw));
void raw_join(struct raw *raw);
bool raw_handshake(struct raw *raw);
void raw_send(struct raw *raw, const void *p, size_t n);
/* Reads into 'got' until the end. */
void raw_read_all(struct raw *raw);

/* ---- certificates ---- */

/* Fixtures around all tests: make and remove them. */
void certs_setup(void);
void certs_teardown(void);
/* Path of a file among them: "ca.pem"; "server.pem", "server.key" for
 * localhost, conflux.test and 127.0.0.1; "second.pem", "second.key" likewise;
 * "client.pem", "client.key", and "node" for URIs, all by the CA; "stranger.pem", "stranger.key" by
 * itself.  Static memory, sixteen in turn. */
const char *cert(const char *name);

#endif
