/*
 * What a node asks the leader to change about the members, and who wants it.
 *
 * Layout (raftcore/wire, numbers varints; docs/formats/forward.md):
 *
 *	method 6	u8 format (1), the short form, then subject: name, u8 role,
 *			tenant; credential, origin, reason, trace id (16 bytes)
 *	method 3	the short form: u8 what, node id, address, u8 force
 *
 * Decoding never trusts its input.  Pure; any thread.
 */
#ifndef STORE_WISH_H
#define STORE_WISH_H

#include "store/store.h"
#include "wire/wire.h"

struct wish {
	enum store_member_what what;
	uint64_t node;                   /* 1 to 65535 */
	struct str address;              /* of ADD; at most WISH_ADDRESS_MAX */
	bool force;
	struct store_who who;
};
#define WISH_ADDRESS_MAX 271

/* '*short_at', '*short_n': where in 'out' the short form is. */
void wish_encode(struct buf *out, const struct wish *wish, size_t *short_at,
		 size_t *short_n);
/* Borrows from 'in'.  'is_short': 'who' is left as it was.  E_INVALID. */
enum code wish_decode(struct str in, bool is_short, struct wish *out,
		      struct err *err) MUST_USE;

#endif
