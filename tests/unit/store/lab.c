/* Stores in one process: see lab.h. */
#include "lab.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "port.h"
#include "tsan.h"

#include "base/banned.h"

#define MAP_BYTES (1ull << 30)

struct lab_node lab[LAB_MAX];
struct arena *lab_arena;
struct rc_node *lab_straw_node;

unsigned lab_hold_ms, lab_gather_ms, lab_election_ms;
bool lab_may_fail;
uint64_t lab_knows;
struct limits lab_limits;

static char folder[64];

/* ---- the straw ---- */

static struct {
	struct loop *loop;
	struct pool *pool;
	struct state *state;
	struct rc_change change;
	_Atomic bool is_changed;
	struct uuid cluster_id;
	lab_handler *handle;
	pthread_mutex_t lock;
	char calls[8192];
	size_t n_calls;
} straw = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct straw_method {
	unsigned number;
};
static struct straw_method straw_methods[16];

static void straw_asked(void *data, const struct rc_request *request)
{
	struct straw_method *m = data;

	pthread_mutex_lock(&straw.lock);
	if (straw.n_calls < sizeof(straw.calls) - 1)
		straw.calls[straw.n_calls++] = (char)('0' + m->number);
	pthread_mutex_unlock(&straw.lock);
	straw.handle(m->number, request);
}

const char *lab_straw_calls(void)
{
	char *copy;

	pthread_mutex_lock(&straw.lock);
	copy = arena_alloc(lab_arena, straw.n_calls + 1);
	memcpy(copy, straw.calls, straw.n_calls);
	copy[straw.n_calls] = '\0';
	pthread_mutex_unlock(&straw.lock);
	return copy;
}

static void straw_added(struct rc_change *c, enum code rc,
			const struct err *err)
{
	ck_assert_msg(rc == OK, "%s", err->text);
	atomic_store(&straw.is_changed, true);
}

static void straw_open(uint32_t methods)
{
	struct rc_member self = { 1, lab[0].address };
	struct rc_config c;
	struct rc_status st;
	struct err err = { 0 };

	straw.loop = loop_new("straw", 0);
	straw.pool = pool_new("straw", 1, 4);
	straw.state = state_new(&(struct state_config){ .map_bytes = MAP_BYTES });
	rc_config_defaults(&c);
	c.dir = lab[0].dir;
	c.node_id = 1;
	c.address = c.listen = lab[0].address;
	c.members = &self;
	c.n_members = 1;
	c.apply_loop = straw.loop;
	c.pool = straw.pool;
	c.machine = state_machine(straw.state);
	ck_assert_msg(rc_node_open(&c, &lab_straw_node, &err) == OK, "%s",
		      err.text);
	for (unsigned i = 1; i < ARRAY_LEN(straw_methods); i++) {
		straw_methods[i].number = i;
		if (methods & BIT(i))
			rc_handle(lab_straw_node, i, straw_asked,
				  &straw_methods[i]);
	}
	ck_assert_msg(rc_node_start(lab_straw_node, &err) == OK, "%s", err.text);
	ck_assert_int_eq(loop_start(straw.loop, &err), OK);
	rc_node_status(lab_straw_node, &st);
	straw.cluster_id = st.cluster_id;
}

static bool straw_leads(void)
{
	struct rc_status st;

	rc_node_status(lab_straw_node, &st);
	return st.is_leader && st.is_ready;
}

static void open_store(unsigned id, struct store_config *c);

void lab_straw(uint32_t methods, lab_handler *handle)
{
	static struct rc_member straw_member;
	struct store_config c = { 0 };

	straw.handle = handle;
	straw.n_calls = 0;
	straw_open(methods);
	LAB_WAIT(straw_leads());
	straw_member = (struct rc_member){ 1, lab[0].address };
	c.cluster.members = &straw_member;
	c.cluster.n_members = 1;
	c.cluster.joins = true;
	c.cluster.cluster_id = &straw.cluster_id;
	open_store(2, &c);
	straw.change = (struct rc_change){ .type = RC_ADD, .id = 2,
					   .address = lab[1].address,
					   .done = straw_added };
	ck_assert(rc_change(lab_straw_node, &straw.change));
	LAB_WAIT(atomic_load(&straw.is_changed));
	LAB_WAIT(lab_status(2).node.leader_id == 1 && lab_status(2).is_ready);
}

static void straw_close(void)
{
	if (!straw.loop)
		return;
	loop_stop(straw.loop);
	loop_join(straw.loop);
	rc_node_stop(lab_straw_node);
	pool_free(&straw.pool);
	loop_free(&straw.loop);
	rc_node_free(&lab_straw_node);
	state_free(&straw.state);
	straw.is_changed = false;
}

/* ---- nodes ---- */

void lab_setup(void)
{
	struct err err;

	ck_assert_int_eq(kinds_load(&err), OK);
	lab_arena = arena_new(0);
	lab_hold_ms = 1500;
	lab_election_ms = ELECTION_MS;
	lab_may_fail = false;
	lab_gather_ms = 0;
	lab_knows = 0;
	lab_limits = (struct limits){ 0 };
	snprintf(folder, sizeof(folder), "/tmp/conflux-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	for (unsigned i = 0; i < LAB_MAX; i++) {
		lab[i] = (struct lab_node){ .id = i + 1 };
		snprintf(lab[i].dir, sizeof(lab[i].dir), "%s/%u", folder, i + 1);
		snprintf(lab[i].address, sizeof(lab[i].address), "127.0.0.1:%u",
			 free_port());
	}
}

void lab_teardown(void)
{
	pid_t pid;

	for (unsigned id = LAB_MAX; id >= 1; id--)
		lab_stop(id);
	straw_close();
	arena_free(&lab_arena);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void on_fatal(void *data, const struct err *err)
{
	const struct lab_node *n = data;

	if (lab_may_fail)
		return;
	ck_abort_msg("node %d failed: %s", (int)n->id, err->text);
}

static uint64_t wall_ms(void *data)
{
	const struct lab_node *n = data;

	return clock_wall_ms() + (uint64_t)atomic_load(&n->clock_ms);
}

static void open_store(unsigned id, struct store_config *c)
{
	struct lab_node *n = &lab[id - 1];
	struct err err = { 0 };

	c->dir = n->dir;
	c->map_bytes = MAP_BYTES;
	c->hold_ms = lab_hold_ms;
	c->gather_ms = lab_gather_ms;
	c->knows = lab_knows;
	c->limits = lab_limits;
	c->cluster.node_id = id;
	c->cluster.listen = c->cluster.n_members || c->cluster.joins ?
				    n->address : NULL;
	c->cluster.election_ms = lab_election_ms;
	c->on_fatal = on_fatal;
	c->wall_ms = wall_ms;
	c->data = n;
	ck_assert_msg(store_open(c, &n->store, &err) == OK, "%s", err.text);
}

void lab_steady(void)
{
	lab_hold_ms = 30000;
	lab_election_ms = MAX(ELECTION_MS, 2000);
}

void lab_start(unsigned id, unsigned n)
{
	static struct rc_member members[LAB_MAX];
	struct store_config c = { 0 };

	for (unsigned i = 0; i < n; i++)
		members[i] = (struct rc_member){ i + 1, lab[i].address };
	c.cluster.members = members;
	c.cluster.n_members = n;
	open_store(id, &c);
}

void lab_start_alone(void)
{
	struct store_config c = { 0 };

	open_store(1, &c);
}

void lab_stop(unsigned id)
{
	store_close(&lab[id - 1].store);
}

void lab_pause(void)
{
	struct timespec t = { .tv_nsec = 2000000 };

	nanosleep(&t, NULL);
}

struct store_status lab_status(unsigned id)
{
	struct store_status st;

	store_status(lab[id - 1].store, &st);
	return st;
}

static unsigned leader_of_all(void)
{
	uint64_t leader = 0;

	for (unsigned id = 1; id <= LAB_MAX; id++) {
		struct store_status st;

		if (!lab[id - 1].store)
			continue;
		st = lab_status(id);
		if (!st.is_ready || (leader && st.node.leader_id != leader))
			return 0;
		leader = st.node.leader_id;
	}
	return leader && store_leads(lab[leader - 1].store) ? (unsigned)leader :
							      0;
}

unsigned lab_found(unsigned n)
{
	unsigned leader;

	for (unsigned id = 1; id <= n; id++)
		lab_start(id, n);
	LAB_WAIT((leader = leader_of_all()));
	return leader;
}

unsigned lab_other(unsigned id)
{
	for (unsigned i = 1; i <= LAB_MAX; i++)
		if (i != id && lab[i - 1].store)
			return i;
	ck_abort_msg("no other node runs");
	return 0;
}

/* ---- writes ---- */

struct command *lab_put(const char *name, uint64_t key)
{
	struct command *c = ANEW(lab_arena, struct command);
	struct op *op;

	c->type = COMMAND_OPS;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root");
	c->origin = STR("test");
	if (key)
		c->id = c->body = sha256_of(str_n(&key, sizeof(key)));
	op = command_op(lab_arena, c, OP_OBJECT_PUT);
	op->kind = KIND_TENANT;
	op->name = arena_str(lab_arena, str_of(name));
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	return c;
}

struct str lab_encode(const struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	return arena_str(lab_arena, buf_view(&bytes));
}

static void on_done(struct store_write *w, const struct outcome *o)
{
	struct lab_write *l = container_of(w, struct lab_write, write);

	ck_assert(!atomic_load(&l->is_done));
	l->outcome = *o;
	l->outcome.results = NULL;
	l->done_ns = clock_mono_ns();
	atomic_store(&l->is_done, true);
}

void lab_submit(struct lab_write *w, unsigned at, struct str bytes)
{
	struct store *s = lab[at - 1].store;

	*w = (struct lab_write){ .write = { .home = store_core_loop(s),
					    .bytes = bytes, .done = on_done } };
	ck_assert(store_submit(s, &w->write));
}

const struct outcome *lab_done(struct lab_write *w)
{
	LAB_WAIT(atomic_load(&w->is_done));
	return &w->outcome;
}

const struct outcome *lab_write(struct lab_write *w, unsigned at,
				struct str bytes)
{
	lab_submit(w, at, bytes);
	return lab_done(w);
}

/* ---- a loop that waits ---- */

static struct {
	struct msg msg;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_there, may_go;
} hold = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void hold_here(struct msg *msg)
{
	pthread_mutex_lock(&hold.lock);
	hold.is_there = true;
	pthread_cond_broadcast(&hold.cond);
	while (!hold.may_go)
		pthread_cond_wait(&hold.cond, &hold.lock);
	hold.is_there = false;
	pthread_cond_broadcast(&hold.cond);
	pthread_mutex_unlock(&hold.lock);
}

static void wait_until_there(bool there)
{
	pthread_mutex_lock(&hold.lock);
	while (hold.is_there != there)
		pthread_cond_wait(&hold.cond, &hold.lock);
	pthread_mutex_unlock(&hold.lock);
}

void lab_hold(unsigned at)
{
	hold.may_go = false;
	hold.msg.run = hold_here;
	loop_post_sure(store_core_loop(lab[at - 1].store), &hold.msg);
	wait_until_there(true);
}

void lab_let_go(void)
{
	pthread_mutex_lock(&hold.lock);
	hold.may_go = true;
	pthread_cond_broadcast(&hold.cond);
	pthread_mutex_unlock(&hold.lock);
	wait_until_there(false);
}
