/*
 * Stores as the daemon has them, some in one process, connected over loopback.
 * Number 1 may be a node of straw instead: it leads, its calls are answered by
 * the test, and what is applied there nobody looks at.
 */
#ifndef TESTS_STORE_LAB_H
#define TESTS_STORE_LAB_H

#include <pthread.h>
#include <stdatomic.h>

#include "raftcore/raftcore.h"
#include "state/state.h"
#include "store/store.h"
#include "unit.h"

#define LAB_MAX 3

struct lab_node {
	uint64_t id;
	char dir[80], address[32];
	struct store *store;             /* NULL: it does not run */
	_Atomic int64_t clock_ms;        /* its clock is so far ahead of ours */
};

extern struct lab_node lab[LAB_MAX];     /* [0] is node 1 */
extern struct arena *lab_arena;
/* Of stores that are started. */
extern unsigned lab_hold_ms, lab_gather_ms, lab_election_ms;
extern bool lab_may_fail;                /* that a node does fails no test */
extern uint64_t lab_knows;               /* cluster version that they know */
extern struct limits lab_limits;         /* zeros: what is in force */

/* Fixtures. */
void lab_setup(void);
void lab_teardown(void);

/* Those that are started from now on elect nobody else where the machine does nothing
 * for some seconds, and their writes wait for whom they elect. */
void lab_steady(void);

/* Starts node 'id' of a cluster of 1 to 'n'. */
void lab_start(unsigned id, unsigned n);
void lab_stop(unsigned id);
/* Node 1, without others and without an address. */
void lab_start_alone(void);
/* Starts 1 to 'n' and waits until all know who leads; answers who. */
unsigned lab_found(unsigned n);
/* Somebody that runs and is not 'id'. */
unsigned lab_other(unsigned id);

/* What others do is told by nobody, so it looks again each 2 ms; fails the test
 * after 30 s. */
void lab_pause(void);
#define LAB_WAIT(cond)                                                        \
	do {                                                                  \
		uint64_t until_ = uv_hrtime() + 30000000000u;                 \
		while (!(cond)) {                                             \
			ck_assert_msg(uv_hrtime() < until_, "in vain: " #cond);\
			lab_pause();                                          \
		}                                                             \
	} while (0)

struct store_status lab_status(unsigned id);

/* ---- writes ---- */

/* One write and its outcome, without the results. */
struct lab_write {
	struct store_write write;
	struct outcome outcome;
	uint64_t done_ns;
	_Atomic bool is_done;
};

/* A command of root that puts tenant 'name'; with a key where 'key' is not 0. */
struct command *lab_put(const char *name, uint64_t key);
struct str lab_encode(const struct command *c);
void lab_submit(struct lab_write *w, unsigned at, struct str bytes);
/* Waits for its outcome. */
const struct outcome *lab_done(struct lab_write *w);
const struct outcome *lab_write(struct lab_write *w, unsigned at,
				struct str bytes);

/* The core loop of node 'at' does nothing from lab_hold to lab_let_go: what is
 * submitted meanwhile waits for it together. */
void lab_hold(unsigned at);
void lab_let_go(void);

/* ---- a node of straw ---- */

/* Called on its loop for each call of a method that it has. */
typedef void lab_handler(unsigned method, const struct rc_request *request);

/* Number 1 leads, of straw, and has the methods of which the bits are set; the
 * store of number 2 is its learner and knows that it leads. */
void lab_straw(uint32_t methods, lab_handler *handle);
extern struct rc_node *lab_straw_node;
/* The calls that came, each by the digit of its method: "441". */
const char *lab_straw_calls(void);

#endif
