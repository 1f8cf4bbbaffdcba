/*
 * Pages of other origins (RFC 6454): whether a browser may let them ask this server, and
 * what it is told of that (Fetch, "CORS protocol").  server.allowed_origins is the list;
 * without one all is as if nobody had heard of other origins.
 *
 * Two things are at stake.  A page may read what it asked for only where the answer names
 * its origin.  And a browser adds a certificate to whatever a page asks, also where the
 * page may not read the answer: a request whose only credential is one is refused when it
 * comes from a page of an origin that is not trusted by name, as is one that needs no
 * credential and changes something.  A token is the page's own: nobody else's page has it.
 */
#ifndef API_ORIGIN_H
#define API_ORIGIN_H

#include "http/server/server.h"

enum origin {
	ORIGIN_NONE,                     /* no page asks, or it is not said which */
	ORIGIN_OWN,                      /* a page of this server */
	ORIGIN_LISTED,                   /* by name */
	ORIGIN_ANY,                      /* only because of "*" */
	ORIGIN_FOREIGN,
};

/* Is 'list' words of "scheme://host[:port]" or "*", separated by commas?  E_INVALID. */
enum code origin_check(struct str list, struct err *err) MUST_USE;

/* ---- of a request; its loop ---- */
enum origin origin_of(const struct request *r);
/* May the browser's own credentials stand for the user there? */
bool origin_is_trusted(const struct request *r);
/* The lines of an answer, whatever it will be, that a page's browser looks for. */
void origin_add_headers(struct request *r);
/* Answers a preflight; false: it is none. */
bool origin_preflight(struct request *r);

#endif
