/*
 * Nodes as a program has them, with threads, files and connections over
 * loopback, some in one process.  Each has a machine in memory that checkpoints
 * know: which values were applied, and in which order.
 */
#ifndef TESTS_NODE_RING_H
#define TESTS_NODE_RING_H

#include <pthread.h>
#include <stdatomic.h>

#include "io/pool.h"
#include "net/net.h"
#include "raftcore/raftcore.h"
#include "unit.h"

#define RING_MAX 4
#define RING_VALUES 40000

/* What a picture begins with. */
struct ring_state {
	uint64_t index, term, count, sum;
	uint8_t seen[RING_VALUES / 8];
};

struct ring_node {
	uint64_t id;
	char dir[80], address[32];
	struct loop *apply;              /* NULL: it does not run */
	struct rc_node *node;
	struct rc_config config;
	struct ring_state state;         /* under the lock */
	unsigned opened_from_picture;
	_Atomic bool is_bent;            /* values have another effect here */
	_Atomic enum rc_divergence told; /* on_divergence */
};

extern struct ring_node ring[RING_MAX];  /* [0] is node 1 */
extern struct pool *ring_pool;
extern const struct net_tls *ring_tls[RING_MAX];
/* What each node is told when it starts: the members are 1 to ring_founders. */
extern unsigned ring_founders;
extern struct rc_config ring_config;     /* sizes and times of all */
/* The cluster that later members join: that of the node that was started last. */
extern struct uuid ring_cluster;
/* As of rc_config of those that are started; 'data' is the struct ring_node. */
extern void (*ring_on_event)(void *data, const struct rc_event *event);
/* Bytes of a picture beside the state; 700,000 if nothing is said. */
extern _Atomic uint64_t ring_filler;
/* Told where a node copies its state, in a worker. */
extern void (*ring_on_copy)(struct ring_node *r, bool begins);
/* Called before a node starts. */
extern void (*ring_prepare)(struct ring_node *r);

/* The machine of this node has no room; 0: of none. */
extern _Atomic unsigned ring_full;
/* How often one was to be opened so. */
extern _Atomic unsigned ring_full_opens;

/* Fixtures. */
void ring_setup(void);
void ring_teardown(void);

void ring_start(unsigned id);
enum code ring_try_start(unsigned id, struct err *err);
/* As one that is ended in order. */
void ring_stop(unsigned id);
/* Starts 1 to 'n', which found a cluster, and waits until all know who leads. */
void ring_found(unsigned n);

/* All that is waited for is told by a change of some state: on one condition. */
extern pthread_mutex_t ring_lock;
void ring_changed(void);
/* Waits until it holds, and looks again at each change and each 5 ms (what
 * others do is told by nobody); fails the test after 30 s. */
void ring_pause(void);
#define RING_WAIT(cond)                                                       \
	do {                                                                  \
		uint64_t until_ = uv_hrtime() + 30000000000u;                 \
		while (!(cond)) {                                             \
			ck_assert_msg(uv_hrtime() < until_, "in vain: " #cond);\
			ring_pause();                                         \
		}                                                             \
	} while (0)

/* Id of the one that all who run say leads; 0: they do not agree. */
unsigned ring_leader(void);
/* Waits for it. */
unsigned ring_elected(void);
struct rc_status ring_status(unsigned id);
/* Node 'at' says that messages go to 'id'. */
bool ring_is_up(unsigned at, unsigned id);
uint64_t ring_count(unsigned id);
/* The entry that its machine saw last. */
uint64_t ring_index(unsigned id);
bool ring_has(unsigned id, uint64_t value);
/* All who run have applied the same, and 'count' values at least. */
bool ring_equal(uint64_t count);

/* Proposes the value at a node and waits for its outcome; OK: applied there. */
enum code ring_put(unsigned id, uint64_t value, struct err *err);
/* 'n' values from 'first' on, of 'bytes' each, many at once; all are applied. */
void ring_fill(unsigned id, uint64_t first, unsigned n, size_t bytes);

/* ---- calls ---- */

/* One call and its outcome. */
struct ring_call {
	struct rc_call call;
	bool is_done;
	enum code rc;
	char answer[64];
	struct err err;
};
void ring_call(struct ring_call *c, unsigned at, uint64_t peer, unsigned method,
	       const char *body, uint32_t timeout_ms);
/* Waits for its outcome. */
enum code ring_answered(struct ring_call *c);

enum code ring_change(unsigned at, enum rc_change_type type, unsigned id,
		      struct err *err);
/* Also where fewer than three vote then. */
enum code ring_force_remove(unsigned at, unsigned id, struct err *err);
enum code ring_transfer(unsigned at, unsigned id, struct err *err);

/* A linearizable read; '*count' is what the machine had applied when it was
 * done. */
enum code ring_read(unsigned at, uint32_t timeout_ms, uint64_t *count);

/* Waits there until so much is applied. */
struct ring_await {
	struct rc_await await;
	unsigned at;
	bool is_done;
	enum code rc;
	uint64_t count;                  /* likewise */
};
void ring_await(struct ring_await *a, unsigned at, uint64_t index,
		uint32_t timeout_ms);
enum code ring_awaited(struct ring_await *a);

/* ---- certificates ---- */

/* A certificate and its key for node 'id' by CA 'ca' (1 or 2), made here. */
const struct net_tls *ring_cert(unsigned ca, unsigned id);

#endif
