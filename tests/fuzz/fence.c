/* The file of a fenced node: refused, or the same bytes again. */
#include <stdint.h>

#include "node/own.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF again = BUF_NONE;
	struct fence_mark mark;

	if (!fence_decode(str_n(data, size), &mark))
		return 0;
	fence_encode(&again, &mark);
	must(str_eq(buf_view(&again), str_n(data, size)));
	return 0;
}
