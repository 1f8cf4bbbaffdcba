/* Segments: names, headers and the stamps of blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "wal/own.h"

#include "base/banned.h"

void wal_segment_path(const struct wal *wal, uint64_t id, char out[512])
{
	snprintf(out, 512, "%s/%016llx.seg", wal->dir, (unsigned long long)id);
}

/* 16 hexadecimal digits between 'before' and 'after'. */
static bool take_id(struct str name, struct str before, struct str after,
		    uint64_t *id)
{
	if (name.n != before.n + 16 + after.n || !str_starts(name, before) ||
	    !str_ends(name, after))
		return false;
	*id = 0;
	for (size_t i = 0; i < 16; i++) {
		char c = name.p[before.n + i];
		unsigned d = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
			     c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) :
						    99;

		if (d == 99)
			return false;
		*id = *id << 4 | d;
	}
	return true;
}

bool wal_segment_id(struct str name, uint64_t *id)
{
	return take_id(name, STR_NONE, STR(".seg"), id);
}

bool wal_spare_id(struct str name, uint64_t *id)
{
	return take_id(name, STR_NONE, STR(".spare"), id);
}

bool wal_new_id(struct str name, uint64_t *id)
{
	return take_id(name, STR("new-"), STR(".spare"), id);
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

/* ---- headers ---- */

/* What a segment's key is for, and nothing else. */
static void context_of(const struct uuid *cluster, uint64_t node, uint64_t id,
		       struct buf *out)
{
	wr_raw(out, "conflux log segment", 19);
	wr_raw(out, cluster->b, sizeof(cluster->b));
	wr_u64(out, node);
	wr_u64(out, id);
}

static void take_key(struct segment *s, struct seal_key *key, struct str name)
{
	s->aead = aead_new(key);
	s->is_sealed = true;
	wipe(key, sizeof(*key));
	str_copy(s->key_name, sizeof(s->key_name), name);
}

/* Behind the header that all segments have: length, envelope, checksum of all
 * before. */
static enum code write_envelope(const struct wal *wal, struct segment *s,
				char block[WAL_BLOCK], struct err *err)
{
	AUTO_BUF context = BUF_NONE;
	AUTO_BUF envelope = BUF_NONE;
	char *at = block + WAL_HEADER_BYTES;
	struct seal_key key;
	enum code rc;

	context_of(&wal->config.cluster, wal->config.node, s->id, &context);
	rc = seal_envelope_new(wal->config.seal, buf_view(&context), &key,
			       &envelope, err);
	if (rc)
		return rc;
	put_le(at, envelope.n, 4);
	memcpy(at + 4, envelope.p, envelope.n);
	at += 4 + envelope.n;
	put_le(at, crc32c(0, block, (size_t)(at - block)), 4);
	take_key(s, &key, seal_envelope_name(buf_view(&envelope)));
	return OK;
}

enum code wal_header_write(const struct wal *wal, struct segment *s,
			   char block[WAL_BLOCK], struct err *err)
{
	memset(block, 0, WAL_BLOCK);
	put_le(block, WAL_MAGIC, 8);
	put_le(block + 8, wal->key_name ? WAL_FORMAT_SEALED : WAL_FORMAT, 4);
	put_le(block + 12, wal->config.segment_bytes, 8);
	put_le(block + 20, s->id, 8);
	memcpy(block + 28, wal->config.cluster.b, 16);
	put_le(block + 44, wal->config.node, 8);
	put_le(block + 52, s->first_sequence, 8);
	put_le(block + 60, crc32c(0, block, 60), 4);
	return wal->key_name ? write_envelope(wal, s, block, err) : OK;
}

static enum code bad_header(const char *path, struct err *err)
{
	return err_set(err, E_CORRUPT, "%s: damaged at 0 (the header)", path);
}

/* Behind the header that all have: an envelope, or nothing. */
static bool find_envelope(const char block[WAL_BLOCK], struct wal_header *h)
{
	size_t n = (size_t)get_le(block + WAL_HEADER_BYTES, 4);
	const char *at = block + WAL_HEADER_BYTES + 4, *crc = at + n;

	if (!h->is_sealed)
		return is_zero(block + WAL_HEADER_BYTES,
			       WAL_BLOCK - WAL_HEADER_BYTES);
	h->envelope = str_n(at, n);
	return n <= SEAL_ENVELOPE_MAX &&
	       get_le(crc, 4) == crc32c(0, block, (size_t)(crc - block)) &&
	       is_zero(crc + 4, (size_t)(block + WAL_BLOCK - crc - 4));
}

enum code wal_header_decode(const char *path, const char block[WAL_BLOCK],
			    struct wal_header *out, struct err *err)
{
	uint32_t format = (uint32_t)get_le(block + 8, 4);

	if (get_le(block, 8) != WAL_MAGIC ||
	    get_le(block + 60, 4) != crc32c(0, block, 60))
		return bad_header(path, err);
	if (format != WAL_FORMAT && format != WAL_FORMAT_SEALED)
		return err_set(err, E_UNSUPPORTED, "%s: log format %u, this "
			       "version reads %d and %d", path, format,
			       WAL_FORMAT, WAL_FORMAT_SEALED);
	*out = (struct wal_header){ .bytes = get_le(block + 12, 8),
				    .id = get_le(block + 20, 8),
				    .node = get_le(block + 44, 8),
				    .first_sequence = get_le(block + 52, 8),
				    .is_sealed = format == WAL_FORMAT_SEALED };
	memcpy(out->cluster.b, block + 28, sizeof(out->cluster.b));
	return find_envelope(block, out) ? OK : bad_header(path, err);
}

bool wal_header_says_sealed(const char block[WAL_BLOCK])
{
	return get_le(block + 8, 4) == WAL_FORMAT_SEALED;
}

enum code wal_header_open(const struct seal_provider *seal,
			  const struct wal_header *h, struct segment *s,
			  struct err *err)
{
	AUTO_BUF context = BUF_NONE;
	struct seal_key key;
	enum code rc;

	context_of(&h->cluster, h->node, h->id, &context);
	rc = seal_envelope_open(seal, NULL, buf_view(&context), h->envelope, &key,
				err);
	if (rc)
		return err_wrap(err, "%s", s->path);
	take_key(s, &key, seal_envelope_name(h->envelope));
	return OK;
}

enum code wal_header_check(const char *path, const struct wal_header *h,
			   const struct uuid *cluster, uint64_t node,
			   struct err *err)
{
	if (memcmp(h->cluster.b, cluster->b, sizeof(cluster->b)) == 0 &&
	    h->node == node)
		return OK;
	err_set(err, E_DENIED, "%s: the log of another cluster or node", path);
	return err_hint(err, "give each node a data directory of its own");
}

enum code wal_header_read(const struct wal *wal, const char block[WAL_BLOCK],
			  struct segment *s, struct err *err)
{
	struct wal_header h;
	enum code rc = wal_header_decode(s->path, block, &h, err);

	if (rc)
		return rc;
	if (h.id != s->id)
		return err_set(err, E_CORRUPT, "%s: the header names another "
			       "segment", s->path);
	rc = wal_header_check(s->path, &h, &wal->config.cluster,
			      wal->config.node, err);
	if (rc)
		return rc;
	s->first_sequence = h.first_sequence;
	s->bytes = h.bytes;
	return h.is_sealed ? wal_header_open(wal->config.seal, &h, s, err) : OK;
}

/* ---- sealed records ---- */

/*
 * The nonce: no two records of a segment have one sequence.  The next run begins
 * with a segment, and a key, of its own; so does a segment that was begun and did
 * not get its name; and after a write that failed nothing is appended.
 */
static void nonce_of(const char *record, uint8_t out[SEAL_NONCE_BYTES])
{
	memset(out, 0, SEAL_NONCE_BYTES);
	memcpy(out, record + 8, 8);
}

/* The record's header but for the checksum, which covers what is encrypted. */
static struct str ad_of(const char *record)
{
	return str_n(record + 4, WAL_RECORD_BYTES - 4);
}

void wal_record_seal(const struct segment *s, char *record, size_t n)
{
	uint8_t nonce[SEAL_NONCE_BYTES];
	size_t body = n - WAL_RECORD_BYTES - SEAL_TAG_BYTES;

	nonce_of(record, nonce);
	aead_seal(s->aead, nonce, ad_of(record), record + WAL_RECORD_BYTES, body,
		  (uint8_t *)record + n - SEAL_TAG_BYTES);
}

bool wal_record_open(const struct segment *s, char *record, size_t n)
{
	uint8_t nonce[SEAL_NONCE_BYTES];
	size_t body = n - WAL_RECORD_BYTES - SEAL_TAG_BYTES;

	nonce_of(record, nonce);
	return aead_open(s->aead, nonce, ad_of(record), record + WAL_RECORD_BYTES,
			 body, (const uint8_t *)record + n - SEAL_TAG_BYTES);
}
