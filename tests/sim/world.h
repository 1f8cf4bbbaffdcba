/*
 * A cluster of cores (node/node_core.h) on simulated time, disks and network,
 * on one thread; cluster.c makes histories of it.
 *
 * A server is a core with a disk of its own (io/sim/disk.h) and a state machine,
 * by raftcore/machine.h: the toy of toy.c, or what a simulation brings (struct
 * world_kind).  What a core asks for is done some time later, in the order that
 * the core's rules demand; every moment and every fault follows from the seed.
 * Messages go in their wire form through one stream for each pair and
 * direction: in order, at most once, and what a stream holds may get lost.
 *
 * What must hold (enum law) is checked at each step.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "damage.h"
#include "node/node_core.h"

#define SERVERS 5
#define INDEX_MAX 16384
#define PROPOSALS_MAX 12288
#define COMPARE 16               /* entries between two comparisons */
#define INFLIGHT 16              /* entries that may be under way */

/* What must hold; for each a planted mistake shows that it is checked (cluster.c). */
enum law {
	LAW_HOST,                /* what else a core asks and tells; other programs' */
	LAW_LEADERS,            /* one leader a term, and no term is led in twice */
	LAW_TERM,               /* no server's term goes back */
	LAW_LOG,                /* an index and a term stand for one entry, and one
				    history before it, in whatever log they are */
	LAW_ORDER,              /* entries are applied in order, each once in the
				    life of a state */
	LAW_EFFECTS,            /* ... with the same digest on every server, in
				    every life, also of a state that came with a
				    checkpoint */
	LAW_ONCE,               /* a proposal is applied at one index */
	LAW_REFUSED,            /* ... and nowhere where it was refused */
	LAW_ACKED,              /* what was acknowledged is there in the end */
	LAW_READ,               /* a read sees what was acknowledged, or seen,
				    before it began */
	LAW_APPLIED,            /* ... and is let go where that is applied */
	LAW_ALARM,              /* states that are alike are not taken for others */
	LAW_COMPARED,           /* when nothing is applied all are compared */
	LAW_BACKWARD,           /* no peer is sent again what it has */
	LAW_BOUND,              /* what is not committed is bounded */
	LAW_START,              /* a start is refused by the disk alone, and the log
				    can be read; nor does a server fail otherwise */
	LAW_ROT,                 /* a start on a damaged log is refused, with the place */
	LAW_MEMBERS,            /* in the end all go by the same membership */
	LAW_LIVENESS,           /* once faults stop somebody leads, commands and reads
				    go through, and nobody is left behind */
	LAW_HEARD,              /* followers hear soon that a command is committed */
	LAW_FAR,                /* reads take their round trips, and no longer */
	LAW__COUNT
};
extern const char *const law_names[LAW__COUNT];

/* Deliberate mistakes of the host, to see that they are found. */
enum plant {
	PLANT_NOTHING,
	PLANT_ACK_EARLY,         /* an append is answered before it is written */
	PLANT_ACK_ALONE,         /* who leads acknowledges what it alone has written */
	PLANT_VOTE_LOST,         /* who was voted for is not written */
	PLANT_COMMIT_OLD,        /* a leader commits old terms by counting */
	PLANT_CUT_NEWER,         /* the log is cut by the newer checkpoint */
	PLANT_CUT_EARLY,         /* ... before the checkpoint has its name */
	PLANT_UNSYNCED,          /* the checkpoint and its name are not synced */
	PLANT_AGREE,             /* peers agree to reads, whomever they follow */
	PLANT_REFUSE,            /* what may still be applied is refused */
	PLANT_LATE,              /* what a stream held when it broke comes after all */
	PLANT_TWICE,             /* ... and what it had brought comes again */
	PLANT_GARBLED,           /* a command is another one behind its way */
	PLANT_SWAP,              /* an entry is applied before the one in front of it */
	PLANT_AGAIN,             /* a proposal is made twice, under one id */
	PLANT_DIGEST,            /* a state is told to be another than it is */
	PLANT_UNCOMPARED,        /* nobody is told how states stand */
	PLANT_UNAPPLIED,         /* a batch is answered before it is applied */
	PLANT_UNTOLD,            /* followers hear what is committed by heartbeats */
	PLANT_ROUNDS,            /* of a read the newest round alone counts */
	PLANT_UNSEEN,            /* a damaged log is whole for who reads it */
	PLANT__COUNT
};

struct job;
struct letter;
struct server;
struct proposal;

/* Least bytes of a picture, one of which may be damaged. */
#define PICTURE_MIN 56

/*
 * What the servers of a world carry.  The toy: a digest of all entries.
 * 'machine' is called when a world begins; its calls come from the world alone,
 * and what the machine keeps is let go of in 'end'.
 */
struct world_kind {
	uint64_t entry_bytes_max, segment_bytes, checkpoint_log_bytes;
	struct rc_machine (*machine)(struct server *s);
	/* NULL, or: */
	void (*begin)(void);
	void (*end)(void);
	/* The process of a server that was up ends (server_crash): nothing of it
	 * is called any more until it is opened again. */
	void (*crashed)(struct server *s, bool power);
	/* How many of 'n' entries are applied in one batch. */
	size_t (*batch)(const struct server *s, size_t n);
	/* Whether the process ends between two slices of a batch. */
	bool (*dies)(struct server *s);
	/* A batch ended with E_FULL, and is tried again; NULL: that does not happen. */
	void (*no_room)(struct server *s);
	/* Whether that ends a server for good reason, and not for a fault; NULL: none
	 * does. */
	bool (*may_stop)(const struct server *s, enum code rc);
	/* Before and after such a batch, and when a state was opened at s->at. */
	void (*applying)(struct server *s, const struct rc_entry *e, size_t n);
	void (*applied)(struct server *s, const struct rc_entry *e, size_t n);
	void (*opened)(struct server *s);
	/* Bytes of a proposal, made at 's'. */
	void (*fill)(struct server *s, struct proposal *p);
	/* It was refused, or nobody knows. */
	void (*refused)(struct proposal *p, enum code rc);
	/* A read is let go at 's', and began when 'must_see' was shown. */
	void (*read)(struct server *s, uint64_t must_see);
	uint64_t (*shown)(void);
	/* Behind each step. */
	void (*step)(void);
};
extern const struct world_kind toys;
extern const struct world_kind *world_kind;      /* the toys, if nothing is said */

struct server {
	uint64_t id;
	char address[16];
	struct disk *disk;
	struct node_core *core;          /* NULL: down */
	struct rc_machine machine;
	struct rc_applied at;            /* where it stands */
	bool state_is_lost, is_fatal, joins;
	bool takes_none;                 /* its checkpoints never end */
	bool is_slow;                    /* its disk and its machine */
	uint64_t bent_at;                /* this entry has another effect here */
	uint8_t bent_by;
	unsigned life;
	uint64_t up_at, paused_until;    /* microseconds, as all times here */
	uint64_t crash_at;               /* 0: not now */
	int64_t clock_us;                /* ahead of the world's */
	uint64_t term;                   /* the highest that was seen */
	uint64_t terms[INDEX_MAX];       /* of the entries of its log */
	uint64_t role_term;
	uint64_t asked;                  /* number of its newest round of a read */

	struct job *jobs, **jobs_last;   /* of the log, in order */
	uint64_t jobs_due;
	const struct rc_entry *batch;
	size_t n_batch;
	bool wants_digest;               /* behind it */
	bool has_no_room;                /* for the batch: it is tried again */
	const struct checkpoint *freezing;
	uint64_t machine_due;
	uint64_t opened_at;              /* its state was, last */
	struct rc_frozen *frozen;
	struct checkpoint writing;
	uint64_t worker_due;

	/* A checkpoint on its way to each other server, and here. */
	struct parcel {
		struct checkpoint c;     /* index 0: none */
		struct buf bytes;
		uint64_t due;
	} parcels[SERVERS];
	const struct checkpoint *installing;
	bool is_taking_in;
	uint64_t floor;                  /* its log begins behind it */
	unsigned n_named;                /* checkpoints since the last damage */
	uint64_t install_due;

	/* Its log is damaged, so it does not start; then it is gone for a while. */
	struct damaged_log rot;
	bool is_gone;
};

struct proposal {
	struct rc_proposal p;
	struct buf bytes;
	struct server *server;
	unsigned life;
	enum { OPEN, ACKED, REFUSED, UNCERTAIN } state;
	uint64_t index;                  /* where it was applied; 0: nowhere */
	void *owner;                     /* whoever made it, of a world_kind */
};

struct read {
	struct node_reader r;
	struct server *server;
	uint64_t must_see, must_show;
};

struct link {
	struct letter *first, **last;
	uint64_t last_due, appended_at;
	bool is_cut;
};

struct world {
	uint64_t seed;
	const char *scene;               /* NULL: a history */
	enum plant plant;
	struct prng prng;
	uint64_t now;                    /* microseconds */
	struct server servers[SERVERS];
	unsigned n_founders;
	struct link links[SERVERS][SERVERS];     /* from, to */
	struct { bool is_known; struct sha256 digest; } truth[INDEX_MAX];
	/* Highest index that was applied anywhere, that somebody was told of,
	 * that a read saw. */
	uint64_t applied_max, acked_max, read_max;
	uint64_t leader_of[INDEX_MAX];   /* term -> id */
	struct proposal *proposals;
	size_t n_proposals;
	bool is_broken;
	enum law broken;
	bool is_calm;                    /* no more faults */
	bool is_bent;                    /* a server's effects are */
	uint64_t compared_max;           /* where two had the same digest */
	uint64_t distance_us;            /* that each message takes at least */
	unsigned inflight;               /* entries that may be under way */
	struct arena *arena;
	uint64_t trace;                  /* of all steps: the same seed, the same */
	unsigned long long n_acked, n_reads, n_refused, n_uncertain, n_crashes,
		n_messages, n_checkpoints, n_installs, n_damaged, n_votes_damaged, n_no_room,
		n_changes, n_transfers, n_steps, n_rotten, n_replaced;
};

extern struct world w;
extern bool verbose, quiet;

void tell(const char *fmt, ...) PRINTF(1, 2);
/* The run ends at the first thing that does not hold, which is w.broken. */
bool keeps(enum law law, bool what, const char *fmt, ...) PRINTF(3, 4);
#define holds(...) keeps(LAW_HOST, __VA_ARGS__)
uint64_t below(uint64_t n);
/* Into w.trace. */
void trace(uint64_t what);

void world_begin(uint64_t seed, enum plant plant, unsigned founders);
void world_end(void);
/* Does what is due next, and what follows from it; false: nothing ever is. */
void world_step(void);

/* ---- servers ---- */

void server_start(struct server *s);
/* 'power': what was not durable is lost. */
void server_crash(struct server *s, bool power, uint64_t back_after_us);
/* The newest of its checkpoints is not whole any more; only where the one before
 * is enough. */
void server_damage(struct server *s);
/* It loses power, and its log is damaged: it is not started again but to be refused,
 * and then gone until server_wipe.  False: there is nothing to damage. */
bool server_rot(struct server *s);
/* Another machine in its place, with nothing on it, which is to join; it starts when
 * 'is_gone' is taken away. */
void server_wipe(struct server *s);
bool server_may_stop(const struct server *s, enum code rc);
bool server_leads(const struct server *s);
struct node_core_view server_view(const struct server *s);      /* down: zeros */
/* Nothing reaches it, or nothing of it anybody. */
void server_cut_off(struct server *s, bool in, bool out);
void world_heal(void);
void world_pass(uint64_t ms);
/* Waits until another than 'not' leads; NULL: nobody did in time. */
struct server *world_elected(uint64_t ms, const struct server *not);
struct server *world_leader(void);       /* of the highest term; NULL: none */
void server_propose(struct server *s, unsigned n);
/* As it, one, by 'owner'; NULL: it is down, or there are too many. */
struct proposal *server_propose_for(struct server *s, struct str bytes,
				    void *owner);
void server_read(struct server *s);
void server_change(struct server *s, enum engine_change what,
		   const struct server *other, bool force);
void server_change_any(struct server *s);
void server_transfer(struct server *s, uint64_t to);

/* ---- network ---- */

/* The stream breaks; what it holds is lost. */
void link_reset(struct link *l);
/* At the end of a world. */
void link_drop(struct link *l);

/* ---- between world.c and server.c ---- */

#define ULL(x) ((unsigned long long)(x))

extern const struct node_host server_host;
enum code server_machine_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err);
uint64_t server_machine_bytes(void *data);
void server_machine_digest(void *data, uint8_t out[32]);
enum code server_machine_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *err);
uint64_t ms_of(const struct server *s);
void server_forget_chains(void);
/* Of a log that was opened: its entries are checked. */
void server_reread_log(struct server *s);
/* Each does what is due first of its kind. */
uint64_t server_job_due(const struct server *s);
void server_log_step(struct server *s);
void server_machine_step(struct server *s);
void server_worker_step(struct server *s);
void server_drop_work(struct server *s);
uint64_t link_due(const struct link *l);
void link_deliver(unsigned from, unsigned to);
void link_take_in(unsigned from, unsigned to);

#endif
