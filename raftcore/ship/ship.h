/*
 * Files of any size from peer to peer: in chunks that are verified one by one,
 * resumed after either side restarts, throttled, in constant memory.
 *
 * An object without thread, clock and transport; one on each node, for both
 * directions.  A driver brings frames, time and the news of connections, takes
 * frames away, and runs the work with files, each piece of it bounded to about
 * a MiB, where it likes (a worker, say).
 *
 *	driver                     ship                    driver
 *	ship_peer_up, _down   -->
 *	ship_receive(frame)   -->                     -->  host->send(frame)
 *	ship_writable         -->                     -->  host->work(job)
 *	ship_job_run(job) anywhere, then:
 *	ship_job_done(job)    -->                     -->  received, failed, sent
 *	ship_timeout(now)     -->  (when ship_deadline says so)
 *
 * HOW A FILE TRAVELS.  The sender hashes it once into a tree (tree.h) that is
 * kept in a file beside it, and offers {id, size, chunk size, page size, root,
 * meta}.  The receiver pulls: pages of hashes from the top down, each verified
 * against the one above, then the chunks of a page, a window of them at a time,
 * each verified before it is written.  At the end it syncs the file, renames it,
 * syncs the folder, tells its owner, and then the sender.
 *
 * FILES OF A RECEIVER in its folder, for the file 'id':
 *	<id>.part	chunks at their places
 *	<id>.journal	what was offered, and up to where chunks are durable
 *	<id>.file	the whole file, until the owner moves or removes it
 * When the connection ends, the transfer waits for the next offer of the same
 * id and root, by whichever peer, and goes on.  After a restart what the part
 * has is read and verified again, and what is missing or torn is pulled.
 *
 * WHAT CAN GO WRONG, and what becomes of it:
 *	disk full at the receiver	tried again each retry_ms, nothing pulled
 *					meanwhile
 *	a sync fails			the part is thrown away: what a disk says
 *					afterwards is not to be trusted
 *	chunk or page does not verify	pulled again; the third time in a row the
 *					transfer ends with E_CORRUPT and the place
 *	the file changed at the sender	found by the receiver, and by the sender
 *					when it is asked again: E_CORRUPT with the
 *					place, on both sides
 *	nothing comes for stall_ms	the sender is told E_TIMEOUT
 *	the peer breaks the rules	an error of ship_receive; close it
 * A sender offers again after E_BUSY, E_FULL, E_TIMEOUT and E_UNAVAILABLE, every
 * retry_ms; other refusals end it.  One id is received by one transfer: an offer
 * from a second peer is answered E_BUSY while the first is connected.
 *
 * MEMORY of a transfer: see ship_memory_max; it does not depend on the size.
 *
 * RULES FOR A DRIVER.  What is given to 'send' arrives at the peer whole, in order
 * and at most once; where something is lost, ship_peer_down is called on both
 * sides, before a frame that was sent after it arrives.  The two directions may
 * be connections of their own (raftcore/net).  Then a peer is up from when one of
 * them is there ('send' answers false until the other is too, and ship_writable
 * follows); when one ends, the peer goes down, and is up again at once where the
 * other lasts.  Frames of before may still come: they mean nothing, which the
 * numbers of transfers tell.
 *
 * 'send' and 'work' do not call back into ship; the other callbacks may call
 * anything but ship_free, ship_peer_up and ship_peer_down.  One thread, but for
 * ship_job_run.  Time is in milliseconds of one monotonic clock.
 */
#ifndef SHIP_SHIP_H
#define SHIP_SHIP_H

#include "io/file.h"
#include "wire/sum.h"

struct ship;

#define SHIP_PEERS_MAX 64
#define SHIP_ID_MAX 64                   /* bytes: letters, digits, '-', '_' */
#define SHIP_META_MAX 65536u
#define SHIP_CHUNK_MIN 1024u
#define SHIP_CHUNK_MAX (1u << 20)
#define SHIP_WINDOW_MAX 32u

/* How a file is cut. */
struct ship_shape {
	uint64_t size;
	uint32_t chunk_bytes;            /* a power of two */
	unsigned page_log;               /* a page has 2^page_log hashes; 1 to 10 */
};

struct ship_offer {
	struct str id, meta;
	struct ship_shape shape;
	struct sha256 root;
};

/* A piece of work with files. */
struct ship_job {
	struct ship_job *next;           /* the driver's, for a queue */
	void *host_data;                 /* the driver's */
	bool is_out_;
	void (*run_)(struct ship_job *job);
	void (*done_)(struct ship_job *job);
};

struct ship_host {
	/* True: the frame is taken, and copied as far as needed; it arrives
	 * whole and in order, or the connection ends.  False: no room now;
	 * ship_writable (or ship_peer_down) follows. */
	bool (*send)(void *data, uint64_t peer, struct str frame);
	/* Runs ship_job_run(job) on any thread, then ship_job_done here. */
	void (*work)(void *data, struct ship_job *job);
	/* Is this file wanted?  Asked for each offer, also of what is under way.
	 * Another code than OK is told to the sender; E_EXISTS where it is there
	 * already.  NULL: all are. */
	enum code (*wanted)(void *data, uint64_t peer,
			    const struct ship_offer *offer, struct err *err);
	/* The file is whole and durable at 'path'.  At least once: again after a
	 * restart, or for another offer, as long as it lies there.  The meta is that
	 * of who sent it last. */
	void (*received)(void *data, uint64_t peer,
			 const struct ship_offer *offer, const char *path);
	/* A transfer to here was given up, by either side; what is there stays
	 * for another try, but after a failed sync. */
	void (*failed)(void *data, uint64_t peer, struct str id, enum code rc,
		       const struct err *err);
	/* The outcome of ship_send, once: OK, or what it ended with. */
	void (*sent)(void *data, uint64_t peer, struct str id, enum code rc,
		     const struct err *err);
	void *data;
};

struct ship_config {
	struct ship_host host;
	struct fs *fs;
	const char *dir;                 /* of what is received; made if missing */
	uint32_t chunk_bytes;            /* of offers from here */
	unsigned page_log;               /* likewise */
	uint32_t chunk_bytes_max;        /* of offers to here */
	uint64_t file_bytes_max;         /* likewise */
	unsigned window;                 /* chunks; 1 to SHIP_WINDOW_MAX */
	unsigned in_max, out_max;        /* transfers; 1 to 16 */
	uint64_t rate;                   /* bytes a second out; 0: no limit */
	uint64_t sync_bytes;             /* received between two syncs */
	uint64_t first_number;           /* of offers: random at each start of the
					    process, from 1 and below 2^62, so that
					    what is said of one before it finds none */
	uint32_t retry_ms, stall_ms;     /* stall 0: never; else longer than a
					    chunk takes at any sender's rate */
};

/* 256 KiB chunks, pages of 1,024 hashes, window 8, 4 transfers each way, files
 * to 1 TiB, synced every 32 MiB, retry 1 s, stall 60 s, numbers from 1. */
void ship_config_defaults(struct ship_config *config);
/* Bytes that a ship of this configuration allocates for its transfers, at most;
 * offers and meta (SHIP_META_MAX a transfer) come on top. */
size_t ship_memory_max(const struct ship_config *config);

/* Copies 'config' ('dir' too). */
struct ship *ship_new(const struct ship_config *config);
/* Asks for no more work and tells nothing more; with ship_is_idle no job is
 * out, and it may be freed. */
void ship_stop(struct ship *ship);
bool ship_is_idle(const struct ship *ship);
void ship_free(struct ship **ship);

/* ---- connections ---- */

/* E_BUSY: SHIP_PEERS_MAX are up.  'peer' must not be up. */
enum code ship_peer_up(struct ship *ship, uint64_t now_ms, uint64_t peer,
		       struct err *err) MUST_USE;
bool ship_is_up(const struct ship *ship, uint64_t peer) MUST_USE;
/* Harmless where it is not up. */
void ship_peer_down(struct ship *ship, uint64_t peer);
/* One whole frame, borrowed.  E_INVALID, E_UNSUPPORTED, E_TOO_LARGE, E_BUSY:
 * the peer breaks the rules; close it.  E_UNAVAILABLE: it is not up. */
enum code ship_receive(struct ship *ship, uint64_t now_ms, uint64_t peer,
		       struct str frame, struct err *err) MUST_USE;
/* 'send' takes frames again. */
void ship_writable(struct ship *ship, uint64_t now_ms, uint64_t peer);
/* When ship_timeout is due; UINT64_MAX: never. */
uint64_t ship_deadline(const struct ship *ship);
void ship_timeout(struct ship *ship, uint64_t now_ms);
void ship_job_run(struct ship_job *job);
void ship_job_done(struct ship *ship, uint64_t now_ms, struct ship_job *job);

/* ---- sending ---- */

struct ship_file {
	struct str id, meta;
	const char *path;
	const char *dir, *tree_path;     /* the tree is kept there, in 'dir', and
					    used again; its owner removes it with
					    the file, and "<tree_path>.new" */
};

/*
 * Ships a file as soon as the peer is up; all of 'file' is copied.  The same id
 * to the same peer again is the one that is under way (OK, and one 'sent').
 * E_INVALID: id or meta; E_BUSY: out_max.  A file must not change under way.
 */
enum code ship_send(struct ship *ship, uint64_t now_ms, uint64_t peer,
		    const struct ship_file *file, struct err *err) MUST_USE;
/* Gives it up: 'sent' with E_CANCELLED before it returns.  False: not there. */
bool ship_cancel(struct ship *ship, uint64_t now_ms, uint64_t peer,
		 struct str id);
/* About how much of a file the peer has, in bytes, and its size; false: it is not
 * under way, or not hashed yet. */
bool ship_progress(const struct ship *ship, uint64_t peer, struct str id,
		   uint64_t *bytes, uint64_t *size) MUST_USE;
/* From now on; 0: no limit. */
void ship_set_rate(struct ship *ship, uint64_t now_ms, uint64_t rate);

/* ---- receiving ---- */

/*
 * Lets go of transfers to here that have no sender, but of 'but' (may be empty; ids,
 * with a NUL between; one that ends in '*' is all that begin so), and removes, in a
 * job, all files of the folder that belong to no transfer: parts that nobody goes on
 * with, whole files of transfers that have ended, journals.  Until that is done, an
 * offer of an id that is neither is refused with E_BUSY.  False: the one before is not
 * done yet, and nothing happens.
 */
bool ship_clear(struct ship *ship, uint64_t now_ms, struct str but);
/* Of the transfers to here that have a sender the one at 'at', from 0; 'id' is valid
 * until the next call.  False: there are no more. */
bool ship_coming(const struct ship *ship, unsigned at, uint64_t *peer, struct str *id)
	MUST_USE;

/* ---- the folder of a receiver; blocking, while no ship is on it ---- */

/* Removes what belongs to no transfer but 'keep' (as ship_clear's 'but'). */
enum code ship_sweep(struct fs *fs, const char *dir, struct str keep,
		     struct err *err) MUST_USE;

/* ---- what others may know ---- */

struct ship_view {
	unsigned in, out, jobs;          /* now */
	size_t memory, memory_peak;      /* as ship_memory_max counts */
	uint64_t bytes_in, bytes_out;    /* of chunks */
	uint64_t chunks_checked;         /* of parts, that were right */
	uint64_t chunks_torn;            /* of parts, pulled again */
	uint64_t chunks_damaged;         /* of these, such as had been synced */
	uint64_t bad;                    /* chunks and pages that did not verify */
	uint64_t pauses;                 /* full disk */
};
void ship_view(const struct ship *ship, struct ship_view *out);

#endif
