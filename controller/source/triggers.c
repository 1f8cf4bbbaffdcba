/* What others ask of the reconciler: see source.h. */
#include "source/own.h"

#include "base/mem.h"
#include "source/planner.h"

#include "base/banned.h"

struct nudge {
	struct msg msg;
	struct reconciler *r;
	struct source_wait *wait;        /* may be NULL */
	char tenant[ADDRESS_PART_MAX + 1], name[ADDRESS_NAME_MAX + 1];
	bool plans;
	char commit[OID_TEXT];           /* of a plan */
};

static void plan_nudged(struct nudge *n)
{
	struct planner_ask ask = { .wait = n->wait };

	str_copy(ask.tenant, sizeof(ask.tenant), str_of(n->tenant));
	str_copy(ask.name, sizeof(ask.name), str_of(n->name));
	str_copy(ask.commit, sizeof(ask.commit), str_of(n->commit));
	planner_add(n->r->planner, &ask);
}

static void on_nudge(struct msg *msg)
{
	struct nudge *n = container_of(msg, struct nudge, msg);
	struct reconciler *r = n->r;
	struct source_result result;
	struct strand *s;

	/* A source that was made in this very moment is known by its event. */
	if (!r->stopping && r->view)
		reconciler_read(r);
	s = reconciler_find(r, str_of(n->tenant), str_of(n->name));
	if (r->stopping || !s || s->is_deleted) {
		wait_refuse(&result, r->stopping ? E_CANCELLED : E_NOT_FOUND,
		       r->stopping ? "the reconciler is stopping" :
				     "there is no such source");
		if (n->wait)
			source_wait_answer(n->wait, &result);
	} else if (n->plans) {
		plan_nudged(n);
	} else {
		if (n->wait)
			list_append(&s->waiting, &n->wait->at_);
		strand_start(s);
	}
	free(n);
}

static struct nudge *nudge_new(struct reconciler *r, struct str ns,
			       struct str name, struct source_wait *wait)
{
	struct nudge *n = NEW(struct nudge);

	n->msg.run = on_nudge;
	n->r = r;
	n->wait = wait;
	/* A name that does not fit is one that no source has. */
	if (!str_copy(n->tenant, sizeof(n->tenant), ns) ||
	    !str_copy(n->name, sizeof(n->name), name))
		n->tenant[0] = '\0';
	if (wait)
		list_init(&wait->at_);
	return n;
}

static bool nudge_post(struct nudge *n)
{
	if (loop_post(n->r->loop, &n->msg))
		return true;
	free(n);
	return false;
}

bool source_trigger(struct reconciler *r, struct str ns, struct str name,
		    struct source_wait *wait)
{
	return nudge_post(nudge_new(r, ns, name, wait));
}

bool source_plan(struct reconciler *r, struct str ns, struct str name,
		 struct str commit, struct source_wait *wait)
{
	struct nudge *n = nudge_new(r, ns, name, wait);

	n->plans = true;
	/* One that does not fit is one that there is not. */
	if (!str_copy(n->commit, sizeof(n->commit), commit))
		str_copy(n->commit, sizeof(n->commit), STR("?"));
	return nudge_post(n);
}

void source_metrics(const struct reconciler *r, struct source_metrics *out)
{
	*out = (struct source_metrics){
		.sources = r->n_sources, .suspended = r->n_suspended,
		.failing = r->n_failing, .jobs_running = r->n_running,
		.jobs_done = r->jobs_done, .jobs_failed = r->jobs_failed,
		.commits_applied = r->commits, .operations = r->operations,
		.formatting_only = r->formatting, .fetch_bytes = r->fetch_bytes,
		.fetch_us_last = r->fetch_us, .plan_us_last = r->plan_us,
		.submit_us_last = r->submit_us,
		.subtrees_opened_last = r->opened,
	};
}
