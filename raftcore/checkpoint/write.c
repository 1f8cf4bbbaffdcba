/*
 * Writing a checkpoint: whole blocks at a given pace into a temporary file,
 * which gets its name only after all of it was synced and read back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "checkpoint/own.h"
#include "wire/sum.h"

#include "base/banned.h"

struct checkpoint_writer {
	struct fs *fs;
	struct file *file;
	char *dir, *tmp;
	struct checkpoint_head head;
	checkpoint_pace *pace;
	void *data;
	uint32_t seal, sums;
	uint64_t number, offset;
	char *block;                     /* aligned */
	size_t n;                        /* payload in it */
};

static void writer_free(struct checkpoint_writer **wp)
{
	struct checkpoint_writer *w = *wp;

	if (w->file)
		w->fs->ops->close(w->fs, w->file);
	free(w->block);
	free(w->dir);
	free(w->tmp);
	free(w);
	*wp = NULL;
}

enum code checkpoint_create(struct fs *fs, const char *dir,
			    const struct checkpoint_head *head,
			    checkpoint_pace *pace, void *data,
			    struct checkpoint_writer **out, struct err *err)
{
	struct checkpoint_writer *w = NEW(struct checkpoint_writer);
	AUTO_BUF tmp = BUF_NONE;
	enum code rc;

	buf_printf(&tmp, "%s/%016llx-%016llx.tmp", dir,
		   (unsigned long long)head->index,
		   (unsigned long long)head->term);
	*w = (struct checkpoint_writer){
		.fs = fs, .dir = mem_dup(dir, strlen(dir)),
		.tmp = buf_take(&tmp), .head = *head, .pace = pace,
		.data = data, .seal = ckpt_seal(head), .offset = CKPT_HEAD,
		.block = file_alloc(CKPT_BLOCK) };
	w->head.bytes = 0;
	(void)fs->ops->remove(fs, w->tmp, NULL);
	rc = fs->ops->open(fs, w->tmp, FILE_WRITE | FILE_CREATE | FILE_DIRECT,
			   &w->file, err);
	if (rc) {
		err_wrap(err, "a checkpoint");
		writer_free(&w);
		return rc;
	}
	*out = w;
	return OK;
}

static enum code write_block(struct checkpoint_writer *w, size_t n,
			     struct err *err)
{
	enum code rc = w->pace ? w->pace(w->data, n, err) : OK;

	if (rc == OK)
		rc = failpoint_hit(FP_CHECKPOINT_WRITE, err);
	if (rc == OK)
		rc = w->fs->ops->write(w->fs, w->file, w->offset, w->block, n,
				       err);
	w->offset += n;
	return rc;
}

static enum code flush(struct checkpoint_writer *w, struct err *err)
{
	size_t whole = ckpt_whole(CKPT_STAMP + w->n);
	enum code rc;

	memset(w->block + CKPT_STAMP + w->n, 0, whole - CKPT_STAMP - w->n);
	ckpt_stamp_write(w->block, w->n, w->number++, w->seal);
	w->sums = crc32c(w->sums, w->block, 4);
	w->head.bytes += w->n;
	rc = write_block(w, whole, err);
	w->n = 0;
	return rc;
}

enum code checkpoint_put(void *writer, const void *p, size_t n, struct err *err)
{
	struct checkpoint_writer *w = writer;
	enum code rc = OK;

	while (n && rc == OK) {
		size_t piece = MIN(n, CKPT_PAYLOAD - w->n);

		memcpy(w->block + CKPT_STAMP + w->n, p, piece);
		w->n += piece;
		p = (const char *)p + piece;
		n -= piece;
		if (w->n == CKPT_PAYLOAD)
			rc = flush(w, err);
	}
	return rc;
}

/* The head comes last: it holds the length. */
static enum code write_ends(struct checkpoint_writer *w, struct err *err)
{
	enum code rc = w->n ? flush(w, err) : OK;

	if (rc)
		return rc;
	ckpt_trailer_write(&w->head, w->sums, w->block);
	rc = write_block(w, CKPT_TRAILER, err);
	if (rc)
		return rc;
	ckpt_head_write(&w->head, w->block);
	w->offset = 0;
	rc = write_block(w, CKPT_HEAD, err);
	if (rc == OK)
		rc = failpoint_hit(FP_CHECKPOINT_SYNC, err);
	return rc ? rc : w->fs->ops->sync(w->fs, w->file, err);
}

static enum code publish(struct checkpoint_writer *w, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	enum code rc = checkpoint_verify(w->fs, w->tmp, NULL, err);

	if (rc == OK)
		rc = failpoint_hit(FP_CHECKPOINT_RENAME, err);
	if (rc)
		return rc;
	checkpoint_path(&path, w->dir, &(struct checkpoint_name){
					       w->head.index, w->head.term });
	rc = w->fs->ops->rename(w->fs, w->tmp, path.p, err);
	if (rc == OK)
		rc = w->fs->ops->sync_dir(w->fs, w->dir, err);
	return rc ? rc : failpoint_hit(FP_CHECKPOINT_DONE, err);
}

enum code checkpoint_finish(struct checkpoint_writer **wp, struct err *err)
{
	struct checkpoint_writer *w = *wp;
	enum code rc = write_ends(w, err);

	if (rc == OK) {
		w->fs->ops->close(w->fs, TAKE(w->file));
		rc = publish(w, err);
	}
	if (rc) {
		err_wrap(err, "checkpoint %llu",
			 (unsigned long long)w->head.index);
		checkpoint_abandon(wp);
		return rc;
	}
	writer_free(wp);
	return OK;
}

void checkpoint_abandon(struct checkpoint_writer **wp)
{
	if (!*wp)
		return;
	(void)(*wp)->fs->ops->remove((*wp)->fs, (*wp)->tmp, NULL);
	writer_free(wp);
}
