/*
 * What the sources of the engine share: engine_libraft.c and engine_vote.c, the
 * only ones that see <raft.h>.  One thread.
 */
#ifndef NODE_ENGINE_OWN_H
#define NODE_ENGINE_OWN_H

#include "node/engine.h"

#include <raft.h>

struct engine {
	struct raft raft;
	struct engine_message *messages; /* of the last update */
	size_t cap_messages;
	/* The newest checkpoint, which followers are told to install. */
	uint64_t snapshot_index, snapshot_term, snapshot_conf_index;
	struct buf snapshot_conf;
	struct buf install_conf;         /* of the last update */
	struct asked {                   /* what a peer was asked to install */
		uint64_t peer, index;
	} *asked;
	size_t n_asked, cap_asked;
};

struct raft_event engine_event(enum raft_event_type type, uint64_t now_ms);
/* One step of the core; 'what' is for the alarm where it breaks its rules. */
enum code engine_step(struct engine *e, struct raft_event *event,
		      const char *what, struct engine_update *out,
		      struct err *err) MUST_USE;
/* NULL: it is no member. */
struct raft_server *engine_server(const struct raft_configuration *c, uint64_t id);
unsigned engine_voters(const struct raft_configuration *c);

/* ---- engine_vote.c ---- */

/* Whether this server is a member and has no vote. */
bool engine_lost_vote(const struct engine *e);
/* Messages of these types. */
enum code engine_receive_vote(struct engine *e, struct raft_event *event,
			      struct engine_update *out, struct err *err) MUST_USE;
enum code engine_receive_vote_result(struct engine *e, struct raft_event *event,
				     struct engine_update *out,
				     struct err *err) MUST_USE;

#endif
