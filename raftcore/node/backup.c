/*
 * Checkpoints on demand: what backups are made of.
 *
 * Who asks wants a checkpoint that has all that is applied now.  There may be one
 * already; else the next one is taken without waiting for the log to grow.  So
 * there is never a copy beside a checkpoint, and a backup costs the node what a
 * checkpoint costs it.
 */
#include "node/own.h"

#include "base/banned.h"

bool core_backup_waits(const struct node_core *c)
{
	for (const struct node_backup *b = c->backups; b; b = b->next_)
		if (b->index_ > c->base.index)
			return true;
	return false;
}

/* Tells those that wait for 'index' or less; 'rc' OK: with the newest one. */
static void tell(struct node_core *c, uint64_t index, enum code rc,
		 const struct err *err)
{
	struct node_backup **at = &c->backups;

	while (*at) {
		struct node_backup *b = *at;

		if (b->index_ > index) {
			at = &b->next_;
			continue;
		}
		*at = b->next_;
		b->done(b, rc, &c->base, err);
	}
}

void core_backups_ready(struct node_core *c)
{
	struct err err = { 0 };

	tell(c, c->base.index, OK, &err);
}

void core_backups_failed(struct node_core *c, enum code rc)
{
	struct err err;

	err_set(&err, rc, "no checkpoint could be taken");
	tell(c, c->pending.index, rc, &err);
}

void core_end_backups(struct node_core *c)
{
	struct err err;

	err_set(&err, E_UNAVAILABLE, "the node has failed or is stopping");
	tell(c, UINT64_MAX, E_UNAVAILABLE, &err);
}

void node_core_backup(struct node_core *c, uint64_t now_ms,
		      struct node_backup *b)
{
	struct err err;

	b->index_ = c->applied;
	b->next_ = c->backups;
	if (c->has_failed || c->applied == 0) {
		err_set(&err, E_UNAVAILABLE, "the node has failed, or has nothing "
			"yet");
		b->done(b, E_UNAVAILABLE, &c->base, &err);
	} else if (c->fence.is_on) {
		err_set(&err, E_UNAVAILABLE, "this node is fenced: its state is "
			"not that of the majority");
		b->done(b, E_UNAVAILABLE, &c->base, &err);
	} else if (!c->config.machine.freeze) {
		err_set(&err, E_UNSUPPORTED, "this node takes no checkpoints");
		b->done(b, E_UNSUPPORTED, &c->base, &err);
	} else {
		c->backups = b;
		core_backups_ready(c);
		core_apply_more(c, now_ms);
	}
}
