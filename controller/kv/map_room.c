/* Room on the disk for a file that is written through its map: see map_room.h. */
#include "kv/map_room.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"

#include "base/banned.h"

static size_t page = 4096;               /* of memory */
/* It grows by an eighth, within these. */
#define AHEAD_MIN (256u * 1024)
#define AHEAD_MAX (4096u * 1024)
/* What has no room is memory in pieces of this, at multiples of it. */
#define LOST_BYTES (1024u * 1024)
/* LMDB's first two pages, which are 32 KiB at most. */
#define HEAD_BYTES (64u * 1024)

/*
 * Maps that are being written, where the handler looks.  A thread that ends a transaction
 * may be another than who began it (a store that is closed), so each says whose it is;
 * of a room itself only who has touched its map knows that it is there.
 */
#define WRITING_MAX 64
static struct {
	_Atomic(const char *) owner;     /* NULL: free */
	_Atomic uintptr_t from, to;
	_Atomic(struct map_room *) room;
} writing[WRITING_MAX];
static _Thread_local char self;          /* its address names the thread */
static struct sigaction before;

/* ---- its end ---- */

static uint64_t ahead(uint64_t end)
{
	return MAX(MIN(end / 8, AHEAD_MAX), AHEAD_MIN) / page * page;
}

/* Blocks behind the end are of no use where it may not get there. */
static bool is_allowed(uint64_t end)
{
	struct rlimit most;

	return getrlimit(RLIMIT_FSIZE, &most) || most.rlim_cur == RLIM_INFINITY ||
		end <= most.rlim_cur;
}

static bool reserve(struct map_room *r, uint64_t to)
{
	int rc;

	if (to <= r->reserved)
		return true;
	if (!is_allowed(to)) {
		r->error = EFBIG;
		return false;
	}
	do {
		rc = fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)r->reserved,
			       (off_t)(to - r->reserved));
	} while (rc && errno == EINTR);
	/* Who cannot reserve has to be told by the page itself. */
	if (rc && errno != EOPNOTSUPP && errno != ENOSYS) {
		r->error = errno;
		return false;
	}
	r->reserved = to;
	return true;
}

/* Of whole pages of memory: what is written to the last one behind the file's end is lost
 * without a signal. */
static bool set_end(struct map_room *r, uint64_t end)
{
	int rc;

	end = (end + page - 1) / page * page;
	do {
		rc = ftruncate(r->fd, (off_t)end);
	} while (rc && errno == EINTR);
	if (rc) {
		r->error = errno;
		return false;
	}
	r->end = end;
	return true;
}

/*
 * Moves the end on by writing nothing there: a page that is in the page cache when it is
 * touched first takes an eighth of the time of one that the fault has to bring there.
 */
static bool fill(struct map_room *r, uint64_t end)
{
	static const char nothing[64 * 1024];
	uint64_t from = r->end;

	while (from < end) {
		ssize_t n = pwrite(r->fd, nothing, MIN(end - from, sizeof(nothing)),
				   (off_t)from);

		if (n > 0) {
			from += (uint64_t)n;
		} else if (n == 0 || errno != EINTR) {
			int error = n ? errno : ENOSPC;

			/* With that goes what was reserved.  Where the file stays
			 * longer nothing may be written there again: who touches it
			 * gets no signal. */
			if (set_end(r, r->end))
				r->reserved = r->end;
			else
				r->is_broken = true;
			r->error = error;
			return false;
		}
	}
	r->end = MAX(end, r->end);
	return true;
}

/* From outside.  What was cut off must not become a hole: the file stays too short, and
 * who opens it next sees that. */
static bool is_cut_short(const struct map_room *r)
{
	struct stat st;

	return fstat(r->fd, &st) || (uint64_t)st.st_size < r->end;
}

/* So that 'used' bytes lie before its end. */
static bool grow(struct map_room *r, uint64_t used)
{
	uint64_t end = MIN((used + page - 1) / page * page + ahead(used), r->n);

	if (r->is_broken || is_cut_short(r)) {
		r->error = EIO;
		return false;
	}
	return reserve(r, MIN(end + ahead(end), r->n)) && fill(r, end);
}

/* ---- the signal ---- */

/* What the file has there; nothing behind its end. */
static bool read_piece(const struct map_room *r, char *p, uint64_t from, uint64_t to)
{
	while (from < to) {
		ssize_t k = pread(r->fd, p, to - from, (off_t)from);

		if (k < 0 && errno != EINTR)
			return false;
		if (k == 0)
			break;
		p += MAX(k, 0);
		from += (uint64_t)MAX(k, 0);
	}
	return true;
}

/*
 * Memory takes the place of a piece.  It is filled beside it and moved, so that who reads
 * there meanwhile sees what is there.  A private map of the file would not do: on a tmpfs
 * that is full even reading a hole is a signal.
 */
static bool lose_piece(struct map_room *r, uint64_t from, uint64_t to)
{
	size_t n = to - from;
	char *p = MAP_FAILED;

	if (r->n_lost < MAP_ROOM_LOST)
		p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (p == MAP_FAILED)
		return false;
	if (!read_piece(r, p, from, to) ||
	    mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, r->map + from) == MAP_FAILED) {
		munmap(p, n);
		return false;
	}
	r->lost[r->n_lost].p = r->map + from;
	r->lost[r->n_lost++].n = n;
	return true;
}

/* Why a page before the end is a signal: what who writes the file is told, for the map
 * does not say. */
static int why(const struct map_room *r, uint64_t at)
{
	char c;
	ssize_t n = pread(r->fd, &c, 1, (off_t)at);

	if (n == 1)
		n = pwrite(r->fd, &c, 1, (off_t)at);
	return n < 0 ? errno : ENOSPC;
}

/*
 * A page at 'at'.  In a commit the first two pages are lost as well: they say what is
 * live, and in the file that stays what is whole there, whenever the process ends.
 */
static bool lose(struct map_room *r, uint64_t at)
{
	uint64_t from = at / LOST_BYTES * LOST_BYTES;
	uint64_t to = MIN(from + LOST_BYTES, (uint64_t)r->n);

	if (at < r->end) {
		if (is_cut_short(r))
			return false;    /* as a disk that cannot be read */
		r->error = why(r, at);
	}
	if (r->is_last && !r->keeps_head) {
		if (!lose_piece(r, 0, MIN((uint64_t)HEAD_BYTES, (uint64_t)r->n)))
			return false;
		r->keeps_head = true;
		if (at < HEAD_BYTES)
			return true;
	}
	return lose_piece(r, from == 0 && r->keeps_head ? HEAD_BYTES : from, to);
}

/* Once something is lost the end stays, so that pieces do not cover each other. */
static bool mend(struct map_room *r, uint64_t at)
{
	if (at >= r->end && r->n_lost == 0) {
		if (grow(r, at + page))
			return true;
		if (r->is_last && at < r->reserved && !r->is_broken &&
		    !is_cut_short(r) && set_end(r, r->reserved))
			return true;
	}
	return lose(r, at);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	uintptr_t p = (uintptr_t)info->si_addr;
	int code = errno;

	for (unsigned i = 0; info->si_code == BUS_ADRERR && i < WRITING_MAX; i++)
		if (writing[i].owner == &self && p >= writing[i].from &&
		    p < writing[i].to &&
		    mend(writing[i].room, (p - writing[i].from) / page * page)) {
			errno = code;
			return;
		}
	/* Not ours: it comes again, or is sent again, and goes where it went. */
	sigaction(SIGBUS, &before, NULL);
	if (info->si_code != BUS_ADRERR)
		(void)raise(number);
	errno = code;
}

static void handle(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	page = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	must(sigaction(SIGBUS, &action, &before) == 0);
}

/* Where it is blocked the kernel ends the process instead. */
static void unblock(void)
{
	static _Thread_local bool is_done;
	sigset_t set;

	if (is_done)
		return;
	is_done = true;
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the map ---- */

/* "7f0000000000-7f1000000000 rw-s 00000000 fe:00 12345  /path": of this file, and whole. */
static bool is_of(const char *line, uint64_t inode, size_t n, char **map)
{
	unsigned long from, to, at;
	unsigned long long number;
	char rights[8];

	if (sscanf(line, "%lx-%lx %7s %lx %*s %llu", &from, &to, rights, &at,
		   &number) != 5)
		return false;
	*map = (char *)from;
	return number == inode && at == 0 && to - from >= n &&
		strcmp(rights, "rw-s") == 0;
}

static char *find_map(int fd, size_t n)
{
	char *line = NULL, *map = NULL;
	size_t cap = 0;
	struct stat st;
	FILE *f;

	if (fstat(fd, &st))
		return NULL;
	f = fopen("/proc/self/maps", "re");
	if (!f)
		return NULL;
	while (getline(&line, &cap, f) > 0)
		if (is_of(line, st.st_ino, n, &map))
			break;
		else
			map = NULL;
	free(line);
	fclose(f);
	return map;
}

enum code map_room_init(struct map_room *r, int fd, size_t n, uint64_t end,
			struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, handle);
	*r = (struct map_room){ .map = find_map(fd, n), .n = n, .fd = fd };
	if (!r->map)
		return err_set(err, E_IO, "/proc/self/maps does not have its map");
	if (!set_end(r, end))
		return err_sys(err, errno, "its length");
	/* What it has already is not asked for again: some file systems want as much room
	 * as the whole of what is named. */
	r->reserved = r->end;
	return OK;
}

static void claim(struct map_room *r)
{
	for (unsigned i = 0; i < WRITING_MAX; i++) {
		const char *none = NULL;

		if (!atomic_compare_exchange_strong(&writing[i].owner, &none, &self))
			continue;
		writing[i].from = (uintptr_t)r->map;
		writing[i].to = (uintptr_t)r->map + r->n;
		writing[i].room = r;
		r->slot = i;
		return;
	}
	must(!"more stores are written than WRITING_MAX");
}

void map_room_enter(struct map_room *r, uint64_t used)
{
	if (!r->map)
		return;
	unblock();
	r->is_last = false;
	claim(r);
	/* Where it cannot grow yet it may not have to. */
	if (used + ahead(used) / 2 > r->end)
		(void)grow(r, used);
}

int map_room_last(struct map_room *r)
{
	r->is_last = true;
	/* An earlier one may have used it, or found none when the file was opened. */
	return !r->map || reserve(r, MIN(r->end + ahead(r->end), r->n)) ? 0 : r->error;
}

void map_room_cover(struct map_room *r, uint64_t used)
{
	if (r->map && used > r->end && !is_cut_short(r))
		(void)set_end(r, used);
}

void map_room_cut(struct map_room *r, uint64_t used)
{
	if (used < r->end && !is_cut_short(r))
		(void)set_end(r, used);
}

static void give_back(struct map_room *r)
{
	for (unsigned i = 0; i < r->n_lost; i++)
		must(mmap(r->lost[i].p, r->lost[i].n, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, r->fd,
			  r->lost[i].p - r->map) == r->lost[i].p);
}

void map_room_leave(struct map_room *r, bool is_kept)
{
	if (!r->map)
		return;
	writing[r->slot].owner = NULL;
	if (!is_kept)
		give_back(r);
	else if (r->n_lost)
		r->is_broken = true;
	r->n_lost = 0;
	r->keeps_head = false;
}
