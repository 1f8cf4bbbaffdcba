/*
 * What is counted for each tenant (objects of a kind, bytes of content): rows of META,
 * kept in memory while commands ask for them again and again.
 *
 * From cluster version 5 on a command writes each count once, at its end, and only where
 * it is another than before it; which rows that are, and in which order, depends on the
 * command alone, never on what is in memory.  Core loop.
 */
#ifndef STATE_COUNTS_H
#define STATE_COUNTS_H

#include "state/rows.h"

struct apply;
struct counts;

struct counts *counts_new(void);
void counts_free(struct counts **counts);
/* At the end of a command: writes what it changed. */
void counts_write(struct apply *a);
/* Rows may be others than they were: the command was taken back, or another store is
 * open. */
void counts_forget(struct counts *counts);

#endif
