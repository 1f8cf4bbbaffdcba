/*
 * From method and path to a route: a tree of path parts, made once out of the
 * table of routes.  A part that is written out goes before a {name}, and that
 * before a {name...}.  Parts are decoded after they were cut, so an escaped
 * slash stays inside its part.  Immutable after router_new; any thread.
 */
#ifndef HTTP_SERVER_ROUTER_H
#define HTTP_SERVER_ROUTER_H

#include "http/server/server.h"

struct router;

struct router *router_new(const struct route *routes, size_t n);
void router_free(struct router **router);

/*
 * Finds the route of 'path' (still escaped) and fills 'args' (decoded).
 * E_NOT_FOUND; E_METHOD: '*allowed' has a bit for each method there is;
 * E_INVALID: a broken escape.
 */
enum code router_find(const struct router *router, enum http_method method,
		      struct str path, struct arena *arena, struct str args[8],
		      const struct route **out, unsigned *allowed,
		      struct err *err) MUST_USE;

#endif
