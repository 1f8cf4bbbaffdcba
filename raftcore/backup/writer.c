/* Writing a backup: see backup.h. */
#include <stdlib.h>

#include "backup/own.h"
#include "base/mem.h"

#include "base/banned.h"

struct backup_writer {
	struct sha256_ctx *all;          /* of every byte so far */
	uint64_t number;                 /* of the next piece */
	uint64_t left;                   /* of the picture */
};

struct backup_writer *backup_writer_new(void)
{
	struct backup_writer *w = NEW(struct backup_writer);

	w->all = sha256_new();
	return w;
}

void backup_writer_free(struct backup_writer **wp)
{
	struct backup_writer *w = TAKE(*wp);

	if (!w)
		return;
	sha256_ctx_free(&w->all);
	free(w);
}

static void encode_head(struct buf *out, const struct backup_head *h)
{
	wr_u32(out, BACKUP_FORMAT);
	wr_raw(out, h->cluster.b, sizeof(h->cluster.b));
	wr_u64(out, h->node);
	wr_u64(out, h->index);
	wr_u64(out, h->term);
	wr_u64(out, h->time_ms);
	wr_u64(out, h->bytes);
	wr_raw(out, h->sum.b, sizeof(h->sum.b));
	wr_var(out, h->n_members);
	for (size_t i = 0; i < h->n_members; i++) {
		wr_var(out, h->members[i].id);
		wr_u8(out, h->members[i].votes);
		wr_str(out, h->members[i].address);
	}
	wr_str(out, h->about);
}

void backup_start(struct backup_writer *w, const struct backup_head *h,
		  struct buf *out)
{
	AUTO_BUF head = BUF_NONE;
	size_t from = out->n;

	must(h->n_members <= BACKUP_MEMBERS_MAX && h->about.n <= BACKUP_ABOUT_MAX);
	encode_head(&head, h);
	must(head.n <= BACKUP_HEAD_MAX);
	wr_u64(out, BACKUP_MAGIC);
	wr_u32(out, (uint32_t)head.n);
	buf_str(out, buf_view(&head));
	wr_u32(out, crc32c(0, out->p + from, out->n - from));
	sha256_start(w->all);
	sha256_add(w->all, out->p + from, out->n - from);
	w->number = 0;
	w->left = h->bytes;
}

uint32_t backup_piece_sum(uint64_t number, struct str bytes)
{
	AUTO_BUF place = BUF_NONE;

	wr_u64(&place, number);
	wr_u32(&place, (uint32_t)bytes.n);
	return crc32c(crc32c(0, place.p, place.n), bytes.p, bytes.n);
}

void backup_piece(struct backup_writer *w, struct str bytes, struct buf *out)
{
	size_t from = out->n;

	must(bytes.n && bytes.n <= w->left &&
	     bytes.n == MIN(w->left, (uint64_t)BACKUP_PIECE));
	wr_u32(out, (uint32_t)bytes.n);
	wr_u32(out, backup_piece_sum(w->number, bytes));
	buf_str(out, bytes);
	sha256_add(w->all, out->p + from, out->n - from);
	w->number++;
	w->left -= bytes.n;
}

void backup_end(struct backup_writer *w, struct buf *out)
{
	size_t from = out->n;
	struct sha256 sum;

	must(w->left == 0);
	wr_u32(out, 0);
	sha256_add(w->all, out->p + from, out->n - from);
	sum = sha256_end(w->all);
	wr_raw(out, sum.b, sizeof(sum.b));
}
