/*
 * What nodes state that form a cluster: refused, or the same again; and a node that
 * hears whatever is stated by whomever founds or joins nothing without being among
 * them, and never says what another could not read.
 *
 * The first byte is how many the node expects; then statements, each behind two bytes
 * of length.  With a first byte of 255 all that follows is one.
 */
#include <stdint.h>

#include "base/mem.h"
#include "node/form.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct all {
	struct form_statement said, back;
	struct form_outcome outcome;
};

static bool round_of(struct str in, struct form_statement *s,
		     struct form_statement *back)
{
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct err err = { 0 };

	if (form_decode(in, s, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return false;
	}
	must(s->n_founders <= FOUNDERS_MAX && s->n_members <= FORM_MEMBERS_MAX);
	form_encode(&once, s);
	must(form_decode(buf_view(&once), back, &err) == OK);
	form_encode(&twice, back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
	return true;
}

static bool is_among(const struct founder *f, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (f[i].id == id)
			return true;
	return false;
}

static enum form_result step(struct form *form, uint64_t now, struct all *a)
{
	struct uuid fresh;
	enum form_result result;
	AUTO_BUF own = BUF_NONE;

	memset(fresh.b, 9, sizeof(fresh.b));
	result = form_step(form, now, &fresh, &a->outcome);
	must(form_waits_for(form));
	if (result == FORM_FOUND)
		must(is_among(a->outcome.founders, a->outcome.n_founders, 1));
	if (result != FORM_WAIT)
		must(!uuid_is_none(&a->outcome.cluster));
	form_state(form, &a->said);
	form_encode(&own, &a->said);
	must(round_of(buf_view(&own), &a->said, &a->back));
	return result;
}

static void hear(uint32_t expect, struct str in, struct all *a)
{
	struct form_config config = { .expect = expect };
	struct form *form;
	enum form_result result = FORM_WAIT;

	config.self.id = 1;
	memset(config.self.incarnation.b, 1, sizeof(config.self.incarnation.b));
	str_copy(config.self.address, sizeof(config.self.address), STR("one:1"));
	form = form_new(&config);
	for (uint64_t now = 1; in.n >= 2 && result == FORM_WAIT; now += 100) {
		size_t n = (size_t)((unsigned char)in.p[0] |
				    (unsigned char)in.p[1] << 8);

		if (round_of(str_first(str_from(in, 2), n), &a->said, &a->back))
			form_hear(form, now, &a->said);
		in = str_from(in, 2 + n);
		result = step(form, now, a);
	}
	form_free(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	struct all *a = NEW(struct all);

	if (size && data[0] == 255)
		(void)round_of(str_from(in, 1), &a->said, &a->back);
	else if (size)
		hear(data[0] % 8, str_from(in, 1), a);
	free(a);
	return 0;
}
