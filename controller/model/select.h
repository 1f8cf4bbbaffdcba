/*
 * Selectors: which configurations a policy is about (spec.select of
 * ReleasePolicy, ApprovalPolicy, FreezeWindow).
 *
 * Of applications, environments and names one entry each must match, where the list
 * is there at all; of labels all must be equal.  What is absent selects everything.
 * Pure; any thread.
 */
#ifndef MODEL_SELECT_H
#define MODEL_SELECT_H

#include "doc/value.h"
#include "model/address.h"
#include "model/labels.h"

/* "shop" is that one, "shop*" each that begins so, "*" each. */
struct patterns {
	struct str *p;
	size_t n, cap;
	bool is_there;                   /* an empty list matches nothing */
};

struct selector {
	struct labels labels;
	struct patterns applications, environments, names;
};

/* Out of the value of spec.select, from which it borrows; NULL selects everything.
 * False: it is no selector, and whoever asks decides what that means to him (the
 * schema lets none through). */
bool selector_read(struct arena *arena, const struct value *select,
		   struct selector *out);
/* 'labels' are the object's; 'at' is the address, tenant aside. */
bool selector_matches(const struct selector *selector,
		      const struct labels *labels, const struct address *at);

/* The same where 'labels' may be NULL, of an object with more than could be read: as if
 * all matched, so that nothing gets past a policy by having too many. */
bool selector_may_match(const struct selector *selector,
			const struct labels *labels, const struct address *at);

/* Labels out of an object of texts; borrows.  NULL has none.  False: it is another
 * thing, or more than LABELS_MAX. */
bool labels_read(struct arena *arena, const struct value *object,
		 struct labels *out);
/* The same out of its JSON text (labels of an object row), which is copied. */
bool labels_parse(struct arena *arena, struct str json, struct labels *out);

#endif
