/*
 * What the files of the model of the gate share: see gates.h.
 *
 *	gates.c            each entry, asked of policies and windows
 *	gate_things.c      what there is: people, policies, windows, webhooks, plans
 *	gate_proposals.c   proposals, executions and votes
 *	gate_told.c        what webhooks are told
 *	gate_names.c       what names versions
 *	gate_leads.c       who leads moves releases by what clients say
 *	gate_holds.c       what was turned back
 *	rolls.c            releases in steps
 */
#ifndef TESTS_SIM_GATES_OWN_H
#define TESTS_SIM_GATES_OWN_H

#include "base/mem.h"
#include "doc/format.h"
#include "gates.h"
#include "state/outbox.h"
#include "state/view_gate.h"
#include "state/view_rollout.h"

#define CLIENTS 100                      /* that releases are asked for */
#define PROPS_MAX 2048
#define PLANS 16
#define OBJECTS 64
#define DAY_MS (24ull * 3600000)

struct policy {
	struct str tenant, name;
	const struct policy_form *is;
};

struct shut {
	struct str tenant, name;
	uint64_t from_ms, to_ms;
};

struct hook {
	struct str tenant, name;
	const struct hook_form *is;
	struct uuid uid;
	uint64_t made_at;                /* entry */
};

struct place {
	struct str tenant, name;
	struct str application, config_name, labels, spec, format, rules;
	struct uuid uid;
	uint64_t rev;
	bool is_there;
	/* For releases in steps: it changed in this entry; its default before that. */
	bool is_git;
	uint64_t changed_at, was_deleted_at;
	struct sha256 was_default;
	/* A release that was turned back holds off that content of its source. */
	bool has_hold, is_brought;       /* by hand it is of release 0; a source brought it */
	uint64_t held_by;
	struct sha256 held;
	uint64_t *backs;                 /* other releases that turned back there */
	size_t n_backs, cap_backs;
	bool was_git;                    /* before this entry */
	uint64_t judged_at, unknown_at;  /* entries: it changed, and may have */
	/* All that was brought there by somebody whom policies let, and what of it
	 * everybody got once: there ways back may lead. */
	struct contents {
		struct sha256 *v;
		size_t n, cap;
	} brought, had;
};

/* A configuration that a proposal does not name and that goes out with it, as it was. */
struct along {
	struct place *at;
	uint64_t rev;
};

struct expected {
	struct str tenant;
	enum notice what;
};

struct gate_model {
	struct arena *arena, *one;       /* of a history; of an entry */
	uint64_t time_ms, seq;
	uint64_t has_rolls;              /* bits of tenants */
	bool is_open, is_off;            /* off: nobody wants anything of it */
	bool is_wanted;                  /* more than anything else */
	bool is_in[PEOPLE];
	struct policy policies[OBJECTS];
	struct shut windows[OBJECTS];
	struct hook hooks[OBJECTS];
	struct place places[CONFIGS_MAX * 2];
	size_t n_policies, n_windows, n_hooks, n_places;
	struct gate_proposal *props;
	size_t n_props;
	struct {
		struct str tenant;
		struct sha256 digest;
		struct command c;
	} plans[PLANS];
	size_t n_plans;
	struct expected expected[256];
	size_t n_expected;
	/* Releases, as their objects were. */
	struct told_release {
		struct str tenant, name, phase;
		uint64_t step;
	} *releases;
	size_t n_releases, cap_releases;
};
extern struct gate_model m;


/* ---- what an entry did ---- */

enum how {
	HOW_PLAIN,
	HOW_PROPOSED,
	HOW_EXECUTED,
	HOW_FAILED,
	HOW_GLASS,
	HOW_TIME,                        /* a tick */
};

struct look {
	uint64_t index;
	struct kv_txn *txn;
	const struct outcome *o;
	struct command c;                /* as it was sent */
	const struct command *ops;       /* whose operations count: its own, a plan's */
	enum how how;
	struct gate_proposal *p;
};

/* A time that has come. */
bool has_ended(uint64_t at_ms);

/* ---- gate_told.c ---- */
/* Webhooks of the tenant that want it are told. */
void expect(struct str tenant, enum notice what);
/* A Release came, moved or went: who is told of that. */
void told_see_release(const struct look *l, uint64_t rev,
		      const struct event_row *e);
/* Of an entry: each webhook is told of what is expected, and of nothing else. */
void told_check(const struct look *l);

/* ---- gate_names.c ---- */
/* Of an entry: the versions that something names at what it touched are there. */
void names_check(const struct look *l);

/* ---- gates.c ---- */
struct place *place_at(struct str tenant, struct str name);
/* Everybody had that content there once. */
bool was_had(const struct place *at, const struct sha256 *sha);

/* ---- gate_things.c ---- */
/* Of a command that did what it says: what there is from then on. */
void gate_thing(const struct look *l, const struct op *op, struct uuid uid);
void keep_plan(const struct op *op);
/* Who has that token, and is there; NULL: nobody. */
const struct person *person_of(const struct subject *s);

/* ---- gate_proposals.c ---- */
struct gate_proposal *proposal_at(struct str tenant, struct str name);
/* Pending or Approved. */
bool is_open(const struct gate_proposal *p);
/* It is of that configuration, by name or because it goes along. */
bool is_about_place(const struct gate_proposal *p, const struct place *at);
void move(const struct look *l, struct gate_proposal *p, enum proposal_phase to);
/* The command became one, or did what it wants behind a broken glass. */
void on_proposed(struct look *l, bool is_glass);
/* What moved under those that are open ends them. */
void find_stale(const struct look *l);
/* EXECUTE of a proposal; of a plan. */
void on_execute(struct look *l, const struct op *op);
void on_plan(struct look *l, const struct op *op);
void on_vote(const struct look *l, const struct op *op);

/* ---- gate_leads.c ---- */
#define LEADS "leads"                    /* credential of what who leads wants */
void leads_begin(void);
/* Of an entry: nobody was turned back, or let go on, by what no client said. */
void leads_check(const struct look *l);

/* ---- gate_holds.c ---- */
void holds_end(void);
/* Of an entry: what is held is what should be. */
void holds_look(const struct look *l);
/* That release turned back there, since it was changed. */
bool holds_is_of(const struct place *at, uint64_t number);
enum touch { TOUCH_NOT, TOUCH_OTHERWISE, TOUCH_LIFTS };
typedef enum touch holds_touch(void *data, struct place *at);
/* Does what 'touches' says of each place lift what that release holds? */
bool holds_are_lifted(uint64_t number, struct str tenant, holds_touch *touches,
		      void *data);

/* ---- rolls.c ---- */
void rolls_end(void);
/* Does a rule pick the client? */
bool rolls_is_in(const struct rule *r, unsigned client);
/* Of a command that was let through, before its events are looked at. */
void rolls_check_holds(const struct look *l);
void rolls_look(const struct look *l);

#endif
