/*
 * Kinds: the built-in files parsed once, then looked up.  See kind.h.
 */
#include "schema/kind.h"

#include "base/clock.h"
#include "doc/format.h"
#include "schema/kinds_text.h"

#include "base/banned.h"

static struct arena *kinds_arena;
static const struct kind *by_id[KIND__END];
static const struct kind *all[KIND__END];
static size_t n_all;

static struct str *texts(const struct value *list, size_t *n)
{
	struct str *out = arena_alloc(kinds_arena,
				      (value_count(list) + 1) * sizeof(*out));

	*n = value_count(list);
	for (size_t i = 0; i < *n; i++)
		out[i] = value_text(list->a.items[i]);
	return out;
}

static void read_columns(struct kind *k, const struct value *list)
{
	k->n_columns = value_count(list);
	k->columns = arena_zero(kinds_arena,
				(k->n_columns + 1) * sizeof(*k->columns));
	for (size_t i = 0; i < k->n_columns; i++) {
		const struct value *c = list->a.items[i];
		struct kind_column *to = &k->columns[i];
		uint64_t priority = 0;

		to->name = value_text_at(c, "name");
		to->path = value_text_at(c, "path");
		to->type = value_text_at(c, "type");
		to->description = value_text_at(c, "description");
		if (value_to_u64(value_getz(c, "priority"), &priority))
			to->priority = (unsigned)priority;
	}
}

static enum code check_kind(const struct kind *k, struct err *err)
{
	if (k->id == KIND_NONE || k->id >= KIND__END || by_id[k->id])
		return err_set(err, E_INVALID, "id %d is no free number",
			       (int)k->id);
	if (!k->name.n || !k->plural.n || !k->singular.n || !k->spec_schema)
		return err_set(err, E_INVALID,
			       "kind, plural, singular and schema.spec are needed");
	for (size_t i = 0; i < k->n_columns; i++)
		if (!str_starts(k->columns[i].path, STR(".")))
			return err_set(err, E_INVALID, "column %zu has no path", i);
	return OK;
}

static enum code read_kind(const struct value *v, struct err *err)
{
	struct kind *k = ANEW(kinds_arena, struct kind);
	uint64_t id = 0;
	enum code rc;

	if (!value_to_u64(value_getz(v, "id"), &id) || id >= KIND__END)
		id = KIND_NONE;
	k->id = (enum kind_id)id;
	k->name = value_text_at(v, "kind");
	k->plural = value_text_at(v, "plural");
	k->singular = value_text_at(v, "singular");
	k->list_name = arena_printf(kinds_arena, "%.*sList", STR_ARG(k->name));
	k->description = value_text_at(v, "description");
	k->short_names = texts(value_getz(v, "shortNames"), &k->n_short_names);
	k->categories = texts(value_getz(v, "categories"), &k->n_categories);
	k->selectable = texts(value_getz(v, "selectableFields"),
			      &k->n_selectable);
	k->namespaced = str_is(value_text_at(v, "scope"), "Namespaced");
	k->is_system = value_to_bool(value_getz(v, "system"), false);
	k->has_status = value_to_bool(value_getz(v, "status"), false);
	read_columns(k, value_getz(v, "columns"));
	k->spec_schema = value_at(v, "schema.spec");
	k->status_schema = value_at(v, "schema.status");
	rc = check_kind(k, err);
	if (rc)
		return err_wrap(err, "kind %.*s", STR_ARG(k->name));
	by_id[k->id] = k;
	return OK;
}

enum code kinds_load(struct err *err)
{
	enum code rc = OK;

	if (kinds_arena)
		return OK;
	kinds_arena = arena_new(64 * 1024);
	for (unsigned i = 0; i < kinds_text_count && rc == OK; i++) {
		struct value *v;

		rc = doc_parse(FORMAT_YAML, str_of(kinds_text[i]), kinds_arena,
			       NULL, &v, NULL, err);
		if (rc == OK)
			rc = read_kind(v, err);
	}
	for (unsigned i = 1; i < KIND__END; i++)
		if (by_id[i])
			all[n_all++] = by_id[i];
	return rc;
}

const struct kind *kind_by_id(enum kind_id id)
{
	return id > KIND_NONE && id < KIND__END ? by_id[id] : NULL;
}

const struct kind *kind_by_name(struct str name)
{
	for (size_t i = 0; i < n_all; i++)
		if (str_eq(all[i]->name, name))
			return all[i];
	return NULL;
}

const struct kind *kind_by_plural(struct str plural)
{
	for (size_t i = 0; i < n_all; i++)
		if (str_eq(all[i]->plural, plural))
			return all[i];
	return NULL;
}

static bool answers_to(const struct kind *k, struct str word)
{
	if (str_eq_nocase(k->name, word) || str_eq_nocase(k->plural, word) ||
	    str_eq_nocase(k->singular, word))
		return true;
	for (size_t i = 0; i < k->n_short_names; i++)
		if (str_eq_nocase(k->short_names[i], word))
			return true;
	return false;
}

const struct kind *kind_by_any(struct str word)
{
	for (size_t i = 0; i < n_all; i++)
		if (answers_to(all[i], word))
			return all[i];
	return NULL;
}

size_t kinds_all(const struct kind *const **out)
{
	*out = all;
	return n_all;
}

/* ---- cells ---- */

/* `[?(@.type=="Ready")]`: the item of a list whose member has a value. */
static const struct value *pick(const struct value *list, struct str filter)
{
	size_t eq = str_find_str(filter, STR("==\""));
	struct str key, want;

	if (eq == SIZE_MAX || !str_starts(filter, STR("?(@.")))
		return NULL;
	key = str_first(str_from(filter, 4), eq - 4);
	want = str_from(filter, eq + 3);
	want = str_first(want, MIN(str_find(want, '"'), want.n));
	for (size_t i = 0; list && list->type == VALUE_ARRAY && i < list->a.n;
	     i++)
		if (str_eq(value_text(value_get(list->a.items[i], key)), want))
			return list->a.items[i];
	return NULL;
}

/* The next step of a path: a name up to '.' or '[', or a filter. */
static const struct value *step(const struct value *at, struct str *path)
{
	size_t n = 0;

	if (str_starts(*path, STR("["))) {
		size_t close = str_find(*path, ']');
		struct str filter = str_first(str_from(*path, 1), close - 1);

		*path = str_from(*path, close + 1);
		return pick(at, filter);
	}
	*path = str_from(*path, 1);
	while (n < path->n && path->p[n] != '.' && path->p[n] != '[')
		n++;
	at = value_get(at, str_first(*path, n));
	*path = str_from(*path, n);
	return at;
}

/* "3d", and "in 3d" of what is to come. */
static void put_age(struct buf *out, uint64_t ms, uint64_t now_ms)
{
	char age[16];

	clock_age(age, now_ms > ms ? now_ms - ms : ms - now_ms);
	buf_printf(out, "%s%s", ms > now_ms ? "in " : "", age);
}

/* Of the intervals of a FreezeWindow the first that is not over. */
static bool next_interval(const struct value *status, uint64_t now_ms,
			  uint64_t *from_ms, uint64_t *to_ms)
{
	const struct value *list = value_getz(status, "intervals");

	for (size_t i = 0; i < value_count(list); i++) {
		const struct value *v = list->a.items[i];

		if (clock_parse_rfc3339(value_text_at(v, "from"), from_ms) &&
		    clock_parse_rfc3339(value_text_at(v, "to"), to_ms) &&
		    *to_ms > now_ms)
			return true;
	}
	return false;
}

/* What a FreezeWindow is now, and until when: its `next` and `until` are of when its
 * status was written.  Who cannot tell says that it is shut, as the gate does. */
static void window_cell(const struct value *object, uint64_t now_ms, struct buf *out)
{
	const struct value *status = value_getz(object, "status");
	uint64_t from = 0, to = 0, known = 0;
	char time[RFC3339_MAX];
	AUTO_BUF text = BUF_NONE;

	if (!value_at(object, "spec.interval") &&
	    (!clock_parse_rfc3339(value_text_at(status, "computedUntil"), &known) ||
	     known <= now_ms)) {
		buf_json(out, STR("frozen, its times are not known"));
		return;
	}
	if (!next_interval(status, now_ms, &from, &to)) {
		buf_json(out, value_at(object, "spec.interval") ?
				STR("over") : STR("open"));
		return;
	}
	clock_rfc3339(time, from <= now_ms ? to : from, false);
	buf_printf(&text, "%s until %s (", from <= now_ms ? "frozen" : "open", time);
	put_age(&text, from <= now_ms ? to : from, now_ms);
	buf_c(&text, ')');
	buf_json(out, buf_view(&text));
}

void kind_cell_json(const struct kind_column *column, const struct value *object,
		    uint64_t now_ms, struct buf *out)
{
	struct str path = column->path;
	const struct value *at = object;
	AUTO_BUF age = BUF_NONE;
	uint64_t ms;

	if (str_is(column->type, "window")) {
		window_cell(object, now_ms, out);
		return;
	}
	while (at && path.n)
		at = step(at, &path);
	if (at && str_is(column->type, "date") &&
	    clock_parse_rfc3339(value_text(at), &ms)) {
		put_age(&age, ms, now_ms);
		buf_json(out, buf_view(&age));
	} else {
		value_json(out, at);
	}
}
