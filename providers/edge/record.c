/*
 * What is remembered of a target: see edge.h.  A file of JSON in the state's folder,
 * named by the digest of the target's path, and beside it the content before the last
 * switch:
 *
 *	{"path": "/etc/app.toml", "config": "app.toml", "phase": "applied",
 *	 "version": 3, "sha256": "...", "previous": true, "previous_uid": 0,
 *	 "previous_gid": 0, "previous_mode": 416,
 *	 "rejected": 4, "rejected_sha256": "...", "reason": "check ended with 1"}
 */
#include "edge/edge.h"

#include "base/hex.h"
#include "base/log.h"
#include "doc/format.h"
#include "io/file.h"

#include "base/banned.h"

#define PART "agent"

static const char *const phases[EDGE__PHASES] = {
	[EDGE_NOTHING] = "nothing",
	[EDGE_SWITCHING] = "switching",
	[EDGE_APPLIED] = "applied",
};

static void place(const char *dir, const struct edge_file *f, const char *suffix,
		  struct buf *out)
{
	struct sha256 sha = sha256_of(str_of(f->path));

	buf_printf(out, "%s/", dir);
	buf_hex(out, sha.b, 8);
	buf_z(out, suffix);
}

/* ---- reading ---- */

static bool phase_of(struct str name, enum edge_phase *out)
{
	for (unsigned i = 0; i < EDGE__PHASES; i++)
		if (str_eq(name, str_of(phases[i]))) {
			*out = (enum edge_phase)i;
			return true;
		}
	return false;
}

static bool digest_of(const struct value *v, struct sha256 *out)
{
	return hex_parse(value_text(v), out->b, sizeof(out->b));
}

static uint32_t number_of(const struct value *v, const char *name, uint32_t none)
{
	uint64_t n;

	return value_to_u64(value_get(v, str_of(name)), &n) && n <= UINT32_MAX ?
		       (uint32_t)n : none;
}

static enum code decode(const struct value *v, const struct edge_file *f,
			struct edge_record *out, struct err *err)
{
	if (!str_eq(value_text(value_getz(v, "path")), str_of(f->path)) ||
	    !str_eq(value_text(value_getz(v, "config")), f->config))
		return err_set(err, E_INVALID, "it is of another file or "
			       "configuration");
	if (!phase_of(value_text(value_getz(v, "phase")), &out->phase) ||
	    !value_to_u64(value_getz(v, "version"), &out->version) ||
	    !digest_of(value_getz(v, "sha256"), &out->sha) ||
	    !value_to_u64(value_getz(v, "rejected"), &out->rejected) ||
	    !digest_of(value_getz(v, "rejected_sha256"), &out->rejected_sha))
		return err_set(err, E_CORRUPT, "a member is missing or no good");
	out->has_previous = value_to_bool(value_getz(v, "previous"), false);
	out->previous_uid = (uid_t)number_of(v, "previous_uid", f->uid);
	out->previous_gid = (gid_t)number_of(v, "previous_gid", f->gid);
	out->previous_mode = (mode_t)number_of(v, "previous_mode", f->mode) & 0777;
	(void)str_copy(out->reason, sizeof(out->reason),
		       value_text(value_getz(v, "reason")));
	return OK;
}

static enum code load(const char *path, const struct edge_file *f,
		      struct edge_record *out, struct err *err)
{
	struct arena *arena = arena_new(0);
	AUTO_BUF text = BUF_NONE;
	struct value *v;
	enum code rc = fs_get(fs_real(), path, &text, err);

	if (!rc)
		rc = doc_parse_json(buf_view(&text), arena, NULL, &v, err);
	if (!rc)
		rc = decode(v, f, out, err);
	arena_free(&arena);
	return rc;
}

void edge_record_load(const char *dir, const struct edge_file *f,
		      struct edge_record *out)
{
	AUTO_BUF path = BUF_NONE;
	struct err err;
	enum code rc;

	*out = (struct edge_record){ 0 };
	place(dir, f, ".json", &path);
	rc = load(path.p, f, out, &err);
	if (!rc)
		return;
	*out = (struct edge_record){ 0 };
	if (rc != E_NOT_FOUND)
		log_warn(PART, LOG_KV(log_z("file", path.p)), "what is known of %s "
			 "is not read, and it is taken for new: %s", f->path,
			 err.text);
}

/* ---- writing ---- */

static void encode(const struct edge_file *f, const struct edge_record *r,
		   struct buf *out)
{
	buf_z(out, "{\"path\":");
	buf_json(out, str_of(f->path));
	buf_z(out, ",\"config\":");
	buf_json(out, f->config);
	buf_printf(out, ",\"phase\":\"%s\",\"version\":%llu,\"sha256\":\"",
		   phases[r->phase], (unsigned long long)r->version);
	buf_hex(out, r->sha.b, sizeof(r->sha.b));
	buf_printf(out, "\",\"previous\":%s,\"previous_uid\":%u,"
		   "\"previous_gid\":%u,\"previous_mode\":%u,\"rejected\":%llu,"
		   "\"rejected_sha256\":\"", r->has_previous ? "true" : "false",
		   r->previous_uid, r->previous_gid, r->previous_mode,
		   (unsigned long long)r->rejected);
	buf_hex(out, r->rejected_sha.b, sizeof(r->rejected_sha.b));
	buf_z(out, "\",\"reason\":");
	buf_json(out, str_of(r->reason));
	buf_z(out, "}\n");
}

enum code edge_record_save(const char *dir, const struct edge_file *f,
			   const struct edge_record *r, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF text = BUF_NONE;
	enum code rc;

	place(dir, f, ".json", &path);
	encode(f, r, &text);
	rc = fs_put(fs_real(), dir, path.p, buf_view(&text), err);
	return rc ? err_wrap(err, "what is known of %s", f->path) : OK;
}

enum code edge_previous_save(const char *dir, const struct edge_file *f,
			     struct str content, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	enum code rc;

	place(dir, f, ".previous", &path);
	rc = fs_put(fs_real(), dir, path.p, content, err);
	return rc ? err_wrap(err, "the content before of %s", f->path) : OK;
}

enum code edge_previous_load(const char *dir, const struct edge_file *f,
			     struct buf *out, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	enum code rc;

	place(dir, f, ".previous", &path);
	rc = fs_get(fs_real(), path.p, out, err);
	return rc ? err_wrap(err, "the content before of %s", f->path) : OK;
}
