/* Segments: names, headers and the stamps of blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wal/own.h"

#include "base/banned.h"

void wal_segment_path(const struct wal *wal, uint64_t id, char out[512])
{
	snprintf(out, 512, "%s/%016llx.seg", wal->dir, (unsigned long long)id);
}

static void put_le(char *to, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (char)(v >> (8 * i));
}

static uint64_t get_le(const char *from, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)from[i] << (8 * i);
	return v;
}

void wal_stamp_write(char *block, const struct wal_stamp *s)
{
	put_le(block, s->segment, 8);
	put_le(block + 8, s->sequence, 8);
	put_le(block + 16, s->position, 4);
	put_le(block + 20, s->blocks, 4);
	put_le(block + 24, crc32c(0, block, 24), 4);
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

enum wal_found wal_stamp_read(const char *block, struct wal_stamp *out)
{
	*out = (struct wal_stamp){ get_le(block, 8), get_le(block + 8, 8),
				   (uint32_t)get_le(block + 16, 4),
				   (uint32_t)get_le(block + 20, 4) };
	if (get_le(block + 24, 4) == crc32c(0, block, 24) && out->segment)
		return WAL_FOUND_STAMP;
	/* A block that was never written is zero to its end. */
	if (is_zero(block, WAL_BLOCK))
		return WAL_FOUND_NOTHING;
	return WAL_FOUND_GARBAGE;
}

void wal_header_write(const struct wal *wal, const struct segment *s,
		      char block[WAL_BLOCK])
{
	memset(block, 0, WAL_BLOCK);
	put_le(block, WAL_MAGIC, 8);
	put_le(block + 8, WAL_FORMAT, 4);
	put_le(block + 12, wal->config.segment_bytes, 8);
	put_le(block + 20, s->id, 8);
	memcpy(block + 28, wal->config.cluster.b, 16);
	put_le(block + 44, wal->config.node, 8);
	put_le(block + 52, s->first_sequence, 8);
	put_le(block + 60, crc32c(0, block, 60), 4);
}

enum code wal_header_read(const struct wal *wal, const char block[WAL_BLOCK],
			  struct segment *s, struct err *err)
{
	if (get_le(block, 8) != WAL_MAGIC ||
	    get_le(block + 60, 4) != crc32c(0, block, 60) ||
	    !is_zero(block + WAL_HEADER_BYTES, WAL_BLOCK - WAL_HEADER_BYTES))
		return err_set(err, E_CORRUPT, "%s: damaged at 0 (the header)",
			       s->path);
	if (get_le(block + 8, 4) != WAL_FORMAT)
		return err_set(err, E_UNSUPPORTED, "%s: log format %u, this "
			       "version reads %d", s->path,
			       (unsigned)get_le(block + 8, 4), WAL_FORMAT);
	if (get_le(block + 20, 8) != s->id)
		return err_set(err, E_CORRUPT, "%s: the header names another "
			       "segment", s->path);
	if (memcmp(block + 28, wal->config.cluster.b, 16) != 0 ||
	    get_le(block + 44, 8) != wal->config.node) {
		err_set(err, E_DENIED, "%s: the log of another cluster or node",
			s->path);
		return err_hint(err, "give each node a data directory of its own");
	}
	s->first_sequence = get_le(block + 52, 8);
	return OK;
}
