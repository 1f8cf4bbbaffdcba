/*
 * Watchers of one loop over a store, and the loop, which the test turns.
 */
#ifndef TESTS_API_WATCH_LAB_H
#define TESTS_API_WATCH_LAB_H

#include "api/own.h"
#include "base/clock.h"
#include "unit.h"

#define HEARTBEAT_MS 200
/* Of one subject. */
#define WATCHES_MAX 40000

extern struct api api;
extern struct api_loop at;
extern struct arena *arena;

/* A store that leads, with the tenant acme; and a loop that follows it. */
void lab_setup(void);
void lab_teardown(void);

/* A command of root's, and an operation of it. */
struct command *command(enum command_type type);
struct op *op_of(struct command *c, enum op_type type, enum kind_id kind,
		 const char *tenant, const char *name);
/* What came of it, which submit wants to be OK. */
struct outcome try_submit(const struct command *c);
void submit(const struct command *c);

void pause_ms(unsigned ms);
/* Until it is so, for 25 s. */
#define TURN_UNTIL(cond)                                                      \
	do {                                                                  \
		uint64_t until_ = clock_mono_ms() + 25000;                    \
		while (!(cond)) {                                             \
			ck_assert_msg(clock_mono_ms() < until_,               \
				      "in vain: " #cond);                     \
			loop_run_once(at.loop);                               \
			pause_ms(1);                                          \
		}                                                             \
	} while (0)

#endif
