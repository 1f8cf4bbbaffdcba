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
#define IDENTITY_FORMAT 2
#define FLAG_WAITS 1u

static void rd_uuid(struct rd *rd, struct uuid *out)
{
	struct str s = rd_raw(rd, sizeof(out->b));

	if (s.n == sizeof(out->b))
		memcpy(out->b, s.p, s.n);
}

static void wr_uuid(struct buf *out, const struct uuid *id)
{
	wr_raw(out, id->b, sizeof(id->b));
}

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

/* What format 2 has behind format 1. */
static void decode_more(struct rd *rd, struct identity *out)
{
	uint64_t n;

	rd_uuid(rd, &out->incarnation);
	out->waits = rd_u8(rd) & FLAG_WAITS;
	n = rd_var(rd);
	if (n > FOUNDERS_MAX)
		rd->bad = true;
	for (out->n_founders = 0; !rd->bad && out->n_founders < n;) {
		struct founder *f = &out->founders[out->n_founders++];
		struct str address;

		f->id = rd_var(rd);
		rd_uuid(rd, &f->incarnation);
		address = rd_str(rd);
		if (!str_copy(f->address, sizeof(f->address), address))
			rd->bad = true;
	}
}

static enum code decode(struct str bytes, struct identity *out, struct err *err)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd);
	uint32_t format = rd_u32(&rd), crc;

	*out = (struct identity){ 0 };
	if (bytes.n < 16 || magic != IDENTITY_MAGIC)
		return err_set(err, E_CORRUPT, "it is damaged");
	rd = rd_of(str_n(bytes.p + bytes.n - 4, 4));
	crc = rd_u32(&rd);
	if (crc != crc32c(0, bytes.p, bytes.n - 4))
		return err_set(err, E_CORRUPT, "it is damaged");
	if (format < 1 || format > IDENTITY_FORMAT)
		return err_set(err, E_UNSUPPORTED, "format %u is unknown", format);
	rd = rd_of(str_n(bytes.p + 12, bytes.n - 16));
	rd_uuid(&rd, &out->cluster);
	out->node = rd_u64(&rd);
	if (format > 1)
		decode_more(&rd, out);
	if (!rd_done(&rd))
		return err_set(err, E_CORRUPT, "it is damaged");
	return OK;
}

enum code identity_write(struct fs *fs, const char *dir,
			 const struct identity *id, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc = failpoint_hit(FP_META_WRITE, err);

	buf_printf(&path, "%s/identity", dir);
	wr_u64(&bytes, IDENTITY_MAGIC);
	wr_u32(&bytes, IDENTITY_FORMAT);
	wr_uuid(&bytes, &id->cluster);
	wr_u64(&bytes, id->node);
	wr_uuid(&bytes, &id->incarnation);
	wr_u8(&bytes, id->waits ? FLAG_WAITS : 0);
	wr_var(&bytes, id->n_founders);
	for (size_t i = 0; i < id->n_founders; i++) {
		wr_var(&bytes, id->founders[i].id);
		wr_uuid(&bytes, &id->founders[i].incarnation);
		wr_str(&bytes, str_of(id->founders[i].address));
	}
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	if (rc == OK)
		rc = fs_put(fs, dir, path.p, buf_view(&bytes), err);
	return rc ? rc : failpoint_hit(FP_META_WRITTEN, err);
}

enum code identity_read(struct fs *fs, const char *dir, struct identity *out,
			struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	buf_printf(&path, "%s/identity", dir);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc == E_NOT_FOUND)
		return rc;
	if (rc == OK)
		rc = decode(buf_view(&bytes), out, err);
	return rc ? err_wrap(err, "%s", path.p) : OK;
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
			const struct uuid *cluster, bool waits,
			struct identity *out, struct err *err)
{
	enum code rc = identity_read(fs, dir, out, err);
	bool is_other = false;

	if (rc && rc != E_NOT_FOUND)
		return rc;
	if (rc == E_NOT_FOUND) {
		*out = (struct identity){ .node = node, .waits = true,
					  .is_new = true };
		is_other = true;
	}
	/* One that waited may be told otherwise before it was formed. */
	if (out->waits && !waits) {
		out->cluster = cluster ? *cluster : uuid_new();
		out->waits = false;
		is_other = true;
	}
	rc = check_owner(out, dir, node, waits ? NULL : cluster, err);
	if (rc)
		return rc;
	if (uuid_is_none(&out->incarnation)) {
		out->incarnation = uuid_new();
		is_other = true;
	}
	return is_other ? identity_write(fs, dir, out, err) : OK;
}
