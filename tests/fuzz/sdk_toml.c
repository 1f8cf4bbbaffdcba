/*
 * TOML as libconflux reads it, beside the daemon's reader (sdk_values.h).  What it takes
 * beyond that is deeper, longer, or a number that fits no double.
 */
#include "sdk_values.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* toml++ says of the same number one or the other, by compiler. */
static const char *const limits[] = {
	"deep", "not representable in 64 bits", "could not be interpreted",
	"exceeds length limit", "exceeds maximum precision", "50000 dotted keys",
};

/* Behind a backslash that ends a line toml++ also passes over the white space that
 * TOML has not: U+00A0, U+1680, U+180E, U+2000 and so on, U+3000, U+FEFF. */
static bool has_other_space(const uint8_t *data, size_t size)
{
	static const char *const begins[] = { "\xc2\xa0", "\xe1\x9a\x80", "\xe1\xa0\x8e",
					      "\xe2\x80", "\xe2\x81", "\xe3\x80\x80",
					      "\xef\xbb\xbf" };
	bool has = false;

	for (size_t i = 0; i < ARRAY_LEN(begins); i++)
		has |= memmem(data, size, begins[i], strlen(begins[i])) != NULL;
	return has && memchr(data, '\\', size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why;
	bool is_limit;

	if (has_other_space(data, size))
		return 0;
	why = fuzz_values(FORMAT_TOML, data, size);
	is_limit = why[0] == '\0';
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		is_limit |= strstr(why, limits[i]) != NULL;
	must(is_limit);
	return 0;
}
