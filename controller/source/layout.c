/* Layouts of a repository: see layout.h. */
#include "source/layout.h"

#include "base/hex.h"
#include "schema/check.h"
#include "wire/sum.h"

#include "model/content.h"

#include "base/banned.h"

#define TEMPLATE_DEFAULT STR("{application}/{environment}/{name}")
#define TEMPLATE_MAX 500

/* ---- templates ---- */

static enum code bad_template(struct str text, const char *why, struct err *err)
{
	err_set(err, E_INVALID, "spec.layout.files.pathTemplate \"%.*s\": %s",
		(int)MIN(text.n, (size_t)100), text.p, why);
	return err_hint(err, "for example {application}/{environment}/{name}");
}

static bool piece_of(struct str word, enum layout_piece_type *out)
{
	if (str_is(word, "application"))
		*out = PIECE_APPLICATION;
	else if (str_is(word, "environment"))
		*out = PIECE_ENVIRONMENT;
	else if (str_is(word, "name"))
		*out = PIECE_NAME;
	else
		return false;
	return true;
}

/* Text of '*rest' up to the next brace, or one word in braces. */
static enum code next_piece(struct str text, struct str *rest,
			    struct layout *out, struct err *err)
{
	size_t open = str_find(*rest, '{');
	struct str word;

	if (out->n_pieces == LAYOUT_PIECES)
		return bad_template(text, "it has too many parts", err);
	if (open != 0) {
		word = str_first(*rest, MIN(open, rest->n));
		*rest = str_from(*rest, word.n);
		out->pieces[out->n_pieces].type = PIECE_TEXT;
		out->pieces[out->n_pieces++].text = word;
		return OK;
	}
	if (str_find(*rest, '}') == SIZE_MAX)
		return bad_template(text, "a brace is not closed", err);
	*rest = str_from(*rest, 1);
	word = str_cut(rest, '}');
	if (!piece_of(word, &out->pieces[out->n_pieces].type))
		return bad_template(text, "only {application}, {environment} "
					  "and {name} are known", err);
	out->pieces[out->n_pieces++].text = word;
	return OK;
}

static enum code check_pieces(struct str text, const struct layout *l,
			      struct err *err)
{
	unsigned seen[4] = { 0 };

	for (size_t i = 0; i < l->n_pieces; i++) {
		enum layout_piece_type type = l->pieces[i].type;

		seen[type]++;
		if (i && type != PIECE_TEXT && l->pieces[i - 1].type != PIECE_TEXT)
			return bad_template(text, "two parts stand side by side",
					    err);
		if (type == PIECE_NAME && i + 1 != l->n_pieces)
			return bad_template(text, "{name} must be the end", err);
	}
	if (seen[PIECE_APPLICATION] != 1 || seen[PIECE_ENVIRONMENT] != 1 ||
	    seen[PIECE_NAME] != 1)
		return bad_template(text, "{application}, {environment} and "
					  "{name} are each needed once", err);
	return OK;
}

enum code layout_template(struct str text, struct arena *arena,
			  struct layout *out, struct err *err)
{
	struct str rest = arena_str(arena, text);
	enum code rc = OK;

	*out = (struct layout){ .type = LAYOUT_FILES };
	if (text.n > TEMPLATE_MAX)
		return bad_template(text, "it is too long", err);
	if (str_starts(text, STR("/")))
		return bad_template(text, "it begins with a '/'", err);
	while (rest.n && rc == OK)
		rc = next_piece(text, &rest, out, err);
	return rc ? rc : check_pieces(text, out, err);
}

/* "./a/b/" to "a/b". */
static struct str plain_path(struct str path)
{
	for (;;) {
		if (str_starts(path, STR("./")))
			path = str_from(path, 2);
		else if (str_starts(path, STR("/")))
			path = str_from(path, 1);
		else if (str_ends(path, STR("/")))
			path.n--;
		else
			return str_is(path, ".") ? STR("") : path;
	}
}

enum code layout_of_spec(const struct value *spec, struct arena *arena,
			 struct layout *out, struct err *err)
{
	const struct value *files = value_at(spec, "layout.files");
	const struct value *manifests = value_at(spec, "layout.manifests");
	struct str text = value_text_at(spec, "layout.files.pathTemplate");

	if (files && manifests)
		return err_set(err, E_INVALID, "spec.layout: files and manifests "
					       "cannot both be given");
	if (!manifests)
		return layout_template(text.n ? text : TEMPLATE_DEFAULT, arena,
				       out, err);
	*out = (struct layout){ .type = LAYOUT_MANIFESTS };
	out->path = plain_path(arena_str(arena, value_text_at(
				       spec, "layout.manifests.path")));
	return OK;
}

static struct str *part_of(struct address *at, enum layout_piece_type type)
{
	return type == PIECE_APPLICATION ? &at->application :
	       type == PIECE_ENVIRONMENT ? &at->environment : &at->name;
}

/* Takes one piece off the front of '*rest'; a captured part ends where the
 * text behind it begins, and never crosses a '/'. */
static bool match_piece(const struct layout *l, size_t i, struct str *rest,
			struct address *out)
{
	struct str part = *rest;
	size_t end;

	if (l->pieces[i].type == PIECE_TEXT) {
		if (!str_starts(*rest, l->pieces[i].text))
			return false;
		*rest = str_from(*rest, l->pieces[i].text.n);
		return true;
	}
	if (i + 1 < l->n_pieces) {
		end = str_find_str(*rest, l->pieces[i + 1].text);
		if (end == SIZE_MAX)
			return false;
		part = str_first(*rest, end);
		if (str_find(part, '/') != SIZE_MAX)
			return false;
	}
	*part_of(out, l->pieces[i].type) = part;
	*rest = str_from(*rest, part.n);
	return true;
}

bool layout_match(const struct layout *l, struct str tenant, struct str path,
		  struct address *out)
{
	struct str rest = path;

	*out = (struct address){ .tenant = tenant };
	for (size_t i = 0; i < l->n_pieces; i++)
		if (!match_piece(l, i, &rest, out))
			return false;
	return address_check(out, NULL) == OK;
}

bool layout_is_manifest(const struct layout *l, struct str path)
{
	if (l->path.n && (!str_starts(path, l->path) || path.n <= l->path.n ||
			  path.p[l->path.n] != '/'))
		return false;
	return str_ends(path, STR(".yaml")) || str_ends(path, STR(".yml")) ||
	       str_ends(path, STR(".json"));
}

/* ---- content ---- */

/* Whatever a file does wrong is one code: the source cannot be applied. */
static enum code in_file(struct str path, struct err *err)
{
	struct err local = { 0 };
	struct err *e = err ? err : &local;

	err_wrap(e, "%.*s", (int)MIN(path.n, (size_t)250), path.p);
	e->code = E_UNPROCESSABLE;
	return E_UNPROCESSABLE;
}

enum code layout_check(struct str path, enum format format, struct str content,
		       struct arena *arena, const struct doc_limits *limits,
		       struct value **out, struct err *err)
{
	return content_check(format, content, arena, limits, out, err) ?
		in_file(path, err) : OK;
}

/* ---- manifests ---- */

static enum code at_line(const struct value *at, const char *what,
			 struct str word, struct err *err)
{
	return err_set(err, E_UNPROCESSABLE, "line %u: %s%s%.*s%s",
		       at ? at->line : 0, what, word.n ? " \"" : "",
		       (int)MIN(word.n, (size_t)100), word.p ? word.p : "",
		       word.n ? "\"" : "");
}

static enum code kind_of(const struct value *doc, const struct kind **out,
			 struct err *err)
{
	struct str api = value_text(value_getz(doc, "apiVersion"));
	struct str name = value_text(value_getz(doc, "kind"));
	const struct kind *kind = kind_by_name(name);

	if (doc->type != VALUE_OBJECT)
		return at_line(doc, "the document is no object", STR(""), err);
	if (!str_is(api, API_GROUP_VERSION)) {
		at_line(doc, "unknown apiVersion", api, err);
		return err_hint(err, "manifests here have apiVersion %s",
				API_GROUP_VERSION);
	}
	if (!kind)
		return at_line(doc, "unknown kind", name, err);
	if (kind->id != KIND_APPLICATION && kind->id != KIND_ENVIRONMENT &&
	    kind->id != KIND_CONFIG) {
		at_line(doc, "a source may not write the kind", name, err);
		return err_hint(err, "a source writes Application, Environment "
				     "and ConfluxConfig");
	}
	*out = kind;
	return OK;
}

/* The namespace is the source's own, said or not. */
static enum code own_namespace(struct value *doc, struct str tenant,
			       struct arena *arena, struct err *err)
{
	struct value *meta = value_getz(doc, "metadata");
	const struct value *ns = value_getz(meta, "namespace");

	if (!meta || meta->type != VALUE_OBJECT)
		return at_line(doc, "metadata is missing", STR(""), err);
	if (ns && !str_eq(value_text(ns), tenant)) {
		at_line(ns, "a source may not write the namespace",
			value_text(ns), err);
		return err_hint(err, "leave metadata.namespace out, or set it "
				     "to %.*s", STR_ARG(tenant));
	}
	value_setz(arena, meta, "namespace", value_str(arena, tenant));
	return OK;
}

static enum code check_doc(const struct kind *kind, struct value *doc,
			   struct arena *arena, struct err *err)
{
	struct check check = { 0 };
	enum code rc = check_object(kind, doc, arena, &check, err);
	const struct cause *cause = check.causes;

	if (check.n_causes)
		return err_set(err, E_UNPROCESSABLE, "line %u: %.*s: %.*s%s",
			       cause->line ? cause->line : doc->line,
			       STR_ARG(cause->field),
			       (int)MIN(cause->message.n, (size_t)200),
			       cause->message.p,
			       check.n_causes > 1 ? " (and more)" : "");
	if (rc)
		return rc;
	if (check.n_unknown)
		return at_line(doc, "unknown field", check.unknown[0], err);
	return OK;
}

static struct str canonical(struct arena *arena, const struct value *v)
{
	AUTO_BUF b = BUF_NONE;

	if (!v)
		return STR("{}");
	value_canonical(&b, v);
	return arena_str(arena, buf_view(&b));
}

/* What else metadata holds: all that has no field of its own in a row. */
static struct str meta_text(struct arena *arena, struct value *meta)
{
	static const char *const own[] = { "name", "namespace", "labels", "uid",
					   "resourceVersion", "generation",
					   "creationTimestamp" };

	meta = value_dup(arena, meta);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		value_remove(meta, str_of(own[i]));
	return canonical(arena, meta);
}

static enum code config_of(struct value *spec, struct str tenant,
			   struct manifest *m, struct err *err)
{
	const struct value *content = value_getz(spec, "content");
	struct str format = value_text(value_getz(spec, "format"));
	struct str name = value_text(value_getz(spec, "name"));

	m->at = (struct address){
		.tenant = tenant, .name = name.n ? name : m->name,
		.application = value_text(value_getz(spec, "application")),
		.environment = value_text(value_getz(spec, "environment")),
	};
	if (format.n && !format_parse_name(format, &m->format))
		return at_line(value_getz(spec, "format"), "unknown format",
			       format, err);
	if (!format.n)
		m->format = format_of_path(m->at.name);
	m->has_content = content != NULL;
	m->content = value_text(content);
	value_remove(spec, STR("content"));
	return address_check(&m->at, err);
}

static enum code one_manifest(struct value *doc, struct str tenant,
			      struct arena *arena,
			      const struct doc_limits *limits,
			      struct manifest *m, struct err *err)
{
	const struct kind *kind = NULL;
	struct value *spec, *meta;
	enum code rc = kind_of(doc, &kind, err);

	*m = (struct manifest){ .line = doc->line };
	if (rc == OK)
		rc = own_namespace(doc, tenant, arena, err);
	if (rc == OK)
		rc = check_doc(kind, doc, arena, err);
	if (rc)
		return rc;
	meta = value_getz(doc, "metadata");
	spec = value_getz(doc, "spec");
	m->kind = kind->id;
	m->name = value_text(value_getz(meta, "name"));
	if (kind->id == KIND_CONFIG)
		rc = config_of(spec, tenant, m, err);
	if (rc == OK && m->has_content)
		rc = layout_check(m->name, m->format, m->content, arena, limits,
				  NULL, err);
	m->labels = canonical(arena, value_getz(meta, "labels"));
	m->meta = meta_text(arena, meta);
	m->spec = canonical(arena, spec);
	return rc;
}

enum code layout_manifests(struct str path, struct str tenant,
			   struct str content, struct arena *arena,
			   const struct doc_limits *limits, manifest_cb *each,
			   void *data, struct err *err)
{
	struct doc_place place;
	struct value *docs = NULL;

	if (doc_parse_stream(content, arena, limits, &docs, &place, err))
		return in_file(path, err);
	for (size_t i = 0; i < docs->a.n; i++) {
		struct manifest m;
		enum code rc;

		rc = one_manifest(docs->a.items[i], tenant, arena, limits, &m, err);
		if (rc)
			rc = in_file(path, err);
		rc = each(data, rc ? NULL : &m, err);
		if (rc)
			return rc;
	}
	return OK;
}

/* ---- objects that paths name ---- */

struct str layout_application_name(struct arena *arena, struct str application)
{
	struct sha256 digest = sha256_of(application);
	char text[ADDRESS_PART_MAX + 1], hex[9];
	size_t n = 0;

	if (is_dns_subdomain(application))
		return application;
	for (size_t i = 0; i < application.n && n < sizeof(text) - 1; i++) {
		char c = application.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			c = '-';
		text[n++] = c;
	}
	text[n] = '\0';
	hex_text(hex, digest.b, 4);
	return arena_printf(arena, "%s-%s", text, hex);
}

enum code layout_default_spec(enum kind_id kind, struct str tenant,
			      struct str name, struct value *spec,
			      struct arena *arena, struct str *out,
			      struct err *err)
{
	const struct kind *k = kind_by_id(kind);
	struct value *doc = value_object(arena);
	struct value *meta = value_object(arena);
	enum code rc;

	value_setz(arena, doc, "apiVersion",
		   value_str(arena, STR(API_GROUP_VERSION)));
	value_setz(arena, doc, "kind", value_str(arena, k->name));
	value_setz(arena, meta, "name", value_str(arena, name));
	value_setz(arena, meta, "namespace", value_str(arena, tenant));
	value_setz(arena, doc, "metadata", meta);
	value_setz(arena, doc, "spec", spec);
	rc = check_doc(k, doc, arena, err);
	if (rc == OK)
		*out = canonical(arena, value_getz(doc, "spec"));
	return rc;
}
