/*
 * A sealed stream: bytes of any length, written once from the front and read the
 * same way; in constant memory.  For what leaves the node, backups say.
 *
 *	8	magic "CFXSEAL1"
 *	4	bytes of a chunk, 65,536
 *	4	length of the envelope
 *		envelope (seal.h)
 *	4	CRC32C of all before
 *		chunks: up to 65,536 bytes, encrypted, and a tag of 16 bytes
 *
 * All chunks but the last are full.  The nonce of a chunk is its number (8 bytes,
 * from 0), three zeros, and a byte that is 1 for the last one: a chunk that is
 * missing, doubled, at another place or altered does not open, and neither does a
 * stream that was cut short or goes on behind its end.  As additional data each
 * chunk has the SHA-256 of all that stands before the first.
 *
 * Numbers are little-endian.  What the reader passes on is what was sealed, but
 * only its end says that it is all: until seal_in_end answered OK nothing is to
 * be believed.
 */
#ifndef SEAL_STREAM_H
#define SEAL_STREAM_H

#include "seal/pair.h"
#include "seal/seal.h"

#define SEAL_STREAM_MAGIC "CFXSEAL1"
#define SEAL_STREAM_CHUNK 65536u

/* Takes bytes; another code than OK ends it with that code. */
typedef enum code seal_sink(void *data, const void *p, size_t n,
			    struct err *err);

/* True where bytes that begin so are a sealed stream (8 are enough). */
bool seal_stream_is(struct str begin);

struct seal_out;
/*
 * Begins a stream, for a provider or a public key: one of them is NULL.  The
 * header is passed to 'sink' before it returns.
 */
enum code seal_out_new(const struct seal_provider *p,
		       const struct seal_public *to, struct str context,
		       seal_sink *sink, void *data, struct seal_out **out,
		       struct err *err) MUST_USE;
enum code seal_out_put(struct seal_out *s, const void *p, size_t n,
		       struct err *err) MUST_USE;
/* The last chunk.  Nothing is put after it. */
enum code seal_out_end(struct seal_out *s, struct err *err) MUST_USE;
void seal_out_free(struct seal_out **s);

struct seal_in;
/* Each of 'p' and 'own' may be NULL; 'context' as it was sealed. */
struct seal_in *seal_in_new(const struct seal_provider *p,
			    const struct seal_private *own, struct str context,
			    seal_sink *sink, void *data);
/* The next bytes of the sealed stream.  E_DENIED: not by these keys; E_CORRUPT:
 * altered, with the chunk; what 'sink' answers. */
enum code seal_in_put(struct seal_in *s, const void *p, size_t n,
		      struct err *err) MUST_USE;
/* There are no more.  E_CORRUPT: it was cut short. */
enum code seal_in_end(struct seal_in *s, struct err *err) MUST_USE;
void seal_in_free(struct seal_in **s);

#endif
