/*
 * What a restore left to be done in a data directory: see restore.c.  Blocking;
 * the caller holds the directory's lock.
 */
#ifndef NODE_RESTORE_H
#define NODE_RESTORE_H

#include "base/err.h"

/* Nothing, where nothing was restored or all of it is taken up. */
enum code restore_adopt(const char *dir, struct err *err) MUST_USE;

#endif
