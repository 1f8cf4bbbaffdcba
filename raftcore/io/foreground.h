/*
 * Threads that must not wait behind others for a processor: those of heartbeats and
 * of the durable log, beside which a machine applies and clients are served.
 */
#ifndef IO_FOREGROUND_H
#define IO_FOREGROUND_H

/*
 * The calling thread asks to run soon after it wakes, for short: a time slice of
 * 0.1 ms, which Linux grants to anybody from 6.12 on (its scheduler then gives an
 * earlier deadline, and no more time in sum), and nice -10 where that is permitted
 * (root, CAP_SYS_NICE, LimitNICE=).  What is not granted is left as it is.
 */
void thread_foreground(void);

#endif
