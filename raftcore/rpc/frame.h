/*
 * Frames of RPC on the wire (docs/formats/rpc.md): a byte with the version, one
 * with the type, the id of the call, and what the type brings.  Pure; any
 * thread.
 */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include "base/buf.h"

/* Numbers are on the wire. */
enum rpc_frame_type {
	RPC_F_REQUEST = 1,
	RPC_F_ANSWER = 2,
	RPC_F_CANCEL = 3,
};

struct rpc_frame {
	enum rpc_frame_type type;
	uint64_t id;                     /* from 1; the caller's */
	struct str body;                 /* of a request, or an answer that is OK */
	union {
		struct {
			uint16_t method;
			uint32_t budget_ms;      /* that is left; from 1 */
			uint32_t answer_max;     /* bytes that are taken back */
		} request;
		struct {
			enum code code;          /* OK: with a body, else with: */
			struct str text, hint;
		} answer;
	};
};

/* What a frame has beside its body, at most (of a request or an answer that is
 * OK). */
#define RPC_FRAME_HEAD_MAX 32

void rpc_frame_encode(struct buf *out, const struct rpc_frame *f);
/* Strings borrow from 'in'.  A code that this version does not know is
 * E_INTERNAL.  E_INVALID: malformed; E_UNSUPPORTED: another version or type. */
enum code rpc_frame_decode(struct str in, struct rpc_frame *out, struct err *err)
	MUST_USE;

#endif
