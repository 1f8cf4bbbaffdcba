/* Nodes of a cluster in one process: see ring.h. */
#include "ring.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/file.h"
#include "wire/wire.h"
#include "port.h"

#include "base/banned.h"

#ifdef __SANITIZE_THREAD__
#define ELECTION_MS 1000
/* The library formats what it might trace into a buffer that all of a process
 * share, and nobody reads. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:libraft.so\n";
}
#else
#define ELECTION_MS 500
#endif

#define FILLER_PIECE (1u << 20)

struct ring_node ring[RING_MAX];
struct pool *ring_pool;
const struct net_tls *ring_tls[RING_MAX];
unsigned ring_founders;
struct rc_config ring_config;
struct uuid ring_cluster;
void (*ring_on_event)(void *data, const struct rc_event *event);
void (*ring_prepare)(struct ring_node *r);
_Atomic unsigned ring_full, ring_full_opens;
_Atomic uint64_t ring_filler;
pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_cond_t changed;
static char folder[64];

void ring_changed(void)
{
	pthread_mutex_lock(&ring_lock);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

void ring_pause(void)
{
	uint64_t at = clock_mono_ns() + 5000000;
	struct timespec until = { (time_t)(at / 1000000000),
				  (long)(at % 1000000000) };

	pthread_mutex_lock(&ring_lock);
	pthread_cond_timedwait(&changed, &ring_lock, &until);
	pthread_mutex_unlock(&ring_lock);
}

/* ---- the machine ---- */

struct rc_frozen {
	struct ring_state at;
};

/* A picture may be larger than memory is to be. */
static enum code read_state(const struct rc_checkpoint *from,
			    struct ring_state *out, struct err *err)
{
	struct fs *fs = from->fs;
	struct file *file;
	size_t got = 0;
	enum code rc = fs->ops->open(fs, from->path, 0, &file, err);

	if (rc)
		return rc;
	rc = fs->ops->read(fs, file, 0, out, sizeof(*out), &got, err);
	fs->ops->close(fs, file);
	ck_assert(rc || got == sizeof(*out));
	return rc;
}

static enum code ring_open(void *data, const char *dir,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *err)
{
	struct ring_node *r = data;
	struct ring_state state = { 0 };
	enum code rc = from ? read_state(from, &state, err) : OK;

	if (atomic_load(&ring_full) == r->id) {
		atomic_fetch_add(&ring_full_opens, 1);
		ring_changed();
		return err_set(err, E_FULL, "no room");
	}

	pthread_mutex_lock(&ring_lock);
	r->state = state;
	r->opened_from_picture += from != NULL;
	pthread_mutex_unlock(&ring_lock);
	*out = (struct rc_applied){ state.index, state.term };
	return rc;
}

static void take(struct ring_state *s, const struct rc_entry *e, bool is_bent)
{
	struct rd rd = rd_of(e->data);
	uint64_t v;

	ck_assert_uint_eq(e->index, s->index + 1);
	s->index = e->index;
	s->term = e->term;
	if (!e->is_command)
		return;
	v = rd_u64(&rd);
	ck_assert(!rd.bad && v < RING_VALUES);
	/* Nothing is applied twice. */
	ck_assert(!(s->seen[v / 8] & 1 << v % 8));
	s->seen[v / 8] |= (uint8_t)(1 << v % 8);
	s->count++;
	s->sum = s->sum * 31 + v + is_bent;
}

static enum code ring_apply(void *data, const struct rc_entry *e, size_t n,
			    struct err *err)
{
	struct ring_node *r = data;

	if (atomic_load(&ring_full) == r->id)
		return err_set(err, E_FULL, "no room");
	pthread_mutex_lock(&ring_lock);
	for (size_t i = 0; i < n; i++)
		take(&r->state, &e[i], atomic_load(&r->is_bent));
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
	return OK;
}

static enum code ring_freeze(void *data, struct rc_frozen **out,
			     struct rc_applied *at, struct err *err)
{
	struct ring_node *r = data;

	*out = NEW(struct rc_frozen);
	(*out)->at = r->state;
	*at = (struct rc_applied){ r->state.index, r->state.term };
	return OK;
}

void (*ring_on_copy)(struct ring_node *r, bool begins);

static enum code ring_write(void *data, struct rc_frozen *f,
			    enum code (*put)(void *sink, const void *p,
					     size_t n, struct err *err),
			    void *sink, struct err *err)
{
	char *filler = mem_alloc(FILLER_PIECE);
	uint64_t left;
	enum code rc;

	if (ring_on_copy)
		ring_on_copy(data, true);
	left = atomic_load(&ring_filler);
	rc = put(sink, &f->at, sizeof(f->at), err);
	memset(filler, (int)f->at.count, FILLER_PIECE);
	for (size_t n; rc == OK && left; left -= n) {
		n = MIN(left, (uint64_t)FILLER_PIECE);
		rc = put(sink, filler, n, err);
	}
	free(filler);
	if (ring_on_copy)
		ring_on_copy(data, false);
	return rc;
}

static void ring_thaw(void *data, struct rc_frozen *f)
{
	free(f);
}

static void ring_digest(void *data, uint8_t out[32])
{
	const struct ring_node *r = data;

	memset(out, 0, 32);
	memcpy(out, &r->state.sum, sizeof(r->state.sum));
	memcpy(out + 8, &r->state.count, sizeof(r->state.count));
}

static uint64_t ring_bytes(void *data)
{
	return 1000;
}

static void ring_close(void *data)
{
}

static void on_role(void *data, bool is_leader, uint64_t leader, uint64_t term)
{
	ring_changed();
}

static void on_fatal(void *data, const struct err *err)
{
	struct ring_node *r = data;

	ck_abort_msg("node %d failed: %s", (int)r->id, err->text);
}

static void on_divergence(void *data, enum rc_divergence what,
			  const struct err *err)
{
	struct ring_node *r = data;

	ck_assert(!err == (what == RC_ALIKE));
	atomic_store(&r->told, what);
	ring_changed();
}

/* ---- nodes ---- */

void ring_setup(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	snprintf(folder, sizeof(folder), "/tmp/conflux-ring-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ring_pool = pool_new("work", 2, 64);
	rc_config_defaults(&ring_config);
	ring_config.segment_bytes = 1 << 20;
	ring_config.election_timeout_ms = ELECTION_MS;
	for (unsigned i = 0; i < RING_MAX; i++) {
		ring[i] = (struct ring_node){ .id = i + 1 };
		snprintf(ring[i].dir, sizeof(ring[i].dir), "%s/%u", folder,
			 i + 1);
		snprintf(ring[i].address, sizeof(ring[i].address),
			 "127.0.0.1:%u", free_port());
		ring_tls[i] = NULL;
	}
	ring_prepare = NULL;
	ring_on_event = NULL;
	atomic_store(&ring_full, 0);
	atomic_store(&ring_full_opens, 0);
	atomic_store(&ring_filler, 700000);
}

void ring_teardown(void)
{
	pid_t pid;

	for (unsigned id = 1; id <= RING_MAX; id++)
		ring_stop(id);
	pool_free(&ring_pool);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void configure(struct ring_node *r, struct rc_member *members)
{
	for (unsigned i = 0; i < ring_founders; i++)
		members[i] = (struct rc_member){ ring[i].id, ring[i].address };
	r->config = ring_config;
	r->config.dir = r->dir;
	r->config.node_id = r->id;
	r->config.address = r->config.listen = r->address;
	r->config.apply_loop = r->apply;
	r->config.pool = ring_pool;
	r->config.members = members;
	r->config.n_members = ring_founders;
	r->config.joins = r->id > ring_founders;
	r->config.tls = ring_tls[r->id - 1];
	r->config.on_role = on_role;
	r->config.on_fatal = on_fatal;
	r->config.on_divergence = on_divergence;
	r->config.on_event = ring_on_event;
	r->config.data = r;
	r->config.machine = (struct rc_machine){
		.data = r, .open = ring_open, .apply = ring_apply,
		.freeze = ring_freeze, .write = ring_write, .thaw = ring_thaw,
		.digest = ring_digest, .bytes = ring_bytes,
		.close = ring_close,
	};
}

enum code ring_try_start(unsigned id, struct err *err)
{
	struct ring_node *r = &ring[id - 1];
	struct rc_member members[RING_MAX];
	struct rc_status st;
	enum code rc;

	r->apply = loop_new("apply", 0);
	configure(r, members);
	if (r->config.joins)
		r->config.cluster_id = &ring_cluster;
	rc = rc_node_open(&r->config, &r->node, err);
	memset(members, 0, sizeof(members));
	if (rc == OK && ring_prepare)
		ring_prepare(r);
	if (rc == OK) {
		rc_node_status(r->node, &st);
		ring_cluster = st.cluster_id;
		rc = rc_node_start(r->node, err);
		if (rc)
			rc_node_stop(r->node);
	}
	if (rc == OK)
		rc = loop_start(r->apply, err);
	if (rc) {
		loop_free(&r->apply);
		rc_node_free(&r->node);
	}
	return rc;
}

void ring_start(unsigned id)
{
	struct err err = { 0 };

	ck_assert_msg(ring_try_start(id, &err) == OK, "%s", err.text);
}

void ring_stop(unsigned id)
{
	struct ring_node *r = &ring[id - 1];

	if (!r->apply)
		return;
	loop_stop(r->apply);
	loop_join(r->apply);
	rc_node_stop(r->node);
	loop_free(&r->apply);
	rc_node_free(&r->node);
}

void ring_found(unsigned n)
{
	ring_founders = n;
	for (unsigned id = 1; id <= n; id++)
		ring_start(id);
	ring_elected();
}

/* ---- what they say ---- */

struct rc_status ring_status(unsigned id)
{
	struct rc_status st;

	rc_node_status(ring[id - 1].node, &st);
	return st;
}

unsigned ring_leader(void)
{
	uint64_t leader = 0, term = 0;
	bool says_so = false;

	for (unsigned id = 1; id <= RING_MAX; id++) {
		struct rc_status st;

		if (!ring[id - 1].apply)
			continue;
		st = ring_status(id);
		/* One that is fenced is never ready. */
		if ((!st.is_ready && st.divergence != RC_FENCED) ||
		    (term && (st.term != term || st.leader_id != leader)))
			return 0;
		term = st.term;
		leader = st.leader_id;
		says_so |= st.is_leader && leader == id;
	}
	return says_so ? (unsigned)leader : 0;
}

unsigned ring_elected(void)
{
	unsigned leader;

	RING_WAIT((leader = ring_leader()));
	return leader;
}

bool ring_is_up(unsigned at, unsigned id)
{
	struct rc_peer peers[RING_MAX];
	size_t n = rc_peers(ring[at - 1].node, peers, RING_MAX);

	for (size_t i = 0; i < n; i++)
		if (peers[i].id == id)
			return peers[i].is_up;
	return false;
}

static struct ring_state *state_of(unsigned id)
{
	static __thread struct ring_state copy;

	pthread_mutex_lock(&ring_lock);
	copy = ring[id - 1].state;
	pthread_mutex_unlock(&ring_lock);
	return &copy;
}

uint64_t ring_count(unsigned id)
{
	return state_of(id)->count;
}

uint64_t ring_index(unsigned id)
{
	return state_of(id)->index;
}

bool ring_has(unsigned id, uint64_t value)
{
	return state_of(id)->seen[value / 8] & 1 << value % 8;
}

bool ring_equal(uint64_t count)
{
	struct ring_state first = { 0 };

	for (unsigned id = 1; id <= RING_MAX; id++) {
		struct ring_state *s = state_of(id);

		if (!ring[id - 1].apply)
			continue;
		if (s->count < count)
			return false;
		if (first.count == 0)
			first = *s;
		if (s->count != first.count)
			return false;
		ck_assert_uint_eq(s->sum, first.sum);
	}
	return true;
}

/* ---- proposing ---- */

struct item {
	struct rc_proposal p;
	bool is_done;
	enum code rc;
	struct err err;
	uint64_t value;
	char *bytes;
};

static void not_applied(struct rc_proposal *p, enum code rc,
			const struct err *err)
{
	struct item *item = container_of(p, struct item, p);

	pthread_mutex_lock(&ring_lock);
	item->is_done = true;
	item->rc = rc;
	err_copy(&item->err, err);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

static void propose(struct item *item, unsigned id, uint64_t value, size_t bytes)
{
	*item = (struct item){ .value = value, .bytes = mem_zero(bytes) };
	for (unsigned i = 0; i < 8; i++)
		item->bytes[i] = (char)(value >> (8 * i));
	item->p.data = str_n(item->bytes, bytes);
	item->p.done = not_applied;
	ck_assert(rc_propose(ring[id - 1].node, &item->p));
}

static bool is_over(struct item *item, unsigned id)
{
	bool done;

	pthread_mutex_lock(&ring_lock);
	done = item->is_done;
	pthread_mutex_unlock(&ring_lock);
	return done || ring_has(id, item->value);
}

enum code ring_put(unsigned id, uint64_t value, struct err *err)
{
	struct item item;

	propose(&item, id, value, 8);
	RING_WAIT(is_over(&item, id));
	free(item.bytes);
	if (item.is_done && err)
		err_copy(err, &item.err);
	return item.is_done ? item.rc : OK;
}

/* Waits until it is applied; what was refused as one too many is proposed
 * again. */
static void settle(struct item *item, unsigned id)
{
	RING_WAIT(is_over(item, id));
	while (!ring_has(id, item->value)) {
		ck_assert_msg(item->rc == E_BUSY, "%s", item->err.text);
		ring_pause();
		item->is_done = false;
		ck_assert(rc_propose(ring[id - 1].node, &item->p));
		RING_WAIT(is_over(item, id));
	}
}

void ring_fill(unsigned id, uint64_t first, unsigned n, size_t bytes)
{
	struct item *items = mem_zero(n * sizeof(*items));

	for (unsigned i = 0; i < n; i++) {
		propose(&items[i], id, first + i, bytes);
		if (i >= 64)
			settle(&items[i - 64], id);
	}
	for (unsigned i = 0; i < n; i++) {
		settle(&items[i], id);
		free(items[i].bytes);
	}
	free(items);
}

/* ---- calls ---- */

static void call_done(struct rc_call *call, enum code rc, struct str answer,
		      const struct err *err)
{
	struct ring_call *c = container_of(call, struct ring_call, call);

	ck_assert(!c->is_done);
	pthread_mutex_lock(&ring_lock);
	c->is_done = true;
	c->rc = rc;
	(void)str_copy(c->answer, sizeof(c->answer), answer);
	err_copy(&c->err, err);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

void ring_call(struct ring_call *c, unsigned at, uint64_t peer, unsigned method,
	       const char *body, uint32_t timeout_ms)
{
	*c = (struct ring_call){ .call = { .peer = peer, .method = method,
					   .body = str_of(body),
					   .timeout_ms = timeout_ms,
					   .answer_max = 60,
					   .done = call_done } };
	ck_assert(rc_call(ring[at - 1].node, &c->call));
}

static bool is_set(const bool *flag)
{
	bool yes;

	pthread_mutex_lock(&ring_lock);
	yes = *flag;
	pthread_mutex_unlock(&ring_lock);
	return yes;
}

enum code ring_answered(struct ring_call *c)
{
	RING_WAIT(is_set(&c->is_done));
	return c->rc;
}

/* ---- membership ---- */

struct outcome {
	struct rc_change change;
	struct rc_transfer transfer;
	bool is_done;
	enum code rc;
	struct err err;
};

static void over(struct outcome *o, enum code rc, const struct err *err)
{
	pthread_mutex_lock(&ring_lock);
	o->is_done = true;
	o->rc = rc;
	err_copy(&o->err, err);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

static void change_done(struct rc_change *c, enum code rc, const struct err *err)
{
	over(container_of(c, struct outcome, change), rc, err);
}

static void transfer_done(struct rc_transfer *t, enum code rc,
			  const struct err *err)
{
	over(container_of(t, struct outcome, transfer), rc, err);
}

static enum code outcome_of(struct outcome *o, struct err *err)
{
	RING_WAIT(is_set(&o->is_done));
	if (err)
		err_copy(err, &o->err);
	return o->rc;
}

enum code ring_change(unsigned at, enum rc_change_type type, unsigned id,
		      struct err *err)
{
	struct outcome o = { .change = { type, id, ring[id - 1].address, false,
					 change_done } };

	ck_assert(rc_change(ring[at - 1].node, &o.change));
	return outcome_of(&o, err);
}

enum code ring_force_remove(unsigned at, unsigned id, struct err *err)
{
	struct outcome o = { .change = { RC_REMOVE, id, "", true,
					 change_done } };

	ck_assert(rc_change(ring[at - 1].node, &o.change));
	return outcome_of(&o, err);
}

enum code ring_transfer(unsigned at, unsigned id, struct err *err)
{
	struct outcome o = { .transfer = { id, transfer_done } };

	ck_assert(rc_transfer(ring[at - 1].node, &o.transfer));
	return outcome_of(&o, err);
}

/* ---- reads ---- */

struct reading {
	struct rc_read read;
	unsigned at;
	bool is_done;
	enum code rc;
	uint64_t count;
};

static void read_done(struct rc_read *read, enum code rc, const struct err *err)
{
	struct reading *r = container_of(read, struct reading, read);

	pthread_mutex_lock(&ring_lock);
	ck_assert(!r->is_done);
	r->is_done = true;
	r->rc = rc;
	r->count = ring[r->at - 1].state.count;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

/* Every other one is told on the raft loop. */
enum code ring_read(unsigned at, uint32_t timeout_ms, uint64_t *count)
{
	static _Atomic unsigned reads;
	struct reading r = { .read = { timeout_ms, read_done,
				       atomic_fetch_add(&reads, 1) % 2 },
			     .at = at };

	ck_assert(rc_read(ring[at - 1].node, &r.read));
	RING_WAIT(is_set(&r.is_done));
	*count = r.count;
	return r.rc;
}

static void await_done(struct rc_await *await, enum code rc, const struct err *err)
{
	struct ring_await *a = container_of(await, struct ring_await, await);

	pthread_mutex_lock(&ring_lock);
	ck_assert(!a->is_done && err->code == rc);
	a->is_done = true;
	a->rc = rc;
	a->count = ring[a->at - 1].state.count;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&ring_lock);
}

void ring_await(struct ring_await *a, unsigned at, uint64_t index,
		uint32_t timeout_ms)
{
	*a = (struct ring_await){ .await = { index, timeout_ms, await_done },
				  .at = at };
	ck_assert(rc_await(ring[at - 1].node, &a->await));
}

enum code ring_awaited(struct ring_await *a)
{
	RING_WAIT(is_set(&a->is_done));
	return a->rc;
}

/* ---- certificates ---- */

struct authority {
	EVP_PKEY *key;
	X509 *cert;
	char file[96];
};

static void add_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(ext);
	ck_assert_int_eq(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static X509 *make(EVP_PKEY *key, const char *name, const char *uri,
		  const struct authority *by)
{
	X509 *x = X509_new();
	static long serial = 1;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * 30);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by ? by->cert : x));
	add_ext(x, NID_basic_constraints,
		by ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (uri)
		add_ext(x, NID_subject_alt_name, uri);
	ck_assert_int_gt(X509_sign(x, by ? by->key : key, EVP_sha256()), 0);
	return x;
}

static void save(const char *path, X509 *x, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	if (x)
		PEM_write_X509(f, x);
	else
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static const struct authority *authority(unsigned ca)
{
	static struct authority all[3];
	struct authority *a = &all[ca];

	if (a->key)
		return a;
	a->key = EVP_EC_gen("P-256");
	a->cert = make(a->key, ca == 1 ? "first" : "second", NULL, NULL);
	snprintf(a->file, sizeof(a->file), "%s/ca%u.pem", folder, ca);
	save(a->file, a->cert, NULL);
	return a;
}

const struct net_tls *ring_cert(unsigned ca, unsigned id)
{
	static char files[16][2][96];
	static struct net_tls all[16];
	static unsigned next;
	const struct authority *a = authority(ca);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char uri[64];
	unsigned i = next++ % 16;
	X509 *x;

	snprintf(uri, sizeof(uri), "URI:conflux://node/%u", id);
	x = make(key, "node", uri, a);
	snprintf(files[i][0], 96, "%s/%u.pem", folder, i);
	snprintf(files[i][1], 96, "%s/%u.key", folder, i);
	save(files[i][0], x, NULL);
	save(files[i][1], NULL, key);
	X509_free(x);
	EVP_PKEY_free(key);
	all[i] = (struct net_tls){ files[i][0], files[i][1], a->file };
	return &all[i];
}
