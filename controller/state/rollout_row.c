/* Rows of releases that go out in steps: see rollout_row.h. */
#include "state/rollout_row.h"

#include "base/banned.h"

#define FORMAT 1
/* With what a step has baked; written where it has. */
#define FORMAT_BAKED 2

static void add_config(struct buf *out, const struct rollout_config *c)
{
	wr_str(out, c->name);
	wr_raw(out, c->uid.b, sizeof(c->uid.b));
	wr_var(out, c->version);
	wr_raw(out, c->sha.b, sizeof(c->sha.b));
	wr_var(out, c->size);
	wr_var(out, c->previous);
}

void rollout_row_encode(struct buf *out, const struct rollout_row *row)
{
	bool has_baked = row->met_ms || row->baked_ms;

	wr_u8(out, has_baked ? FORMAT_BAKED : FORMAT);
	wr_var(out, row->number);
	wr_u8(out, (uint8_t)row->phase);
	wr_var(out, row->step);
	wr_var(out, row->created_ms);
	wr_var(out, row->step_ms);
	wr_var(out, row->pause_ms);
	wr_var(out, row->paused_ms);
	wr_var(out, row->completed_ms);
	wr_u8(out, row->is_begun);
	wr_var(out, row->expected);
	wr_raw(out, row->salt, SALT_SIZE);
	wr_str(out, row->policy);
	wr_var(out, row->policy_rev);
	wr_str(out, row->spec);
	wr_str(out, row->group);
	wr_str(out, row->author);
	wr_str(out, row->commit);
	wr_str(out, row->reason);
	wr_str(out, row->message);
	wr_var(out, row->n_notes);
	for (size_t i = 0; i < row->n_notes; i++) {
		wr_var(out, row->notes[i].time_ms);
		wr_var(out, row->notes[i].step);
		wr_str(out, row->notes[i].action);
		wr_str(out, row->notes[i].subject);
		wr_str(out, row->notes[i].message);
	}
	wr_var(out, row->n_configs);
	for (size_t i = 0; i < row->n_configs; i++)
		add_config(out, &row->configs[i]);
	if (has_baked) {
		wr_var(out, row->met_ms);
		wr_var(out, row->baked_ms);
	}
}

static void take(struct rd *rd, void *to, size_t n)
{
	struct str s = rd_raw(rd, n);

	if (s.n == n)
		memcpy(to, s.p, n);
}

static bool read_notes(struct arena *arena, struct rd *rd,
		       struct rollout_row *out)
{
	uint64_t n = rd_var(rd);

	if (n > ROLLOUT_NOTES_MAX)
		return false;
	out->n_notes = out->cap_notes = n;
	out->notes = arena_zero(arena, (n + 1) * sizeof(*out->notes));
	for (uint64_t i = 0; i < n; i++)
		out->notes[i] = (struct rollout_note){
			.time_ms = rd_var(rd), .step = (uint32_t)rd_var(rd),
			.action = rd_str(rd), .subject = rd_str(rd),
			.message = rd_str(rd),
		};
	return !rd->bad;
}

static bool read_configs(struct arena *arena, struct rd *rd,
			 struct rollout_row *out)
{
	uint64_t n = rd_var(rd);

	if (n > ROLLOUT_CONFIGS_MAX)
		return false;
	out->n_configs = out->cap_configs = n;
	out->configs = arena_zero(arena, (n + 1) * sizeof(*out->configs));
	for (uint64_t i = 0; i < n && !rd->bad; i++) {
		struct rollout_config *c = &out->configs[i];

		c->name = rd_str(rd);
		take(rd, c->uid.b, sizeof(c->uid.b));
		c->version = (uint32_t)rd_var(rd);
		take(rd, c->sha.b, sizeof(c->sha.b));
		c->size = rd_var(rd);
		c->previous = (uint32_t)rd_var(rd);
	}
	return !rd->bad;
}

bool rollout_row_phase(struct str in, enum rollout_phase *out)
{
	struct rd rd = rd_of(in);

	(void)rd_u8(&rd);
	(void)rd_var(&rd);
	*out = rd_u8(&rd);
	return !rd.bad && *out > 0 && *out < ROLLOUT__END;
}

bool rollout_row_decode(struct arena *arena, struct str in,
			struct rollout_row *out)
{
	struct rd rd = rd_of(in);

	unsigned format = rd_u8(&rd);

	*out = (struct rollout_row){ 0 };
	if (format != FORMAT && format != FORMAT_BAKED)
		return false;
	out->number = rd_var(&rd);
	out->phase = rd_u8(&rd);
	out->step = (uint32_t)rd_var(&rd);
	out->created_ms = rd_var(&rd);
	out->step_ms = rd_var(&rd);
	out->pause_ms = rd_var(&rd);
	out->paused_ms = rd_var(&rd);
	out->completed_ms = rd_var(&rd);
	out->is_begun = rd_u8(&rd);
	out->expected = rd_var(&rd);
	take(&rd, out->salt, SALT_SIZE);
	out->policy = rd_str(&rd);
	out->policy_rev = rd_var(&rd);
	out->spec = rd_str(&rd);
	out->group = rd_str(&rd);
	out->author = rd_str(&rd);
	out->commit = rd_str(&rd);
	out->reason = rd_str(&rd);
	out->message = rd_str(&rd);
	if (out->phase < ROLLOUT_QUEUED || out->phase >= ROLLOUT__END ||
	    !read_notes(arena, &rd, out) || !read_configs(arena, &rd, out))
		return false;
	if (format == FORMAT_BAKED) {
		out->met_ms = rd_var(&rd);
		out->baked_ms = rd_var(&rd);
	}
	return rd_done(&rd) &&
	       (format == FORMAT_BAKED) == (out->met_ms || out->baked_ms);
}

struct rollout_config *rollout_row_config(const struct rollout_row *row,
					  struct str name)
{
	for (size_t i = 0; i < row->n_configs; i++)
		if (str_eq(row->configs[i].name, name))
			return &row->configs[i];
	return NULL;
}

/* ---- keys ---- */

void key_rollout(struct buf *out, struct str tenant, struct str name)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	buf_str(out, name);
}

static void key_of(struct buf *out, struct str tenant, char what, struct str name)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	buf_c(out, what);
	buf_str(out, name);
	buf_c(out, '\0');
}

void key_releasing_config(struct buf *out, struct str tenant, struct str config)
{
	key_of(out, tenant, 'c', config);
}

void key_releasing_group(struct buf *out, struct str tenant, struct str group)
{
	key_of(out, tenant, 'g', group);
}

void key_releasing_hold(struct buf *out, struct str tenant, uint64_t number)
{
	buf_str(out, tenant);
	buf_c(out, '\0');
	buf_c(out, 'h');
	wr_u64_be(out, number);
}

void key_releasing_back(struct buf *out, struct str tenant, struct str config)
{
	key_of(out, tenant, 'b', config);
}

void key_releasing_kept(struct buf *out, struct str tenant, struct str config)
{
	key_of(out, tenant, 'k', config);
}

void releasing_at_encode(struct buf *out, const struct releasing_at *at)
{
	wr_u8(out, FORMAT);
	wr_raw(out, at->sha.b, sizeof(at->sha.b));
	wr_var(out, at->version);
}

bool releasing_at_decode(struct str key, struct str in, struct releasing_at *out)
{
	struct rd number = rd_of(str_from(key, key.n >= 8 ? key.n - 8 : 0));
	struct rd rd = rd_of(in);

	*out = (struct releasing_at){ .number = rd_u64_be(&number) };
	if (rd_u8(&rd) != FORMAT)
		return false;
	take(&rd, out->sha.b, sizeof(out->sha.b));
	out->version = (uint32_t)rd_var(&rd);
	return rd_done(&rd) && !number.bad;
}
