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
 *	full	the step answers E_FULL
 *	off	nothing again
 *	@N	only from the Nth pass from now on (default 1)
 *	*N	only for N passes (default: all from there on); behind @N
 *
 * Two kinds of rows: steps (`wal.write`: what a part is about to do), and calls of
 * the machine (`file.sync`, `memory.alloc`: whoever makes them).  With `error@N*1`
 * on a call, for N = 1, 2, 3 ... until a run makes fewer than N passes, each
 * one of them fails once (failpoint_nth).
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
/* From now on the n-th pass alone answers 'code', E_IO or E_FULL; n = 0: none.
 * It was reached if failpoint_passes has grown by n since. */
void failpoint_nth(enum failpoint fp, uint64_t n, enum code code);
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
