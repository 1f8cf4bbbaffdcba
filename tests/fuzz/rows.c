/*
 * Rows of the store, and outcomes, which come from the leader and out of rows:
 * refused, or read with nothing beyond the bytes.
 *
 * The first byte says which; what is read borrows from the bytes, and is looked at.
 */
#include <stdint.h>

#include "state/command.h"
#include "state/rows.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str in;

/* All of a string lies in the bytes. */
static void within(struct str s)
{
	must(s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n));
}

static void object(void)
{
	struct object_row row = { 0 };

	if (!object_row_decode(in, &row))
		return;
	within(row.labels);
	within(row.spec);
	within(row.status);
	within(row.format);
}

static void live(void)
{
	struct live_row row = { 0 };

	(void)!live_row_decode(in, &row);
}

static void version(void)
{
	struct version_row row = { 0 };
	size_t half = in.n / 2;

	(void)!version_row_decode(str_first(in, half), str_from(in, half), &row);
}

static void blob(void)
{
	struct blob_head head = { 0 };
	struct str bytes = STR_NONE;

	if (blob_head_decode(in, &head, &bytes))
		within(bytes);
}

static void event(void)
{
	struct event_row row = { 0 };

	if (!event_row_decode(in, &row))
		return;
	within(row.tenant);
	within(row.name);
}

static void audit(void)
{
	struct audit_row row = { 0 };
	bool is_right = false;

	(void)!audit_row_decode(in, &row, &is_right);
}

static void token(void)
{
	struct token_row row = { 0 };

	if (token_row_decode(in, &row))
		within(row.name);
}

static void head(void)
{
	struct head h = { 0 };
	uint64_t v;

	(void)!head_decode(in, &h);
	(void)!cluster_version_decode(in, &v);
}

static void member(void)
{
	struct member_row row = { 0 };
	size_t half = MIN(in.n, KEY_MEMBERS.n + sizeof(struct uuid));

	if (!member_row_decode(str_first(in, half), str_from(in, half), &row))
		return;
	within(row.address);
	within(row.subject);
}

static void outcome(void)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct outcome o, back;

	if (!outcome_decode(arena, in, &o))
		return;
	must(o.n_results <= in.n);
	must(code_is_known((unsigned)o.code));
	outcome_encode(&once, &o);
	must(outcome_decode(arena, buf_view(&once), &back));
	outcome_encode(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(void) = { object, live, version, blob, event,
					       audit, token, head, outcome, member };

	if (size == 0)
		return 0;
	in = str_n(data + 1, size - 1);
	kinds[data[0] % ARRAY_LEN(kinds)]();
	return 0;
}
