/*
 * A blocking client of the HTTP API: requests over one kept connection, and
 * server sent events.
 *
 * It stands on the connections of libconflux and waits on the calling thread.  One
 * thread at a time.
 *
 * A write has three outcomes: an answer of the server (done or refused), or
 * E_UNCERTAIN where the request may have arrived and no answer came, or one
 * that cannot be read, or that is a proxy's 502 or 504; also where an attempt of it
 * may have arrived and the last one is refused for what is so now (401, 403, 408, 429,
 * 5xx).  Reads, and writes, which all carry an idempotency key,
 * are tried again on a lost connection or a 503; the key stays the same (but see
 * is_once).
 *
 * Of several servers of one cluster the next is asked where one does not
 * answer: no connection (within two seconds), a lost one, no answer in time, a
 * 503, and for reads also a 502 or 504.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "http/wire/http1.h"

struct client;

#define CLIENT_SERVERS_MAX 16

struct client_config {
	/* "http://127.0.0.1:8080", https:// too; several with commas between */
	const char *server;
	struct str token;                /* empty: none */
	const char *ca_file;             /* NULL: the system's authorities */
	unsigned timeout_ms;             /* of one attempt; 0: 30,000 */
	unsigned attempts;               /* at each server; 0: 4 */
	unsigned silence_ms;             /* of a stream; 0: 45,000 */
	/* Called once a second while an answer is waited for; may be NULL. */
	void (*waiting)(void *data, unsigned seconds);
	void *data;
};

/* E_USAGE: as client_new would say of the token. */
enum code client_check_token(struct str token, struct err *err) MUST_USE;
/* Connects with the first request.  E_USAGE: 'server' is no URL of a host and
 * port alone, or 'token' holds what a header cannot; E_TLS,
 * E_NOT_FOUND: 'ca_file'. */
enum code client_new(const struct client_config *config, struct client **out,
		     struct err *err) MUST_USE;
void client_free(struct client **client);
unsigned client_servers(const struct client *client);

struct client_request {
	enum http_method method;
	struct str target;               /* "/path?query", escaped */
	struct str body;
	const char *content_type;        /* NULL: application/json */
	const char *if_match;            /* NULL: none */
	/* Of a write; the client makes one where it is NULL. */
	const char *idempotency_key;
	/* A write that the key does not make safe: it is not sent again where it
	 * may have arrived. */
	bool is_once;
	const char *last_event_id;       /* of client_follow; NULL: none */
	bool wants_signature;            /* of a fetch */
};

struct client_answer {
	int status;
	const struct http_header *headers;
	size_t n_headers;
	struct str body;
};

/*
 * Asks, and waits for the whole answer, whatever its status; it is in 'arena'.
 * E_UNAVAILABLE: no connection; E_UNCERTAIN, E_TIMEOUT: no answer; E_TLS;
 * E_INVALID: the answer to a read is no HTTP.
 */
enum code client_ask(struct client *client, const struct client_request *request,
		     struct arena *arena, struct client_answer *out,
		     struct err *err) MUST_USE;
/*
 * Is the content that a fetch of 'key' was answered with what its hash says, and where
 * 'public_key_file' (PEM, Ed25519; NULL: none is pinned) is given, signed by that in that
 * version?  As libconflux checks it.  E_CORRUPT: it is not; E_USAGE, E_IO: the file.
 */
enum code client_check_content(const struct client *client,
			       const struct client_answer *answer, const char *key,
			       const char *public_key_file, struct err *err) MUST_USE;
/* Waits, as between two attempts. */
void client_pause(struct client *client, unsigned ms);
/* OK below 300; else the code, text and hint that the answer holds.
 * E_UNSUPPORTED: a redirect, which is not followed. */
enum code client_verdict(const struct client_answer *answer, struct err *err)
	MUST_USE;
const struct str *client_header(const struct client_answer *answer,
				const char *name);

/* False: enough. */
typedef bool client_event(void *data, struct str event, struct str id,
			  struct str text);
/*
 * Follows a stream of server sent events until 'each' has enough, the server
 * ends it, or 'timeout_ms' (0: never) have passed: OK.  A refusal is answered
 * as client_verdict would.  E_TIMEOUT: no answer within the client's timeout.
 * E_UNAVAILABLE: the connection was lost, or nothing, no heartbeat either, came
 * for silence_ms; or there is no server behind a proxy.  Where it ends in one of
 * these ways or in a 503, the next call asks the next server.
 */
enum code client_follow(struct client *client,
			const struct client_request *request,
			unsigned timeout_ms, client_event *each, void *data,
			struct err *err) MUST_USE;

/* The next bytes of a body; an error ends it, and is answered. */
typedef enum code client_take(void *data, struct str bytes, struct err *err);
/*
 * Asks, and hands the body on as it comes, of whatever length, in constant
 * memory: OK when it has ended.  Sent once: nothing is tried again, and other
 * servers are asked only where there is no connection.  The answer may take
 * 'head_ms' to begin (it is made first); then silence_ms is as long as nothing
 * may come.  A refusal is answered as client_verdict would.
 */
enum code client_download(struct client *client,
			  const struct client_request *request, unsigned head_ms,
			  client_take *take, void *data, struct err *err)
	MUST_USE;

#endif
