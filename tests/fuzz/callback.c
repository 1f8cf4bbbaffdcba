/*
 * What comes to a callback from anybody: its body, and the headers that say when it was
 * signed and by whom.  The first byte says how much of it is the signature.
 */
#include <stdint.h>

#include "api/callback.h"
#include "hook/sign.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hook_key_row key = { .before_until_ms = 10 };
	AUTO_ARENA arena = arena_new(0);
	struct hook_signed what = { .id = STR("a") };
	struct str in, signature;
	struct callback c;
	struct err err;

	if (size == 0)
		return 0;
	in = str_n((const char *)data + 1, size - 1);
	signature = str_first(in, data[0]);
	what.body = str_from(in, data[0]);
	what.timestamp = str_first(signature, 20);
	must(!hook_is_signed(signature, &key, 5, &what));
	(void)!hook_time_is_near(what.timestamp, 5, &err);
	if (callback_read(arena, what.body, &c, &err) == OK) {
		must(c.vote == VOTE_APPROVE || c.vote == VOTE_REJECT);
		must(c.proposal.n && c.proposal.n <= 253);
		must(c.reason.n <= CALLBACK_REASON_MAX);
	}
	return 0;
}
