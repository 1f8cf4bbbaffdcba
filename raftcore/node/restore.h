/*
 * What a restore left to be done in a data directory: see restore.c.  Blocking;
 * the caller holds the directory's lock.
 */
#ifndef NODE_RESTORE_H
#define NODE_RESTORE_H

#include "raftcore/restore.h"

/* Nothing, where nothing was restored or all of it is taken up. */
enum code restore_adopt(const char *dir, struct err *err) MUST_USE;

/*
 * Makes the new directory of 'how' without a backup: 'open' opens the machine in
 * 'dir' and brings its state there; '*at' is where it stands, with the term of the
 * entry behind it.  how->source is not used, and how->command is given no head.
 */
typedef enum code restore_open(void *data, const struct rc_machine *machine,
			       const char *dir, struct rc_applied *at,
			       struct err *err);
enum code restore_make(const struct rc_restore *how, restore_open *open, void *data,
		       struct rc_restored *out, struct err *err) MUST_USE;

#endif
