/* What a watcher follows: see watch_spec.h. */
#include "api/watch_spec.h"

#include "api/acks.h"

#include "base/banned.h"

enum code watch_spec_key(struct watch_spec *spec, struct arena *arena,
			 struct str key, struct err *err)
{
	struct address at;
	enum code rc = address_parse(key, &at, err);

	if (rc)
		return err_wrap(err, "key=%.*s", STR_ARG(str_first(key, 100)));
	if (spec->n_keys >= WATCH_KEYS_MAX)
		return err_set(err, E_INVALID, "more than %d keys", WATCH_KEYS_MAX);
	spec->keys = arena_grow(arena, spec->keys, &spec->cap_keys,
				spec->n_keys + 1, sizeof(*spec->keys));
	spec->keys[spec->n_keys++] = at;
	return OK;
}

enum code watch_spec_prefix(struct watch_spec *spec, struct arena *arena,
			    struct str prefix, struct err *err)
{
	if (prefix.n > ADDRESS_KEY_MAX)
		return err_set(err, E_INVALID, "a prefix has at most %d bytes",
			       ADDRESS_KEY_MAX);
	if (spec->n_prefixes >= WATCH_KEYS_MAX)
		return err_set(err, E_INVALID, "more than %d prefixes",
			       WATCH_KEYS_MAX);
	spec->prefixes = arena_grow(arena, spec->prefixes, &spec->cap_prefixes,
				    spec->n_prefixes + 1,
				    sizeof(*spec->prefixes));
	spec->prefixes[spec->n_prefixes++] = prefix;
	return OK;
}

enum code watch_spec_label(struct watch_spec *spec, struct arena *arena,
			   struct str key, struct str value, struct err *err)
{
	enum code rc = label_check(key, value, err);

	if (rc)
		return rc;
	if (!labels_set(arena, &spec->client.labels, key, value))
		return err_set(err, E_INVALID, "more than %d labels", LABELS_MAX);
	return OK;
}

/* ---- messages ---- */

static bool texts_of(const struct value *list, const char *name, struct err *err)
{
	if (list && list->type != VALUE_ARRAY) {
		err_set(err, E_INVALID, "\"%s\" is no list of texts", name);
		return false;
	}
	for (size_t i = 0; i < value_count(list); i++)
		if (list->a.items[i]->type != VALUE_STRING) {
			err_set(err, E_INVALID, "\"%s\" is no list of texts", name);
			return false;
		}
	return true;
}

static enum code read_places(struct watch_spec *spec, struct arena *arena,
			     const struct value *v, struct err *err)
{
	const struct value *keys = value_getz(v, "keys");
	const struct value *prefixes = value_getz(v, "prefixes");
	enum code rc = OK;

	if (!texts_of(keys, "keys", err) || !texts_of(prefixes, "prefixes", err))
		return err->code;
	for (size_t i = 0; i < value_count(keys) && rc == OK; i++)
		rc = watch_spec_key(spec, arena, keys->a.items[i]->s, err);
	for (size_t i = 0; i < value_count(prefixes) && rc == OK; i++)
		rc = watch_spec_prefix(spec, arena, prefixes->a.items[i]->s, err);
	return rc;
}

static enum code read_id(struct watch_spec *spec, const struct value *v,
			 struct err *err)
{
	if (v->type != VALUE_STRING || !ack_instance_is_valid(v->s))
		return err_set(err, E_INVALID, "\"instance\" has 1 to %d bytes "
			       "that can be seen", ACK_INSTANCE_MAX);
	spec->client.id = v->s;
	return OK;
}

enum code watch_spec_read(struct watch_spec *spec, struct arena *arena,
			  const struct value *v, struct err *err)
{
	const struct value *labels = value_getz(v, "labels");
	const struct value *since = value_getz(v, "since");
	const struct value *id = value_getz(v, "instance");
	enum code rc = read_places(spec, arena, v, err);

	if (rc == OK && labels && labels->type != VALUE_OBJECT)
		rc = err_set(err, E_INVALID, "\"labels\" is no object of texts");
	for (size_t i = 0; labels && i < value_count(labels) && rc == OK; i++) {
		const struct member *m = &labels->o.m[i];

		rc = m->value->type == VALUE_STRING ?
			     watch_spec_label(spec, arena, m->key, m->value->s, err) :
			     err_set(err, E_INVALID, "label \"%.*s\" is no text",
				     STR_ARG(str_first(m->key, 63)));
	}
	if (rc == OK && id)
		rc = read_id(spec, id, err);
	spec->has_since = since && since->type != VALUE_NULL;
	if (rc == OK && spec->has_since && !value_to_u64(since, &spec->since))
		rc = err_set(err, E_INVALID, "\"since\" is no revision");
	return rc;
}
