/*
 * What a source owns, where it goes with the source: see view_gate.h.  The gate looks at
 * all of it twice, when it judges the deletion (gate.c) and when it places the locks of
 * its proposal (gate_walk.c).
 */
#include "state/gate_own.h"

#include "base/banned.h"

/* Of one part; and for what an operation costs. */
#define PART_ROWS 128
#define ROWS_A_UNIT 16

void owned_start(struct gate_owned *o, struct str tenant, struct str source)
{
	buf_reset(&o->tenant);
	buf_reset(&o->source);
	buf_reset(&o->after);
	buf_str(&o->tenant, tenant);
	buf_str(&o->source, source);
	o->is_on = true;
}

void owned_fini(struct gate_owned *o)
{
	buf_fini(&o->tenant);
	buf_fini(&o->source);
	buf_fini(&o->after);
}

enum code owned_next(struct apply *a, struct gate_owned *o, view_each_owned *each,
		     void *data, struct err *err)
{
	a->units -= PART_ROWS / ROWS_A_UNIT;
	return view_owned_part(a->txn, buf_view(&o->tenant), buf_view(&o->source),
			       &o->after, PART_ROWS, &o->is_on, each, data, err);
}
