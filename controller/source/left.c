/* What a deleted source leaves behind: see left.h. */
#include "source/left.h"

#include "base/map.h"
#include "doc/format.h"

#include "base/banned.h"

#define SOURCE_PREFIX STR("source:")

/* ---- the mark ---- */

/* Each write but that of labels and annotations moves one of the two. */
static struct str mark_of(struct arena *arena, struct str ref,
			  const struct object_view *o)
{
	return arena_printf(arena, "%.*s generation %llu version %u",
			    STR_ARG(ref), (unsigned long long)o->row.generation,
			    o->has_live ? o->live.last_version : 0);
}

enum code left_meta(struct arena *arena, const struct object_view *o,
		    struct str *out, struct err *err)
{
	struct value *meta = NULL, *annotations;
	AUTO_BUF b = BUF_NONE;
	enum code rc = doc_parse_json(o->row.meta, arena, NULL, &meta, err);

	if (rc)
		return err_wrap(err, "metadata of %.*s", STR_ARG(o->name));
	annotations = value_getz(meta, "annotations");
	if (!annotations || annotations->type != VALUE_OBJECT)
		annotations = value_object(arena);
	value_setz(arena, annotations, LEFT_ANNOTATION,
		   value_str(arena, mark_of(arena, o->row.manager_ref, o)));
	value_setz(arena, meta, "annotations", annotations);
	value_canonical(&b, meta);
	*out = arena_str(arena, buf_view(&b));
	return OK;
}

bool left_is(const struct object_view *o)
{
	AUTO_ARENA arena = NULL;
	struct value *meta = NULL;
	struct str mark, rest;

	if (o->row.manager != MANAGER_API ||
	    str_find_str(o->row.meta, STR(LEFT_ANNOTATION)) == SIZE_MAX ||
	    (o->has_live && o->live.rev > o->row.rev))
		return false;
	arena = arena_new(0);
	if (doc_parse_json(o->row.meta, arena, NULL, &meta, NULL))
		return false;
	mark = value_text(value_getz(value_getz(meta, "annotations"),
				     LEFT_ANNOTATION));
	rest = mark;
	return mark.n && str_eq(mark, mark_of(arena, str_cut(&rest, ' '), o));
}

/* ---- who is no more ---- */

bool source_exists(struct kv_txn *txn, struct str ref)
{
	struct object_view view;
	struct str rest = str_from(ref, SOURCE_PREFIX.n);
	struct str ns = str_cut(&rest, '/');

	return view_object(txn, KIND_SOURCE, ns, rest, &view, NULL) == OK;
}

struct sweep {
	struct kv_txn *txn;
	struct arena *arena;
	struct map *seen;                /* ref -> struct orphan, or the sweep */
	struct str last;                 /* objects of one source come in rows */
	struct orphan *found;
	size_t n, cap;
};

static bool on_object(void *data, const struct object_view *o)
{
	struct sweep *s = data;
	struct str ref = o->row.manager_ref, rest;
	struct orphan orphan = { 0 };

	if (o->row.manager != MANAGER_GIT || str_eq(ref, s->last) ||
	    !str_starts(ref, SOURCE_PREFIX))
		return true;
	s->last = ref = arena_str(s->arena, ref);
	if (map_put(s->seen, ref, s) || source_exists(s->txn, ref))
		return true;
	rest = str_from(ref, SOURCE_PREFIX.n);
	orphan.tenant = str_cut(&rest, '/');
	orphan.name = rest;
	s->found = arena_grow(s->arena, s->found, &s->cap, s->n + 1,
			      sizeof(*s->found));
	s->found[s->n++] = orphan;
	return true;
}

static bool on_event(void *data, uint64_t rev, const struct event_row *e)
{
	struct sweep *s = data;
	struct object_row row = { 0 };

	(void)rev;
	if (e->kind != KIND_SOURCE || e->type != EVENT_DELETED)
		return true;
	for (size_t i = 0; i < s->n; i++) {
		struct orphan *o = &s->found[i];

		if (!str_eq(o->tenant, e->tenant) || !str_eq(o->name, e->name) ||
		    !object_row_decode(e->before, &row))
			continue;
		o->uid = row.uid;
		o->prunes = source_prunes(row.spec);
	}
	return true;
}

enum code sweep_orphans(struct kv_txn *txn, struct arena *arena,
			struct orphan **out, size_t *n, struct err *err)
{
	static const enum kind_id kinds[] = { KIND_CONFIG, KIND_APPLICATION,
					      KIND_ENVIRONMENT };
	struct sweep s = { .txn = txn, .arena = arena, .seen = map_new() };
	struct head head;
	enum code rc = view_head(txn, &head, err);

	for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == OK; i++)
		rc = view_list(txn, kinds[i], STR_NONE, STR_NONE, STR_NONE,
			       on_object, &s, err);
	if (rc == OK && s.n)
		rc = view_events(txn, head.compacted_rev, on_event, &s, err);
	map_free(&s.seen);
	*out = s.found;
	*n = s.n;
	return rc;
}
