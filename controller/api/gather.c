/*
 * Sums over the loops of the api.  Each loop reads its own: what is asked for goes
 * there as a message and comes back as another, and the request is answered when all
 * have.  Loops that have ended are left out.
 */
#include "api/own.h"

#include "base/mem.h"

#include "base/banned.h"

struct gathering;

struct part {
	struct msg msg;
	struct gathering *gathering;
	struct api_loop *at;
	struct api_sums sums;
};

struct gathering {
	struct caller caller;            /* request.data meanwhile */
	struct request *r;               /* NULL: the connection ended */
	struct loop *home;
	api_gathered *done;
	unsigned left;
	struct part parts[];
};

static void add(struct api_sums *sum, const struct api_sums *one)
{
	sum->http.connections += one->http.connections;
	sum->http.connections_now += one->http.connections_now;
	sum->http.requests += one->http.requests;
	sum->http.refused += one->http.refused;
	sum->http.bytes_in += one->http.bytes_in;
	sum->http.bytes_out += one->http.bytes_out;
	sum->http.streams_now += one->http.streams_now;
	for (unsigned i = 0; i < ARRAY_LEN(sum->http.by_class); i++)
		sum->http.by_class[i] += one->http.by_class[i];
	sum->watch.now += one->watch.now;
	sum->watch.behind += one->watch.behind;
	sum->watch.told += one->watch.told;
	sum->watch.rows += one->watch.rows;
	sum->shed += one->shed;
	sum->overloaded += one->overloaded;
	sum->turn_recent_us = MAX(sum->turn_recent_us, one->turn_recent_us);
}

static void answer_all(struct gathering *g)
{
	struct api_sums sum = { .loops = caller_of(g->r)->at->api->n };
	struct request *r = g->r;
	struct caller *caller = ANEW(r->arena, struct caller);

	for (unsigned i = 0; i < sum.loops; i++)
		add(&sum, &g->parts[i].sums);
	*caller = g->caller;
	r->data = caller;
	r->on_gone = NULL;
	g->done(r, &sum);
}

static void release(struct gathering *g)
{
	if (--g->left > 0)
		return;
	if (g->r)
		answer_all(g);
	free(g);
}

static void come_back(struct msg *msg)
{
	release(container_of(msg, struct part, msg)->gathering);
}

static void look(struct part *p)
{
	struct loop_stats stats;

	http_server_stats(p->at->server, &p->sums.http);
	watching_stats(p->at->watching, &p->sums.watch);
	loop_stats_take(p->at->loop, &stats);
	p->sums.turn_recent_us = stats.turn_recent_us;
	p->sums.shed = p->at->admission.shed;
	p->sums.overloaded = p->at->admission.is_overloaded;
}

static void look_there(struct msg *msg)
{
	struct part *p = container_of(msg, struct part, msg);

	look(p);
	p->msg.run = come_back;
	loop_post_sure(p->gathering->home, &p->msg);
}

static void gone(struct request *r)
{
	container_of(caller_of(r), struct gathering, caller)->r = NULL;
}

void api_gather(struct request *r, api_gathered *done)
{
	struct api *api = caller_of(r)->at->api;
	struct gathering *g = mem_zero(sizeof(*g) + api->n * sizeof(g->parts[0]));

	g->caller = *caller_of(r);
	g->r = r;
	g->home = r->loop;
	g->done = done;
	g->left = api->n + 1;
	r->data = &g->caller;
	r->on_gone = gone;
	for (unsigned i = 0; i < api->n; i++) {
		struct part *p = &g->parts[i];

		p->gathering = g;
		p->at = &api->loops[i];
		p->msg.run = look_there;
		if (p->at == g->caller.at)
			look(p);
		else if (loop_post(p->at->loop, &p->msg))
			continue;
		g->left--;
	}
	release(g);
}
