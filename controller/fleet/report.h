/*
 * What nodes tell the leader of instances, beside the log (docs/formats/fleet.md).
 *
 * A record is all that one node knows of one instance in one release; sent again it
 * replaces what was sent before, so that any of them may come twice.  Of the
 * configurations of the release, in their order there, it says by a bit each: which
 * the instance follows and gets in the release's version (`wants`), was sent, has
 * received, has applied.
 *
 * Layout (raftcore/wire, numbers varints; u8 what comes first):
 *
 *	1 REPORT	u8 format (1), boot (u64), session (u64), u8 flags, then until
 *			the end u8 kind and
 *	  1 EVALUATED	release, step, configurations
 *	  2 RECORD	release, instance (string), age in ms, then the body: u8 flags,
 *			step, version, wants, sent, got, applied (strings of bits), reason
 *			(string), of SPOKE and REJECTED refused (bits), of SPOKE when
 *			each was said (string of numbers); of SPOKE then ms since the
 *			last word
 *	  3 BEGAN	ms since the process did
 *	  answer	u8 what (0 taken, 1 all of it again), session (u64)
 *	2 ASK		u8 format (1), session (u64); the leader wants all of it
 *	3 LIST		u8 format (1), release (0: who is known there), after (string),
 *			limit, and where one tenant alone is meant its name (string)
 *	  answer	u8 whether there is more, then rows until the end:
 *			instance (string), u8 state, u8 whether it is connected,
 *			version, lag in ms, age in ms, node, key (string), reason
 *			(string), words (string, of no release: fleet/last.h)
 *	4 REACH		fleet/reach.h
 *	5 WHY		u8 format (1), release
 *	  answer	u8 whether the leader knows, u8 whether a condition is not met,
 *			text (string)
 *
 * Decoding never trusts its input and borrows from it.  Pure; any thread.
 */
#ifndef FLEET_REPORT_H
#define FLEET_REPORT_H

#include "base/err.h"
#include "wire/wire.h"

#define FLEET_INSTANCE_MAX 128
#define FLEET_REASON_MAX 512
#define FLEET_TENANT_MAX 63
/* Configurations of a release that goes out in steps. */
#define FLEET_CONFIGS_MAX 1000
#define FLEET_BITS_MAX (FLEET_CONFIGS_MAX / 8)
/* A report is closed when it is longer than this. */
#define FLEET_REPORT_FULL (48 * 1024)
#define FLEET_LIST_FULL (192 * 1024)
#define FLEET_ANSWER_MAX (256 * 1024)

/* Sets of configurations: bit i of byte i / 8; what is behind the end is not set. */
struct bits {
	unsigned char b[FLEET_BITS_MAX];
	uint8_t n;                       /* bytes that count; the last is not 0 */
};
void bits_set(struct bits *bits, unsigned i);
bool bits_get(const struct bits *bits, unsigned i);
void bits_or(struct bits *to, const struct bits *from);
void bits_without(struct bits *to, const struct bits *from);
bool bits_eq(const struct bits *a, const struct bits *b);
static inline bool bits_any(const struct bits *bits)
{
	return bits->n > 0;
}

enum fleet_what {
	FLEET_REPORT = 1,
	FLEET_ASK = 2,
	FLEET_LIST = 3,
	FLEET_REACH = 4,                 /* fleet/reach.h */
	FLEET_WHY = 5,
};

enum fleet_item_kind { FLEET_EVALUATED = 1, FLEET_RECORD = 2, FLEET_BEGAN = 3 };

enum fleet_flag {
	FLEET_CONNECTED = BIT(0),        /* a watch is open at that node */
	FLEET_EVER = BIT(1),             /* one was, since the node knows it */
	FLEET_MEMBER = BIT(2),           /* was of the cohort of `step` */
	FLEET_LATE = BIT(3),             /* came to it after that step began */
	FLEET_REJECTED = BIT(4),
	FLEET_SPOKE = BIT(5),            /* said_age_ms, said and refused are known */
	FLEET_FLAGS = BIT(6) - 1,
};

struct fleet_record {
	struct str instance;
	unsigned flags;
	uint32_t step;                   /* of MEMBER: the last; else 0 */
	uint32_t version;                /* that it has or was sent; 0: none */
	uint64_t age_ms;                 /* since it was last heard of; of one that
					    has left: since it left */
	uint64_t said_age_ms;            /* of SPOKE: since it last said of any that it
					    applied or rejected it */
	struct bits wants, sent, got, applied;
	struct bits refused;             /* of REJECTED: what it did not take back here */
	struct str said;                 /* of SPOKE: read it by said_next */
	struct str reason;               /* of REJECTED */
};

struct fleet_item {
	enum fleet_item_kind kind;
	uint64_t release;
	uint32_t step, configs;          /* EVALUATED: all instances, at that step */
	uint64_t age_ms;                 /* BEGAN */
	struct fleet_record record;
};

struct fleet_report {
	uint64_t boot;                   /* of the node's process */
	uint64_t session;                /* the leader that it reports to; 0: none */
	bool is_first;                   /* all of it follows, from the start */
	struct rd items;
};

void report_start(struct buf *out, uint64_t boot, uint64_t session,
		  bool is_first);
/* Since when the node knows what it knows; behind the start of a first report. */
void report_began(struct buf *out, uint64_t age_ms);
void report_evaluated(struct buf *out, uint64_t release, uint32_t step,
		      uint32_t configs);
void report_record(struct buf *out, uint64_t release, struct str instance,
		   uint64_t age_ms, uint64_t said_age_ms, struct str body);
/* All of a record but whom it is about, and its ages. */
void record_body(struct buf *out, const struct fleet_record *record);
/* Of bytes that record_body made. */
void record_body_read(struct str body, struct fleet_record *out);

/* When it said here that it applied or rejected something: of each such configuration in
 * turn, how long before the last word of all. */
struct said_at {
	const struct fleet_record *record;
	struct rd rd;
	unsigned i;                      /* the configuration */
	uint64_t before_ms;
	unsigned next_;
};
struct said_at said_of(const struct fleet_record *record);
/* False: there are no more. */
bool said_next(struct said_at *said);

/* What a question is about: the first byte.  0: nothing that is known. */
enum fleet_what fleet_what(struct str in);
/* The items follow by report_next.  E_INVALID. */
enum code report_open(struct str in, struct fleet_report *out,
		      struct err *err) MUST_USE;
/* E_NOT_FOUND behind the last, which err is not set for; E_INVALID. */
enum code report_next(struct fleet_report *report, struct fleet_item *out,
		      struct err *err) MUST_USE;
void report_answer(struct buf *out, bool again, uint64_t session);
bool report_answer_decode(struct str in, bool *again, uint64_t *session);

void ask_encode(struct buf *out, uint64_t session);
enum code ask_decode(struct str in, uint64_t *session, struct err *err) MUST_USE;

/* ---- lists ---- */

enum fleet_state {
	FLEET_IS_PENDING,                /* connected, and was not sent it */
	FLEET_IS_SENT, FLEET_IS_RECEIVED, FLEET_IS_APPLIED, FLEET_IS_REJECTED,
	FLEET_IS_LOST,
	FLEET_IS_DEFERRED,               /* left before it was sent */
	FLEET_IS_CONNECTED,              /* of no release */
	FLEET_IS__COUNT
};
const char *fleet_state_name(enum fleet_state state);

struct fleet_row {
	struct str instance;
	enum fleet_state state;
	bool is_connected;
	uint32_t version;
	uint64_t lag_ms;                 /* from sent until applied, or until now */
	uint64_t age_ms;                 /* since it was heard of */
	uint64_t node;
	struct str key;                  /* what it follows, or said something of */
	struct str reason;
	struct str words;                /* of no release: fleet/last.h */
};

struct fleet_list {
	uint64_t release;                /* 0: whoever that node knows */
	struct str after;
	uint32_t limit;
	struct str tenant;               /* who follows something of it; empty: all */
};

void list_encode(struct buf *out, const struct fleet_list *list);
enum code list_decode(struct str in, struct fleet_list *out,
		      struct err *err) MUST_USE;
void list_row(struct buf *out, const struct fleet_row *row);
/* E_NOT_FOUND behind the last; E_INVALID. */
enum code list_next(struct rd *rd, struct fleet_row *out,
		    struct err *err) MUST_USE;

/* ---- what a release waits for ---- */

#define FLEET_WHY_MAX 480

struct fleet_why {
	bool is_known;                   /* it can move, and was looked at */
	bool is_unmet;                   /* who promotes it now goes over a condition */
	char text[FLEET_WHY_MAX];        /* UTF-8; empty: for nothing */
};

void why_encode(struct buf *out, uint64_t release);
enum code why_decode(struct str in, uint64_t *release, struct err *err) MUST_USE;
void why_answer(struct buf *out, const struct fleet_why *why);
enum code why_answer_decode(struct str in, struct fleet_why *out,
			    struct err *err) MUST_USE;

#endif
