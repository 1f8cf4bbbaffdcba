/*
 * Told on the core loop when approved proposals or freeze windows have become others
 * (state_gate_changes), behind the commit; 'windows': these too.  Embed it; both on
 * the core loop, off also within 'changed'.
 */
#ifndef STORE_GATE_H
#define STORE_GATE_H

#include "store/store.h"

struct store_gate {
	void (*changed)(struct store_gate *gate, bool windows);
	struct list at_;
};
void store_on_gate(struct store *store, struct store_gate *gate);
void store_off_gate(struct store_gate *gate);

#endif
