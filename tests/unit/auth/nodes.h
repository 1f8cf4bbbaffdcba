/* One store, and folders of nodes beside it: they stand for nodes that have applied the
 * same log.  A fixture of Check, and what tests ask of it. */
#ifndef TESTS_AUTH_NODES_H
#define TESTS_AUTH_NODES_H

#include "auth/auth.h"

extern struct store *store;
extern struct arena *arena;
extern struct err err;
extern bool made;                        /* by the last `ensure` */

/* A store in the folder of node "a", and one of node "b". */
void nodes_setup(void);
void nodes_teardown(void);
/* The folder of a node; the arena's. */
const char *dir_of(const char *node);
/* root_token_ensure there; without a leader yet it is asked again, as the daemon does. */
enum code ensure(const char *node);

#endif
