/* Messages between engines: refused, or encoded again to an equal message. */
#include <stdint.h>

#include "node/message.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct engine_message m, back;

	if (message_decode(arena, str_n(data, size), &m, NULL))
		return 0;
	/* Varints may be longer than need be, so the bytes are compared after
	 * one round. */
	message_encode(&once, &m);
	must(message_decode(arena, buf_view(&once), &back, NULL) == OK);
	message_encode(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
	return 0;
}
