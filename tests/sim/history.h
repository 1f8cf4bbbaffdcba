/*
 * What a history of a world (world.h) is made of: faults that overlap for some
 * seconds, then calm, in which somebody has to lead within bounded time, commands
 * and reads have to go through, and all members have to stand alike.
 */
#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include "world.h"

/* Changes of the membership at random; not while an operator is at it. */
extern bool history_changes;

struct server *any_server(void);
/* Mostly who leads. */
struct server *some_leader(void);

/* Faults for so long; 'act' is what clients do, each few milliseconds. */
void history_run(uint64_t ms, void (*act)(void));
/* No more faults, and all are up. */
void history_calm(void);
/* Whether a majority is left without it, by what any server goes by; all are up. */
bool history_can_do_without(const struct server *s);
/* A majority goes on without one server, whichever. */
void history_do_without_one(void);
/* Waits until all is well and all members stand alike, and checks that nothing
 * was lost. */
void history_end(void);

#define HISTORY_FAULTS 12                /* kinds of them, at most */
/* Over all histories: counters alone. */
extern struct totals {
	unsigned long long histories, failed, ms, acked, reads, refused, uncertain,
		crashes, messages, checkpoints, installs, damaged, votes_damaged,
		changes, transfers, steps, rotten, replaced, faults[HISTORY_FAULTS];
} total;
/* Adds what is in the world. */
void history_count(void);
void history_print(void);

#endif
