/*
 * The durable log of raftcore alone: entries are appended, the process dies
 * without closing anything, and all that it was told to be durable comes back.
 *
 *	cc wal.c $(pkg-config --cflags --libs raftcore) -o wal
 *	mkdir /tmp/log && ./wal /tmp/log
 *
 * A child process is who writes and dies; what it knows to be durable it says
 * through a pipe.  Then this process opens the log, compares, replaces the last
 * ten entries (as a follower does whose leader knows better), reads some back
 * and gives up what it needs no more.
 *
 * A real owner of a log also keeps term and vote: wal/vote.h.
 */
#include "common.h"

#include <wal/wal.h>

#define ENTRIES 500

static const char *folder;

/* What is expected of entry 'index' as it was written first, or again. */
static struct str text_of(char buf[64], uint64_t index, uint64_t term)
{
	int n = snprintf(buf, 64, "entry %llu of term %llu",
			 (unsigned long long)index, (unsigned long long)term);

	return str_n(buf, (size_t)n);
}

static uint64_t term_of(uint64_t index, uint64_t replaced_from)
{
	return replaced_from && index >= replaced_from ? 2 : 1;
}

struct recovered {
	uint64_t last, replaced_from, n;
};

/* Called for each entry, at recovery and when reading; an index that comes again
 * replaces the entry there and all behind it. */
static enum code each(void *data, const struct wal_entry *e, struct err *err)
{
	struct recovered *r = data;
	char buf[64];

	if (e->term != term_of(e->index, r->replaced_from) ||
	    !str_eq(e->data, text_of(buf, e->index, e->term)))
		return err_set(err, E_CORRUPT, "entry %llu is another one",
			       (unsigned long long)e->index);
	r->last = e->index;
	r->n++;
	return OK;
}

static struct wal *open_log(struct recovered *r)
{
	struct wal_config config = {
		.fs = fs_real(),
		.dir = folder,
		/* A log is of one node of one cluster; others are refused. */
		.cluster = { { 'e', 'x', 'a', 'm', 'p', 'l', 'e' } },
		.node = 1,
		.segment_bytes = 64 * 1024,      /* small, so that there are some */
		.spares_max = 2,
		/* What need not be waited for, a thread does that the log starts. */
		.tending = WAL_TEND_THREAD,
	};
	struct wal *wal = NULL;
	struct err err = { 0 };

	check(wal_open(&config, each, r, &wal, &err), &err, "open");
	return wal;
}

static void append(struct wal *wal, uint64_t index, uint64_t term)
{
	struct err err = { 0 };
	char buf[64];
	struct wal_entry e = { index, term, 0, text_of(buf, index, term) };

	/* One record; many entries at once cost one write as well. */
	check(wal_append(wal, &e, 1, &err), &err, "append");
}

/* The child: dies as if by kill -9, in the middle of its work. */
static void write_and_die(int told)
{
	struct recovered none = { 0 };
	struct wal *wal = open_log(&none);

	for (uint64_t i = 1; i <= ENTRIES; i++) {
		append(wal, i, 1);
		if (write(told, &i, sizeof(i)) != sizeof(i))
			_exit(2);
	}
	_exit(9);
}

/* Answers the last entry that the child knew to be durable. */
static uint64_t run_child(void)
{
	uint64_t last = 0, i;
	int ends[2], status;
	pid_t pid;

	if (pipe(ends) < 0 || (pid = fork_child()) < 0) {
		perror("wal");
		exit(1);
	}
	if (pid == 0) {
		close(ends[0]);
		write_and_die(ends[1]);
	}
	close(ends[1]);
	while (read(ends[0], &i, sizeof(i)) == sizeof(i))
		last = i;
	close(ends[0]);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 9)
		exit(1);
	return last;
}

int main(int argc, char **argv)
{
	struct recovered r = { 0 };
	struct wal_stats stats;
	struct err err = { 0 };
	struct wal *wal;
	uint64_t durable;

	if (argc != 2) {
		fprintf(stderr, "usage: wal FOLDER\n");
		return 2;
	}
	folder = argv[1];
	durable = run_child();
	printf("the writer died; it knew of %llu entries\n",
	       (unsigned long long)durable);

	wal = open_log(&r);
	wal_stats_get(wal, &stats);
	printf("recovered %llu entries from %llu segments, %llu torn records cut\n",
	       (unsigned long long)r.n, (unsigned long long)stats.segments,
	       (unsigned long long)stats.torn);
	/* One more is possible: written, and the writer died before it said so. */
	if (durable != ENTRIES || r.n < durable || r.last != r.n)
		return 1;

	/* An index that is there already replaces the log from there on. */
	for (uint64_t i = ENTRIES - 9; i <= ENTRIES; i++)
		append(wal, i, 2);
	r = (struct recovered){ .replaced_from = ENTRIES - 9 };
	check(wal_read(wal, ENTRIES - 99, ENTRIES, each, &r, &err), &err, "read");
	if (r.n != 100)
		return 1;
	/* All segments whose entries are in a checkpoint, say, may go. */
	check(wal_cut(wal, ENTRIES - 100, &err), &err, "cut");
	wal_stats_get(wal, &stats);
	printf("read 100 of them back; entries %llu to %llu are kept\n",
	       (unsigned long long)stats.first_index,
	       (unsigned long long)stats.last_index);
	wal_close(&wal);
	return stats.first_index > 1 && stats.last_index == ENTRIES ? 0 : 1;
}
