/* Trees of hashes and their files: see tree.h. */
#include "ship/tree.h"

#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

#define MAGIC 0x3145455254584643ull          /* "CFXTREE1" */
#define HEADER_BYTES FILE_BLOCK
#define CRC_BYTES 4u

/* ---- shapes ---- */

bool shape_is_valid(const struct ship_shape *s)
{
	return s->chunk_bytes >= SHIP_CHUNK_MIN &&
	       s->chunk_bytes <= SHIP_CHUNK_MAX &&
	       (s->chunk_bytes & (s->chunk_bytes - 1)) == 0 &&
	       s->page_log >= 1 && s->page_log <= 10 && s->size <= INT64_MAX;
}

uint64_t shape_chunks(const struct ship_shape *s)
{
	return s->size / s->chunk_bytes + (s->size % s->chunk_bytes != 0);
}

size_t shape_chunk_bytes(const struct ship_shape *s, uint64_t chunk)
{
	must(chunk < shape_chunks(s));
	return (size_t)MIN((uint64_t)s->chunk_bytes,
			   s->size - chunk * s->chunk_bytes);
}

uint64_t shape_hashes(const struct ship_shape *s, unsigned level)
{
	uint64_t n = shape_chunks(s);

	for (; level; level--)
		n = (n + BIT(s->page_log) - 1) >> s->page_log;
	return n;
}

uint64_t shape_pages(const struct ship_shape *s, unsigned level)
{
	return shape_hashes(s, level + 1);
}

unsigned shape_levels(const struct ship_shape *s)
{
	unsigned levels = 1;

	if (s->size == 0)
		return 0;
	while (shape_hashes(s, levels) > 1)
		levels++;
	must(levels <= TREE_LEVELS_MAX);
	return levels;
}

size_t shape_page_hashes(const struct ship_shape *s, unsigned level,
			 uint64_t page)
{
	uint64_t first = page << s->page_log, all = shape_hashes(s, level);

	must(first < all);
	return (size_t)MIN((uint64_t)BIT(s->page_log), all - first);
}

/* ---- hashes ---- */

struct sha256 tree_leaf(struct str chunk)
{
	struct sha256_ctx *ctx = sha256_new();
	struct sha256 h;

	sha256_add(ctx, "\0", 1);
	sha256_add(ctx, chunk.p, chunk.n);
	h = sha256_end(ctx);
	sha256_ctx_free(&ctx);
	return h;
}

struct sha256 tree_fold(const struct sha256 *hashes, size_t n)
{
	struct sha256 two[2];
	char bytes[1 + sizeof(two)] = { 1 };
	size_t k = 1;

	if (n == 0)
		return sha256_of(STR_NONE);
	if (n == 1)
		return hashes[0];
	while (k * 2 < n)
		k *= 2;
	two[0] = tree_fold(hashes, k);
	two[1] = tree_fold(hashes + k, n - k);
	memcpy(bytes + 1, two, sizeof(two));
	return sha256_of(str_n(bytes, sizeof(bytes)));
}

struct sha256 tree_root(const struct ship_shape *s, const struct sha256 *top)
{
	AUTO_BUF b = BUF_NONE;

	wr_u8(&b, 2);
	wr_u64(&b, s->size);
	wr_u32(&b, s->chunk_bytes);
	wr_raw(&b, top->b, sizeof(top->b));
	return sha256_of(buf_view(&b));
}

/* ---- the file ---- */

/* A page that is being filled. */
struct level {
	struct sha256 *hashes;
	size_t n;
	uint64_t page;
};

struct tree_file {
	struct fs *fs;
	struct file *file;
	struct ship_shape shape;
	char *dir, *path, *new_path;     /* while it is built */
	unsigned levels;
	struct level *fill;
	struct sha256 top;
	char *page;                      /* with its checksum */
};

size_t tree_memory(const struct ship_shape *s)
{
	return (shape_levels(s) + 1) * (shape_page_bytes(s) + CRC_BYTES);
}

static struct tree_file *tree_new(struct fs *fs, const struct ship_shape *shape)
{
	struct tree_file *t = NEW(struct tree_file);

	must(shape_is_valid(shape));
	t->fs = fs;
	t->shape = *shape;
	t->levels = shape_levels(shape);
	t->top = tree_fold(NULL, 0);
	t->page = mem_zero(shape_page_bytes(shape) + CRC_BYTES);
	return t;
}

void tree_free(struct tree_file **tp)
{
	struct tree_file *t = *tp;

	if (!t)
		return;
	*tp = NULL;
	if (t->file)
		t->fs->ops->close(t->fs, t->file);
	for (unsigned i = 0; t->fill && i < t->levels; i++)
		free(t->fill[i].hashes);
	free(t->fill);
	free(t->dir);
	free(t->path);
	free(t->new_path);
	free(t->page);
	free(t);
}

static uint64_t page_at(const struct tree_file *t, unsigned level, uint64_t page)
{
	for (unsigned i = 0; i < level; i++)
		page += shape_pages(&t->shape, i);
	return HEADER_BYTES + page * (shape_page_bytes(&t->shape) + CRC_BYTES);
}

static void header_encode(struct buf *b, const struct ship_shape *s,
			  const struct sha256 *root)
{
	wr_u64(b, MAGIC);
	wr_u64(b, s->size);
	wr_u32(b, s->chunk_bytes);
	wr_u32(b, s->page_log);
	wr_raw(b, root->b, sizeof(root->b));
	wr_u32(b, crc32c(0, b->p, b->n));
}

enum code tree_begin(struct fs *fs, const char *dir, const char *path,
		     const struct ship_shape *shape, struct tree_file **out,
		     struct err *err)
{
	struct tree_file *t = tree_new(fs, shape);
	AUTO_BUF name = BUF_NONE;
	enum code rc;

	buf_printf(&name, "%s.new", path);
	t->dir = mem_dup(dir, strlen(dir));
	t->path = mem_dup(path, strlen(path));
	t->new_path = buf_take(&name);
	t->fill = mem_zero((t->levels + 1) * sizeof(*t->fill));
	for (unsigned i = 0; i < t->levels; i++)
		t->fill[i].hashes = mem_alloc(shape_page_bytes(shape));
	(void)fs->ops->remove(fs, t->new_path, NULL);
	rc = fs->ops->open(fs, t->new_path, FILE_WRITE | FILE_CREATE, &t->file,
			   err);
	if (rc) {
		tree_free(&t);
		return rc;
	}
	*out = t;
	return OK;
}

static enum code write_page(struct tree_file *t, unsigned level, struct err *err)
{
	struct level *l = &t->fill[level];
	size_t n = l->n * sizeof(*l->hashes);
	AUTO_BUF crc = BUF_NONE;

	memcpy(t->page, l->hashes, n);
	wr_u32(&crc, crc32c(0, t->page, n));
	memcpy(t->page + n, crc.p, crc.n);
	return t->fs->ops->write(t->fs, t->file, page_at(t, level, l->page),
				 t->page, n + CRC_BYTES, err);
}

static enum code add_at(struct tree_file *t, unsigned level,
			const struct sha256 *hash, struct err *err)
{
	struct level *l = &t->fill[level];
	struct sha256 fold;
	enum code rc;

	must(level < t->levels);
	l->hashes[l->n++] = *hash;
	if (l->n < shape_page_hashes(&t->shape, level, l->page))
		return OK;
	rc = write_page(t, level, err);
	fold = tree_fold(l->hashes, l->n);
	l->n = 0;
	l->page++;
	if (rc == OK && level + 1 < t->levels)
		rc = add_at(t, level + 1, &fold, err);
	else
		t->top = fold;
	return rc;
}

enum code tree_add(struct tree_file *t, const struct sha256 *leaf,
		   struct err *err)
{
	must(t->fill);
	return add_at(t, 0, leaf, err);
}

enum code tree_end(struct tree_file *t, struct sha256 *root, struct err *err)
{
	struct fs *fs = t->fs;
	AUTO_BUF header = BUF_NONE;
	enum code rc;

	must(t->fill && (t->levels == 0 || t->fill[t->levels - 1].page == 1));
	*root = tree_root(&t->shape, &t->top);
	header_encode(&header, &t->shape, root);
	rc = fs->ops->write(fs, t->file, 0, header.p, header.n, err);
	if (rc == OK)
		rc = fs->ops->sync(fs, t->file, err);
	if (rc == OK)
		rc = fs->ops->rename(fs, t->new_path, t->path, err);
	if (rc == OK)
		rc = fs->ops->sync_dir(fs, t->dir, err);
	return rc;
}

enum code tree_open(struct fs *fs, const char *path,
		    const struct ship_shape *shape, struct tree_file **out,
		    struct sha256 *root, struct err *err)
{
	AUTO_BUF want = BUF_NONE;
	char bytes[8 + 8 + 4 + 4 + 32 + 4];
	struct tree_file *t = tree_new(fs, shape);
	size_t got = 0;
	enum code rc = fs->ops->open(fs, path, 0, &t->file, err);

	if (rc == OK)
		rc = fs->ops->read(fs, t->file, 0, bytes, sizeof(bytes), &got,
				   err);
	memcpy(root->b, bytes + 24, sizeof(root->b));
	header_encode(&want, shape, root);
	if (rc == OK && !str_eq(buf_view(&want), str_n(bytes, got)))
		rc = err_set(err, E_CORRUPT, "%s: damaged, or the tree of another "
			     "file", path);
	if (rc) {
		tree_free(&t);
		return rc;
	}
	t->path = mem_dup(path, strlen(path));
	*out = t;
	return OK;
}

enum code tree_read(struct tree_file *t, unsigned level, uint64_t page,
		    struct sha256 *out, struct err *err)
{
	size_t n = shape_page_hashes(&t->shape, level, page) * sizeof(*out);
	uint64_t at = page_at(t, level, page);
	size_t got;
	struct rd rd;
	enum code rc = t->fs->ops->read(t->fs, t->file, at, t->page,
					n + CRC_BYTES, &got, err);

	if (rc)
		return rc;
	rd = rd_of(str_n(t->page + n, CRC_BYTES));
	if (got < n + CRC_BYTES || rd_u32(&rd) != crc32c(0, t->page, n))
		return err_set(err, E_CORRUPT, "%s: page %llu of level %u, at byte "
			       "%llu, is damaged", t->path,
			       (unsigned long long)page, level,
			       (unsigned long long)at);
	memcpy(out, t->page, n);
	return OK;
}
