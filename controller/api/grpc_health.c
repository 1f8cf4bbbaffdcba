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
		.message = check, .bytes_max = REQUEST_MAX,
	};

	grpc_serve(r, &method);
}

/* ---- watch ---- */

struct watching_health {
	struct grpc_call *call;
	struct api_loop *at;
	struct timer timer;
	serving told;
};

static void tell(struct watching_health *w, serving status)
{
	Grpc__Health__V1__HealthCheckResponse answer =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	w->told = status;
	answer.status = status;
	grpc_send(w->call, &answer.base);
}

static void on_look(struct timer *timer)
{
	struct watching_health *w = container_of(timer, struct watching_health,
						 timer);
	serving status = status_of(w->at);

	if (status != w->told)
		tell(w, status);
	timer_start(&w->timer, LOOK_MS);
}

static void closed(struct timer *timer)
{
	free(container_of(timer, struct watching_health, timer));
}

static void gone(struct grpc_call *call)
{
	struct watching_health *w = grpc_data(call);

	timer_close(&w->timer, closed);
}

static void watch(struct grpc_call *call, const ProtobufCMessage *m)
{
	const Grpc__Health__V1__HealthCheckRequest *q = (const void *)m;
	struct request *r = grpc_request(call);
	struct watching_health *w = NEW(struct watching_health);

	w->call = call;
	w->at = caller_of(r)->at;
	timer_init(&w->timer, r->loop, on_look);
	grpc_set(call, w, gone);
	/* One that is not known might become so: the call stays open. */
	if (!is_service(w->at, str_of(q->service))) {
		tell(w, SERVING(SERVICE_UNKNOWN));
		return;
	}
	tell(w, status_of(w->at));
	timer_start(&w->timer, LOOK_MS);
}

void grpc_health_watch(struct request *r)
{
	static const struct grpc_method method = {
		.request = &grpc__health__v1__health_check_request__descriptor,
		.message = watch, .bytes_max = REQUEST_MAX, .is_long = true,
	};

	grpc_serve(r, &method);
}
