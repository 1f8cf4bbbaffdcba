/* What the files of the watchers share: watchers.c has the orders, sockets.c
 * the sockets and the publisher, h2.c the streams of HTTP/2. */
#ifndef BENCH_WATCHERS_H
#define BENCH_WATCHERS_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdarg.h>

#include "base/buf.h"

#define SERVERS_MAX 8

struct watch {
	uint64_t id, version;            /* heard last */
	uint64_t heard_ns;
	unsigned n_line;
	bool is_open, is_change;
	int32_t stream;
	char line[300];
};

struct socket {
	int fd;
	SSL *ssl;
	void *session;                   /* of nghttp2 */
	struct watch *watches;
	unsigned n_watches, n_asked, n_open;     /* HTTP/2: in that order */
	bool is_up, is_connected, has_head, was_open;
	uint32_t wants;
	struct buf out, head;
};

extern struct load {
	int epoll;
	struct sockaddr_in first[SERVERS_MAX], poster, next;
	unsigned n_first;
	const char *path, *token, *post, *instances;
	SSL_CTX *tls;
	unsigned n, streams, opening;
	struct watch *watches;
	struct socket *sockets, **again; /* again: to be opened */
	size_t n_again, open, losses;
	uint64_t newest, first_version, waits_for, began_ns, lost_ns, events;
	uint32_t *took;                  /* microseconds */
	size_t n_took;
	bool save;
	struct buf saved;
} load;

#define SOCKET_LOST (-1)
#define SOCKET_LATER (-2)

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void watch_take(struct watch *w, const char *p, size_t n);

/* ---- sockets.c ---- */
void address_read(const char *text, struct sockaddr_in *out);
SSL_CTX *tls_read(const char *ca_file, bool h2);
void socket_open(struct socket *s, const struct sockaddr_in *to);
/* 1: bytes may go; 0: not yet; -1: lost. */
int socket_handshake(struct socket *s, uint32_t events);
/* Sends what 'out' holds, as far as it goes. */
void socket_flush(struct socket *s);
ssize_t socket_read(struct socket *s, char *p, size_t n);
void socket_close(struct socket *s);
/* Posts content that is new each time; blocks only until it is sent. */
void poster_send(uint64_t salt);
/* The answer was 2xx. */
void poster_check(void);

/* ---- h2.c ---- */
void h2_begin(struct socket *s);
void h2_take(struct socket *s, const char *p, size_t n);
void h2_end(struct socket *s);

#endif
