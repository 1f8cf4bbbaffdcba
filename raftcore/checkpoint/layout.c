/* Head, trailer and stamps of a checkpoint as bytes: pure. */
#include <string.h>

#include "checkpoint/own.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

static void put_u32(char *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (char)(v >> (8 * i));
}

static uint32_t get_u32(const char *from)
{
	struct rd rd = rd_of(str_n(from, 4));

	return rd_u32(&rd);
}

uint32_t ckpt_seal(const struct checkpoint_head *h)
{
	AUTO_BUF b = BUF_NONE;

	wr_raw(&b, h->cluster.b, sizeof(h->cluster.b));
	wr_u64(&b, h->index);
	wr_u64(&b, h->term);
	return crc32c(0, b.p, b.n);
}

/* Pads to a block whose first four bytes are the checksum of the rest. */
static void close_block(const struct buf *b, char *out)
{
	must(b->n <= FILE_BLOCK);
	memset(out, 0, FILE_BLOCK);
	memcpy(out, b->p, b->n);
	put_u32(out, crc32c(0, out + 4, FILE_BLOCK - 4));
}

void ckpt_head_write(const struct checkpoint_head *h, char out[CKPT_HEAD])
{
	AUTO_BUF b = BUF_NONE;

	must(h->configuration_bytes <= CHECKPOINT_CONFIGURATION_MAX);
	wr_u32(&b, 0);
	wr_u32(&b, CKPT_FORMAT);
	wr_u64(&b, CKPT_MAGIC);
	wr_raw(&b, h->cluster.b, sizeof(h->cluster.b));
	wr_u64(&b, h->index);
	wr_u64(&b, h->term);
	wr_u64(&b, h->bytes);
	wr_u32(&b, CKPT_BLOCK);
	wr_u64(&b, h->configuration_index);
	wr_str(&b, str_n(h->configuration, h->configuration_bytes));
	close_block(&b, out);
}

bool ckpt_head_read(const char in[CKPT_HEAD], struct checkpoint_head *out)
{
	struct rd rd = rd_of(str_n(in, CKPT_HEAD));
	struct str configuration;

	if (rd_u32(&rd) != crc32c(0, in + 4, CKPT_HEAD - 4) ||
	    rd_u32(&rd) != CKPT_FORMAT || rd_u64(&rd) != CKPT_MAGIC)
		return false;
	*out = (struct checkpoint_head){ 0 };
	memcpy(out->cluster.b, rd_raw(&rd, sizeof(out->cluster.b)).p,
	       sizeof(out->cluster.b));
	out->index = rd_u64(&rd);
	out->term = rd_u64(&rd);
	out->bytes = rd_u64(&rd);
	if (rd_u32(&rd) != CKPT_BLOCK)
		return false;
	out->configuration_index = rd_u64(&rd);
	configuration = rd_str(&rd);
	if (rd.bad || configuration.n > CHECKPOINT_CONFIGURATION_MAX)
		return false;
	out->configuration_bytes = configuration.n;
	memcpy(out->configuration, configuration.p, configuration.n);
	return true;
}

void ckpt_trailer_write(const struct checkpoint_head *h, uint32_t sums,
			char out[CKPT_TRAILER])
{
	AUTO_BUF b = BUF_NONE;

	wr_u32(&b, 0);
	wr_u32(&b, ckpt_seal(h));
	wr_u64(&b, CKPT_END);
	wr_u64(&b, h->bytes);
	wr_u32(&b, sums);
	close_block(&b, out);
}

bool ckpt_trailer_read(const char in[CKPT_TRAILER],
		       const struct checkpoint_head *h, uint32_t *sums)
{
	struct rd rd = rd_of(str_n(in, CKPT_TRAILER));

	if (rd_u32(&rd) != crc32c(0, in + 4, CKPT_TRAILER - 4) ||
	    rd_u32(&rd) != ckpt_seal(h) || rd_u64(&rd) != CKPT_END ||
	    rd_u64(&rd) != h->bytes)
		return false;
	*sums = rd_u32(&rd);
	return !rd.bad;
}

uint32_t ckpt_stamp_write(char *p, size_t n, uint64_t number, uint32_t seal)
{
	put_u32(p + 4, (uint32_t)n);
	put_u32(p + 8, (uint32_t)number);
	put_u32(p + 12, (uint32_t)(number >> 32));
	put_u32(p, crc32c(seal, p + 4, ckpt_whole(CKPT_STAMP + n) - 4));
	return get_u32(p);
}
