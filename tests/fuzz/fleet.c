/*
 * Reports of nodes about instances, questions, and pages of lists: whatever bytes come,
 * nothing is read beyond them, what is taken is within bounds, and what was taken is
 * written again as it was read.  And a leader takes them: its counts add up.
 */
#include <stdint.h>

#include "fleet/gather.h"
#include "fleet/reach.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void changed(void *data, uint64_t release, bool is_urgent)
{
	must(release > 0);
}

static void same_item(const struct fleet_item *a)
{
	struct fleet_report report;
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF body = BUF_NONE;
	struct fleet_item b;
	struct err err;

	report_start(&bytes, 1, 2, false);
	if (a->kind == FLEET_BEGAN) {
		report_began(&bytes, a->age_ms);
	} else if (a->kind == FLEET_EVALUATED) {
		report_evaluated(&bytes, a->release, a->step, a->configs);
	} else {
		record_body(&body, &a->record);
		report_record(&bytes, a->release, a->record.instance,
			      a->record.age_ms, a->record.said_age_ms, buf_view(&body));
	}
	must(report_open(buf_view(&bytes), &report, &err) == OK);
	must(report_next(&report, &b, &err) == OK);
	must(b.kind == a->kind && b.age_ms == a->age_ms);
	must(b.release == a->release && b.step == a->step);
	must(b.record.flags == a->record.flags);
	must(b.record.said_age_ms == a->record.said_age_ms);
	must(bits_eq(&b.record.applied, &a->record.applied));
	must(bits_eq(&b.record.refused, &a->record.refused));
	must(str_eq(b.record.said, a->record.said));
	must(str_eq(b.record.reason, a->record.reason));
	must(report_next(&report, &b, &err) == E_NOT_FOUND);
}

static void try_report(struct str in)
{
	static const uint64_t members[] = { 1, 5 };
	struct gather_rules rules = { 0, 3, 10, 0 };
	struct gather *g = gather_new(8);
	struct fleet_report report;
	AUTO_BUF answer = BUF_NONE;
	struct fleet_item item;
	struct tally t;
	struct err err;

	gather_reset(g, 2, 0);
	gather_members(g, members, 2, changed, NULL);
	if (report_open(in, &report, &err) == OK)
		while (report_next(&report, &item, &err) == OK)
			same_item(&item);
	if (gather_take(g, 1, in, 100, &answer, changed, NULL, &err) == OK) {
		gather_expect(g, 1, &rules);
		gather_tally(g, 1, 1000, &t);
		must(t.applied + t.rejected + t.lost + t.pending <= t.total);
		must(t.total + t.deferred >= t.expected);
		must(t.received <= t.sent && t.sent <= t.total);
	}
	gather_free(&g);
}

static void try_list(struct str in)
{
	struct fleet_list list, again;
	struct fleet_row row, same;
	AUTO_BUF bytes = BUF_NONE;
	struct rd rd = rd_of(in), back;
	struct err err;

	if (list_decode(in, &list, &err) == OK) {
		list_encode(&bytes, &list);
		must(list_decode(buf_view(&bytes), &again, &err) == OK);
		must(again.release == list.release && again.limit == list.limit);
		must(str_eq(again.after, list.after));
		must(str_eq(again.tenant, list.tenant));
	}
	while (list_next(&rd, &row, &err) == OK) {
		must(row.state < FLEET_IS__COUNT && fleet_state_name(row.state));
		buf_reset(&bytes);
		list_row(&bytes, &row);
		back = rd_of(buf_view(&bytes));
		must(list_next(&back, &same, &err) == OK);
		must(str_eq(same.instance, row.instance) && same.node == row.node);
	}
}

static void try_reach(struct str in)
{
	struct reach_question q;
	AUTO_BUF bytes = BUF_NONE;
	struct err err;

	if (reach_decode(in, &q, &err))
		return;
	reach_encode(&bytes, q.key, q.after);
	while (rd_left(&q.keys))
		wr_str(&bytes, rd_str(&q.keys));
	must(!q.keys.bad);
	must(reach_decode(buf_view(&bytes), &q, &err) == OK);
}

static void try_why(struct str in)
{
	struct fleet_why why, same;
	AUTO_BUF bytes = BUF_NONE;
	uint64_t release, again;
	struct err err;

	if (why_decode(in, &release, &err) == OK) {
		why_encode(&bytes, release);
		must(why_decode(buf_view(&bytes), &again, &err) == OK && again == release);
	}
	buf_reset(&bytes);
	if (why_answer_decode(in, &why, &err) == OK) {
		must(str_is_utf8(str_of(why.text)));
		why_answer(&bytes, &why);
		must(why_answer_decode(buf_view(&bytes), &same, &err) == OK);
		must(str_eq(str_of(same.text), str_of(why.text)));
		must(same.is_known == why.is_known && same.is_unmet == why.is_unmet);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	uint64_t session;
	struct err err;
	bool again;

	(void)fleet_what(in);
	(void)!ask_decode(in, &session, &err);
	(void)!report_answer_decode(in, &again, &session);
	try_report(in);
	try_list(in);
	try_reach(in);
	try_why(in);
	return 0;
}
