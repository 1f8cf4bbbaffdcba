/*
 * Files of any size from member to member.  Each is hashed once, goes in chunks that
 * the receiver verifies one by one, shares rc_config.ship_rate with checkpoints, and
 * goes on where it was after a connection or either side has ended (ship/ship.h).
 *
 * A receiver says with rc_config.on_file that it takes files; without it they are
 * refused.  Both need rc_config.pool and rc_config.listen.
 */
#ifndef RAFTCORE_FILES_H
#define RAFTCORE_FILES_H

#include "base/str.h"

struct rc_node;
struct fs;

#define RC_FILE_NAME_MAX 59              /* letters, digits, '-' and '_' */

/*
 * A file on its way to another member.  Embed it; valid until 'done', which runs once
 * on the apply loop, at the latest in rc_node_stop.
 *
 *	OK		the receiver has it, durably
 *	E_INVALID	the name; it has other characters or is too long
 *	E_NOT_FOUND	'peer' is no other member, or no more; there is no such file
 *	E_EXISTS	this name is on its way to it already
 *	E_BUSY		1,024 wait for that peer already
 *	E_UNSUPPORTED	this node, or the peer, takes no files
 *	E_CORRUPT	the file was changed meanwhile
 *	E_CANCELLED	by rc_cancel_file
 *	E_UNAVAILABLE	the node stops: send it again after its next start, and the
 *			receiver goes on with what it has
 *
 * While the peer is away it waits, and is not looked at.  Two go to a peer at a time,
 * others after them.
 */
struct rc_file {
	uint64_t peer;
	const char *name;                /* what it is at the receiver; copied */
	const char *path;                /* may not change until done; copied */
	void (*done)(struct rc_file *file, enum code rc, const struct err *err);
	/* The receiver has about so much of it; apply loop, a few times a second
	 * where it has moved.  May be NULL. */
	void (*progress)(struct rc_file *file, uint64_t bytes, uint64_t size);
};
/* Any thread.  False: the node has stopped, and 'done' will not run. */
bool rc_send_file(struct rc_node *node, struct rc_file *file) MUST_USE;
/* Any thread.  Harmless where 'done' has run, as long as 'file' is in no other. */
void rc_cancel_file(struct rc_node *node, struct rc_file *file);

/*
 * One that has come: whole, verified and durable at 'path', which is the program's
 * from here on.  It moves or removes it, in the call or later: what lies there at the
 * next start is told again ('peer' is 0 then), and another file of that name takes its
 * place once the call has returned.  Where the sender did not hear that it has come, and
 * one of the two restarts, it comes again.  'fs' (io/file.h) opens what is sealed, where
 * rc_config.seal is in use.
 */
struct rc_received {
	uint64_t peer;
	const char *name, *path;
	struct fs *fs;
};

/* Removes what has come of files that nobody sends at the moment; parts are kept for
 * their senders until then, or as rc_config.file_parts_bytes and file_parts_ms
 * say.  A whole file that is not told of yet stays.  Any thread. */
void rc_forget_files(struct rc_node *node);

#endif
