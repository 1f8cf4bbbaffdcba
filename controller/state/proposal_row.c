/* The row of a proposal: see proposal_row.h. */
#include "state/proposal_row.h"

#include "base/banned.h"

#define ROW_FORMAT 1
#define ROW_FORMAT_FAILED 2          /* says why it could not be executed */

void key_proposal(struct buf *out, struct str tenant, struct str name)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	buf_str(out, name);
}

/* The number of a kind begins no name. */
void key_lock(struct buf *out, struct str tenant, enum kind_id kind,
	      struct str object, struct str proposal)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	if (kind != KIND_CONFIG)
		wr_u8(out, (uint8_t)kind);
	buf_str(out, object);
	buf_c(out, '\0');
	buf_str(out, proposal);
}

/* ---- writing ---- */

static void wr_strs(struct buf *out, const struct str *s, size_t n)
{
	wr_var(out, n);
	for (size_t i = 0; i < n; i++)
		wr_str(out, s[i]);
}

static void wr_stage(struct buf *out, const struct proposal_stage *s)
{
	wr_str(out, s->policy);
	wr_str(out, s->is.name);
	wr_var(out, s->is.required);
	wr_strs(out, s->is.from.subjects, s->is.from.n_subjects);
	wr_strs(out, s->is.from.groups, s->is.from.n_groups);
}

static void wr_vote(struct buf *out, const struct proposal_vote *v)
{
	wr_u8(out, (uint8_t)v->vote);
	wr_str(out, v->subject);
	wr_str(out, v->reason);
	wr_u64(out, v->time_ms);
	wr_u64(out, v->stages);
}

static void wr_event(struct buf *out, const struct proposal_event *e)
{
	wr_u64(out, e->time_ms);
	wr_str(out, e->what);
	wr_str(out, e->subject);
	wr_str(out, e->message);
}

static void wr_lists(struct buf *out, const struct proposal_row *row)
{
	wr_str(out, row->authors.subject);
	wr_strs(out, row->authors.texts, row->authors.n);
	wr_u8(out, row->authors.are_more);
	wr_var(out, row->n_configs);
	for (size_t i = 0; i < row->n_configs; i++) {
		wr_str(out, row->configs[i].name);
		wr_u8(out, row->configs[i].actions);
	}
	wr_var(out, row->n_policies);
	for (size_t i = 0; i < row->n_policies; i++) {
		wr_str(out, row->policies[i].name);
		wr_var(out, row->policies[i].rev);
	}
	wr_var(out, row->n_stages);
	for (size_t i = 0; i < row->n_stages; i++)
		wr_stage(out, &row->stages[i]);
	wr_var(out, row->n_votes);
	for (size_t i = 0; i < row->n_votes; i++)
		wr_vote(out, &row->votes[i]);
	wr_var(out, row->n_history);
	for (size_t i = 0; i < row->n_history; i++)
		wr_event(out, &row->history[i]);
}

static void wr_failure(struct buf *out, const struct proposal_failure *f)
{
	wr_u8(out, (uint8_t)f->at);
	wr_var(out, f->code);
	wr_str(out, f->action);
	wr_str(out, f->object);
}

enum { IS_GLASS = 1, IS_CLEARED = 2 };

void proposal_row_encode(struct buf *out, const struct proposal_row *row)
{
	wr_u8(out, row->failure.at ? ROW_FORMAT_FAILED : ROW_FORMAT);
	wr_u8(out, (uint8_t)row->phase);
	wr_u8(out, (uint8_t)row->review);
	wr_raw(out, row->digest.b, sizeof(row->digest.b));
	wr_u64(out, row->created_ms);
	wr_u64(out, row->expires_ms);
	wr_u64(out, row->not_before_ms);
	wr_u64(out, row->ended_ms);
	wr_var(out, row->executed_rev);
	wr_u8(out, (uint8_t)row->role);
	wr_str(out, row->tenant_of_author);
	wr_str(out, row->reason);
	wr_str(out, row->commit);
	wr_str(out, row->message);
	wr_str(out, row->release);
	wr_var(out, row->count);
	wr_u8(out, (uint8_t)((row->is_glass ? IS_GLASS : 0) |
			     (row->is_cleared ? IS_CLEARED : 0)));
	wr_lists(out, row);
	if (row->failure.at)
		wr_failure(out, &row->failure);
}

/* ---- reading ---- */

/* Counts are bounded by what is left: each thing takes a byte at least. */
static size_t rd_count(struct rd *rd)
{
	uint64_t n = rd_var(rd);

	if (n > rd_left(rd))
		rd->bad = true;
	return rd->bad ? 0 : (size_t)n;
}

static struct str *rd_strs(struct arena *arena, struct rd *rd, size_t *n)
{
	struct str *s;

	*n = rd_count(rd);
	s = arena_alloc(arena, (*n + 1) * sizeof(*s));
	for (size_t i = 0; i < *n; i++)
		s[i] = rd_str(rd);
	return s;
}

static void rd_stage(struct arena *arena, struct rd *rd,
		     struct proposal_stage *s)
{
	s->policy = rd_str(rd);
	s->is.name = rd_str(rd);
	s->is.required = (uint32_t)rd_var(rd);
	s->is.from.subjects = rd_strs(arena, rd, &s->is.from.n_subjects);
	s->is.from.groups = rd_strs(arena, rd, &s->is.from.n_groups);
}

static void rd_votes(struct arena *arena, struct rd *rd,
		     struct proposal_row *row)
{
	row->n_votes = row->cap_votes = rd_count(rd);
	row->votes = arena_zero(arena, (row->n_votes + 1) * sizeof(*row->votes));
	for (size_t i = 0; i < row->n_votes; i++) {
		struct proposal_vote *v = &row->votes[i];

		v->vote = rd_u8(rd);
		v->subject = rd_str(rd);
		v->reason = rd_str(rd);
		v->time_ms = rd_u64(rd);
		v->stages = rd_u64(rd);
	}
}

static void rd_history(struct arena *arena, struct rd *rd,
		       struct proposal_row *row)
{
	row->n_history = row->cap_history = rd_count(rd);
	row->history = arena_zero(arena,
				  (row->n_history + 1) * sizeof(*row->history));
	for (size_t i = 0; i < row->n_history; i++) {
		struct proposal_event *e = &row->history[i];

		e->time_ms = rd_u64(rd);
		e->what = rd_str(rd);
		e->subject = rd_str(rd);
		e->message = rd_str(rd);
	}
}

static void rd_lists(struct arena *arena, struct rd *rd,
		     struct proposal_row *row)
{
	row->authors.subject = rd_str(rd);
	row->authors.texts = rd_strs(arena, rd, &row->authors.n);
	row->authors.are_more = rd_u8(rd);
	row->n_configs = rd_count(rd);
	row->configs = arena_zero(arena,
				  (row->n_configs + 1) * sizeof(*row->configs));
	for (size_t i = 0; i < row->n_configs; i++) {
		row->configs[i].name = rd_str(rd);
		row->configs[i].actions = rd_u8(rd);
	}
	row->n_policies = rd_count(rd);
	row->policies = arena_zero(arena, (row->n_policies + 1) *
						  sizeof(*row->policies));
	for (size_t i = 0; i < row->n_policies; i++) {
		row->policies[i].name = rd_str(rd);
		row->policies[i].rev = rd_var(rd);
	}
	row->n_stages = rd_count(rd);
	row->stages = arena_zero(arena,
				 (row->n_stages + 1) * sizeof(*row->stages));
	for (size_t i = 0; i < row->n_stages; i++)
		rd_stage(arena, rd, &row->stages[i]);
	rd_votes(arena, rd, row);
	rd_history(arena, rd, row);
}

static void rd_digest(struct rd *rd, struct sha256 *out)
{
	struct str raw = rd_raw(rd, sizeof(out->b));

	if (raw.n == sizeof(out->b))
		memcpy(out->b, raw.p, raw.n);
}

bool proposal_row_head(struct str in, enum proposal_phase *phase,
		       enum proposal_review *review)
{
	struct rd rd = rd_of(in);
	unsigned format = rd_u8(&rd);

	*phase = rd_u8(&rd);
	*review = rd_u8(&rd);
	return !rd.bad && format >= ROW_FORMAT && format <= ROW_FORMAT_FAILED &&
	       *phase > 0 && *phase < PROPOSAL__END;
}

static bool rd_failure(struct rd *rd, struct proposal_failure *f)
{
	f->at = rd_u8(rd);
	f->code = rd_var(rd);
	f->action = rd_str(rd);
	f->object = rd_str(rd);
	return f->at >= FAILED_OPERATION && f->at <= FAILED_UNASKED;
}

bool proposal_row_decode(struct arena *arena, struct str in,
			 struct proposal_row *out)
{
	struct rd rd = rd_of(in);
	uint8_t flags, format = rd_u8(&rd);

	*out = (struct proposal_row){ 0 };
	if (format != ROW_FORMAT && format != ROW_FORMAT_FAILED)
		return false;
	out->phase = rd_u8(&rd);
	out->review = rd_u8(&rd);
	rd_digest(&rd, &out->digest);
	out->created_ms = rd_u64(&rd);
	out->expires_ms = rd_u64(&rd);
	out->not_before_ms = rd_u64(&rd);
	out->ended_ms = rd_u64(&rd);
	out->executed_rev = rd_var(&rd);
	out->role = rd_u8(&rd);
	out->tenant_of_author = rd_str(&rd);
	out->reason = rd_str(&rd);
	out->commit = rd_str(&rd);
	out->message = rd_str(&rd);
	out->release = rd_str(&rd);
	out->count = rd_var(&rd);
	flags = rd_u8(&rd);
	out->is_glass = flags & IS_GLASS;
	out->is_cleared = flags & IS_CLEARED;
	rd_lists(arena, &rd, out);
	if (format == ROW_FORMAT_FAILED && !rd_failure(&rd, &out->failure))
		return false;
	return rd_done(&rd) && out->phase > 0 && out->phase < PROPOSAL__END;
}
