/* Randomness: see rand.h. */
#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hex.h"

#include "base/banned.h"

void rand_bytes(void *p, size_t n)
{
	unsigned char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			perror("getrandom");
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

struct uuid uuid_new(void)
{
	struct uuid id;

	rand_bytes(id.b, sizeof(id.b));
	id.b[6] = (uint8_t)(0x40 | (id.b[6] & 0x0f));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

void uuid_text(char out[37], struct uuid id)
{
	static const size_t from[] = { 0, 4, 6, 8, 10, 16 };
	char *at = out;

	for (size_t i = 0; i + 1 < ARRAY_LEN(from); i++) {
		hex_text(at, id.b + from[i], from[i + 1] - from[i]);
		at += 2 * (from[i + 1] - from[i]);
		*at++ = i == 4 ? '\0' : '-';
	}
}

bool uuid_parse(struct str s, struct uuid *out)
{
	char plain[33];
	size_t n = 0;

	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (s.p[i] == '-') ||
		    (s.p[i] >= 'A' && s.p[i] <= 'F'))
			return false;
		if (!dash)
			plain[n++] = s.p[i];
	}
	return hex_parse(str_n(plain, n), out->b, sizeof(out->b));
}

/* splitmix64 spreads the seed; xoshiro256** by Blackman and Vigna. */
static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void prng_init(struct prng *p, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		p->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t prng_next(struct prng *p)
{
	uint64_t *s = p->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
	must(n > 0);
	return prng_next(p) % n;
}

bool prng_chance(struct prng *p, unsigned per_million)
{
	return prng_below(p, 1000000) < per_million;
}
