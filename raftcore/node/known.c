/* Which data directories the others had: see known.h. */
#include "node/known.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define PART "raft"
#define KNOWN_MAGIC 0x314e574e58464343ull     /* "CCFXNWN1" */
/* With a byte of flags for each; written where one is doubtful. */
#define KNOWN_MAGIC_DOUBTS 0x324e574e58464343ull      /* "CCFXNWN2" */

bool known_decode(struct str bytes, struct known *out)
{
	struct rd rd = rd_of(bytes);
	uint64_t magic = rd_u64(&rd), index = rd_var(&rd), n = rd_var(&rd);
	bool has_doubts = magic == KNOWN_MAGIC_DOUBTS;

	out->n = 0;
	out->members_index = index;
	if ((magic != KNOWN_MAGIC && !has_doubts) || n > KNOWN_MAX || bytes.n < 4)
		return false;
	while (out->n < n && !rd.bad) {
		struct str raw;
		uint8_t flags;

		out->nodes[out->n].id = rd_var(&rd);
		raw = rd_raw(&rd, sizeof(struct uuid));
		flags = has_doubts ? rd_u8(&rd) : 0;
		if (rd.bad || flags > 1)
			return false;
		out->nodes[out->n].is_doubtful = flags;
		memcpy(out->nodes[out->n++].incarnation.b, raw.p, raw.n);
	}
	return rd_u32(&rd) == crc32c(0, bytes.p, bytes.n - 4) && rd_done(&rd);
}

static bool has_any_doubt(const struct known *k)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->nodes[i].is_doubtful)
			return true;
	return false;
}

static enum code put(struct known *k, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc = failpoint_hit(FP_KNOWN_WRITE, err);
	bool has_doubts = has_any_doubt(k);

	buf_printf(&path, "%s/known", k->dir);
	wr_u64(&bytes, has_doubts ? KNOWN_MAGIC_DOUBTS : KNOWN_MAGIC);
	wr_var(&bytes, k->members_index);
	wr_var(&bytes, k->n);
	for (size_t i = 0; i < k->n; i++) {
		wr_var(&bytes, k->nodes[i].id);
		wr_raw(&bytes, k->nodes[i].incarnation.b, sizeof(struct uuid));
		if (has_doubts)
			wr_u8(&bytes, k->nodes[i].is_doubtful);
	}
	wr_u32(&bytes, crc32c(0, bytes.p, bytes.n));
	return rc ? rc : fs_put(k->fs, k->dir, path.p, buf_view(&bytes), err);
}

const struct uuid *known_of(const struct known *k, uint64_t id)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->nodes[i].id == id)
			return &k->nodes[i].incarnation;
	return NULL;
}

enum code known_adopt(struct known *k, const struct identity *id,
		      struct err *err)
{
	size_t before = k->n;

	for (size_t i = 0; i < id->n_founders; i++) {
		const struct founder *f = &id->founders[i];

		if (f->id == id->node || known_of(k, f->id) || k->n == KNOWN_MAX)
			continue;
		k->nodes[k->n].id = f->id;
		k->nodes[k->n].is_doubtful = false;
		k->nodes[k->n++].incarnation = f->incarnation;
	}
	return k->n != before ? put(k, err) : OK;
}

enum code known_open(struct known *k, struct fs *fs, const char *dir,
		     const struct identity *id, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	*k = (struct known){ .fs = fs, .dir = dir };
	buf_printf(&path, "%s/known", dir);
	rc = fs_get(fs, path.p, &bytes, err);
	if (rc == OK && !known_decode(buf_view(&bytes), k)) {
		err_set(err, E_CORRUPT, "%s is damaged", path.p);
		return err_hint(err, "remove it if no other node has lost its "
				     "data directory: it is made anew");
	}
	if (rc != E_NOT_FOUND)
		return rc;
	err_reset(err);
	return known_adopt(k, id, err);
}

enum code known_check(struct known *k, uint64_t id, const struct uuid *incarnation,
		      struct err *err)
{
	const struct uuid *is = known_of(k, id);
	enum code rc;

	if (uuid_is_none(incarnation) || (is && uuid_eq(is, incarnation)))
		return OK;
	if (is)
		return err_set(err, E_DENIED, "node %llu was here with another data "
			       "directory, and must not come back without it: "
			       "remove node %llu from the cluster, then add it anew",
			       (unsigned long long)id, (unsigned long long)id);
	if (k->n == KNOWN_MAX)
		return err_set(err, E_FULL, "too many nodes are known");
	k->nodes[k->n].id = id;
	k->nodes[k->n].is_doubtful = false;
	k->nodes[k->n++].incarnation = *incarnation;
	rc = put(k, err);
	if (rc)
		k->n--;
	return rc ? err_wrap(err, "the list of known nodes") : OK;
}

static bool is_among(const uint64_t *ids, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Those that left stay, until that can be written: one that comes back has begun from
 * nothing, and the others know as what. */
static void keep_all(struct known *k, const struct known *before,
		     const uint64_t *ids, size_t n)
{
	*k = *before;
	for (size_t i = 0; i < k->n; i++)
		k->nodes[i].is_doubtful |= !is_among(ids, n, k->nodes[i].id);
}

void known_keep(struct known *k, uint64_t index, const uint64_t *ids, size_t n,
		bool whole)
{
	struct known before = *k;
	struct err err;

	if (index <= k->members_index)
		return;
	k->members_index = index;
	k->n = 0;
	for (size_t i = 0; i < before.n; i++)
		if (is_among(ids, n, before.nodes[i].id))
			k->nodes[k->n++] = before.nodes[i];
	for (size_t i = 0; i < k->n; i++)
		k->nodes[i].is_doubtful |= whole;
	err_reset(&err);
	if (put(k, &err) == OK)
		return;
	keep_all(k, &before, ids, n);
	log_warn(PART, LOG_KV(log_z("error", err.text)),
		 "the nodes that are known could not be written down: who left stays "
		 "doubtful until the membership changes again");
}

bool known_is_doubtful(const struct known *k, uint64_t id)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->nodes[i].id == id)
			return k->nodes[i].is_doubtful;
	return false;
}

enum code known_replace(struct known *k, uint64_t id,
			const struct uuid *incarnation, struct err *err)
{
	struct known before = *k;
	enum code rc;

	for (size_t i = 0; i < k->n; i++)
		if (k->nodes[i].id == id)
			k->nodes[i].incarnation = *incarnation;
	rc = put(k, err);
	if (rc)
		*k = before;
	return rc;
}
