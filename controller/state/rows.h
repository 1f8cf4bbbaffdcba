/*
 * Rows of the store: their keys and their bytes.  Each value starts with a
 * format byte.  Decoders borrow from the bytes they are given and answer false
 * where these are malformed, which means a damaged store.  Pure; any thread.
 */
#ifndef STATE_ROWS_H
#define STATE_ROWS_H

#include "state/command.h"

/* ---- keys ---- */
void key_object(struct buf *out, struct str tenant, enum kind_id kind,
		struct str name);
/* All of a kind in a tenant. */
void key_objects(struct buf *out, struct str tenant, enum kind_id kind);
bool key_object_split(struct str key, struct str *tenant, enum kind_id *kind,
		      struct str *name);
void key_version(struct buf *out, struct str tenant, struct uuid uid,
		 uint32_t version);
void key_versions(struct buf *out, struct str tenant, struct uuid uid);
void key_blob(struct buf *out, struct str tenant, const struct sha256 *sha,
	      uint32_t chunk);
void key_count(struct buf *out, struct str tenant, enum kind_id kind);
/* In place of a kind: bytes of content that versions of the tenant name. */
#define COUNT_CONTENT ((enum kind_id)255)
/* Of no tenant: bytes of rows of events, and from which revision on they are counted
 * (of cluster version VERSION_GATE on; those of before go by number and time). */
#define COUNT_EVENT_BYTES ((enum kind_id)248)
#define COUNT_EVENTS_SINCE ((enum kind_id)247)

/* ---- objects ---- */
struct object_row {
	struct uuid uid;
	uint64_t rev, generation, created_ms;
	enum manager manager;
	struct str manager_ref, labels, meta, spec, status;
	/* CONFIG */
	struct str application, environment, config_name, format;
};
void object_row_encode(struct buf *out, const struct object_row *row);
bool object_row_decode(struct str in, struct object_row *out);

/* ---- what is live at an address ---- */
struct live_row {
	struct uuid uid;
	struct str name;                 /* of the object */
	uint64_t rev;
	/* What plans are computed from: of the newest change but steps of releases,
	 * which move nothing that a proposal was judged by (format 4 of the row where
	 * it is another than 'rev'; 0 is 'rev', and read as that). */
	uint64_t base_rev;
	struct str format;
	uint32_t last_version;           /* highest number given */
	uint32_t stable_version;         /* default version before the last move */
	bool has_hold;
	struct sha256 hold;              /* content the owner may not apply again */
	/* Of a release that turned back, format 2 of the row; with who did it, and of a
	 * roll-back as well, format 3. */
	uint64_t hold_release;           /* its number; 0: held by a roll-back */
	uint32_t hold_version;           /* the version with that content */
	struct str hold_reason, hold_commit;
	struct str hold_by;              /* subject; empty: not known */
	uint64_t hold_ms;                /* since when */
	struct str rules;                /* encoded */
};
void live_row_encode(struct buf *out, const struct live_row *row);
bool live_row_decode(struct str in, struct live_row *out);

/* ---- versions ---- */
struct version_row {
	uint32_t version;                /* from the key */
	struct sha256 sha;
	uint64_t size, created_ms, rev;
	bool formatting_only;
	struct str format, author, message, commit, path;
	/* Format 2 of the row, of cluster version VERSION_GATE on: the default rule
	 * served it once, and somebody turned it back since.  Of format 1 nobody
	 * knows; there was no gate yet, so it counts as one that was live. */
	bool is_marked, was_live, turned_back;
};
void version_row_encode(struct buf *out, const struct version_row *row);
bool version_row_decode(struct str key, struct str in, struct version_row *out);

/* ---- blobs: chunk 0 starts with this header ---- */
#define BLOB_CHUNK (64 * 1024)
#define BLOB_HEADER 29
struct blob_head {
	uint64_t size, touched_ms, stored;   /* stored == size: complete */
	uint32_t refs;
};
void blob_head_encode(struct buf *out, const struct blob_head *head);
bool blob_head_decode(struct str in, struct blob_head *out, struct str *bytes);

/* ---- events ---- */
enum event_type { EVENT_ADDED = 1, EVENT_MODIFIED = 2, EVENT_DELETED = 3 };
struct event_row {
	enum event_type type;
	bool end;                        /* last of its command */
	enum kind_id kind;
	struct str tenant, name;
	uint64_t time_ms;
	struct str after;                /* object row; empty where deleted */
	struct str before;               /* where deleted or labels changed */
	struct str live;                 /* CONFIG: live row after (deleted: before) */
	/* Of cluster version VERSION_EVENTS on: what of a CONFIG's live row was
	 * another before; empty where it was the same.  Format 2 of the row. */
	bool knows_before;
	struct str was_format, was_rules;
};
void event_row_encode(struct buf *out, const struct event_row *row);
bool event_row_decode(struct str in, struct event_row *out);
/* Sets was_format and was_rules: 'before' is an encoded live row, or empty. */
void event_row_was(struct event_row *row, struct str before,
		   const struct live_row *now);
/* What sources go by: one of them, or what may concern one, because something of its own
 * turned back or was not let through (source/reverts.h). */
bool event_is_for_sources(const struct event_row *row);
/* Marks an encoded row as the last of its command. */
void event_row_set_end(struct buf *row);
/* Events take at most this share of storage.bytes_max. */
#define EVENTS_SHARE 8

/* ---- audit ---- */
struct audit_row {
	uint64_t seq, time_ms, rev;
	struct str subject, credential, origin, action, target, reason, commit;
	enum subject_role role;
	uint64_t n_ops;
	uint8_t trace[16];
	struct sha256 diff, previous, hash;
};
/* Encodes all but the hash, sets row->hash to SHA-256 of these bytes, and
 * appends it. */
void audit_row_encode(struct buf *out, struct audit_row *row);
/* Also checks that the hash is that of the bytes. */
bool audit_row_decode(struct str in, struct audit_row *out, bool *hash_is_right);

/* ---- tokens ---- */
struct token_row {
	struct str name;
	enum subject_role role;
	uint64_t created_ms;
	/* What a client's certificate calls him, where that is the token; then it
	 * is format 2 of the row. */
	struct str certificate;
	/* ROLE_NAMED, format 3: as of OP_SUBJECT_PUT. */
	struct str subject, tenant, groups;
	uint64_t verbs, expires_ms;
};
/* The key of its row: no text of a token, which has no byte 0, has this digest. */
struct sha256 certificate_key(struct str name);
void token_row_encode(struct buf *out, const struct token_row *row);
bool token_row_decode(struct str in, struct token_row *out);

/* ---- where the state stands: META "state" ---- */
struct head {
	uint64_t index, term;            /* applied */
	uint64_t rev, compacted_rev;
	uint64_t time_ms;
	uint64_t audit_seq, audit_first; /* next to write, first that is kept */
	struct sha256 audit_head, audit_seal;   /* newest; before the first kept */
	struct sha256 chain;             /* effects */
	uint64_t bytes;                  /* logical, keys and values */
	uint64_t n_idem;
	struct limits limits;
	/* Of the cluster (command.h); a row of its own, META "version". */
	uint64_t version;
};
void head_encode(struct buf *out, const struct head *head);
bool head_decode(struct str in, struct head *out);

/* ---- changes of members that are open: META "member/" and the change ---- */
struct member_row {
	struct uuid change;              /* from the key */
	enum member_what what;
	uint64_t node, time_ms;
	uint64_t seq;                    /* of the audit record of who asked */
	bool force;
	struct str address, subject;
};
void key_member(struct buf *out, const struct uuid *change);
#define KEY_MEMBERS STR("member/")       /* all of them */
void member_row_encode(struct buf *out, const struct member_row *row);
bool member_row_decode(struct str key, struct str in, struct member_row *out);

#define VERSION_KEY STR("version")
void cluster_version_encode(struct buf *out, uint64_t version);
bool cluster_version_decode(struct str in, uint64_t *out);

#endif
