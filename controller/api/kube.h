/*
 * What kube.c, kube_list.c, kube_watch.c, kube_delete.c and discovery.c share: objects
 * in the Kubernetes manner.
 */
#ifndef API_KUBE_H
#define API_KUBE_H

#include "api/own.h"
#include "api/selector.h"

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

/* ---- tables (kube_list.c) ---- */
bool kube_wants_table(const struct request *r);
/* ?includeObject=Object: rows carry the object, as sorting needs it. */
bool kube_whole_rows(const struct request *r);
/* Up to where the rows begin; "]}" is behind the last. */
void kube_table_head(struct buf *out, const struct kind *kind, uint64_t rev);
void kube_table_row(struct buf *out, struct arena *arena, const struct object_view *o,
		    uint64_t now_ms, bool whole);

/* ---- lists (kube_list.c) ---- */
struct kube_select {
	struct query_selector labels, fields;
};
/* Lives in 'arena'; false: answered. */
bool kube_take_selectors(struct request *r, const struct kind *kind, struct arena *arena,
			 struct kube_select *out);
/* Is it the object that is 'json'?  'arena' is used up. */
bool kube_selects(const struct kube_select *s, struct arena *arena, struct str json);
/* A list, or where ?watch says so a watch. */
void kube_list(struct request *r, bool namespaced);

/* ---- watches (kube_watch.c) ---- */
void kube_watch(struct request *r, bool namespaced);
/* Those of a loop. */
struct kube_watches *kube_watches_new(struct api_loop *at);
/* Something new is visible. */
void kube_watches_wake(struct kube_watches *all);
bool kube_watches_any(const struct kube_watches *all);
/* Ends all; none begins. */
void kube_watches_drain(struct kube_watches *all);
void kube_watches_free(struct kube_watches **all);

#endif
