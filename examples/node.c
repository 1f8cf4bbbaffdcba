/*
 * Three nodes that lose nothing: one leads and dies, the others go on.
 *
 *	cc node.c $(pkg-config --cflags --libs raftcore) -o node
 *	mkdir /tmp/nodes && ./node /tmp/nodes
 *
 * Each node is a process; this one only starts and kills them, and talks to each
 * through a socket pair: "add 7" is answered by what became of it, "sum" by what
 * the node has applied.  The machine is a sum, in memory: without checkpoints it
 * is made anew from the whole log at each start.
 *
 * What a proposal comes to is one of three: its number here, once it was applied
 * where it was proposed; refused, as it is everywhere but at the leader; uncertain,
 * when leadership went away before anyone knew.
 */
#include "common.h"

#include <io/loop.h>
#include <raftcore/raftcore.h>
#include <wire/wire.h>

#define NODES 3

static char addresses[NODES][32];

/* ---- one node: a process ---- */

static struct rc_node *node;
static int line;                         /* to the parent */
static struct rc_applied at;             /* the machine */
static uint64_t sum;
/* One proposal at a time: the parent waits for its outcome. */
static struct rc_proposal proposal;
static struct buf command;

static void say(const char *word, uint64_t number)
{
	if (dprintf(line, "%s %llu\n", word, (unsigned long long)number) < 0)
		_exit(1);
}

static enum code open_(void *data, const char *dir,
		       const struct rc_checkpoint *from, struct rc_applied *out,
		       struct err *err)
{
	*out = at;
	return OK;
}

/* What was committed, in the same order on all nodes. */
static enum code apply(void *data, const struct rc_entry *entries, size_t n,
		       struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct rc_entry *e = &entries[i];
		struct rd rd = rd_of(e->data);

		at = (struct rc_applied){ e->index, e->term };
		if (!e->is_command)      /* raftcore's own */
			continue;
		sum += rd_u64(&rd);
		if (e->id == proposal.id)
			say("done", sum);
	}
	return OK;
}

static void not_applied(struct rc_proposal *p, enum code rc, const struct err *err)
{
	say(rc == E_UNCERTAIN ? "uncertain" : "refused", rc);
}

static void digest(void *data, uint8_t out[32])
{
	memset(out, 0, 32);
	memcpy(out, &sum, sizeof(sum));
}

static uint64_t bytes(void *data)
{
	return sizeof(sum);
}

static void close_(void *data)
{
}

/* Runs on the apply loop as the machine does, so that nothing needs a lock. */
static void on_line(uv_poll_t *poll, int status, int events)
{
	char text[64];
	ssize_t n = read(line, text, sizeof(text) - 1);
	uint64_t number;

	if (n <= 0)                      /* the parent is gone */
		_exit(1);
	text[n] = 0;
	if (sscanf(text, "add %lu", &number) != 1) {
		say("sum", sum);
		return;
	}
	buf_reset(&command);
	wr_u64(&command, number);
	proposal = (struct rc_proposal){ .data = buf_view(&command),
					 .done = not_applied };
	if (!rc_propose(node, &proposal))
		say("refused", E_UNAVAILABLE);
}

static void run(unsigned id, const char *folder)
{
	struct rc_member members[NODES];
	struct rc_config config;
	struct err err = { 0 };
	struct loop *loop = loop_new("apply", 0);
	uv_poll_t poll;
	char dir[4000];

	for (unsigned i = 0; i < NODES; i++)
		members[i] = (struct rc_member){ i + 1, addresses[i] };
	snprintf(dir, sizeof(dir), "%s/%u", folder, id);
	rc_config_defaults(&config);
	config.dir = dir;
	config.node_id = id;
	config.address = config.listen = addresses[id - 1];
	config.members = members;
	config.n_members = NODES;
	config.apply_loop = loop;
	config.machine = (struct rc_machine){ .open = open_, .apply = apply,
		.digest = digest, .bytes = bytes, .close = close_ };
	check(rc_node_open(&config, &node, &err), &err, "open");
	check(rc_node_start(node, &err), &err, "start");
	must(uv_poll_init(loop_uv(loop), &poll, line) == 0 &&
	     uv_poll_start(&poll, UV_READABLE, on_line) == 0);
	loop_run_here(loop);             /* until it is killed */
}

/* ---- who starts and kills them ---- */

static struct process {
	pid_t pid;
	int line;
} processes[NODES];

static void start(unsigned i, const char *folder)
{
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	processes[i] = (struct process){ fork_child(), ends[0] };
	if (processes[i].pid == 0) {
		for (unsigned k = 0; k < NODES; k++)
			close(processes[k].line);
		line = ends[1];
		run(i + 1, folder);
	}
	close(ends[1]);
}

static void kill_node(unsigned i)
{
	kill_child(processes[i].pid);
	close(processes[i].line);
	processes[i].pid = 0;
}

/* The number of the answer where it begins with 'want', else 0. */
static uint64_t ask(unsigned i, const char *want, const char *question)
{
	char text[64] = { 0 }, word[16];
	uint64_t number;

	if (!processes[i].pid || dprintf(processes[i].line, "%s\n", question) < 0 ||
	    read(processes[i].line, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%15s %lu", word, &number) != 2 || strcmp(word, want))
		return 0;
	return number;
}

/* Has 1 added until a node does; answers which. */
static unsigned add(uint64_t *out)
{
	for (;;) {
		for (unsigned i = 0; i < NODES; i++)
			if ((*out = ask(i, "done", "add 1")))
				return i;
		usleep(20000);           /* an election is on */
	}
}

static void wait_for_sum(unsigned i, uint64_t want)
{
	while (ask(i, "sum", "sum") != want)
		usleep(20000);
}

int main(int argc, char **argv)
{
	unsigned leader, next;
	uint64_t value;

	if (argc != 2) {
		fprintf(stderr, "usage: node FOLDER\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < NODES; i++)
		pick_address(addresses[i]);
	for (unsigned i = 0; i < NODES; i++)
		start(i, argv[1]);
	for (unsigned i = 0; i < 20; i++)
		leader = add(&value);
	printf("node %u leads; the sum is %lu\n", leader + 1, value);
	kill_node(leader);
	next = add(&value);
	printf("node %u was killed; node %u leads and the sum is %lu\n", leader + 1,
	       next + 1, value);
	start(leader, argv[1]);
	wait_for_sum(leader, value);
	printf("node %u is back and knows it\n", leader + 1);
	for (unsigned i = 0; i < NODES; i++)
		kill_node(i);
	/* What was uncertain may have been added as well. */
	return value >= 21 ? 0 : 1;
}
