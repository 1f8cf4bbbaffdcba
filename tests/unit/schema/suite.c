/*
 * The official JSON Schema test suite, draft 7, on what schema/check.h says is
 * known.  The files lie beside the variants of the build
 * (tests/tools/schema_suite.sh).  Each file has a row here, and each test that
 * is not run is named with its reason, here and in the log.
 */
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "doc/format.h"
#include "io/file.h"
#include "schema/check.h"

#include "base/banned.h"

static const struct file {
	const char *name, *skipped;      /* NULL: it runs */
} files[] = {
	{ "additionalItems.json", "a list has one kind of items" },
	{ "additionalProperties.json", NULL },
	{ "allOf.json", "schemas are not combined: structural" },
	{ "anyOf.json", "schemas are not combined: structural" },
	{ "boolean_schema.json", NULL },
	{ "const.json", "enum with one value says it" },
	{ "contains.json", "not in structural schemas" },
	{ "default.json", NULL },
	{ "definitions.json", "no references: structural" },
	{ "dependencies.json", "x-conflux-oneof says what is needed" },
	{ "enum.json", NULL },
	{ "exclusiveMaximum.json", NULL },
	{ "exclusiveMinimum.json", NULL },
	{ "if-then-else.json", "schemas are not combined: structural" },
	{ "items.json", NULL },
	{ "maxItems.json", NULL },
	{ "maxLength.json", NULL },
	{ "maxProperties.json", "no kind counts members" },
	{ "maximum.json", NULL },
	{ "minItems.json", NULL },
	{ "minLength.json", NULL },
	{ "minProperties.json", "no kind counts members" },
	{ "minimum.json", NULL },
	{ "multipleOf.json", "no kind has steps" },
	{ "not.json", "schemas are not combined: structural" },
	{ "oneOf.json", "schemas are not combined: structural" },
	{ "pattern.json", NULL },
	{ "patternProperties.json", "not in structural schemas" },
	{ "properties.json", NULL },
	{ "propertyNames.json", "not in structural schemas" },
	{ "ref.json", "no references: structural" },
	{ "refRemote.json", "no references: structural" },
	{ "required.json", NULL },
	{ "type.json", NULL },
	{ "uniqueItems.json", "no kind has sets" },
	{ "optional/bignum.json", NULL },
	{ "optional/content.json", "content is checked by its format, in doc/" },
	{ "optional/ecmascript-regex.json", "patterns are POSIX" },
	{ "optional/zeroTerminatedFloats.json", NULL },
	{ "optional/format/date-time.json", NULL },
	{ "optional/format/date.json", "no kind has it" },
	{ "optional/format/email.json", "no kind has it" },
	{ "optional/format/hostname.json", "no kind has it" },
	{ "optional/format/idn-email.json", "no kind has it" },
	{ "optional/format/idn-hostname.json", "no kind has it" },
	{ "optional/format/ipv4.json", "no kind has it" },
	{ "optional/format/ipv6.json", "no kind has it" },
	{ "optional/format/iri-reference.json", "no kind has it" },
	{ "optional/format/iri.json", "no kind has it" },
	{ "optional/format/json-pointer.json", "no kind has it" },
	{ "optional/format/regex.json", "no kind has it" },
	{ "optional/format/relative-json-pointer.json", "no kind has it" },
	{ "optional/format/time.json", "no kind has it" },
	{ "optional/format/uri-reference.json", "no kind has it" },
	{ "optional/format/uri-template.json", "no kind has it" },
	{ "optional/format/uri.json", "no kind has it" },
};

static const struct skip {
	const char *file, *group, *test, *why;
} skips[] = {
	{ "additionalProperties.json",
	  "additionalProperties being false does not allow other properties",
	  "patternProperties are not additional properties",
	  "patternProperties is not known" },
	{ "additionalProperties.json",
	  "non-ASCII pattern with additionalProperties",
	  "matching the pattern is valid", "patternProperties is not known" },
	{ "default.json", "invalid type for default",
	  "still valid when the invalid default is used",
	  "defaults are filled in and checked" },
	{ "default.json", "invalid string value for default",
	  "still valid when the invalid default is used",
	  "defaults are filled in and checked" },
	{ "items.json", "an array of schemas for items", "wrong types",
	  "a list has one kind of items" },
	{ "items.json", "items with boolean schemas",
	  "array with two items is invalid", "a list has one kind of items" },
	{ "properties.json",
	  "properties, patternProperties, additionalProperties interaction",
	  "patternProperty invalidates property",
	  "patternProperties is not known" },
	{ "properties.json",
	  "properties, patternProperties, additionalProperties interaction",
	  "patternProperty validates nonproperty",
	  "patternProperties is not known" },
	{ "optional/format/date-time.json", "validation of date-time strings",
	  "a valid date-time string",
	  "moments begin in 1970" },
	{ "optional/format/date-time.json", "validation of date-time strings",
	  "a valid date-time string without second fraction",
	  "moments begin in 1970" },
	{ "optional/format/date-time.json", "validation of date-time strings",
	  "a valid date-time string with plus offset",
	  "moments begin in 1970" },
	{ "optional/format/date-time.json", "validation of date-time strings",
	  "case-insensitive T and Z",
	  "moments begin in 1970" },
};

static struct arena *arena;
static char folder[4096];
static unsigned used[ARRAY_LEN(skips)];

/* Beside the variants: BUILD/asan/tests/schema/suite is the program. */
static void setup(void)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 40);

	ck_assert_int_gt(n, 0);
	folder[n] = '\0';
	for (int up = 0; up < 4; up++)
		*strrchr(folder, '/') = '\0';
	strncat(folder, "/json-schema-test-suite", 30);
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static struct value *read_file(const char *name)
{
	AUTO_BUF bytes = BUF_NONE;
	char path[8192];
	struct value *v;
	struct err err;

	snprintf(path, sizeof(path), "%s/tests/draft7/%s", folder, name);
	ck_assert_msg(fs_get(fs_real(), path, &bytes, &err) == OK,
		      "%s (see %s/missing)", err.text, folder);
	ck_assert_msg(doc_parse_json(buf_view(&bytes), arena, NULL, &v, &err) ==
			      OK,
		      "%s: %s", name, err.text);
	ck_assert_int_eq(v->type, VALUE_ARRAY);
	return v;
}

static const struct skip *skip_of(const char *file, struct str group,
				  struct str test)
{
	for (size_t i = 0; i < ARRAY_LEN(skips); i++)
		if (str_eq(str_of(file), str_of(skips[i].file)) &&
		    str_eq(group, str_of(skips[i].group)) &&
		    str_eq(test, str_of(skips[i].test))) {
			used[i]++;
			return &skips[i];
		}
	return NULL;
}

static bool is_valid(const struct value *schema, const struct value *data)
{
	struct value *v = value_dup(arena, data);
	struct check found = { 0 };

	check_value(schema, &v, STR("x"), arena, &found);
	return found.n_causes == 0;
}

/* The number of verdicts that are not the suite's. */
static unsigned run_group(const char *file, const struct value *group)
{
	const struct value *tests = value_getz(group, "tests");
	struct str name = value_text_at(group, "description");
	unsigned wrong = 0;

	ck_assert_uint_gt(value_count(tests), 0);
	for (size_t i = 0; i < value_count(tests); i++) {
		const struct value *t = tests->a.items[i];
		struct str test = value_text_at(t, "description");
		const struct skip *skip = skip_of(file, name, test);
		bool valid = value_to_bool(value_getz(t, "valid"), false);
		bool said = is_valid(value_getz(group, "schema"),
				     value_getz(t, "data"));

		if (skip) {
			printf("skipped %s: %.*s: %.*s: %s\n", file,
			       STR_ARG(name), STR_ARG(test), skip->why);
			/* A reason that no longer holds is found here. */
			ck_assert_msg(said != valid, "not to be skipped");
			continue;
		}
		if (said == valid)
			continue;
		wrong++;
		printf("WRONG %s: %.*s: %.*s: %s\n", file, STR_ARG(name),
		       STR_ARG(test), said ? "found valid" : "found invalid");
	}
	return wrong;
}

START_TEST(verdicts_are_those_of_the_suite)
{
	const struct file *f = &files[_i];
	struct value *groups;
	unsigned wrong = 0;

	groups = read_file(f->name);
	for (size_t i = 0; i < value_count(groups); i++)
		wrong += run_group(f->name, groups->a.items[i]);
	ck_assert_uint_eq(wrong, 0);
	for (size_t i = 0; i < ARRAY_LEN(skips); i++)
		if (str_eq(str_of(skips[i].file), str_of(f->name)))
			ck_assert_msg(used[i] > 0, "no test is \"%s\", \"%s\"",
				      skips[i].group, skips[i].test);
}
END_TEST

static unsigned count_json(const char *below)
{
	char path[8192];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/tests/draft7/%s", folder, below);
	d = opendir(path);
	ck_assert_msg(d != NULL, "%s: see %s/missing", path, folder);
	while ((e = readdir(d))) {
		char name[300];
		bool has_row = false;

		if (!str_ends(str_of(e->d_name), STR(".json")))
			continue;
		snprintf(name, sizeof(name), "%s%s", below, e->d_name);
		for (size_t i = 0; i < ARRAY_LEN(files); i++)
			has_row |= str_eq(str_of(name), str_of(files[i].name));
		ck_assert_msg(has_row, "%s has no row here", name);
		n++;
	}
	closedir(d);
	return n;
}

START_TEST(every_file_has_a_row)
{
	ck_assert_uint_eq(count_json("") + count_json("optional/") +
				  count_json("optional/format/"),
			  ARRAY_LEN(files));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("schema/suite");
	TCase *t = tcase_create("draft7");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_file_has_a_row);
	for (int i = 0; i < (int)ARRAY_LEN(files); i++)
		if (!files[i].skipped)
			tcase_add_loop_test(t, verdicts_are_those_of_the_suite,
					    i, i + 1);
		else
			printf("skipped %s: %s\n", files[i].name,
			       files[i].skipped);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
