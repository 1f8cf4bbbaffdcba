/*
 * Lists of objects in the Kubernetes manner, what selects of them, and the tables that
 * kubectl prints.
 */
#include "api/kube.h"

#include "base/clock.h"

#include "base/banned.h"

/* ---- tables ---- */

bool kube_wants_table(const struct request *r)
{
	const struct str *accept = request_header(r, "accept");

	return accept && str_find_str(*accept, STR("as=Table")) != SIZE_MAX;
}

bool kube_whole_rows(const struct request *r)
{
	const struct str *include = request_query(r, "includeObject");

	return include && str_is(*include, "Object");
}

void kube_table_head(struct buf *out, const struct kind *kind, uint64_t rev)
{
	buf_printf(out,
		   "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\","
		   "\"metadata\":{\"resourceVersion\":\"%llu\"},"
		   "\"columnDefinitions\":[{\"name\":\"Name\",\"type\":\"string\","
		   "\"format\":\"name\",\"description\":\"\",\"priority\":0}",
		   (unsigned long long)rev);
	for (size_t i = 0; i < kind->n_columns; i++) {
		const struct kind_column *c = &kind->columns[i];

		buf_z(out, ",{\"name\":");
		buf_json(out, c->name);
		buf_z(out, ",\"type\":");
		buf_json(out, str_is(c->type, "window") ? STR("string") : c->type);
		buf_z(out, ",\"format\":\"\",\"description\":");
		buf_json(out, c->description);
		buf_printf(out, ",\"priority\":%u}", c->priority);
	}
	buf_z(out, ",{\"name\":\"Age\",\"type\":\"date\",\"format\":\"\","
		   "\"description\":\"\",\"priority\":0}],\"rows\":[");
}

void kube_table_row(struct buf *out, struct arena *arena, const struct object_view *o,
		    uint64_t now_ms, bool whole)
{
	const struct kind *kind = kind_by_id(o->kind);
	AUTO_BUF json = BUF_NONE;
	struct value *object;
	char age[16];

	view_json(&json, o);
	if (doc_parse_json(buf_view(&json), arena, NULL, &object, NULL))
		return;
	buf_z(out, "{\"cells\":[");
	buf_json(out, o->name);
	for (size_t i = 0; i < kind->n_columns; i++) {
		buf_c(out, ',');
		kind_cell_json(&kind->columns[i], object, now_ms, out);
	}
	clock_age(age, now_ms > o->row.created_ms ? now_ms - o->row.created_ms : 0);
	buf_printf(out, ",\"%s\"],\"object\":", age);
	if (whole) {
		buf_str(out, buf_view(&json));
	} else {
		buf_z(out, "{\"kind\":\"PartialObjectMetadata\","
			   "\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
		value_json(out, value_getz(object, "metadata"));
		buf_c(out, '}');
	}
	buf_c(out, '}');
}

/* ---- lists ---- */

static bool field_is_known(const struct kind *kind, struct str path)
{
	if (str_is(path, "metadata.name") || str_is(path, "metadata.namespace"))
		return true;
	for (size_t i = 0; i < kind->n_selectable; i++)
		if (str_eq(path, kind->selectable[i]))
			return true;
	return false;
}

static struct str query_of(struct request *r, struct arena *arena, const char *name)
{
	const struct str *text = request_query(r, name);

	return text ? arena_str(arena, *text) : STR_NONE;
}

bool kube_take_selectors(struct request *r, const struct kind *kind, struct arena *arena,
			 struct kube_select *out)
{
	struct err err;

	if (label_selector_parse(query_of(r, arena, "labelSelector"), arena, &out->labels,
				 &err) ||
	    field_selector_parse(query_of(r, arena, "fieldSelector"), arena, &out->fields,
				 &err)) {
		api_error(r, &err);
		return false;
	}
	for (size_t i = 0; i < out->fields.n; i++) {
		if (field_is_known(kind, out->fields.terms[i].key))
			continue;
		api_fail(r, E_INVALID, "field label not supported: %.*s",
			 STR_ARG(out->fields.terms[i].key));
		return false;
	}
	return true;
}

bool kube_selects(const struct kube_select *s, struct arena *arena, struct str json)
{
	struct value *object;

	if (s->labels.n == 0 && s->fields.n == 0)
		return true;
	return doc_parse_json(json, arena, NULL, &object, NULL) == OK &&
	       label_selector_matches(&s->labels,
				      value_at(object, "metadata.labels")) &&
	       field_selector_matches(&s->fields, object, arena);
}

struct listing {
	struct buf body;
	struct kube_select select;
	bool table, whole, has_one;
	uint64_t now_ms;
	struct arena *arena;             /* one item */
};

static bool list_one(void *data, const struct object_view *o)
{
	struct listing *l = data;
	AUTO_BUF json = BUF_NONE;

	arena_reset(l->arena);
	view_json(&json, o);
	if (!kube_selects(&l->select, l->arena, buf_view(&json)))
		return true;
	if (l->has_one)
		buf_c(&l->body, ',');
	l->has_one = true;
	if (l->table)
		kube_table_row(&l->body, l->arena, o, l->now_ms, l->whole);
	else
		buf_str(&l->body, buf_view(&json));
	return true;
}

static void answer_list(struct request *r, const struct where *at)
{
	struct listing l = { .table = kube_wants_table(r),
			     .whole = kube_whole_rows(r), .now_ms = clock_wall_ms() };
	struct kv_txn *txn;
	struct head head;
	struct err err;

	if (!kube_take_selectors(r, at->kind, r->arena, &l.select) ||
	    !api_view(r, &txn))
		return;
	l.arena = arena_new(0);
	if (view_head(txn, &head, &err))
		goto failed;
	if (l.table)
		kube_table_head(&l.body, at->kind, head.rev);
	else
		buf_printf(&l.body, "{\"kind\":\"%.*s\",\"apiVersion\":\"%s\","
			   "\"metadata\":{\"resourceVersion\":\"%llu\"},\"items\":[",
			   STR_ARG(at->kind->list_name), API_GROUP_VERSION,
			   (unsigned long long)head.rev);
	if (view_list(txn, at->kind->id, at->tenant, STR_NONE, STR_NONE,
		      list_one, &l, &err))
		goto failed;
	buf_z(&l.body, "]}");
	answer(r, 200, "application/json", buf_view(&l.body));
	goto done;
failed:
	api_error(r, &err);
done:
	arena_free(&l.arena);
	buf_fini(&l.body);
}

void kube_list(struct request *r, bool namespaced)
{
	const struct str *watch = request_query(r, "watch");
	struct where at;
	bool yes = false;

	if (watch && str_bool(*watch, &yes) && yes) {
		kube_watch(r, namespaced);
		return;
	}
	if (!kube_find(r, namespaced, VERB_LIST, &at))
		return;
	at.name = STR_NONE;
	answer_list(r, &at);
}
