/*
 * The disk's own rate: 4 KiB writes, one after another, each durable.
 *
 *	disk FOLDER SECONDS
 *
 * Into a file of 64 MiB that was written once before, with O_DIRECT|O_DSYNC, as
 * raftcore's log does.  Prints one line of JSON: writes a second, p50, p99 and
 * the longest in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define BLOCK 4096
#define BLOCKS 16384

static void die(const char *what)
{
	fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make_file(const char *folder, void *block)
{
	AUTO_BUF path = BUF_NONE;
	int fd;

	buf_printf(&path, "%s/disk-XXXXXX", folder);
	fd = mkstemp(path.p);
	if (fd < 0)
		die(path.p);
	for (unsigned i = 0; i < BLOCKS; i++)
		if (write(fd, block, BLOCK) != BLOCK)
			die("write");
	if (fsync(fd))
		die("fsync");
	close(fd);
	fd = open(path.p, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
	if (fd < 0)
		die("the file system does not take O_DIRECT");
	unlink(path.p);
	return fd;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	uint32_t *samples = NULL;
	size_t n = 0, cap = 0;
	uint64_t begin, now, end;
	void *block;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: disk FOLDER SECONDS\n");
		return 2;
	}
	must(posix_memalign(&block, BLOCK, BLOCK) == 0);
	memset(block, 'x', BLOCK);
	fd = make_file(argv[1], block);
	begin = now = clock_mono_ns();
	end = begin + (uint64_t)(atof(argv[2]) * 1e9);
	while (now < end) {
		uint64_t from = now;

		if (pwrite(fd, block, BLOCK, (off_t)(n % BLOCKS) * BLOCK) != BLOCK)
			die("write");
		now = clock_mono_ns();
		mem_grow((void **)&samples, &cap, n + 1, sizeof(*samples));
		samples[n++] = (uint32_t)((now - from) / 1000);
	}
	must(n);
	qsort(samples, n, sizeof(*samples), by_number);
	printf("{\"rate\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n",
	       (double)n / ((double)(now - begin) / 1e9), samples[n / 2],
	       samples[(n - 1) * 99 / 100], samples[n - 1]);
	free(samples);
	free(block);
	close(fd);
	return 0;
}
