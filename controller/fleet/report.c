/* Reports of nodes about instances: see report.h. */
#include "fleet/report.h"

#include "base/banned.h"

#define FORMAT 1

/* ---- sets of configurations ---- */

void bits_set(struct bits *bits, unsigned i)
{
	must(i < FLEET_CONFIGS_MAX);
	bits->b[i / 8] |= (unsigned char)(1u << i % 8);
	bits->n = MAX(bits->n, (uint8_t)(i / 8 + 1));
}

bool bits_get(const struct bits *bits, unsigned i)
{
	return i / 8 < bits->n && (bits->b[i / 8] >> i % 8 & 1);
}

void bits_or(struct bits *to, const struct bits *from)
{
	for (unsigned i = 0; i < from->n; i++)
		to->b[i] |= from->b[i];
	to->n = MAX(to->n, from->n);
}

void bits_without(struct bits *to, const struct bits *from)
{
	unsigned n = MIN(to->n, from->n);

	for (unsigned i = 0; i < n; i++)
		to->b[i] &= (unsigned char)~from->b[i];
	while (to->n && to->b[to->n - 1] == 0)
		to->n--;
}

bool bits_eq(const struct bits *a, const struct bits *b)
{
	return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

static void wr_bits(struct buf *out, const struct bits *bits)
{
	wr_str(out, str_n((const char *)bits->b, bits->n));
}

static void rd_bits(struct rd *rd, struct bits *out)
{
	struct str s = rd_str(rd);

	*out = (struct bits){ 0 };
	if (s.n > FLEET_BITS_MAX || (s.n && s.p[s.n - 1] == 0)) {
		rd->bad = true;
		return;
	}
	if (s.n)
		memcpy(out->b, s.p, s.n);
	out->n = (uint8_t)s.n;
}

/* ---- reports ---- */

void report_start(struct buf *out, uint64_t boot, uint64_t session,
		  bool is_first)
{
	wr_u8(out, FLEET_REPORT);
	wr_u8(out, FORMAT);
	wr_u64(out, boot);
	wr_u64(out, session);
	wr_u8(out, is_first);
}

void report_began(struct buf *out, uint64_t age_ms)
{
	wr_u8(out, FLEET_BEGAN);
	wr_var(out, age_ms);
}

void report_evaluated(struct buf *out, uint64_t release, uint32_t step,
		      uint32_t configs)
{
	wr_u8(out, FLEET_EVALUATED);
	wr_var(out, release);
	wr_var(out, step);
	wr_var(out, configs);
}

void report_record(struct buf *out, uint64_t release, struct str instance,
		   uint64_t age_ms, uint64_t said_age_ms, struct str body)
{
	wr_u8(out, FLEET_RECORD);
	wr_var(out, release);
	wr_str(out, instance);
	wr_var(out, age_ms);
	buf_str(out, body);
	if ((unsigned char)body.p[0] & FLEET_SPOKE)
		wr_var(out, said_age_ms);
}

static bool says_what(unsigned flags)
{
	return flags & FLEET_SPOKE && flags & FLEET_REJECTED;
}

void record_body(struct buf *out, const struct fleet_record *r)
{
	wr_u8(out, (uint8_t)r->flags);
	wr_var(out, r->step);
	wr_var(out, r->version);
	wr_bits(out, &r->wants);
	wr_bits(out, &r->sent);
	wr_bits(out, &r->got);
	wr_bits(out, &r->applied);
	wr_str(out, str_first(r->reason, FLEET_REASON_MAX));
	if (says_what(r->flags))
		wr_bits(out, &r->refused);
	if (r->flags & FLEET_SPOKE)
		wr_str(out, r->said);
}

struct said_at said_of(const struct fleet_record *r)
{
	return (struct said_at){ .record = r, .rd = rd_of(r->said) };
}

bool said_next(struct said_at *s)
{
	const struct fleet_record *r = s->record;
	unsigned end = r->flags & FLEET_SPOKE ? 8u * MAX(r->applied.n, r->refused.n) : 0;

	while (s->next_ < end) {
		s->i = s->next_++;
		if (!bits_get(&r->applied, s->i) && !bits_get(&r->refused, s->i))
			continue;
		s->before_ms = rd_var(&s->rd);
		return true;
	}
	return false;
}

enum fleet_what fleet_what(struct str in)
{
	uint8_t what = in.n ? (uint8_t)in.p[0] : 0;

	return what <= FLEET_WHY ? what : 0;
}

static enum code malformed(struct err *err, const char *what)
{
	return err_set(err, E_INVALID, "a malformed %s of the fleet", what);
}

static bool has_head(struct rd *rd, enum fleet_what what)
{
	return rd_u8(rd) == what && rd_u8(rd) == FORMAT && !rd->bad;
}

enum code report_open(struct str in, struct fleet_report *out, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t first;

	if (!has_head(&rd, FLEET_REPORT))
		return malformed(err, "report");
	out->boot = rd_u64(&rd);
	out->session = rd_u64(&rd);
	first = rd_u8(&rd);
	out->is_first = first;
	out->items = rd;
	return rd.bad || first > 1 ? malformed(err, "report") : OK;
}

static bool read_u32(struct rd *rd, uint32_t *out)
{
	uint64_t v = rd_var(rd);

	*out = (uint32_t)v;
	return v <= UINT32_MAX;
}

static bool instance_is_good(struct str s)
{
	return s.n > 0 && s.n <= FLEET_INSTANCE_MAX;
}

static bool said_is_good(const struct fleet_record *r)
{
	struct said_at said = said_of(r);

	while (said_next(&said))
		;
	return rd_done(&said.rd);
}

static bool read_body(struct rd *rd, struct fleet_record *r)
{
	bool good;

	r->flags = rd_u8(rd);
	good = read_u32(rd, &r->step) && read_u32(rd, &r->version);
	rd_bits(rd, &r->wants);
	rd_bits(rd, &r->sent);
	rd_bits(rd, &r->got);
	rd_bits(rd, &r->applied);
	r->reason = rd_str(rd);
	r->refused = (struct bits){ 0 };
	if (says_what(r->flags))
		rd_bits(rd, &r->refused);
	r->said = r->flags & FLEET_SPOKE ? rd_str(rd) : STR_NONE;
	return good && r->flags <= FLEET_FLAGS && said_is_good(r) &&
	       r->reason.n <= FLEET_REASON_MAX;
}

void record_body_read(struct str body, struct fleet_record *out)
{
	struct rd rd = rd_of(body);

	must(read_body(&rd, out) && rd_done(&rd));
}

static bool read_record(struct rd *rd, struct fleet_record *r)
{
	r->instance = rd_str(rd);
	r->age_ms = rd_var(rd);
	if (!instance_is_good(r->instance) || !read_body(rd, r))
		return false;
	r->said_age_ms = r->flags & FLEET_SPOKE ? rd_var(rd) : 0;
	return true;
}

enum code report_next(struct fleet_report *report, struct fleet_item *out,
		      struct err *err)
{
	struct rd *rd = &report->items;
	bool good = true;

	if (rd_left(rd) == 0)
		return E_NOT_FOUND;
	*out = (struct fleet_item){ .kind = rd_u8(rd) };
	if (out->kind == FLEET_BEGAN) {
		out->age_ms = rd_var(rd);
		return rd->bad ? malformed(err, "report") : OK;
	}
	out->release = rd_var(rd);
	if (out->kind == FLEET_EVALUATED)
		good = read_u32(rd, &out->step) && read_u32(rd, &out->configs) &&
		       out->configs <= FLEET_CONFIGS_MAX;
	else if (out->kind == FLEET_RECORD)
		good = read_record(rd, &out->record);
	else
		good = false;
	return good && !rd->bad && out->release ? OK : malformed(err, "report");
}

void report_answer(struct buf *out, bool again, uint64_t session)
{
	wr_u8(out, again);
	wr_u64(out, session);
}

bool report_answer_decode(struct str in, bool *again, uint64_t *session)
{
	struct rd rd = rd_of(in);
	uint8_t what = rd_u8(&rd);

	*again = what;
	*session = rd_u64(&rd);
	return rd_done(&rd) && what <= 1;
}

void ask_encode(struct buf *out, uint64_t session)
{
	wr_u8(out, FLEET_ASK);
	wr_u8(out, FORMAT);
	wr_u64(out, session);
}

enum code ask_decode(struct str in, uint64_t *session, struct err *err)
{
	struct rd rd = rd_of(in);

	if (!has_head(&rd, FLEET_ASK))
		return malformed(err, "question");
	*session = rd_u64(&rd);
	return rd_done(&rd) ? OK : malformed(err, "question");
}

/* ---- lists ---- */

const char *fleet_state_name(enum fleet_state state)
{
	static const char *const names[FLEET_IS__COUNT] = {
		[FLEET_IS_PENDING] = "pending", [FLEET_IS_SENT] = "sent",
		[FLEET_IS_RECEIVED] = "received",
		[FLEET_IS_APPLIED] = "applied",
		[FLEET_IS_REJECTED] = "rejected", [FLEET_IS_LOST] = "lost",
		[FLEET_IS_DEFERRED] = "deferred",
		[FLEET_IS_CONNECTED] = "connected",
	};

	return names[state];
}

void list_encode(struct buf *out, const struct fleet_list *list)
{
	wr_u8(out, FLEET_LIST);
	wr_u8(out, FORMAT);
	wr_var(out, list->release);
	wr_str(out, list->after);
	wr_var(out, list->limit);
	/* A node of before cannot tell tenants apart, and must not answer. */
	if (list->tenant.n)
		wr_str(out, list->tenant);
}

enum code list_decode(struct str in, struct fleet_list *out, struct err *err)
{
	struct rd rd = rd_of(in);
	bool good;

	if (!has_head(&rd, FLEET_LIST))
		return malformed(err, "list");
	out->release = rd_var(&rd);
	out->after = rd_str(&rd);
	good = read_u32(&rd, &out->limit);
	out->tenant = rd_left(&rd) ? rd_str(&rd) : STR_NONE;
	return rd_done(&rd) && good && out->after.n <= FLEET_INSTANCE_MAX &&
			       out->tenant.n <= FLEET_TENANT_MAX ?
		       OK : malformed(err, "list");
}

void list_row(struct buf *out, const struct fleet_row *row)
{
	wr_str(out, row->instance);
	wr_u8(out, (uint8_t)row->state);
	wr_u8(out, row->is_connected);
	wr_var(out, row->version);
	wr_var(out, row->lag_ms);
	wr_var(out, row->age_ms);
	wr_var(out, row->node);
	wr_str(out, row->key);
	wr_str(out, row->reason);
	wr_str(out, row->words);
}

enum code list_next(struct rd *rd, struct fleet_row *out, struct err *err)
{
	uint8_t state, connected;
	bool good;

	if (rd_left(rd) == 0)
		return E_NOT_FOUND;
	out->instance = rd_str(rd);
	state = rd_u8(rd);
	out->state = state;
	connected = rd_u8(rd);
	out->is_connected = connected;
	good = read_u32(rd, &out->version);
	out->lag_ms = rd_var(rd);
	out->age_ms = rd_var(rd);
	out->node = rd_var(rd);
	out->key = rd_str(rd);
	out->reason = rd_str(rd);
	out->words = rd_str(rd);
	return good && !rd->bad && instance_is_good(out->instance) &&
			       state < FLEET_IS__COUNT && connected <= 1 ?
		       OK : malformed(err, "list");
}

/* ---- what a release waits for ---- */

void why_encode(struct buf *out, uint64_t release)
{
	wr_u8(out, FLEET_WHY);
	wr_u8(out, FORMAT);
	wr_var(out, release);
}

enum code why_decode(struct str in, uint64_t *release, struct err *err)
{
	struct rd rd = rd_of(in);

	if (!has_head(&rd, FLEET_WHY))
		return malformed(err, "question");
	*release = rd_var(&rd);
	return rd_done(&rd) && *release ? OK : malformed(err, "question");
}

void why_answer(struct buf *out, const struct fleet_why *why)
{
	wr_u8(out, why->is_known);
	wr_u8(out, why->is_unmet);
	wr_str(out, str_of(why->text));
}

enum code why_answer_decode(struct str in, struct fleet_why *out, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t known = rd_u8(&rd), unmet = rd_u8(&rd);
	struct str text = rd_str(&rd);

	*out = (struct fleet_why){ .is_known = known, .is_unmet = unmet };
	if (!rd_done(&rd) || known > 1 || unmet > 1 || !str_is_utf8(text) ||
	    !str_copy(out->text, sizeof(out->text), text))
		return malformed(err, "answer");
	return OK;
}
