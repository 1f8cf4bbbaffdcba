/*
 * For tests with several nodes in one process: libraft formats what it might trace
 * into a buffer that all of a process share, and nobody reads.  Include it once a
 * program.
 */
#ifndef TESTS_TSAN_H
#define TESTS_TSAN_H

#ifdef __SANITIZE_THREAD__
/* Everything is slow there. */
#define ELECTION_MS 2000
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:libraft.so\n";
}
#else
#define ELECTION_MS 500
#endif

#endif
