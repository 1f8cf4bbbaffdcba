/* Descriptors: what reflection finds in those that are built in. */
#include "api/grpc_schema.h"

#include "proto/descriptors.h"
#include "unit.h"

#include "base/banned.h"

static struct grpc_schema *schema;
static struct err err;

static void setup(void)
{
	ck_assert_int_eq(grpc_schema_new(str_n(proto_descriptors,
					       proto_descriptors_n),
					 &schema, &err), OK);
}

static void teardown(void)
{
	grpc_schema_free(&schema);
}

/* The file that is answered says its name first. */
static bool is_file(struct str bytes, const char *name)
{
	struct str want = str_of(name);

	return bytes.n > want.n + 2 && bytes.p[0] == 0x0a &&
	       (size_t)bytes.p[1] == want.n &&
	       str_eq(str_first(str_from(bytes, 2), want.n), want);
}

START_TEST(files_are_found_by_name)
{
	static const char *const names[] = {
		"conflux.proto", "grpc/health/v1/health.proto",
		"grpc/reflection/v1/reflection.proto",
		"grpc/reflection/v1alpha/reflection.proto",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert(is_file(grpc_schema_file(schema, str_of(names[i])),
				  names[i]));
	ck_assert_ptr_null(grpc_schema_file(schema, STR("conflux")).p);
	ck_assert_ptr_null(grpc_schema_file(schema, STR("")).p);
}
END_TEST

START_TEST(files_are_found_by_what_they_declare)
{
	static const char *const names[] = {
		"conflux.v1.ConfigService", "conflux.v1.ConfigService.FetchConfig",
		"conflux.v1.Address", "conflux.v1.Address.tenant",
		"conflux.v1.WatchResponse.Kind", "conflux.v1.WatchRequest.LabelsEntry",
		"conflux.v1.WatchRequest.LabelsEntry.key",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_msg(is_file(grpc_schema_symbol(schema, str_of(names[i])),
				      "conflux.proto"), "%s", names[i]);
	ck_assert(is_file(grpc_schema_symbol(
				schema, STR("grpc.reflection.v1alpha.ErrorResponse")),
			  "grpc/reflection/v1alpha/reflection.proto"));
	ck_assert_ptr_null(grpc_schema_symbol(schema, STR("Address")).p);
	ck_assert_ptr_null(grpc_schema_symbol(schema, STR("conflux.v1")).p);
	ck_assert(grpc_schema_is_message(schema, STR("conflux.v1.Address")));
	ck_assert(!grpc_schema_is_message(schema, STR("conflux.v1.ConfigService")));
	ck_assert(!grpc_schema_is_message(schema, STR("conflux.v1.Address.tenant")));
}
END_TEST

START_TEST(services_are_listed)
{
	static const char *const names[] = {
		"conflux.v1.ConfigService", "conflux.v1.WatcherService",
		"conflux.v1.ManagementService", "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert(str_eq(grpc_schema_service(schema, i), str_of(names[i])));
	ck_assert_ptr_null(grpc_schema_service(schema, ARRAY_LEN(names)).p);
}
END_TEST

START_TEST(what_is_no_set_is_refused)
{
	struct grpc_schema *none = NULL;

	ck_assert_int_eq(grpc_schema_new(STR("\x0a\x09"), &none, &err), E_CORRUPT);
	ck_assert_int_eq(grpc_schema_new(STR("\x0a\x02\x0a\x09"), &none, &err),
			 E_CORRUPT);
	ck_assert_int_eq(grpc_schema_new(STR(""), &none, &err), E_CORRUPT);
	ck_assert_ptr_null(none);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/grpc_schema");
	TCase *t = tcase_create("schema");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, files_are_found_by_name);
	tcase_add_test(t, files_are_found_by_what_they_declare);
	tcase_add_test(t, services_are_listed);
	tcase_add_test(t, what_is_no_set_is_refused);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
