/*
 * Frames of shipping on the wire (docs/formats/ship.md): a byte with the
 * version, one with the type, the number of the transfer, and what the type
 * brings.  Pure; any thread.
 */
#ifndef SHIP_FRAME_H
#define SHIP_FRAME_H

#include "ship/ship.h"

/* Numbers are on the wire. */
enum ship_frame_type {
	SHIP_F_OFFER = 1,                /* by the sender */
	SHIP_F_REFUSE = 2,               /* by the receiver: it ends */
	SHIP_F_GIVE_UP = 3,              /* by the sender: it ends */
	SHIP_F_ASK_PAGE = 4,             /* by the receiver */
	SHIP_F_ASK_CHUNK = 5,
	SHIP_F_PAGE = 6,                 /* by the sender, in the order asked */
	SHIP_F_CHUNK = 7,
	SHIP_F_DONE = 8,                 /* by the receiver: it has it */
};

struct ship_frame {
	enum ship_frame_type type;
	uint64_t number;                 /* of the transfer, by the sender; from 1 */
	union {
		struct ship_offer offer;
		struct {
			enum code code;          /* not OK */
			struct str text;
		} end;                   /* refuse, give up */
		struct {
			unsigned level;          /* of a page; 0 for a chunk */
			uint64_t index;
			struct str bytes;        /* page, chunk; to the end */
		} piece;                 /* ask, page, chunk */
	};
};

/* What a piece has beside its bytes, at most. */
#define SHIP_FRAME_HEAD_MAX 32

void ship_frame_encode(struct buf *out, const struct ship_frame *f);
/* Strings borrow from 'in'; ids and shapes are valid.  E_INVALID: malformed;
 * E_UNSUPPORTED: another version or type. */
enum code ship_frame_decode(struct str in, struct ship_frame *out,
			    struct err *err) MUST_USE;
bool ship_id_is_valid(struct str id);
/* An offer alone, as journals hold it. */
void ship_offer_encode(struct buf *out, const struct ship_offer *o);
struct rd;
void ship_offer_decode(struct rd *rd, struct ship_offer *out);

#endif
