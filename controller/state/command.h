/*
 * Commands: what goes through the log.  One command is one idempotent write
 * of one subject; its operations happen together or not at all.
 *
 * Layout (raftcore/wire, all numbers varints unless said otherwise):
 *
 *	u8 format (1), u8 type, ...
 *	OPS:    time_ms, contents (tenant, sha256 (32 bytes), bytes), id (32
 *	        bytes), body digest (32 bytes), subject name, role, subject
 *	        tenant, credential, origin, trace id (16 bytes), reason, commit,
 *	        flags, what flags say that follows, preconditions, operations
 *	BLOB:   time_ms, tenant, sha256 (32 bytes), total, offset, bytes
 *	STAGE:  time_ms, transaction (16 bytes), part, bytes
 *	STAGED: time_ms, transaction (16 bytes), parts, sha256 (32 bytes)
 *	TICK:   time_ms
 *	LIMITS: time_ms, retention settings
 *	RESTORED: time_ms, from what (u8), origin, reason
 *	VERSION: time_ms, version
 *
 * Everything that is decided by a clock, a random number or a library is
 * decided by the proposer and carried here: ids, times, canonical objects.
 * Decoding never trusts its input and allocates only from the arena.
 * Pure; any thread.
 */
#ifndef STATE_COMMAND_H
#define STATE_COMMAND_H

#include "base/rand.h"
#include "model/content.h"
#include "model/address.h"
#include "model/permission.h"
#include "model/rules.h"
#include "state/op.h"
#include "wire/wire.h"

#define COMMAND_FORMAT 1
/*
 * The newest cluster version that this program knows.  The cluster's version is in
 * the state (1 where nothing is); it grows by a logged command, once every member
 * runs a program that knows the new one, and never back.  What apply does, and which
 * forms are written to the log, goes by it (docs/formats/compatibility.md).
 */
#define CLUSTER_VERSION 5
#define VERSION_EVENTS 3             /* events say what was there before */
#define VERSION_CERTIFICATES 4       /* certificates are bound to roles */
#define VERSION_GATE 5               /* the gate, releases in steps, named subjects */
/* What helps where something waits for a version. */
#define VERSION_HINT "right after a start, try again in a few seconds; else a member runs " \
		     "an older program: conflux cluster status"
#define COMMAND_BYTES_MAX (1024 * 1024 - 64)   /* of one log entry */
#define COMMAND_OPS_MAX 1000000
#define BLOB_PART_MAX (256 * 1024)
/* Content of at most this size may travel inside a command, all contents of one
 * command together in at most BLOB_PART_MAX. */
#define CONTENT_INLINE_MAX (64 * 1024)
#define COMMAND_CONTENTS_MAX 256
#define AUTHOR_MAX 253
/* Operations OP_DENIED of one command; more are refused. */
#define DENIED_OPS_MAX 65

enum command_type {
	COMMAND_OPS = 1,
	COMMAND_BLOB = 2,
	COMMAND_STAGE = 3,
	COMMAND_STAGED = 4,
	COMMAND_TICK = 5,
	COMMAND_LIMITS = 6,
	COMMAND_RESTORED = 7,
	COMMAND_VERSION = 8,
};

/*
 * RESTORED: the state is not what its cluster last showed: it came out of a
 * backup, or from a survivor of a cluster that lost its majority.  The revision
 * moves on by RESTORED_STEP, further than any that was given out and is not here
 * could be, and all before it are compacted.  So who goes on from a revision of
 * before (a watch, an informer) is told 410 and reads anew, and none is given
 * twice.  An audit record says who did it and why ('origin', 'reason').  It is
 * applied before anything of the new life is; nothing else is changed.
 */
#define RESTORED_STEP (1ull << 32)
enum restored_from {
	RESTORED_BACKUP = 1,
	RESTORED_SURVIVOR = 2,
};

enum command_flag {
	COMMAND_TAKE_OVER = BIT(0),      /* may write what another manager owns */
	COMMAND_BREAK_GLASS = BIT(1),    /* past the gate, where a policy lets him */
	COMMAND_SUBJECT = BIT(2),        /* the subject's token follows; VERSION_GATE */
	COMMAND_LATER = BIT(3),          /* not_before_ms follows (8 bytes); as that */
};

struct precondition {
	enum kind_id kind;
	struct str tenant, name;
	uint64_t rev;
};

/* Small content that travels with the operations that name it, which saves an
 * entry of the log; or, without operations, many small contents in one. */
struct content_part {
	struct str tenant;
	struct sha256 sha;
	struct str bytes;
};

/* What a retention keeps; 0 leaves the value in force. */
struct limits {
	uint64_t events_ms, events_max;
	uint64_t audit_ms, audit_max;
	uint64_t idem_ms, idem_max;
	uint64_t versions_max;           /* a configuration, live ones apart */
	uint64_t releases_max;           /* Release objects a tenant */
	uint64_t blob_idle_ms;
	uint64_t bytes_max;              /* logical; the door refuses at 80% */
};
extern const struct limits limits_default;
void limits_encode(struct buf *out, const struct limits *limits);
void limits_decode(struct rd *rd, struct limits *out);

struct command {
	enum command_type type;
	uint64_t time_ms;

	/* OPS */
	struct content_part *contents;
	size_t n_contents, cap_contents;
	struct sha256 id;                /* SHA-256(subject, idempotency key) */
	struct sha256 body;              /* digest of what the key stands for */
	struct subject subject;
	struct str credential;           /* "token root (3f2a…)" */
	struct str origin;               /* "127.0.0.1:5112", "git https://…" */
	uint8_t trace[16];
	struct str reason, commit;
	unsigned flags;
	uint64_t not_before_ms;          /* it waits until then; 0: it does not */
	struct precondition *pre;
	size_t n_pre, cap_pre;
	struct op *ops;
	size_t n_ops, cap_ops;

	/* The source whose plan it executes, and as whose manager it writes then;
	 * set by apply, and nowhere else. */
	struct str writes_as;

	/* BLOB */
	struct str tenant;
	struct sha256 sha;
	uint64_t total, offset;
	struct str bytes;                /* also STAGE */

	/* STAGE, STAGED */
	struct uuid transaction;
	uint32_t part;                   /* STAGED: number of parts */

	/* LIMITS */
	struct limits limits;

	/* VERSION: of the cluster, from now on */
	uint64_t version;

	/* RESTORED; also 'origin' (where, by whom) and 'reason' (of what) */
	enum restored_from from;
};

struct op *command_op(struct arena *arena, struct command *c, enum op_type type);
struct precondition *command_pre(struct arena *arena, struct command *c);
struct content_part *command_content(struct arena *arena, struct command *c);
/* Does it bring content, which needs room?  Looks at the first bytes only. */
bool command_has_content(struct str encoded);
/* May it leave more rows than it found?  All but deletions, ways back, votes, moves,
 * tokens and the system's own.  Looks at all of it. */
bool command_may_grow(struct str encoded);
/* The id of operations; false: they have none, or it is no such command. */
bool command_id(struct str encoded, struct sha256 *out);
/* May it be sent again when nobody knows whether it happened?  Content and parts
 * may, and operations that have an id. */
bool command_is_repeatable(struct str encoded);
/* False: only a newer program knows it.  Looks at the first bytes only. */
bool command_is_known(struct str encoded);
/* The same command at another time; nothing where it is malformed, or of a newer
 * program: what no member may have to apply must not get into the log. */
void command_stamp(struct buf *out, struct str encoded, uint64_t time_ms);
void command_encode(struct buf *out, const struct command *c);
void op_encode(struct buf *out, const struct op *op);
/* A command of type OPS without the contents that travel in it; false: malformed. */
bool command_strip(struct buf *out, struct str encoded);
/* The operations of a command that are still to be decoded. */
struct op_reader {
	struct rd rd;
	size_t n, next;
};
/* All but the operations, which command_next tells one after another: a command
 * may hold a million.  Borrows strings from 'in'.  E_INVALID with the place
 * where it breaks; E_UNSUPPORTED: a newer program wrote it. */
enum code command_open(struct arena *arena, struct str in, struct command *out,
		       struct op_reader *ops, struct err *err) MUST_USE;
/* E_NOT_FOUND behind the last, which err is not set for; E_INVALID;
 * E_UNSUPPORTED. */
enum code command_next(struct arena *arena, struct op_reader *ops,
		       struct op *out, struct err *err) MUST_USE;
/* The whole of it. */
enum code command_decode(struct arena *arena, struct str in,
			 struct command *out, struct err *err) MUST_USE;

/* ---- outcome ---- */
struct op_result {
	uint64_t rev;                    /* of this operation */
	struct uuid uid;
	uint32_t version;                /* VERSION_ADD, ROLLBACK */
	bool changed;                    /* false: it was so already */
};

struct outcome {
	enum code code;
	char text[400], hint[200];
	uint64_t rev;                    /* last revision; 0 where nothing changed */
	size_t op;                       /* on refusal: which operation */
	/* Where it is not executed but proposed: the ReleaseProposal, and what it
	 * waits for ("Pending", "Approved").  Format 2 of an outcome. */
	char proposal[64], phase[16];
	bool replayed;                   /* answered from the idempotency row */
	struct op_result *results;       /* one an operation */
	size_t n_results;
};

void outcome_encode(struct buf *out, const struct outcome *o);
bool outcome_decode(struct arena *arena, struct str in, struct outcome *out);

#endif
