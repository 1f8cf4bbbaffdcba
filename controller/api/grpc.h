/*
 * gRPC calls: what a handler of a method sees of one.
 *
 * A method is a route (api/routes.tbl), so who asks, and may they, is settled as
 * everywhere before a byte of the message is read.  Its handler gives the request to
 * grpc_serve with a table that says of which type the messages are and what to do
 * with one.  From then on there is a call: it reads frames, decodes messages, keeps
 * the deadline, and ends in exactly one of these ways:
 *
 *	grpc_reply		the answer of a unary method
 *	grpc_end		the end of a stream, OK
 *	grpc_fail, api_error	a status, and why
 *	`gone`			the client is no longer there, or its deadline has
 *				passed: nothing can be told any more
 *
 * Whatever of the api answers a request with an error (api_error, api_fail) does so
 * in gRPC's form where a call, or a request that would have become one, asked.
 *
 * Requests are waited for in the same way, too: while a handler has given its call to
 * a change (write.c) or to a wait (wait.c), these hold request.on_gone.
 *
 * On the thread of the loop.
 */
#ifndef API_GRPC_H
#define API_GRPC_H

#include <protobuf-c/protobuf-c.h>

#include "api/own.h"

struct grpc_method {
	const ProtobufCMessageDescriptor *request;
	/* A message has come; it lives as long as the request, or, where many come,
	 * during the call of this. */
	void (*message)(struct grpc_call *call, const ProtobufCMessage *m);
	/* Many messages come, of which each is told at once; else there is exactly
	 * one, which is told when the client has ended its side. */
	bool takes_many;
	size_t bytes_max;                /* of a message */
	/* The client waits for more than one answer: a node that stops ends the
	 * call. */
	bool is_long;
	/* It needs no token: such calls are counted (stranger.h). */
	bool is_open;
};

/* Of a handler's request; everything else comes by the table. */
void grpc_serve(struct request *r, const struct grpc_method *method);

/* Of the call that this request became; NULL: of none. */
struct grpc_call *grpc_call_of(const struct request *r);
struct request *grpc_request(const struct grpc_call *call);
/* The method's own, and what to do where the client is gone; zero at first. */
void grpc_set(struct grpc_call *call, void *data,
	      void (*gone)(struct grpc_call *call));
void *grpc_data(const struct grpc_call *call);

/* Lets go of all that came with the request, the message too: of a call that goes on
 * for long, whose method keeps nothing in the request's arena. */
void grpc_forget(struct grpc_call *call);

/* The only answer. */
void grpc_reply(struct grpc_call *call, const ProtobufCMessage *m);
/* One of many; the first sends the header.  Without a message the header alone.
 * False: enough for now, `drained` comes. */
bool grpc_send(struct grpc_call *call, const ProtobufCMessage *m);
/* As that, of messages that are in frames already (grpc_put_message). */
bool grpc_send_frames(struct grpc_call *call, struct str frames);
/* Bytes that the client has not taken yet. */
size_t grpc_pending(const struct grpc_call *call);
void grpc_on_drain(struct grpc_call *call,
		   void (*drained)(struct grpc_call *call));
void grpc_end(struct grpc_call *call);
void grpc_fail(struct grpc_call *call, const struct err *err);

/* ---- for the rest of the api ---- */

/* Is it asked in gRPC's form? */
bool api_is_grpc(const struct request *r);
/* A status as the answer, or as the end of it. */
void grpc_error(struct request *r, const struct err *err);
/* A request that is a call has gone; every on_gone of the api says so. */
void grpc_gone(struct request *r);
/* Ends the calls that are long, because the node stops. */
void grpc_drain(struct api_loop *at);
void grpc_metrics(struct buf *out, struct api *api);
/* Watches of health, a loop's (grpc_health.c); the timer goes with the loop. */
struct grpc_healths *grpc_healths_new(struct api_loop *at);
void grpc_healths_free(struct grpc_healths **healths);
/* What a loop keeps for its watches (grpc_watch.c). */
void grpc_frames_free(struct grpc_frames **frames);

/* ---- messages ---- */

/* E_INVALID: it is missing, or a part is none. */
enum code grpc_address(const void *address, struct address *out,
		       struct err *err) MUST_USE;
/* An entry of any map<string, string>. */
struct grpc_label {
	ProtobufCMessage base;
	char *key, *value;
};
/* Who asks, out of the metadata (X-Conflux-Label-K, X-Conflux-Instance), and labels of a
 * message, which go before these.  False: answered. */
bool grpc_client(struct grpc_call *call, const struct grpc_label *const *given,
		 size_t n, struct client *out);
#define GRPC_LABELS(m) (const struct grpc_label *const *)(m)->labels, (m)->n_labels

#endif
