/*
 * Reading a backup as a stream: see backup.h.
 *
 * 'in' holds what is not a whole item yet; each state knows how many bytes its
 * next item has, and is stepped when they are there.
 */
#include <stdlib.h>

#include "backup/own.h"
#include "base/mem.h"

#include "base/banned.h"

#define ULL(x) ((unsigned long long)(x))

enum at { AT_FRONT, AT_HEAD, AT_PIECE_FRONT, AT_PIECE, AT_END, AT_WHOLE, AT_FAILED };

struct backup_reader {
	backup_take *take;
	void *data;
	enum at at;
	size_t wants;                    /* bytes of the next item */
	struct buf in;
	uint64_t offset;                 /* of the first byte of 'in' */
	struct sha256_ctx *all, *picture;
	struct backup_head head;
	struct buf head_bytes;           /* that 'head' borrows from */
	bool has_head;
	uint64_t number, left;
	uint32_t piece_sum;
};

struct backup_reader *backup_reader_new(backup_take *take, void *data)
{
	struct backup_reader *r = NEW(struct backup_reader);

	r->take = take;
	r->data = data;
	r->wants = BACKUP_FRONT;
	r->all = sha256_new();
	r->picture = sha256_new();
	sha256_start(r->all);
	sha256_start(r->picture);
	return r;
}

void backup_reader_free(struct backup_reader **rp)
{
	struct backup_reader *r = TAKE(*rp);

	if (!r)
		return;
	sha256_ctx_free(&r->all);
	sha256_ctx_free(&r->picture);
	buf_fini(&r->in);
	buf_fini(&r->head_bytes);
	free(r);
}

const struct backup_head *backup_reader_head(const struct backup_reader *r)
{
	return r->has_head ? &r->head : NULL;
}

static enum code damaged(const struct backup_reader *r, const char *what,
			 struct err *err)
{
	return err_set(err, E_CORRUPT, "the backup is damaged at byte %llu: %s",
		       ULL(r->offset), what);
}

static enum code failed(struct err *err)
{
	return err_set(err, E_CORRUPT, "the backup was given up before");
}

/* ---- the head ---- */

static void decode_members(struct rd *rd, struct backup_head *h)
{
	uint64_t n = rd_var(rd);

	if (n > BACKUP_MEMBERS_MAX)
		rd->bad = true;
	for (uint64_t i = 0; i < n && !rd->bad; i++) {
		struct backup_member *m = &h->members[h->n_members++];

		m->id = rd_var(rd);
		m->votes = rd_u8(rd);
		m->address = rd_str(rd);
	}
}

static bool decode_head(struct rd *rd, struct backup_head *h)
{
	struct str cluster = rd_raw(rd, sizeof(h->cluster.b)), sum;

	h->node = rd_u64(rd);
	h->index = rd_u64(rd);
	h->term = rd_u64(rd);
	h->time_ms = rd_u64(rd);
	h->bytes = rd_u64(rd);
	sum = rd_raw(rd, sizeof(h->sum.b));
	decode_members(rd, h);
	h->about = rd_str(rd);
	if (!rd_done(rd) || h->index == 0 || h->about.n > BACKUP_ABOUT_MAX)
		return false;
	memcpy(h->cluster.b, cluster.p, cluster.n);
	memcpy(h->sum.b, sum.p, sum.n);
	return true;
}

static enum code take_front(struct backup_reader *r, struct str s,
			    struct err *err)
{
	struct rd rd = rd_of(s);
	uint64_t magic = rd_u64(&rd);
	uint32_t n = rd_u32(&rd);

	if (magic != BACKUP_MAGIC)
		return err_set(err, E_CORRUPT, "this is no backup");
	if (n > BACKUP_HEAD_MAX)
		return damaged(r, "its head cannot be that long", err);
	buf_str(&r->head_bytes, s);
	r->at = AT_HEAD;
	r->wants = n + 4;
	return OK;
}

static void expect_piece(struct backup_reader *r)
{
	r->at = AT_PIECE_FRONT;
	r->wants = r->left ? BACKUP_PIECE_FRONT : 4;
}

/* The checksum goes first: what it does not vouch for says nothing. */
static enum code take_head(struct backup_reader *r, struct str s,
			   struct err *err)
{
	struct rd rd = rd_of(str_from(s, s.n - 4));
	uint32_t crc = rd_u32(&rd), format;

	buf_str(&r->head_bytes, str_first(s, s.n - 4));
	if (crc != crc32c(0, r->head_bytes.p, r->head_bytes.n))
		return damaged(r, "its head has another checksum", err);
	rd = rd_of(str_from(buf_view(&r->head_bytes), BACKUP_FRONT));
	format = rd_u32(&rd);
	if (format != BACKUP_FORMAT) {
		err_set(err, E_UNSUPPORTED, "this backup has format %u, and "
			"this version knows %d", format, BACKUP_FORMAT);
		return err_hint(err, "take the version that made it, or a newer "
				     "one");
	}
	if (!decode_head(&rd, &r->head))
		return damaged(r, "its head is malformed", err);
	r->has_head = true;
	r->left = r->head.bytes;
	expect_piece(r);
	return OK;
}

/* ---- pieces ---- */

static enum code take_piece_front(struct backup_reader *r, struct str s,
				  struct err *err)
{
	struct rd rd = rd_of(s);
	uint32_t n = rd_u32(&rd);

	if (n != MIN(r->left, (uint64_t)BACKUP_PIECE))
		return damaged(r, "a piece has another length", err);
	if (n == 0) {
		r->at = AT_END;
		r->wants = sizeof(struct sha256);
		return OK;
	}
	r->piece_sum = rd_u32(&rd);
	r->at = AT_PIECE;
	r->wants = n;
	return OK;
}

static enum code take_piece(struct backup_reader *r, struct str s,
			    struct err *err)
{
	if (backup_piece_sum(r->number, s) != r->piece_sum)
		return damaged(r, "a piece has another checksum", err);
	sha256_add(r->picture, s.p, s.n);
	r->number++;
	r->left -= s.n;
	expect_piece(r);
	return r->take ? r->take(r->data, s, err) : OK;
}

static enum code take_end(struct backup_reader *r, struct str s,
			  struct err *err)
{
	struct sha256 picture = sha256_end(r->picture);
	struct sha256 all = sha256_end(r->all);

	if (memcmp(all.b, s.p, sizeof(all.b)) != 0)
		return damaged(r, "the whole has another digest", err);
	if (!sha256_eq(&picture, &r->head.sum))
		return damaged(r, "the picture has another digest", err);
	r->at = AT_WHOLE;
	r->wants = 1;
	return OK;
}

/* ---- the stream ---- */

static enum code step(struct backup_reader *r, struct str item, struct err *err)
{
	enum at at = r->at;

	/* All but the digest itself is in it. */
	if (at != AT_END)
		sha256_add(r->all, item.p, item.n);
	switch (at) {
	case AT_FRONT:
		return take_front(r, item, err);
	case AT_HEAD:
		return take_head(r, item, err);
	case AT_PIECE_FRONT:
		return take_piece_front(r, item, err);
	case AT_PIECE:
		return take_piece(r, item, err);
	case AT_END:
		return take_end(r, item, err);
	case AT_WHOLE:
		return damaged(r, "something follows its end", err);
	case AT_FAILED:
		break;
	}
	return failed(err);
}

enum code backup_feed(struct backup_reader *r, struct str bytes, struct err *err)
{
	enum code rc = r->at == AT_FAILED ? failed(err) : OK;

	while (bytes.n && rc == OK) {
		size_t n = MIN(bytes.n, r->wants - r->in.n), done;

		buf_str(&r->in, str_first(bytes, n));
		bytes = str_from(bytes, n);
		if (r->in.n < r->wants)
			break;
		done = r->in.n;
		rc = step(r, buf_view(&r->in), err);
		r->offset += done;
		buf_reset(&r->in);
	}
	if (rc)
		r->at = AT_FAILED;
	return rc;
}

enum code backup_finish(struct backup_reader *r, struct err *err)
{
	if (r->at == AT_WHOLE)
		return OK;
	if (r->at == AT_FAILED)
		return failed(err);
	return err_set(err, E_CORRUPT, "the backup ends at byte %llu, before its "
		       "end: it was cut off", ULL(r->offset + r->in.n));
}
