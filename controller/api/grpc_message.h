/*
 * Messages of gRPC, between bytes and structures.  Pure; any thread.
 */
#ifndef API_GRPC_MESSAGE_H
#define API_GRPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

/*
 * Decodes a message; it lies in 'arena' as a whole and borrows nothing.  Texts are
 * checked to be UTF-8 and end in NUL; a NUL inside is taken for the end.
 *
 * E_INTERNAL, as gRPC's statuscodes.md has it: the bytes are no such message.
 */
enum code grpc_take_message(const ProtobufCMessageDescriptor *type,
			    struct str bytes, struct arena *arena,
			    const ProtobufCMessage **out,
			    struct err *err) MUST_USE;
/* Appends a message in its frame. */
void grpc_put_message(struct buf *out, const ProtobufCMessage *m);
/* The same of a message that goes on with 'more' bytes, which come behind. */
void grpc_put_begin(struct buf *out, const ProtobufCMessage *m, size_t more);

/*
 * "grpc-status-details-bin": google.rpc.Status with ErrorInfo (reason: the code in
 * capitals; metadata: trace, and hint where there is one) and, where the client does
 * well to come again, RetryInfo with 'retry_after_s' (0: 1).
 */
void grpc_details(struct buf *out, struct arena *arena, const struct err *err,
		  struct str trace, unsigned retry_after_s);

#endif
