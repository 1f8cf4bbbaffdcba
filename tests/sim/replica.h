/*
 * The controller's real state as the machine of a world's servers (world.h):
 * controller/state over LMDB in a folder of memory, by raftcore/machine.h, with
 * the views of controller/store that its readers have.
 *
 * Shared by the files of sim/state:
 *
 *	state.c      histories, planted mistakes, main
 *	replica.c    a server's state: opened, applied, lost, read
 *	programs.c   which program it runs: old and new ones in one cluster
 *	record.c     what became of each entry, and the events that there are
 *	wishes.c     commands: what is to be written
 *	gates.c      the gate and releases as a model, and what it makes of each entry (gates.h)
 *	gate_wishes.c  what is wanted of the gate
 *	clients.c    who writes, through which server, again and again
 *	watchers.c   who follows, and moves on; lists that take their time
 *
 * What must hold beside world.h (enum check) is checked at each batch, each
 * event, each answer, and once more when all is calm.
 */
#ifndef TESTS_SIM_REPLICA_H
#define TESTS_SIM_REPLICA_H

#include "store/own.h"
#include "history.h"

#define SCAN 32                  /* entries between two scans of all rows */

enum check {
	CHECK_NONE,
	/* At an index the whole head (revision, compaction, cluster time, audit
	 * head, effect chain, bytes) and each outcome are the same on every
	 * server, in every life, and as in the record. */
	CHECK_EFFECTS,
	/* An operation that changes something takes the next revision, has one
	 * event under it, and is shown with it; a refusal takes none. */
	CHECK_REVISIONS,
	CHECK_ONCE,              /* a key is applied once while it is kept */
	CHECK_ACKED,             /* what a client was told is there in the end */
	CHECK_ORDER,             /* events ascend, over reconnections too */
	CHECK_COMPLETE,          /* none is missing, none is told that was none */
	CHECK_END,               /* `end` is on the last of a command, alone */
	CHECK_LIST,              /* what events made of a client's picture is the list
				    at that revision */
	CHECK_GONE,              /* 410 is told where it must be, and only there */
	CHECK_COMPACTION,        /* it ends with a command, and keeps all behind it */
	CHECK_SCAN,              /* all rows in key order are the same, and as many
				    bytes as the head counts */
	CHECK_READ,              /* a linearizable read shows what was acknowledged */
	CHECK_CONTENT,           /* what is live can be read, byte for byte */
	CHECK_AUDIT,             /* the audit chain holds */
	CHECK_ENDS,              /* once faults stop, writes and watches come to
				    their end in time */
	CHECK_GATE,              /* what policies want approved is served as it was
				    approved, by enough, in its time, once; or behind
				    a glass that its author may break */
	CHECK_WINDOW,            /* nothing but ways back in a window, or past one */
	CHECK_PROPOSAL,          /* each is in the phase that follows of what was done
				    to it, by the policies of when it was made */
	CHECK_VOTE,              /* of who may, once, on what he did not bring */
	CHECK_LOCK,              /* no two open ones touch one configuration */
	CHECK_OUTBOX,            /* each webhook is told of each event that it wants,
				    once */
	CHECK_WHOLE,             /* a release is all or nothing at each revision */
	CHECK_COHORT,            /* who has it has it until a way back, and it grows by
				    steps alone */
	CHECK_RELEASE,           /* what is over is over; a way back leads to what was */
	CHECK_VERSION,           /* nobody is stopped by a cluster version that it was
				    asked for */
	CHECK_HOLD,              /* a source does not bring again what was turned back */
	CHECK_VERDICT,           /* a release goes on, or back, by what clients said */
	CHECK_NAMED,             /* what a rule, a release, a hold or a proposal names is
				    there */
	CHECK__COUNT
};

/* Deliberate mistakes. */
enum fault_of_state {
	BAD_NOTHING,
	BAD_INSTALL,             /* an event is not in the state that was installed */
	BAD_OWN_CLOCK,           /* a server compacts by its own clock */
	BAD_RESUME_LATE,         /* a watch goes on one revision too late */
	BAD_RESUME_EARLY,        /* ... too early */
	BAD_TWICE,               /* a key is not looked at */
	BAD_GAP,                 /* a revision is left out */
	BAD_SILENT_410,          /* a watch goes on where events are compacted */
	BAD_410,                 /* ... ends where they are not */
	BAD_SWAP,                /* two events of a command change places */
	BAD_ENDS,                /* each event says that it is the last */
	BAD_VERSION,             /* an event has another version */
	BAD_ACK,                 /* who is first asked says that it is done */
	BAD_COMPACTION,          /* one event more is gone than it is said */
	BAD_BYTES,               /* the bytes of a row are not counted */
	BAD_ROW,                 /* a row is another after an install */
	BAD_STALE,               /* a view stays at the picture that it had */
	BAD_CONTENT,             /* content is removed that is live */
	BAD_AUDIT,               /* a record of the audit is changed */
	BAD_STUCK,               /* who waits for a revision is not woken */
	BAD_UNGATED,             /* a publish passes for the system's own */
	BAD_VOTER,               /* a vote is taken for another's */
	BAD_WINDOW,              /* a window is never shut */
	BAD_TIME,                /* ticks tell no time */
	BAD_OTHER,               /* contents of a plan change places */
	BAD_AGAIN,               /* what was executed is approved again */
	BAD_LOCK,                /* a lock is lost */
	BAD_OUTBOX,              /* an event for a webhook is lost */
	BAD_PAUSE,               /* who pauses a release moves it on */
	BAD_ABORT,               /* what is turned back is not held */
	BAD_SALT,                /* a step draws lots anew */
	BAD_HALF,                /* a release forgets one of its configurations */
	BAD_BACK,                /* a way back leaves the new version */
	BAD_TOLD,                /* an event of a release is told as another */
	BAD_VERDICT,             /* a leader hears of rejections that nobody said */
	BAD_SILENCE,             /* ... takes it that who says nothing applied it */
	BAD_UPGRADE,             /* who leads takes its program for everybody's */
	BAD_FULL,                /* what the disk had no room for is passed over */
	BAD__COUNT
};
extern enum fault_of_state bad;

/* As holds(); with a check to be shown (state.c) the others say nothing. */
bool claim(enum check check, bool what, const char *fmt, ...) PRINTF(3, 4);
extern enum check shown, found;          /* to be shown; first that did not hold */

/* ---- replica.c ---- */

struct replica {
	struct server *s;                /* NULL: the record's own */
	char dir[200];
	unsigned boots;
	struct state *state;             /* NULL: down */
	struct store store;              /* of it, what views look at */
	struct view *view;               /* of its readers; made when it is wanted */
	bool was_installed;              /* and not scanned since */
	bool is_clean;                   /* closed in order, and not opened since */
	bool is_full;                    /* its disk, until then, but for so much */
	uint64_t full_until;
	int64_t room;
};
extern const struct world_kind state_kind;

/* Where their folders are; the last removes what is left of them, there. */
void replicas_root(const char *dir);
const char *replicas_where(void);
void replicas_clean(const char *where);
struct replica *replica_of(const struct server *s);
/* The wall clock of a server; the record's own has none. */
uint64_t replica_wall_ms(const struct server *s);
/* All these clocks are so much later at once. */
void replicas_leap(uint64_t ms);
struct rc_machine replica_machine(struct replica *r);
/* What it shows now, to be let go of; NULL: nothing, or not 'min_rev' yet. */
struct kv_txn *replica_read(struct replica *r, uint64_t min_rev, struct err *err);
void replica_idle(struct replica *r);
struct sha256 head_digest(const struct head *h);
/* Compares all rows with the record's, where both stand at one index. */
void replica_check_rows(struct replica *r);

/* One was installed, and is to be scanned where it stands next. */
bool replicas_want_rows(void);

/* ---- programs.c ---- */

void programs_begin(void);
/* The newest cluster version that a server's program knows; of the record (NULL) the
 * newest there is. */
uint64_t program_knows(const struct server *s);
/* Its process ended: the next one may be a newer program. */
void program_ended(const struct server *s);
/* A state that is not opened, or an entry that is not applied, for a version. */
bool program_may_stop(const struct server *s, enum code rc);
/* Who leads asks all members: what they all know; 0: not all are up. */
uint64_t programs_agree(const struct server *leader);

/* ---- record.c ---- */

/* What some watchers follow, and the label that they have: "" for none. */
#define CLASSES 4
/* Addresses that there ever are. */
#define CONFIGS_MAX 64
extern const struct class {
	const char *prefix, *key, *zone;
} classes[CLASSES];

/* An event as the record has it: revision 1 is the first. */
struct told {
	uint64_t index;
	unsigned follows;                /* bits of classes that are told of it */
	bool is_deleted;
	struct str key;                  /* "" where it is no configuration */
};

/* Of an index. */
struct outlook {
	bool is_known, has_rows;
	struct sha256 head, rows;
	uint64_t rev, compacted, time_ms;
	uint64_t lists[CLASSES];
};

void record_begin(void);
void record_end(void);
/* Applies what it has not, one by one, and looks at what came of each. */
void record_apply(const struct rc_entry *e, size_t n);
const struct outlook *record_at(uint64_t index);
uint64_t record_rev(void);
const struct told *record_event(uint64_t rev);   /* NULL: there is none yet */
/* The next event behind 'rev' that a class follows; 0: none. */
uint64_t record_next(unsigned cls, uint64_t rev);
bool record_is_end(unsigned cls, uint64_t rev);
/* What the rows say that clients of a class get: each configuration, and the sum
 * of all. */
typedef void config_each(void *data, struct str key, uint64_t digest);
void configs_each(struct kv_txn *txn, unsigned cls, config_each *each, void *data);
uint64_t configs_digest(struct kv_txn *txn, unsigned cls);
/* Of what a client gets at an address; 0: nothing. */
uint64_t config_digest(struct str key, uint64_t version, struct str sha,
		       struct str format);
void record_take(uint64_t proposal, const struct outcome *o);
/* What the record has as the outcome of a proposal; NULL: nothing. */
const struct outcome *record_outcome(uint64_t proposal);
struct replica *record_replica(void);
/* All rows, where it stands. */
void record_scan(void);

/* ---- wishes.c ---- */

/* What somebody wants written, and what must have come of it. */
struct wish {
	struct command c;
	struct buf content;              /* large, of 'tenant': it may have to go
					    first; the caller's */
	struct str tenant;
	bool must_fail;                  /* it is refused, whatever the state is */
	/* Where one address is published to: then this is live. */
	struct str address;
	struct sha256 sha;
};
void wishes_begin(void);
void wishes_end(void);
/* The n-th of a history; 'wish' has its subject. */
void wish_make(struct wish *wish, size_t n);
/* A publish of root's. */
void wish_publish(struct wish *wish);
void random_bytes(void *p, size_t n);

/* ---- clients.c ---- */

void clients_begin(void);
void clients_end(void);
/* A client begins something. */
void clients_act(void);
/* For server_propose. */
void clients_fill(struct server *s, struct proposal *p);
void clients_step(void);
void clients_refused(struct proposal *p, enum code rc);
/* What a leader wants by itself. */
void clients_submit(struct server *s, struct str command);
/* Of the record: the first time that an entry is applied anywhere. */
void clients_applied(uint64_t proposal, uint64_t index, const struct outcome *o,
		     uint64_t time_ms, uint64_t idem_ms);
/* The whole of the command that a proposal is of, or is the last part of. */
struct str clients_bytes(uint64_t proposal);
/* Of the server that proposed it. */
void clients_outcome(struct server *s, uint64_t proposal, const struct outcome *o);
bool clients_are_done(void);
/* No command begins by itself any more. */
void clients_rest(void);
uint64_t clients_acked_rev(void);
/* Whether a member's state has all that clients were told. */
void clients_check(struct replica *r);

/* ---- watchers.c ---- */

void watchers_begin(void);
void watchers_end(void);
void watchers_step(void);
/* A server's process ends, or its state was committed or replaced. */
void watchers_crash(const struct server *s);
void watchers_wake(const struct server *s);
/* Those of 's' that are due look at it at once. */
void watchers_hurry(struct server *s);
bool watchers_are_done(void);

/* Over all histories. */
struct state_totals {
	unsigned long long commands, refusals, replays, events, lists, gone, watches,
		moves, slow_lists, scans, compactions, contents, staged, blobs,
		unopened, installed, wrecked, orderly, slices, deaths, resumed_within,
		gone_while_fed, fed_over_installs, bookmarks, full, no_room,
		upgraded, stopped;
};
extern struct state_totals sum;

#endif
