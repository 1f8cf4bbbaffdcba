/* Messages of gRPC: what is one, frames, and the details of an error. */
#include "api/grpc_message.h"

#include "base/hex.h"
#include "gen/proto/conflux.pb-c.h"
#include "gen/proto/reflection.pb-c.h"
#include "gen/proto/status.pb-c.h"
#include "http/wire/grpc.h"
#include "unit.h"

#include "base/banned.h"

static struct arena *arena;
static struct err err;
static const ProtobufCMessage *message;

static void setup(void)
{
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(&arena);
}

static enum code take(const ProtobufCMessageDescriptor *type, struct str bytes)
{
	err_reset(&err);
	return grpc_take_message(type, bytes, arena, &message, &err);
}
#define TAKE_AS(name, lit) take(&conflux__v1__##name##__descriptor, STR(lit))

START_TEST(bytes_become_a_message)
{
	const Conflux__V1__FetchConfigRequest *m;

	ck_assert_int_eq(TAKE_AS(fetch_config_request,
				 "\x0a\x08\x0a\x04" "acme" "\x22\x00"
				 "\x12\x06\x0a\x01k\x12\x01v" "\x20\xac\x02"
				 "\x28\x01" "\xfa\x01\x00"), OK);
	m = (const void *)message;
	ck_assert_str_eq(m->address->tenant, "acme");
	ck_assert_str_eq(m->address->name, "");
	ck_assert_uint_eq(m->n_labels, 1);
	ck_assert_str_eq(m->labels[0]->key, "k");
	ck_assert_str_eq(m->labels[0]->value, "v");
	ck_assert_uint_eq(m->min_revision, 300);
	ck_assert(m->linearizable);
	ck_assert_int_eq(TAKE_AS(fetch_config_request, ""), OK);
	m = (const void *)message;
	ck_assert_ptr_null(m->address);
	ck_assert_uint_eq(m->n_labels, 0);
}
END_TEST

START_TEST(other_bytes_are_none)
{
	ck_assert_int_eq(TAKE_AS(address, "\x0a\x05" "acme"), E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(address, "\x80\x00\x00"), E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(fetch_config_request, "\x0a\x03\x80\x00\x00"),
			 E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(address, "\xff\xff\xff\xff\xff\xff"), E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(fetch_config_request, "\x0a\x02\x0a\x09"),
			 E_INTERNAL);
	ck_assert_str_eq(err.text,
			 "the message is no conflux.v1.FetchConfigRequest");
}
END_TEST

START_TEST(texts_are_utf8)
{
	const ProtobufCMessageDescriptor *reflection =
		&grpc__reflection__v1__server_reflection_request__descriptor;

	ck_assert_int_eq(TAKE_AS(address, "\x0a\x02\xc3\xa4"), OK);
	ck_assert_int_eq(TAKE_AS(address, "\x0a\x01\xc3"), E_INTERNAL);
	/* In a message below, in a list, in a map, in a oneof. */
	ck_assert_int_eq(TAKE_AS(watch_request, "\x0a\x03\x0a\x01\xc3"), E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(watch_request, "\x12\x01g\x12\x01\xc3"), E_INTERNAL);
	ck_assert_int_eq(TAKE_AS(watch_request, "\x1a\x03\x0a\x01\xc3"), E_INTERNAL);
	ck_assert_int_eq(take(reflection, STR("\x1a\x01\xc3")), E_INTERNAL);
	/* Of a oneof the last one counts; bytes are no text. */
	ck_assert_int_eq(take(reflection, STR("\x1a\x01g\x2a\x02\x10\x05")), OK);
	ck_assert_int_eq(TAKE_AS(publish_request, "\x12\x01\xc3"), OK);
	ck_assert_int_eq(TAKE_AS(publish_request, "\x18\xc3\x01"), OK);
}
END_TEST

START_TEST(a_message_goes_in_a_frame)
{
	Conflux__V1__Address a = CONFLUX__V1__ADDRESS__INIT;
	AUTO_BUF out = BUF_NONE;

	grpc_put_message(&out, &a.base);
	ck_assert(str_eq(buf_view(&out), str_n("\0\0\0\0\0", 5)));
	a.tenant = (char *)(uintptr_t)"acme";
	grpc_put_message(&out, &a.base);
	ck_assert(str_eq(str_from(buf_view(&out), 5),
			 str_n("\0\0\0\0\6\x0a\4acme", 11)));
}
END_TEST

static const Google__Rpc__Status *details(unsigned retry_after_s)
{
	AUTO_BUF text = BUF_NONE, bytes = BUF_NONE;

	grpc_details(&text, arena, &err, STR("trace1"), retry_after_s);
	ck_assert_uint_eq(str_find(buf_view(&text), '='), SIZE_MAX);
	ck_assert(base64_parse(buf_view(&text), &bytes));
	ck_assert_int_eq(take(&google__rpc__status__descriptor,
			      arena_str(arena, buf_view(&bytes))), OK);
	return (const void *)message;
}

static const void *detail(const Google__Rpc__Status *s, size_t i,
			  const ProtobufCMessageDescriptor *type)
{
	struct str url = str_of(s->details[i]->type_url);

	ck_assert_uint_lt(i, s->n_details);
	ck_assert(str_eq(url, arena_printf(arena, "type.googleapis.com/%s",
					   type->name)));
	ck_assert_int_eq(take(type, str_n(s->details[i]->value.data,
					  s->details[i]->value.len)), OK);
	return message;
}

START_TEST(errors_say_why)
{
	const Google__Rpc__Status *s;
	const Google__Rpc__ErrorInfo *info;

	err_set(&err, E_MANAGED, "it is git's");
	err_hint(&err, "take it over");
	s = details(0);
	ck_assert_int_eq(s->code, 9);
	ck_assert_str_eq(s->message, "it is git's");
	ck_assert_uint_eq(s->n_details, 1);
	info = detail(s, 0, &google__rpc__error_info__descriptor);
	ck_assert_str_eq(info->reason, "MANAGED_BY_OTHER");
	ck_assert_str_eq(info->domain, "gitops.conflux.io");
	ck_assert_uint_eq(info->n_metadata, 2);
	ck_assert_str_eq(info->metadata[0]->value, "trace1");
	ck_assert_str_eq(info->metadata[1]->key, "hint");
	ck_assert_str_eq(info->metadata[1]->value, "take it over");
}
END_TEST

START_TEST(when_to_come_again_is_said_where_it_helps)
{
	static const struct {
		enum code code;
		bool helps;
	} rows[] = {
		{ E_UNAVAILABLE, true }, { E_BUSY, true }, { E_RATE, true },
		{ E_NOT_LEADER, true }, { E_UNCERTAIN, false },
		{ E_NOT_FOUND, false }, { E_TIMEOUT, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const Google__Rpc__Status *s;
		const Google__Rpc__RetryInfo *retry;

		err_set(&err, rows[i].code, "x");
		s = details((unsigned)i * 7);
		ck_assert_uint_eq(s->n_details, rows[i].helps ? 2 : 1);
		if (!rows[i].helps)
			continue;
		retry = detail(s, 1, &google__rpc__retry_info__descriptor);
		ck_assert_int_eq(retry->retry_delay->seconds, i ? i * 7 : 1);
	}
}
END_TEST

START_TEST(a_text_that_was_cut_is_still_one)
{
	const Google__Rpc__Status *s;

	err_set(&err, E_INVALID, "a\xc3");
	s = details(0);
	ck_assert_str_eq(s->message, code_text(E_INVALID));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("api/grpc_message");
	TCase *t = tcase_create("messages");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bytes_become_a_message);
	tcase_add_test(t, other_bytes_are_none);
	tcase_add_test(t, texts_are_utf8);
	tcase_add_test(t, a_message_goes_in_a_frame);
	tcase_add_test(t, errors_say_why);
	tcase_add_test(t, when_to_come_again_is_said_where_it_helps);
	tcase_add_test(t, a_text_that_was_cut_is_still_one);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
