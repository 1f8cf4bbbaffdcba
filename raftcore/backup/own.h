/* What writing and reading a backup share. */
#ifndef BACKUP_OWN_H
#define BACKUP_OWN_H

#include "backup/backup.h"
#include "wire/wire.h"

#define BACKUP_MAGIC 0x31504b4258464343ull    /* "CCFXBKP1" */
/* Magic and length of the head; length and checksum of a piece. */
#define BACKUP_FRONT 12
#define BACKUP_PIECE_FRONT 8
#define BACKUP_HEAD_MAX (64u * 1024)

/* Over its number and its length too, so that none can stand for another. */
uint32_t backup_piece_sum(uint64_t number, struct str bytes);

#endif
