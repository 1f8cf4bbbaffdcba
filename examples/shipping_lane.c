/*
 * A file goes from one process to another in verified chunks, and the receiver is
 * killed in the middle: the next one goes on where it was.
 *
 *	cc shipping_lane.c $(pkg-config --cflags --libs raftcore) -o shipping_lane
 *	mkdir /tmp/lane && ./shipping_lane /tmp/lane
 *
 * The library does hashing, journal and retries (ship/ship.h); what is here is
 * its driver: a TCP connection that carries frames (length, bytes) in both
 * directions, a timer, a worker for the files.  One connection for both makes it
 * simple: a peer is up as long as it is there.  Nodes of a cluster ship their
 * checkpoints this way by themselves.
 */
#include "common.h"

#include <io/stream.h>
#include <io/timer.h>
#include <ship/ship.h>
#include <wire/wire.h>

#define FILE_BYTES (24u << 20)
#define DIE_AFTER (10u << 20)            /* bytes that the first receiver takes */
#define PEER 1                           /* each knows the other by this */
#define QUEUE_MAX (1u << 20)

static struct loop *loop;
static struct ship *ship;
static struct ship_job *jobs;
static struct stream *stream;            /* NULL: not connected */
static struct buf in;
static struct timer timer;
static struct turn turn;
static struct ship_view view;
static char address[32], dirs[2][4000];  /* of the sender, of the receiver */
static bool is_sender;
static uint64_t die_after;               /* of the first receiver */
static int outcome = 1;

/* ---- what ship wants of its driver ---- */

static bool send_frame(void *data, uint64_t peer, struct str frame)
{
	struct buf head = BUF_NONE;

	if (!stream || stream_pending(stream) > QUEUE_MAX)
		return false;            /* on_drain follows */
	wr_u32(&head, (uint32_t)frame.n);
	stream_write(stream, (struct stream_vec[]){ { head.p, head.n },
						    { frame.p, frame.n } }, 2);
	buf_fini(&head);
	return true;
}

/* Each about a MiB of reading or writing.  They run in the next turn; a program
 * whose loop has other work gives them to a worker (io/pool.h). */
static void on_work(void *data, struct ship_job *job)
{
	job->next = jobs;
	jobs = job;
}

static void received(void *data, uint64_t peer, const struct ship_offer *offer,
		     const char *file)
{
	ship_view(ship, &view);
	printf("received %.*s; %llu MiB came now, %llu chunks were there and right\n",
	       STR_ARG(offer->id), (unsigned long long)view.bytes_in >> 20,
	       (unsigned long long)view.chunks_checked);
	outcome = view.bytes_in >= FILE_BYTES || !view.chunks_checked;
}

static void sent(void *data, uint64_t peer, struct str id, enum code rc,
		 const struct err *err)
{
	outcome = rc != OK;
	if (rc)
		fprintf(stderr, "shipping_lane: %s\n", err->text);
	loop_stop(loop);
}

/* ---- the connection ---- */

static void on_data(struct stream *s, struct str bytes)
{
	struct err err = { 0 };

	buf_str(&in, bytes);
	for (;;) {
		struct rd rd = rd_of(buf_view(&in));
		uint32_t n = rd_u32(&rd);
		struct str frame = rd_raw(&rd, n);

		if (rd.bad)              /* there is more to come */
			return;
		check(ship_receive(ship, loop_now_ms(loop), PEER, frame, &err),
		      &err, "receive");
		buf_drop(&in, 4 + n);
	}
}

static void run_jobs(void)
{
	while (jobs) {
		struct ship_job *job = jobs;

		jobs = job->next;
		ship_job_run(job);
		ship_job_done(ship, loop_now_ms(loop), job);
	}
}

/* Asked each turn: frames and jobs change what is due, and so does ship_send. */
static void on_turn(struct turn *t)
{
	uint64_t due, now = loop_now_ms(loop);

	run_jobs();
	due = ship_deadline(ship);
	ship_view(ship, &view);
	if (die_after && view.bytes_in >= die_after)
		raise(SIGKILL);
	if (!stream)
		due = MIN(due, now + 20);
	if (due != UINT64_MAX)
		timer_start(&timer, due > now ? due - now : 0);
}

static void on_drain(struct stream *s)
{
	ship_writable(ship, loop_now_ms(loop), PEER);
}

static void is_up(void)
{
	struct err err = { 0 };

	buf_reset(&in);
	check(ship_peer_up(ship, loop_now_ms(loop), PEER, &err), &err, "peer");
}

static void on_open(struct stream *s)
{
	is_up();
}

static void on_close(struct stream *s, const struct err *err)
{
	stream = NULL;                   /* a new one is tried by the timer */
	ship_peer_down(ship, PEER);
	if (!is_sender && outcome == 0)
		loop_stop(loop);
}

static const struct stream_ops ops = { on_data, NULL, on_drain, on_open, on_close };

static void on_accept(struct listener *l, struct stream *s, void *data)
{
	stream = s;
	stream_set(s, &ops, NULL);
	is_up();
}

static void on_timer(struct timer *t)
{
	struct err err = { 0 };

	ship_timeout(ship, loop_now_ms(loop));
	if (!stream && is_sender)
		check(stream_connect(loop, str_of(address), NULL, NULL, &ops,
				     NULL, &stream, &err), &err, "connect");
}

/* ---- the two processes ---- */

static int run(bool sends)
{
	struct listener *listener = NULL;
	struct ship_config config;
	struct ship_file file;
	struct err err = { 0 };
	char path[4096], tree[4096];

	is_sender = sends;
	loop = loop_new("ship", 0);
	loop_set_slow_ms(loop, 5000);    /* the jobs run here */
	ship_config_defaults(&config);
	config.host = (struct ship_host){ .send = send_frame, .work = on_work,
					  .received = received, .sent = sent };
	config.fs = fs_real();
	config.dir = dirs[!sends];
	config.sync_bytes = 4u << 20;
	config.retry_ms = 50;
	config.first_number = (rand_u64() >> 2) | 1;
	ship = ship_new(&config);
	timer_init(&timer, loop, on_timer);
	turn.run = on_turn;
	loop_on_turn(loop, &turn);
	if (sends) {
		snprintf(path, sizeof(path), "%s/big", dirs[0]);
		snprintf(tree, sizeof(tree), "%s/big.tree", dirs[0]);
		file = (struct ship_file){ STR("big"), STR_NONE, path, dirs[0],
					   tree };
		check(ship_send(ship, loop_now_ms(loop), PEER, &file, &err),
		      &err, "send");
	} else {
		check(listener_new(loop, str_of(address), false, NULL, on_accept,
				   NULL, &listener, &err), &err, "listen");
	}
	timer_start(&timer, 0);
	loop_run_here(loop);
	ship_stop(ship);
	run_jobs();
	loop_free(&loop);
	ship_free(&ship);
	buf_fini(&in);
	return outcome;
}

static pid_t begin(bool sends)
{
	pid_t pid = fork_child();

	if (pid == 0)
		exit(run(sends));
	return pid;
}

static int end(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

/* The source, or the copy. */
static void get(const char *dir, const char *name, struct buf *out)
{
	struct err err = { 0 };
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	check(fs_get(fs_real(), path, out, &err), &err, "read");
}

static void make_source(void)
{
	struct buf bytes = BUF_NONE;
	struct err err = { 0 };
	char path[4096];

	rand_bytes(buf_extend(&bytes, FILE_BYTES), FILE_BYTES);
	snprintf(path, sizeof(path), "%s/big", dirs[0]);
	check(fs_real()->ops->make_dir(fs_real(), dirs[0], &err), &err, "folder");
	check(fs_put(fs_real(), dirs[0], path, buf_view(&bytes), &err), &err,
	      "write");
	buf_fini(&bytes);
}

int main(int argc, char **argv)
{
	struct buf source = BUF_NONE, copy = BUF_NONE;
	pid_t sender, receiver;
	bool good;

	if (argc != 2) {
		fprintf(stderr, "usage: shipping_lane FOLDER\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(dirs[0], sizeof(dirs[0]), "%s/from", argv[1]);
	snprintf(dirs[1], sizeof(dirs[1]), "%s/to", argv[1]);
	pick_address(address);
	make_source();
	sender = begin(true);
	die_after = DIE_AFTER;
	receiver = begin(false);
	good = end(receiver) == SIGKILL;
	printf("the receiver was killed after %u MiB; another one starts\n",
	       DIE_AFTER >> 20);
	die_after = 0;
	receiver = begin(false);
	good = end(sender) == 0 && end(receiver) == 0 && good;
	if (!good)
		return 1;
	get(dirs[0], "big", &source);
	get(dirs[1], "big.file", &copy);
	good = str_eq(buf_view(&source), buf_view(&copy));
	buf_fini(&source);
	buf_fini(&copy);
	return good ? 0 : 1;
}
