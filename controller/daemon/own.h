/* What the files of the daemon share. */
#ifndef DAEMON_OWN_H
#define DAEMON_OWN_H

#include <stdatomic.h>

#include "api/api.h"
#include "api/sign.h"
#include "backups/backups.h"
#include "daemon/cluster.h"
#include "daemon/daemon.h"
#include "fleet/node.h"
#include "gate/keeper.h"
#include "hook/sender.h"
#include "release/release.h"
#include "seal/keyring.h"
#include "source/source.h"

struct daemon {
	const struct settings *settings;
	const char *dir;
	char *clones;
	struct pool *git;
	struct cluster cluster;
	struct keyring *keys;            /* of what is at rest; NULL: none */
	struct store *store;
	/* Makes the root token. */
	struct work token_work;
	_Atomic bool token_is_done;      /* and what came of it: */
	enum code token_rc;
	struct err token_err;
	struct pool *token_pool;
	_Atomic bool is_stopping, is_restoring, wants_restart;
	pthread_mutex_t token_lock;      /* of token, which workers read */
	struct secret token;             /* sources.token_file */
	struct source_settings sources;
	struct reconciler *reconciler;
	struct fleet_node *_Atomic fleet;        /* NULL: not yet */
	struct releases *releases;
	struct backups *backups;
	struct collector *collector;
	struct http_out *http_out;
	struct sender *sender;
	struct keeper *_Atomic keeper;   /* the core loop asks it */
	struct tls_server *tls;
	struct signing *signing;         /* NULL: nothing is signed */
	struct api *api;
	bool is_listening;
};

/* reconcile.c: the api's way to the reconciler, which runs at the leader. */
bool daemon_reconcile(void *data, struct api_reconcile *rec);
/* What other nodes ask this one as the leader. */
void daemon_asked(void *data, struct rpc_token token, struct str body);

/* restore.c: the api's way to a restore of this node; any thread. */
void daemon_restore(void *data, struct api_restore *ask);

#endif
