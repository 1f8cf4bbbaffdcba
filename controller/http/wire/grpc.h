/*
 * gRPC over HTTP, as far as it is bytes: messages in frames, timeouts, and texts in
 * header fields (gRPC's PROTOCOL-HTTP2.md).
 *
 *	frame: compressed (1 byte, 0 or 1), length (4 bytes, big endian), message
 *
 * Frames know nothing of the pieces that a body comes in: a piece may hold several,
 * or a byte of one.  Compression is not supported.
 *
 * Pure; one thread an object.
 */
#ifndef HTTP_WIRE_GRPC_H
#define HTTP_WIRE_GRPC_H

#include "base/buf.h"

#define GRPC_HEAD 5

/* Status codes that have no enum code of ours; all others: code_grpc. */
#define GRPC_OK 0
#define GRPC__STATUSES 17
/* "UNAVAILABLE"; "UNKNOWN" for what is no status. */
const char *grpc_status_name(int status);

/* ---- messages ---- */

struct grpc_reader {
	size_t max;                      /* bytes of a message */
	uint8_t head_[GRPC_HEAD];
	uint8_t n_head_;                 /* of it are here */
	bool is_whole_;                  /* of the message before */
	struct buf message;
};

void grpc_reader_init(struct grpc_reader *rd, size_t max);
void grpc_reader_fini(struct grpc_reader *rd);
/*
 * Takes bytes off the front of '*in' until a message is whole or '*in' is empty.
 * '*whole': 'message' is one, until the next call.  What a message takes in memory
 * is what of it has come, not what its length promises.
 *
 * E_TOO_LARGE; E_UNSUPPORTED: it is compressed; E_INVALID: no frame.  Nothing can be
 * read after an error.
 */
enum code grpc_read(struct grpc_reader *rd, struct str *in, bool *whole,
		    struct err *err) MUST_USE;
/* No message has begun that is not whole. */
bool grpc_reader_is_between(const struct grpc_reader *rd);
/* The head of a frame with 'n' bytes. */
void grpc_frame_head(char head[GRPC_HEAD], uint32_t n);

/* ---- header fields ---- */

/* "grpc-timeout": up to eight digits and one of H M S m u n; in milliseconds,
 * rounded up.  False: malformed. */
bool grpc_timeout_parse(struct str text, uint64_t *ms);
/* "grpc-message": what is no printable ASCII, and '%', as %XX. */
void grpc_message_encode(struct buf *out, struct str text);

#endif
