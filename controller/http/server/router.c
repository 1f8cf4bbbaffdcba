/* The router: see router.h. */
#include "http/server/router.h"

#include "base/mem.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define ARGS_MAX 8
#define METHODS (HTTP_M_OTHER + 1)

struct node {
	struct str text;                 /* of a part that is written out */
	struct node **parts;
	size_t n_parts, cap_parts;
	struct node *any;                /* {name} */
	const struct route *here[METHODS];
	const struct route *rest[METHODS];       /* {name...} */
};

struct router {
	struct arena *arena;
	struct node root;
};

/* ---- making ---- */

static struct node *part_add(struct router *router, struct node *at,
			     struct str text)
{
	struct node *made;

	for (size_t i = 0; i < at->n_parts; i++)
		if (str_eq(at->parts[i]->text, text))
			return at->parts[i];
	made = ANEW(router->arena, struct node);
	made->text = text;
	at->parts = arena_grow(router->arena, at->parts, &at->cap_parts,
			       at->n_parts + 1, sizeof(struct node *));
	at->parts[at->n_parts++] = made;
	return made;
}

static void route_add(struct router *router, const struct route *route)
{
	struct str path = str_from(str_of(route->path), 1);
	struct node *at = &router->root;
	const struct route **slot = NULL;

	while (path.n) {
		struct str part = str_cut(&path, '/');

		if (str_ends(part, STR("...}"))) {
			must(path.n == 0);
			slot = &at->rest[route->method];
		} else if (part.n && part.p[0] == '{') {
			if (!at->any)
				at->any = ANEW(router->arena, struct node);
			at = at->any;
		} else {
			at = part_add(router, at, part);
		}
	}
	if (!slot)
		slot = &at->here[route->method];
	if (!*slot)
		*slot = route;
}

struct router *router_new(const struct route *routes, size_t n)
{
	struct router *router = NEW(struct router);

	router->arena = arena_new(0);
	for (size_t i = 0; i < n; i++)
		route_add(router, &routes[i]);
	return router;
}

void router_free(struct router **router)
{
	if (!*router)
		return;
	arena_free(&(*router)->arena);
	free(*router);
	*router = NULL;
}

/* ---- finding ---- */

struct finding {
	enum http_method method;
	struct str args[ARGS_MAX];
	unsigned n_args;                 /* of what was found */
	unsigned allowed;
};

static const struct route *take(struct finding *f,
				const struct route *const by_method[METHODS],
				unsigned n_args)
{
	f->n_args = n_args;
	for (unsigned m = 0; m < METHODS; m++)
		if (by_method[m])
			f->allowed |= BIT(m);
	return by_method[f->method];
}

/* As str_cut at a slash; parts are so short that a call takes longer than a look. */
static struct str cut_part(struct str *path)
{
	struct str whole = *path;
	size_t n = 0;

	while (n < whole.n && whole.p[n] != '/')
		n++;
	*path = n < whole.n ? str_n(whole.p + n + 1, whole.n - n - 1) : STR_NONE;
	return str_n(whole.p, n);
}

static const struct route *find(struct finding *f, const struct node *at,
				struct str path, unsigned n_args)
{
	const struct route *found = NULL;
	struct str rest = path, part;

	if (!path.p)
		return take(f, at->here, n_args);
	part = cut_part(&rest);
	for (size_t i = 0; i < at->n_parts && !found; i++)
		if (str_eq(at->parts[i]->text, part))
			found = find(f, at->parts[i], rest, n_args);
	if (found || part.n == 0 || n_args == ARGS_MAX)
		return found;
	f->args[n_args] = part;
	if (at->any)
		found = find(f, at->any, rest, n_args + 1);
	if (found)
		return found;
	f->args[n_args] = path;
	return take(f, at->rest, n_args + 1);
}

enum code router_find(const struct router *router, enum http_method method,
		      struct str path, struct arena *arena, struct str args[8],
		      const struct route **out, unsigned *allowed,
		      struct err *err)
{
	struct finding f = { .method = method == HTTP_M_HEAD ? HTTP_M_GET :
				       method };
	struct str below = path.n > 1 ? str_from(path, 1) : STR_NONE;
	const struct route *found = find(&f, &router->root, below, 0);
	bool is_plain;

	*allowed = f.allowed;
	if (!found && f.allowed)
		return err_set(err, E_METHOD, "%s is not supported here",
			       http_method_name(method));
	if (!found)
		return err_set(err, E_NOT_FOUND, "there is nothing at %.*s",
			       STR_ARG(str_first(path, 200)));
	/* Mostly there is nothing to decode. */
	is_plain = str_find(path, '%') == SIZE_MAX && str_find(path, '\0') == SIZE_MAX;
	for (unsigned i = 0; i < f.n_args; i++)
		if (is_plain)
			args[i] = f.args[i];
		else if (!url_decode(arena, f.args[i], false, &args[i]))
			return err_set(err, E_INVALID, "path: a broken escape in "
				       "\"%.*s\"", STR_ARG(str_first(f.args[i], 100)));
	*out = found;
	return OK;
}
