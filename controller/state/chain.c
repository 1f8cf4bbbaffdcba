/* The effect chain: see chain.h. */
#include "state/chain.h"

#include <endian.h>
#include <xxhash.h>

#include "base/mem.h"

#include "base/banned.h"

struct chain {
	XXH3_state_t *xxh;
};

struct chain *chain_new(void)
{
	struct chain *chain = NEW(struct chain);

	chain->xxh = XXH3_createState();
	must(chain->xxh);
	chain_start(chain);
	return chain;
}

void chain_free(struct chain **chainp)
{
	struct chain *chain = TAKE(*chainp);

	if (!chain)
		return;
	XXH3_freeState(chain->xxh);
	free(chain);
}

static void add(struct chain *chain, const void *p, size_t n)
{
	if (n)
		must(XXH3_128bits_update(chain->xxh, p, n) == XXH_OK);
}

void chain_start(struct chain *chain)
{
	must(XXH3_128bits_reset(chain->xxh) == XXH_OK);
}

void chain_effect(struct chain *chain, enum kv_table table, struct str key,
		  struct str val)
{
	/* Deleted is told apart from empty. */
	uint64_t n[2] = { htole64(key.n), htole64(val.p ? val.n : UINT64_MAX) };
	uint8_t head[1 + sizeof(n)];

	head[0] = (uint8_t)table;
	memcpy(head + 1, n, sizeof(n));
	add(chain, head, sizeof(head));
	add(chain, key.p, key.n);
	if (val.p)
		add(chain, val.p, val.n);
}

void chain_copy(struct chain *to, const struct chain *from)
{
	XXH3_copyState(to->xxh, from->xxh);
}

struct sha256 chain_end(struct chain *chain, const struct sha256 *before,
			uint64_t index)
{
	struct {
		uint8_t before[32], index[8];
		XXH128_canonical_t effects;
	} link;

	memcpy(link.before, before->b, sizeof(link.before));
	for (unsigned i = 0; i < 8; i++)
		link.index[i] = (uint8_t)(index >> (56 - 8 * i));
	XXH128_canonicalFromHash(&link.effects,
				 XXH3_128bits_digest(chain->xxh));
	return sha256_of(str_n(&link, sizeof(link)));
}
