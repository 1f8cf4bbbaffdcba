/*
 * Operations: what a command is made of.  Which fields of one count is said by its
 * type.  Encoded by command.c; numbers are in the log, so they are only added.
 */
#ifndef STATE_OP_H
#define STATE_OP_H

#include "model/address.h"
#include "model/content.h"
#include "model/permission.h"
#include "model/proposal.h"
#include "model/rollout.h"
#include "model/rules.h"
#include "base/rand.h"
#include "state/member.h"

enum manager {
	MANAGER_API = 0,
	MANAGER_GIT = 1,
	MANAGER_TERRAFORM = 2,
	MANAGER__COUNT
};
const char *manager_name(enum manager m);

/* REV_ANY: unconditional; REV_NONE: must not exist. */
#define REV_ANY 0
#define REV_NONE UINT64_MAX

enum op_type {
	OP_OBJECT_PUT = 1,
	OP_OBJECT_STATUS = 2,
	OP_OBJECT_DELETE = 3,
	OP_VERSION_ADD = 4,
	OP_RULES_SET = 5,
	OP_ROLLBACK = 6,
	OP_TOKEN_PUT = 7,
	OP_TOKEN_DELETE = 8,
	OP_DENIED = 9,                   /* requests that were denied; audit only */
	OP_MEMBERS = 10,                 /* who is in the cluster, or leads; audit */
	OP_CERTIFICATE_PUT = 11,         /* a token that is a client's certificate */
	/* Of VERSION_GATE (docs/releases.md). */
	OP_SUBJECT_PUT = 12,             /* a token of somebody with a name */
	OP_PLAN_PUT = 13,                /* keeps a plan */
	OP_EXECUTE = 14,                 /* a plan's operations in its place; alone */
	OP_VOTE = 15,                    /* on a proposal */
	OP_RELEASE_MOVE = 16,
	OP_HOOK_KEY = 17,                /* the key of a webhook */
	OP_OUTBOX = 18,                  /* what came of a delivery */
	OP_VERSION_DROP = 19,            /* removes a version that nothing names */
	OP_HOLD_LIFT = 20,               /* of a configuration */
	OP__LAST = OP_HOLD_LIFT,
};

enum outbox_what {
	OUTBOX_DELIVERED = 1,
	OUTBOX_DEAD = 2,
	OUTBOX_AGAIN = 3,                /* a dead one is tried anew */
	OUTBOX_DROP = 4,                 /* a dead one is removed */
	OUTBOX__END
};

#define CERTIFICATE_NAME_MAX 512

enum rollback_mode {
	ROLLBACK_STABLE_ONLY = 1,        /* default rule only */
	ROLLBACK_EMERGENCY = 2,          /* and labelled rules are cleared */
};

/* One operation.  Which fields count is said by the type. */
struct op {
	enum op_type type;

	/* All but tokens: the object. */
	enum kind_id kind;
	struct str tenant, name;
	uint64_t expect;                 /* resourceVersion, REV_ANY, REV_NONE */

	/* OBJECT_PUT: 'uid' and 'created' count where it is made new.  JSON
	 * texts are canonical; 'labels' is an object of strings, 'meta' what
	 * else metadata holds, 'spec' the defaulted spec without content. */
	struct uuid uid;
	enum manager manager;
	struct str manager_ref;
	struct str labels, meta, spec;
	bool only_create;                /* leave it alone where it exists */
	/* CONFIG: its address beside tenant. */
	struct str application, environment, config_name, format;

	/* OBJECT_STATUS */
	struct str status;

	/* VERSION_ADD: 'release' also moves the default rule to it. */
	struct sha256 sha;
	uint64_t size;
	bool formatting_only, release, lift_hold;
	struct str message, path;
	/* "Ann <ann@example.org>", UTF-8, at most AUTHOR_MAX bytes; empty: the
	 * subject of the command. */
	struct str author;

	/* RULES_SET: version 0 is the one added before in this command. */
	struct rules rules;

	/* ROLLBACK: version 0 is the one live before. */
	enum rollback_mode mode;
	uint32_t version;
	bool hold;

	/* DENIED: 'name' who, 'message' why, 'size' how often. */

	/* MEMBERS: 'uid' of the change, 'name' the node's address (of ADD; else
	 * empty), 'message' why not, or what was found. */
	enum member_stage stage;
	enum member_what member;
	uint64_t node;                   /* 0: none, of INITIALIZE */
	bool force;
	bool is_done;                    /* of ENDED and NOTED; else refused */

	/* EXECUTE and PLAN_PUT: 'sha' is the plan's digest, 'kind' PROPOSAL and
	 * 'name' the proposal that it is of, else NONE; of PLAN_PUT 'bytes' are an
	 * encoded command of type OPS.  VOTE: 'sha' of the plan, 'message' why.
	 * RELEASE_MOVE: 'step' it is expected at, 'count', 'mode' of ROLLBACK,
	 * 'message' why, 'force' whatever windows say.  HOOK_KEY: 'bytes', 'force': the
	 * one before ends at once.
	 * OUTBOX: 'count' is the sequence, 'message' what went wrong.
	 * VERSION_DROP: 'version'. */
	struct str bytes;
	enum vote vote;
	enum release_move move;
	enum outbox_what outbox;
	uint32_t step;
	uint64_t count;

	/* SUBJECT_PUT: 'name' of the token, 'author' who has it (several tokens may
	 * be one subject's), sha, certificate (may be empty), tenant (empty: all),
	 * 'groups' (groups_encode), 'verbs' (bits of enum verb), 'count' when it
	 * ends (Unix ms; 0: never). */
	struct str groups;
	uint64_t verbs;

	/* TOKEN_PUT (name, sha, role), TOKEN_DELETE (name), CERTIFICATE_PUT (name,
	 * role, and the certificate's own name, "CN=web" or a URI). */
	enum subject_role role;
	struct str certificate;
};

/* What the audit calls them: "approve", "release-promote". */
const char *vote_action(enum vote vote);
const char *move_action(enum release_move move);

/* The verb that an operation needs: the permission question of the door and
 * of apply. */
enum verb op_verb(const struct op *op);

#endif
