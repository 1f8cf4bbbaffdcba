/* Lock and identity of a data directory: see identity.h. */
#include "node/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define IDENTITY_MAGIC 0x3144495858464643ull
#define IDENTITY_FORMAT 1

enum code dir_lock(const char *dir, int *fd, struct err *err)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/lock", dir);
	*fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_sys(err, errno, "open %s", path.p);
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	close(*fd);
	*fd = -1;
	err_set(err, E_BUSY, "another process uses %s", dir);
	return err_hint(err, "stop it, or give this one a directory of its own");
}

static enum code decode(struct str bytes, struct identity *out, struct err *err)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd);
	uint32_t format = rd_u32(&rd), crc;
	struct str uuid = rd_raw(&rd, sizeof(out->cluster.b));

	out->node = rd_u64(&rd);
	crc = rd_u32(&rd);
	if (!rd_done(&rd) || magic != IDENTITY_MAGIC ||
	    crc != crc32c(0, bytes.p, bytes.n - 4))
		return err_set(err, E_CORRUPT, "it is damaged");
	if (format != IDENTITY_FORMAT)
		return err_set(err, E_UNSUPPORTED, "format %u is unknown", format);
	memcpy(out->cluster.b, uuid.p, uuid.n);
	return OK;
}

static enum code make(struct fs *fs, const char *dir, const char *path,
		      struct identity *id, struct err *err)
{
	AUTO_BUF bytes = BUF_NONE;
	enum code rc = failpoint_hit(FP_META_WRITE, err);

	wr_u64(&bytes, IDENTITY_MAGIC);
	wr_u32(&bytes, IDENTITY_FORMAT);
	wr_raw(&bytes, id->cluster.b, sizeof(id->cluster.b));
	wr_u64(&bytes, id->node);
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	return rc ? rc : fs_put(fs, dir, path, buf_view(&bytes), err);
}

static enum code check_owner(const struct identity *id, const char *dir,
			     uint64_t node, const struct uuid *cluster,
			     struct err *err)
{
	if (cluster && memcmp(id->cluster.b, cluster->b, sizeof(cluster->b))) {
		err_set(err, E_DENIED, "%s belongs to another cluster", dir);
		return err_hint(err, "check --peers and --data-dir");
	}
	if (id->node == node)
		return OK;
	err_set(err, E_DENIED, "%s belongs to node %llu, this is node %llu", dir,
		(unsigned long long)id->node, (unsigned long long)node);
	return err_hint(err, "check --node-id and --data-dir");
}

enum code identity_open(struct fs *fs, const char *dir, uint64_t node,
			const struct uuid *cluster, struct identity *out,
			struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	buf_printf(&path, "%s/identity", dir);
	*out = (struct identity){ .node = node };
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc == E_NOT_FOUND) {
		out->cluster = cluster ? *cluster : uuid_new();
		out->is_new = true;
		return make(fs, dir, path.p, out, err);
	}
	if (rc == OK)
		rc = decode(buf_view(&bytes), out, err);
	if (rc)
		return err_wrap(err, "%s", path.p);
	return check_owner(out, dir, node, cluster, err);
}
