/* Writes that travel together: see batch.h. */
#include "store/batch.h"

#include "base/banned.h"

#define FORMAT 1

enum what { OUTCOME = 0, FAILURE = 1 };

void batch_encode(struct buf *out, const struct str *commands, size_t n)
{
	must(n > 0 && n <= BATCH_COUNT_MAX);
	wr_u8(out, FORMAT);
	wr_var(out, n);
	for (size_t i = 0; i < n; i++)
		wr_str(out, commands[i]);
}

enum code batch_decode(struct str in, struct str commands[BATCH_COUNT_MAX],
		       size_t *n, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);
	uint64_t count = rd_var(&rd);
	size_t bytes = 0;

	if (rd.bad || format != FORMAT || !count || count > BATCH_COUNT_MAX)
		return err_set(err, E_INVALID, "a batch of writes is malformed: "
			       "format %u, %llu writes", format,
			       (unsigned long long)count);
	for (size_t i = 0; i < count; i++) {
		commands[i] = rd_str(&rd);
		bytes += commands[i].n;
		if (rd.bad || !commands[i].n || bytes > BATCH_BYTES_MAX)
			return err_set(err, E_INVALID, "write %zu of a batch is "
				       "empty, cut off or too long", i + 1);
	}
	if (!rd_done(&rd))
		return err_set(err, E_INVALID, "%zu bytes behind a batch of "
			       "writes", rd_left(&rd));
	*n = count;
	return OK;
}

void batch_answer_encode(struct buf *out, uint64_t rev,
			 const struct batch_item *items, size_t n)
{
	wr_u8(out, FORMAT);
	wr_u64(out, rev);
	wr_var(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct batch_item *item = &items[i];

		wr_u8(out, item->rc ? FAILURE : OUTCOME);
		if (item->rc) {
			wr_var(out, (uint64_t)item->rc);
			wr_str(out, item->text);
			wr_str(out, item->hint);
		} else {
			wr_str(out, item->outcome);
		}
	}
}

static bool take_item(struct rd *rd, struct batch_item *out)
{
	uint64_t code;

	*out = (struct batch_item){ 0 };
	switch (rd_u8(rd)) {
	case OUTCOME:
		out->outcome = rd_str(rd);
		return !rd->bad && out->outcome.n > 0;
	case FAILURE:
		code = rd_var(rd);
		out->text = rd_str(rd);
		out->hint = rd_str(rd);
		/* One of a later version says at least that it is one. */
		out->rc = code_from_number(code);
		return !rd->bad && code != OK;
	default:
		return false;
	}
}

enum code batch_answer_decode(struct str in, size_t n, uint64_t *rev,
			      struct batch_item *items, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);
	uint64_t at = rd_u64(&rd), count = rd_var(&rd);
	bool is_good = !rd.bad && format == FORMAT && count == n;

	for (size_t i = 0; i < n && is_good; i++)
		is_good = take_item(&rd, &items[i]);
	if (!is_good || !rd_done(&rd))
		return err_set(err, E_INVALID, "the leader's answer to %zu "
			       "writes is malformed", n);
	*rev = at;
	return OK;
}
