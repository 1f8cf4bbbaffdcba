/* Frames on the wire: see frame.h. */
#include "ship/frame.h"

#include "ship/tree.h"
#include "wire/wire.h"

#include "base/banned.h"

#define FORMAT 1

static bool is_id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* It becomes part of a path. */
bool ship_id_is_valid(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!is_id_char(id.p[i]))
			return false;
	return id.n > 0 && id.n <= SHIP_ID_MAX;
}

void ship_offer_encode(struct buf *out, const struct ship_offer *o)
{
	wr_str(out, o->id);
	wr_var(out, o->shape.size);
	wr_var(out, o->shape.chunk_bytes);
	wr_u8(out, (uint8_t)o->shape.page_log);
	wr_raw(out, o->root.b, sizeof(o->root.b));
	wr_str(out, o->meta);
}

void ship_offer_decode(struct rd *rd, struct ship_offer *o)
{
	struct str root;
	uint64_t chunk;

	o->id = rd_str(rd);
	o->shape.size = rd_var(rd);
	chunk = rd_var(rd);
	o->shape.chunk_bytes = chunk > UINT32_MAX ? 0 : (uint32_t)chunk;
	o->shape.page_log = rd_u8(rd);
	root = rd_raw(rd, sizeof(o->root.b));
	o->meta = rd_str(rd);
	rd->bad |= !ship_id_is_valid(o->id) || !shape_is_valid(&o->shape) ||
		o->meta.n > SHIP_META_MAX;
	if (!rd->bad)
		memcpy(o->root.b, root.p, sizeof(o->root.b));
}

void ship_frame_encode(struct buf *out, const struct ship_frame *f)
{
	wr_u8(out, FORMAT);
	wr_u8(out, (uint8_t)f->type);
	wr_var(out, f->number);
	switch (f->type) {
	case SHIP_F_OFFER:
		ship_offer_encode(out, &f->offer);
		break;
	case SHIP_F_REFUSE:
	case SHIP_F_GIVE_UP:
		wr_var(out, (uint64_t)f->end.code);
		wr_str(out, f->end.text);
		break;
	case SHIP_F_ASK_PAGE:
	case SHIP_F_PAGE:
		wr_u8(out, (uint8_t)f->piece.level);
		wr_var(out, f->piece.index);
		buf_str(out, f->piece.bytes);
		break;
	case SHIP_F_ASK_CHUNK:
	case SHIP_F_CHUNK:
		wr_var(out, f->piece.index);
		buf_str(out, f->piece.bytes);
		break;
	case SHIP_F_DONE:
		break;
	}
}

static void get_end(struct rd *rd, struct ship_frame *f)
{
	uint64_t code = rd_var(rd);

	rd->bad |= code == OK;
	f->end.code = code_from_number(code);
	f->end.text = rd_str(rd);
}

static void get_piece(struct rd *rd, struct ship_frame *f)
{
	bool is_page = f->type == SHIP_F_ASK_PAGE || f->type == SHIP_F_PAGE;

	f->piece.level = is_page ? rd_u8(rd) : 0;
	f->piece.index = rd_var(rd);
	if (f->type == SHIP_F_PAGE || f->type == SHIP_F_CHUNK)
		f->piece.bytes = rd_raw(rd, rd_left(rd));
}

enum code ship_frame_decode(struct str in, struct ship_frame *out,
			    struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd), type = rd_u8(&rd);

	if (!rd.bad && (format != FORMAT || type < SHIP_F_OFFER ||
			type > SHIP_F_DONE))
		return err_set(err, E_UNSUPPORTED, "a shipping frame of format %u "
			       "and type %u", format, type);
	*out = (struct ship_frame){ .type = (enum ship_frame_type)type,
				    .number = rd_var(&rd) };
	switch (out->type) {
	case SHIP_F_OFFER:
		ship_offer_decode(&rd, &out->offer);
		break;
	case SHIP_F_REFUSE:
	case SHIP_F_GIVE_UP:
		get_end(&rd, out);
		break;
	case SHIP_F_ASK_PAGE:
	case SHIP_F_ASK_CHUNK:
	case SHIP_F_PAGE:
	case SHIP_F_CHUNK:
		get_piece(&rd, out);
		break;
	case SHIP_F_DONE:
		break;
	}
	if (!rd_done(&rd) || out->number == 0)
		return err_set(err, E_INVALID, "a shipping frame of %zu bytes is "
			       "malformed", in.n);
	return OK;
}
