/*
 * Requests out, to servers that tenants name: webhooks, questions of conditions.
 *
 * Of one tenant at most `most_of_one` run at a time, whatever they are for, and the
 * others wait; tenants of one bucket share that.  So that tenants whose servers hang do
 * not have all turns, a quarter of them is for tenants of which none runs, and who is
 * told of timeouts has half as many each time, down to one.
 *
 *	any thread   asks
 *	own thread   libcurl, as many requests at once as `most`
 *	home loop    is told
 *
 * Names are looked up for each connection, and the address that is connected to is
 * the one that was looked at (egress.h), whatever a name said before.  Redirects are
 * not followed, proxies and cookies of the environment are not used, certificates are
 * verified.  An answer is at most HTTP_OUT_ANSWER_MAX bytes long, its header too.
 */
#ifndef HOOK_HTTP_OUT_H
#define HOOK_HTTP_OUT_H

#include "base/buf.h"
#include "io/loop.h"

#define HTTP_OUT_ANSWER_MAX (64 * 1024)

struct http_out;

struct http_out_config {
	bool allow_private;              /* webhooks.private_hosts */
	const char *ca_file;             /* NULL: the system's */
	unsigned most;                   /* at once; 0: 256 */
	unsigned most_of_one;            /* of one bucket; 0: HTTP_OUT_OF_ONE */
};
#define HTTP_OUT_BUCKETS 251u
#define HTTP_OUT_OF_ONE 32u
/* Of a tenant. */
unsigned http_out_bucket(struct str tenant);

/* E_INVALID: the file of authorities cannot be read; E_BUSY: no thread. */
enum code http_out_new(const struct http_out_config *config,
		       struct http_out **out, struct err *err) MUST_USE;
/* What is under way is told E_CANCELLED, and nothing is taken any more.  Blocking;
 * not from a loop, and before the loops that asks come home to are freed. */
void http_out_stop(struct http_out *out);
/* After the loops, where nothing is told any more. */
void http_out_free(struct http_out **out);

/* Embed it; what is in front of `status` is the asker's, and stays valid until
 * 'done' ran on 'home'.  Then it may be asked again. */
struct http_ask {
	struct loop *home;
	unsigned bucket;                 /* http_out_bucket of whom it is for */
	struct str url;                  /* http or https */
	bool is_post;                    /* else GET */
	struct str body;                 /* of a POST */
	struct str headers;              /* "Name: value\n" of each */
	unsigned timeout_ms;             /* of all of it, from when it is its turn */
	/*
	 * OK: there is an answer, whatever its status.  E_EGRESS: the address is
	 * inside; E_UNAVAILABLE: no name, no connection, no TLS, a broken answer;
	 * E_TIMEOUT; E_TOO_LARGE: a header without end; E_INVALID: the URL;
	 * E_CANCELLED: the node stops.  err says it with the host's name.
	 */
	void (*done)(struct http_ask *ask, enum code rc, const struct err *err);
	unsigned status;                 /* of the answer: 200 */
	struct buf answer;               /* its body; kept until http_ask_fini, or asked
					    again */
	bool is_cut;                     /* there was more of it */
	uint64_t took_ms;
	/* private */
	struct msg msg_;
	struct list at_;
	void *easy_, *list_;
	size_t header_bytes_;
	uint64_t start_ms_;
	bool is_refused_;
	enum code rc_;
	struct err err_;
};
/* Any thread.  False: the node stops ('done' will not run). */
bool http_out_ask(struct http_out *out, struct http_ask *ask) MUST_USE;
/* Any thread.  False: as many of the bucket wait as may run.  What people can ask for
 * as often as they like is refused then. */
bool http_out_has_room(struct http_out *out, unsigned bucket) MUST_USE;
void http_ask_fini(struct http_ask *ask);

#endif
