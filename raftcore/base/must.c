/*
 * The end of a process that broke its own rules: the expression, a backtrace,
 * SIGABRT.  Writes straight to the descriptor, for the heap and the log may be
 * what is broken.
 */
#include "base/must.h"

#include <execinfo.h>
#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

#define DEPTH_MAX 64

void must_failed(const char *expr, const char *file, int line,
		 const char *func)
{
	void *frames[DEPTH_MAX];
	int n;

	dprintf(STDERR_FILENO, "%s:%d: %s: must(%s) failed\n", file, line,
		func, expr);
	n = backtrace(frames, DEPTH_MAX);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	abort();
}
