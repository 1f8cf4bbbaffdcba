/* Shared by reader and writer: the layout.  See docs/formats/checkpoint.md. */
#ifndef CHECKPOINT_OWN_H
#define CHECKPOINT_OWN_H

#include "checkpoint/checkpoint.h"

#define CKPT_MAGIC 0x3154504b43584643ull      /* "CFXCKPT1" */
#define CKPT_END 0x31444e4543584643ull       /* "CFXCEND1" */
#define CKPT_FORMAT 1
#define CKPT_HEAD FILE_BLOCK
#define CKPT_BLOCK (256 * 1024)
#define CKPT_STAMP 16                        /* crc, length, number */
#define CKPT_PAYLOAD (CKPT_BLOCK - CKPT_STAMP)
#define CKPT_TRAILER FILE_BLOCK

static inline size_t ckpt_whole(size_t n)
{
	return (n + FILE_BLOCK - 1) / FILE_BLOCK * FILE_BLOCK;
}

/* Checksums of a file's blocks start here, so that no block of another
 * checkpoint passes for one of its own. */
uint32_t ckpt_seal(const struct checkpoint_head *head);
void ckpt_head_write(const struct checkpoint_head *head, char out[CKPT_HEAD]);
/* False: not a head, or damaged. */
bool ckpt_head_read(const char in[CKPT_HEAD], struct checkpoint_head *out);
/* 'sums': checksum over the checksums of all blocks in their order. */
void ckpt_trailer_write(const struct checkpoint_head *head, uint32_t sums,
			char out[CKPT_TRAILER]);
bool ckpt_trailer_read(const char in[CKPT_TRAILER],
		       const struct checkpoint_head *head, uint32_t *sums);
/* Stamps the block at 'p' that holds 'n' bytes of payload; answers its
 * checksum. */
uint32_t ckpt_stamp_write(char *p, size_t n, uint64_t number, uint32_t seal);

#endif
