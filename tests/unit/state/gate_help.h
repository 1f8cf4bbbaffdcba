/*
 * What the tests of the gate share: one bench, people, and short words for what is
 * proposed, voted on and executed in tenant acme.
 */
#ifndef TEST_STATE_GATE_HELP_H
#define TEST_STATE_GATE_HELP_H

#include "bench.h"
#include "state/view_gate.h"

extern struct bench b;               /* that of fan.c */

#define CONFIG "shop.prod.db.toml"
#define BY(groups) "{\"from\":{\"groups\":[\"" groups "\"]}}"
#define POLICY "{\"stages\":[" BY("leads") "]}"
#define ALL (BIT(VERB_PUBLISH) | BIT(VERB_APPROVE) | BIT(VERB_ROLLBACK))
#define LEADS "\5leads"

struct audit_seen {
	struct audit_row last;
	struct str action, subject, credential, target;
};

/* A bench with tenant, configuration, and the gate; its content is "one\n". */
void gate_setup(void);
void gate_teardown(void);

struct op *put_object(struct command *c, enum kind_id kind, const char *name, const char *spec);
void make(enum kind_id kind, const char *name, const char *spec);
void delete(enum kind_id kind, const char *name);
void need_leads(void);
struct sha256 token_of(const char *name);
void let_in(const char *name, const char *groups, uint64_t verbs, uint64_t expires_ms);
struct command *as(const char *name);
void people(void);
/* 'c', which it is added to. */
struct command *publish_of(struct command *c, const char *text);
const struct outcome *publish(struct command *c, const char *text);
const char *live(void);
struct proposal_row row_of(const char *name);
const char *proposed(const char *phase);
void phase_is(const char *name, enum proposal_phase want);
enum code vote(const char *who, const char *name, enum vote vote);
struct command *as_system(void);
struct op *execute_op(struct command *c, const char *name);
enum code execute(const char *name);
void tick_after(uint64_t ms);
uint64_t rows(enum kv_table table);
uint32_t refs_of(const char *text);
bool see_audit(void *data, const struct audit_row *row, bool right);
struct audit_seen last_audit(void);

#endif
