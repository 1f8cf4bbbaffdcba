/*
 * The n-th call of a program fails (tests/tools/calls.h): preloaded, with what shall
 * fail in the file $CALLS_CONTROL (tests/tools/calls.py writes it), which is mapped, so
 * that a change is in force at once.
 */
#include "calls.h"

#include <sys/mman.h>

#include "base/banned.h"

static __attribute__((constructor)) void begin(void)
{
	const char *path = getenv("CALLS_CONTROL");
	int fd = path ? CALLS_REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*calls_at), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  0);
	close(fd);
	if (at != MAP_FAILED)
		calls_at = at;
}
