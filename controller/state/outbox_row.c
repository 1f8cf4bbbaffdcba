/* Rows of the outbox: see outbox_row.h. */
#include "state/outbox_row.h"

#include "base/banned.h"

#define ROW_FORMAT 1
#define ROW_FORMAT_BYTES 2

void key_outbox_of(struct buf *out, struct uuid hook, enum outbox_state state)
{
	wr_raw(out, hook.b, sizeof(hook.b));
	wr_u8(out, (uint8_t)state);
}

void key_outbox(struct buf *out, struct uuid hook, enum outbox_state state,
		uint64_t seq)
{
	key_outbox_of(out, hook, state);
	wr_u64_be(out, seq);
}

void outbox_row_encode(struct buf *out, const struct outbox_row *row)
{
	wr_u8(out, ROW_FORMAT);
	wr_raw(out, row->id.b, sizeof(row->id.b));
	wr_u8(out, (uint8_t)row->notice);
	wr_var(out, row->time_ms);
	wr_var(out, row->since_ms);
	wr_u8(out, (uint8_t)row->kind);
	wr_str(out, row->tenant);
	wr_str(out, row->name);
	wr_str(out, row->data);
	wr_var(out, row->dead_ms);
	wr_str(out, row->error);
}

static void rd_bytes(struct rd *rd, void *to, size_t n)
{
	struct str s = rd_raw(rd, n);

	if (s.n == n)
		memcpy(to, s.p, n);
}

bool outbox_row_decode(struct str key, struct str in, struct outbox_row *out)
{
	struct rd k = rd_of(key), rd = rd_of(in);
	uint8_t format = rd_u8(&rd);

	*out = (struct outbox_row){ 0 };
	rd_raw(&k, sizeof(struct uuid) + 1);
	out->seq = rd_u64_be(&k);
	rd_bytes(&rd, out->id.b, sizeof(out->id.b));
	out->notice = rd_u8(&rd);
	out->time_ms = rd_var(&rd);
	out->since_ms = rd_var(&rd);
	out->kind = rd_u8(&rd);
	out->tenant = rd_str(&rd);
	out->name = rd_str(&rd);
	out->data = rd_str(&rd);
	out->dead_ms = rd_var(&rd);
	out->error = rd_str(&rd);
	return format == ROW_FORMAT && out->notice > NOTICE_NONE &&
	       out->notice < NOTICE__END && rd_done(&k) && rd_done(&rd);
}

void outbox_tally_encode(struct buf *out, const struct outbox_tally *row)
{
	bool is_wide = row->bytes || row->is_lossy;

	wr_u8(out, is_wide ? ROW_FORMAT_BYTES : ROW_FORMAT);
	wr_var(out, row->waiting);
	wr_var(out, row->dead);
	wr_var(out, row->delivered);
	wr_var(out, row->delivered_ms);
	wr_var(out, row->lost);
	wr_var(out, row->lost_ms);
	if (is_wide) {
		wr_var(out, row->bytes);
		wr_u8(out, row->is_lossy);
	}
}

bool outbox_tally_decode(struct str in, struct outbox_tally *out)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);

	out->waiting = rd_var(&rd);
	out->dead = rd_var(&rd);
	out->delivered = rd_var(&rd);
	out->delivered_ms = rd_var(&rd);
	out->lost = rd_var(&rd);
	out->lost_ms = rd_var(&rd);
	out->bytes = format == ROW_FORMAT_BYTES ? rd_var(&rd) : 0;
	out->is_lossy = format == ROW_FORMAT_BYTES && rd_u8(&rd);
	return (format == ROW_FORMAT || format == ROW_FORMAT_BYTES) && rd_done(&rd);
}

void hook_key_encode(struct buf *out, const struct hook_key_row *row)
{
	wr_u8(out, ROW_FORMAT);
	wr_raw(out, row->key, sizeof(row->key));
	wr_var(out, row->made_ms);
	wr_var(out, row->before_until_ms);
	if (row->before_until_ms)
		wr_raw(out, row->before, sizeof(row->before));
}

bool hook_key_decode(struct str in, struct hook_key_row *out)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd);

	*out = (struct hook_key_row){ 0 };
	rd_bytes(&rd, out->key, sizeof(out->key));
	out->made_ms = rd_var(&rd);
	out->before_until_ms = rd_var(&rd);
	if (out->before_until_ms)
		rd_bytes(&rd, out->before, sizeof(out->before));
	return format == ROW_FORMAT && rd_done(&rd);
}
