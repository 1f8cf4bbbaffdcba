/*
 * What a unit test file needs beside Check: its main().
 *
 *	static Suite *
 *	suite(void)
 *	{
 *		Suite *s = suite_create("wal/segment");
 *		...
 *		return s;
 *	}
 *	UNIT_MAIN(suite)
 *
 * Each test case runs in a child of its own; CK_FORK=no (for a debugger),
 * CK_RUN_CASE and CK_TIMEOUT_MULTIPLIER work as Check documents them.  The last
 * line is Check's own ("100%: Checks: 12, Failures: 0, Errors: 0"), which the
 * runner counts.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(suite_fn) UNIT_MAIN_AS(, main, suite_fn)
#define UNIT_MAIN_AS(linkage, name, suite_fn)                                  \
	linkage int name(void)                                                 \
	{                                                                      \
		SRunner *sr_ = srunner_create(suite_fn());                     \
		int failed_;                                                   \
									       \
		srunner_run_all(sr_, CK_NORMAL);                               \
		failed_ = srunner_ntests_failed(sr_);                          \
		srunner_free(sr_);                                             \
		return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;                  \
	}

#endif
