/*
 * The machine, on the apply loop: batches, and the state of a checkpoint that
 * came from another node; what the owner is told there.
 */
#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

/* ---- failure and roles ---- */

static void tell_fatal(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.fatal);

	if (n->config.on_fatal)
		n->config.on_fatal(n->config.data, &n->machine.fatal_err);
}

void host_fatal(void *host, const struct err *err)
{
	struct rc_node *n = host;

	err_copy(&n->machine.fatal_err, err);
	atomic_store(&n->shown.failed, true);
	atomic_store(&n->shown.ready, false);
	n->machine.fatal.run = tell_fatal;
	loop_post_sure(n->config.apply_loop, &n->machine.fatal);
}

struct role {
	struct errand errand;
	bool is_leader;
	uint64_t leader, term;
};

static void tell_role(struct rc_node *n, struct errand *errand)
{
	struct role *r = container_of(errand, struct role, errand);

	if (n->config.on_role && !node_has_ended(n))
		n->config.on_role(n->config.data, r->is_leader, r->leader,
				  r->term);
	free(r);
}

void host_role(void *host, bool is_leader, uint64_t leader, uint64_t term)
{
	struct rc_node *n = host;
	struct role *r = NEW(struct role);

	*r = (struct role){ { .run = tell_role }, is_leader, leader, term };
	errands_put_sure(&n->to_apply, &r->errand);
}

/* ---- states that differ ---- */

struct divergence {
	struct errand errand;
	enum rc_divergence what;
	struct err err;
};

static void tell_divergence(struct rc_node *n, struct errand *errand)
{
	struct divergence *d = container_of(errand, struct divergence, errand);

	if (n->config.on_divergence && !node_has_ended(n))
		n->config.on_divergence(n->config.data, d->what,
					d->what == RC_ALIKE ? NULL : &d->err);
	free(d);
}

static void explain(enum rc_divergence what, uint64_t index, uint64_t peer,
		    struct err *err)
{
	if (what == RC_FENCED) {
		err_set(err, E_CORRUPT, "the state of this node is not that of "
			"the majority at entry %llu: it is fenced",
			(unsigned long long)index);
		err_hint(err, "remove this node from the cluster, wipe its data "
			      "directory and let it join under a new id; keep a "
			      "copy of the directory for a report");
	} else {
		err_set(err, E_CORRUPT, "the state of node %llu is not that of "
			"this node at entry %llu", (unsigned long long)peer,
			(unsigned long long)index);
		err_hint(err, "see which of them says that it is fenced; where "
			      "none does there is no majority, and a backup or "
			      "an audit has to decide");
	}
}

void host_diverged(void *host, enum rc_divergence what, uint64_t index,
		   uint64_t peer)
{
	struct rc_node *n = host;
	struct divergence *d = NEW(struct divergence);

	d->errand.run = tell_divergence;
	d->what = what;
	if (what == RC_ALIKE)
		log_info(PART, LOG_KV(log_u("node", n->config.node_id)),
			 "all states are alike again");
	else
		explain(what, index, peer, &d->err);
	if (what != RC_ALIKE)
		log_error(PART, LOG_KV(log_z("error", d->err.text),
				       log_z("hint", d->err.hint)),
			  "states differ");
	atomic_store(&n->shown.divergence_index, index);
	atomic_store(&n->shown.divergence_peer, peer);
	atomic_store(&n->shown.divergence, what);
	errands_put_sure(&n->to_apply, &d->errand);
}

/* ---- batches ---- */

static void applied_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.applied);

	if (node_has_ended(n))
		return;
	if (room_machine(n, n->machine.rc, &n->machine.err,
			 machine_apply_again)) {
		node_touch(n);
		return;
	}
	node_core_applied(n->core, node_now(n), n->machine.rc, &n->machine.err,
			  &n->machine.stand);
	node_touch(n);
}

/* On the apply loop. */
static void applied_batch(struct rc_node *n)
{
	const struct rc_machine *m = &n->config.machine;
	struct machine_work *w = &n->machine;

	if (w->rc) {
		err_wrap(&w->err, "apply");
	} else {
		if (w->n_batch)
			atomic_store(&n->shown.applied,
				     w->batch[w->n_batch - 1].index);
		if (w->makes_ready)
			atomic_store(&n->shown.ready, true);
		/* Asking costs a system call. */
		if (atomic_load(&n->is_taking) || w->n_batches++ % 64 == 0)
			w->stand.bytes = m->bytes(m->data);
		if (w->wants_digest)
			m->digest(m->data, w->stand.digest);
	}
	w->applied.run = applied_here;
	loop_post_sure(n->loop, &w->applied);
}

static bool may_not_apply(const struct rc_node *n)
{
	return atomic_load(&n->shown.failed) || node_has_ended(n);
}

static void not_applied_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.applied);

	if (node_has_ended(n))
		return;
	node_core_applied(n->core, node_now(n), n->machine.rc, &n->machine.err,
			  NULL);
	node_touch(n);
}

/* The node has failed since the batch was handed on: who waits for it is told. */
static void pass_over(struct rc_node *n)
{
	struct machine_work *w = &n->machine;

	w->rc = err_set(&w->err, E_CANCELLED, "the node has failed");
	w->applied.run = not_applied_here;
	loop_post_sure(n->loop, &w->applied);
}

static void apply_more_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.apply);
	const struct rc_machine *m = &n->config.machine;
	bool more = false;

	/* What is begun is ended, also where the node has failed: the machine may
	 * have answered some already. */
	if (node_has_ended(n))
		return;
	loop_note(n->config.apply_loop, "apply");
	if (m->apply_more)
		n->machine.rc = m->apply_more(m->data, &more, &n->machine.err);
	if (more)
		loop_post_sure(n->config.apply_loop, msg);
	else
		applied_batch(n);
}

static void apply_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.apply);
	const struct rc_machine *m = &n->config.machine;
	struct machine_work *w = &n->machine;

	if (node_has_ended(n))
		return;
	if (may_not_apply(n)) {
		pass_over(n);
		return;
	}
	if (w->n_batch == 0) {
		w->rc = OK;
		applied_batch(n);
		return;
	}
	w->rc = m->apply(m->data, w->batch, w->n_batch, &w->err);
	if (w->rc) {
		applied_batch(n);
		return;
	}
	msg->run = apply_more_here;
	apply_more_here(msg);
}

void machine_apply_again(struct rc_node *n)
{
	n->machine.rc = OK;
	n->machine.apply.run = apply_here;
	loop_post_sure(n->config.apply_loop, &n->machine.apply);
}

void host_apply(void *host, const struct rc_entry *entries, size_t count,
		bool makes_ready, bool wants_digest)
{
	struct rc_node *n = host;

	n->machine.batch = entries;
	n->machine.n_batch = count;
	n->machine.makes_ready = makes_ready;
	n->machine.wants_digest = wants_digest;
	n->machine.apply.run = apply_here;
	loop_post_sure(n->config.apply_loop, &n->machine.apply);
}

/* ---- the state of a checkpoint ---- */

static void reopened_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.reopened);
	struct incoming *in = &n->incoming;
	uint64_t index;

	if (node_has_ended(n))
		return;
	if (room_machine(n, in->rc, &in->err, machine_reopen_again)) {
		node_touch(n);
		return;
	}
	index = in->of->index;
	if (in->rc == OK)
		atomic_store(&n->shown.applied, in->at.index);
	node_core_installed(n->core, node_now(n), in->rc, &in->at,
			    &n->machine.stand, &in->err);
	if (in->rc == OK && in->at.index >= index)
		event_tell(n, RC_EVENT_INSTALLED, index, 0, NULL);
	node_touch(n);
}

static void reopen(struct rc_node *n)
{
	const struct rc_machine *m = &n->config.machine;
	struct incoming *in = &n->incoming;
	AUTO_BUF state = BUF_NONE;
	AUTO_BUF picture = BUF_NONE;
	struct rc_checkpoint from = { .fs = node_core_files(n->core),
				      .index = in->of->index };

	buf_printf(&state, "%s/state", n->dir);
	checkpoint_path(n->checkpoint_dir, in->of, ".ckpt", &picture);
	loop_note(n->config.apply_loop, "install");
	machine_close(n);
	from.path = picture.p;
	in->rc = m->open(m->data, state.p, &from, &in->at, &in->err);
	if (in->rc)
		return;
	n->machine.is_open = true;
	n->machine.stand.bytes = m->bytes(m->data);
	if (m->digest)
		m->digest(m->data, n->machine.stand.digest);
}

static void reopen_here(struct msg *msg)
{
	struct rc_node *n = container_of(msg, struct rc_node, machine.reopen);

	if (may_not_apply(n))
		return;
	if (n->incoming.rc == OK)
		reopen(n);
	n->machine.reopened.run = reopened_here;
	loop_post_sure(n->loop, &n->machine.reopened);
}

void machine_reopen(struct rc_node *n, enum code rc)
{
	n->incoming.rc = rc;
	n->machine.reopen.run = reopen_here;
	loop_post_sure(n->config.apply_loop, &n->machine.reopen);
}

void machine_reopen_again(struct rc_node *n)
{
	machine_reopen(n, OK);
}

void machine_close(struct rc_node *n)
{
	if (n->machine.is_open)
		n->config.machine.close(n->config.machine.data);
	n->machine.is_open = false;
}
