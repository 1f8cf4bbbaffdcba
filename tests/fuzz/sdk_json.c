/*
 * JSON as libconflux reads it, beside the daemon's reader (sdk_values.h).  What it takes
 * beyond that is deeper, or a number that fits no double.
 */
#include "sdk_values.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = fuzz_values(FORMAT_JSON, data, size);

	must(!why[0] || strstr(why, "deep") || strstr(why, "number"));
	return 0;
}
