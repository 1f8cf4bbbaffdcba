/*
 * A file goes from one node to another in verified chunks, and the receiver is killed
 * in the middle: the next one goes on where it was.
 *
 *	cc shipping_lane.c $(pkg-config --cflags --libs raftcore) -o shipping_lane
 *	mkdir /tmp/lane && ./shipping_lane /tmp/lane
 *
 * Two nodes, each a process, of a cluster whose machine has nothing to do.  Hashing,
 * journal, rate and retries are the library's (raftcore/files.h); ship/ship.h is what
 * a program uses that has a transport of its own and no nodes.
 */
#include "common.h"

#include <io/file.h>
#include <io/pool.h>
#include <raftcore/files.h>
#include <raftcore/raftcore.h>

#define MIB (1u << 20)
#define FILE_BYTES (24 * MIB)
#define KILL_AFTER (10 * MIB)            /* bytes that the first receiver has */
#define RATE (16 * MIB)                  /* a second */

static char addresses[2][32], source[4096], copy[4096];
static const char *folder;
static struct loop *loop;
static struct rc_node *node;
static int report;                       /* of the sender: bytes that have gone */

/* ---- a machine without state ---- */

static enum code open_(void *data, const char *dir, const struct rc_checkpoint *from,
		       struct rc_applied *out, struct err *err)
{
	*out = (struct rc_applied){ 0 };
	return OK;
}

static enum code apply(void *data, const struct rc_entry *entries, size_t n,
		       struct err *err)
{
	return OK;
}

static uint64_t bytes_(void *data)
{
	return 0;
}

static void close_(void *data)
{
}

/* ---- the two processes ---- */

/* Whole and verified; it is this program's now. */
static void on_file(void *data, const struct rc_received *file)
{
	struct err err;

	check(fs_real()->ops->rename(fs_real(), file->path, copy, &err), &err, "move");
	printf("node 2: %s came from node %llu\n", file->name,
	       (unsigned long long)file->peer);
	loop_stop(loop);
}

static void on_progress(struct rc_file *file, uint64_t bytes, uint64_t size)
{
	printf("node 1: about %llu of %llu MiB\n", (unsigned long long)bytes / MIB,
	       (unsigned long long)size / MIB);
	must(write(report, &bytes, sizeof(bytes)) == sizeof(bytes));
}

static void on_done(struct rc_file *file, enum code rc, const struct err *err)
{
	struct rc_peer peers[2];

	check(rc, err, "send");
	(void)rc_peers(node, peers, 2);
	for (unsigned i = 0; i < 2; i++)
		if (peers[i].id == file->peer)
			printf("node 1: it has it; about %llu MiB went there in all\n",
			       (unsigned long long)peers[i].bytes_out / MIB);
	loop_stop(loop);
}

static void run(unsigned id)
{
	struct rc_member members[] = { { 1, addresses[0] }, { 2, addresses[1] } };
	struct rc_file file = { .peer = 2, .name = "big", .path = source,
				.done = on_done, .progress = on_progress };
	struct rc_config config;
	struct pool *pool = pool_new("files", 1, 64);
	struct err err = { 0 };
	char dir[4096];

	snprintf(dir, sizeof(dir), "%s/%u", folder, id);
	loop = loop_new("apply", 0);
	rc_config_defaults(&config);
	config.dir = dir;
	config.node_id = id;
	config.address = config.listen = addresses[id - 1];
	config.members = members;
	config.n_members = 2;
	config.segment_bytes = MIB;
	config.apply_loop = loop;
	config.pool = pool;
	config.ship_rate = RATE;
	config.on_file = on_file;
	config.machine = (struct rc_machine){ .open = open_, .apply = apply,
					      .bytes = bytes_, .close = close_ };
	check(rc_node_open(&config, &node, &err), &err, "open");
	check(rc_node_start(node, &err), &err, "start");
	if (id == 1)
		must(rc_send_file(node, &file));
	loop_run_here(loop);
	rc_node_stop(node);
	loop_free(&loop);
	rc_node_free(&node);
	pool_free(&pool);
}

static pid_t begin(unsigned id)
{
	pid_t pid = fork_child();

	if (pid == 0) {
		run(id);
		exit(0);
	}
	return pid;
}

static bool ends_well(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

static void make_source(void)
{
	struct buf bytes = BUF_NONE;
	struct err err = { 0 };

	rand_bytes(buf_extend(&bytes, FILE_BYTES), FILE_BYTES);
	check(fs_put(fs_real(), folder, source, buf_view(&bytes), &err), &err, "write");
	buf_fini(&bytes);
}

static bool is_alike(void)
{
	struct buf a = BUF_NONE, b = BUF_NONE;
	struct err err = { 0 };
	bool yes;

	check(fs_get(fs_real(), source, &a, &err), &err, "read");
	check(fs_get(fs_real(), copy, &b, &err), &err, "read");
	yes = str_eq(buf_view(&a), buf_view(&b));
	buf_fini(&a);
	buf_fini(&b);
	return yes;
}

int main(int argc, char **argv)
{
	pid_t sender, receiver;
	uint64_t bytes = 0;
	int fds[2];

	if (argc != 2) {
		fprintf(stderr, "usage: shipping_lane FOLDER\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	folder = argv[1];
	snprintf(source, sizeof(source), "%s/source", folder);
	snprintf(copy, sizeof(copy), "%s/copy", folder);
	pick_address(addresses[0]);
	pick_address(addresses[1]);
	make_source();
	must(pipe(fds) == 0);
	report = fds[1];
	receiver = begin(2);
	sender = begin(1);
	close(report);
	while (bytes < KILL_AFTER && read(fds[0], &bytes, sizeof(bytes)) > 0)
		;
	must(bytes >= KILL_AFTER && bytes < FILE_BYTES);
	kill_child(receiver);
	printf("node 2 was killed; another one starts\n");
	receiver = begin(2);
	return ends_well(sender) && ends_well(receiver) && is_alike() ? 0 : 1;
}
