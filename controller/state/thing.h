/*
 * Objects that operations work on: their rows as they stand, what must hold before they
 * are written, and writing them.  In apply: deterministic, core loop.
 */
#ifndef STATE_THING_H
#define STATE_THING_H

#include "state/apply.h"

/* An object with its rows as they stand. */
struct thing {
	struct buf key;
	struct str val;                  /* p NULL: there is none */
	struct object_row row;
	/* CONFIG */
	struct buf live_key;
	struct str live_val;
	struct live_row live;
};
void thing_fini(struct thing *t);
#define AUTO_THING __attribute__((cleanup(thing_fini))) struct thing

/* E_CORRUPT: the rows of 'what' ("an object") are malformed. */
enum code thing_corrupt(struct err *err, const char *what);
/* t->val.p is NULL where there is none.  E_CORRUPT. */
enum code thing_load(struct apply *a, struct thing *t, struct str tenant,
		     enum kind_id kind, struct str name, struct err *err) MUST_USE;
/* The key of what is live at the address of 'row'. */
void thing_live_key(struct thing *t, struct str tenant,
		    const struct object_row *row);
/* The resourceVersion that people see: of the object or of what is live. */
uint64_t thing_rev(const struct thing *t);
enum code thing_not_found(const struct op *op, struct err *err);
/* op->expect: E_EXISTS, E_NOT_FOUND, E_CONFLICT. */
enum code thing_check_expect(const struct thing *t, const struct op *op,
			     struct err *err) MUST_USE;
/* Who writes: a source is Git with its own name as reference. */
enum manager thing_writer(const struct command *c, struct str *ref);
/* E_MANAGED: it is another's, and the command takes nothing over. */
enum code thing_check_owner(const struct apply *a, const struct thing *t,
			    struct err *err) MUST_USE;
/* Does the command take it over from another? */
bool thing_takes_over(const struct apply *a, const struct thing *t);
/* '*bytes' is what was written. */
void thing_put_row(struct apply *a, struct thing *t,
		   const struct object_row *row, struct str *bytes);
struct str thing_put_live(struct apply *a, const struct thing *t,
			  const struct live_row *live);

/* ---- configurations ---- */

/* The one that 'op' names, where it is as the operation expects it. */
enum code config_load(struct apply *a, struct thing *t, const struct op *op,
		      struct err *err) MUST_USE;
/* E_UNPROCESSABLE: there is no such version. */
enum code config_version(struct apply *a, const struct thing *t,
			 struct str tenant, uint32_t version,
			 struct version_row *out, struct err *err) MUST_USE;
/* Writes rules and what else changed of a live row, with its event; and the object,
 * where its manager changes with that. */
void config_change(struct apply *a, struct thing *t, const struct op *op,
		   struct op_result *res);
/* The same of the live row alone, whatever the command takes over. */
void config_write(struct apply *a, struct thing *t, struct str tenant,
		  struct str name);
/* Of rules of releases alone, which a step changed: what plans were computed from is
 * what it was. */
void config_write_step(struct apply *a, struct thing *t, struct str tenant,
		       struct str name);
/* Nothing is held any more.  Not written. */
void config_unhold(struct apply *a, struct thing *t, struct str tenant);
struct str config_encode_rules(struct apply *a, const struct rules *rules);
enum code config_rules(struct apply *a, const struct thing *t,
		       struct rules *out, struct err *err) MUST_USE;
/* Points the default rule at 'v', which is marked as having been live, making it
 * where there is none; keeps the others unless 'alone'.  The live row is not written. */
enum code config_move_default(struct apply *a, struct thing *t, struct str tenant,
			      const struct version_row *v, bool alone,
			      struct err *err) MUST_USE;
/* The version of the default rule and its digest; 0: there is none. */
uint32_t config_default(struct apply *a, const struct thing *t,
			struct sha256 *sha);

#endif
