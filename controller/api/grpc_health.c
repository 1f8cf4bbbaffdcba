/*
 * grpc.health.v1.Health: what /readyz says, for who asks in gRPC.  Needs no token,
 * as the others do not.
 *
 * Nothing tells that a node becomes ready or ceases to be, so a watch looks each
 * second.
 */
#include "api/grpc.h"

#include <stdatomic.h>

#include "api/grpc_schema.h"
#include "base/list.h"
#include "base/mem.h"
#include "gen/proto/health.pb-c.h"
#include "io/timer.h"

#include "base/banned.h"

#define LOOK_MS 1000
#define REQUEST_MAX 4096

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving;
#define SERVING(word) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##word

/* The whole node, or each service by its name. */
static bool is_service(const struct api_loop *at, struct str name)
{
	struct str one;

	for (size_t i = 0; name.n; i++) {
		one = grpc_schema_service(at->api->schema, i);
		if (!one.p || str_eq(one, name))
			return one.p;
	}
	return true;
}

static serving status_of(struct api_loop *at)
{
	struct store_status s;

	store_status(at->api->config.store, &s);
	return s.is_ready && !atomic_load(&at->api->is_leaving) ?
		       SERVING(SERVING) : SERVING(NOT_SERVING);
}

static void check(struct grpc_call *call, const ProtobufCMessage *m)
{
	Grpc__Health__V1__HealthCheckResponse answer =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	const Grpc__Health__V1__HealthCheckRequest *q = (const void *)m;
	struct api_loop *at = caller_of(grpc_request(call))->at;
	struct err err;

	if (!is_service(at, str_of(q->service))) {
		err_set(&err, E_NOT_FOUND, "there is no service %.100s",
			q->service);
		grpc_fail(call, &err);
		return;
	}
	answer.status = status_of(at);
	grpc_reply(call, &answer.base);
}

void grpc_health_check(struct request *r)
{
	static const struct grpc_method method = {
		.request = &grpc__health__v1__health_check_request__descriptor,
		.message = check, .bytes_max = REQUEST_MAX, .is_open = true,
	};

	grpc_serve(r, &method);
}

/* ---- watch ---- */

/* Those of a loop, and one look for all: who is not known may ask, and many. */
struct grpc_healths {
	struct api_loop *at;
	struct list watches;
	struct timer timer;
	serving told;
};

struct watching_health {
	struct list at_;
	struct grpc_call *call;
};

static void tell(struct grpc_call *call, serving status)
{
	Grpc__Health__V1__HealthCheckResponse answer =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	answer.status = status;
	grpc_send(call, &answer.base);
}

/* To tell one may be the end of others. */
static void tell_all(struct grpc_healths *h, serving status)
{
	struct watching_health *w;
	struct list rest;

	list_init(&rest);
	list_each(&h->watches, w, at_) {
		list_remove(&w->at_);
		list_append(&rest, &w->at_);
	}
	while ((w = list_first(&rest, struct watching_health, at_))) {
		list_remove(&w->at_);
		list_append(&h->watches, &w->at_);
		tell(w->call, status);
	}
}

static void on_look(struct timer *timer)
{
	struct grpc_healths *h = container_of(timer, struct grpc_healths, timer);
	serving status = status_of(h->at);

	if (list_empty(&h->watches))
		return;
	if (status != h->told)
		tell_all(h, status);
	h->told = status;
	timer_start(&h->timer, LOOK_MS);
}

struct grpc_healths *grpc_healths_new(struct api_loop *at)
{
	struct grpc_healths *h = NEW(struct grpc_healths);

	h->at = at;
	list_init(&h->watches);
	timer_init(&h->timer, at->loop, on_look);
	return h;
}

void grpc_healths_free(struct grpc_healths **healths)
{
	free(TAKE(*healths));
}

static void gone(struct grpc_call *call)
{
	struct watching_health *w = grpc_data(call);

	list_remove(&w->at_);
	free(w);
}

static void watch(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Grpc__Health__V1__HealthCheckRequest *q = (const void *)m;
	struct grpc_healths *h = caller_of(grpc_request(call))->at->healths;
	struct watching_health *w;

	/* One that is not known might become so: the call stays open. */
	if (!is_service(h->at, str_of(q->service))) {
		tell(call, SERVING(SERVICE_UNKNOWN));
		grpc_forget(call);
		return;
	}
	/* The first brings it up to date; the others are told what it saw. */
	if (list_empty(&h->watches)) {
		h->told = status_of(h->at);
		timer_start(&h->timer, LOOK_MS);
	}
	w = NEW(struct watching_health);
	w->call = call;
	list_append(&h->watches, &w->at_);
	grpc_set(call, w, gone);
	tell(call, h->told);
	grpc_forget(call);
}

void grpc_health_watch(struct request *r)
{
	static const struct grpc_method method = {
		.request = &grpc__health__v1__health_check_request__descriptor,
		.message = watch, .bytes_max = REQUEST_MAX, .is_long = true,
		.is_open = true,
	};

	grpc_serve(r, &method);
}
