/* Changes of members on their way to the leader: see wish.h. */
#include "store/wish.h"

#include "base/banned.h"

#define WISH_FORMAT 1
#define NODE_MAX 65535

void wish_encode(struct buf *out, const struct wish *w, size_t *short_at,
		 size_t *short_n)
{
	wr_u8(out, WISH_FORMAT);
	*short_at = out->n;
	wr_u8(out, (uint8_t)w->what);
	wr_var(out, w->node);
	wr_str(out, w->address);
	wr_u8(out, w->force);
	*short_n = out->n - *short_at;
	wr_str(out, w->who.subject.name);
	wr_u8(out, (uint8_t)w->who.subject.role);
	wr_str(out, w->who.subject.tenant);
	wr_str(out, w->who.credential);
	wr_str(out, w->who.origin);
	wr_str(out, w->who.reason);
	wr_raw(out, w->who.trace, sizeof(w->who.trace));
}

static void decode_who(struct rd *rd, struct store_who *who)
{
	struct str trace;

	who->subject.name = rd_str(rd);
	who->subject.role = rd_u8(rd);
	who->subject.tenant = rd_str(rd);
	who->credential = rd_str(rd);
	who->origin = rd_str(rd);
	who->reason = rd_str(rd);
	trace = rd_raw(rd, sizeof(who->trace));
	if (trace.n == sizeof(who->trace))
		memcpy(who->trace, trace.p, trace.n);
	if (who->subject.role >= ROLE__COUNT)
		rd->bad = true;
}

enum code wish_decode(struct str in, bool is_short, struct wish *out,
		      struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t what;

	if (!is_short && rd_u8(&rd) != WISH_FORMAT)
		rd.bad = true;
	what = rd_u8(&rd);
	out->what = what;
	out->node = rd_var(&rd);
	out->address = rd_str(&rd);
	out->force = rd_u8(&rd);
	if (!is_short)
		decode_who(&rd, &out->who);
	if (rd_done(&rd) && what <= STORE_MEMBER_LEAD && out->node >= 1 &&
	    out->node <= NODE_MAX && out->address.n <= WISH_ADDRESS_MAX)
		return OK;
	return err_set(err, E_INVALID, "a malformed question about members");
}
