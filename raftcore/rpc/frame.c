/* Frames on the wire: see frame.h. */
#include "rpc/frame.h"

#include "wire/wire.h"

#include "base/banned.h"

#define FORMAT 1

void rpc_frame_encode(struct buf *out, const struct rpc_frame *f)
{
	wr_u8(out, FORMAT);
	wr_u8(out, (uint8_t)f->type);
	wr_var(out, f->id);
	switch (f->type) {
	case RPC_F_REQUEST:
		wr_var(out, f->request.method);
		wr_var(out, f->request.budget_ms);
		wr_var(out, f->request.answer_max);
		buf_str(out, f->body);
		break;
	case RPC_F_ANSWER:
		wr_var(out, (uint64_t)f->answer.code);
		if (f->answer.code == OK) {
			buf_str(out, f->body);
			break;
		}
		wr_str(out, f->answer.text);
		wr_str(out, f->answer.hint);
		break;
	case RPC_F_CANCEL:
		break;
	}
}

static struct str rest(struct rd *rd)
{
	return rd_raw(rd, rd_left(rd));
}

static void get_request(struct rd *rd, struct rpc_frame *f)
{
	uint64_t method = rd_var(rd), budget = rd_var(rd), max = rd_var(rd);

	rd->bad |= method > UINT16_MAX || budget > UINT32_MAX || !budget ||
		max > UINT32_MAX;
	f->request.method = (uint16_t)method;
	f->request.budget_ms = (uint32_t)budget;
	f->request.answer_max = (uint32_t)max;
	f->body = rest(rd);
}

static void get_answer(struct rd *rd, struct rpc_frame *f)
{
	uint64_t code = rd_var(rd);

	/* One of a newer version is an error all the same. */
	f->answer.code = code_from_number(code);
	if (code == OK) {
		f->body = rest(rd);
		return;
	}
	f->answer.text = rd_str(rd);
	f->answer.hint = rd_str(rd);
}

enum code rpc_frame_decode(struct str in, struct rpc_frame *out, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd), type = rd_u8(&rd);

	if (!rd.bad && (format != FORMAT || type < RPC_F_REQUEST ||
			type > RPC_F_CANCEL))
		return err_set(err, E_UNSUPPORTED, "an RPC frame of format %u "
			       "and type %u", format, type);
	*out = (struct rpc_frame){ .type = (enum rpc_frame_type)type,
				   .id = rd_var(&rd) };
	if (out->type == RPC_F_REQUEST)
		get_request(&rd, out);
	else if (out->type == RPC_F_ANSWER)
		get_answer(&rd, out);
	if (!rd_done(&rd) || out->id == 0)
		return err_set(err, E_INVALID, "an RPC frame of %zu bytes is "
			       "malformed", in.n);
	return OK;
}
