/* Templates, content, manifests. */
#include "source/layout.h"

#include "unit.h"

#include "base/banned.h"

static struct arena *arena;
static struct err err;
static struct layout layout;

static void setup(void)
{
	arena = arena_new(0);
	err = (struct err){ 0 };
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
}

static void teardown(void)
{
	arena_free(&arena);
}

static void template(const char *text)
{
	ck_assert_msg(layout_template(str_of(text), arena, &layout, &err) == OK,
		      "%s", err.text);
}

/* "app env name", or "-". */
static const char *match(const char *path)
{
	struct address at;

	if (!layout_match(&layout, STR("acme"), str_of(path), &at))
		return "-";
	ck_assert(str_is(at.tenant, "acme"));
	return arena_printf(arena, "%.*s %.*s %.*s", STR_ARG(at.application),
			    STR_ARG(at.environment), STR_ARG(at.name)).p;
}

START_TEST(templates_match)
{
	template("{application}/{environment}/{name}");
	ck_assert_str_eq(match("shop/prod/db.toml"), "shop prod db.toml");
	ck_assert_str_eq(match("shop/prod/a/b/db.toml"), "shop prod a/b/db.toml");
	ck_assert_str_eq(match("Shop/prod/x"), "Shop prod x");
	ck_assert_str_eq(match("README.md"), "-");
	ck_assert_str_eq(match("shop/README.md"), "-");
	ck_assert_str_eq(match(".github/workflows/ci.yml"), "-");
	ck_assert_str_eq(match("shop/prod/"), "-");
	template("config/{environment}/{application}.d/{name}");
	ck_assert_str_eq(match("config/prod/shop.d/x.json"), "shop prod x.json");
	ck_assert_str_eq(match("config/prod/shop/x.json"), "-");
	ck_assert_str_eq(match("other/prod/shop.d/x.json"), "-");
	ck_assert_str_eq(match("config/a/b/shop.d/x.json"), "-");
	template("{application}-{environment}/{name}");
	ck_assert_str_eq(match("shop-prod/x"), "shop prod x");
	ck_assert_str_eq(match("a/b-c/x"), "-");
}
END_TEST

START_TEST(templates_refused)
{
	static const char *const bad[] = {
		"", "{application}/{environment}", "{name}",
		"{application}/{environment}/{name}/x",
		"{application}{environment}/{name}",
		"{application}/{application}/{environment}/{name}",
		"{application}/{environment}/{nom}", "{application}/{environment/{name}",
		"/{application}/{environment}/{name}", "{application}/{environment}/{name",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(layout_template(str_of(bad[i]), arena, &layout,
					      &err) == E_INVALID,
			      "%s", bad[i]);
}
END_TEST

static enum code spec(const char *json)
{
	struct value *v;

	ck_assert_int_eq(doc_parse_json(str_of(json), arena, NULL, &v, &err), OK);
	return layout_of_spec(v, arena, &layout, &err);
}

START_TEST(layout_comes_from_the_spec)
{
	ck_assert_int_eq(spec("{}"), OK);
	ck_assert_str_eq(match("a/b/c"), "a b c");
	ck_assert_int_eq(spec("{\"layout\":{\"manifests\":{\"path\":\"./deploy/\"}}}"),
			 OK);
	ck_assert_int_eq(layout.type, LAYOUT_MANIFESTS);
	ck_assert(layout_is_manifest(&layout, STR("deploy/a.yaml")));
	ck_assert(layout_is_manifest(&layout, STR("deploy/x/a.yml")));
	ck_assert(!layout_is_manifest(&layout, STR("deploy/README.md")));
	ck_assert(!layout_is_manifest(&layout, STR("deployment/a.yaml")));
	ck_assert(!layout_is_manifest(&layout, STR("a.yaml")));
	ck_assert_int_eq(spec("{\"layout\":{\"manifests\":{\"path\":\".\"}}}"), OK);
	ck_assert(layout_is_manifest(&layout, STR("a.yaml")));
	ck_assert_int_eq(spec("{\"layout\":{\"manifests\":{},\"files\":{}}}"),
			 E_INVALID);
}
END_TEST

static const char *check(const char *path, const char *content)
{
	struct str s = str_of(path);

	if (layout_check(s, format_of_path(s), str_of(content), arena, NULL, NULL,
			 &err) == OK)
		return "";
	ck_assert_int_eq(err.code, E_UNPROCESSABLE);
	return err.text;
}

START_TEST(content_is_checked)
{
	static const char bomb[] =
		"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
		"b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
		"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
		"f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
		"g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
		"h: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
	AUTO_BUF deep = BUF_NONE;

	ck_assert_str_eq(check("a/b/x.json", "{\"a\":1}"), "");
	ck_assert_str_eq(check("a/b/x.txt", "anything {{ but this"), "");
	ck_assert(str_starts(str_of(check("a/b/x.yaml", "a: 1\nb: [\n")),
			     STR("a/b/x.yaml: line ")));
	ck_assert(str_starts(str_of(check("a/b/x.json", "{\"a\":1,}")),
			     STR("a/b/x.json: line 1")));
	ck_assert(str_starts(str_of(check("a/b/x.toml", "a = 1\na = 2\n")),
			     STR("a/b/x.toml: line 2")));
	ck_assert_str_ne(check("bomb.yaml", bomb), "");
	for (unsigned i = 0; i < 5000; i++)
		buf_c(&deep, '[');
	ck_assert_str_ne(check("deep.yaml", deep.p), "");
	ck_assert_str_ne(check("deep.json", deep.p), "");
}
END_TEST

START_TEST(references_are_refused)
{
	ck_assert_str_eq(check("x.toml", "a = 1\np = \"{{ .Secrets.db }}\"\n"),
			 "x.toml: line 2: references ({{ ... }}) are not supported "
			 "yet");
	ck_assert_str_ne(check("x.txt", "{{.Values.x}}"), "");
	ck_assert_str_ne(check("x.txt", "{{-   .x}}"), "");
	ck_assert_str_ne(check("x.json", "{\"a\": \"{{ secret.x }}\"}"), "");
	ck_assert_str_ne(check("x.txt", "a\n{{range}}\n"), "");
	ck_assert_str_ne(check("x.txt", "{{ .x\n}}"), "");
	ck_assert_str_ne(check("x.txt", "{{ {{ x }}"), "");
	/* Braces that name nothing. */
	ck_assert_str_eq(check("x.txt", "{{"), "");
	ck_assert_str_eq(check("x.txt", "{{}} {{ - }"), "");
	ck_assert_str_eq(check("x.txt", "int a[] = {{\n1 }};"), "");
	ck_assert_str_eq(check("x.json", "{\"a\":{\"b\":{\"c\":1}}}"), "");
}
END_TEST

static unsigned n_objects;
static struct manifest last;

static enum code each(void *data, const struct manifest *m, struct err *e)
{
	(void)data;
	if (!m)
		return e->code;
	n_objects++;
	last = *m;
	return OK;
}

static const char *manifests(const char *text)
{
	n_objects = 0;
	return layout_manifests(STR("m.yaml"), STR("acme"), str_of(text), arena,
				NULL, each, NULL, &err) ? err.text : "";
}

#define HEAD "apiVersion: gitops.conflux.io/v1alpha1\nkind: "

START_TEST(manifests_are_read)
{
	ck_assert_str_eq(manifests(HEAD "Application\nmetadata: {name: shop}\n"
				   "---\n" HEAD "ConfluxConfig\n"
				   "metadata: {name: db.toml, labels: {a: b}}\n"
				   "spec:\n  application: shop\n"
				   "  environment: prod\n  format: toml\n"
				   "  content: |\n"
				   "    x = 1\n"), "");
	ck_assert_uint_eq(n_objects, 2);
	ck_assert_int_eq(last.kind, KIND_CONFIG);
	ck_assert(str_is(last.content, "x = 1\n"));
	ck_assert(str_is(last.at.tenant, "acme"));
	ck_assert(str_is(last.at.name, "db.toml"));
	ck_assert(str_is(last.labels, "{\"a\":\"b\"}"));
	ck_assert_int_eq(last.format, FORMAT_TOML);
	ck_assert(str_find_str(last.spec, STR("x = 1")) == SIZE_MAX);
}
END_TEST

START_TEST(manifests_refused)
{
	static const char config[] = HEAD "ConfluxConfig\nmetadata: {name: x}\n"
		"spec: {application: a, environment: e, ";
	AUTO_BUF b = BUF_NONE;

	ck_assert_ptr_nonnull(strstr(manifests(HEAD "Tenant\nmetadata: {name: x}\n"),
				     "may not write the kind"));
	ck_assert_ptr_nonnull(strstr(manifests(HEAD "Nonsense\nmetadata: {name: x}\n"),
				     "unknown kind \"Nonsense\""));
	ck_assert_ptr_nonnull(strstr(manifests("kind: Application\n"),
				     "unknown apiVersion"));
	ck_assert_ptr_nonnull(strstr(manifests("[1, 2]\n"), "no object"));
	ck_assert_ptr_nonnull(strstr(manifests(HEAD "Application\nmetadata: "
					       "{name: x, namespace: other}\n"),
				     "may not write the namespace \"other\""));
	ck_assert_ptr_nonnull(strstr(manifests(HEAD "Application\n"),
				     "metadata is missing"));
	buf_printf(&b, "%ssecretsRef: {name: s}}\n", config);
	ck_assert_str_ne(manifests(b.p), "");
	buf_reset(&b);
	buf_printf(&b, "%sformat: json, content: \"{\"}\n", config);
	ck_assert_str_ne(manifests(b.p), "");
	buf_reset(&b);
	buf_printf(&b, "%sformat: text, content: \"{{ .x }}\"}\n",
		   config);
	ck_assert_ptr_nonnull(strstr(manifests(b.p), "not supported"));
	buf_reset(&b);
	buf_printf(&b, "%sunknownField: 1}\n", config);
	ck_assert_ptr_nonnull(strstr(manifests(b.p), "unknownField"));
	ck_assert_str_ne(manifests(HEAD "Application\nmetadata: {name: UP}\n"), "");
	ck_assert(str_starts(str_of(manifests("a: [")), STR("m.yaml: line ")));
}
END_TEST

START_TEST(names_of_applications)
{
	struct str upper = layout_application_name(arena, STR("Shop"));

	ck_assert(str_is(layout_application_name(arena, STR("shop")), "shop"));
	ck_assert(str_starts(upper, STR("shop-")) && upper.n == 13);
	ck_assert(is_dns_subdomain(upper));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/layout");
	TCase *tc = tcase_create("layout");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, templates_match);
	tcase_add_test(tc, templates_refused);
	tcase_add_test(tc, layout_comes_from_the_spec);
	tcase_add_test(tc, content_is_checked);
	tcase_add_test(tc, references_are_refused);
	tcase_add_test(tc, manifests_are_read);
	tcase_add_test(tc, manifests_refused);
	tcase_add_test(tc, names_of_applications);
	suite_add_tcase(s, tc);
	return s;
}

UNIT_MAIN(suite)
