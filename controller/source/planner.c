/* Plans without applying: see planner.h. */
#include "source/planner.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/list.h"
#include "base/mem.h"
#include "source/pass.h"
#include "state/plan.h"

#include "base/banned.h"

#define TRIES 4

struct planning {
	struct list at;
	struct planner *planner;
	struct planner_ask ask;
	struct work work;
	struct job job;
};

struct planner {
	struct store *store;
	struct pool *pool;
	const struct source_settings *settings;
	void (*idle)(void *data);
	void *data;
	struct list queue;
	size_t n;
	struct planning *running;
	bool is_stopping;
};

/* ---- one plan, on a worker ---- */

/* Another commit than the newest, where one was named. */
static enum code choose(struct pass *p, struct str commit, struct err *err)
{
	enum code rc;

	if (commit.n == 0)
		return OK;
	rc = repo_resolve(p->repo, commit, &p->fetched.commit, err);
	if (rc == OK)
		rc = repo_commit(p->repo, &p->fetched.commit, &p->commit, err);
	if (rc)
		return rc;
	p->revision = status_revision(p->arena, p->ref, &p->fetched.commit);
	str_copy(p->job->result.revision, sizeof(p->job->result.revision),
		 p->revision);
	return OK;
}

/* Keeping it is the cluster's own write; what it does is the source's. */
static enum code keep(struct pass *p, struct str bytes,
		      const struct sha256 *digest, struct err *err)
{
	struct command c = { .type = COMMAND_OPS, .time_ms = clock_wall_ms() };
	struct outcome out = { 0 };
	AUTO_BUF encoded = BUF_NONE;
	struct op *op = command_op(p->arena, &c, OP_PLAN_PUT);
	enum code rc;

	c.subject = (struct subject){ .name = STR("system"),
				      .role = ROLE_SYSTEM };
	c.credential = STR("source");
	c.origin = p->config.origin;
	op->tenant = p->tenant;
	op->sha = *digest;
	op->bytes = bytes;
	command_encode(&encoded, &c);
	rc = store_submit_wait(p->job->store, buf_view(&encoded), p->arena, &out,
			       err);
	if (rc || out.code == OK)
		return rc;
	err_set(err, out.code, "%s", out.text);
	return out.hint[0] ? err_hint(err, "%s", out.hint) : out.code;
}

static enum code make(struct pass *p, struct err *err)
{
	struct job *j = p->job;
	AUTO_BUF bytes = BUF_NONE;
	struct sha256 digest;
	enum code rc = pass_load(p, 0, err);

	if (rc == OK)
		rc = pass_plan(p, err);
	if (rc == OK)
		rc = feed_flush(p->feed, err);
	if (rc)
		return rc;
	j->result.operations = plan_size(p->plan);
	plan_command(p->plan, pass_ready_status(p), clock_wall_ms(), &bytes);
	rc = view_use(p->view, 0, &p->txn, err);
	if (rc == OK)
		rc = planned_digest(p->txn, buf_view(&bytes), &digest, err);
	view_idle(p->view);
	if (rc == OK)
		rc = keep(p, buf_view(&bytes), &digest, err);
	if (rc == OK)
		hex_text(j->result.plan, digest.b, sizeof(digest.b));
	return rc;
}

static enum code plan(struct pass *p, struct str commit, struct err *err)
{
	enum code rc = pass_load(p, 0, err);

	view_idle(p->view);
	if (rc == OK)
		rc = pass_fetch(p, err);
	if (rc == OK)
		rc = pass_open_commit(p, err);
	if (rc == OK)
		rc = choose(p, commit, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < TRIES; i++) {
		rc = make(p, err);
		pass_plan_end(p);
		if ((rc != E_CONFLICT && rc != E_BLOB_MISSING) ||
		    pass_is_cancelled(p))
			break;
	}
	return rc;
}

static void run(struct work *work)
{
	struct planning *x = container_of(work, struct planning, work);
	struct source_result *res = &x->job.result;
	struct pass p;
	struct err err = { 0 };
	enum code rc = pass_begin(&p, &x->job, &err);

	if (rc == OK)
		rc = plan(&p, str_of(x->ask.commit), &err);
	pass_end(&p);
	if (rc == OK)
		return;
	res->code = rc;
	str_copy(res->text, sizeof(res->text), str_of(err.text));
	str_copy(res->hint, sizeof(res->hint), str_of(err.hint));
}

/* ---- one after another ---- */

static void refuse(struct source_wait *wait, enum code rc, const char *text)
{
	struct source_result result = { .code = rc };

	str_copy(result.text, sizeof(result.text), str_of(text));
	source_wait_answer(wait, &result);
}

static void start_next(struct planner *p);

static void done(struct work *work)
{
	struct planning *x = container_of(work, struct planning, work);
	struct planner *p = x->planner;

	source_wait_answer(x->ask.wait, &x->job.result);
	free(x);
	p->running = NULL;
	if (!p->is_stopping)
		start_next(p);
	else if (p->idle)
		p->idle(p->data);
}

static void start_next(struct planner *p)
{
	struct planning *x;

	while (!p->running &&
	       (x = list_first(&p->queue, struct planning, at))) {
		list_remove(&x->at);
		p->n--;
		x->work = (struct work){ .home = store_core_loop(p->store),
					 .run = run, .done = done };
		if (pool_submit(p->pool, &x->work)) {
			p->running = x;
			return;
		}
		refuse(x->ask.wait, E_BUSY, "too much work at once");
		free(x);
	}
}

void planner_add(struct planner *p, const struct planner_ask *ask)
{
	struct planning *x;

	if (p->is_stopping || !store_leads(p->store)) {
		refuse(ask->wait, p->is_stopping ? E_CANCELLED : E_NOT_LEADER,
		       "this node does not lead, or is stopping");
		return;
	}
	if (p->n >= PLANNER_QUEUE_MAX) {
		refuse(ask->wait, E_BUSY, "too many plans are asked for at once");
		return;
	}
	x = NEW(struct planning);
	x->planner = p;
	x->ask = *ask;
	x->job.store = p->store;
	x->job.settings = p->settings;
	x->job.plans = true;
	str_copy(x->job.tenant, sizeof(x->job.tenant), str_of(ask->tenant));
	str_copy(x->job.name, sizeof(x->job.name), str_of(ask->name));
	list_append(&p->queue, &x->at);
	p->n++;
	start_next(p);
}

/* ---- life ---- */

struct planner *planner_new(struct store *store, struct pool *pool,
			    const struct source_settings *settings,
			    void (*idle)(void *data), void *data)
{
	struct planner *p = NEW(struct planner);

	*p = (struct planner){ .store = store, .pool = pool,
			       .settings = settings, .idle = idle, .data = data };
	list_init(&p->queue);
	return p;
}

bool planner_stop(struct planner *p)
{
	struct planning *x;

	p->is_stopping = true;
	while ((x = list_first(&p->queue, struct planning, at))) {
		list_remove(&x->at);
		refuse(x->ask.wait, E_CANCELLED, "the reconciler is stopping");
		free(x);
	}
	p->n = 0;
	if (p->running)
		atomic_store(&p->running->job.cancel, true);
	return !p->running;
}

void planner_free(struct planner **planner)
{
	must(!*planner || !(*planner)->running);
	free(*planner);
	*planner = NULL;
}
