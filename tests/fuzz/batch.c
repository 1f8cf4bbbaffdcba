/*
 * Batches of writes and their answers: whatever bytes come, nothing is read
 * beyond them and what is taken is within bounds; what was taken is written again
 * as it was read.
 */
#include <stdint.h>

#include "store/batch.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_writes(struct str in)
{
	struct str commands[BATCH_COUNT_MAX], again[BATCH_COUNT_MAX];
	AUTO_BUF bytes = BUF_NONE;
	size_t n, n_again, total = 0;
	struct err err = { 0 };

	if (batch_decode(in, commands, &n, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return;
	}
	must(n >= 1 && n <= BATCH_COUNT_MAX);
	for (size_t i = 0; i < n; i++) {
		must(commands[i].n && commands[i].p >= in.p &&
		     commands[i].p + commands[i].n <= in.p + in.n);
		total += commands[i].n;
	}
	must(total <= BATCH_BYTES_MAX);
	batch_encode(&bytes, commands, n);
	must(batch_decode(buf_view(&bytes), again, &n_again, &err) == OK);
	must(n_again == n);
	for (size_t i = 0; i < n; i++)
		must(str_eq(commands[i], again[i]));
}

static void try_answer(struct str in, size_t n)
{
	struct batch_item items[BATCH_COUNT_MAX], again[BATCH_COUNT_MAX];
	AUTO_BUF bytes = BUF_NONE;
	struct err err = { 0 };
	uint64_t rev, rev_again;

	if (batch_answer_decode(in, n, &rev, items, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return;
	}
	batch_answer_encode(&bytes, rev, items, n);
	must(batch_answer_decode(buf_view(&bytes), n, &rev_again, again,
				 &err) == OK);
	must(rev == rev_again);
	for (size_t i = 0; i < n; i++) {
		must(items[i].rc == again[i].rc);
		must(code_is_known((unsigned)items[i].rc));
		must(items[i].rc || items[i].outcome.n);
		must(str_eq(items[i].outcome, again[i].outcome));
		must(str_eq(items[i].text, again[i].text));
		must(str_eq(items[i].hint, again[i].hint));
	}
}

/* Input: how many writes an answer is expected to, and the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);

	if (!size)
		return 0;
	try_writes(str_from(in, 1));
	try_answer(str_from(in, 1), data[0] % BATCH_COUNT_MAX + 1);
	return 0;
}
