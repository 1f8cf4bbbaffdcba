/* What the files of the store share. */
#ifndef STORE_OWN_H
#define STORE_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "io/timer.h"
#include "state/state.h"
#include "store/denials.h"
#include "store/store.h"

#define PART "store"

struct store {
	struct store_config config;
	struct loop *core;
	struct state *state;
	struct rc_node *node;
	struct pool *pool;               /* checkpoints */
	struct map *pending;             /* proposal id -> struct ticket */
	struct list followers;           /* core loop */
	struct timer tick;
	bool has_tick, tick_in_flight;
	struct store_write tick_write;
	struct msg start_msg, stop_msg;
	struct buf tick_bytes;
	struct denials *denials;
	/* Tickets that wait for a leader, and whoever waits for a revision (struct
	 * store_await); core loop. */
	struct list waiting, awaiting;
	size_t n_waiting;                /* for a leader, at most WAITING_MAX */
	struct timer retry;
	uint64_t leader;                 /* 0: none is known */
	_Atomic uint64_t rev, compacted, bytes, audit_seq, time_ms;
	_Atomic uint64_t done, refused, uncertain, forwarded;
	_Atomic bool is_leader, has_failed, is_stopping;
	pthread_mutex_t failure_lock;
	char failure[200];
};

/*
 * What waits for an outcome: a write, or one part of a staged one.  Core loop.
 *
 *	here (this node leads)  -> raftcore -> apply -> ticket_settle
 *	there (another leads)   -> call     -> its apply, and visible here
 *	waiting (nobody leads)  -> one of the two, or E_UNAVAILABLE
 */
struct ticket {
	struct list at_;
	struct rc_proposal proposal;
	struct rc_call call;
	struct store *store;
	struct store_write *write;
	struct str bytes;
	struct buf own;                  /* bytes of a part */
	uint64_t deadline_ms;            /* 0: it never waited */
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
void tickets_on_commit(struct store *s, uint64_t rev);
void tickets_on_outcome(struct store *s, uint64_t id, const struct outcome *o);
/* Whatever still waits is told that the node stops. */
void tickets_end(struct store *s);
/* As a call from another node. */
void ticket_serve(void *data, const struct rc_request *request);

/* members.c */
void members_serve(void *data, const struct rc_request *request);

/* store.c */
void outcome_copy(struct outcome *to, const struct outcome *from);
/* Ends the ticket and goes on with its write. */
void ticket_settle(struct ticket *t, const struct outcome *o);
/* Submits on the core loop, as from home. */
void submit_on_core(struct store *s, struct store_write *w);

#endif
