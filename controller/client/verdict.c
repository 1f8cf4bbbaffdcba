/* What answers say: see client.h. */
#include "client/client.h"

#include "doc/format.h"

#include "base/banned.h"

#define CAUSES_SHOWN 5

const struct str *client_header(const struct client_answer *a, const char *name)
{
	return http_header_find(a->headers, a->n_headers, str_of(name));
}

static enum code code_of_slug(struct str slug, int status)
{
	for (unsigned code = 1; code < CODE__MAX; code++)
		if (code_is_known(code) && str_eq(slug, str_of(code_slug(code))))
			return code;
	for (unsigned code = 1; code < CODE__MAX; code++)
		if (code_is_known(code) && code_http(code) == status)
			return code;
	return status >= 500 ? E_FAILED : E_INVALID;
}

/* Followed, a write could lose its method and a token go astray. */
static enum code redirected(const struct client_answer *a, struct err *err)
{
	const struct str *to = client_header(a, "location");

	err_set(err, E_UNSUPPORTED, "the answer is %d and redirects%s%.*s: "
		"nothing was done here", a->status, to ? " to " : "",
		to ? (int)to->n : 0, to ? to->p : "");
	return err_hint(err, "redirects are not followed; --server or "
			"CONFLUX_SERVER name the server itself");
}

/* A Kubernetes Status names what is wrong with an object in its causes. */
static void put_causes(struct buf *out, const struct value *body)
{
	const struct value *causes = value_at(body, "details.causes");

	if (!causes || causes->type != VALUE_ARRAY)
		return;
	for (size_t i = 0; i < causes->a.n; i++) {
		const struct value *c = causes->a.items[i];
		struct str field = value_text_at(c, "field");

		if (i == CAUSES_SHOWN) {
			buf_printf(out, "; and %zu more", causes->a.n - i);
			return;
		}
		buf_z(out, i ? "; " : ": ");
		buf_str(out, field);
		buf_z(out, field.n ? ": " : "");
		buf_str(out, value_text_at(c, "message"));
	}
}

enum code client_verdict(const struct client_answer *a, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF told = BUF_NONE;
	struct value *body = NULL;
	struct str text, hint, slug;
	enum code code;

	if (a->status < 300)
		return OK;
	if (a->status < 400)
		return redirected(a, err);
	if (doc_parse_json(a->body, arena, NULL, &body, NULL) ||
	    body->type != VALUE_OBJECT)
		return err_set(err, code_of_slug(STR_NONE, a->status),
			       "the server answers %d", a->status);
	text = value_text_at(body, "detail");
	if (text.n == 0)
		text = value_text_at(body, "message");
	buf_str(&told, text);
	put_causes(&told, body);
	hint = value_text_at(body, "hint");
	slug = value_text_at(body, "code");
	/* A Kubernetes Status has a number there. */
	if (slug.n == 0 && client_header(a, "x-conflux-code"))
		slug = *client_header(a, "x-conflux-code");
	code = code_of_slug(slug, a->status);
	if (told.n == 0)
		buf_printf(&told, "the server answers %d", a->status);
	err_set(err, code, "%.*s", STR_ARG(buf_view(&told)));
	if (hint.n)
		err_hint(err, "%.*s", STR_ARG(hint));
	return code;
}
