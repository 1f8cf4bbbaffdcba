/*
 * Backups: whatever bytes come, in whatever cuts, they are refused, or are those
 * that a writer makes of the same head and pieces.  No more is kept than a head
 * and a piece.
 *
 * The first byte says how the input is cut.  With its top bit set the checksum
 * of the head is made right first, so that what is behind it is reached.
 */
#include <stdint.h>

#include "backup/backup.h"
#include "wire/wire.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRONT 12

static enum code keep(void *data, struct str bytes, struct err *err)
{
	must(bytes.n && bytes.n <= BACKUP_PIECE);
	buf_str(data, bytes);
	return OK;
}

static void sign(struct buf *b)
{
	struct rd rd = rd_of(str_from(buf_view(b), 8));
	uint64_t n = rd_u32(&rd);
	uint32_t crc;

	if (rd.bad || n > b->n || FRONT + n + 4 > b->n)
		return;
	crc = crc32c(0, b->p, FRONT + n);
	memcpy(b->p + FRONT + n, &crc, sizeof(crc));
}

static void again(const struct backup_reader *r, struct str picture,
		  struct str bytes)
{
	struct backup_writer *w = backup_writer_new();
	AUTO_BUF out = BUF_NONE;

	backup_start(w, backup_reader_head(r), &out);
	for (size_t at = 0; at < picture.n; at += BACKUP_PIECE)
		backup_piece(w, str_first(str_from(picture, at), BACKUP_PIECE),
			     &out);
	backup_end(w, &out);
	must(str_eq(buf_view(&out), bytes));
	backup_writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF picture = BUF_NONE;
	struct backup_reader *r = backup_reader_new(keep, &picture);
	size_t cut = size ? (data[0] & 0x7f) + 1u : 1;
	enum code rc = OK;
	struct err err;

	if (size)
		buf_add(&bytes, data + 1, size - 1);
	if (size && data[0] & 0x80)
		sign(&bytes);
	for (size_t at = 0; at < bytes.n && rc == OK; at += cut)
		rc = backup_feed(r, str_first(str_from(buf_view(&bytes), at), cut),
				 &err);
	if (rc == OK)
		rc = backup_finish(r, &err);
	if (rc == OK)
		again(r, buf_view(&picture), buf_view(&bytes));
	backup_reader_free(&r);
	return 0;
}
