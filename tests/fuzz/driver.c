/*
 * A main() for a fuzz target without libFuzzer: feeds it every file of a
 * corpus, and a bounded number of mutations of each.
 *
 *	target FOLDER|FILE ...
 *
 * The mutations come from a seed and the file's bytes alone, so that a run is
 * repeatable: FUZZ_MUTATIONS is how many a file gets (default 200), FUZZ_SEED
 * the seed (default 1).  When the target dies, the driver prints which file and
 * mutation it was fed, and writes the bytes to FUZZ_CRASH (default
 * "crash.bin"); feed that file to replay it.  The last line is
 * "N inputs, M files".
 *
 * Each input lies in a heap block of exactly its size, so that the address
 * sanitizer sees the first byte read past its end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void))
	__attribute__((weak));

#define INPUT_MAX (1u << 20)

struct input {
	uint8_t *p;
	size_t n;
};

/* What the target is being fed, for the report of a crash. */
static const char *now_file = "(nothing)";
static unsigned now_mutation;
static struct input now;

static const char *crash_path = "crash.bin";
static unsigned mutations = 200;
static uint64_t seed = 1;
static unsigned long inputs, files;

static void report(void)
{
	char line[512];
	int fd;
	int n = snprintf(line, sizeof(line),
			 "\nfuzz: died on %s, mutation %u; input is in %s\n",
			 now_file, now_mutation, crash_path);

	if (n > 0 && write(STDERR_FILENO, line, strnlen(line, sizeof(line))) < 0)
		return;
	fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return;
	if (write(fd, now.p, now.n) != (ssize_t)now.n)
		fputs("fuzz: the input could not be written\n", stderr);
	close(fd);
}

static void on_signal(int sig)
{
	report();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t n)
{
	return n ? next(state) % n : 0;
}

static void feed(const uint8_t *p, size_t n, const char *file, unsigned mutation)
{
	now_file = file;
	now_mutation = mutation;
	now.p = malloc(n ? n : 1);
	now.n = n;
	if (!now.p)
		abort();
	if (n)
		memcpy(now.p, p, n);
	LLVMFuzzerTestOneInput(now.p, n);
	inputs++;
	free(now.p);
	now.p = NULL;
	now.n = 0;
}

static void cut(struct input *in, uint64_t *r)
{
	size_t at = below(r, in->n);
	size_t len = 1 + below(r, in->n - at);

	memmove(in->p + at, in->p + at + len, in->n - at - len);
	in->n -= len;
}

/* Repeats a stretch of the input in place; 'p' has room for twice 'n'. */
static void repeat(struct input *in, uint64_t *r)
{
	size_t at = below(r, in->n);
	size_t len = 1 + below(r, in->n - at);

	memmove(in->p + at + len, in->p + at, in->n - at);
	in->n += len;
}

static void set_number(struct input *in, uint64_t *r)
{
	static const uint32_t edges[] = { 0,	      1,	 0x7f,
					  0x80,	      0xff,	 0x7fff,
					  0xffff,     0x10000,	 0x7fffffff,
					  0x80000000, 0xffffffff };
	uint32_t v = edges[below(r, sizeof(edges) / sizeof(edges[0]))];
	size_t at = below(r, in->n);
	size_t len = (size_t)1 << below(r, 3);

	if (next(r) & 1)
		v = __builtin_bswap32(v);
	memcpy(in->p + at, &v, len < in->n - at ? len : in->n - at);
}

/* One step; 'in' is not empty and has room for twice its size. */
static void mutate(struct input *in, uint64_t *r)
{
	static const char marks[] = "{}[]()<>\"'\\:,;=&*!|%#-+.0\n\r\t \x80\xff";
	size_t at = below(r, in->n), to;
	uint8_t c;

	switch (below(r, 7)) {
	case 0:
		in->p[at] ^= (uint8_t)(1u << below(r, 8));
		break;
	case 1:
		in->p[at] = (uint8_t)next(r);
		break;
	case 2:
		in->p[at] = (uint8_t)marks[below(r, sizeof(marks))];
		break;
	case 3:
		to = below(r, in->n);
		c = in->p[at];
		in->p[at] = in->p[to];
		in->p[to] = c;
		break;
	case 4:
		set_number(in, r);
		break;
	case 5:
		cut(in, r);
		break;
	default:
		repeat(in, r);
		break;
	}
}

static void feed_mutations(const uint8_t *p, size_t n, const char *file)
{
	uint64_t r = seed;
	size_t i;
	unsigned m;

	if (!n || n > INPUT_MAX / 64)
		return;
	for (i = 0; i < n; i++)
		r = (r ^ p[i]) * 0x100000001b3u;
	for (m = 1; m <= mutations; m++) {
		unsigned steps = 1 + (unsigned)below(&r, 5);
		struct input in = { malloc(n << 6), n };

		if (!in.p)
			abort();
		memcpy(in.p, p, n);
		while (steps-- && in.n)
			mutate(&in, &r);
		feed(in.p, in.n, file, m);
		free(in.p);
	}
}

static void feed_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(INPUT_MAX);
	size_t n;

	if (!f || !p) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	n = fread(p, 1, INPUT_MAX, f);
	fclose(f);
	files++;
	feed(p, n, path, 0);
	feed_mutations(p, n, path);
	free(p);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void feed_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	int i, n;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		feed_file(path);
		return;
	}
	n = scandir(path, &names, not_hidden, alphasort);
	if (n < 0) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	for (i = 0; i < n; i++) {
		char *sub = NULL;

		if (asprintf(&sub, "%s/%s", path, names[i]->d_name) < 0)
			abort();
		feed_path(sub);
		free(sub);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
				       SIGILL };
	size_t s;
	int i;

	if (getenv("FUZZ_MUTATIONS"))
		mutations = (unsigned)strtoul(getenv("FUZZ_MUTATIONS"), NULL,
					      10);
	if (getenv("FUZZ_SEED"))
		seed = strtoull(getenv("FUZZ_SEED"), NULL, 10);
	if (getenv("FUZZ_CRASH"))
		crash_path = getenv("FUZZ_CRASH");
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(report);
	/* The address sanitizer reports faults itself, then calls back. */
	for (s = 0; s < sizeof(signals) / sizeof(signals[0]); s++)
		if (!__sanitizer_set_death_callback || signals[s] == SIGABRT)
			signal(signals[s], on_signal);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	feed((const uint8_t *)"", 0, "(empty)", 0);
	for (i = 1; i < argc; i++)
		feed_path(argv[i]);
	printf("%lu inputs, %lu files\n", inputs, files);
	return 0;
}
