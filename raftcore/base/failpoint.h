/*
 * Failpoints: named places at durable steps where a test build can crash,
 * fail or stop.  They cost nothing in release builds (no CONFLUX_FAILPOINTS).
 *
 * Set by the environment, read at the first pass, or by failpoint_set():
 *
 *	CONFLUX_FAILPOINTS="name=crash@5,name2=error*3,name3=stop"
 *
 *	crash	SIGKILL to the process
 *	stop	SIGSTOP to the process; it goes on with SIGCONT
 *	error	the step answers E_IO
 *	off	nothing again
 *	@N	only from the Nth pass from now on (default 1)
 *	*N	only for N passes (default: all from there on); behind @N
 *
 * A specification that is wrong ends the process: a test that misspells its
 * failpoint must not pass.  Every name is a row of failpoints.tbl:
 * FAILPOINT_ROW(ident, "part.step", "what stands here").  Any thread.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include "base/err.h"

enum failpoint {
#define FAILPOINT_ROW(ident, name, text) FP_##ident,
#include "base/failpoints.tbl"
#undef FAILPOINT_ROW
	FP__COUNT
};

#ifdef CONFLUX_FAILPOINTS
/* OK to go on, else the error that the step shall answer. */
enum code failpoint_hit(enum failpoint fp, struct err *err);
/* Simulator: called at each pass instead; a non-OK answer is the outcome. */
typedef enum code failpoint_hook(void *data, enum failpoint fp);
void failpoint_set_hook(failpoint_hook *hook, void *data);
enum code failpoint_set(const char *spec, struct err *err);
uint64_t failpoint_passes(enum failpoint fp);
#else
static inline enum code failpoint_hit(enum failpoint fp, struct err *err)
{
	(void)fp;
	(void)err;
	return OK;
}
#endif
const char *failpoint_name(enum failpoint fp);

#endif
