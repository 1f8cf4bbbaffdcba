/*
 * One connection to a server and one question at a time on it: HTTP/1.1 over TCP or
 * TLS, never waiting.  A stream is an answer whose body is handed on as it comes.
 *
 * A link is looked at by link_step whenever its descriptor or its time says so.  One
 * thread.  What it says of failures is a struct cfx_error with the address in it.
 */
#ifndef CLIENT_SDK_LINK_H
#define CLIENT_SDK_LINK_H

/* It has an enum of a name of ours. */
#define http_method http_parser_method
#include <http_parser.h>
#undef http_method
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "client/sdk/doc.h"

#define ENDPOINTS_MAX 16
#define ADDRESSES_MAX 8
#define ANSWER_TEXT_MAX 4096

struct endpoint {
	char name[256];                  /* "https://a:8443" */
	char authority[256];             /* "a:8443", "[::1]:80" */
	char host[256], port[8];         /* without brackets */
	bool is_tls, is_numeric;
	int64_t not_before_ms;           /* it asked to be left alone */
};

/* "http://a:8080,https://b": CFX_E_USAGE. */
enum cfx_code endpoints_parse(const char *list, struct endpoint *out,
			      unsigned *n, struct cfx_error *error) MUST_USE;

/* ---- names to addresses: lookup.c ---- */

struct lookup;
struct address_list {
	struct sockaddr_storage at[ADDRESSES_MAX];
	socklen_t n_bytes[ADDRESSES_MAX];
	unsigned n;
};

/* In a thread of its own, which may outlive the client; 'wake' (an eventfd) is written
 * when it is done. */
enum cfx_code lookup_start(const struct endpoint *of, int wake, struct lookup **out,
			   struct cfx_error *error) MUST_USE;
/* False: not yet.  '*rc' is what came of it. */
bool lookup_done(struct lookup *lookup, struct address_list *out,
		 enum cfx_code *rc, struct cfx_error *error);
void lookup_free(struct lookup **lookup);        /* also before it is done */
/* Without a thread; false: 'of' is a name. */
bool lookup_numeric(const struct endpoint *of, struct address_list *out);

/* ---- TLS: tls.c ---- */

struct tls_setup {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
};

enum cfx_code tls_setup_init(struct tls_setup *tls,
			     const struct cfx_options *options,
			     struct cfx_error *error) MUST_USE;
void tls_setup_fini(struct tls_setup *tls);
/* A session on 'fd', which stays the caller's. */
enum cfx_code tls_new(const struct tls_setup *tls, const struct endpoint *to,
		      int fd, SSL **out, struct cfx_error *error) MUST_USE;
/* What OpenSSL has to say; clears it. */
enum cfx_code tls_fail(struct cfx_error *error, SSL *ssl, const char *what);

/* ---- links ---- */

/* What links of a client share. */
struct net {
	heap heap;
	struct tls_setup tls;            /* ctx NULL: none is needed */
	int epoll, wake;
	unsigned connect_ms;
};

struct answer {
	int status;
	char etag[80], content_type[64], signature[256], release[RELEASE_MAX];
	uint64_t version, revision;
	unsigned retry_after_s;
	bool has_revision;
	struct bytes body;
	/* Where keeps_all is set: of each header "name\0value\0", as they came. */
	struct bytes lines;
};

enum link_state {
	LINK_CLOSED, LINK_LOOKUP, LINK_CONNECT, LINK_TLS, LINK_SEND, LINK_RECEIVE,
	LINK_IDLE
};
enum link_event { LINK_BUSY, LINK_ANSWERED, LINK_FAILED };

/* Of a stream whose status is 200; false: no memory, or enough. */
typedef bool link_take(void *data, struct str bytes);

struct link {
	struct net *net;
	const struct endpoint *to;
	enum link_state state;
	int fd;
	uint32_t events;                 /* that epoll looks for */
	SSL *ssl;
	struct lookup *lookup;
	struct address_list addresses;
	unsigned address;
	int64_t deadline_ms, connect_by_ms, answer_by_ms;
	unsigned answer_ms, silence_ms;
	struct bytes out;
	size_t sent;
	int send_error;                  /* errno; an answer may still be there */
	http_parser http;
	struct answer answer;
	size_t body_max;
	link_take *take;
	void *take_data;
	char field[32], value[256];
	bool is_head, is_value, is_done, is_too_large, has_stopped, is_again;
	bool is_reused;                  /* kept from an earlier question */
	bool was_sent;                   /* a byte of this question left */
	bool is_garbled;                 /* what came is no HTTP */
	/* The caller's, set after link_init, or before link_ask: all headers are kept
	 * and the body of any answer counts as whole, not of 200 alone; the answer has
	 * no body (to HEAD). */
	bool keeps_all, is_bodiless;
	bool wants_write;
	bool is_spent;                   /* is not for another question */
};

void link_init(struct link *link, struct net *net);
/*
 * Asks: 'request' is a whole one in HTTP/1.1, taken from the caller.  The answer is
 * to be there in 'answer_ms' after the connection, or, where it is large, to go on
 * coming: something within each 'answer_ms', and 16 KiB a second in all.  Of a stream
 * (take is not NULL) its head, and then something each 'silence_ms'.
 */
void link_ask(struct link *link, const struct endpoint *to,
	      struct bytes *request, unsigned answer_ms, size_t body_max,
	      link_take *take, void *data, unsigned silence_ms, int64_t now_ms);
/* What came of it; LINK_ANSWERED once, then the answer stays until the next
 * question.  A stream that ends is answered. */
enum link_event link_step(struct link *link, int64_t now_ms,
			  struct cfx_error *error);
bool link_is_busy(const struct link *link);
/* Closes a kept connection that the server has ended. */
void link_look(struct link *link);
/* The head of a stream is there: answer.status. */
bool link_is_streaming(const struct link *link);
/* When link_step has something to do at the latest; INT64_MAX. */
int64_t link_due(const struct link *link);
void link_close(struct link *link);
void link_fini(struct link *link);

/* link_http.c: begins to read an answer; takes bytes of it (n 0: the end of the
 * stream).  False: it is no HTTP, or too much. */
void link_http_begin(struct link *link);
bool link_http_take(struct link *link, const char *p, size_t n,
		    struct cfx_error *error) MUST_USE;

#endif
