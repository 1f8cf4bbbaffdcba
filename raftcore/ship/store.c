/* Part, journal and whole file: see store.h. */
#include "ship/store.h"

#include "base/mem.h"
#include "ship/frame.h"
#include "wire/wire.h"

#include "base/banned.h"

#define MAGIC 0x3150494853584643ull          /* "CFXSHIP1" */

static char *path_of(const char *dir, struct str id, const char *suffix)
{
	AUTO_BUF b = BUF_NONE;

	buf_printf(&b, "%s/%.*s%s", dir, STR_ARG(id), suffix);
	return buf_take(&b);
}

void store_init(struct store *st, struct fs *fs, const char *dir, struct str id)
{
	must(ship_id_is_valid(id));
	*st = (struct store){ .fs = fs, .dir = mem_dup(dir, strlen(dir)),
			      .part = path_of(dir, id, ".part"),
			      .journal = path_of(dir, id, ".journal"),
			      .whole = path_of(dir, id, ".file") };
}

static void close_part(struct store *st)
{
	if (st->file)
		st->fs->ops->close(st->fs, TAKE(st->file));
}

void store_fini(struct store *st)
{
	close_part(st);
	free(st->dir);
	free(st->part);
	free(st->journal);
	free(st->whole);
	*st = (struct store){ 0 };
}

/* ---- the journal ---- */

static enum code journal_put(struct store *st, const struct ship_offer *offer,
			     uint64_t durable, struct err *err)
{
	AUTO_BUF b = BUF_NONE;

	wr_u64(&b, MAGIC);
	wr_u64(&b, durable);
	ship_offer_encode(&b, offer);
	wr_u32(&b, crc32c(0, b.p, b.n));
	return fs_put(st->fs, st->dir, st->journal, buf_view(&b), err);
}

static bool same(const struct ship_offer *a, const struct ship_offer *b)
{
	return a->shape.size == b->shape.size &&
	       a->shape.chunk_bytes == b->shape.chunk_bytes &&
	       sha256_eq(&a->root, &b->root);
}

/* True: there is one, and it is of 'offer'. */
static enum code journal_get(struct store *st, const struct ship_offer *offer,
			     bool *is_same, struct err *err)
{
	AUTO_BUF b = BUF_NONE;
	struct ship_offer was = { 0 };
	uint64_t magic, durable;
	uint32_t crc;
	struct rd rd;
	enum code rc = fs_get(st->fs, st->journal, &b, err);

	*is_same = false;
	/* A damaged one is none: it costs pulling the file again. */
	if (rc == E_NOT_FOUND || rc == E_CORRUPT)
		return OK;
	if (rc)
		return rc;
	rd = rd_of(buf_view(&b));
	magic = rd_u64(&rd);
	durable = rd_u64(&rd);
	ship_offer_decode(&rd, &was);
	crc = rd_u32(&rd);
	if (!rd_done(&rd) || magic != MAGIC ||
	    crc != crc32c(0, b.p, b.n - sizeof(crc)) || !same(&was, offer))
		return OK;
	st->durable = durable;
	*is_same = true;
	return OK;
}

/* ---- taking up ---- */

static enum code remove_if_there(struct store *st, const char *path,
				 struct err *err)
{
	enum code rc = st->fs->ops->remove(st->fs, path, err);

	return rc == E_NOT_FOUND ? OK : rc;
}

static enum code open_part(struct store *st, struct err *err)
{
	const unsigned flags = FILE_WRITE | FILE_CREATE;
	enum code rc = st->fs->ops->open(st->fs, st->part, flags, &st->file, err);

	/* A sealed one whose header did not become durable. */
	if (rc == E_CORRUPT)
		rc = st->fs->ops->remove(st->fs, st->part, err);
	if (rc == OK && !st->file)
		rc = st->fs->ops->open(st->fs, st->part, flags, &st->file, err);
	return rc ? rc : st->fs->ops->size(st->fs, st->file, &st->part_bytes, err);
}

/* The whole file has its name only after it was verified and synced. */
static bool has_whole(struct store *st, const struct ship_offer *offer)
{
	struct fs *fs = st->fs;
	struct file *file;
	uint64_t size = 0;
	enum code rc;

	if (fs->ops->open(fs, st->whole, 0, &file, NULL))
		return false;
	rc = fs->ops->size(fs, file, &size, NULL);
	fs->ops->close(fs, file);
	return rc == OK && size == offer->shape.size;
}

enum code store_open_part(struct store *st, const struct ship_offer *offer,
		     struct err *err)
{
	bool goes_on;
	enum code rc = st->fs->ops->make_dir(st->fs, st->dir, err);

	close_part(st);
	st->durable = 0;
	if (rc == OK)
		rc = journal_get(st, offer, &goes_on, err);
	if (rc)
		return rc;
	if (goes_on && has_whole(st, offer)) {
		st->is_whole = true;
		/* Its name may not have been durable when the power failed. */
		return st->fs->ops->sync_dir(st->fs, st->dir, err);
	}
	/* The journal of another file goes after what it speaks of: its own name
	 * for a whole file would else be believed of this one. */
	if (!goes_on)
		rc = remove_if_there(st, st->part, err);
	if (rc == OK)
		rc = remove_if_there(st, st->whole, err);
	if (rc == OK)
		rc = open_part(st, err);
	if (rc == OK && st->part_bytes > offer->shape.size) {
		close_part(st);
		rc = remove_if_there(st, st->part, err);
		if (rc == OK)
			rc = open_part(st, err);
	}
	if (rc == OK && !goes_on)
		rc = journal_put(st, offer, 0, err);
	return rc;
}

/* ---- making it durable ---- */

/* After a failed sync a disk may have dropped what it could not write, and call
 * the next sync a success. */
static enum code sync_part(struct store *st, struct err *err)
{
	enum code rc = st->fs->ops->sync(st->fs, st->file, err);

	if (rc == OK)
		return OK;
	store_drop(st);
	return err_wrap(err, "%s is thrown away", st->part);
}

enum code store_sync(struct store *st, const struct ship_offer *offer,
		     uint64_t durable, struct err *err)
{
	enum code rc = sync_part(st, err);

	/* Without it, only what is said of damage is less exact. */
	if (rc == OK && journal_put(st, offer, durable, NULL) == OK)
		st->durable = durable;
	return rc;
}

void store_drop(struct store *st)
{
	close_part(st);
	(void)st->fs->ops->remove(st->fs, st->part, NULL);
}

enum code store_finish(struct store *st, struct err *err)
{
	enum code rc = sync_part(st, err);

	if (rc == OK)
		rc = st->fs->ops->rename(st->fs, st->part, st->whole, err);
	if (rc == OK)
		rc = st->fs->ops->sync_dir(st->fs, st->dir, err);
	return rc;
}

/* ---- what nobody goes on with ---- */

static bool is_ours(struct str name, struct str *id)
{
	static const char *const suffixes[] = { ".part", ".journal", ".file",
						".journal.new" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		struct str suffix = str_of(suffixes[i]);

		if (!str_ends(name, suffix))
			continue;
		*id = str_first(name, name.n - suffix.n);
		if (ship_id_is_valid(*id))
			return true;
	}
	return false;
}

bool store_keeps(struct str keep, struct str id)
{
	while (keep.n) {
		struct str one = str_cut(&keep, '\0');

		if (str_ends(one, STR("*")) ?
			    str_starts(id, str_first(one, one.n - 1)) :
			    str_eq(one, id))
			return true;
	}
	return false;
}

enum code store_sweep(struct fs *fs, const char *dir, struct str keep,
		      struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest, id;
	enum code rc = fs->ops->list(fs, dir, &names, err);

	if (rc == E_NOT_FOUND)
		return OK;
	rest = buf_view(&names);
	while (rc == OK && rest.n) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;

		if (!is_ours(name, &id) || store_keeps(keep, id))
			continue;
		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		rc = fs->ops->remove(fs, path.p, err);
	}
	return rc ? rc : fs->ops->sync_dir(fs, dir, err);
}

enum code ship_sweep(struct fs *fs, const char *dir, struct str keep,
		     struct err *err)
{
	AUTO_BUF list = BUF_NONE;

	if (keep.n) {
		buf_str(&list, keep);
		buf_c(&list, '\0');
	}
	return store_sweep(fs, dir, buf_view(&list), err);
}
