/*
 * What the log of a data directory holds, for people: wal/inspect.h for a node's log,
 * and its entries taken apart.  It only reads, takes no lock, and may look at the
 * folder of a node that runs.  Blocking; any thread.
 */
#ifndef RAFTCORE_INSPECT_H
#define RAFTCORE_INSPECT_H

#include "wal/inspect.h"

/*
 * Inspects <dir>/wal; 'seal' may be NULL.  Who the log belongs to is read from
 * <dir>/identity; where that is damaged the visitor is told, and where it is missing
 * anybody's log is taken.  Errors as of wal_inspect; E_NOT_FOUND: 'dir' has no log.
 */
enum code rc_log_inspect(const char *dir, const struct seal_provider *seal,
			 const struct wal_visitor *visitor,
			 struct wal_inspected *out, struct err *err) MUST_USE;

/* Types of entries; numbers are in the log. */
enum rc_log_type {
	RC_LOG_COMMAND = 1,              /* what was proposed */
	RC_LOG_BARRIER = 2,              /* a leader's first entry */
	RC_LOG_MEMBERSHIP = 3,           /* who is in the cluster from here on */
};
/* "command"; NULL: not known. */
const char *rc_log_type_name(uint8_t type);

/* The command of an entry as it was proposed, and the number of its proposal; false:
 * it holds none. */
bool rc_log_command(const struct wal_entry *entry, uint64_t *id,
		    struct str *command) MUST_USE;

struct rc_log_member {
	uint64_t id;
	bool votes;                      /* else it is a learner */
	char address[272];
};
/* The members of a membership entry; fills up to 'cap', answers how many there are.
 * 0: it holds none, or is malformed. */
size_t rc_log_members(const struct wal_entry *entry, struct rc_log_member *out,
		      size_t cap);

#endif
