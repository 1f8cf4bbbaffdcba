/* Checkpoint files: see checkpoint.h. */
#include "node/checkpoint.h"

#include <pthread.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

#define PIECE_BYTES (1024u * 1024)
#define META_MAGIC 0x3154504b58464343ull      /* "CCFXKPT1" */
#define TEMPORARY "picture.new"
#define GONE "gone-"                     /* and its name; none that counts begins so */
#define SHRINK_BYTES (4u << 20)

/* Not bound to the node: whoever has the keys may bring one back from another
 * node of the cluster. */
void checkpoint_files_bind(struct seal_files *files, struct uuid cluster)
{
	AUTO_BUF context = BUF_NONE;

	wr_raw(&context, "conflux checkpoint", 18);
	wr_raw(&context, cluster.b, sizeof(cluster.b));
	seal_files_bind(files, buf_view(&context));
}

struct seal_files *checkpoint_files_new(struct fs *inner,
					const struct seal_provider *seal,
					struct uuid cluster)
{
	struct seal_files *files = seal_files_new(inner, seal, STR_NONE);

	checkpoint_files_bind(files, cluster);
	return files;
}

void checkpoint_fini(struct checkpoint *c)
{
	buf_fini(&c->conf);
	*c = (struct checkpoint){ 0 };
}

void checkpoint_path(const char *dir, const struct checkpoint *c,
		     const char *suffix, struct buf *out)
{
	buf_printf(out, "%s/%020llu-%llu%s", dir, (unsigned long long)c->index,
		   (unsigned long long)c->term, suffix);
}

/* ---- meta ---- */

void checkpoint_encode(struct buf *out, const struct checkpoint *c)
{
	wr_u64(out, META_MAGIC);
	wr_raw(out, c->cluster.b, sizeof(c->cluster.b));
	wr_u64(out, c->index);
	wr_u64(out, c->term);
	wr_u64(out, c->conf_index);
	wr_str(out, buf_view(&c->conf));
	wr_u64(out, c->bytes);
	wr_raw(out, c->sum.b, sizeof(c->sum.b));
	wr_u32(out, crc32c(0, out->p, out->n));
}

bool checkpoint_decode(struct str bytes, struct checkpoint *c)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd);
	struct str cluster = rd_raw(&rd, sizeof(c->cluster.b)), conf, sum;
	uint32_t crc;

	c->index = rd_u64(&rd);
	c->term = rd_u64(&rd);
	c->conf_index = rd_u64(&rd);
	conf = rd_str(&rd);
	c->bytes = rd_u64(&rd);
	sum = rd_raw(&rd, sizeof(c->sum.b));
	crc = rd_u32(&rd);
	if (!rd_done(&rd) || magic != META_MAGIC ||
	    crc != crc32c(0, bytes.p, bytes.n - 4) || c->index == 0)
		return false;
	memcpy(c->cluster.b, cluster.p, sizeof(c->cluster.b));
	memcpy(c->sum.b, sum.p, sizeof(c->sum.b));
	buf_reset(&c->conf);
	buf_str(&c->conf, conf);
	return true;
}

/* ---- writing ---- */

struct checkpoint_writer {
	struct fs *fs;
	char *dir, *path;
	struct file *file;
	char *piece;                     /* aligned */
	size_t filled;
	uint64_t at, bytes;
	struct sha256_ctx *sum;
	checkpoint_pace *pace;
	void *pace_data;
	bool is_named;
};

enum code checkpoint_begin(struct fs *fs, const char *dir,
			   checkpoint_pace *pace, void *data,
			   struct checkpoint_writer **out, struct err *err)
{
	struct checkpoint_writer *w = NEW(struct checkpoint_writer);
	AUTO_BUF path = BUF_NONE;
	enum code rc;

	buf_printf(&path, "%s/" TEMPORARY, dir);
	w->fs = fs;
	w->dir = mem_dup(dir, strlen(dir));
	w->path = buf_take(&path);
	w->piece = file_alloc(PIECE_BYTES);
	w->sum = sha256_new();
	sha256_start(w->sum);
	w->pace = pace;
	w->pace_data = data;
	rc = fs_make_dir(fs, dir, err);
	if (rc == OK) {
		(void)fs->ops->remove(fs, w->path, NULL);
		/* Past the page cache: a picture would push out what is read. */
		rc = fs->ops->open(fs, w->path, FILE_WRITE | FILE_CREATE |
				   FILE_DIRECT, &w->file, err);
	}
	if (rc) {
		checkpoint_writer_free(&w);
		return rc;
	}
	*out = w;
	return OK;
}

static enum code write_piece(struct checkpoint_writer *w, struct err *err)
{
	size_t n = (w->filled + FILE_BLOCK - 1) / FILE_BLOCK * FILE_BLOCK;
	enum code rc = failpoint_hit(FP_CHECKPOINT_WRITE, err);

	memset(w->piece + w->filled, 0, n - w->filled);
	if (rc == OK && n)
		rc = w->fs->ops->write(w->fs, w->file, w->at, w->piece, n, err);
	w->at += n;
	w->filled = 0;
	if (rc == OK && w->pace)
		w->pace(w->pace_data);
	return rc;
}

enum code checkpoint_put(void *writer, const void *p, size_t n, struct err *err)
{
	struct checkpoint_writer *w = writer;
	const char *from = p;
	enum code rc = OK;

	sha256_add(w->sum, p, n);
	w->bytes += n;
	while (n && rc == OK) {
		size_t k = MIN(n, PIECE_BYTES - w->filled);

		memcpy(w->piece + w->filled, from, k);
		w->filled += k;
		from += k;
		n -= k;
		if (w->filled == PIECE_BYTES)
			rc = write_piece(w, err);
	}
	return rc;
}

enum code checkpoint_verify(struct fs *fs, const char *path,
			    const struct checkpoint *c, checkpoint_pace *pace,
			    void *data, struct err *err)
{
	struct sha256_ctx *ctx = sha256_new();
	char *piece = file_alloc(PIECE_BYTES);
	struct file *file = NULL;
	struct sha256 sum;
	uint64_t at = 0;
	size_t got = PIECE_BYTES;
	enum code rc = fs->ops->open(fs, path, FILE_DIRECT, &file, err);

	sha256_start(ctx);
	while (rc == OK && at < c->bytes && got == PIECE_BYTES) {
		rc = fs->ops->read(fs, file, at, piece, PIECE_BYTES, &got, err);
		if (rc)
			break;
		sha256_add(ctx, piece, (size_t)MIN((uint64_t)got, c->bytes - at));
		at += got;
		if (pace)
			pace(data);
	}
	if (file)
		fs->ops->close(fs, file);
	sum = sha256_end(ctx);
	if (rc == OK && (at < c->bytes || !sha256_eq(&sum, &c->sum)))
		rc = err_set(err, E_CORRUPT, "%s: the picture is damaged", path);
	sha256_ctx_free(&ctx);
	free(piece);
	return rc;
}

/* Again, where the meta file found no room: the picture may have its name. */
static enum code name_picture(struct fs *fs, const char *from, const char *to,
			      struct err *err)
{
	enum code rc = fs->ops->rename(fs, from, to, err);
	struct file *file;

	if (rc != E_NOT_FOUND || fs->ops->open(fs, to, 0, &file, NULL))
		return rc;
	fs->ops->close(fs, file);
	err_reset(err);
	return OK;
}

enum code checkpoint_adopt(struct fs *fs, const char *dir,
			   const struct checkpoint *c, const char *path,
			   struct err *err)
{
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF meta = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc = failpoint_hit(FP_CHECKPOINT_RENAME, err);

	checkpoint_path(dir, c, ".ckpt", &picture);
	checkpoint_path(dir, c, ".meta", &meta);
	checkpoint_encode(&bytes, c);
	if (rc == OK)
		rc = name_picture(fs, path, picture.p, err);
	/* Syncs the folder too, with both names. */
	if (rc == OK)
		rc = fs_put(fs, dir, meta.p, buf_view(&bytes), err);
	return rc ? rc : failpoint_hit(FP_CHECKPOINT_DONE, err);
}

enum code checkpoint_end(struct checkpoint_writer *w, struct checkpoint *c,
			 struct err *err)
{
	enum code rc = write_piece(w, err);

	c->bytes = w->bytes;
	c->sum = sha256_end(w->sum);
	if (rc == OK)
		rc = failpoint_hit(FP_CHECKPOINT_SYNC, err);
	if (rc == OK)
		rc = w->fs->ops->sync(w->fs, w->file, err);
	w->fs->ops->close(w->fs, w->file);
	w->file = NULL;
	if (rc == OK)
		rc = checkpoint_verify(w->fs, w->path, c, w->pace,
				       w->pace_data, err);
	if (rc == OK)
		rc = checkpoint_adopt(w->fs, w->dir, c, w->path, err);
	w->is_named = rc == OK;
	return rc;
}

void checkpoint_writer_free(struct checkpoint_writer **wp)
{
	struct checkpoint_writer *w = *wp;

	if (!w)
		return;
	*wp = NULL;
	if (w->file)
		w->fs->ops->close(w->fs, w->file);
	if (!w->is_named)
		(void)w->fs->ops->remove(w->fs, w->path, NULL);
	sha256_ctx_free(&w->sum);
	free(w->piece);
	free(w->path);
	free(w->dir);
	free(w);
}

/* ---- finding ---- */

/* Names that end in 'suffix', newest last. */
static enum code list(struct fs *fs, const char *dir, struct buf *names,
		      struct err *err)
{
	enum code rc = fs->ops->list(fs, dir, names, err);

	if (rc != E_NOT_FOUND)
		return rc;
	err_reset(err);
	buf_reset(names);
	return OK;
}

static enum code try_one(struct fs *fs, const char *dir, struct str name,
			 struct uuid cluster, struct checkpoint *c,
			 struct err *err)
{
	AUTO_BUF meta = BUF_NONE;
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	buf_printf(&meta, "%s/%.*s", dir, STR_ARG(name));
	rc = fs_get(fs, meta.p, &bytes, err);
	if (rc)
		return rc;
	if (!checkpoint_decode(buf_view(&bytes), c))
		return err_set(err, E_CORRUPT, "%s is damaged", meta.p);
	if (memcmp(c->cluster.b, cluster.b, sizeof(cluster.b)) != 0)
		return err_set(err, E_DENIED, "%s belongs to another cluster",
			       meta.p);
	checkpoint_path(dir, c, ".ckpt", &picture);
	return checkpoint_verify(fs, picture.p, c, NULL, NULL, err);
}

enum code checkpoint_load(struct fs *fs, const char *dir, uint64_t index,
			  uint64_t term, struct checkpoint *out,
			  struct err *err)
{
	struct checkpoint c = { .index = index, .term = term };
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	checkpoint_path(dir, &c, ".meta", &path);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc)
		return rc;
	if (!checkpoint_decode(buf_view(&bytes), &c)) {
		checkpoint_fini(&c);
		return err_set(err, E_CORRUPT, "%s is damaged", path.p);
	}
	*out = c;
	return OK;
}

static bool is_meta(struct str name)
{
	return str_ends(name, STR(".meta"));
}

static bool has_name(const struct buf *names, struct str name)
{
	struct str rest = buf_view(names);

	while (rest.n)
		if (str_eq(str_cut(&rest, '\0'), name))
			return true;
	return false;
}

/* What a crash left: a picture that is not whole, or one whose meta file did
 * not come any more, or went first. */
static void remove_leftovers(struct fs *fs, const char *dir,
			     const struct buf *names)
{
	struct str rest = buf_view(names);

	while (rest.n) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;
		AUTO_BUF meta = BUF_NONE;

		if (str_ends(name, STR(".ckpt")))
			buf_printf(&meta, "%.*s.meta", (int)name.n - 5, name.p);
		else if (!str_eq(name, STR(TEMPORARY)))
			continue;
		if (meta.n && has_name(names, buf_view(&meta)))
			continue;
		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		(void)fs->ops->remove(fs, path.p, NULL);
	}
}

/* Out of the way of the next start, and not counted among those kept. */
static void set_aside(struct fs *fs, const char *dir, struct str name)
{
	AUTO_BUF from = BUF_NONE;
	AUTO_BUF to = BUF_NONE;

	buf_printf(&from, "%s/%.*s", dir, STR_ARG(name));
	buf_printf(&to, "%s.damaged", from.p);
	if (fs->ops->rename(fs, from.p, to.p, NULL))
		return;
	buf_cut(&from, from.n - 5);
	buf_z(&from, ".ckpt");
	(void)fs->ops->remove(fs, from.p, NULL);
}

static bool last_name(struct str *rest, struct str *name)
{
	size_t at;

	if (rest->n == 0)
		return false;
	for (at = rest->n - 1; at > 0 && rest->p[at - 1]; at--)
		;
	*name = str_n(rest->p + at, rest->n - 1 - at);
	rest->n = at;
	return true;
}

/* Names begin with the index, so the newest comes last; those above it are the
 * damaged ones. */
enum code checkpoint_find(struct fs *fs, const char *dir, struct uuid cluster,
			  struct checkpoint *out, unsigned *damaged,
			  struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct checkpoint c = { 0 };
	struct str rest, name;
	enum code rc = list(fs, dir, &names, err);

	*damaged = 0;
	if (rc)
		return rc;
	remove_leftovers(fs, dir, &names);
	for (rest = buf_view(&names); last_name(&rest, &name);) {
		if (!is_meta(name))
			continue;
		rc = try_one(fs, dir, name, cluster, &c, err);
		if (rc == OK)
			break;
		checkpoint_fini(&c);
		/* What cannot be read now may be whole all the same. */
		if (rc != E_CORRUPT && rc != E_NOT_FOUND)
			return rc;
		++*damaged;
	}
	*out = c;
	for (rest = buf_view(&names); c.index && last_name(&rest, &name);) {
		AUTO_BUF good = BUF_NONE;

		checkpoint_path(dir, &c, ".meta", &good);
		if (str_ends(buf_view(&good), name))
			break;
		if (is_meta(name))
			set_aside(fs, dir, name);
	}
	return OK;
}

/* The meta file first: without it the picture does not count.  Then the name, by which
 * its clearing and the next start know it, and never before both are durable: what has
 * its names back after a crash must have its bytes. */
static enum code remove_one(struct fs *fs, const char *dir, struct str name,
			    struct err *err)
{
	AUTO_BUF meta = BUF_NONE;
	AUTO_BUF picture = BUF_NONE;
	AUTO_BUF gone = BUF_NONE;
	int n = (int)name.n - 5;
	enum code rc = failpoint_hit(FP_CHECKPOINT_PRUNE, err);

	buf_printf(&meta, "%s/%.*s", dir, STR_ARG(name));
	buf_printf(&picture, "%s/%.*s.ckpt", dir, n, name.p);
	buf_printf(&gone, "%s/" GONE "%.*s.ckpt", dir, n, name.p);
	if (rc == OK)
		rc = fs->ops->remove(fs, meta.p, err);
	if (rc)
		return rc;
	if (fs->ops->rename(fs, picture.p, gone.p, NULL))
		(void)fs->ops->remove(fs, picture.p, NULL);
	else if (fs->ops->sync_dir(fs, dir, NULL))
		(void)fs->ops->remove(fs, gone.p, NULL);
	return OK;
}

static uint64_t index_of(struct str name)
{
	uint64_t index = 0;

	(void)!str_u64(str_first(name, str_find(name, '-')), &index);
	return index;
}

static bool is_held(struct str name, const uint64_t *held, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (held[i] == index_of(name))
			return true;
	return false;
}

enum code checkpoint_prune(struct fs *fs, const char *dir, unsigned keep,
			   uint64_t *oldest, struct err *err)
{
	return checkpoint_prune_but(fs, dir, keep, NULL, 0, oldest, err);
}

enum code checkpoint_prune_but(struct fs *fs, const char *dir, unsigned keep,
			       const uint64_t *held, size_t n_held,
			       uint64_t *oldest, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	unsigned n = 0, seen = 0;
	struct str rest;
	enum code rc = list(fs, dir, &names, err);

	*oldest = 0;
	for (rest = buf_view(&names); rest.n;)
		n += is_meta(str_cut(&rest, '\0'));
	for (rest = buf_view(&names); rest.n && rc == OK;) {
		struct str name = str_cut(&rest, '\0');

		if (!is_meta(name))
			continue;
		seen++;
		/* Names begin with the index, so they are in its order. */
		if (seen + keep <= n && !is_held(name, held, n_held))
			rc = remove_one(fs, dir, name, err);
		else if (*oldest == 0 && n >= keep)
			*oldest = index_of(name);
	}
	return rc;
}

/* ---- giving back ---- */

/* Of all nodes of this process: a picture may be read on behind its node's end. */
static pthread_mutex_t readings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct checkpoint_reading *readings;

void checkpoint_reading_begin(struct checkpoint_reading *r, const char *path)
{
	checkpoint_reading_end(r);
	buf_z(&r->path, path);
	pthread_mutex_lock(&readings_lock);
	r->next_ = readings;
	readings = r;
	pthread_mutex_unlock(&readings_lock);
}

void checkpoint_reading_end(struct checkpoint_reading *r)
{
	struct checkpoint_reading **at = &readings;

	if (!r->path.n)
		return;
	pthread_mutex_lock(&readings_lock);
	while (*at != r)
		at = &(*at)->next_;
	*at = r->next_;
	pthread_mutex_unlock(&readings_lock);
	buf_fini(&r->path);
}

/* Who comes later does not find it any more. */
static bool is_read(const char *path)
{
	const struct checkpoint_reading *r;

	pthread_mutex_lock(&readings_lock);
	for (r = readings; r; r = r->next_)
		if (str_eq(buf_view(&r->path), str_of(path)))
			break;
	pthread_mutex_unlock(&readings_lock);
	return r;
}

static enum code shrink(struct fs *disk, const char *path,
			checkpoint_goes_on *goes_on, void *data, bool *go)
{
	uint64_t left = 1;
	enum code rc = OK;

	while (rc == OK && left && *go) {
		rc = failpoint_hit(FP_CHECKPOINT_SHRINK, NULL);
		if (rc == OK)
			rc = fs_shorten(disk, path, SHRINK_BYTES, &left, NULL);
		if (rc == OK && goes_on)
			*go = goes_on(data);
	}
	return rc ? rc : failpoint_hit(FP_CHECKPOINT_REMOVE, NULL);
}

void checkpoint_clear(struct fs *disk, const char *dir,
		      checkpoint_goes_on *goes_on, void *data)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	bool go = true;

	if (list(disk, dir, &names, NULL))
		return;
	for (rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');
		AUTO_BUF path = BUF_NONE;
		AUTO_BUF was = BUF_NONE;

		if (!str_starts(name, STR(GONE)))
			continue;
		buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
		buf_printf(&was, "%s/%.*s", dir,
			   STR_ARG(str_from(name, sizeof(GONE) - 1)));
		if (!is_read(was.p))
			(void)!shrink(disk, path.p, goes_on, data, &go);
		(void)disk->ops->remove(disk, path.p, NULL);
	}
}
