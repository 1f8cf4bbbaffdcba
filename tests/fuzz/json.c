/* JSON texts: see roundtrip.h. */
#include <stdint.h>

#include "roundtrip.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_format(FORMAT_JSON, str_n(data, size));
	return 0;
}
