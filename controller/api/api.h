/*
 * The HTTP API: routes, what they ask of the store, and what they answer.
 *
 * The api owns its HTTP loops; each has one server, one view of the store and
 * its watchers.  Routes named under /apis answer Kubernetes Status bodies,
 * all others problem+json.
 */
#ifndef API_API_H
#define API_API_H

#include "api/limits.h"
#include "http/server/server.h"
#include "store/store.h"

struct backups;
struct fleet_node;
struct signing;

struct api;

/* What POST .../reconcile asks for; filled in by the daemon, so that the api
 * does not know the reconciler.  'done' may run on any thread. */
struct api_reconcile {
	struct str tenant, name;
	bool wait;
	bool plans;                      /* POST .../plan, of 'commit' */
	struct str commit;
	void (*done)(struct api_reconcile *rec, enum code rc,
		     const struct err *err);
	/* What came of it, with 'wait'; filled in before 'done'. */
	char revision[300];              /* "main@sha1:..." */
	uint64_t rev;                    /* of the store; 0: nothing changed */
	uint64_t operations;
	char proposal[64];               /* it waits in this one; else empty */
	char plan[65];                   /* digest of what was planned */
	char turned_back[64];            /* the release of this commit that did */
	char invalid[4000];              /* source_result's */
	unsigned n_invalid;
};

/* What POST /_cluster/restore asks for.  'done' may run on any thread. */
struct api_restore {
	struct str file;                 /* a name in backup.dir */
	void (*done)(struct api_restore *ask, enum code rc,
		     const struct err *err);
	/* What came of it; filled in before 'done'. */
	char cluster[37];
	uint64_t rev;
};

struct api_config {
	struct store *store;
	unsigned loops;                  /* 1.. */
	unsigned spin_us;                /* server.spin; 0: loops always sleep */
	struct http_limits limits;
	unsigned heartbeat_ms;           /* of watches; 0: 30,000 */
	/* Of pages that may ask, separated by commas; "*": all (api/origin.h). */
	const char *allowed_origins;
	/* How people reach it, as in answers; "": as the request did. */
	const char *external_url;
	unsigned queue_target_ms;        /* server.queue_target; 0: no bound */
	struct limits_rate rates[LIMIT__COUNT];
	unsigned connections_per_address;        /* at this node; 0: any number */
	unsigned subject_watches;        /* of one at this node; 0: any number */
	size_t acks;                     /* acknowledgements kept at most; 1.. */
	bool bound_instances;            /* nobody else says that he is an instance */
	const char *version;             /* "0.1.0" */
	/* False: there is no reconciler; any thread. */
	bool (*reconcile)(void *data, struct api_reconcile *rec);
	/* Appends more metrics in Prometheus text form; may be NULL. */
	void (*metrics)(void *data, struct buf *out);
	/* Appends what the leader's collector did here, as members of a JSON object; may be
	 * NULL; any thread. */
	void (*collected)(void *data, struct buf *out);
	/* NULL: nothing is restored here; any thread. */
	void (*restore)(void *data, struct api_restore *ask);
	struct fleet_node *fleet;        /* fleet/node.h; NULL: none is known */
	struct http_out *http_out;       /* hook/http_out.h; NULL: nothing goes out */
	struct backups *backups;         /* backups/backups.h; NULL: none are given */
	struct signing *signing;         /* api/sign.h; NULL: nothing is signed */
	void *data;
};

enum code api_new(const struct api_config *config, struct api **out,
		  struct err *err) MUST_USE;
/* Every loop listens on 'addr'; 'bound' is where. */
enum code api_listen(struct api *api, struct str addr, struct tls_server *tls,
		     struct stream_addr *bound, struct err *err) MUST_USE;
/* From now on /readyz says no, and everything is served.  Any thread. */
void api_leave(struct api *api);
/* Stops accepting, tells streams to go elsewhere, and lets what is under way or on
 * its way end: what is left after 'grace_ms' is cut off.  Blocking; not from a
 * loop. */
void api_drain(struct api *api, unsigned grace_ms);
void api_free(struct api **api);

#endif
