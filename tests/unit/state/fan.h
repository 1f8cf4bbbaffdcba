/*
 * What the tests of the hub share: followers that write down what they are told.
 */
#ifndef TEST_STATE_FAN_H
#define TEST_STATE_FAN_H

#include "bench.h"
#include "state/hub.h"

extern struct bench b;
extern struct hub *hub;

/* A follower, and what it was told: "key@rev=version", "." where a command ends. */
struct fan {
	struct feed feed;
	struct buf told;
	unsigned enough;                 /* changes, then it is stalled */
	bool is_gone, removes_itself;
	struct fan *removes;             /* when it is told something */
	unsigned flushes;
};

/* Of a cluster of the newest version; of the first one. */
void fan_setup(void);
void fan_setup_old(void);
void fan_teardown(void);
void be_version(uint64_t v);

bool fan_on_change(struct feed *f, const struct feed_change *c);
void fan_on_gone(struct feed *f, const struct err *err);
/* It follows 'key' (NULL: none), 'prefix' (NULL: none) with the label zone. */
void add(struct fan *x, const char *key, const char *prefix, const char *zone,
	 uint64_t cursor);
void drop(struct fan *x);
/* A turn; true: there is more. */
bool run(void);
/* All turns; what it was told in them. */
const char *told(struct fan *x);

/* tenant/shop/prod/name, and its next version, which is live. */
struct op *config(struct command *c, const char *tenant, const char *name);
void release(struct command *c, const char *tenant, const char *name,
	     const char *content);
/* The revision; it must not be refused. */
uint64_t apply(struct command *c);
/* a and b, with the contents "0" to "3". */
void tenants(void);

#endif
