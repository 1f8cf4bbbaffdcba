/*
 * Bodies as files in memory: see bodies.h.
 *
 * A file is sealed: what the kernel still sends of it never changes, and its pages live
 * until they are sent, though it is closed.  (The store's own map could not be sent
 * from: its pages are written over when nobody reads them.)
 */
#include "http/server/bodies.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/banned.h"

#define PIECES 16u

void bodies_init(struct bodies *b)
{
	for (unsigned i = 0; i < BODIES_KEPT; i++)
		b->all[i].file = -1;
}

static void drop(struct body *body)
{
	if (body->file >= 0)
		close(body->file);
	body->file = -1;
}

void bodies_fini(struct bodies *b)
{
	for (unsigned i = 0; i < BODIES_KEPT; i++)
		drop(&b->all[i]);
}

static bool fill(int file, const struct stream_vec *v, unsigned n, size_t total)
{
	struct iovec iov[PIECES];
	ssize_t k;

	for (unsigned i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)v[i].p, v[i].n };
	do
		k = writev(file, iov, (int)n);
	while (k < 0 && errno == EINTR);
	return k == (ssize_t)total &&
		fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK |
		      F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

/* -1: the kernel has no room for it, or no descriptor. */
static int make(const struct stream_vec *v, unsigned n, size_t total)
{
	int file = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (file < 0)
		return -1;
	if (fill(file, v, n, total))
		return file;
	close(file);
	return -1;
}

/* A free place, or that of the one that was not asked for longest; NULL: all are asked
 * for now. */
static struct body *place(struct bodies *b, uint64_t now_ms)
{
	struct body *oldest = &b->all[0];

	for (unsigned i = 0; i < BODIES_KEPT; i++) {
		if (b->all[i].file < 0)
			return &b->all[i];
		if (b->all[i].used_ms < oldest->used_ms)
			oldest = &b->all[i];
	}
	return oldest->used_ms + BODIES_KEEP_MS < now_ms ? oldest : NULL;
}

static struct body *find(struct bodies *b, const uint8_t *name)
{
	for (unsigned i = 0; i < BODIES_KEPT; i++)
		if (b->all[i].file >= 0 &&
		    memcmp(b->all[i].name, name, BODY_NAME_BYTES) == 0)
			return &b->all[i];
	return NULL;
}

int bodies_file(struct bodies *b, const uint8_t *name, const struct stream_vec *v,
		unsigned n, uint64_t now_ms)
{
	struct body *body = find(b, name);
	size_t total = 0;

	if (!body) {
		for (unsigned i = 0; i < n; i++)
			total += v[i].n;
		if (n > PIECES || total < BODY_BYTES_MIN || total > BODY_BYTES_MAX)
			return -1;
		body = place(b, now_ms);
		if (!body)
			return -1;
		drop(body);
		memcpy(body->name, name, BODY_NAME_BYTES);
		body->file = make(v, n, total);
	}
	body->used_ms = now_ms;
	return body->file;
}

void bodies_sweep(struct bodies *b, uint64_t now_ms)
{
	for (unsigned i = 0; i < BODIES_KEPT; i++)
		if (b->all[i].used_ms + BODIES_KEEP_MS < now_ms)
			drop(&b->all[i]);
}
