/*
 * Who was added anew while this node was away.
 *
 * A node that installs a checkpoint does not see that an id was removed and added
 * again before it, so it would keep the incarnation of before and deny the new node
 * for good.  What it kept over a checkpoint, or because it could not write that a node
 * had left, is doubtful: where such a node comes with another data directory, whoever
 * leads (where nobody does, another member) is asked as nodes ask that form a cluster
 * (former.c).  If that one knows the id under just this incarnation, then so does this
 * node from now on, and lets it in the next time.
 */
#include "base/log.h"
#include "base/mem.h"
#include "node/driver.h"
#include "node/form.h"

#include "base/banned.h"

static bool says_so(const struct rc_node *n, const struct form_statement *s)
{
	const struct doubt *d = &n->doubt;
	const struct uuid *is = known_of(&n->known, s->self.id);

	/* Who is not known himself speaks for nobody. */
	if (s->phase != FORM_FORMED || s->self.id != d->asked || !is ||
	    !uuid_eq(is, &s->self.incarnation) ||
	    !uuid_eq(&s->cluster, &n->view.cluster))
		return false;
	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i].id == d->id)
			return uuid_eq(&s->members[i].incarnation,
				       &d->incarnation);
	return false;
}

static void let_in(struct rc_node *n)
{
	struct doubt *d = &n->doubt;
	struct err err;

	if (!known_is_doubtful(&n->known, d->id))
		return;
	if (known_replace(&n->known, d->id, &d->incarnation, &err))
		log_warn(PART, LOG_KV(log_u("node", d->id),
				      log_z("error", err.text)),
			 "that a node was added anew cannot be written down");
	else
		log_info(PART, LOG_KV(log_u("node", d->id), log_u("by", d->asked)),
			 "a node was added anew while this one was away");
}

static void answered(struct net_ask *ask, enum code rc, uint64_t from,
		     struct str answer, const struct err *err)
{
	struct doubt *d = container_of(ask, struct doubt, ask);
	struct rc_node *n = container_of(d, struct rc_node, doubt);
	struct form_statement *s;

	d->is_asking = false;
	if (rc || node_has_ended(n) || from != d->asked)
		return;
	s = mem_zero(sizeof(*s));
	if (form_decode(answer, s, &(struct err){ 0 }) == OK && says_so(n, s)) {
		let_in(n);
		d->id = 0;
	}
	free(s);
}

/* The one that leads; else one after another. */
static const struct link *whom(struct rc_node *n)
{
	const struct link *l = link_of(n, n->view.leader);

	for (size_t i = 0; i < n->n_links && (!l || l->id == n->doubt.id); i++) {
		l = n->links[n->doubt.turn++ % n->n_links];
		if (!l->is_up)
			l = NULL;
	}
	return l && l->id != n->doubt.id ? l : NULL;
}

void doubt_denied(struct rc_node *n, uint64_t id, const struct uuid *incarnation)
{
	struct doubt *d = &n->doubt;

	if (d->is_asking || !known_is_doubtful(&n->known, id))
		return;
	d->id = id;
	d->incarnation = *incarnation;
}

void doubt_tick(struct rc_node *n)
{
	struct doubt *d = &n->doubt;
	const struct link *l;
	struct err err;

	if (!d->id || d->is_asking || node_has_ended(n))
		return;
	l = whom(n);
	if (!l)
		return;
	d->asked = l->id;
	d->ask.done = answered;
	d->is_asking = net_ask(n->net, str_of(l->address), &d->ask, &err) == OK;
}
