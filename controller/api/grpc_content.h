/*
 * Content of more than one chunk in a message of gRPC: what stands before it is sent, and
 * then a chunk each time that the client has taken the one before, in the picture of
 * then.  So who does not read costs a chunk, whatever the content's size.
 *
 * On the thread of the loop.
 */
#ifndef API_GRPC_CONTENT_H
#define API_GRPC_CONTENT_H

#include "api/grpc.h"

struct grpc_content;

/* Appends to 'out' the frame of 'm', whose field "content" is empty, up to the first byte
 * of that, which comes last.  NULL: it is not stored in 'txn'. */
struct grpc_content *grpc_content_new(struct grpc_call *call, struct kv_txn *txn,
				      const ProtobufCMessage *m, struct str tenant,
				      const struct sha256 *sha, uint64_t size,
				      struct buf *out);
void grpc_content_free(struct grpc_content **content);
/* Sends as much as is taken; to be called when 'out' was sent, and when the call has
 * drained.  '*whole': all has gone, or waits for the client.  E_UNAVAILABLE: it is
 * no longer stored, so that the message cannot end. */
enum code grpc_content_go(struct grpc_content *content, bool *whole,
			  struct err *err) MUST_USE;

#endif
