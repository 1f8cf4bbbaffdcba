/*
 * Random bytes from the kernel, and a seeded generator for the simulator.
 */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/hex.h"

#include "base/banned.h"

void rand_bytes(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		must(got > 0 || errno == EINTR);
		if (got < 0)
			continue;
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

/* RFC 9562, section 5.4. */
struct uuid uuid_new(void)
{
	struct uuid id;

	rand_bytes(id.b, sizeof(id.b));
	id.b[6] = (id.b[6] & 0x0f) | 0x40;
	id.b[8] = (id.b[8] & 0x3f) | 0x80;
	return id;
}

/* Where the groups of the text start, in bytes of the id and in the text. */
static const struct {
	uint8_t byte, n, at;
} uuid_groups[] = { { 0, 4, 0 }, { 4, 2, 9 }, { 6, 2, 14 }, { 8, 2, 19 }, { 10, 6, 24 } };

void uuid_text(char out[37], struct uuid id)
{
	for (size_t i = 0; i < ARRAY_LEN(uuid_groups); i++) {
		hex_text(out + uuid_groups[i].at, id.b + uuid_groups[i].byte,
			 uuid_groups[i].n);
		if (i + 1 < ARRAY_LEN(uuid_groups))
			out[uuid_groups[i + 1].at - 1] = '-';
	}
}

bool uuid_parse(struct str s, struct uuid *out)
{
	struct uuid id;
	char text[37];

	if (s.n != 36)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(uuid_groups); i++)
		if (!hex_parse(str_first(str_from(s, uuid_groups[i].at),
					 2u * uuid_groups[i].n),
			       id.b + uuid_groups[i].byte, uuid_groups[i].n))
			return false;
	/* Dashes in place and lower case: one id has one text. */
	uuid_text(text, id);
	if (!str_eq(s, str_n(text, 36)))
		return false;
	*out = id;
	return true;
}

/* SplitMix64, which the authors of xoshiro name for seeding. */
static uint64_t split_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void prng_init(struct prng *p, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(p->s); i++)
		p->s[i] = split_mix(&seed);
}

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

/* xoshiro256** 1.0, D. Blackman and S. Vigna, 2018. */
uint64_t prng_next(struct prng *p)
{
	uint64_t answer = rotl(p->s[1] * 5, 7) * 9;
	uint64_t t = p->s[1] << 17;

	p->s[2] ^= p->s[0];
	p->s[3] ^= p->s[1];
	p->s[1] ^= p->s[2];
	p->s[0] ^= p->s[3];
	p->s[2] ^= t;
	p->s[3] = rotl(p->s[3], 45);
	return answer;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
	uint64_t v, least;

	must(n > 0);
	/* 2^64 mod n: values below it would make some answers likelier. */
	least = -n % n;
	do
		v = prng_next(p);
	while (v < least);
	return v % n;
}

bool prng_chance(struct prng *p, unsigned per_million)
{
	return prng_below(p, 1000000) < per_million;
}
