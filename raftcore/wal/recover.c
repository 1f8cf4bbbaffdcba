/*
 * Recovery: reads every block of every segment once and decides what is a
 * record, what is a torn end, and what is damage.
 */
#include <stdlib.h>
#include <string.h>

#include "wal/own.h"

#include "base/banned.h"

struct scan {
	struct wal *wal;
	struct segment *segment;
	struct wal_image image;
	wal_recovered *each;
	void *data;
	struct err *err;
};

enum code wal_damage(const char *path, uint64_t at, const char *what,
		     struct err *err)
{
	err_set(err, E_CORRUPT, "%s: damaged at %llu: %s", path,
		(unsigned long long)at, what);
	return err_hint(err, "this node's log cannot be trusted: wipe its "
			     "data directory and let it join again, or restore "
			     "a backup");
}

static enum code damage(struct scan *s, uint64_t at, const char *what)
{
	return wal_damage(s->segment->path, at, what, s->err);
}

enum code wal_image_read(struct fs *fs, unsigned flags, struct wal_image *im,
			 struct err *err)
{
	struct file *file;
	uint64_t size = 0;
	size_t got = 0;
	enum code rc = fs->ops->open(fs, im->path, flags, &file, err);

	if (rc)
		return rc;
	rc = fs->ops->size(fs, file, &size, err);
	if (rc == OK && size > WAL_SEGMENT_MAX)
		rc = wal_damage(im->path, 0, "it is larger than a segment can be",
				err);
	if (rc == OK) {
		size = size / WAL_BLOCK * WAL_BLOCK;
		im->bytes = file_alloc(MAX(size, (uint64_t)WAL_BLOCK));
		rc = fs->ops->read(fs, file, 0, im->bytes, size, &got, err);
	}
	fs->ops->close(fs, file);
	im->n = got / WAL_BLOCK * WAL_BLOCK;
	return rc;
}

/* ---- what is behind the end ---- */

enum wal_rest wal_image_rest(const struct wal_image *im, uint64_t at,
			     uint64_t sequence, uint64_t *bad, const char **what)
{
	enum wal_rest rest = WAL_REST_NONE;

	for (; at < im->n; at += WAL_BLOCK) {
		struct wal_stamp stamp;
		enum wal_found found = wal_stamp_read(im->bytes + at, &stamp);

		if (found == WAL_FOUND_NOTHING ||
		    (found == WAL_FOUND_STAMP && stamp.segment < im->segment))
			continue;
		if (found == WAL_FOUND_STAMP && stamp.segment == im->segment &&
		    stamp.sequence == sequence) {
			if (rest == WAL_REST_NONE)
				*bad = at;
			rest = WAL_REST_TORN;
			continue;
		}
		*bad = at;
		*what = found == WAL_FOUND_GARBAGE ?
				"a block without a valid stamp" :
				"a record behind a gap";
		return WAL_REST_DAMAGED;
	}
	return rest;
}

/* Is this block stamped as the 'i'th of the record?  Then '*blocks' is how many
 * that record has. */
static bool is_own(const struct wal_image *im, uint64_t at, size_t i,
		   uint64_t sequence, size_t *blocks)
{
	struct wal_stamp stamp;
	uint64_t here = at + i * WAL_BLOCK;

	if (here >= im->n ||
	    wal_stamp_read(im->bytes + here, &stamp) != WAL_FOUND_STAMP ||
	    stamp.segment != im->segment || stamp.sequence != sequence ||
	    stamp.position != i)
		return false;
	*blocks = stamp.blocks;
	return true;
}

size_t wal_image_record(const struct wal_image *im, uint64_t at,
			uint64_t sequence)
{
	size_t blocks, same;

	if (!is_own(im, at, 0, sequence, &blocks))
		return 0;
	for (size_t i = 1; i < blocks; i++)
		if (!is_own(im, at, i, sequence, &same) || same != blocks)
			return 0;
	return blocks;
}

/* ---- records ---- */

static struct str payload_of(const char *blocks, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_add(out, blocks + i * WAL_BLOCK + WAL_STAMP_BYTES,
			WAL_PAYLOAD);
	return buf_view(out);
}

static struct wal_record record_head(struct str payload)
{
	struct rd rd = rd_of(payload);
	struct wal_record r;

	r.crc = rd_u32(&rd);
	r.length = rd_u32(&rd);
	r.sequence = rd_u64(&rd);
	r.first_index = rd_u64(&rd);
	r.count = rd_u64(&rd);
	return r;
}

struct place {
	const char *path;
	uint64_t at;
	struct err *err;
};

/* Entries: term, type, length, bytes. */
static enum code tell(const struct place *p, const struct wal_record *r,
		      struct str body, wal_recovered *each, void *data)
{
	struct rd rd = rd_of(body);

	for (uint64_t i = 0; i < r->count; i++) {
		struct wal_entry e = { .index = r->first_index + i };
		enum code rc;

		e.term = rd_var(&rd);
		e.type = rd_u8(&rd);
		e.data = rd_str(&rd);
		if (rd.bad)
			return wal_damage(p->path, p->at,
					  "an entry is malformed", p->err);
		rc = each ? each(data, &e, p->err) : OK;
		if (rc)
			return rc;
	}
	if (!rd_done(&rd))
		return wal_damage(p->path, p->at, "bytes behind the last entry",
				  p->err);
	return OK;
}

enum code wal_record_read(const struct segment *s, uint64_t at, const char *blocks,
			  size_t n_blocks, uint64_t sequence,
			  wal_recovered *each, void *data,
			  struct wal_record *out, struct err *err)
{
	AUTO_BUF payload = BUF_NONE;
	struct str all = payload_of(blocks, n_blocks, &payload);
	struct wal_record r = record_head(all);
	size_t tag = s->is_sealed ? SEAL_TAG_BYTES : 0;
	const char *path = s->path;
	struct place place = { path, at, err };

	if (crc32c(0, all.p + 4, all.n - 4) != r.crc)
		return wal_damage(path, at, "the checksum of a record is wrong",
				  err);
	if (r.length < WAL_RECORD_BYTES + tag || r.length > all.n ||
	    r.count == 0 || r.sequence != sequence ||
	    r.count > (r.length - WAL_RECORD_BYTES - tag) / WAL_ENTRY_LEAST ||
	    r.first_index > UINT64_MAX - r.count)
		return wal_damage(path, at, "a record with an impossible header",
				  err);
	if (s->is_sealed && !s->aead) {
		*out = r;
		return OK;
	}
	if (tag && !wal_record_open(s, payload.p, r.length))
		return wal_damage(path, at, "a record does not open with the "
				  "segment's key: it was altered", err);
	*out = r;
	return tell(&place, &r,
		    str_first(str_from(all, WAL_RECORD_BYTES),
			      r.length - tag - WAL_RECORD_BYTES), each, data);
}

static void note(struct scan *s, uint64_t at, size_t blocks,
		 const struct wal_record *r)
{
	uint64_t last = r->first_index + r->count - 1;

	wal_place_add(s->wal, &(struct wal_place){
				      s->segment->id, at, r->first_index,
				      (uint32_t)blocks, (uint32_t)r->count });
	s->segment->max_index = MAX(s->segment->max_index, last);
	s->wal->next_sequence++;
}

/* One record at 'at'; '*blocks' is 0 where there is none. */
static enum code read_record(struct scan *s, uint64_t at, size_t *blocks)
{
	struct wal_record r;
	enum code rc;

	*blocks = wal_image_record(&s->image, at, s->wal->next_sequence);
	if (*blocks == 0)
		return OK;
	rc = wal_record_read(s->segment, at, s->image.bytes + at, *blocks,
			     s->wal->next_sequence, s->each, s->data, &r,
			     s->err);
	if (rc == OK)
		note(s, at, *blocks, &r);
	return rc;
}

static enum code scan_records(struct scan *s)
{
	uint64_t at = WAL_BLOCK, bad;
	const char *what;

	while (at < s->image.n) {
		size_t blocks;
		enum code rc = read_record(s, at, &blocks);

		if (rc)
			return rc;
		if (blocks == 0)
			break;
		at += blocks * WAL_BLOCK;
	}
	switch (wal_image_rest(&s->image, at, s->wal->next_sequence, &bad, &what)) {
	case WAL_REST_NONE:
		break;
	case WAL_REST_TORN:
		s->wal->stats.torn++;
		break;
	case WAL_REST_DAMAGED:
		return damage(s, bad, what);
	}
	return OK;
}

/* A segment gets its name after its header is durable, so each has one. */
static enum code scan_segment(struct scan *s, bool is_first)
{
	struct wal *wal = s->wal;
	enum code rc;

	s->image = (struct wal_image){ .path = s->segment->path,
				       .segment = s->segment->id };
	rc = wal_image_read(wal->config.fs, 0, &s->image, s->err);
	if (rc)
		return rc;
	if (s->image.n < WAL_BLOCK)
		return damage(s, 0, "the segment is shorter than its header");
	rc = wal_header_read(wal, s->image.bytes, s->segment, s->err);
	if (rc)
		return rc;
	/* It was made whole before it got its name. */
	if (s->image.n < s->segment->bytes)
		return damage(s, s->image.n, "the segment is cut off");
	if (is_first)
		wal->next_sequence = s->segment->first_sequence;
	else if (s->segment->first_sequence != wal->next_sequence)
		return damage(s, 0, "records before this segment are missing");
	return scan_records(s);
}

enum code wal_recover(struct wal *wal, wal_recovered *each, void *data,
		      struct err *err)
{
	enum code rc = OK;

	for (size_t i = 0; i < wal->n_segments && rc == OK; i++) {
		struct scan s = { .wal = wal, .segment = &wal->segments[i],
				  .each = each, .data = data, .err = err };

		rc = scan_segment(&s, i == 0);
		free(s.image.bytes);
	}
	return rc;
}
