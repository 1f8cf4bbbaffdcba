/*
 * What was fetched becomes the next picture, as a whole; the program's validator
 * has its say before, its listeners hear of it after.
 */
#include <stdarg.h>

#include "client/sdk/own.h"

#include "base/banned.h"

/* ---- verdicts ---- */

void commit_reject(struct cfx *cfx, unsigned at, const struct doc *doc,
		   const char *reason)
{
	struct config *c = &cfx->configs[at];
	struct cfx_error error;

	c->has_rejected = true;
	memcpy(c->rejected, doc->sha256, sizeof(c->rejected));
	ack_say(cfx, at, WORD_REJECTED, doc, reason);
	cfx->status.rejected++;
	cfx_fail(&error, CFX_E_REJECTED, "%s: version %llu is rejected: %s",
		 c->key, (unsigned long long)doc->version,
		 reason[0] ? reason : "without a reason");
	c->refusal = error;
	cfx_trouble(cfx, &error);
}

void commit_accept(struct cfx *cfx, unsigned at, const struct doc *doc)
{
	struct config *c = &cfx->configs[at];

	c->has_rejected = false;
	c->refusal = (struct cfx_error){ 0 };
	ack_accepted(cfx, at, doc);
}

/* ---- the validator ---- */

static bool is_valid(struct cfx *cfx, unsigned at, const struct cfx_view *view,
		     const char *source)
{
	const struct doc *doc = view->docs[at];
	struct cfx_candidate candidate = { cfx->names->name[at], view,
					   doc->version, doc->revision, source };
	char reason[REASON_MAX] = "";

	if (!cfx->o.validator ||
	    cfx->o.validator(cfx->o.validator_data, &candidate, reason,
			     sizeof(reason)))
		return true;
	reason[sizeof(reason) - 1] = '\0';
	commit_reject(cfx, at, doc, reason);
	return false;
}

/* Answers how many of the staged are still in 'next'. */
static unsigned validate(struct cfx *cfx, const struct cfx_view *was,
			 struct cfx_view *next, const char *source)
{
	unsigned n = 0;

	for (unsigned i = 0; i < cfx->names->n; i++) {
		if (!cfx->configs[i].staged)
			continue;
		if (is_valid(cfx, i, next, source))
			n++;
		else
			picture_set(next, i, was->docs[i]);
	}
	return n;
}

/* ---- listeners ---- */

static void tell_of(struct cfx *cfx, const struct listener *l, unsigned at,
		    const struct cfx_view *was, const struct cfx_view *now)
{
	const struct doc *a = was->docs[at], *b = now->docs[at];
	struct cfx_change change = { cfx->names->name[at], l->path, was, now,
				     b->version };

	if (!doc_same(a, doc_find(a, l->path), b, doc_find(b, l->path)))
		l->fn(l->data, &change);
}

static void sweep(struct cfx *cfx)
{
	struct listener **at = &cfx->listeners;

	while (*at) {
		struct listener *l = *at;

		if (l->is_dead) {
			*at = l->next;
			heap_release(&cfx->heap, l);
		} else {
			at = &l->next;
		}
	}
}

static void tell(struct cfx *cfx, const struct cfx_view *was,
		 const struct cfx_view *now)
{
	pthread_mutex_lock(&cfx->calls);
	cfx->is_calling = true;
	for (unsigned i = 0; i < cfx->names->n; i++) {
		if (was->docs[i] == now->docs[i])
			continue;
		for (struct listener *l = cfx->listeners; l; l = l->next)
			if (!l->is_dead && (l->config < 0 ||
					    l->config == (int)i))
				tell_of(cfx, l, i, was, now);
	}
	cfx->is_calling = false;
	sweep(cfx);
	pthread_mutex_unlock(&cfx->calls);
}

enum cfx_code cfx_on_change(struct cfx *cfx, const char *config,
			    const char *path, cfx_listener *fn, void *data,
			    uint64_t *id)
{
	size_t n = path ? strlen(path) : 0;
	int at = config ? names_find(cfx->names, config) : -1;
	struct listener *l, **end;

	if (!fn || (config && at < 0))
		return CFX_E_USAGE;
	l = heap_zero(&cfx->heap, sizeof(*l) + n + 1);
	if (!l)
		return CFX_E_NO_MEMORY;
	if (n)
		memcpy(l->path, path, n);
	l->config = at;
	l->fn = fn;
	l->data = data;
	pthread_mutex_lock(&cfx->calls);
	l->id = ++cfx->last_listener;
	for (end = &cfx->listeners; *end; end = &(*end)->next)
		;
	*end = l;
	if (id)
		*id = l->id;
	pthread_mutex_unlock(&cfx->calls);
	return CFX_OK;
}

void cfx_off_change(struct cfx *cfx, uint64_t id)
{
	pthread_mutex_lock(&cfx->calls);
	for (struct listener *l = cfx->listeners; l; l = l->next)
		if (l->id == id)
			l->is_dead = true;
	if (!cfx->is_calling)
		sweep(cfx);
	pthread_mutex_unlock(&cfx->calls);
}

void commit_fini(struct cfx *cfx)
{
	while (cfx->listeners) {
		struct listener *next = cfx->listeners->next;

		heap_release(&cfx->heap, cfx->listeners);
		cfx->listeners = next;
	}
}

/* ---- the commit ---- */

enum cfx_code commit(struct cfx *cfx, const char *source,
		     struct cfx_error *error)
{
	bool is_server = strcmp(source, "server") == 0;
	struct cfx_view *was = cfx_view(cfx);
	struct cfx_view *next = picture_new(&cfx->heap, cfx->names, was);
	unsigned n;

	if (!next) {
		cfx_view_free(was);
		return cfx_no_memory(error);
	}
	for (unsigned i = 0; i < cfx->names->n; i++)
		if (cfx->configs[i].staged)
			picture_set(next, i, cfx->configs[i].staged);
	n = validate(cfx, was, next, source);
	for (unsigned i = 0; i < cfx->names->n; i++)
		doc_unref(TAKE(cfx->configs[i].staged));
	cfx->staged_ms = 0;              /* what comes next waits for its own */
	if (n == 0) {
		cfx_view_free(next);
		cfx_view_free(was);
		return CFX_OK;
	}
	/* For the listeners' time. */
	atomic_fetch_add(&next->refs, 1);
	shelf_exchange(&cfx->shelf, next);
	cfx->status.pictures++;
	cfx->save_due |= is_server && cfx->o.snapshot_file;
	tell(cfx, was, next);
	for (unsigned i = 0; is_server && i < cfx->names->n; i++)
		if (was->docs[i] != next->docs[i])
			commit_accept(cfx, i, next->docs[i]);
	cfx_view_free(was);
	cfx_view_free(next);
	return CFX_OK;
}
