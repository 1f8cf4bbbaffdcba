/*
 * The small files of a data directory: refused with what is wrong, or read, and the
 * same after they were written again.
 *
 * The first byte says which file.  With its top bit set the checksum at the end is
 * made right first, so that what is before it is reached.
 */
#include <stdint.h>

#include "base/mem.h"
#include "io/sim/disk.h"
#include "node/known.h"
#include "node/own.h"
#include "ship/store.h"
#include "wal/vote.h"
#include "wire/sum.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct disk *disk;
static struct fs *fs;
static struct err err;

static void put(const char *path, struct str bytes)
{
	must(fs_put(fs, "d", path, bytes, NULL) == OK);
}

static void get(const char *path, struct buf *out)
{
	buf_reset(out);
	must(fs_get(fs, path, out, NULL) == OK);
}

static void identity(struct str in)
{
	struct identity *id = NEW(struct identity), *back = NEW(struct identity);
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	enum code rc;

	put("d/identity", in);
	rc = identity_read(fs, "d", id, &err);
	must(rc == OK || ((rc == E_CORRUPT || rc == E_UNSUPPORTED) && err.text[0]));
	if (rc == OK) {
		must(id->n_founders <= FOUNDERS_MAX);
		must(identity_write(fs, "d", id, NULL) == OK);
		get("d/identity", &once);
		must(identity_read(fs, "d", back, NULL) == OK);
		must(identity_write(fs, "d", back, NULL) == OK);
		get("d/identity", &twice);
		must(str_eq(buf_view(&once), buf_view(&twice)));
	}
	free(id);
	free(back);
}

static void known(struct str in)
{
	struct identity *id = NEW(struct identity);
	struct known k = { 0 }, back;
	AUTO_BUF bytes = BUF_NONE;
	struct uuid new;
	bool is_known = known_decode(in, &k);

	put("d/known", in);
	must((known_open(&back, fs, "d", id, &err) == OK) == is_known);
	must(is_known || (err.code == E_CORRUPT && err.text[0]));
	memset(new.b, 5, sizeof(new.b));
	/* One more is written down, and all of it is read again. */
	if (is_known && !known_of(&back, 12345) &&
	    known_check(&back, 12345, &new, &err) == OK) {
		get("d/known", &bytes);
		must(known_decode(buf_view(&bytes), &k) && k.n == back.n);
		must(k.members_index == back.members_index);
		for (size_t i = 0; i < k.n; i++)
			must(k.nodes[i].id == back.nodes[i].id &&
			     k.nodes[i].is_doubtful == back.nodes[i].is_doubtful);
	}
	free(id);
}

static void vote(struct str in)
{
	struct vote v, back;
	enum code rc;

	put("d/vote.0", in);
	rc = vote_read(fs, "d", &v, &err);
	must(rc == OK || (rc == E_CORRUPT && err.text[0]));
	if (rc)
		return;
	must(vote_write(fs, "d", &v, NULL) == OK);
	must(vote_read(fs, "d", &back, NULL) == OK);
	must(back.term == v.term && back.voted_for == v.voted_for);
}

static void mark(struct str in)
{
	AUTO_BUF bytes = BUF_NONE;
	struct mark m;
	enum code rc;

	put("d/install", in);
	rc = mark_read(fs, "d", &m, &err);
	must(rc == OK || (rc == E_CORRUPT && err.text[0]));
	if (rc)
		return;
	must(mark_write(fs, "d", &m, NULL) == OK);
	get("d/install", &bytes);
	must(str_eq(buf_view(&bytes), in));
}

static void checkpoint(struct str in)
{
	struct checkpoint c = { 0 }, back = { 0 };
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;

	if (checkpoint_decode(in, &c)) {
		must(c.index && c.conf.n <= in.n);
		checkpoint_encode(&once, &c);
		must(checkpoint_decode(buf_view(&once), &back));
		checkpoint_encode(&twice, &back);
		must(str_eq(buf_view(&once), buf_view(&twice)));
	}
	checkpoint_fini(&c);
	checkpoint_fini(&back);
}

/* Of another offer, damaged, or none: pulled again from the start. */
static void journal(struct str in)
{
	struct ship_offer offer = { .id = STR("file-1"), .meta = STR("meta"),
				    .shape = { 5000, 1024, 2 },
				    .root = sha256_of(STR("root")) };
	struct store st;

	put("d/file-1.journal", in);
	store_init(&st, fs, "d", offer.id);
	must(store_open_part(&st, &offer, &err) == OK);
	store_fini(&st);
}

static void sign(struct buf *b)
{
	uint32_t crc;

	if (b->n < 4)
		return;
	crc = crc32c(0, b->p, b->n - 4);
	for (unsigned i = 0; i < 4; i++)
		b->p[b->n - 4 + i] = (char)(crc >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(struct str in) = { identity, known, vote, mark,
							checkpoint, journal };
	AUTO_BUF bytes = BUF_NONE;
	struct str in;

	if (size < 2)
		return 0;
	buf_add(&bytes, data + 1, size - 1);
	if (data[0] & 0x80)
		sign(&bytes);
	/* In a block of its size, so that a byte behind it is seen. */
	in = str_n(mem_dup(bytes.p, bytes.n), bytes.n);
	disk = disk_new(1);
	fs = disk_fs(disk);
	must(fs->ops->make_dir(fs, "d", NULL) == OK);
	kinds[(data[0] & 0x7f) % ARRAY_LEN(kinds)](in);
	disk_free(&disk);
	free((void *)(uintptr_t)in.p);
	return 0;
}
