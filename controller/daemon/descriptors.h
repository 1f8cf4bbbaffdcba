/*
 * Descriptors of the process: clients must not take those that the log, the store
 * and the other nodes need, as a log that cannot open its next file ends the node.
 */
#ifndef DAEMON_DESCRIPTORS_H
#define DAEMON_DESCRIPTORS_H

#include <stdbool.h>

/*
 * How many connections each of 'loops' loops may have, at most 'wanted': so many that
 * DESCRIPTORS_KEPT are left.  The soft limit is raised as far as that needs and the
 * hard one allows; where it does not allow it, that is logged: as a warning where so
 * many were asked for, and where few are left.
 */
unsigned descriptors_for(unsigned wanted, bool is_asked_for, unsigned loops);

#define DESCRIPTORS_KEPT 256u

#endif
