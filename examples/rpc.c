/*
 * Calls between nodes: an answer, a refusal, a deadline, a call of whoever leads, one
 * that is taken back.
 *
 *	cc rpc.c $(pkg-config --cflags --libs raftcore) -o rpc
 *	mkdir /tmp/rpc && ./rpc /tmp/rpc
 *
 * Two nodes, each a process, over loopback.  They are a cluster as any other, with
 * a machine that remembers nothing; what is proposed and what is called go over
 * connections of their own.
 *
 * All calls and handlers run on the apply loop of their node.  Here main waits
 * for them, so what they tell is behind a lock.
 */
#include <pthread.h>

#include "common.h"

#include <io/loop.h>
#include <raftcore/raftcore.h>

enum { UPPER = 1, REFUSE, NEVER };       /* methods */

static char addresses[2][32];
static struct loop *loop;
static struct rc_node *node;             /* of this process */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* ---- a machine without a state ---- */

static enum code open_(void *data, const char *dir,
		       const struct rc_checkpoint *from, struct rc_applied *out,
		       struct err *err)
{
	*out = (struct rc_applied){ 0 };
	return OK;
}

static enum code apply(void *data, const struct rc_entry *e, size_t n,
		       struct err *err)
{
	return OK;
}

static void digest(void *data, uint8_t out[32])
{
	memset(out, 0, 32);
}

static uint64_t bytes(void *data)
{
	return 0;
}

static void close_(void *data)
{
}

/* ---- the side that is called ---- */

static void upper(void *data, const struct rc_request *r)
{
	struct buf answer = BUF_NONE;

	for (size_t i = 0; i < r->body.n; i++)
		buf_c(&answer, r->body.p[i] & ~0x20);
	rc_answer(node, r->token, OK, buf_view(&answer), NULL);
	buf_fini(&answer);
}

static void refuse(void *data, const struct rc_request *r)
{
	struct err err = { 0 };

	err_set(&err, E_DENIED, "node %llu may not do that",
		(unsigned long long)r->peer);
	rc_answer(node, r->token, err.code, STR_NONE, &err);
}

/* A request may be answered later, from any thread; this one keeps the caller
 * waiting until its deadline, or until it is let go of ... */
static void never(void *data, const struct rc_request *r)
{
}

/* ... of which who keeps requests is told. */
static void gone(void *data, struct rpc_token token, enum code why)
{
	printf("node 2 need not answer: %s\n", code_name(why));
}

/* ---- the side that calls ---- */

struct waiting {
	struct rc_call call;
	bool is_done;
	enum code rc;
	char text[400];
};

static void done(struct rc_call *call, enum code rc, struct str answer,
		 const struct err *err)
{
	struct waiting *w = container_of(call, struct waiting, call);

	pthread_mutex_lock(&lock);
	w->rc = rc;
	(void)str_copy(w->text, sizeof(w->text),
		       rc ? str_of(err->text) : answer);
	w->is_done = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

/* With 0 milliseconds it is taken back at once. */
static enum code call(uint64_t peer, unsigned method, uint32_t timeout_ms)
{
	static const char *names[] = { "", "upper", "refuse", "never" };
	struct waiting w = { .call = {
		.peer = peer, .method = method, .body = STR("words"),
		.timeout_ms = timeout_ms ? timeout_ms : 20000,
		.answer_max = 4096, .done = done,
	} };

	if (!rc_call(node, &w.call))
		return E_UNAVAILABLE;
	if (!timeout_ms)
		rc_cancel(node, &w.call);
	pthread_mutex_lock(&lock);
	while (!w.is_done)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	printf("%-6s of node %llu: %s, \"%s\"\n", names[method],
	       (unsigned long long)peer, code_name(w.rc), w.text);
	return w.rc;
}

/* ---- a node ---- */

static void start(unsigned id, const char *folder)
{
	struct rc_member members[] = { { 1, addresses[0] }, { 2, addresses[1] } };
	struct rc_config config;
	struct err err = { 0 };
	char dir[4000];

	snprintf(dir, sizeof(dir), "%s/%u", folder, id);
	loop = loop_new("apply", 0);
	rc_config_defaults(&config);
	config.dir = dir;
	config.node_id = id;
	config.address = config.listen = addresses[id - 1];
	config.apply_loop = loop;
	config.members = members;
	config.n_members = 2;
	config.machine = (struct rc_machine){ .open = open_, .apply = apply,
		.digest = digest, .bytes = bytes, .close = close_ };
	check(rc_node_open(&config, &node, &err), &err, "open");
	rc_handle(node, UPPER, upper, NULL);
	rc_handle(node, REFUSE, refuse, NULL);
	rc_handle(node, NEVER, never, NULL);
	rc_handle_gone(node, NEVER, gone);
	check(rc_node_start(node, &err), &err, "start");
	check(loop_start(loop, &err), &err, "start");
}

static void stop(void)
{
	loop_stop(loop);
	loop_join(loop);
	rc_node_stop(node);
	loop_free(&loop);
	rc_node_free(&node);
}

int main(int argc, char **argv)
{
	bool good;
	pid_t other;

	if (argc != 2) {
		fprintf(stderr, "usage: rpc FOLDER\n");
		return 2;
	}
	pick_address(addresses[0]);
	pick_address(addresses[1]);
	other = fork_child();            /* before there are threads */
	start(other ? 1 : 2, argv[1]);
	while (!other)
		pause();
	/* Node 0 is whoever leads; the call waits for the election. */
	good = call(RC_LEADER, UPPER, 20000) == OK &&
	       call(2, UPPER, 20000) == OK &&
	       call(2, REFUSE, 20000) == E_DENIED &&
	       call(2, NEVER, 200) == E_TIMEOUT &&
	       call(2, NEVER, 0) == E_CANCELLED &&
	       call(7, UPPER, 200) == E_NOT_FOUND;
	stop();
	kill_child(other);
	return good ? 0 : 1;
}
