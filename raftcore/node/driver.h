/*
 * Shared by the files of the driver: a node with threads around its core.
 *
 *	node.c      life, the turn of the raft loop, status
 *	errand.c    what one thread has another do, in order
 *	propose.c   proposals and their refusals
 *	machine.c   the machine on the apply loop: batches, a checkpoint's state
 *	log.c       the log on its thread
 *	picture.c   checkpoints of this node
 *	backups.c   their pictures as streams
 *	links.c     peers, messages of the engine
 *	session.c   whether two nodes agree on a connection
 *	courier.c   calls between nodes
 *	shipper.c   checkpoints to other nodes and from them
 *	filer.c     files of the program, likewise
 *	readers.c   linearizable reads
 *	members.c   changes of membership, peers for others to see
 *	former.c    a cluster that is still to be formed
 *
 * Where nothing else is said, functions and fields are the raft loop's.
 */
#ifndef NODE_DRIVER_H
#define NODE_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "backup/backup.h"
#include "base/arena.h"
#include "base/list.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/timer.h"
#include "net/net.h"
#include "node/checkpointer.h"
#include "node/doubt.h"
#include "node/errand.h"
#include "node/filer.h"
#include "node/room.h"
#include "node/session.h"
#include "node/shown.h"
#include "rpc/rpc.h"
#include "ship/ship.h"

#define PART "raft"

/* ---- the others' parts of the node ---- */

/* Another node. */
struct link {
	uint64_t id;
	char address[272];
	bool is_known;                   /* to the transport */
	bool is_up, waits;               /* waits: for room */
	struct session rpc, ship;
	struct err error;                /* of its address */
	uint64_t warned_ms;
};

struct method {
	struct rc_node *node;
	void (*handle)(void *data, const struct rc_request *request);
	void (*gone)(void *data, struct rpc_token token, enum code why);
	void *data;
	unsigned number;
};

/* Proposals that came in this turn. */
struct inbox {
	pthread_mutex_t lock;
	struct rc_proposal *first, **last;
	struct msg wake;
	bool is_woken, is_stopping;
	_Atomic unsigned n_waking;       /* threads that are about to wake the loop */
};

/* The batch that is with the machine, and what became of it. */
struct machine_work {
	struct msg apply, applied, fatal, reopen, reopened;
	const struct rc_entry *batch;
	size_t n_batch;
	bool makes_ready, wants_digest;
	bool is_open;                    /* apply loop's thread */
	enum code rc;
	struct err err, fatal_err;
	struct node_stand stand;
	unsigned n_batches;
};

/* What the WAL thread does and answers. */
struct log_work {
	struct writer *writer;
	struct msg written_msg, loaded_msg;
	_Atomic uint64_t written;
	_Atomic enum code rc;
	_Atomic bool written_posted, is_cutting;
	struct err err;
	struct writer_task load_task, cut_task;
	struct turn turn;                /* behind the transport's */
	bool has_new;                    /* its thread is to be woken in it */
	uint64_t load_from, load_to, cut_index;
	struct node_loaded loaded;
	enum code loaded_rc;
	struct err loaded_err;
};

/* A checkpoint from another node. */
struct incoming {
	enum { INCOMING_NONE, INCOMING_CHECKED, INCOMING_GIVEN } state;
	struct work work;                /* reads it */
	struct writer_task task;         /* puts it in the log's place */
	struct checkpoint c;
	struct buf path;
	const struct checkpoint *of;     /* the core's, while it is installed */
	const char *of_path;
	enum code rc;
	struct err err;
	struct rc_applied at;
};

struct former;
struct rc_node {
	struct rc_config config;         /* its strings are own copies */
	struct net_tls tls;
	struct rc_member *members;
	struct node_core *core;
	struct node_core_view view;      /* as of the last turn */
	char *dir, *checkpoint_dir;
	int lock_fd;
	struct loop *loop;
	struct timer timer;
	struct turn turn;
	struct msg start_msg, stop_msg;
	struct errands to_raft, to_apply;
	_Atomic uint64_t next_id, hurries;
	_Atomic bool ended;              /* nothing of the core is called */
	struct node_host host;
	bool has_started;
	bool is_touched;                 /* the core was called in this turn */
	uint64_t armed_ms;               /* when the timer fires; 0: it does not */
	bool is_waiting;                 /* for a checkpoint, before the end */
	unsigned works;                  /* out in workers */

	struct inbox inbox;
	struct machine_work machine;
	struct log_work log;
	struct room room;
	struct shown shown;
	/* picture.c */
	struct checkpointer *checkpointer;
	_Atomic bool is_taking;
	struct err picture_err;          /* of the last one that failed */
	struct {
		struct work work;
		bool is_out, is_again;
	} clearing;                      /* of what was pruned */

	/* links.c */
	struct net *net;                 /* NULL: alone */
	struct known known;
	struct doubt doubt;
	struct link *links[PEERS_MAX];
	size_t n_links;
	struct buf out;                  /* a message being encoded */
	struct arena *arena;             /* one being decoded */
	uint64_t tick_ms;                /* when peers are looked at again */

	/* former.c */
	struct former *former;           /* NULL: it had a cluster at its start */
	uint64_t stranger_ms;            /* when one was told of */

	/* courier.c */
	struct rpc *rpc;
	struct method methods[RC_METHODS_MAX + 1];
	struct list held, sent, local;   /* struct call */
	unsigned n_held, n_local;
	uint64_t serial;

	/* readers.c */
	struct list reads, awaits;
	bool reads_came;                 /* the core has some, and is to ask */
	bool reads_again;                /* one is to be asked again */
	uint64_t reads_due_ms;
	uint64_t awaits_least;           /* no await is for less */

	/* shipper.c */
	struct ship *ship;               /* NULL: alone, or no workers */
	struct list outgoing;
	_Atomic uint64_t held_index[4];  /* checkpoints that are sent */
	struct ship_job *jobs;           /* that found no worker */
	char *incoming_dir, *tree_dir;
	struct incoming incoming;
	struct filer filer;
};

/* ---- node.c ---- */

uint64_t node_now(const struct rc_node *n);
/* The core was called: at the end of the turn is published what came of it. */
void node_touch(struct rc_node *n);
bool node_has_ended(const struct rc_node *n);
/* A worker has come home; false: the node has ended. */
bool node_work_home(struct rc_node *n);
/* Ends the loop where it has ended and nothing is out any more. */
void node_may_end(struct rc_node *n);

/* The core has a cluster now: log and transport follow, and it starts. */
void node_formed(struct rc_node *n);
void node_free_members(struct rc_node *n);

/* ---- former.c ---- */

/* Begins, where there is a cluster to be formed or found. */
void former_open(struct rc_node *n);
void former_timeout(struct rc_node *n);
uint64_t former_deadline(const struct rc_node *n);
bool former_is_active(const struct rc_node *n);
void former_free(struct rc_node *n);
void former_on_ask(void *node, uint64_t from, const struct uuid *incarnation,
		   struct buf *answer);

/* ---- propose.c ---- */

void inbox_init(struct inbox *inbox);
void inbox_take(struct rc_node *n);
/* Nothing is taken any more. */
void inbox_close(struct rc_node *n);
/* What is left there, at the end. */
void inbox_refuse(struct rc_node *n);
void host_refuse(void *host, struct rc_proposal *p, enum code rc,
		 const char *text);

/* ---- machine.c ---- */

void host_role(void *host, bool is_leader, uint64_t leader, uint64_t term);
void host_fatal(void *host, const struct err *err);
void host_diverged(void *host, enum rc_divergence what, uint64_t index,
		   uint64_t peer);
void host_apply(void *host, const struct rc_entry *entries, size_t n,
		bool makes_ready, bool wants_digest);
/* The machine is closed and opened from the checkpoint that was installed (rc
 * OK), and the core told; any thread. */
void machine_reopen(struct rc_node *n, enum code rc);
/* At the end, on the apply loop's thread. */
void machine_close(struct rc_node *n);

/* ---- events.c: nothing is done where nobody listens ---- */

void event_tell(struct rc_node *n, enum rc_event_type type, uint64_t index,
		uint64_t peer, const struct err *err);
void event_members(struct rc_node *n, uint64_t index,
		   const struct engine_member *members, size_t count);

/* ---- log.c ---- */

void log_turn(struct turn *turn);
/* For writer_config. */
void log_written(void *node, uint64_t sequence);
void log_failed(void *node, enum code rc, const struct err *err);
void log_trouble(void *node, const struct err *err);
void host_append(void *host, struct append *append);
void host_load(void *host, uint64_t from, uint64_t to);
void host_cut(void *host, uint64_t index);

/* ---- picture.c ---- */

struct checkpointer *picture_new(struct rc_node *n);
void host_checkpoint(void *host, const struct checkpoint *c);

/* ---- links.c ---- */

enum code links_open(struct rc_node *n, struct err *err) MUST_USE;
/* Peers are those of the membership; writes to who waits for room. */
void links_turn(struct rc_node *n, bool is_touched);
uint64_t links_deadline(const struct rc_node *n);
struct link *link_of(const struct rc_node *n, uint64_t id);
void links_stop(struct rc_node *n);
void links_free(struct rc_node *n);
void host_send(void *host, uint64_t peer, const struct engine_message *m);
size_t host_room(void *host, uint64_t peer);
void host_members(void *host, uint64_t index, struct str conf);

/* ---- courier.c ---- */

void courier_open(struct rc_node *n);
/* Sends what waited for a leader or a connection. */
void courier_turn(struct rc_node *n);
void courier_timeout(struct rc_node *n);
uint64_t courier_deadline(const struct rc_node *n);
/* Ends all calls. */
void courier_stop(struct rc_node *n);

/* ---- shipper.c ---- */

/* Before the loops run; blocking. */
enum code shipper_open(struct rc_node *n, struct err *err) MUST_USE;
void shipper_timeout(struct rc_node *n);
uint64_t shipper_deadline(const struct rc_node *n);
/* A checkpoint has come and older ones went. */
void shipper_pruned(struct rc_node *n, uint64_t kept_index);
void shipper_peer_gone(struct rc_node *n, uint64_t peer);
void shipper_stop(struct rc_node *n);
void shipper_free(struct rc_node *n);
void host_ship(void *host, uint64_t peer, const struct checkpoint *c);
void host_install(void *host, const struct checkpoint *c, const char *path);
void host_install_done(void *host, enum code rc);

/* ---- readers.c ---- */

void readers_turn(struct rc_node *n);
/* Somebody waits for what is applied. */
bool readers_hurry(const struct rc_node *n);
void readers_timeout(struct rc_node *n);
void readers_stop(struct rc_node *n);

/* ---- members.c ---- */

void members_publish(struct rc_node *n);

#endif
