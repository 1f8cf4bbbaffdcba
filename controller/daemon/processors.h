/*
 * How many processors this process may use.
 */
#ifndef DAEMON_PROCESSORS_H
#define DAEMON_PROCESSORS_H

/*
 * The least of what the scheduler lets it run on (affinity, which cpusets set)
 * and of what its control groups pay for (cpu.max of version 2, the CFS quota of
 * version 1), rounded up; at least 1.  'root' is where /proc and /sys are: "/".
 */
unsigned processors_usable(const char *root);

#endif
