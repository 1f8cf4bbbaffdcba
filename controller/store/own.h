/* What the files of the store share. */
#ifndef STORE_OWN_H
#define STORE_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "io/timer.h"
#include "state/state.h"
#include "store/clocks.h"
#include "store/denials.h"
#include "store/calls.h"
#include "store/store.h"

#define PART "store"
#define STORE_MEMBERS_MAX 64

struct clocks {
	enum clocks_say say;
	bool is_asking;                  /* a round decides whether it leads */
	bool is_handing;
	uint64_t round, next_ms, complain_ms;
	int64_t apart_ms;                /* wall clock and monotonic one, at the
					    last round */
	struct rc_transfer transfer;
};

struct store_member {
	uint64_t id;
	bool votes;
};

struct store {
	struct store_config config;
	struct loop *core;
	struct state *state;
	struct rc_node *node;
	struct pool *pool;               /* checkpoints */
	struct map *pending;             /* proposal id -> struct ticket */
	struct list followers, roles, outboxes, gates;   /* core loop */
	uint64_t outbox_changes, gate_changes, window_changes, source_changes;
	struct timer tick;
	bool is_open, has_tick, tick_in_flight;
	struct store_write tick_write, limits_write;
	bool limits_in_flight;
	struct msg start_msg, stop_msg;
	struct buf tick_bytes, limits_bytes;
	struct denials *denials;
	struct versions_round *versions; /* that is under way; core loop */
	uint64_t versions_at_ms;         /* the next one, not before */
	struct clocks clocks;            /* where it leads; core loop */
	_Atomic int64_t clock_offset_ms; /* the median, as of the last round */
	uint64_t knows;
	/* changes.c; core loop */
	struct list changes;             /* that are under way */
	struct store_member members[STORE_MEMBERS_MAX];  /* in force here */
	size_t n_members;
	uint64_t members_index;          /* of their entry; 0: none is known */
	bool is_finding;
	struct buf note;                 /* initialize.c: a command; empty: none */
	struct store_write note_write;
	bool is_noting;
	_Atomic uint64_t version_rounds;
	/* Tickets that wait for a leader, and whoever waits for a revision (struct
	 * store_await); core loop. */
	struct list waiting, awaiting, asks;    /* asks: struct store_ask */
	size_t n_waiting;                /* for a leader, at most WAITING_MAX */
	struct timer retry;
	/* Tickets on their way to the leader (forward.c); core loop. */
	struct list outgoing;
	size_t n_outgoing;
	unsigned calls_open;
	struct msg send_msg;
	bool send_is_posted;
	uint64_t sends_singly;           /* a leader that knows no batches */
	uint64_t leader;                 /* 0: none is known */
	uint64_t led_last;               /* the last one that was known */
	_Atomic uint64_t rev, compacted, bytes, audit_seq, time_ms, version;
	_Atomic uint64_t token_changes, rollout_changes;
	_Atomic uint64_t done, refused, uncertain, forwarded, forward_calls;
	_Atomic uint64_t forward_failed, leader_changes, member_changes;
	_Atomic bool takes_backup;       /* what is written is refused */
	_Atomic bool is_leader, has_failed, is_fenced, is_stopping;
	pthread_mutex_t failure_lock;
	char failure[200];
	/* Workers that wait for an outcome (store_submit_wait). */
	pthread_mutex_t waits_lock;
	pthread_cond_t waits_cond;
	uint64_t waits_end_ms;           /* of the monotonic clock; 0: never */
	struct list left_waiting;        /* those that did not get it */
};

/*
 * What waits for an outcome: a write, or one part of a staged one.  Core loop.
 *
 *	here (this node leads)  -> raftcore -> apply -> ticket_settle
 *	there (another leads)   -> a batch  -> its apply, and visible here
 *	waiting (nobody leads)  -> one of the two, or E_UNAVAILABLE
 */
struct ticket {
	struct list at_;
	struct rc_proposal proposal;
	struct store *store;
	struct store_write *write;
	struct str bytes;
	struct buf own;                  /* bytes of a part */
	uint64_t deadline_ms;            /* 0: it never waited */
	uint64_t send_by_ms;             /* outgoing: to the leader until then */
	bool may_have_happened;
	struct store_await await;        /* until it is visible here */
	struct outcome outcome;          /* meanwhile; own results */
};

/* tickets.c */
void tickets_init(struct store *s);
/* 'own' is taken over where it is not NULL. */
void ticket_start(struct store *s, struct store_write *w, struct str bytes,
		  struct buf *own);
void tickets_on_role(struct store *s);
/* What waits for a leader is tried now. */
void tickets_again(struct store *s);
void tickets_on_commit(struct store *s, uint64_t rev);
/* All that follow, and do not rest, are woken (follow.c). */
void followers_tell(struct store *s, uint64_t rev);
void tickets_on_outcome(struct store *s, uint64_t id, const struct outcome *o);
/* Whatever still waits is told that the node stops. */
void tickets_end(struct store *s);
/* What the node was handed, and stopped without a word: the core loop has ended. */
void tickets_forget(struct store *s);
/* Looks soon at what waits: each has its time. */
void tickets_arm(struct store *s);
/* Proposes it, sends it to the leader, or holds it. */
void ticket_try(struct ticket *t);
void ticket_end(struct ticket *t, enum code rc, const struct err *err);
/* It did not get through, or nobody knows: held, or told so. */
void ticket_lost(struct ticket *t, enum code rc, const struct err *err);
void ticket_give_up(struct ticket *t);
/* The leader's outcome, told when this node shows revision 'rev' and the
 * outcome's own. */
void ticket_catch_up(struct ticket *t, const struct outcome *o, uint64_t rev);

/* forward.c */
void forward_init(struct store *s);
/* Sends it to the leader, with others. */
void forward(struct ticket *t);
void forward_on_role(struct store *s);
/* Those that could not be sent in time are told so. */
void forward_expire(struct store *s, uint64_t now_ms);
void forward_end(struct store *s);
/* As calls from another node: one write, or a batch. */
void forward_serve_one(void *data, const struct rc_request *request);
void forward_serve_batch(void *data, const struct rc_request *request);

/* ask.c: questions to the leader */
/* Those whom a node refused that leads no more. */
void store_asks_again(struct store *s);
void store_asks_end(struct store *s);
/* As a call from another node. */
void store_asks_serve(void *data, const struct rc_request *request);

/* upkeep.c */
void upkeep_start(struct store *s);
/* A command of the system; one at a time (tick_in_flight). */
void send_own(struct store *s, const struct command *c);
/* Those of this node come into force where it leads and others are: as it begins to
 * lead, before what waited for that, and with each tick. */
void limits_go_on(struct store *s);
/* Writes what was denied last; blocks, for two seconds at most. */
void upkeep_farewell(struct store *s);

/* changes.c: changes of the membership, as the leader, with their audit */
/* As calls from another node, or this one: with who asks, and without. */
void change_serve(void *data, const struct rc_request *request);
void members_serve(void *data, const struct rc_request *request);
/* A membership is in force here; core loop. */
void changes_on_members(struct store *s, const struct rc_event *event);
/* Each second where this node leads: what came of changes whose leader was lost. */
void changes_tick(struct store *s);

/* initialize.c */
/* Before the loops run: a record that is still to be written. */
void initialize_open(struct store *s);
/* Each second. */
void initialize_tick(struct store *s);

/* versions.c */
/* Each second where this node leads. */
void versions_tick(struct store *s);
void versions_on_role(struct store *s, bool leads);
void versions_serve(void *data, const struct rc_request *request);

/* clocks.c: see clocks.h */
/* The time that this node stamps. */
uint64_t store_wall_ms(const struct store *s);
/* Before the tickets are told. */
void clocks_on_role(struct store *s, bool leads);
/* Each second where this node leads. */
void clocks_tick(struct store *s);
/* This node leads, and must not write (yet). */
bool clocks_hold(struct store *s);
void clocks_serve(void *data, const struct rc_request *request);

/* calls.c */
void calls_serve_fleet(void *data, const struct rc_request *request);

/* store.c */
void outcome_copy(struct outcome *to, const struct outcome *from);
/* Ends the ticket and goes on with its write. */
void ticket_settle(struct ticket *t, const struct outcome *o);
/* Submits on the core loop, as from home. */
void submit_on_core(struct store *s, struct store_write *w);

#endif
