/*
 * Sweeps over failures: for each call of the machine that is named, a run in
 * which the first one fails, a run in which the second one fails, and so on until
 * a run makes fewer.  Needs a build with failpoints (base/failpoint.h).
 *
 *	static void run(const struct nth *nth, void *data)
 *	{
 *		... without failures: what the run begins with
 *		nth_begin(nth);
 *		... what is tested; it copes with nth->code
 *		nth_end(nth);
 *		... without failures again: what must hold
 *	}
 *	runs = nth_sweep(nth_files, ARRAY_LEN(nth_files), E_IO, run, NULL);
 */
#ifndef TESTS_NTH_H
#define TESTS_NTH_H

#include "base/failpoint.h"

#ifdef CONFLUX_FAILPOINTS

struct nth {
	enum failpoint fp;
	enum code code;
	uint64_t n;                      /* which pass fails */
	uint64_t *before, *passed;       /* of the sweep */
};

static const enum failpoint nth_files[] __attribute__((unused)) = {
	FP_FILE_OPEN, FP_FILE_READ, FP_FILE_WRITE, FP_FILE_SYNC, FP_FILE_SHRINK,
	FP_FILE_SIZE, FP_FILE_RENAME, FP_FILE_REMOVE, FP_FILE_MAKE_DIR, FP_FILE_SYNC_DIR,
	FP_FILE_LIST,
};

/* Those that a full disk answers. */
static const enum failpoint nth_growing[] __attribute__((unused)) = {
	FP_FILE_OPEN, FP_FILE_WRITE, FP_FILE_SYNC, FP_FILE_RENAME,
	FP_FILE_MAKE_DIR, FP_FILE_SYNC_DIR,
};

static inline void nth_begin(const struct nth *nth)
{
	*nth->before = failpoint_passes(nth->fp);
	failpoint_nth(nth->fp, nth->n, nth->code);
}

static inline void nth_end(const struct nth *nth)
{
	*nth->passed = failpoint_passes(nth->fp) - *nth->before;
	failpoint_nth(nth->fp, 0, nth->code);
}

/* True from the moment of the failure on. */
static inline bool nth_has_failed(const struct nth *nth)
{
	return failpoint_passes(nth->fp) - *nth->before >= nth->n;
}

/* How many runs had a failure. */
static inline unsigned nth_sweep(const enum failpoint *fps, size_t n,
				 enum code code,
				 void (*run)(const struct nth *nth, void *data),
				 void *data)
{
	unsigned runs = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t before = 0, passed = 0;
		struct nth nth = { fps[i], code, 1, &before, &passed };

		for (;; nth.n++, runs++) {
			run(&nth, data);
			if (passed < nth.n)
				break;
		}
	}
	return runs;
}

#endif
#endif
