/* The machine's files behind struct fs: see file.h. */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"

#include "base/banned.h"

struct file {
	int fd;
	bool is_direct, is_durable;
	char *path;
};

static int open_flags(unsigned flags)
{
	int f = O_CLOEXEC | (flags & FILE_WRITE ? O_RDWR : O_RDONLY);

	if (flags & FILE_CREATE)
		f |= O_CREAT;
	if (flags & FILE_EXCLUSIVE)
		f |= O_EXCL;
	if (flags & FILE_DURABLE)
		f |= O_DSYNC;
	return f;
}

/* Some filesystems (tmpfs, some overlays) refuse O_DIRECT with EINVAL. */
static enum code real_open(struct fs *fs, const char *path, unsigned flags,
			   struct file **out, struct err *err)
{
	bool direct = flags & FILE_DIRECT;
	struct file *file;
	int fd;

	if (failpoint_hit(FP_FILE_OPEN, err))
		return err_wrap(err, "open %s", path);
	fd = open(path, open_flags(flags) | (direct ? O_DIRECT : 0), 0600);
	if (fd < 0 && direct && errno == EINVAL) {
		direct = false;
		fd = open(path, open_flags(flags & ~(unsigned)FILE_EXCLUSIVE), 0600);
	}
	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	file = NEW(struct file);
	*file = (struct file){ fd, direct, flags & FILE_DURABLE,
			       mem_dup(path, strlen(path)) };
	*out = file;
	return OK;
}

static void real_close(struct fs *fs, struct file *file)
{
	close(file->fd);
	free(file->path);
	free(file);
}

static enum code real_read(struct fs *fs, struct file *file, uint64_t at,
			   void *p, size_t n, size_t *got, struct err *err)
{
	*got = 0;
	if (failpoint_hit(FP_FILE_READ, err))
		return err_wrap(err, "read %s at %llu", file->path,
				(unsigned long long)at);
	while (*got < n) {
		ssize_t r = pread(file->fd, (char *)p + *got, n - *got,
				  (off_t)(at + *got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(err, errno, "read %s at %llu", file->path,
				       (unsigned long long)at);
		if (r == 0)
			break;
		*got += (size_t)r;
	}
	return OK;
}

/* What a disk that fails leaves: the blocks up to some place. */
static enum code fail_write(struct file *file, uint64_t at, const void *p,
			    size_t n, struct err *err)
{
	(void)!pwrite(file->fd, p, n / 2 / FILE_BLOCK * FILE_BLOCK, (off_t)at);
	return err_wrap(err, "write %s at %llu", file->path,
			(unsigned long long)at);
}

static enum code real_write(struct fs *fs, struct file *file, uint64_t at,
			    const void *p, size_t n, struct err *err)
{
	size_t done = 0;

	if (failpoint_hit(FP_FILE_WRITE, err))
		return fail_write(file, at, p, n, err);
	while (done < n) {
		ssize_t r = pwrite(file->fd, (const char *)p + done, n - done,
				   (off_t)(at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(err, errno, "write %s at %llu",
				       file->path, (unsigned long long)at);
		done += (size_t)r;
	}
	return OK;
}

static enum code real_sync(struct fs *fs, struct file *file, struct err *err)
{
	if (failpoint_hit(FP_FILE_SYNC, err))
		return err_wrap(err, "sync %s", file->path);
	if (fdatasync(file->fd))
		return err_sys(err, errno, "sync %s", file->path);
	return OK;
}

static enum code real_size(struct fs *fs, struct file *file, uint64_t *out,
			   struct err *err)
{
	struct stat st;

	if (failpoint_hit(FP_FILE_SIZE, err))
		return err_wrap(err, "stat %s", file->path);
	if (fstat(file->fd, &st))
		return err_sys(err, errno, "stat %s", file->path);
	*out = (uint64_t)st.st_size;
	return OK;
}

static enum code real_shrink(struct fs *fs, struct file *file, uint64_t n,
			     struct err *err)
{
	if (failpoint_hit(FP_FILE_SHRINK, err))
		return err_wrap(err, "shorten %s", file->path);
	if (ftruncate(file->fd, (off_t)n))
		return err_sys(err, errno, "shorten %s", file->path);
	return OK;
}

static uint64_t real_room(struct fs *fs, const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) ? 0 : (uint64_t)st.f_bavail * st.f_frsize;
}

static bool real_is_direct(struct fs *fs, struct file *file)
{
	return file->is_direct;
}

static enum code real_rename(struct fs *fs, const char *from, const char *to,
			     struct err *err)
{
	if (failpoint_hit(FP_FILE_RENAME, err))
		return err_wrap(err, "rename %s", from);
	if (rename(from, to))
		return err_sys(err, errno, "rename %s", from);
	return OK;
}

static enum code real_remove(struct fs *fs, const char *path, struct err *err)
{
	if (failpoint_hit(FP_FILE_REMOVE, err))
		return err_wrap(err, "remove %s", path);
	if (unlink(path))
		return err_sys(err, errno, "remove %s", path);
	return OK;
}

static enum code real_make_dir(struct fs *fs, const char *path,
			       struct err *err)
{
	if (failpoint_hit(FP_FILE_MAKE_DIR, err))
		return err_wrap(err, "make folder %s", path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_sys(err, errno, "make folder %s", path);
	return OK;
}

static enum code real_sync_dir(struct fs *fs, const char *path,
			       struct err *err)
{
	enum code rc = OK;
	int fd;

	if (failpoint_hit(FP_FILE_SYNC_DIR, err))
		return err_wrap(err, "sync folder %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open folder %s", path);
	if (fsync(fd))
		rc = err_sys(err, errno, "sync folder %s", path);
	close(fd);
	return rc;
}

static int not_dots(const struct dirent *d)
{
	return d->d_name[0] != '.' ||
	       (d->d_name[1] && (d->d_name[1] != '.' || d->d_name[2]));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static enum code real_list(struct fs *fs, const char *path, struct buf *names,
			   struct err *err)
{
	struct dirent **entries;
	int n;

	if (failpoint_hit(FP_FILE_LIST, err))
		return err_wrap(err, "list %s", path);
	n = scandir(path, &entries, not_dots, by_bytes);
	if (n < 0)
		return err_sys(err, errno, "list %s", path);
	for (int i = 0; i < n; i++) {
		buf_add(names, entries[i]->d_name, strlen(entries[i]->d_name) + 1);
		free(entries[i]);
	}
	free(entries);
	return OK;
}

struct fs *fs_real(void)
{
	static const struct fs_ops ops = {
		.open = real_open, .close = real_close, .read = real_read,
		.write = real_write, .sync = real_sync, .size = real_size,
		.shrink = real_shrink, .room = real_room,
		.is_direct = real_is_direct, .rename = real_rename,
		.remove = real_remove, .make_dir = real_make_dir,
		.sync_dir = real_sync_dir, .list = real_list,
	};
	static struct fs real = { &ops };

	return &real;
}

/* ---- whole files ---- */

enum code fs_get(struct fs *fs, const char *path, struct buf *out,
		 struct err *err)
{
	struct file *file;
	uint64_t size;
	size_t got = 0;
	enum code rc = fs->ops->open(fs, path, 0, &file, err);

	if (rc)
		return rc;
	rc = fs->ops->size(fs, file, &size, err);
	if (rc == OK) {
		size_t from = out->n;
		char *to = buf_extend(out, size);

		rc = fs->ops->read(fs, file, 0, to, size, &got, err);
		buf_cut(out, from + got);
	}
	fs->ops->close(fs, file);
	return rc;
}

enum code fs_put(struct fs *fs, const char *dir, const char *path,
		 struct str bytes, struct err *err)
{
	AUTO_BUF tmp = BUF_NONE;
	struct file *file;
	enum code rc;

	buf_printf(&tmp, "%s.new", path);
	/* What an earlier crash left may be longer than what comes now. */
	(void)fs->ops->remove(fs, tmp.p, NULL);
	rc = fs->ops->open(fs, tmp.p, FILE_WRITE | FILE_CREATE, &file, err);
	if (rc)
		return rc;
	rc = fs->ops->write(fs, file, 0, bytes.p, bytes.n, err);
	if (rc == OK)
		rc = fs->ops->sync(fs, file, err);
	fs->ops->close(fs, file);
	if (rc == OK)
		rc = fs->ops->rename(fs, tmp.p, path, err);
	if (rc == OK)
		rc = fs->ops->sync_dir(fs, dir, err);
	return rc;
}

enum code fs_shorten(struct fs *fs, const char *path, uint64_t n, uint64_t *left,
		     struct err *err)
{
	struct file *file;
	enum code rc = fs->ops->open(fs, path, FILE_WRITE, &file, err);

	*left = 0;
	if (rc)
		return rc;
	rc = fs->ops->size(fs, file, left, err);
	if (rc == OK && *left) {
		*left = (*left - 1) / n * n;
		rc = fs->ops->shrink(fs, file, *left, err);
		if (rc == OK)
			rc = fs->ops->sync(fs, file, err);
	}
	fs->ops->close(fs, file);
	return rc;
}

static enum code check_small(int fd, const char *path, bool is_private,
			     struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, E_INVALID, "%s: no regular file", path);
	if (is_private && st.st_mode & (S_IRWXG | S_IRWXO)) {
		err_set(err, E_DENIED, "%s: others than its owner may use it (mode "
			"%03o)", path, (unsigned)(st.st_mode & 0777));
		return err_hint(err, "chmod 600 %.100s", path);
	}
	return OK;
}

/* One byte more than allowed is asked for, to see that there is none. */
static enum code read_small(int fd, const char *path, size_t max, struct buf *out,
			    struct err *err)
{
	size_t from = out->n, got = 0;
	char *to = buf_extend(out, max + 1);
	enum code rc = OK;

	while (rc == OK && got <= max) {
		ssize_t r = read(fd, to + got, max + 1 - got);

		if (r < 0 && errno != EINTR)
			rc = err_sys(err, errno, "read %s", path);
		if (r == 0)
			break;
		got += r > 0 ? (size_t)r : 0;
	}
	buf_cut(out, from + got);
	if (rc == OK && got > max)
		rc = err_set(err, E_INVALID, "%s: larger than %zu bytes", path, max);
	return rc;
}

enum code file_get_small(const char *path, size_t max, bool is_private,
			 struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum code rc;

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	rc = check_small(fd, path, is_private, err);
	if (rc == OK)
		rc = read_small(fd, path, max, out, err);
	close(fd);
	return rc;
}

/* The folder that 'path' lies in. */
static void folder_above(const char *path, struct buf *out)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	while (n > 1 && path[n - 1] == '/')
		n--;
	buf_add(out, n ? path : ".", n ? n : 1);
	buf_c(out, '\0');
}

enum code fs_make_dir(struct fs *fs, const char *path, struct err *err)
{
	AUTO_BUF above = BUF_NONE;
	enum code rc = fs->ops->make_dir(fs, path, err);

	if (rc)
		return rc;
	folder_above(path, &above);
	rc = fs->ops->sync_dir(fs, above.p, err);
	if (rc != E_DENIED)
		return rc;
	err_reset(err);
	return OK;
}

void *file_alloc(size_t n)
{
	void *p = NULL;

	must(n % FILE_BLOCK == 0);
	must(posix_memalign(&p, FILE_BLOCK, n) == 0);
	return p;
}
