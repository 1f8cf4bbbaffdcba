/* Reports about instances, as bytes. */
#include "unit.h"

#include "fleet/report.h"
#include "golden.h"

#include "base/banned.h"

static struct fleet_record a_record(void)
{
	struct fleet_record r = { .instance = STR("web-7"), .step = 300,
				  .flags = FLEET_CONNECTED | FLEET_MEMBER |
					   FLEET_REJECTED,
				  .version = 70000, .age_ms = 1234,
				  .reason = STR("port is no number") };

	bits_set(&r.wants, 0);
	bits_set(&r.wants, 999);
	bits_set(&r.sent, 9);
	bits_set(&r.got, 8);
	return r;
}

static void write_report(struct buf *out)
{
	struct fleet_record r = a_record();
	AUTO_BUF body = BUF_NONE;

	record_body(&body, &r);
	report_start(out, 0x1122334455667788, 9, true);
	report_record(out, 17, r.instance, r.age_ms, 9, buf_view(&body));
	report_evaluated(out, 17, 300, 1000);
}

static void check_record(const struct fleet_record *r)
{
	struct fleet_record want = a_record();

	ck_assert(str_eq(r->instance, want.instance));
	ck_assert_uint_eq(r->flags, want.flags);
	ck_assert_uint_eq(r->step, 300);
	ck_assert_uint_eq(r->version, 70000);
	ck_assert_uint_eq(r->age_ms, 1234);
	ck_assert(bits_eq(&r->wants, &want.wants));
	ck_assert(bits_eq(&r->sent, &want.sent));
	ck_assert(bits_eq(&r->got, &want.got));
	ck_assert(!bits_any(&r->applied));
	ck_assert(str_eq(r->reason, want.reason));
}

START_TEST(reports)
{
	struct fleet_report report;
	struct fleet_item item;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	struct err err;

	write_report(&bytes);
	golden_same("fleet-report-1", buf_view(&bytes));
	golden_read("fleet-report-1", &was);
	ck_assert_int_eq(fleet_what(buf_view(&was)), FLEET_REPORT);
	ck_assert_int_eq(report_open(buf_view(&was), &report, &err), OK);
	ck_assert_uint_eq(report.boot, 0x1122334455667788);
	ck_assert_uint_eq(report.session, 9);
	ck_assert(report.is_first);
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_int_eq(item.kind, FLEET_RECORD);
	ck_assert_uint_eq(item.release, 17);
	check_record(&item.record);
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_int_eq(item.kind, FLEET_EVALUATED);
	ck_assert_uint_eq(item.step, 300);
	ck_assert_uint_eq(item.configs, 1000);
	ck_assert_int_eq(report_next(&report, &item, &err), E_NOT_FOUND);
}
END_TEST

START_TEST(when_it_was_said)
{
	struct fleet_record r = a_record();
	struct fleet_report report;
	struct fleet_item item;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF body = BUF_NONE;
	AUTO_BUF said = BUF_NONE;
	struct said_at words;
	struct err err;

	r.flags |= FLEET_SPOKE;
	bits_set(&r.refused, 8);
	bits_set(&r.applied, 9);
	wr_var(&said, 0);
	wr_var(&said, 300);
	r.said = buf_view(&said);
	record_body(&body, &r);
	report_start(&bytes, 7, 9, true);
	report_record(&bytes, 17, r.instance, r.age_ms, 70000, buf_view(&body));
	report_evaluated(&bytes, 17, 3, 1);
	golden_same("fleet-spoke-1", buf_view(&bytes));
	ck_assert_int_eq(report_open(buf_view(&bytes), &report, &err), OK);
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_uint_eq(item.record.said_age_ms, 70000);
	ck_assert(bits_eq(&item.record.refused, &r.refused));
	words = said_of(&item.record);
	ck_assert(said_next(&words) && words.i == 8 && words.before_ms == 0);
	ck_assert(said_next(&words) && words.i == 9 && words.before_ms == 300);
	ck_assert(!said_next(&words));
	ck_assert(str_eq(item.record.reason, r.reason));
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_int_eq(item.kind, FLEET_EVALUATED);
	ck_assert_int_eq(report_next(&report, &item, &err), E_NOT_FOUND);
}
END_TEST

START_TEST(since_when_a_node_knows)
{
	struct fleet_report report;
	struct fleet_item item;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	report_start(&bytes, 7, 9, true);
	report_began(&bytes, 70000);
	report_evaluated(&bytes, 17, 3, 1);
	golden_same("fleet-began-1", buf_view(&bytes));
	ck_assert_int_eq(report_open(buf_view(&bytes), &report, &err), OK);
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_int_eq(item.kind, FLEET_BEGAN);
	ck_assert_uint_eq(item.age_ms, 70000);
	ck_assert_int_eq(report_next(&report, &item, &err), OK);
	ck_assert_int_eq(item.kind, FLEET_EVALUATED);
	ck_assert_int_eq(report_next(&report, &item, &err), E_NOT_FOUND);
	bytes.n = 20;
	ck_assert_int_eq(report_open(buf_view(&bytes), &report, &err), OK);
	ck_assert_int_eq(report_next(&report, &item, &err), E_INVALID);
}
END_TEST

START_TEST(lists)
{
	struct fleet_row row = { .instance = STR("web-7"),
				 .state = FLEET_IS_REJECTED,
				 .is_connected = true, .version = 3,
				 .lag_ms = 70, .age_ms = 80, .node = 65535,
				 .key = STR("acme/shop/prod/main"),
				 .reason = STR("no"),
				 .words = STR("words") }, got;
	struct fleet_list list = { 17, STR("web-6"), 500, STR_NONE }, same;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF question = BUF_NONE;
	struct err err;
	struct rd rd;

	list_encode(&question, &list);
	ck_assert_int_eq(list_decode(buf_view(&question), &same, &err), OK);
	ck_assert_uint_eq(same.release, 17);
	ck_assert(str_is(same.after, "web-6"));
	ck_assert_uint_eq(same.limit, 500);
	ck_assert_uint_eq(same.tenant.n, 0);
	buf_reset(&question);
	list.tenant = STR("acme");
	list_encode(&question, &list);
	ck_assert_int_eq(list_decode(buf_view(&question), &same, &err), OK);
	ck_assert(str_is(same.tenant, "acme"));
	list_row(&bytes, &row);
	list_row(&bytes, &row);
	golden_same("fleet-list-1", buf_view(&bytes));
	rd = rd_of(buf_view(&bytes));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(list_next(&rd, &got, &err), OK);
		ck_assert(str_eq(got.instance, row.instance));
		ck_assert_int_eq(got.state, row.state);
		ck_assert_uint_eq(got.lag_ms, 70);
		ck_assert_uint_eq(got.node, 65535);
		ck_assert(str_eq(got.key, row.key));
		ck_assert(str_eq(got.reason, row.reason));
		ck_assert(str_eq(got.words, row.words));
	}
	ck_assert_int_eq(list_next(&rd, &got, &err), E_NOT_FOUND);
}
END_TEST

START_TEST(what_a_release_waits_for_comes_as_it_was_sent)
{
	struct fleet_why why = { .is_known = true, .is_unmet = true,
				 .text = "3 of 6 instances applied it" }, same;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF answer = BUF_NONE;
	uint64_t release = 0;
	struct err err;

	why_encode(&bytes, 17);
	ck_assert_int_eq(fleet_what(buf_view(&bytes)), FLEET_WHY);
	ck_assert_int_eq(why_decode(buf_view(&bytes), &release, &err), OK);
	ck_assert_uint_eq(release, 17);
	why_answer(&answer, &why);
	ck_assert_int_eq(why_answer_decode(buf_view(&answer), &same, &err), OK);
	ck_assert(same.is_known && same.is_unmet);
	ck_assert_str_eq(same.text, why.text);
	ck_assert_int_eq(why_answer_decode(buf_view(&bytes), &same, &err), E_INVALID);
	answer.p[3] = '\xff';
	ck_assert_int_eq(why_answer_decode(buf_view(&answer), &same, &err), E_INVALID);
}
END_TEST

START_TEST(other_forms_are_refused)
{
	struct fleet_report report;
	AUTO_BUF bytes = BUF_NONE;
	struct fleet_list list;
	uint64_t session;
	struct err err;

	ask_encode(&bytes, 7);
	ck_assert_int_eq(ask_decode(buf_view(&bytes), &session, &err), OK);
	ck_assert_uint_eq(session, 7);
	ck_assert_int_eq(report_open(buf_view(&bytes), &report, &err), E_INVALID);
	ck_assert_int_eq(list_decode(buf_view(&bytes), &list, &err), E_INVALID);
	bytes.p[1] = 2;
	ck_assert_int_eq(ask_decode(buf_view(&bytes), &session, &err), E_INVALID);
	bytes.p[0] = 9;
	ck_assert_int_eq(fleet_what(buf_view(&bytes)), 0);
	ck_assert_int_eq(fleet_what(STR_NONE), 0);
}
END_TEST

START_TEST(sets)
{
	struct bits a = { 0 }, b = { 0 };

	ck_assert(bits_eq(&a, &b) && !bits_any(&a));
	bits_set(&a, 9);
	ck_assert(bits_get(&a, 9) && !bits_get(&a, 8) && !bits_get(&a, 900));
	bits_set(&b, 1);
	bits_without(&a, &b);
	ck_assert(bits_get(&a, 9) && !bits_eq(&a, &b));
	bits_or(&b, &a);
	ck_assert(bits_get(&b, 1) && bits_get(&b, 9));
	/* What is behind the last is not there, and the last is not 0. */
	bits_without(&b, &a);
	ck_assert(bits_get(&b, 1) && !bits_get(&b, 9) && b.n == 1);
	bits_set(&a, 1);
	bits_without(&b, &a);
	ck_assert(!bits_any(&b));
	bits_set(&b, 9);
	bits_set(&b, 1);
	ck_assert(bits_eq(&a, &b));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fleet/report");
	TCase *t = tcase_create("report");

	tcase_add_test(t, reports);
	tcase_add_test(t, when_it_was_said);
	tcase_add_test(t, since_when_a_node_knows);
	tcase_add_test(t, lists);
	tcase_add_test(t, what_a_release_waits_for_comes_as_it_was_sent);
	tcase_add_test(t, other_forms_are_refused);
	tcase_add_test(t, sets);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
