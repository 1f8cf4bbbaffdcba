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
	/* Its tenant's only plan at the moment; then one of all jobs. */
	struct seat of_tenant, of_all;
	struct work work;
	struct job job;
};

struct planner {
	struct store *store;
	struct pool *pool;
	const struct source_settings *settings;
	struct seats *tenants, *all;
	struct clones *clones;
	void (*ended)(void *data);
	void *data;
	struct list waiting, running;
	size_t n_waiting;
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

static void planning_end(struct planning *x)
{
	list_remove(&x->at);
	seat_leave(&x->of_all);
	seat_leave(&x->of_tenant);
	free(x);
}

static void done(struct work *work)
{
	struct planning *x = container_of(work, struct planning, work);
	struct planner *p = x->planner;

	source_wait_answer(x->ask.wait, &x->job.result);
	planning_end(x);
	p->ended(p->data);
}

static void on_seat(struct seat *seat)
{
	struct planning *x = container_of(seat, struct planning, of_all);
	struct planner *p = x->planner;

	x->work = (struct work){ .home = store_core_loop(p->store), .run = run,
				 .done = done };
	p->n_waiting--;
	if (pool_submit(p->pool, &x->work)) {
		list_remove(&x->at);
		list_append(&p->running, &x->at);
		return;
	}
	refuse(x->ask.wait, E_BUSY, "too much work at once");
	planning_end(x);
}

static void on_tenants_seat(struct seat *seat)
{
	struct planning *x = container_of(seat, struct planning, of_tenant);

	seat_ask(x->planner->all, str_of(x->job.tenant), &x->of_all);
}

static bool is_full(struct planner *p, const struct planner_ask *ask)
{
	struct planning *x;
	size_t n = 0;

	list_each(&p->waiting, x, at)
		n += strcmp(x->job.tenant, ask->tenant) == 0;
	return p->n_waiting >= PLANNER_QUEUE_MAX || n >= PLANNER_TENANT_MAX;
}

void planner_add(struct planner *p, const struct planner_ask *ask)
{
	struct planning *x;

	if (p->is_stopping || !store_leads(p->store)) {
		refuse(ask->wait, p->is_stopping ? E_CANCELLED : E_NOT_LEADER,
		       "this node does not lead, or is stopping");
		return;
	}
	if (is_full(p, ask)) {
		refuse(ask->wait, E_BUSY, "too many plans are asked for at once");
		return;
	}
	x = NEW(struct planning);
	x->planner = p;
	x->ask = *ask;
	x->of_tenant.start = on_tenants_seat;
	x->of_all.start = on_seat;
	x->job.store = p->store;
	x->job.settings = p->settings;
	x->job.clones = p->clones;
	x->job.plans = true;
	str_copy(x->job.tenant, sizeof(x->job.tenant), str_of(ask->tenant));
	str_copy(x->job.name, sizeof(x->job.name), str_of(ask->name));
	list_append(&p->waiting, &x->at);
	p->n_waiting++;
	seat_ask(p->tenants, str_of(x->job.tenant), &x->of_tenant);
}

/* ---- life ---- */

struct planner *planner_new(struct store *store, struct pool *pool,
			    const struct source_settings *settings,
			    struct seats *seats, struct clones *clones,
			    void (*ended)(void *data), void *data)
{
	struct planner *p = NEW(struct planner);

	*p = (struct planner){ .store = store, .pool = pool,
			       .settings = settings, .all = seats, .clones = clones,
			       .ended = ended, .data = data };
	p->tenants = seats_new(UINT_MAX, 1);
	list_init(&p->waiting);
	list_init(&p->running);
	return p;
}

bool planner_stop(struct planner *p)
{
	struct planning *x;

	p->is_stopping = true;
	/* The last goes first: what ends lets nobody begin. */
	while (!list_empty(&p->waiting)) {
		x = container_of(p->waiting.prev, struct planning, at);
		refuse(x->ask.wait, E_CANCELLED, "the reconciler is stopping");
		planning_end(x);
	}
	p->n_waiting = 0;
	list_each(&p->running, x, at)
		atomic_store(&x->job.cancel, true);
	return list_empty(&p->running);
}

void planner_free(struct planner **planner)
{
	struct planner *p = *planner;

	if (!p)
		return;
	must(list_empty(&p->running) && list_empty(&p->waiting));
	seats_free(&p->tenants);
	free(p);
	*planner = NULL;
}
