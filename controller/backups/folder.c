/*
 * The folder of scheduled backups.  Names say whose they are and sort by time:
 *
 *	conflux-<8 digits of the cluster id>-20261121T120000Z-n<node>-<index>.backup
 *
 * Only names of this form and of this cluster are counted and removed: the folder
 * may be shared with other nodes, other clusters and other files.  Those that are
 * ahead of the clock are neither, until it has reached them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "backups/own.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "io/file.h"
#include "seal/stream.h"

#include "base/banned.h"

#define TIME_FORM "%Y%m%dT%H%M%SZ"
#define TIME_BYTES 16
#define PART_SUFFIX ".part"

/* ---- names ---- */

static void prefix_of(struct uuid cluster, struct buf *out)
{
	char text[37];

	uuid_text(text, cluster);
	buf_printf(out, "conflux-%.8s-", text);
}

static void name_of(const struct backup_head *h, struct buf *out)
{
	time_t seconds = (time_t)(h->time_ms / 1000);
	char when[TIME_BYTES + 1] = "";
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), TIME_FORM, &tm);
	prefix_of(h->cluster, out);
	buf_printf(out, "%s-n%llu-%llu" BACKUP_SUFFIX, when,
		   (unsigned long long)h->node, (unsigned long long)h->index);
}

/* Of this cluster, and when it was made.  One from after 'now_ms' was made under a
 * wrong clock: it would hide how old the others are, and drive them out. */
static bool counts(struct str name, struct uuid cluster, uint64_t now_ms,
		   uint64_t *ms)
{
	AUTO_BUF prefix = BUF_NONE;
	struct tm tm = { 0 };
	char when[TIME_BYTES + 1];
	const char *end;

	prefix_of(cluster, &prefix);
	if (!str_starts(name, buf_view(&prefix)) ||
	    !str_ends(name, STR(BACKUP_SUFFIX)) ||
	    name.n < prefix.n + TIME_BYTES)
		return false;
	str_copy(when, sizeof(when),
		 str_first(str_from(name, prefix.n), TIME_BYTES));
	end = strptime(when, TIME_FORM, &tm);
	if (!end || *end)
		return false;
	*ms = (uint64_t)timegm(&tm) * 1000;
	return *ms <= now_ms;
}

static enum code list(const char *dir, struct buf *names, struct err *err)
{
	enum code rc = fs_real()->ops->list(fs_real(), dir, names, err);

	if (rc != E_NOT_FOUND)
		return rc;
	err_reset(err);
	return OK;
}

enum code folder_newest(const char *dir, struct uuid cluster, uint64_t now_ms,
			uint64_t *ms, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	enum code rc = list(dir, &names, err);
	uint64_t at;

	*ms = 0;
	for (struct str rest = buf_view(&names); rest.n;)
		if (counts(str_cut(&rest, '\0'), cluster, now_ms, &at))
			*ms = MAX(*ms, at);
	return rc;
}

static enum code remove_at(const char *dir, struct str name, struct err *err)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
	return fs_real()->ops->remove(fs_real(), path.p, err);
}

/* Names are in the order of time. */
enum code folder_prune(const char *dir, struct uuid cluster, uint64_t now_ms,
		       unsigned keep, struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	enum code rc = list(dir, &names, err);
	unsigned n = 0, seen = 0;
	uint64_t at;

	for (struct str rest = buf_view(&names); rest.n;)
		n += counts(str_cut(&rest, '\0'), cluster, now_ms, &at);
	for (struct str rest = buf_view(&names); rest.n && rc == OK;) {
		struct str name = str_cut(&rest, '\0');

		if (!counts(name, cluster, now_ms, &at) || seen++ + keep >= n)
			continue;
		rc = failpoint_hit(FP_BACKUP_PRUNE, err);
		if (rc == OK)
			rc = remove_at(dir, name, err);
	}
	return rc;
}

/* ---- writing ---- */

struct writing {
	const char *dir;
	const _Atomic bool *is_stopping;
	struct file *file;
	struct sha256_ctx *sum;          /* of what is in the file */
	uint64_t at;
};

static enum code put(void *data, const void *p, size_t n, struct err *err)
{
	struct writing *w = data;
	struct fs *fs = fs_real();
	enum code rc = failpoint_hit(FP_BACKUP_WRITE, err);

	if (rc == OK && atomic_load(w->is_stopping))
		rc = err_set(err, E_CANCELLED, "the node is stopping");
	if (rc == OK)
		rc = fs->ops->write(fs, w->file, w->at, p, n, err);
	sha256_add(w->sum, p, n);
	w->at += n;
	return rc;
}

static enum code write_all(struct writing *w, struct rc_picture *picture,
			   const struct seal_public *to, struct err *err)
{
	AUTO_BUF piece = BUF_NONE;
	struct seal_out *seal = NULL;
	enum code rc = OK;
	bool more = true;

	if (to)
		rc = seal_out_new(NULL, to, BACKUP_CONTEXT, put, w, &seal, err);
	while (rc == OK && more) {
		buf_reset(&piece);
		rc = rc_picture_read(picture, &piece, &more, err);
		if (rc == OK)
			rc = seal ? seal_out_put(seal, piece.p, piece.n, err) :
				    put(w, piece.p, piece.n, err);
	}
	if (rc == OK && seal)
		rc = seal_out_end(seal, err);
	seal_out_free(&seal);
	return rc;
}

/* What the disk has is what was written.  The pages are dropped first, so that it
 * is the disk that is asked. */
static enum code read_back(const char *path, uint64_t bytes,
			   const struct sha256 *want, struct err *err)
{
	struct sha256_ctx *ctx = sha256_new();
	char *piece = mem_alloc(BACKUP_PIECE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct sha256 sum;
	uint64_t at = 0;
	ssize_t n = 0;
	enum code rc = fd < 0 ? err_sys(err, errno, "open %s", path) : OK;

	sha256_start(ctx);
	if (rc == OK)
		(void)!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	while (rc == OK && (n = read(fd, piece, BACKUP_PIECE)) > 0) {
		sha256_add(ctx, piece, (size_t)n);
		at += (uint64_t)n;
	}
	if (n < 0)
		rc = err_sys(err, errno, "read %s", path);
	sum = sha256_end(ctx);
	if (rc == OK && (at != bytes || !sha256_eq(&sum, want)))
		rc = err_set(err, E_CORRUPT, "%s is not what was written", path);
	if (fd >= 0)
		close(fd);
	sha256_ctx_free(&ctx);
	free(piece);
	return rc;
}

static enum code write_file(struct writing *w, const char *path,
			    struct rc_picture *picture,
			    const struct seal_public *to, struct err *err)
{
	struct fs *fs = fs_real();
	struct sha256 sum;
	enum code rc;

	(void)fs->ops->remove(fs, path, NULL);
	rc = fs->ops->open(fs, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE,
			   &w->file, err);
	if (rc)
		return rc;
	rc = write_all(w, picture, to, err);
	sum = sha256_end(w->sum);
	if (rc == OK)
		rc = failpoint_hit(FP_BACKUP_SYNC, err);
	if (rc == OK)
		rc = fs->ops->sync(fs, w->file, err);
	fs->ops->close(fs, w->file);
	return rc ? rc : read_back(path, w->at, &sum, err);
}

/* Of this node: another's may be being written. */
static void remove_parts(const char *dir, const struct backup_head *h)
{
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF prefix = BUF_NONE;
	AUTO_BUF own = BUF_NONE;

	prefix_of(h->cluster, &prefix);
	buf_printf(&own, "-n%llu-", (unsigned long long)h->node);
	if (list(dir, &names, NULL))
		return;
	for (struct str rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');

		if (str_starts(name, buf_view(&prefix)) &&
		    str_ends(name, STR(BACKUP_SUFFIX PART_SUFFIX)) &&
		    name.n > prefix.n + TIME_BYTES &&
		    str_starts(str_from(name, prefix.n + TIME_BYTES),
			       buf_view(&own)))
			(void)!remove_at(dir, name, NULL);
	}
}

enum code folder_write(const char *dir, struct rc_picture *picture,
		       const struct seal_public *to,
		       const _Atomic bool *is_stopping, char name[300],
		       uint64_t *bytes, struct err *err)
{
	struct writing w = { .dir = dir, .is_stopping = is_stopping };
	const struct backup_head *h = rc_picture_head(picture);
	struct fs *fs = fs_real();
	AUTO_BUF own = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF part = BUF_NONE;
	enum code rc = fs->ops->make_dir(fs, dir, err);

	name_of(h, &own);
	buf_printf(&path, "%s/%s", dir, own.p);
	buf_printf(&part, "%s" PART_SUFFIX, path.p);
	if (rc)
		return rc;
	remove_parts(dir, h);
	w.sum = sha256_new();
	sha256_start(w.sum);
	rc = write_file(&w, part.p, picture, to, err);
	if (rc == OK)
		rc = failpoint_hit(FP_BACKUP_RENAME, err);
	if (rc == OK)
		rc = fs->ops->rename(fs, part.p, path.p, err);
	if (rc == OK)
		rc = fs->ops->sync_dir(fs, dir, err);
	else
		(void)fs->ops->remove(fs, part.p, NULL);
	sha256_ctx_free(&w.sum);
	str_copy(name, 300, buf_view(&own));
	*bytes = w.at;
	return rc;
}
