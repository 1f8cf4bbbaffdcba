/*
 * The tree of hashes over the chunks of a file, and the file it is kept in.
 *
 * The tree is that of RFC 6962, section 2.1, over the chunks:
 *	leaf	SHA-256(0x00 | chunk)
 *	node	SHA-256(0x01 | left | right), split at the largest power of two
 *		that is smaller than the number of leaves
 *	none	SHA-256() where there is no chunk
 * and the root that is offered binds the shape to it:
 *	root	SHA-256(0x02 | size, 8 bytes | chunk bytes, 4 bytes | top)
 * numbers little-endian.  The three first bytes keep a node from being taken for
 * a chunk, and a top for a root.
 *
 * Page i of level 0 has the hashes of chunks i * 2^page_log and on; page i of
 * level k + 1 has those of the pages of level k from i * 2^page_log on.  Since
 * the split is at powers of two, a page's hash is the tree over its hashes, so
 * each page is verified by one hash of the page above, and the one page of the
 * top level by the root.  The page size changes no hash.
 *
 * Blocking where files are; any thread, one thread an object.
 */
#ifndef SHIP_TREE_H
#define SHIP_TREE_H

#include "ship/ship.h"

#define TREE_LEVELS_MAX 64               /* page_log 1 */

bool shape_is_valid(const struct ship_shape *s);
uint64_t shape_chunks(const struct ship_shape *s);
/* Bytes of one chunk. */
size_t shape_chunk_bytes(const struct ship_shape *s, uint64_t chunk);
/* Levels of pages; 0 for an empty file. */
unsigned shape_levels(const struct ship_shape *s);
/* Hashes of a level, its pages, and the hashes of one page. */
uint64_t shape_hashes(const struct ship_shape *s, unsigned level);
uint64_t shape_pages(const struct ship_shape *s, unsigned level);
size_t shape_page_hashes(const struct ship_shape *s, unsigned level,
			 uint64_t page);
static inline size_t shape_page_bytes(const struct ship_shape *s)
{
	return sizeof(struct sha256) << s->page_log;
}

struct sha256 tree_leaf(struct str chunk);
/* The tree over 'n' hashes. */
struct sha256 tree_fold(const struct sha256 *hashes, size_t n);
struct sha256 tree_root(const struct ship_shape *s, const struct sha256 *top);

/* ---- the file of a tree: docs/formats/ship.md ---- */

struct tree_file;

/* A tree that was built whole, of this shape.  E_NOT_FOUND: there is none;
 * E_CORRUPT: it is damaged, or of another shape. */
enum code tree_open(struct fs *fs, const char *path,
		    const struct ship_shape *shape, struct tree_file **out,
		    struct sha256 *root, struct err *err) MUST_USE;
/* Begins a new one under another name: leaves are added in order. */
enum code tree_begin(struct fs *fs, const char *dir, const char *path,
		     const struct ship_shape *shape, struct tree_file **out,
		     struct err *err) MUST_USE;
enum code tree_add(struct tree_file *t, const struct sha256 *leaf,
		   struct err *err) MUST_USE;
/* After all leaves: makes it durable and names it; then it can be read. */
enum code tree_end(struct tree_file *t, struct sha256 *root, struct err *err)
	MUST_USE;
/* The hashes of one page (room for shape_page_bytes).  E_CORRUPT: damaged. */
enum code tree_read(struct tree_file *t, unsigned level, uint64_t page,
		    struct sha256 *out, struct err *err) MUST_USE;
void tree_free(struct tree_file **t);
/* Bytes that one allocates. */
size_t tree_memory(const struct ship_shape *s);

#endif
