/* Files that are replaced by rename: see edge.h. */
#include "edge/edge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/rand.h"

#include "base/banned.h"

#define PART "agent"
#define INFIX ".conflux-"

/* Where a name begins in its path. */
static size_t name_at(const char *path)
{
	return str_rfind(str_of(path), '/') + 1;
}

static void folder_of(const char *path, struct buf *out)
{
	size_t n = name_at(path);

	buf_str(out, str_n(path, n > 1 ? n - 1 : 1));
}

/* "/etc/x/.app.toml.conflux-1f2e3d4c5b6a7988" */
static void candidate_name(const char *path, struct buf *out)
{
	uint64_t id;

	rand_bytes(&id, sizeof(id));
	buf_str(out, str_n(path, name_at(path)));
	buf_printf(out, ".%s" INFIX "%016llx", path + name_at(path),
		   (unsigned long long)id);
}

static enum code write_all(int fd, struct str content, const char *path,
			   struct err *err)
{
	while (content.n) {
		ssize_t n = write(fd, content.p, content.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write %s", path);
		content = str_from(content, (size_t)n);
	}
	return OK;
}

/* Owner and mode before the content: nobody reads what he may not. */
static enum code fill(int fd, const struct edge_file *f, struct str content,
		      const char *path, struct err *err)
{
	enum code rc;

	if (fchown(fd, f->uid, f->gid))
		return err_sys(err, errno, "set the owner of %s", path);
	if (fchmod(fd, f->mode))
		return err_sys(err, errno, "set the mode of %s", path);
	rc = write_all(fd, content, path, err);
	if (rc == OK && fsync(fd))
		rc = err_sys(err, errno, "sync %s", path);
	return rc;
}

enum code edge_candidate(const struct edge_file *f, struct str content,
			 struct buf *out, struct err *err)
{
	enum code rc;
	int fd;

	buf_reset(out);
	candidate_name(f->path, out);
	rc = failpoint_hit(FP_AGENT_CANDIDATE, err);
	if (rc)
		return rc;
	fd = open(out->p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "make %s", out->p);
	rc = fill(fd, f, content, out->p, err);
	if (close(fd) && rc == OK)
		rc = err_sys(err, errno, "close %s", out->p);
	if (rc)
		edge_discard(out->p);
	return rc;
}

enum code edge_switch(const struct edge_file *f, const char *candidate,
		      struct err *err)
{
	AUTO_BUF folder = BUF_NONE;
	enum code rc = OK;
	int fd;

	if (rename(candidate, f->path))
		return err_sys(err, errno, "rename to %s", f->path);
	folder_of(f->path, &folder);
	fd = open(folder.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		rc = err_sys(err, errno, "sync %s", folder.p);
	if (fd >= 0)
		close(fd);
	return rc;
}

void edge_discard(const char *candidate)
{
	if (unlink(candidate) && errno != ENOENT)
		log_warn(PART, LOG_KV(log_z("file", candidate)),
			 "a candidate stays: %s", strerror(errno));
}

static bool is_candidate(const char *name, struct str of)
{
	struct str rest = str_of(name);

	if (rest.n < 1 + of.n || rest.p[0] != '.' ||
	    !str_eq(str_first(str_from(rest, 1), of.n), of))
		return false;
	rest = str_from(rest, 1 + of.n);
	return str_starts(rest, STR(INFIX)) && rest.n == strlen(INFIX) + 16;
}

void edge_sweep(const struct edge_file *f)
{
	AUTO_BUF folder = BUF_NONE;
	struct dirent *entry;
	DIR *dir;

	folder_of(f->path, &folder);
	dir = opendir(folder.p);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (!is_candidate(entry->d_name, str_of(f->path + name_at(f->path))))
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			log_info(PART, LOG_KV(log_z("folder", folder.p),
					      log_z("file", entry->d_name)),
				 "what an agent before had left is removed");
	}
	closedir(dir);
}

static enum code read_all(int fd, const char *path, struct buf *out, struct err *err)
{
	for (;;) {
		ssize_t n;

		if (out->n > EDGE_CONTENT_MAX)
			return err_set(err, E_TOO_LARGE, "%s is larger than %u bytes",
				       path, EDGE_CONTENT_MAX);
		buf_reserve(out, 64 * 1024);
		n = read(fd, out->p + out->n, 64 * 1024);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read %s", path);
		if (n == 0)
			return OK;
		buf_extend(out, (size_t)n);
	}
}

enum code edge_content(const char *path, struct buf *out, struct stat *of,
		       struct err *err)
{
	/* A pipe or device there must not stop the agent. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;
	enum code rc;

	if (fd < 0 && errno == ELOOP)
		return err_set(err, E_INVALID, "%s is a symbolic link, which would be "
			       "lost; name the file that it leads to", path);
	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = err_set(err, E_INVALID, "%s is no regular file", path);
	else
		rc = read_all(fd, path, out, err);
	if (of)
		*of = st;
	close(fd);
	return rc;
}

bool edge_has(const struct edge_file *f, const struct sha256 *sha)
{
	AUTO_BUF content = BUF_NONE;
	struct sha256 is;
	struct stat st;
	struct err err;

	if (lstat(f->path, &st) || !S_ISREG(st.st_mode) ||
	    edge_content(f->path, &content, NULL, &err))
		return false;
	is = sha256_of(buf_view(&content));
	return sha256_eq(&is, sha);
}

bool edge_is_in_place(const struct edge_file *f, const struct sha256 *sha)
{
	struct stat st;

	return lstat(f->path, &st) == 0 && (st.st_mode & 07777) == f->mode &&
	       (f->uid == (uid_t)-1 || st.st_uid == f->uid) &&
	       (f->gid == (gid_t)-1 || st.st_gid == f->gid) && edge_has(f, sha);
}

enum code edge_lock(const char *dir, int *fd, struct err *err)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/lock", dir);
	*fd = open(path.p, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0) {
		err_sys(err, errno, "state_dir: open %s", path.p);
		return err_hint(err, "the agent is to be able to write there");
	}
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	close(*fd);
	*fd = -1;
	err_set(err, E_BUSY, "another conflux-agent uses the state_dir %s", dir);
	return err_hint(err, "stop it, or give this one a state_dir and files of "
			"its own");
}
