/*
 * Policies, windows and crons: whatever text stands in a spec is read, or closes; what
 * is computed of it is in order, and is read back as it was written.
 *
 * Input: '0' and the spec of a policy; '1' and that of a window; '2' and the status of
 * a window; else a cron.
 */
#include <stdint.h>

#include "gate/cron.h"
#include "gate/window.h"
#include "model/policy.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena *arena;

static void policy(struct str in)
{
	struct approval p;

	approval_read(arena, in, &p);
	must(p.n_stages > 0);
	for (size_t i = 0; i < p.n_stages; i++) {
		must(p.stages[i].required > 0);
		must(!p.is_broken || !people_have(&p.stages[i].from, STR(""), in));
	}
}

static void window(struct str in)
{
	AUTO_BUF status = BUF_NONE;
	struct window w, back;
	uint64_t now = 1767225600000, until;

	window_read(arena, in, STR_NONE, &w);
	/* A schedule that nobody has computed is shut, and so is what is none. */
	must(!(w.has_schedule || w.is_broken) || window_is_shut(&w, now, &until));
	if (w.duration_ms > 86400000 ||
	    window_status_of(in, now, &status, NULL))
		return;
	window_read(arena, in, buf_view(&status), &back);
	must(!back.is_broken && back.computed_ms >= now);
	for (size_t i = 1; i < back.n_intervals; i++)
		must(back.intervals[i].from_ms >= back.intervals[i - 1].to_ms);
}

static void status(struct str in)
{
	struct window w;

	window_read(arena, STR("{\"owner\":\"o\",\"reason\":\"r\",\"schedule\":"
			       "{\"cron\":\"0 0 * * *\",\"duration\":\"1h\"}}"),
		    in, &w);
	(void)window_is_shut(&w, 1767225600000, NULL);
	(void)window_refresh_ms(&w);
}

static void cron(struct str in)
{
	struct cron c;
	struct err err = { 0 };

	if (cron_parse(in, &c, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return;
	}
	must(c.minutes && c.hours && c.days && c.months && c.weekdays);
	for (int64_t day = -800; day < 800; day++)
		(void)cron_has_day(&c, day);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data + 1, size ? size - 1 : 0);

	if (size == 0)
		return 0;
	arena = arena_new(0);
	if (data[0] == '0')
		policy(in);
	else if (data[0] == '1')
		window(in);
	else if (data[0] == '2')
		status(in);
	else
		cron(in);
	arena_free(&arena);
	return 0;
}
