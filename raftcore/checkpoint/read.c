/*
 * Reading a checkpoint: each block is checked before a byte of it is given
 * out, past the page cache where the file can be read so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checkpoint/own.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

struct checkpoint {
	struct fs *fs;
	struct file *file;
	char *path;
	struct checkpoint_head head;
	uint32_t seal, sums, sums_wanted;
	char *block;                     /* CKPT_BLOCK bytes, aligned */
	size_t at, n;                    /* payload of 'block' given out, held */
	uint64_t number, left;           /* next block; payload not read yet */
};

static enum code damage(const struct checkpoint *c, uint64_t at,
			const char *what, struct err *err)
{
	err_set(err, E_CORRUPT, "%s: damaged at %llu: %s", c->path,
		(unsigned long long)at, what);
	return err_hint(err, "an older checkpoint is used where the log still "
			     "reaches back to it; else wipe the data directory "
			     "and restore a backup, or let the node join again");
}

static enum code read_at(struct checkpoint *c, uint64_t at, size_t n,
			 struct err *err)
{
	size_t got;
	enum code rc = c->fs->ops->read(c->fs, c->file, at, c->block, n, &got,
					err);

	if (rc)
		return rc;
	return got == n ? OK : damage(c, at, "the file ends here", err);
}

/* Of the whole file, from what its head says. */
static uint64_t size_wanted(const struct checkpoint_head *h)
{
	uint64_t full = h->bytes / CKPT_PAYLOAD, rest = h->bytes % CKPT_PAYLOAD;

	return CKPT_HEAD + full * CKPT_BLOCK +
	       (rest ? ckpt_whole(CKPT_STAMP + rest) : 0) + CKPT_TRAILER;
}

static enum code read_ends(struct checkpoint *c, struct err *err)
{
	uint64_t size;
	enum code rc = c->fs->ops->size(c->fs, c->file, &size, err);

	if (rc)
		return rc;
	if (size < CKPT_HEAD + CKPT_TRAILER || size % FILE_BLOCK)
		return damage(c, size, "no checkpoint has this size", err);
	rc = read_at(c, 0, CKPT_HEAD, err);
	if (rc)
		return rc;
	if (!ckpt_head_read(c->block, &c->head))
		return damage(c, 0, "the head is not valid", err);
	if (c->head.bytes > size || size_wanted(&c->head) != size)
		return damage(c, size, "the size is not what the head says", err);
	rc = read_at(c, size - CKPT_TRAILER, CKPT_TRAILER, err);
	if (rc)
		return rc;
	if (!ckpt_trailer_read(c->block, &c->head, &c->sums_wanted))
		return damage(c, size - CKPT_TRAILER, "the trailer is not valid",
			      err);
	return OK;
}

enum code checkpoint_open(struct fs *fs, const char *path,
			  struct checkpoint **out, struct err *err)
{
	struct checkpoint *c = NEW(struct checkpoint);
	enum code rc;

	c->fs = fs;
	c->path = mem_dup(path, strlen(path));
	c->block = file_alloc(CKPT_BLOCK);
	rc = fs->ops->open(fs, path, FILE_DIRECT, &c->file, err);
	if (rc == OK)
		rc = read_ends(c, err);
	if (rc) {
		checkpoint_close(&c);
		return rc;
	}
	c->seal = ckpt_seal(&c->head);
	c->left = c->head.bytes;
	*out = c;
	return OK;
}

void checkpoint_close(struct checkpoint **cp)
{
	struct checkpoint *c = *cp;

	if (!c)
		return;
	if (c->file)
		c->fs->ops->close(c->fs, c->file);
	free(c->block);
	free(c->path);
	free(c);
	*cp = NULL;
}

const struct checkpoint_head *checkpoint_head(const struct checkpoint *c)
{
	return &c->head;
}

static enum code next_block(struct checkpoint *c, struct err *err)
{
	uint64_t at = CKPT_HEAD + c->number * CKPT_BLOCK;
	size_t n = (size_t)MIN(c->left, (uint64_t)CKPT_PAYLOAD);
	size_t whole = ckpt_whole(CKPT_STAMP + n);
	uint32_t crc;
	struct rd rd;
	enum code rc = read_at(c, at, whole, err);

	if (rc)
		return rc;
	rd = rd_of(str_n(c->block, CKPT_STAMP));
	crc = rd_u32(&rd);
	if (crc != crc32c(c->seal, c->block + 4, whole - 4))
		return damage(c, at, "the checksum of a block is wrong", err);
	if (rd_u32(&rd) != n || rd_u64(&rd) != c->number)
		return damage(c, at, "a block in another's place", err);
	c->sums = crc32c(c->sums, c->block, 4);
	c->number++;
	c->left -= n;
	c->at = 0;
	c->n = n;
	if (c->left == 0 && c->sums != c->sums_wanted)
		return damage(c, at, "the trailer does not fit the blocks", err);
	return OK;
}

enum code checkpoint_read(struct checkpoint *c, void *p, size_t n, size_t *got,
			  struct err *err)
{
	size_t done = 0;

	while (done < n && (c->at < c->n || c->left)) {
		size_t piece;

		if (c->at == c->n) {
			enum code rc = next_block(c, err);

			if (rc)
				return rc;
		}
		piece = MIN(n - done, c->n - c->at);
		memcpy((char *)p + done, c->block + CKPT_STAMP + c->at, piece);
		c->at += piece;
		done += piece;
	}
	*got = done;
	return OK;
}

enum code checkpoint_verify(struct fs *fs, const char *path,
			    struct checkpoint_head *head, struct err *err)
{
	struct checkpoint *c;
	enum code rc = checkpoint_open(fs, path, &c, err);

	if (rc)
		return rc;
	while (c->left && rc == OK)
		rc = next_block(c, err);
	if (rc == OK && head)
		*head = c->head;
	checkpoint_close(&c);
	return rc;
}
