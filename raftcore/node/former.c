/*
 * Forming a cluster, with connections and time: who is where is asked at each
 * address that is known, again and again, and what they say goes to form.h.  When it
 * is agreed the node gets its identity and its log, and goes on as any other.
 *
 * A node that joins a cluster does the same until it has been told who is in it.
 * Nothing else happens on the raft loop meanwhile, so that the files are made there.
 */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/addr.h"
#include "node/driver.h"
#include "node/form.h"
#include "raftcore/form.h"

#include "base/banned.h"

#define ASK_EACH_MS 200u
#define RESOLVE_EACH_MS 1000u
#define LOG_EACH_MS 10000u
#define TARGETS_MAX 64

struct target {
	struct net_ask ask;
	struct former *former;
	char address[272];
	uint64_t due_ms;
	bool is_asking, is_wanted;
};

struct former {
	struct rc_node *node;
	struct form *form;
	bool is_over;
	/* Agreed, and there is no room to write it down: nothing else is agreed. */
	struct form_outcome *agreed;
	size_t n_targets;
	struct target *targets[TARGETS_MAX];
	char trouble[200];               /* of the last that did not answer */
	char logged[300];
	uint64_t logged_ms;

	/* The name, and what it resolves to: each ended by NUL.  The worker's while
	 * it is out. */
	struct work work;
	bool is_resolving;
	uint64_t resolve_ms;
	struct buf resolved;
	struct err resolve_err;
	enum code resolve_rc;
};

static void look(struct former *f);
static void say(struct former *f);

static void note_trouble(struct former *f, const struct err *err)
{
	(void)str_copy(f->trouble, sizeof(f->trouble), str_of(err->text));
}

/* ---- what this node says ---- */

static void founder_of(struct founder *out, uint64_t id,
		       const struct uuid *incarnation, const char *address)
{
	*out = (struct founder){ .id = id };
	if (incarnation)
		out->incarnation = *incarnation;
	(void)str_copy(out->address, sizeof(out->address), str_of(address));
}

static void self_of(const struct rc_node *n, struct founder *out)
{
	founder_of(out, n->config.node_id,
		   &node_core_identity(n->core)->incarnation,
		   n->config.address);
}

/* Of a node that has a cluster. */
static void state_formed(const struct rc_node *n, struct form_statement *s)
{
	const struct identity *id = node_core_identity(n->core);
	struct node_peer peers[PEERS_MAX];
	size_t count = MIN(node_core_peers(n->core, peers, PEERS_MAX),
			   (size_t)FORM_MEMBERS_MAX);

	s->phase = count ? FORM_FORMED : FORM_JOINING;
	self_of(n, &s->self);
	s->cluster = id->cluster;
	s->n_founders = id->n_founders;
	memcpy(s->founders, id->founders, sizeof(id->founders));
	s->n_members = count;
	for (size_t i = 0; i < count; i++)
		founder_of(&s->members[i], peers[i].id,
			   peers[i].id == id->node ?
				   &id->incarnation :
				   known_of(&n->known, peers[i].id),
			   peers[i].address);
}

/* Who asks says who it is; only to tell the operator. */
static void note_stranger(struct rc_node *n, uint64_t from,
			  const struct uuid *incarnation)
{
	const struct uuid *is = known_of(&n->known, from);
	uint64_t now = node_now(n);

	if (!is || uuid_is_none(incarnation) || uuid_eq(is, incarnation) ||
	    (n->stranger_ms && now < n->stranger_ms + LOG_EACH_MS))
		return;
	n->stranger_ms = now;
	log_warn(PART, LOG_KV(log_u("node", from)),
		 "a node is there with another data directory than before, and is "
		 "not let in: remove it from the cluster, then add it anew");
}

void former_on_ask(void *node, uint64_t from, const struct uuid *incarnation,
		   struct buf *answer)
{
	struct rc_node *n = node;
	struct form_statement *s = mem_zero(sizeof(*s));

	if (!n->has_started)
		goto out;
	if (n->former && !n->former->is_over) {
		form_state(n->former->form, s);
	} else {
		note_stranger(n, from, incarnation);
		state_formed(n, s);
	}
	form_encode(answer, s);
out:
	free(s);
}

/* ---- asking ---- */

static void answered(struct net_ask *ask, enum code rc, uint64_t from,
		     struct str answer, const struct err *err)
{
	struct target *t = container_of(ask, struct target, ask);
	struct former *f = t->former;
	struct form_statement *s;
	struct err own = { 0 };

	t->is_asking = false;
	t->due_ms = node_now(f->node) + ASK_EACH_MS;
	if (f->is_over)
		return;
	s = mem_zero(sizeof(*s));
	if (rc == OK) {
		rc = form_decode(answer, s, &own);
		err = &own;
	}
	if (rc == OK && s->self.id != from) {
		rc = err_set(&own, E_INVALID, "it says that it is node %llu and "
			     "node %llu", (unsigned long long)from,
			     (unsigned long long)s->self.id);
		err = &own;
	}
	if (rc)
		note_trouble(f, err);
	else
		f->trouble[0] = '\0';
	if (rc == OK)
		form_hear(f->form, node_now(f->node), s);
	free(s);
	look(f);
}

static void ask(struct target *t, uint64_t now)
{
	struct former *f = t->former;
	struct err err;

	t->due_ms = now + ASK_EACH_MS;
	t->ask.done = answered;
	if (net_ask(f->node->net, str_of(t->address), &t->ask, &err))
		note_trouble(f, &err);
	else
		t->is_asking = true;
}

static void want(struct former *f, struct str address)
{
	struct target *free_one = NULL;

	for (size_t i = 0; i < f->n_targets; i++) {
		struct target *t = f->targets[i];

		if (str_eq(str_of(t->address), address)) {
			t->is_wanted = true;
			return;
		}
		if (!t->is_wanted && !t->is_asking)
			free_one = t;
	}
	if (!free_one && f->n_targets < TARGETS_MAX)
		free_one = f->targets[f->n_targets++] = NEW(struct target);
	if (!free_one || !str_copy(free_one->address,
				   sizeof(free_one->address), address))
		return;
	free_one->former = f;
	free_one->is_wanted = true;
	free_one->due_ms = node_now(f->node);
}

static void want_members(struct former *f)
{
	const struct rc_node *n = f->node;

	for (size_t i = 0; i < n->config.n_members; i++)
		if (n->members[i].id != n->config.node_id)
			want(f, str_of(n->members[i].address));
}

/* ---- the name ---- */

static enum code resolve(const char *name, struct buf *out, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char host[ADDR_HOST_MAX];
	uint16_t port;
	enum code rc = addr_split(str_of(name), host, &port, err);
	int bad;

	if (rc)
		return rc;
	bad = getaddrinfo(host, NULL, &hints, &list);
	if (bad)
		return err_set(err, E_NOT_FOUND, "%s: %s", host,
			       gai_strerror(bad));
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		struct stream_addr at;

		addr_of(a->ai_addr, &at);
		buf_printf(out, strchr(at.host, ':') ? "[%s]:%u" : "%s:%u",
			   at.host, port);
		buf_c(out, '\0');
	}
	freeaddrinfo(list);
	return OK;
}

static void resolve_run(struct work *work)
{
	struct former *f = container_of(work, struct former, work);

	buf_reset(&f->resolved);
	f->resolve_rc = resolve(f->node->config.discover, &f->resolved,
				&f->resolve_err);
}

static void resolve_done(struct work *work)
{
	struct former *f = container_of(work, struct former, work);
	struct str rest = buf_view(&f->resolved);

	f->is_resolving = false;
	if (!node_work_home(f->node) || f->is_over)
		return;
	f->resolve_ms = node_now(f->node) + RESOLVE_EACH_MS;
	node_touch(f->node);
	if (f->resolve_rc) {
		note_trouble(f, &f->resolve_err);
		say(f);
		return;
	}
	for (size_t i = 0; i < f->n_targets; i++)
		f->targets[i]->is_wanted = false;
	want_members(f);
	while (rest.n)
		want(f, str_cut(&rest, '\0'));
}

static void resolve_start(struct former *f)
{
	struct rc_node *n = f->node;

	f->resolve_ms = node_now(n) + RESOLVE_EACH_MS;
	f->work = (struct work){ .home = n->loop, .run = resolve_run,
				 .done = resolve_done };
	if (!pool_submit(n->config.pool, &f->work))
		return;
	f->is_resolving = true;
	n->works++;
}

/* ---- the end of it ---- */

static void take_members(struct rc_node *n, const struct form_outcome *o)
{
	if (o->n_members == 0)
		return;
	node_free_members(n);
	n->members = mem_zero(o->n_members * sizeof(*n->members));
	n->config.n_members = o->n_members;
	for (size_t i = 0; i < o->n_members; i++)
		n->members[i] = (struct rc_member){
			o->members[i].id,
			mem_dup(o->members[i].address,
				strlen(o->members[i].address)) };
	n->config.members = n->members;
}

/* Without room what is agreed may be on the disk already: it is written again, and
 * nothing else is agreed.  Until then this node says what it said before. */
static void put_off(struct former *f, const struct form_outcome *o,
		    const struct err *err)
{
	if (!f->agreed) {
		f->agreed = mem_zero(sizeof(*o));
		*f->agreed = *o;
	}
	note_trouble(f, err);
	say(f);
	node_touch(f->node);
}

static void end(struct former *f, const struct form_outcome *o)
{
	struct rc_node *n = f->node;
	bool is_new = node_core_waits(n->core);
	struct err err = { 0 };
	enum code rc = OK;
	char text[37];

	/* A node that joins may have a machine that waits for room already. */
	if (is_new) {
		rc = node_core_form(n->core, &o->cluster, o->founders,
				    o->n_founders, &err);
		if (room_machine(n, rc, &err, former_again)) {
			put_off(f, o, &err);
			return;
		}
	}
	uuid_text(text, o->cluster);
	if (rc == OK)
		log_info(PART, LOG_KV(log_z("cluster", text),
				      log_u("founders", o->n_founders)),
			 o->n_founders ? "a new cluster is formed" :
					 "this node joins a cluster");
	f->is_over = true;
	take_members(n, o);
	if (rc == OK && is_new)
		node_formed(n);
	node_touch(n);
}

void former_again(struct rc_node *n)
{
	end(n->former, n->former->agreed);
}

static void say(struct former *f)
{
	struct rc_node *n = f->node;
	uint64_t now = node_now(n);
	char text[300];

	snprintf(text, sizeof(text), "%s%s%.150s%s", form_waits_for(f->form),
		 f->trouble[0] ? " (" : "", f->trouble,
		 f->trouble[0] ? ")" : "");
	pthread_mutex_lock(&n->shown.lock);
	memcpy(n->shown.waits_for, text, sizeof(text));
	pthread_mutex_unlock(&n->shown.lock);
	if (strcmp(text, f->logged) == 0 ||
	    (f->logged_ms && now < f->logged_ms + LOG_EACH_MS))
		return;
	f->logged_ms = now;
	memcpy(f->logged, text, sizeof(text));
	log_info(PART, LOG_NO_KV, "waits for its cluster: %s", text);
}

static void look(struct former *f)
{
	struct form_outcome *o;
	struct uuid fresh = uuid_new();

	if (f->agreed)
		return;
	o = mem_zero(sizeof(*o));
	if (form_step(f->form, node_now(f->node), &fresh, o) == FORM_WAIT)
		say(f);
	else
		end(f, o);
	free(o);
}

/* ---- life ---- */

void former_open(struct rc_node *n)
{
	struct form_config c = { .expect = n->config.expect };
	struct node_peer peer;
	struct former *f;

	if (!n->config.forms || node_core_peers(n->core, &peer, 1))
		return;
	if (!node_core_waits(n->core))
		c.joining = node_core_identity(n->core)->cluster;
	self_of(n, &c.self);
	f = n->former = NEW(struct former);
	f->node = n;
	f->form = form_new(&c);
	f->resolve_ms = UINT64_MAX;
	want_members(f);
	if (n->config.discover)
		resolve_start(f);
	look(f);
}

void former_timeout(struct rc_node *n)
{
	struct former *f = n->former;
	uint64_t now = node_now(n);

	if (!f || f->is_over)
		return;
	if (n->config.discover && !f->is_resolving && now >= f->resolve_ms)
		resolve_start(f);
	for (size_t i = 0; i < f->n_targets; i++) {
		struct target *t = f->targets[i];

		if (t->is_wanted && !t->is_asking && now >= t->due_ms)
			ask(t, now);
	}
}

uint64_t former_deadline(const struct rc_node *n)
{
	const struct former *f = n->former;
	uint64_t due = UINT64_MAX;

	if (!f || f->is_over)
		return due;
	if (!f->is_resolving)
		due = f->resolve_ms;
	for (size_t i = 0; i < f->n_targets; i++)
		if (f->targets[i]->is_wanted && !f->targets[i]->is_asking)
			due = MIN(due, f->targets[i]->due_ms);
	return due;
}

bool former_is_active(const struct rc_node *n)
{
	return n->former && !n->former->is_over;
}

void former_free(struct rc_node *n)
{
	struct former *f = TAKE(n->former);

	if (!f)
		return;
	form_free(&f->form);
	free(f->agreed);
	for (size_t i = 0; i < f->n_targets; i++)
		free(f->targets[i]);
	buf_fini(&f->resolved);
	free(f);
}

/* ---- by hand ---- */

struct initializing {
	struct errand errand;
	struct rc_initialize *initialize;
	enum code rc;
	struct err err;
};

static void tell_initialized(struct rc_node *n, struct errand *errand)
{
	struct initializing *x = container_of(errand, struct initializing, errand);

	x->initialize->done(x->initialize, x->rc, &x->err);
	free(x);
}

static void initialize(struct rc_node *n, struct errand *errand)
{
	struct initializing *x = container_of(errand, struct initializing, errand);
	char text[37];

	if (node_has_ended(n)) {
		x->rc = err_set(&x->err, E_UNAVAILABLE, "the node is stopping");
	} else if (!former_is_active(n) || !node_core_waits(n->core)) {
		uuid_text(text, node_core_identity(n->core)->cluster);
		x->rc = err_set(&x->err, E_EXISTS, "this node belongs to cluster %s "
				"already", text);
	} else if (n->config.expect) {
		x->rc = err_set(&x->err, E_CONFLICT, "the cluster is formed by itself "
				"when %u nodes are there", n->config.expect);
	} else {
		form_expect(n->former->form, node_now(n), x->initialize->expect);
		look(n->former);
	}
	node_touch(n);
	x->errand.run = tell_initialized;
	errands_put_sure(&n->to_apply, &x->errand);
}

bool rc_initialize(struct rc_node *n, struct rc_initialize *i)
{
	struct initializing *x = NEW(struct initializing);

	x->errand.run = initialize;
	x->initialize = i;
	if (errands_put(&n->to_raft, &x->errand))
		return true;
	free(x);
	return false;
}
