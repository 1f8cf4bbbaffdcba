/*
 * Everything that a log holds: see inspect.h.  What is a record, torn or damage is
 * decided by the same functions as at a start (recover.c); here it is told instead
 * of refused, and the scan goes on with the next record that verifies.
 */
#include "wal/inspect.h"

#include <stdlib.h>

#include "wal/own.h"

#include "base/banned.h"

/* A place that changes each time that it is read. */
#define READS_MAX 64

#define ULL(x) ((unsigned long long)(x))

struct look {
	const struct wal_inspect_config *config;
	const struct wal_visitor *v;
	struct wal_inspected *sum;
	struct err *err;
	struct segment segment;          /* that is looked at */
	struct wal_image image;
	uint64_t sequence;               /* of the next record; 0: not known */
	uint64_t last_index;
	bool has_hole;                   /* something before is not there */
	bool is_gone;                    /* the node gave the segment up */
};

/* ---- a log that is being written ---- */

/* Given up by its node: then its blocks may be another segment's by now. */
static bool is_gone(struct look *l)
{
	struct fs *fs = l->config->fs;
	struct file *file;
	enum code rc = fs->ops->open(fs, l->segment.path, 0, &file, NULL);

	if (rc == OK)
		fs->ops->close(fs, file);
	l->is_gone = rc == E_NOT_FOUND;
	return l->is_gone;
}

/*
 * Reads what stands from 'at' to 'end' once more.  True: it is another than before,
 * and is to be looked at again.
 */
static bool has_changed(struct look *l, uint64_t at, uint64_t end)
{
	struct fs *fs = l->config->fs;
	size_t n = (size_t)(MIN(end, l->image.n) - at), got = 0;
	char *was = l->image.bytes + at, *now;
	struct file *file;
	bool is_whole;

	if (fs->ops->open(fs, l->segment.path, FILE_DIRECT, &file, NULL))
		return false;
	now = file_alloc(n);
	is_whole = fs->ops->read(fs, file, at, now, n, &got, NULL) == OK &&
		   got == n;
	fs->ops->close(fs, file);
	is_whole = is_whole && memcmp(now, was, n) != 0;
	if (is_whole)
		memcpy(was, now, n);
	free(now);
	return is_whole;
}

/* ---- telling ---- */

static enum code tell_damage(struct look *l, const struct err *why)
{
	l->sum->damaged++;
	l->has_hole = true;
	return l->v->damage ? l->v->damage(l->v->data, why, l->err) : OK;
}

static enum code damage_at(struct look *l, uint64_t at, const char *what)
{
	struct err why = { 0 };

	(void)!wal_damage(l->segment.path, at, what, &why);
	return tell_damage(l, &why);
}

static enum code tell_torn(struct look *l, uint64_t at)
{
	l->sum->torn++;
	return l->v->torn ? l->v->torn(l->v->data, l->segment.path, at, l->err) :
			    OK;
}

/* Entries between the last one and this record are nowhere. */
static enum code check_index(struct look *l, uint64_t at,
			     const struct wal_record *r)
{
	char text[80];

	if (l->has_hole || !l->last_index || r->first_index <= l->last_index + 1)
		return OK;
	snprintf(text, sizeof(text), "entry %llu does not follow %llu",
		 ULL(r->first_index), ULL(l->last_index));
	return damage_at(l, at, text);
}

static enum code tell_entry(void *data, const struct wal_entry *e,
			    struct err *err)
{
	struct look *l = data;

	l->sum->entries++;
	return l->v->entry ? l->v->entry(l->v->data, e, err) : OK;
}

static enum code tell_record(struct look *l, uint64_t at, size_t blocks,
			     const struct wal_record *r)
{
	struct wal_record again;
	bool is_closed = l->segment.is_sealed && !l->segment.aead;
	bool replaces = l->last_index && r->first_index <= l->last_index;
	struct wal_seen_record seen = {
		.path = l->segment.path, .offset = at, .sequence = r->sequence,
		.first_index = r->first_index, .count = r->count,
		.bytes = r->length, .blocks = (unsigned)blocks,
		.is_closed = is_closed,
		.replaces = replaces ? l->last_index : 0 };
	enum code rc = check_index(l, at, r);

	if (rc == OK && l->v->record)
		rc = l->v->record(l->v->data, &seen, l->err);
	if (rc == OK)
		rc = wal_record_read(&l->segment, at, l->image.bytes + at, blocks,
				     r->sequence, tell_entry, l, &again, l->err);
	l->sum->records++;
	l->has_hole = false;
	if (!l->sum->first_index || r->first_index < l->sum->first_index)
		l->sum->first_index = r->first_index;
	l->last_index = l->sum->last_index = r->first_index + r->count - 1;
	return rc;
}

/* ---- records ---- */

/* The next place from 'at' on where a record of this segment stands whole by its
 * stamps, and is none that was told; the end where there is none. */
static uint64_t next_record(struct look *l, uint64_t at)
{
	for (; at < l->image.n; at += WAL_BLOCK) {
		struct wal_stamp stamp;

		if (wal_stamp_read(l->image.bytes + at, &stamp) !=
			    WAL_FOUND_STAMP ||
		    stamp.sequence < l->sequence ||
		    !wal_image_record(&l->image, at, stamp.sequence))
			continue;
		l->sequence = stamp.sequence;
		return at;
	}
	return l->image.n;
}

/* The record in 'blocks' at 'at'.  OK and '*again': it has to be read again. */
static enum code look_at_record(struct look *l, uint64_t at, size_t blocks,
				bool *again)
{
	struct err why = { 0 };
	struct wal_record r;

	*again = false;
	if (wal_record_read(&l->segment, at, l->image.bytes + at, blocks,
			    l->sequence, NULL, NULL, &r, &why) == OK)
		return tell_record(l, at, blocks, &r);
	*again = has_changed(l, at, at + blocks * WAL_BLOCK);
	return *again || is_gone(l) ? OK : tell_damage(l, &why);
}

/* No record begins at '*at', which moves to where one does, or to the end. */
static enum code look_at_rest(struct look *l, uint64_t *at, bool *again)
{
	uint64_t from = *at, bad = from;
	const char *what = NULL;
	char text[120];
	enum wal_rest rest = wal_image_rest(&l->image, from, l->sequence, &bad,
					    &what);

	*again = false;
	*at = l->image.n;
	if (rest == WAL_REST_NONE)
		return OK;
	*again = has_changed(l, from, bad + WAL_BLOCK);
	if (*again) {
		*at = from;
		return OK;
	}
	if (is_gone(l))
		return OK;
	if (rest == WAL_REST_TORN)
		return tell_torn(l, bad);
	*at = next_record(l, from);
	if (*at < l->image.n)
		snprintf(text, sizeof(text), "%s; the next record is at %llu",
			 what, ULL(*at));
	else
		snprintf(text, sizeof(text), "%s; no record is behind it", what);
	return damage_at(l, bad, text);
}

static enum code look_at_records(struct look *l)
{
	uint64_t at = WAL_BLOCK;
	unsigned reads = 0;
	enum code rc = OK;

	if (!l->sequence)
		at = next_record(l, at);
	while (rc == OK && at < l->image.n) {
		size_t blocks = wal_image_record(&l->image, at, l->sequence);
		bool again;

		rc = blocks ? look_at_record(l, at, blocks, &again) :
			      look_at_rest(l, &at, &again);
		if (again && ++reads < READS_MAX)
			continue;
		if (again)
			return err_set(l->err, E_BUSY, "%s changes too fast to be "
				       "read at %llu", l->segment.path, ULL(at));
		reads = 0;
		at += blocks * WAL_BLOCK;
		l->sequence += blocks > 0;
	}
	return rc;
}

/* ---- segments ---- */

/* Nothing of its header can be believed: its records are looked for by their stamps,
 * and what says that it is sealed is taken for it. */
static enum code without_header(struct look *l, const struct err *why)
{
	if (l->image.n >= WAL_BLOCK)
		l->segment.is_sealed = wal_header_says_sealed(l->image.bytes);
	l->sequence = 0;
	return tell_damage(l, why);
}

static enum code with_header(struct look *l, const struct wal_header *h)
{
	const struct wal_inspect_config *c = l->config;
	const char *path = l->segment.path;
	struct err why = { 0 };
	enum code rc = OK;

	if (h->id != l->segment.id)
		rc = damage_at(l, 0, "the header names another segment");
	if (rc == OK && c->cluster &&
	    wal_header_check(path, h, c->cluster, c->node, &why))
		rc = tell_damage(l, &why);
	if (rc == OK && l->sequence && !l->has_hole &&
	    h->first_sequence != l->sequence)
		rc = damage_at(l, 0, "records before this segment are missing");
	if (rc == OK && l->image.n < h->bytes)
		rc = damage_at(l, l->image.n, "the segment is cut off");
	/* Its stamps have the id of the header. */
	l->segment.id = l->image.segment = h->id;
	l->segment.is_sealed = h->is_sealed;
	l->sequence = h->first_sequence;
	return rc;
}

static enum code tell_segment(struct look *l, const struct err *closed)
{
	struct wal_seen_segment seen = {
		.path = l->segment.path, .id = l->segment.id,
		.first_sequence = l->sequence,
		.is_sealed = l->segment.is_sealed,
		.key_name = l->segment.key_name, .closed = closed };

	l->sum->segments++;
	l->sum->closed_segments += closed != NULL;
	return l->v->segment ? l->v->segment(l->v->data, &seen, l->err) : OK;
}

static enum code open_sealed(struct look *l, const struct wal_header *h,
			     struct err *closed)
{
	if (!h->is_sealed)
		return OK;
	if (wal_header_open(l->config->seal, h, &l->segment, closed) == E_CORRUPT)
		return tell_damage(l, closed);
	return OK;
}

static enum code look_at_image(struct look *l)
{
	struct wal_header h;
	struct err why = { 0 };
	struct err closed = { 0 };
	enum code rc;

	if (l->image.n < WAL_BLOCK)
		return damage_at(l, 0, "the segment is shorter than its header");
	if (wal_header_decode(l->segment.path, l->image.bytes, &h, &why)) {
		(void)!err_set(&closed, E_CORRUPT, "its header is damaged");
		rc = without_header(l, &why);
	} else {
		rc = with_header(l, &h);
		if (rc == OK)
			rc = open_sealed(l, &h, &closed);
	}
	if (rc == OK)
		rc = tell_segment(l, l->segment.is_sealed && !l->segment.aead ?
					     &closed : NULL);
	return rc ? rc : look_at_records(l);
}

static enum code look_at_segment(struct look *l)
{
	struct err why = { 0 };
	enum code rc;

	l->image = (struct wal_image){ .path = l->segment.path,
				       .segment = l->segment.id };
	l->is_gone = false;
	rc = wal_image_read(l->config->fs, FILE_DIRECT, &l->image, &why);
	if (rc == E_CORRUPT || rc == E_IO) {
		rc = tell_damage(l, &why);
		l->is_gone = true;
	} else if (rc == E_NOT_FOUND || (rc == OK && is_gone(l))) {
		l->is_gone = true;
		rc = OK;
	} else if (rc) {
		err_copy(l->err, &why);
	} else {
		rc = look_at_image(l);
	}
	/* With it all before it was given up: another sequence follows. */
	if (l->is_gone) {
		l->sequence = 0;
		l->has_hole = true;
	}
	free(l->image.bytes);
	aead_free(&l->segment.aead);
	return rc;
}

enum code wal_inspect(const struct wal_inspect_config *config,
		      const struct wal_visitor *visitor,
		      struct wal_inspected *out, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct look l = { .config = config, .v = visitor, .sum = out,
			  .err = err };
	struct str rest;
	enum code rc;

	*out = (struct wal_inspected){ 0 };
	rc = config->fs->ops->list(config->fs, config->dir, &names, err);
	rest = buf_view(&names);
	while (rc == OK && rest.n) {
		struct str name = str_cut(&rest, '\0');

		l.segment = (struct segment){ 0 };
		if (!wal_segment_id(name, &l.segment.id))
			continue;
		if ((size_t)snprintf(l.segment.path, sizeof(l.segment.path),
				     "%s/%.*s", config->dir, STR_ARG(name)) >=
		    sizeof(l.segment.path))
			return err_set(err, E_INVALID, "%s: the path is too long",
				       config->dir);
		rc = look_at_segment(&l);
	}
	return rc;
}
