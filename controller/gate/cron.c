/* Five fields of cron: see cron.h. */
#include "gate/cron.h"

#include "base/banned.h"

struct field {
	const char *name;
	unsigned least, most;
	const char *words;               /* three letters each, from `first` on */
	unsigned first;
};

static const struct field fields[] = {
	{ "minute", 0, 59, "", 0 },
	{ "hour", 0, 23, "", 0 },
	{ "day of the month", 1, 31, "", 0 },
	{ "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1 },
	{ "day of the week", 0, 7, "sunmontuewedthufrisat", 0 },
};

static bool number_of(const struct field *f, struct str s, unsigned *out)
{
	uint64_t n;

	for (unsigned i = 0; f->words[3 * i] && s.n == 3; i++)
		if (str_eq_nocase(s, str_n(f->words + (size_t)3 * i, 3))) {
			*out = f->first + i;
			return true;
		}
	if (s.n == 0 || s.n > 2 || !str_u64(s, &n) || n < f->least ||
	    n > f->most)
		return false;
	*out = (unsigned)n;
	return true;
}

/* "*", "5", "1-5", each maybe with "/2"; a single number with a step goes on to the
 * end. */
static bool add_part(const struct field *f, struct str part, uint64_t *bits)
{
	struct str range = str_cut(&part, '/');
	bool has_step = part.p != NULL;
	uint64_t step = 1;
	unsigned from = f->least, to = f->most;

	if (has_step && (part.n == 0 || part.n > 2 || !str_u64(part, &step) ||
			 step == 0))
		return false;
	if (!str_is(range, "*")) {
		struct str first = str_cut(&range, '-');

		if (!number_of(f, first, &from))
			return false;
		if (range.p ? !number_of(f, range, &to) : false)
			return false;
		if (!range.p && !has_step)
			to = from;
	}
	if (from > to)
		return false;
	for (uint64_t i = from; i <= to; i += step)
		*bits |= 1ull << i;
	return true;
}

static enum code read_field(unsigned i, struct str text, uint64_t *bits,
			    bool *any, struct err *err)
{
	const struct field *f = &fields[i];
	struct str rest = text;

	*bits = 0;
	*any = str_starts(text, STR("*"));
	do {
		if (!add_part(f, str_cut(&rest, ','), bits)) {
			err_set(err, E_INVALID, "\"%.*s\" is no %s of a cron",
				(int)MIN(text.n, (size_t)60), text.p, f->name);
			return err_hint(err, "numbers from %u to %u, ranges 1-5, "
					"steps */2 and lists of these", f->least,
					f->most);
		}
	} while (rest.p);
	return OK;
}

static struct str next_word(struct str *s)
{
	size_t n = 0;

	while (s->n && (*s->p == ' ' || *s->p == '\t'))
		*s = str_from(*s, 1);
	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		n++;
	{
		struct str word = str_first(*s, n);

		*s = str_from(*s, n);
		return word;
	}
}

enum code cron_parse(struct str text, struct cron *out, struct err *err)
{
	uint64_t bits[ARRAY_LEN(fields)];
	bool any[ARRAY_LEN(fields)];
	struct str rest = text;

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
		struct str word = next_word(&rest);
		enum code rc;

		if (word.n == 0)
			return err_set(err, E_INVALID, "a cron has five fields, "
				       "\"%.*s\" has %u",
				       (int)MIN(text.n, (size_t)200), text.p, i);
		rc = read_field(i, word, &bits[i], &any[i], err);
		if (rc)
			return rc;
	}
	if (next_word(&rest).n)
		return err_set(err, E_INVALID, "a cron has five fields, \"%.*s\" "
			       "has more", (int)MIN(text.n, (size_t)200), text.p);
	*out = (struct cron){
		.minutes = bits[0], .hours = (uint32_t)bits[1],
		.days = (uint32_t)bits[2], .months = (uint32_t)bits[3],
		.weekdays = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7f),
		.any_day = any[2], .any_weekday = any[4] };
	return OK;
}

/* Month and day of it: days_to_civil of Howard Hinnant, "chrono-Compatible Low-Level
 * Date Algorithms". */
static void civil(int64_t day, unsigned *month, unsigned *of_month)
{
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*of_month = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
}

bool cron_has_day(const struct cron *c, int64_t day)
{
	unsigned month, of_month;
	unsigned weekday = (unsigned)((day % 7 + 11) % 7);   /* 1970-01-01: Thursday */
	bool by_day, by_weekday;

	civil(day, &month, &of_month);
	if (!(c->months >> month & 1))
		return false;
	by_day = c->days >> of_month & 1;
	by_weekday = c->weekdays >> weekday & 1;
	if (c->any_day || c->any_weekday)
		return by_day && by_weekday;
	return by_day || by_weekday;
}
