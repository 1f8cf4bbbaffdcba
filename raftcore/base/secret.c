/*
 * Bytes that are wiped when let go, and compared without telling by time how
 * much of them was right.
 */
#include "base/secret.h"

#include "base/mem.h"

#include "base/banned.h"

void secret_set(struct secret *s, struct str bytes)
{
	/* Copied before wiping: 'bytes' may be what the secret holds now. */
	unsigned char *copy = (unsigned char *)mem_dup(bytes.p, bytes.n);

	secret_wipe(s);
	s->bytes_ = copy;
	s->n = bytes.n;
}

void secret_wipe(struct secret *s)
{
	if (s->bytes_)
		wipe(s->bytes_, s->n);
	free(s->bytes_);
	s->bytes_ = NULL;
	s->n = 0;
}

struct str secret_open(const struct secret *s)
{
	return str_n(s->bytes_, s->n);
}

/* Eight bytes at a time; how long it takes depends on the length alone. */
bool secret_eq(const struct secret *a, struct str b)
{
	uint64_t differs = 0, x, y;
	size_t i = 0;

	if (a->n != b.n)
		return false;
	for (; i + sizeof(x) <= a->n; i += sizeof(x)) {
		memcpy(&x, a->bytes_ + i, sizeof(x));
		memcpy(&y, b.p + i, sizeof(y));
		differs |= x ^ y;
	}
	for (; i < a->n; i++)
		differs |= a->bytes_[i] ^ (unsigned char)b.p[i];
	return differs == 0;
}

void wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}
