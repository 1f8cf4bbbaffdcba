/*
 * What the files of api/ share; nobody else includes it.
 */
#ifndef API_OWN_H
#define API_OWN_H

#include "api/acks.h"
#include "api/admission.h"
#include "api/api.h"
#include "api/crowd.h"
#include "api/ofrep_cache.h"
#include "api/sign.h"
#include "api/watcher.h"
#include "auth/auth.h"
#include "model/content.h"
#include "model/permission.h"
#include "doc/format.h"
#include "fleet/node.h"
#include "http/wire/grpc.h"
#include "schema/check.h"
#include "state/view.h"

struct grpc_call;

struct api_loop {
	struct api *api;
	struct loop *loop;
	struct http_server *server;
	struct view *view;
	struct token_cache token;        /* of the last request */
	struct ofrep_cache *flags;
	struct sign_cache *signatures;   /* NULL until the first is asked for */
	struct admission admission;
	struct turn turn;                /* lets the view go */
	struct follower follower;
	struct watching *watching;
	struct watch_texts *texts;
	struct grpc_frames *frames;
	struct grpc_healths *healths;
	unsigned listings;               /* that hold a picture */
	struct sockets *sockets;
	struct kube_watches *objects;    /* watches of objects (kube_watch.c) */
	struct list waits, calls;
	struct list reads;               /* of this turn, for a barrier (wait.c) */
	_Atomic uint64_t grpc_ended[GRPC__STATUSES];     /* calls, by status */
	_Atomic bool is_drained, is_stopped;
};

struct api {
	struct api_config config;
	struct limits *limits;
	struct acks *acks;
	struct grpc_schema *schema;
	struct crowd *crowd;             /* connections, by address */
	struct crowd *watches;           /* by subject */
	_Atomic bool is_leaving;         /* tells whoever sends clients here */
	struct api_loop *loops;
	unsigned n;
	uint64_t started_ms;
	struct {
		_Atomic uint64_t runs, examined, removed, last_ms;
	} gc;                            /* collections that were asked for here */
};

/* What `before` finds out of a request; request.data of every handler. */
struct caller {
	struct api_loop *at;
	struct subject subject;
	struct str credential;
	uint64_t min_rev;                /* of the picture that it reads */
	unsigned retry_after_s;          /* of an answer that refuses; 0: 1 */
	struct str charged;              /* the tenant whose rate it counts for */
	struct grpc_call *grpc;          /* that the request became, or NULL */
	/* Of a handler that calls api_when: for its second half. */
	const void *later;
	bool has_waited;
	const struct proposal_why *held; /* of the proposal that is shown (proposals.c) */
	const struct plan_reach *reach;  /* of the plan that is shown (plan_reach.c) */
};

/* Which permission a route asks for: verb and kind in one number. */
#define PERMISSION(verb, kind) ((unsigned)(verb) << 8 | (unsigned)(kind))
#define PERMISSION_NONE 0xffffff

static inline struct caller *caller_of(const struct request *r)
{
	return r->data;
}

/* The handler of each route but the open ones: runs the route's own, at once or
 * when what the request wants to see is here (wait.c). */
void api_dispatch(struct request *r);
/* Runs the route's own handler. */
void api_run(struct request *r);
/* Runs 'then' when a picture of 'min_rev' is here, or (linearizable) of all that was
 * acknowledged before, at once or later; else the request is answered (wait.c). */
void api_when(struct request *r, uint64_t min_rev, bool is_linearizable,
	      route_handler *then);

/* ---- the door (door.c): runs before a request's body is read ---- */
/* Is it let in, and as whom?  False: answered. */
bool door_open(struct request *r);
/* As the door of a route that asks for `watch` on configurations, of a token that
 * is not in the header or came later; then the caller is its subject.  E_RATE,
 * E_UNAUTHORIZED, E_DENIED. */
enum code door_token(struct request *r, struct str token, struct err *err);
/* The same of the certificate that the client has shown; where it may not watch the
 * caller stays nobody, and a token may still come. */
void door_certificate(struct request *r);
/* When the turn of the loop woke, on the clock of request.start_ns. */
uint64_t door_woke_ns(const struct api_loop *at);

/* A picture for this request; false: answered with an error. */
bool api_view(struct request *r, struct kv_txn **out);
/* The token that a request brings; empty: none. */
struct str api_bearer(const struct request *r);
/* The key of the token's row in the state, or of the certificate's; false: it has
 * shown neither. */
bool api_credential_key(const struct request *r, struct sha256 *out);
/* Answers in the form of the route: Status under /apis, else problem+json. */
void api_error(struct request *r, const struct err *err);
void api_fail(struct request *r, enum code code, const char *fmt, ...)
	PRINTF(3, 4);
/* Asks for permission on a target that is known only now; false: answered. */
bool api_may(struct request *r, enum verb verb, enum kind_id kind,
	     struct str tenant, struct str name);
/* "?label.k=v" and X-Conflux-Label-K: the query wins.  False: answered. */
bool api_labels(struct request *r, struct labels *out);
/* May the subject say that it is that instance (docs/instances.md)?  E_DENIED. */
enum code api_may_be(const struct api *api, const struct subject *subject,
		     struct str instance, struct err *err) MUST_USE;
/* The same and who the client says that it is: "?instance=" or X-Conflux-Instance,
 * of which the query wins.  False: answered. */
bool api_client(struct request *r, struct client *out);
/* Does If-None-Match name 'etag' (with its quotes)? */
bool api_not_modified(struct request *r, struct str etag);
/* The signature of what 'at' is in that version, as X-Conflux-Signature has it;
 * false: this node signs nothing (fetch.c). */
bool api_sign(struct api_loop *loop, const struct address *at, uint64_t version,
	      const struct sha256 *sha, char out[SIGNATURE_TEXT_MAX]);
bool api_is_kube(const struct request *r);
void api_status_body(struct buf *out, const struct request *r,
		     const struct err *err);
/* The body as a value tree: JSON, or YAML by content type; false: answered. */
bool api_body(struct request *r, struct value **out);
/* A member that a body may have. */
struct body_member {
	const char *name;
	enum value_type type;
	bool is_required;
};
/* As api_body; members that are unknown, missing or of another type are
 * refused by name. */
bool api_body_of(struct request *r, const struct body_member *members, size_t n,
		 struct value **out);
/* The second half of it. */
bool api_check_members(struct request *r, const struct body_member *members,
		       size_t n, const struct value *body);
#define API_BODY_OF(r, members, out) \
	api_body_of((r), (members), ARRAY_LEN(members), (out))

/* ---- release rules (rules.c) ---- */
/* "releases" of a body, a list of {labels, nodes, percent, salt, priority, version_id};
 * percentages without a salt have that of the configuration 'uid'.  Strings are copied to
 * 'arena'.  False: answered. */
bool api_rules(struct request *r, struct arena *arena, const struct value *list,
	       struct uuid uid, struct rules *out);
/* What a client gets, by which rule, and why. */
void resolve_json(struct buf *out, const struct rules *rules,
		  const struct client *client);

/* ---- instances (instances.c) ---- */
/* A watch of an instance that says who it is begins; the request ends. */
void instance_join(struct request *r);
void instance_leave(struct request *r);

/* ---- sums over the loops (gather.c) ---- */
struct api_sums {
	struct http_stats http;
	struct watch_stats watch;
	unsigned loops, overloaded;
	uint64_t shed, turn_recent_us;
};
typedef void api_gathered(struct request *r, const struct api_sums *sums);
/* 'done' is called on the request's loop, now or later; not where the connection
 * has ended meanwhile. */
void api_gather(struct request *r, api_gathered *done);

/* ---- acknowledgements (instances.c) ---- */
/* Takes what the caller may say, of configurations that there are; false:
 * answered. */
bool instances_take(struct request *r, const struct ack *all, size_t n,
		    size_t *taken);

/* ---- writes ---- */

struct change;
/* The outcome is good.  Below /apis and of gRPC it may name a proposal, which the
 * write became; other routes are answered for (write.c). */
typedef void change_done(struct change *ch, struct request *r,
			 const struct outcome *o);

/* A write under way; lives in an arena of its own, because the connection may
 * end before the outcome comes. */
struct change {
	struct arena *arena;
	struct request *r;               /* NULL: the connection ended */
	struct command cmd;
	change_done *done;               /* not called where r is gone */
	bool (*retry)(struct change *ch, const struct outcome *o);
	void *data;
	/* private */
	struct store *store;
	struct blob_write *blobs, *sent; /* to go first; have gone */
	unsigned resends;
	struct str glass;                /* why the gate is passed; empty: it is not */
	unsigned open;                   /* writes that have no outcome yet */
	struct store_write write;
	struct buf bytes;
	struct outcome outcome;
	struct err blob_err;
	struct err early;                /* what was asked for cannot be; code OK: it can */
	struct loop *loop;
};

/* A change of this request: subject, origin, trace, idempotency and take-over
 * are filled in. */
struct change *change_new(struct request *r, change_done *done);
/* Adds content, whose digest is 'sha', that is stored before the operations
 * happen; 'content' stays valid until change_submit. */
void change_blob(struct change *ch, struct str tenant, struct str content,
		 const struct sha256 *sha);
/* Instead of the header Idempotency-Key. */
void change_set_key(struct change *ch, const struct request *r, struct str key);
/* Of an outcome: the revision that If-Match and resourceVersion know. */
uint64_t change_revision(const struct outcome *o);
/* What was said of a write is its reason in the audit log; a header that says
 * more does not count then.  False: answered, and the change is gone. */
bool change_take_reason(struct request *r, struct change *ch, struct str text);
/* Submits; 'done' is called with the outcome, or the error is answered. */
void change_submit(struct change *ch);
/* Gives it up unsent: the request is answered by the caller, before or behind this. */
void change_cancel(struct change *ch);
/* Is the request told to write what another manager owns? */
bool change_takes_over(const struct request *r);
/* The revision that If-Match demands, or REV_ANY; false: answered. */
bool change_if_match(struct request *r, uint64_t *out);

/* ---- objects (kube.c, also used by mgt.c) ---- */

/* The ops that make 'object' (checked and completed) of 'kind' what it shall
 * be; content of a configuration becomes a version. */
enum code object_ops(struct change *ch, const struct kind *kind,
		     struct str tenant, struct str name, struct value *object,
		     uint64_t expect, struct err *err);

/* ---- configurations (mgt.c, also used by gRPC) ---- */

/* The configuration that {id} names, of a subject that may; false: answered. */
bool config_by_id(struct request *r, enum verb verb, struct object_view *o);
struct op *config_op(struct change *ch, enum op_type type,
		     const struct object_view *o, uint64_t expect);
/* Is it what its format says?  False: answered. */
bool config_content_is_good(struct request *r, const struct object_view *o,
			    struct str content);
void config_add_content(struct change *ch, const struct object_view *o,
			struct str content, struct str message, bool release,
			uint64_t expect);
/* Moves the default rule to a version that exists already; false: answered. */
bool config_release(struct request *r, struct change *ch,
		    const struct object_view *o, uint64_t version,
		    uint64_t expect);

/* ---- requests that wait (wait.c) ---- */
void wait_wake(struct api_loop *at);
/* Linearizable reads that came in this turn ask the leader. */
void wait_turn(struct api_loop *at);

/* ---- watches (watcher.h; watch.c, watch_sse.c, watch_poll.c) ---- */

/* feed_json, kept: what many watchers are told is written once.  Valid until the
 * next call. */
struct watch_texts *watch_texts_new(void);
void watch_texts_free(struct watch_texts **texts);
struct str watch_json(struct api_loop *at, const struct feed_change *c);
/* Is what clients are told of both the same? */
bool watch_is_same(const struct feed_change *a, const struct feed_change *b);
/* {"reason":"denied","status":403,"code":"denied","detail":"...","hint":"..."} */
void watch_end_json(struct buf *out, enum watch_reason reason,
		    const struct err *err);
void watch_sse(struct request *r, const struct watch_spec *spec);
/* WebSockets of a loop (watch_ws.c). */
struct sockets *sockets_new(struct api_loop *at);
void sockets_free(struct sockets **sockets);
void sockets_drain(struct sockets *sockets);
void watch_poll(struct request *r, const struct watch_spec *spec,
		unsigned wait_ms);

/* ---- fetches (fetch.c) ---- */
/* http_server_config.again: the same answer is right for the same request. */
bool fetch_again(struct request *r, const void *about);

/* ---- routes ---- */
extern const struct route api_routes[];
extern const size_t api_n_routes;
#define ROUTE(method, path, handler, verb, kind) route_handler handler;
#define ROUTE_STREAM ROUTE
#define ROUTE_OPEN(method, path, handler) route_handler handler;
#define ROUTE_OPEN_STREAM ROUTE_OPEN
#include "api/routes.tbl"
#undef ROUTE
#undef ROUTE_STREAM
#undef ROUTE_OPEN
#undef ROUTE_OPEN_STREAM

#endif
