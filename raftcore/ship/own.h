/*
 * What ship.c, out.c and in.c share: peers and what waits for them, transfers of
 * both directions, work.  Nobody else's.
 */
#ifndef SHIP_OWN_H
#define SHIP_OWN_H

#include "base/fsm.h"
#include "base/list.h"
#include "ship/frame.h"
#include "ship/store.h"
#include "ship/tree.h"

#define TRANSFERS_MAX 16u
#define ASKS_MAX (SHIP_WINDOW_MAX + 2)   /* of one transfer, at its sender */
#define TRIES_MAX 3u                     /* pieces in a row that do not verify */

struct peer {
	uint64_t id;
	bool is_up, is_blocked;
	struct list queue;               /* small frames that wait */
	size_t queue_bytes;
	bool has_flooded;                /* more waits than may */
	uint64_t last_offer;             /* number of its newest */
};

struct out;
struct in;

struct ship {
	struct ship_config config;
	struct peer *peers[SHIP_PEERS_MAX];
	unsigned n_peers;
	struct out *out[TRANSFERS_MAX];
	struct in *in[TRANSFERS_MAX];
	uint64_t now_ms, last_number;
	unsigned turn;                   /* which transfer sends first */
	bool is_stopped;
	int64_t credit;                  /* thousandths of bytes */
	uint64_t credit_ms;
	bool waits_for_rate;
	struct ship_view seen;
	struct buf scratch;
	struct ship_job clear;           /* reads clear_keep while it is out */
	bool is_clearing;
	struct buf clear_keep;           /* ids, each ended by NUL */
};

/* ---- ship.c ---- */

struct peer *peer_find_up(const struct ship *s, uint64_t id);
/* Sends a small frame, or lets it wait. */
void peer_post(struct ship *s, struct peer *p, const struct ship_frame *f);
/* Ends transfer 'number', which it sends. */
void peer_refuse(struct ship *s, struct peer *p, uint64_t number,
		 const struct err *err);
/* Sends a large one, behind those that wait; false: not now. */
bool peer_send(struct ship *s, struct peer *p, struct str frame);
/* Has the host run 'job'. */
void ship_work(struct ship *s, struct ship_job *job,
	       void (*run)(struct ship_job *), void (*done)(struct ship_job *));
/* Counted memory. */
void *block_take(struct ship *s, size_t n);
void block_give(struct ship *s, void *p, size_t n);
bool may_retry(enum code rc);
/* Whether the rate lets a chunk leave; and takes it into account. */
bool rate_allows(struct ship *s);
void rate_spend(struct ship *s, size_t bytes);

/* ---- out.c ---- */

enum code out_new(struct ship *s, uint64_t peer, const struct ship_file *file,
		  struct err *err);
void out_free(struct out **o);
/* Goes on as far as it can. */
void out_go(struct out *o);
void out_peer_down(struct out *o, uint64_t peer);
enum code out_receive(struct ship *s, struct peer *p, const struct ship_frame *f,
		      struct err *err);
struct out *out_find(const struct ship *s, uint64_t peer, struct str id);
void out_end(struct out *o, enum code rc, const struct err *err);
uint64_t out_deadline(const struct out *o);
size_t out_memory_max(const struct ship_config *c);

/* ---- in.c ---- */

enum code in_receive(struct ship *s, struct peer *p, const struct ship_frame *f,
		     struct err *err);
void in_free(struct in **in);
/* Lets go of those without a sender, but of 'but'; the ids of the others are put
 * behind each other into 'kept', each ended by NUL. */
void in_clear(struct ship *s, struct str but, struct buf *kept);
void in_go(struct in *in);
void in_peer_down(struct in *in, uint64_t peer);
uint64_t in_deadline(const struct in *in);
void in_timeout(struct in *in);
size_t in_memory_max(const struct ship_config *c);

#endif
