/* Shared by the files of the node's core: what it holds. */
#ifndef NODE_OWN_H
#define NODE_OWN_H

#include "node/detector.h"
#include "node/engine.h"
#include "node/identity.h"
#include "node/node_core.h"
#include "wal/vote.h"

#define ID_BYTES 8                       /* of a proposal, before its command */
#define ENTRY_OVERHEAD 21                /* in the log, beside the bytes */
#define BATCH_ENTRIES 1024
#define BATCH_BYTES (8 * 1024 * 1024)
#define GATHER_ENTRIES 256               /* from here on a follower applies at once */
#define GATHER_BYTES (1024 * 1024)
#define APPEND_BYTES (1024 * 1024)       /* of one message, where one fits */
#define APPEND_ENTRIES 4096
#define CACHE_ENTRIES 16384              /* in memory beyond what must be */
#define CACHE_BYTES (32 * 1024 * 1024)
#define BOX_MESSAGES 1024                /* that wait for one peer */

/* The entries of one append, with their bytes. */
struct block {
	struct append append;
	struct block *next;              /* of those not durable yet */
	unsigned refs;                   /* entries in memory, and the log */
	uint64_t valid_last;             /* entries above were replaced since */
	struct wal_entry *entries;
	char *bytes;
};

/* An entry that is in memory. */
struct slot {
	struct wal_entry entry;
	struct block *block;
	struct rc_proposal *proposal;    /* to be told if it is never applied */
};

/* A proposal whose entry was replaced by another leader's.  It is refused when
 * what replaced it is committed; until then it may come back. */
struct orphan {
	struct rc_proposal *proposal;
	uint64_t index, term;
};

/* Messages for one peer, in order; an append waits here for its entries. */
struct box {
	uint64_t peer;
	struct engine_message *messages;
	size_t n, cap;
	uint64_t told_commit;            /* highest that was sent to it */
};

/* How far the installing of a checkpoint is (install.c). */
struct mark {
	uint64_t begun_index, begun_term;        /* 0: none is under way */
	uint64_t done_index;             /* the log begins behind it; 0: no */
};

struct read_list {
	struct node_reader *first, *last;
};

struct read_ask {
	uint64_t peer, number;
};

/* Linearizable reads (reads.c): a reader is in one of the lists. */
struct reads {
	struct read_list fresh;          /* for the next round, or ask */
	struct read_list in_round;       /* of this leader */
	struct read_list asked;          /* at the leader */
	struct read_list confirmed;      /* until their index is applied */
	uint64_t number;                 /* of the last round or ask; not that
					    of an earlier life */
	uint64_t first_number;           /* ... of the one that is open */
	uint64_t round_index;            /* 0: there is no round */
	uint64_t due;                    /* then it is sent again */
	uint64_t until_ms;               /* when to look for late ones; 0: never */
	uint64_t *agreed;                /* who follows still */
	size_t n_agreed, cap_agreed;
	struct read_ask *asks;           /* of peers; the first are in the round */
	size_t n_asks, cap_asks, n_round_asks;
};

/* Checkpoints in turn (turns.c). */
struct turns {
	/* Of this node. */
	bool wants, is_given;
	uint64_t since_ms;               /* it wants one */
	uint64_t say_ms;                 /* when it says so again */
	uint64_t heard_ms;               /* of who leads */
	/* Of who leads. */
	uint64_t holder, until_ms;       /* holder 0: nobody */
	uint64_t leads_ms;               /* since when */
	struct turn_peer {
		uint64_t id, asked_ms, had_ms;   /* 0: not since it leads */
	} *peers;
	size_t n_peers, cap_peers;
};

enum load_for { LOAD_NOTHING, LOAD_APPLY, LOAD_SEND };

struct node_core {
	struct rc_config config;
	struct fs *fs;
	enum wal_tending tending;
	struct seal_files *files;        /* of checkpoints, over 'fs' */
	const struct node_host *host;
	void *host_data;
	char *dir, *state_dir, *checkpoint_dir, *address;
	struct engine_peer *founders;    /* of a new cluster; none: it joins */
	size_t n_founders;
	unsigned seed;
	struct identity identity;
	struct vote vote;
	struct mark mark;                /* as the start found it */
	struct wal *wal;
	size_t record_bytes;             /* the most that one append holds */
	struct engine *engine;
	bool is_leader, has_failed;
	uint64_t term, leader, commit, applied, durable, ready_at, proposals;
	uint64_t backward;               /* view.h */
	uint64_t last;                   /* of the log, durable or not */
	uint64_t told;                   /* durable, as the engine knows it */

	/* What the log held at the start, until the engine has it: terms, and
	 * the bytes of membership entries. */
	struct engine_entry *recovered;
	size_t n_recovered, cap_recovered;
	uint64_t recovered_first, log_first, log_last;

	/* Entries first_slot.. are in memory, a ring by index; those before are
	 * in the log only. */
	struct slot *slots;
	size_t n_slots, cap_slots;
	uint64_t first_slot;
	size_t slot_bytes;
	size_t n_waiting, waiting_bytes; /* of them not applied */
	struct { struct rc_proposal *first, **last; size_t n, bytes; } held;
	struct orphan *orphans;
	size_t n_orphans, cap_orphans;
	uint64_t uncertain_at;           /* when who waits is told so; 0: never */
	uint64_t tell_at;                /* when peers are told of 'commit'; or 0 */

	/* One load is out at a time. */
	enum load_for loading;
	struct node_loaded loaded;       /* to be applied */
	struct node_loaded to_send;
	bool is_stale;                   /* what is loaded to be sent */

	struct block *unwritten, **unwritten_last;
	size_t unwritten_bytes;
	uint64_t sequence;

	/* To the peers. */
	struct box *boxes;
	size_t n_boxes, cap_boxes;
	struct engine_entry *filled;     /* of the message being sent */
	size_t cap_filled;

	/* The batch that is with the machine; nothing while it is frozen. */
	bool is_applying;
	struct rc_entry batch[BATCH_ENTRIES];
	struct rc_proposal *handed[BATCH_ENTRIES];       /* whose they are, or NULL */
	size_t n_batch;
	uint64_t batch_bytes;
	uint64_t handed_on_ms;           /* when the last batch was */
	uint64_t gathers_until_ms;       /* what is committed waits; 0: nothing does */
	bool is_hurried;

	/* The newest checkpoint (index 0: none), the one under way, and the
	 * membership that holds at what is applied. */
	struct checkpoint base, pending;
	struct buf conf;
	uint64_t conf_index, applied_term;
	bool is_checkpointing;
	/* Of the state: now, when the copy under way began, when the last one
	 * did (or it was opened). */
	uint64_t machine_bytes, pending_machine_bytes, copied_machine_bytes;
	uint64_t log_since_bytes, pending_bytes;
	uint64_t checkpoint_at_bytes;    /* after a failure: not before */
	bool is_scattered;               /* the log lies in many segments */
	struct node_backup *backups;     /* that wait for one */

	struct detector detector;
	struct fence fence;
	struct reads reads;
	struct turns turns;
	uint64_t barrier;                /* the first of this leader's term */

	/* Checkpoints from node to node. */
	uint64_t *ships;                 /* peers that one is under way to */
	size_t n_ships, cap_ships;
	struct checkpoint incoming;      /* index 0: none */
	char *incoming_path;
	bool is_installing;
	/* Entries from here up to 'applied' are in the state already and come
	 * behind it; 0: none. */
	uint64_t skip_next;

	/* Membership: one change and one transfer at a time. */
	struct node_change *change;
	uint64_t change_index, change_term;      /* 0: not submitted yet */
	uint64_t change_until;           /* it waits for who is promoted; or 0 */
	struct engine_message hand_over; /* type 0: none, or on its way */
	struct node_transfer *transfer;
	uint64_t transfer_until;
};

/* ---- between the files ---- */

void core_fail(struct node_core *c, const struct err *err);
void core_refuse(struct node_core *c, struct rc_proposal *p, enum code rc,
		 const char *text);
/* The membership entry 'index' is applied. */
void core_configure(struct node_core *c, uint64_t index, struct str conf);
/* An entry of the log as the machine is given it; borrows its bytes. */
void core_entry_of(const struct wal_entry *e, struct rc_entry *to);
/* Tells the host what is in force now. */
void core_tell_members(struct node_core *c);
struct engine_snapshot core_snapshot_of(const struct checkpoint *checkpoint);
/* While a picture is copied, by how many quarters the state has grown under it; or 0. */
unsigned core_crowd(const struct node_core *c);
bool core_wants_checkpoint(const struct node_core *c);

/* turns.c: checkpoints in turn. */
bool core_may_copy(struct node_core *c, uint64_t now_ms);
void core_copied(struct node_core *c);   /* or given up */
bool core_hear_turn(struct node_core *c, uint64_t now_ms,
		    const struct engine_message *m);
void core_turn_due(struct node_core *c, uint64_t now_ms);
uint64_t core_turn_deadline(const struct node_core *c);
/* Another leads now, or nobody. */
void core_turn_leads(struct node_core *c, uint64_t now_ms);
/* Does what a step asks for.  'source' brought the entries, or NULL: they are in memory. */
void core_handle(struct node_core *c, uint64_t now_ms,
		 const struct engine_update *u,
		 const struct engine_message *source);
/* Hands on what is committed, unless something is out already. */
void core_apply_more(struct node_core *c, uint64_t now_ms);
/* Starts one if it is time; true where it did. */
bool core_checkpoint(struct node_core *c, uint64_t now_ms);
void core_free_recovered(struct node_core *c);

/* admission.c: what is held back, and is in no log. */
void core_admit_more(struct node_core *c, uint64_t now_ms);
void core_refuse_held(struct node_core *c, enum code rc, const char *why);

/* backup.c: checkpoints that are asked for. */
/* One is to be taken, however little the log has grown. */
bool core_backup_waits(const struct node_core *c);
/* There is a newer checkpoint. */
void core_backups_ready(struct node_core *c);
/* The pending one has failed. */
void core_backups_failed(struct node_core *c, enum code rc);
void core_end_backups(struct node_core *c);

/* install.c: checkpoints from node to node. */
enum code mark_read(struct fs *fs, const char *dir, struct mark *out,
		    struct err *err) MUST_USE;
enum code mark_write(struct fs *fs, const char *dir, const struct mark *mark,
		     struct err *err) MUST_USE;
void core_ship(struct node_core *c, uint64_t peer);
void core_try_install(struct node_core *c, uint64_t now_ms);
/* What the state has already, and came now as entries. */
void core_skip(struct node_core *c, uint64_t now_ms);

/* memory.c: the log's entries in memory. */
struct slot *core_slot(struct node_core *c, uint64_t index);   /* or NULL */
/* An empty block; its owner fills entries (index and term too) and bytes. */
struct block *core_block(size_t entries, size_t bytes);
/* Into memory and to the log, behind what is there. */
void core_append(struct node_core *c, struct block *block);
/* Entries from 'from' on are to be replaced. */
void core_truncate(struct node_core *c, uint64_t from);
/* All entries go; nobody waits for one any more. */
void core_forget(struct node_core *c);
/* What was applied or is durable may go, as far as there is more than enough. */
void core_trim(struct node_core *c);
/* Entries up to 'index' are applied. */
void core_passed(struct node_core *c, uint64_t from, uint64_t to);
/* Tells those whose entries are known to be replaced; all, with 'everyone'. */
void core_tell(struct node_core *c, bool everyone, const char *why);
/* Forgets all that is in memory of the log; answers nobody. */
void core_free_slots(struct node_core *c);

/* outbox.c: to the peers. */
void core_post(struct node_core *c, const struct engine_message *m);
void core_drop_appends(struct node_core *c);
/* Sends what can be sent. */
void core_pump(struct node_core *c);
/* What is committed; peers are told of it a little later. */
void core_committed(struct node_core *c, uint64_t now_ms, uint64_t index);
void core_sent_load(struct node_core *c, enum code rc,
		    struct node_loaded *loaded, const struct err *err);
void core_free_boxes(struct node_core *c);

/* reads.c: linearizable reads. */
void core_read_more(struct node_core *c, uint64_t now_ms);
void core_reads_again(struct node_core *c);
void core_reads_applied(struct node_core *c);
void core_reads_due(struct node_core *c, uint64_t now_ms);
uint64_t core_reads_deadline(const struct node_core *c);
/* False: it is none of theirs. */
bool core_hear_read(struct node_core *c, uint64_t now_ms,
		    const struct engine_message *m);
void core_end_reads(struct node_core *c);

/* member.c: membership. */
void core_changed(struct node_core *c, const struct wal_entry *applied);
void core_lost(struct node_core *c, bool has_ended);
void core_watch_change(struct node_core *c, uint64_t now_ms);
void core_watch_transfer(struct node_core *c, uint64_t now_ms);
/* The engine wants a peer to take over, which passes that over while anything
 * before it is not durable there: it goes when it is. */
void core_hand_over(struct node_core *c, const struct engine_message *m);

#endif
