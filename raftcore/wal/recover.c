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
	char *bytes;                     /* the whole segment */
	uint64_t n;
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

static enum code read_segment(struct scan *s)
{
	struct fs *fs = s->wal->config.fs;
	struct file *file;
	size_t got = 0;
	enum code rc = fs->ops->open(fs, s->segment->path, 0, &file, s->err);

	if (rc)
		return rc;
	rc = fs->ops->size(fs, file, &s->n, s->err);
	s->bytes = file_alloc((s->n + FILE_BLOCK) / FILE_BLOCK * FILE_BLOCK);
	if (rc == OK)
		rc = fs->ops->read(fs, file, 0, s->bytes, s->n, &got, s->err);
	fs->ops->close(fs, file);
	s->n = got / WAL_BLOCK * WAL_BLOCK;
	return rc;
}

/* ---- what is behind the end ---- */

/*
 * From 'at' on there is no record with the expected sequence.  Blocks of the
 * one that was being written may lie there (torn); anything later of this
 * segment means that something before it is missing.
 */
static enum code check_rest(struct scan *s, uint64_t at, bool *torn)
{
	uint64_t expected = s->wal->next_sequence;

	*torn = false;
	for (; at < s->n; at += WAL_BLOCK) {
		struct wal_stamp stamp;
		enum wal_found found = wal_stamp_read(s->bytes + at, &stamp);

		if (found == WAL_FOUND_GARBAGE)
			return damage(s, at, "a block without a valid stamp");
		if (found == WAL_FOUND_NOTHING ||
		    stamp.segment < s->segment->id)
			continue;
		if (stamp.segment > s->segment->id || stamp.sequence != expected)
			return damage(s, at, "a record behind a gap");
		*torn = true;
	}
	return OK;
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
	size_t tag = s->aead ? SEAL_TAG_BYTES : 0;
	const char *path = s->path;
	struct place place = { path, at, err };

	if (crc32c(0, all.p + 4, all.n - 4) != r.crc)
		return wal_damage(path, at, "the checksum of a record is wrong",
				  err);
	if (r.length < WAL_RECORD_BYTES + tag || r.length > all.n ||
	    r.count == 0 || r.sequence != sequence)
		return wal_damage(path, at, "a record with an impossible header",
				  err);
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

/* Is this block stamped as the 'i'th of the record that is expected?  Then
 * '*blocks' is how many that record has. */
static bool is_own(struct scan *s, uint64_t at, size_t i, size_t *blocks)
{
	struct wal_stamp stamp;
	uint64_t here = at + i * WAL_BLOCK;

	if (here >= s->n ||
	    wal_stamp_read(s->bytes + here, &stamp) != WAL_FOUND_STAMP ||
	    stamp.segment != s->segment->id ||
	    stamp.sequence != s->wal->next_sequence || stamp.position != i)
		return false;
	*blocks = stamp.blocks;
	return true;
}

/* Blocks of the whole record at 'at', by its stamps; 0: none, or torn. */
static size_t whole_record(struct scan *s, uint64_t at)
{
	size_t blocks, same;

	if (!is_own(s, at, 0, &blocks))
		return 0;
	for (size_t i = 1; i < blocks; i++)
		if (!is_own(s, at, i, &same) || same != blocks)
			return 0;
	return blocks;
}

/* One record at 'at'; '*blocks' is 0 where there is none. */
static enum code read_record(struct scan *s, uint64_t at, size_t *blocks)
{
	struct wal_record r;
	enum code rc;

	*blocks = whole_record(s, at);
	if (*blocks == 0)
		return OK;
	rc = wal_record_read(s->segment, at, s->bytes + at, *blocks,
			     s->wal->next_sequence, s->each, s->data, &r,
			     s->err);
	if (rc == OK)
		note(s, at, *blocks, &r);
	return rc;
}

static enum code scan_records(struct scan *s)
{
	uint64_t at = WAL_BLOCK;
	bool torn;
	enum code rc;

	while (at < s->n) {
		size_t blocks;

		rc = read_record(s, at, &blocks);
		if (rc)
			return rc;
		if (blocks == 0)
			break;
		at += blocks * WAL_BLOCK;
	}
	rc = check_rest(s, at, &torn);
	if (torn)
		s->wal->stats.torn++;
	return rc;
}

/* A segment gets its name after its header is durable, so each has one. */
static enum code scan_segment(struct scan *s, bool is_first)
{
	struct wal *wal = s->wal;
	enum code rc = read_segment(s);

	if (rc)
		return rc;
	if (s->n < WAL_BLOCK)
		return damage(s, 0, "the segment is shorter than its header");
	rc = wal_header_read(wal, s->bytes, s->segment, s->err);
	if (rc)
		return rc;
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
		free(s.bytes);
	}
	return rc;
}
