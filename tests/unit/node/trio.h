/*
 * Engines with a log in memory, which is durable at once, and FIFO links
 * between them.  Each message goes through its wire form.
 */
#ifndef TESTS_NODE_TRIO_H
#define TESTS_NODE_TRIO_H

#include "node/engine.h"
#include "unit.h"

#define TRIO_MAX 4
#define TRIO_LOG 50000

struct peer {
	struct engine *e;                /* NULL: not running */
	uint64_t id, term, voted_for;
	struct engine_entry log[TRIO_LOG];       /* log[i] is entry i */
	uint64_t first, last;            /* first: what the log begins with */
	uint64_t commit;
	bool is_leader;
	uint64_t leader;
	bool is_cut_off;                 /* its messages get lost */
	uint64_t conf_applied;
	unsigned installs;
	/* Appends that did not fit its log, one behind the other; and most of these. */
	unsigned refusals, refusals_most;
};

extern struct peer trio[TRIO_MAX];       /* [0] is server 1 */
extern uint64_t trio_now;
extern struct arena *trio_arena;
extern struct err trio_err;

/* Fixtures. */
void trio_setup(void);
void trio_teardown(void);

/* Entry 1 of servers 1 to 'n', all voters, in each log. */
void trio_bootstrap(unsigned n);
/* One more entry in the log of a server that does not run yet. */
void trio_put(unsigned server, uint64_t term);
/* Its log before 'index' is a snapshot, with what is left. */
void trio_snapshot(unsigned server, uint64_t index, uint64_t term,
		   bool keeps_log);
void trio_start(unsigned server, uint64_t term);
/* Delivers until nothing is under way. */
void trio_settle(void);
/* Lets 'ms' pass, with timeouts and messages. */
void trio_pass(uint64_t ms);
/* Until one leads that all who are connected follow; false after 20 s. */
bool trio_elect(void);
struct peer *trio_leader(void);          /* NULL: none */
/* Submits 'n' commands at the leader. */
enum code trio_submit(struct peer *p, unsigned n);
/* Submits a change of membership. */
enum code trio_change(struct peer *p, enum engine_change change, uint64_t id,
		      bool force);
/* Feeds a message as if it came from 'from', and all its steps. */
void trio_feed(unsigned server, unsigned from, struct engine_message m);
/* Handles an update of 'p': what 'm' brought, or was submitted. */
void trio_handle(struct peer *p, const struct engine_update *u,
		 const struct engine_message *m);
/* Last message of that type that 'server' wanted to send, or NULL. */
const struct engine_message *trio_sent(unsigned server,
				       enum engine_message_type type);

#endif
