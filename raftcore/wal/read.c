/*
 * Reading back what is in the log: a place for each record, found by index.
 *
 * The last segment may be read while it is open for writing; both are the same
 * thread's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wal/own.h"

#include "base/banned.h"

#define RUN_BLOCKS 1024          /* read at once: 4 MiB, or one record */

/* ---- places ---- */

void wal_place_add(struct wal *wal, const struct wal_place *p)
{
	while (wal->n_places &&
	       wal->places[wal->n_places - 1].first >= p->first)
		wal->n_places--;
	if (wal->n_places) {
		struct wal_place *last = &wal->places[wal->n_places - 1];

		last->n = (uint32_t)MIN((uint64_t)last->n,
					p->first - last->first);
	}
	mem_grow((void **)&wal->places, &wal->cap_places, wal->n_places + 1,
		 sizeof(*wal->places));
	wal->places[wal->n_places++] = *p;
}

/* Segments go oldest first, but a replacing record may stand among older
 * indexes. */
void wal_places_drop(struct wal *wal, uint64_t segment)
{
	size_t n = 0;

	for (size_t i = 0; i < wal->n_places; i++)
		if (wal->places[i].segment != segment)
			wal->places[n++] = wal->places[i];
	wal->n_places = n;
}

/* The place that holds 'index', or n_places. */
static size_t place_find(const struct wal *wal, uint64_t index)
{
	size_t low = 0, high = wal->n_places;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct wal_place *p = &wal->places[mid];

		if (p->first + p->n <= index)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < wal->n_places && wal->places[low].first > index)
		return wal->n_places;
	return low;
}

/* ---- reading ---- */

struct reading {
	struct wal *wal;
	uint64_t from, to;
	uint64_t end;                    /* index behind this record's last */
	wal_recovered *each;
	void *data;
};

/* Only what was asked for and what was not replaced. */
static enum code pass_on(void *data, const struct wal_entry *e, struct err *err)
{
	struct reading *r = data;

	if (e->index < r->from || e->index > r->to || e->index >= r->end)
		return OK;
	return r->each(r->data, e, err);
}

/* How many places from 'i' on lie behind each other in one segment. */
static size_t run_of(const struct wal *wal, size_t i, uint64_t to,
		     size_t *blocks)
{
	size_t n = 1;

	*blocks = wal->places[i].blocks;
	for (; i + n < wal->n_places; n++) {
		const struct wal_place *a = &wal->places[i + n - 1], *b = a + 1;

		if (b->segment != a->segment || b->first > to ||
		    b->offset != a->offset + (uint64_t)a->blocks * WAL_BLOCK ||
		    *blocks + b->blocks > RUN_BLOCKS)
			break;
		*blocks += b->blocks;
	}
	return n;
}

static enum code read_blocks(struct wal *wal, const char *path, uint64_t at,
			     char *to, size_t n, struct err *err)
{
	struct fs *fs = wal->config.fs;
	struct file *file;
	size_t got;
	enum code rc = fs->ops->open(fs, path, 0, &file, err);

	if (rc)
		return rc;
	rc = fs->ops->read(fs, file, at, to, n, &got, err);
	fs->ops->close(fs, file);
	if (rc == OK && got != n)
		return wal_damage(path, at, "the segment ends here", err);
	return rc;
}

static enum code read_place(struct reading *r, const struct wal_place *p,
			    const struct segment *s, const char *blocks,
			    struct err *err)
{
	struct wal_stamp stamp;
	struct wal_record record;

	if (wal_stamp_read(blocks, &stamp) != WAL_FOUND_STAMP ||
	    stamp.segment != p->segment)
		return wal_damage(s->path, p->offset, "a record is not there",
				  err);
	r->end = p->first + p->n;
	return wal_record_read(s, p->offset, blocks, p->blocks,
			       stamp.sequence, pass_on, r, &record, err);
}

static enum code read_run(struct reading *r, size_t i, size_t n, size_t blocks,
			  struct err *err)
{
	const struct wal_place *p = &r->wal->places[i];
	const struct segment *s = wal_segment_find(r->wal, p->segment);
	char *bytes = file_alloc(blocks * WAL_BLOCK);
	size_t at = 0;
	enum code rc;

	rc = read_blocks(r->wal, s->path, p->offset, bytes, blocks * WAL_BLOCK,
			 err);
	for (size_t k = 0; k < n && rc == OK; k++) {
		rc = read_place(r, &p[k], s, bytes + at, err);
		at += (size_t)p[k].blocks * WAL_BLOCK;
	}
	free(bytes);
	return rc;
}

enum code wal_read(struct wal *wal, uint64_t from, uint64_t to,
		   wal_recovered *each, void *data, struct err *err)
{
	struct reading r = { .wal = wal, .from = from, .to = to, .each = each,
			     .data = data };
	size_t i = place_find(wal, from);
	enum code rc = OK;

	if (i == wal->n_places)
		return err_set(err, E_NOT_FOUND, "entry %llu is not in the log",
			       (unsigned long long)from);
	while (rc == OK && i < wal->n_places && wal->places[i].first <= to) {
		size_t blocks, n = run_of(wal, i, to, &blocks);

		rc = read_run(&r, i, n, blocks, err);
		i += n;
	}
	return rc;
}
