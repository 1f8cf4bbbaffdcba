/*
 * Randomness: from the kernel for ids and tokens, seeded for the simulator.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/buf.h"

void rand_bytes(void *p, size_t n);      /* getrandom(2); aborts if it fails */
uint64_t rand_u64(void);
struct uuid {
	uint8_t b[16];
};
struct uuid uuid_new(void);              /* version 4 */
void uuid_text(char out[37], struct uuid id);
bool uuid_parse(struct str s, struct uuid *out);   /* lower-case, with dashes */

struct prng {                            /* xoshiro256**; not for secrets */
	uint64_t s[4];
};
void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t n);   /* 0..n-1; n > 0 */
bool prng_chance(struct prng *p, unsigned per_million);

#endif
