/*
 * The log: opening, appending, cutting.  See wal.h.
 *
 * Who calls it: the WAL thread of raftcore/node, and the simulator.  It owns
 * the segments of one folder.  An error of a write leaves the log broken:
 * what is on the disk is not known any more, so the node ends and recovers.
 */
#include "wal/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "wal/own.h"

#include "base/banned.h"

#define ZERO_CHUNK (1024 * 1024)

void wal_block_reserve(struct wal *wal, size_t n)
{
	n = (n + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK;
	if (n <= wal->block_cap)
		return;
	free(wal->block);
	wal->block = file_alloc(n);
	wal->block_cap = n;
}

size_t wal_record_max(const struct wal *wal)
{
	/* Terms, types and lengths of entries take up to 24 bytes each; the
	 * caller bounds their number. */
	return (wal->config.segment_bytes / WAL_BLOCK - 1) * WAL_PAYLOAD / 2;
}

/* E_FULL would say that it may be tried again. */
static enum code broken(enum code rc, struct err *err)
{
	return rc == E_FULL ? (err->code = E_IO) : rc;
}

/* Where others have all descriptors, a log that is written waits for one as it waits
 * for room on the disk: what was not opened has changed nothing. */
static enum code unless_busy(const struct wal *wal, enum code rc, struct err *err)
{
	return rc == E_BUSY && wal->file ? (err->code = E_FULL) : rc;
}

/* For good: what is on the disk only recovery can tell. */
static void breaks(struct wal *wal, const struct err *err)
{
	wal->is_broken = true;
	err_copy(&wal->failed, err);
}

/* E_IO, and why; OK: it may be written. */
static enum code failed_before(const struct wal *wal, struct err *err)
{
	if (!wal->is_broken)
		return tend_broken(wal, err);
	err_set(err, E_IO, "the log failed before: %s", wal->failed.text);
	return err_hint(err, "look at its disk, and start again: what is there "
			"then is read anew");
}

/* ---- segments ---- */

static struct segment *segment_add(struct wal *wal, uint64_t id)
{
	struct segment *s;

	mem_grow((void **)&wal->segments, &wal->cap_segments,
		 wal->n_segments + 1, sizeof(*wal->segments));
	s = &wal->segments[wal->n_segments++];
	*s = (struct segment){ .id = id };
	wal_segment_path(wal, id, s->path);
	return s;
}

struct segment *wal_segment_find(struct wal *wal, uint64_t id)
{
	size_t low = 0, high = wal->n_segments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (wal->segments[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	must(low < wal->n_segments && wal->segments[low].id == id);
	return &wal->segments[low];
}

static void count_others(struct wal *wal)
{
	const char *now = wal->key_name ? wal->key_name : "";
	uint64_t n = 0;

	for (size_t i = 0; i < wal->n_segments; i++)
		n += strcmp(wal->segments[i].key_name, now) != 0;
	wal->stats.other_segments = n;
}

/* Files with zeros in them, so that later writes change no metadata. */
static enum code fill_zero(struct wal *wal, struct file *file, struct err *err)
{
	struct fs *fs = wal->config.fs;
	enum code rc = OK;

	wal_block_reserve(wal, ZERO_CHUNK);
	memset(wal->block, 0, ZERO_CHUNK);
	for (uint64_t at = 0; at < wal->config.segment_bytes && rc == OK;) {
		size_t n = (size_t)MIN((uint64_t)ZERO_CHUNK,
				       wal->config.segment_bytes - at);

		rc = fs->ops->write(fs, file, at, wal->block, n, err);
		at += n;
	}
	return rc ? rc : fs->ops->sync(fs, file, err);
}

static enum code make_spare(struct wal *wal, char path[512], struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct file *file;
	enum code rc;

	tend_name(wal, path);
	rc = fs->ops->open(fs, path, FILE_WRITE | FILE_CREATE | FILE_DIRECT,
			   &file, err);
	if (rc)
		return unless_busy(wal, rc, err);
	rc = fill_zero(wal, file, err);
	fs->ops->close(fs, file);
	if (rc)
		(void)fs->ops->remove(fs, path, NULL);
	return rc;
}

static enum code write_header(struct wal *wal, struct file *file,
			      struct segment *s, struct err *err)
{
	struct fs *fs = wal->config.fs;
	enum code rc = failpoint_hit(FP_WAL_SEGMENT, err);

	wal_block_reserve(wal, WAL_BLOCK);
	if (rc == OK)
		rc = wal_header_write(wal, s, wal->block, err);
	if (rc == OK)
		rc = fs->ops->write(fs, file, 0, wal->block, WAL_BLOCK, err);
	return rc ? rc : fs->ops->sync(fs, file, err);
}

/* A spare gets the header of 'next', then its name. */
static enum code name_segment(struct wal *wal, const char *spare,
			      struct segment *next, struct file **out,
			      struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct file *file;
	enum code rc = fs->ops->open(fs, spare, FILE_WRITE | FILE_DURABLE |
				     FILE_DIRECT, &file, err);

	if (rc)
		return unless_busy(wal, rc, err);
	rc = write_header(wal, file, next, err);
	if (rc == OK)
		rc = fs->ops->rename(fs, spare, next->path, err);
	if (rc == OK) {
		*out = file;
		return OK;
	}
	fs->ops->close(fs, file);
	return rc;
}

/*
 * Goes on in a new segment.  Until it has its name nothing has changed, so a full
 * disk can be tried again; after any other error only recovery can tell.  Where its
 * folder cannot be opened, the name is taken back: as before it, what a crash leaves
 * is a segment without records.
 */
static enum code next_segment(struct wal *wal, struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct segment next = { .id = wal->next_id,
				.bytes = wal->config.segment_bytes,
				.first_sequence = wal->next_sequence };
	struct file *file = NULL;
	enum code rc = OK;
	char spare[512];
	bool is_there;

	wal_segment_path(wal, next.id, next.path);
	is_there = tend_take(wal, spare);
	if (!is_there) {
		rc = make_spare(wal, spare, err);
		is_there = rc == OK;
	}
	if (rc == OK)
		rc = name_segment(wal, spare, &next, &file, err);
	if (rc) {
		if (is_there)
			tend_put_back(wal, spare);
		aead_free(&next.aead);
		err_wrap(err, "a new segment of the log");
		if (rc != E_FULL)
			breaks(wal, err);
		return rc;
	}
	rc = fs->ops->sync_dir(fs, wal->dir, err);
	if (rc) {
		bool is_back = unless_busy(wal, rc, err) == E_FULL && rc == E_BUSY &&
			       fs->ops->rename(fs, next.path, spare, NULL) == OK;

		if (is_back)
			tend_put_back(wal, spare);
		aead_free(&next.aead);
		fs->ops->close(fs, file);
		if (is_back)
			return E_FULL;
		breaks(wal, err);
		return broken(err->code, err);
	}
	if (wal->file)
		fs->ops->close(fs, wal->file);
	wal->file = file;
	wal->next_id++;
	wal->offset = WAL_BLOCK;
	*segment_add(wal, next.id) = next;
	tend_wake(wal);
	return OK;
}

/* ---- opening ---- */

/* A file that is no segment: it may be cut off, and is made anew. */
static enum code found_spare(struct wal *wal, struct str name, struct err *err)
{
	struct fs *fs = wal->config.fs;
	AUTO_BUF path = BUF_NONE;
	uint64_t id;

	/* Where it is kept for a while, no segment shall be given up by its name. */
	if (wal_spare_id(name, &id))
		wal->next_id = MAX(wal->next_id, id + 1);
	/* Without room they are what a start may be waiting for. */
	if (wal->config.tending != WAL_TEND_INLINE && !tend_is_tight(wal)) {
		tend_left(wal, name);
		return OK;
	}
	buf_printf(&path, "%s/%.*s", wal->dir, STR_ARG(name));
	return fs->ops->remove(fs, path.p, err);
}

/* Names come sorted, so segments come in the order of their ids. */
static enum code find_files(struct wal *wal, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct fs *fs = wal->config.fs;
	struct str rest;
	enum code rc = fs->ops->list(fs, wal->dir, &names, err);

	rest = buf_view(&names);
	while (rc == OK && rest.n) {
		struct str name = str_cut(&rest, '\0');
		uint64_t id;

		if (wal_segment_id(name, &id)) {
			segment_add(wal, id);
			wal->next_id = MAX(wal->next_id, id + 1);
		} else if (str_ends(name, STR(".spare")) &&
			   !wal->config.reads_only) {
			rc = found_spare(wal, name, err);
		}
	}
	return rc;
}

/*
 * The last record may be one whose writer was killed before the write had
 * returned: it is there, and what is not durable yet would be gone with the power,
 * behind segments that count on it.  Every other segment was done with before the
 * next one was begun.
 */
static enum code settle(struct wal *wal, struct err *err)
{
	struct fs *fs = wal->config.fs;
	const char *path;
	struct file *file;
	enum code rc;

	if (wal->n_segments == 0)
		return OK;
	path = wal->segments[wal->n_segments - 1].path;
	rc = fs->ops->open(fs, path, FILE_WRITE, &file, err);
	if (rc)
		return rc;
	rc = fs->ops->sync(fs, file, err);
	fs->ops->close(fs, file);
	return rc;
}

enum code wal_open(const struct wal_config *config, wal_recovered *each,
		   void *data, struct wal **out, struct err *err)
{
	struct wal *wal = NEW(struct wal);
	struct fs *fs = config->fs;
	enum code rc = OK;

	must(config->segment_bytes % WAL_BLOCK == 0 &&
	     config->segment_bytes >= 4 * WAL_BLOCK &&
	     config->segment_bytes <= WAL_SEGMENT_MAX);
	wal->config = *config;
	snprintf(wal->dir, sizeof(wal->dir), "%s", config->dir);
	wal->config.dir = wal->dir;
	wal->next_id = wal->next_sequence = 1;
	if (seal_is_on(config->seal))
		wal->key_name = config->seal->current(config->seal->data);
	if (!config->reads_only)
		rc = fs_make_dir(fs, wal->dir, err);
	tend_new(wal);
	if (rc == OK)
		rc = find_files(wal, err);
	if (rc == OK)
		rc = wal_recover(wal, each, data, err);
	if (rc == OK && !config->reads_only)
		rc = settle(wal, err);
	if (rc == OK && !config->reads_only)
		rc = next_segment(wal, err);
	count_others(wal);
	if (rc == OK && !config->reads_only)
		rc = tend_start(wal, err);
	if (rc) {
		wal_close(&wal);
		return rc;
	}
	if (wal->file)
		wal->stats.is_direct = fs->ops->is_direct(fs, wal->file);
	*out = wal;
	return OK;
}

void wal_close(struct wal **wp)
{
	struct wal *wal = *wp;

	if (!wal)
		return;
	tend_free(wal);
	if (wal->file)
		wal->config.fs->ops->close(wal->config.fs, wal->file);
	for (size_t i = 0; i < wal->n_segments; i++)
		aead_free(&wal->segments[i].aead);
	free(wal->segments);
	free(wal->places);
	free(wal->block);
	free(wal);
	*wp = NULL;
}

/* ---- appending ---- */

static size_t entries_bytes(const struct wal_entry *e, size_t n)
{
	size_t bytes = WAL_RECORD_BYTES + SEAL_TAG_BYTES;

	for (size_t i = 0; i < n; i++)
		bytes += 10 + 1 + 10 + e[i].data.n;   /* the most it takes */
	return bytes;
}

static void encode_body(struct buf *out, const struct wal_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		must(e[i].index == e[0].index + i);
		wr_var(out, e[i].term);
		wr_u8(out, e[i].type);
		wr_str(out, e[i].data);
	}
}

/* Answers its length; what is behind is padding. */
static size_t encode_record(struct wal *wal, struct buf *out,
			    const struct wal_entry *e, size_t n)
{
	size_t length, whole;

	buf_reserve(out, entries_bytes(e, n) + WAL_PAYLOAD);
	wr_u32(out, 0);
	wr_u32(out, 0);
	wr_u64(out, wal->next_sequence);
	wr_u64(out, e[0].index);
	wr_u64(out, n);
	encode_body(out, e, n);
	if (wal->key_name)
		(void)buf_extend(out, SEAL_TAG_BYTES);
	length = out->n;
	for (unsigned i = 0; i < 4; i++)
		out->p[4 + i] = (char)(length >> (8 * i));
	/* Padded to whole payloads: the checksum covers what is read back. */
	whole = (length + WAL_PAYLOAD - 1) / WAL_PAYLOAD * WAL_PAYLOAD;
	memset(buf_extend(out, whole - length), 0, whole - length);
	return length;
}

/* Of the segment that it goes to; then it is as it will stand there. */
static void finish_record(struct wal *wal, struct buf *record, size_t length)
{
	const struct segment *s = &wal->segments[wal->n_segments - 1];
	uint32_t crc;

	must(!s->aead == !wal->key_name);
	if (s->aead)
		wal_record_seal(s, record->p, length);
	crc = crc32c(0, record->p + 4, record->n - 4);
	for (unsigned i = 0; i < 4; i++)
		record->p[i] = (char)(crc >> (8 * i));
}

/* The record as stamped blocks in wal->block; answers their size. */
static size_t lay_out(struct wal *wal, struct str record)
{
	size_t blocks = record.n / WAL_PAYLOAD;
	const struct segment *s = &wal->segments[wal->n_segments - 1];

	wal_block_reserve(wal, blocks * WAL_BLOCK);
	for (size_t i = 0; i < blocks; i++) {
		char *to = wal->block + i * WAL_BLOCK;

		wal_stamp_write(to, &(struct wal_stamp){
					    s->id, wal->next_sequence, (uint32_t)i,
					    (uint32_t)blocks });
		memcpy(to + WAL_STAMP_BYTES, record.p + i * WAL_PAYLOAD,
		       WAL_PAYLOAD);
	}
	return blocks * WAL_BLOCK;
}

static enum code write_record(struct wal *wal, size_t n, struct err *err)
{
	struct fs *fs = wal->config.fs;
	enum code rc = failpoint_hit(FP_WAL_WRITE, err);

	if (rc == OK)
		rc = fs->ops->write(fs, wal->file, wal->offset, wal->block, n,
				    err);
	/* Direct and durable writes need no sync; others do. */
	if (rc == OK && !wal->stats.is_direct)
		rc = fs->ops->sync(fs, wal->file, err);
	return rc ? rc : failpoint_hit(FP_WAL_WRITTEN, err);
}

static void count(struct wal *wal, const struct wal_entry *e, size_t n,
		  size_t bytes)
{
	struct segment *s = &wal->segments[wal->n_segments - 1];
	struct wal_stats *st = &wal->stats;

	wal_place_add(wal, &(struct wal_place){
				   s->id, wal->offset, e[0].index,
				   (uint32_t)(bytes / WAL_BLOCK), (uint32_t)n });
	wal->offset += bytes;
	wal->next_sequence++;
	s->max_index = MAX(s->max_index, e[n - 1].index);
	st->records++;
	st->entries += n;
	st->bytes += bytes;
}

enum code wal_append(struct wal *wal, const struct wal_entry *entries, size_t n,
		     struct err *err)
{
	AUTO_BUF record = BUF_NONE;
	size_t bytes, length;
	enum code rc;

	must(n > 0);
	rc = failed_before(wal, err);
	if (rc)
		return rc;
	length = encode_record(wal, &record, entries, n);
	bytes = record.n / WAL_PAYLOAD * WAL_BLOCK;
	if (bytes > wal->config.segment_bytes - WAL_BLOCK)
		return err_set(err, E_TOO_LARGE,
			       "a record of %zu bytes does not fit a segment",
			       record.n);
	if (wal->offset + bytes > wal->config.segment_bytes) {
		rc = next_segment(wal, err);
		if (rc)
			return rc;
	}
	finish_record(wal, &record, length);
	lay_out(wal, buf_view(&record));
	rc = write_record(wal, bytes, err);
	if (rc) {
		/* The block may or may not be there: only recovery can tell. */
		breaks(wal, err);
		return broken(rc, err);
	}
	count(wal, entries, n, bytes);
	return OK;
}

/* ---- cutting ---- */

static void cut(struct wal *wal, uint64_t index)
{
	while (wal->n_segments > 1 && wal->segments[0].max_index <= index) {
		tend_give_up(wal, &wal->segments[0]);
		wal_places_drop(wal, wal->segments[0].id);
		aead_free(&wal->segments[0].aead);
		wal->n_segments--;
		memmove(&wal->segments[0], &wal->segments[1],
			wal->n_segments * sizeof(*wal->segments));
	}
	count_others(wal);
}

enum code wal_cut(struct wal *wal, uint64_t index, struct err *err)
{
	enum code rc;

	cut(wal, index);
	if (wal->config.tending == WAL_TEND_INLINE)
		return tend_drain(wal, err);
	rc = tend_failed(wal, err);
	tend_wake(wal);
	return rc;
}

/* What was given up must not be there again beside what is appended next.  Where that
 * takes another try, a segment that nothing was written to is as good as a new one. */
enum code wal_restart(struct wal *wal, struct err *err)
{
	enum code rc = failed_before(wal, err);

	if (rc == OK && (wal->n_segments > 1 || wal->offset > WAL_BLOCK))
		rc = next_segment(wal, err);
	if (rc)
		return rc;
	cut(wal, UINT64_MAX);
	rc = tend_drain(wal, err);
	tend_wake(wal);
	return rc ? unless_busy(wal, rc, err) : OK;
}

void wal_stats_get(const struct wal *wal, struct wal_stats *out)
{
	*out = wal->stats;
	out->segments = wal->n_segments;
	out->is_sealed = wal->key_name;
	if (wal->n_places) {
		const struct wal_place *last = &wal->places[wal->n_places - 1];

		out->first_index = wal->places[0].first;
		out->last_index = last->first + last->n - 1;
	}
}
