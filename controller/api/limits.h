/*
 * Rates: how many requests a second a subject, a tenant, or a network that shows
 * no valid token may make.
 *
 * A bucket holds 'burst' requests and is filled at 'rate'.  It is kept as one
 * number, the time at which it will be full again (GCRA, ITU-T I.371), so a
 * request costs one exchange of one word, and all loops of a node share the
 * buckets without a lock: divided among loops, a client with one connection
 * would have a share of its rate only.  Nodes count each for itself.
 *
 * The tables are of fixed size.  A bucket that is full again says nothing and may
 * be replaced; where all of a set are in use, newcomers share one bucket.  So
 * whoever comes under many names pushes nobody out and gains nothing.
 *
 * Any thread.
 */
#ifndef API_LIMITS_H
#define API_LIMITS_H

#include "base/buf.h"

enum limit_of {
	LIMIT_SUBJECT,
	LIMIT_TENANT,
	LIMIT_ADDRESS,                   /* requests without a valid token */
	LIMIT__COUNT,
};

struct limits_rate {
	uint64_t rate;                   /* requests in 'period_s'; 0: no limit */
	uint64_t burst;                  /* at once; 1.. */
	unsigned period_s;               /* 0 is 1 */
};

struct limits;

struct limits *limits_new(const struct limits_rate rates[LIMIT__COUNT]);
void limits_free(struct limits **limits);

/* Takes one request off the bucket of 'who'.  False: it is empty, and
 * '*wait_ns' is how long until it is not. */
bool limits_take(struct limits *l, enum limit_of of, struct str who,
		 uint64_t now_ns, uint64_t *wait_ns);
/* As limits_take, and takes nothing. */
bool limits_has(struct limits *l, enum limit_of of, struct str who,
		uint64_t now_ns, uint64_t *wait_ns);
bool limits_is_on(const struct limits *l, enum limit_of of);
/* A wait as Retry-After has it: whole seconds, one at least, a day at most. */
unsigned limits_retry_s(uint64_t wait_ns);
/* The rate's header fields of an answer 429: its name, burst, seconds. */
void limits_policy(const struct limits *l, enum limit_of of, struct buf *out);
/* How often it said no. */
uint64_t limits_refused(const struct limits *l, enum limit_of of);
const char *limits_name(enum limit_of of);

/* The network that stands for an address: itself, or a /64 of IPv6. */
void limits_network(struct buf *out, const char *host);

/* Tokens that were valid lately, by where they came from: these are let pass
 * where others of the same network guess.  The newest some thousand. */
void limits_know(struct limits *l, struct str token, struct str network);
bool limits_knows(const struct limits *l, struct str token, struct str network);

#endif
