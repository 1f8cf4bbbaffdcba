/*
 * What kube.c and kube_delete.c share: objects in the Kubernetes manner.
 */
#ifndef API_KUBE_H
#define API_KUBE_H

#include "api/own.h"

struct where {
	const struct kind *kind;
	struct str tenant, name;
};
/* What the path names, and may it be; false: answered. */
bool kube_find(struct request *r, bool namespaced, enum verb verb,
	       struct where *out);
/* "dryRun=All"; anything else that it says is refused.  False: answered. */
bool kube_dry_run(struct request *r, bool *out);
/* The members of metadata that are texts are texts, and nothing else (null is
 * none).  False: answered. */
bool kube_meta_is_text(struct request *r, const struct value *object);
/* 'uid' (empty: none given) is that of 'o'; false: answered with a conflict. */
bool kube_same_uid(struct request *r, const struct where *at, struct str uid,
		   const struct object_view *o);
/* What stands there now; false: answered. */
bool kube_current(struct request *r, const struct where *at,
		  struct object_view *out);
/* What apply would say of who owns it. */
enum code kube_owner(const struct request *r, const struct object_view *o,
		     struct err *err) MUST_USE;
void kube_delete(struct request *r, bool namespaced);
/* 202 with the object as it is, while a change of it waits for approval. */
void kube_waiting(struct request *r, const struct where *at);

#endif
