/*
 * Sealed files: a `struct fs` over another one.  A file that is made through it
 * while the provider has what is new sealed is sealed; one that is there already
 * is read as what it is, sealed or plain.  Who uses it sees plain bytes at plain
 * offsets, and may write at any place and over what is there.
 *
 *	block 0			of 4 KiB: magic (16 bytes), version (4), bytes of
 *				a chunk (4), length of the envelope (4), envelope
 *				(seal.h), CRC32C of all before, zeros
 *	slots of 260 KiB	one a chunk of 256 KiB: a block of 4 KiB with
 *				length (4), nonce (12), tag (16), zeros; then the
 *				chunk, encrypted, with zeros to a whole block
 *
 * So that all is written in blocks: a file that was opened with FILE_DIRECT stays
 * direct.  The last slot ends with its chunk.  A nonce is random, new with each
 * write of a chunk (of random nonces 2^32 may be used with one key, so one file
 * takes that many writes); as additional data a chunk has its number and length.
 * A chunk that was altered, or stands at another place, does not open: E_CORRUPT
 * with file and place.  What is not found here is that the file was cut at a
 * chunk, or that chunks of an older state of the same file were put back: who
 * keeps a file knows its length and digest, inside another sealed file.
 *
 * A slot that is zeros was never written; reading it is E_CORRUPT (of a plain file
 * it would be zeros).  A write of part of a chunk reads the rest first, and a
 * crash in it may leave the whole chunk torn: what was durable and is to stay so
 * is written in whole chunks, or the file is replaced (fs_put).
 *
 * Blocking; any thread, one thread a file.
 */
#ifndef SEAL_FILES_H
#define SEAL_FILES_H

#include "io/file.h"
#include "seal/seal.h"

#define SEAL_FILE_MAGIC "CFXSEALED FILE\r\n"
#define SEAL_FILE_CHUNK (256u * 1024)

struct seal_files;

/*
 * 'p' may be NULL: then a sealed file is refused, by name, and nothing is sealed.
 * 'inner' and 'p' stay the caller's; 'context' is copied.
 *
 * Errors of open beside those of 'inner': E_DENIED: sealed with a key that is not
 * here; E_CORRUPT: the header is damaged; E_CONFLICT: a plain file that is not
 * empty is to be written while sealing is on.
 */
struct seal_files *seal_files_new(struct fs *inner, const struct seal_provider *p,
				  struct str context);
void seal_files_free(struct seal_files **s);
/* Another context, while no file is open. */
void seal_files_bind(struct seal_files *s, struct str context);
struct fs *seal_files_fs(struct seal_files *s);
/* True where the bytes at the beginning of a file are those of a sealed one. */
bool seal_file_is(struct str begin);
/* What 'path' is sealed with; empty: it is plain, or damaged. */
enum code seal_file_key(struct fs *inner, const char *path, struct buf *name,
			struct err *err) MUST_USE;

#endif
