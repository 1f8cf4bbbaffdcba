/* What a broken guarantee prints before the process ends. */
#include "base/must.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

void must_failed(const char *expr, const char *file, int line, const char *func)
{
	void *frames[32];
	char text[512];
	int n = snprintf(text, sizeof(text), "%s:%d: %s: must(%s) failed\n",
			 file, line, func, expr);

	if (n > 0 && write(STDERR_FILENO, text,
			   MIN((size_t)n, sizeof(text) - 1)) >= 0)
		backtrace_symbols_fd(frames, backtrace(frames, 32),
				     STDERR_FILENO);
	abort();
}
