/* Rows of the store: see rows.h. */
#include "state/rows.h"

#include "wire/wire.h"

#include "base/banned.h"

#define ROW_FORMAT 1
#define ROW_FORMAT_HELD 2            /* a release holds it */
#define ROW_FORMAT_HELD_BY 3         /* it is known who */
#define ROW_FORMAT_STEPPED 4         /* and a release went a step on */
#define ROW_FORMAT_MARKED 2          /* says whether it was live */
#define ROW_FORMAT_EVENT 2           /* says what was before */
#define ROW_FORMAT_TOKEN 2           /* is a certificate */
#define ROW_FORMAT_NAMED 3           /* is somebody's with a name */

/* ---- keys ---- */

void key_objects(struct buf *out, struct str tenant, enum kind_id kind)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_u8(out, (uint8_t)kind);
}

void key_object(struct buf *out, struct str tenant, enum kind_id kind,
		struct str name)
{
	key_objects(out, tenant, kind);
	buf_str(out, name);
}

bool key_object_split(struct str key, struct str *tenant, enum kind_id *kind,
		      struct str *name)
{
	size_t at = str_find(key, '\0');

	if (at == SIZE_MAX || at + 2 > key.n)
		return false;
	*tenant = str_first(key, at);
	*kind = (unsigned char)key.p[at + 1];
	*name = str_from(key, at + 2);
	return true;
}

void key_versions(struct buf *out, struct str tenant, struct uuid uid)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_raw(out, uid.b, sizeof(uid.b));
}

void key_version(struct buf *out, struct str tenant, struct uuid uid,
		 uint32_t version)
{
	key_versions(out, tenant, uid);
	wr_u32_be(out, version);
}

void key_blob(struct buf *out, struct str tenant, const struct sha256 *sha,
	      uint32_t chunk)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_raw(out, sha->b, sizeof(sha->b));
	wr_u32_be(out, chunk);
}

void key_count(struct buf *out, struct str tenant, enum kind_id kind)
{
	buf_z(out, "count");
	buf_c(out, '\0');
	buf_str(out, tenant);
	buf_c(out, '\0');
	wr_u8(out, (uint8_t)kind);
}

static void rd_bytes(struct rd *rd, void *to, size_t n)
{
	struct str s = rd_raw(rd, n);

	if (s.n == n)
		memcpy(to, s.p, n);
}

/* A reader behind the format byte. */
static struct rd rd_row(struct str in)
{
	struct rd rd = rd_of(in);

	if (rd_u8(&rd) != ROW_FORMAT)
		rd.bad = true;
	return rd;
}

/* ---- objects ---- */

void object_row_encode(struct buf *out, const struct object_row *row)
{
	wr_u8(out, ROW_FORMAT);
	wr_raw(out, row->uid.b, sizeof(row->uid.b));
	wr_var(out, row->rev);
	wr_var(out, row->generation);
	wr_var(out, row->created_ms);
	wr_u8(out, (uint8_t)row->manager);
	wr_str(out, row->manager_ref);
	wr_str(out, row->labels);
	wr_str(out, row->meta);
	wr_str(out, row->spec);
	wr_str(out, row->status);
	wr_str(out, row->application);
	wr_str(out, row->environment);
	wr_str(out, row->config_name);
	wr_str(out, row->format);
}

bool object_row_decode(struct str in, struct object_row *out)
{
	struct rd rd = rd_row(in);

	rd_bytes(&rd, out->uid.b, sizeof(out->uid.b));
	out->rev = rd_var(&rd);
	out->generation = rd_var(&rd);
	out->created_ms = rd_var(&rd);
	out->manager = rd_u8(&rd);
	out->manager_ref = rd_str(&rd);
	out->labels = rd_str(&rd);
	out->meta = rd_str(&rd);
	out->spec = rd_str(&rd);
	out->status = rd_str(&rd);
	out->application = rd_str(&rd);
	out->environment = rd_str(&rd);
	out->config_name = rd_str(&rd);
	out->format = rd_str(&rd);
	return rd_done(&rd);
}

/* ---- live ---- */

static void encode_hold(struct buf *out, const struct live_row *row)
{
	wr_var(out, row->hold_release);
	wr_var(out, row->hold_version);
	wr_str(out, row->hold_reason);
	wr_str(out, row->hold_commit);
}

void live_row_encode(struct buf *out, const struct live_row *row)
{
	bool is_stepped = row->base_rev && row->base_rev != row->rev;
	bool has_by = is_stepped || (row->has_hold && row->hold_by.n);
	bool is_held = has_by || (row->has_hold && row->hold_release);

	wr_u8(out, is_stepped ? ROW_FORMAT_STEPPED :
		   has_by ? ROW_FORMAT_HELD_BY :
		   is_held ? ROW_FORMAT_HELD : ROW_FORMAT);
	wr_raw(out, row->uid.b, sizeof(row->uid.b));
	wr_str(out, row->name);
	wr_var(out, row->rev);
	wr_str(out, row->format);
	wr_var(out, row->last_version);
	wr_var(out, row->stable_version);
	wr_u8(out, row->has_hold);
	if (row->has_hold)
		wr_raw(out, row->hold.b, sizeof(row->hold.b));
	wr_str(out, row->rules);
	if (is_held)
		encode_hold(out, row);
	if (has_by) {
		wr_str(out, row->hold_by);
		wr_var(out, row->hold_ms);
	}
	if (is_stepped)
		wr_var(out, row->base_rev);
}

/* What only some formats have. */
static bool decode_rest(struct rd *rd, unsigned format, struct live_row *out)
{
	if (format == ROW_FORMAT)
		return rd_done(rd);
	out->hold_release = rd_var(rd);
	out->hold_version = (uint32_t)rd_var(rd);
	out->hold_reason = rd_str(rd);
	out->hold_commit = rd_str(rd);
	if (format == ROW_FORMAT_HELD)
		return rd_done(rd) && out->has_hold && out->hold_release;
	out->hold_by = rd_str(rd);
	out->hold_ms = rd_var(rd);
	if (format == ROW_FORMAT_HELD_BY)
		return rd_done(rd) && out->has_hold && out->hold_by.n;
	out->base_rev = rd_var(rd);
	return rd_done(rd) && out->base_rev && out->base_rev < out->rev;
}

bool live_row_decode(struct str in, struct live_row *out)
{
	struct rd rd = rd_of(in);
	unsigned format = rd_u8(&rd);

	if (format < ROW_FORMAT || format > ROW_FORMAT_STEPPED)
		return false;
	rd_bytes(&rd, out->uid.b, sizeof(out->uid.b));
	out->name = rd_str(&rd);
	out->rev = out->base_rev = rd_var(&rd);
	out->format = rd_str(&rd);
	out->last_version = (uint32_t)rd_var(&rd);
	out->stable_version = (uint32_t)rd_var(&rd);
	out->has_hold = rd_u8(&rd);
	out->hold = (struct sha256){ 0 };
	if (out->has_hold)
		rd_bytes(&rd, out->hold.b, sizeof(out->hold.b));
	out->rules = rd_str(&rd);
	out->hold_release = 0;
	out->hold_version = 0;
	out->hold_reason = out->hold_commit = out->hold_by = STR_NONE;
	out->hold_ms = 0;
	return decode_rest(&rd, format, out);
}

/* ---- versions ---- */

enum version_mark {
	MARK_LIVE = BIT(0),
	MARK_BACK = BIT(1),
	MARKS = MARK_LIVE | MARK_BACK,
};

void version_row_encode(struct buf *out, const struct version_row *row)
{
	wr_u8(out, row->is_marked ? ROW_FORMAT_MARKED : ROW_FORMAT);
	wr_raw(out, row->sha.b, sizeof(row->sha.b));
	wr_var(out, row->size);
	wr_var(out, row->created_ms);
	wr_var(out, row->rev);
	wr_u8(out, row->formatting_only);
	wr_str(out, row->format);
	wr_str(out, row->author);
	wr_str(out, row->message);
	wr_str(out, row->commit);
	wr_str(out, row->path);
	if (row->is_marked)
		wr_u8(out, (uint8_t)((row->was_live ? MARK_LIVE : 0) |
				     (row->turned_back ? MARK_BACK : 0)));
}

bool version_row_decode(struct str key, struct str in, struct version_row *out)
{
	struct rd number = rd_of(str_from(key, key.n >= 4 ? key.n - 4 : 0));
	struct rd rd = rd_of(in);
	unsigned format = rd_u8(&rd);
	uint8_t marks = MARK_LIVE;

	if (format != ROW_FORMAT && format != ROW_FORMAT_MARKED)
		return false;
	out->version = rd_u32_be(&number);
	rd_bytes(&rd, out->sha.b, sizeof(out->sha.b));
	out->size = rd_var(&rd);
	out->created_ms = rd_var(&rd);
	out->rev = rd_var(&rd);
	out->formatting_only = rd_u8(&rd);
	out->format = rd_str(&rd);
	out->author = rd_str(&rd);
	out->message = rd_str(&rd);
	out->commit = rd_str(&rd);
	out->path = rd_str(&rd);
	out->is_marked = format == ROW_FORMAT_MARKED;
	if (out->is_marked)
		marks = rd_u8(&rd);
	out->was_live = marks & MARK_LIVE;
	out->turned_back = marks & MARK_BACK;
	return rd_done(&rd) && !number.bad && !(marks & ~MARKS);
}

/* ---- blobs ---- */

void blob_head_encode(struct buf *out, const struct blob_head *head)
{
	wr_u8(out, ROW_FORMAT);
	wr_u64(out, head->size);
	wr_u64(out, head->touched_ms);
	wr_u64(out, head->stored);
	wr_u32(out, head->refs);
}

bool blob_head_decode(struct str in, struct blob_head *out, struct str *bytes)
{
	struct rd rd = rd_row(in);

	out->size = rd_u64(&rd);
	out->touched_ms = rd_u64(&rd);
	out->stored = rd_u64(&rd);
	out->refs = rd_u32(&rd);
	if (bytes)
		*bytes = str_from(in, BLOB_HEADER);
	return !rd.bad;
}

/* ---- events ---- */

void event_row_encode(struct buf *out, const struct event_row *row)
{
	wr_u8(out, row->knows_before ? ROW_FORMAT_EVENT : ROW_FORMAT);
	wr_u8(out, (uint8_t)row->type);
	wr_u8(out, row->end);
	wr_u8(out, (uint8_t)row->kind);
	wr_str(out, row->tenant);
	wr_str(out, row->name);
	wr_var(out, row->time_ms);
	wr_str(out, row->after);
	wr_str(out, row->before);
	wr_str(out, row->live);
	if (row->knows_before) {
		wr_str(out, row->was_format);
		wr_str(out, row->was_rules);
	}
}

void event_row_was(struct event_row *row, struct str before,
		   const struct live_row *now)
{
	struct live_row was;

	if (!before.n || !live_row_decode(before, &was))
		return;
	if (!str_eq(was.format, now->format))
		row->was_format = was.format;
	if (!str_eq(was.rules, now->rules))
		row->was_rules = was.rules;
}

bool event_is_for_sources(const struct event_row *row)
{
	/* Each publish makes a Release, and is done with it. */
	return row->kind == KIND_SOURCE ||
	       (row->type == EVENT_MODIFIED &&
		(row->kind == KIND_RELEASE || row->kind == KIND_PROPOSAL));
}

void event_row_set_end(struct buf *row)
{
	row->p[2] = true;
}

bool event_row_decode(struct str in, struct event_row *out)
{
	struct rd rd = rd_of(in);
	unsigned format = rd_u8(&rd);

	if (format != ROW_FORMAT && format != ROW_FORMAT_EVENT)
		return false;
	out->type = rd_u8(&rd);
	out->end = rd_u8(&rd);
	out->kind = rd_u8(&rd);
	out->tenant = rd_str(&rd);
	out->name = rd_str(&rd);
	out->time_ms = rd_var(&rd);
	out->after = rd_str(&rd);
	out->before = rd_str(&rd);
	out->live = rd_str(&rd);
	out->knows_before = format == ROW_FORMAT_EVENT;
	out->was_format = out->knows_before ? rd_str(&rd) : STR_NONE;
	out->was_rules = out->knows_before ? rd_str(&rd) : STR_NONE;
	return rd_done(&rd);
}

/* ---- audit ---- */

void audit_row_encode(struct buf *out, struct audit_row *row)
{
	size_t from = out->n;

	wr_u8(out, ROW_FORMAT);
	wr_var(out, row->seq);
	wr_var(out, row->time_ms);
	wr_var(out, row->rev);
	wr_str(out, row->subject);
	wr_u8(out, (uint8_t)row->role);
	wr_str(out, row->credential);
	wr_str(out, row->origin);
	wr_str(out, row->action);
	wr_str(out, row->target);
	wr_var(out, row->n_ops);
	wr_str(out, row->reason);
	wr_str(out, row->commit);
	wr_raw(out, row->trace, sizeof(row->trace));
	wr_raw(out, row->diff.b, sizeof(row->diff.b));
	wr_raw(out, row->previous.b, sizeof(row->previous.b));
	row->hash = sha256_of(str_from(buf_view(out), from));
	wr_raw(out, row->hash.b, sizeof(row->hash.b));
}

bool audit_row_decode(struct str in, struct audit_row *out, bool *hash_is_right)
{
	struct rd rd = rd_row(in);
	struct sha256 hash;

	out->seq = rd_var(&rd);
	out->time_ms = rd_var(&rd);
	out->rev = rd_var(&rd);
	out->subject = rd_str(&rd);
	out->role = rd_u8(&rd);
	out->credential = rd_str(&rd);
	out->origin = rd_str(&rd);
	out->action = rd_str(&rd);
	out->target = rd_str(&rd);
	out->n_ops = rd_var(&rd);
	out->reason = rd_str(&rd);
	out->commit = rd_str(&rd);
	rd_bytes(&rd, out->trace, sizeof(out->trace));
	rd_bytes(&rd, out->diff.b, sizeof(out->diff.b));
	rd_bytes(&rd, out->previous.b, sizeof(out->previous.b));
	rd_bytes(&rd, out->hash.b, sizeof(out->hash.b));
	if (!rd_done(&rd))
		return false;
	hash = sha256_of(str_first(in, in.n - sizeof(hash.b)));
	*hash_is_right = sha256_eq(&hash, &out->hash);
	return true;
}

/* ---- tokens ---- */

void key_member(struct buf *out, const struct uuid *change)
{
	buf_str(out, KEY_MEMBERS);
	wr_raw(out, change->b, sizeof(change->b));
}

void member_row_encode(struct buf *out, const struct member_row *row)
{
	wr_u8(out, ROW_FORMAT);
	wr_u8(out, (uint8_t)row->what);
	wr_var(out, row->node);
	wr_var(out, row->time_ms);
	wr_var(out, row->seq);
	wr_u8(out, row->force);
	wr_str(out, row->address);
	wr_str(out, row->subject);
}

bool member_row_decode(struct str key, struct str in, struct member_row *out)
{
	struct rd rd = rd_row(in);
	struct str change = str_from(key, KEY_MEMBERS.n);

	if (!str_starts(key, KEY_MEMBERS) || change.n != sizeof(out->change.b))
		return false;
	memcpy(out->change.b, change.p, sizeof(out->change.b));
	out->what = rd_u8(&rd);
	out->node = rd_var(&rd);
	out->time_ms = rd_var(&rd);
	out->seq = rd_var(&rd);
	out->force = rd_u8(&rd);
	out->address = rd_str(&rd);
	out->subject = rd_str(&rd);
	return rd_done(&rd);
}

struct sha256 certificate_key(struct str name)
{
	AUTO_BUF b = BUF_NONE;

	buf_z(&b, "certificate");
	buf_c(&b, '\0');
	buf_str(&b, name);
	return sha256_of(buf_view(&b));
}

static uint8_t token_format(const struct token_row *row)
{
	if (row->role == ROLE_NAMED)
		return ROW_FORMAT_NAMED;
	return row->certificate.n ? ROW_FORMAT_TOKEN : ROW_FORMAT;
}

void token_row_encode(struct buf *out, const struct token_row *row)
{
	uint8_t format = token_format(row);

	wr_u8(out, format);
	wr_str(out, row->name);
	wr_u8(out, (uint8_t)row->role);
	wr_var(out, row->created_ms);
	if (format != ROW_FORMAT)
		wr_str(out, row->certificate);
	if (format != ROW_FORMAT_NAMED)
		return;
	wr_str(out, row->subject);
	wr_str(out, row->tenant);
	wr_str(out, row->groups);
	wr_var(out, row->verbs);
	wr_var(out, row->expires_ms);
}

bool token_row_decode(struct str in, struct token_row *out)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);

	*out = (struct token_row){ 0 };
	if (format < ROW_FORMAT || format > ROW_FORMAT_NAMED)
		return false;
	out->name = rd_str(&rd);
	out->role = rd_u8(&rd);
	out->created_ms = rd_var(&rd);
	if (format != ROW_FORMAT)
		out->certificate = rd_str(&rd);
	if (format == ROW_FORMAT_NAMED) {
		out->subject = rd_str(&rd);
		out->tenant = rd_str(&rd);
		out->groups = rd_str(&rd);
		out->verbs = rd_var(&rd);
		out->expires_ms = rd_var(&rd);
	}
	return rd_done(&rd) && format == token_format(out);
}

/* ---- head ---- */

void head_encode(struct buf *out, const struct head *head)
{
	wr_u8(out, ROW_FORMAT);
	wr_var(out, head->index);
	wr_var(out, head->term);
	wr_var(out, head->rev);
	wr_var(out, head->compacted_rev);
	wr_var(out, head->time_ms);
	wr_var(out, head->audit_seq);
	wr_var(out, head->audit_first);
	wr_raw(out, head->audit_head.b, sizeof(head->audit_head.b));
	wr_raw(out, head->audit_seal.b, sizeof(head->audit_seal.b));
	wr_raw(out, head->chain.b, sizeof(head->chain.b));
	wr_var(out, head->bytes);
	wr_var(out, head->n_idem);
	limits_encode(out, &head->limits);
}

bool head_decode(struct str in, struct head *out)
{
	struct rd rd = rd_row(in);

	out->index = rd_var(&rd);
	out->term = rd_var(&rd);
	out->rev = rd_var(&rd);
	out->compacted_rev = rd_var(&rd);
	out->time_ms = rd_var(&rd);
	out->audit_seq = rd_var(&rd);
	out->audit_first = rd_var(&rd);
	rd_bytes(&rd, out->audit_head.b, sizeof(out->audit_head.b));
	rd_bytes(&rd, out->audit_seal.b, sizeof(out->audit_seal.b));
	rd_bytes(&rd, out->chain.b, sizeof(out->chain.b));
	out->bytes = rd_var(&rd);
	out->n_idem = rd_var(&rd);
	limits_decode(&rd, &out->limits);
	return rd_done(&rd);
}

void cluster_version_encode(struct buf *out, uint64_t version)
{
	wr_u8(out, ROW_FORMAT);
	wr_var(out, version);
}

bool cluster_version_decode(struct str in, uint64_t *out)
{
	struct rd rd = rd_row(in);

	*out = rd_var(&rd);
	return rd_done(&rd);
}
