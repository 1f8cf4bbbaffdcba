/* get, apply, delete, diff: objects of all kinds. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/wire/url.h"

#include "base/banned.h"

#define APPLY_ATTEMPTS 4

struct str object_target(struct cli *cli, const struct kind *kind,
			 struct str namespace, struct str name)
{
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "/apis/" API_GROUP_VERSION "/");
	if (kind->namespaced && namespace.n) {
		buf_z(&out, "namespaces/");
		url_encode(&out, namespace);
		buf_c(&out, '/');
	}
	buf_str(&out, kind->plural);
	if (name.n) {
		buf_c(&out, '/');
		url_encode(&out, name);
	}
	return arena_str(cli->arena, buf_view(&out));
}

static enum code kind_of(struct cli *cli, const char *word,
			 const struct kind **out, struct err *err)
{
	const struct kind *const *all;
	size_t n = kinds_all(&all);
	AUTO_BUF known = BUF_NONE;

	*out = kind_by_any(str_of(word));
	if (*out)
		return OK;
	for (size_t i = 0; i < n; i++)
		buf_printf(&known, "%s%.*s", i ? ", " : "",
			   STR_ARG(all[i]->plural));
	err_set(err, E_USAGE, "no kind \"%s\"", word);
	return err_hint(err, "kinds are %s", known.p);
}

/* The tenant of a namespaced kind; empty with -A. */
static enum code namespace_of(struct cli *cli, const struct kind *kind,
			      struct str *out, struct err *err)
{
	const char *given = cli_text(cli, FLAG_NAMESPACE);

	*out = STR_NONE;
	if (!kind->namespaced || cli_has(cli, FLAG_ALL))
		return OK;
	if (!given)
		given = getenv("CONFLUX_NAMESPACE");
	if (given && given[0]) {
		*out = str_of(given);
		return OK;
	}
	err_set(err, E_USAGE, "%s: which tenant?", cli->command->name);
	return err_hint(err, "-n TENANT%s", cli->command->flags & FLAG_BIT(FLAG_ALL) ?
			", or -A for all" : "");
}

/* ---- get ---- */

/* "release r-000000000051 is at step 1 of 3", of the newest that source 'author' has
 * out; empty: none is. */
static struct str going_out(struct cli *cli, const struct value *releases, struct str author)
{
	for (size_t i = 0; i < value_count(releases); i++) {
		const struct value *o = value_getz(releases->a.items[i], "object");
		struct str phase = value_text_at(o, "status.phase");
		struct str name = value_text_at(o, "metadata.name");
		const struct value *step = value_at(o, "status.step");

		if (!str_eq(value_text_at(o, "spec.author"), author))
			continue;
		if (str_is(phase, "Queued"))
			return arena_printf(cli->arena, "release %.*s is queued",
					    STR_ARG(name));
		if (!str_is(phase, "Progressing") && !str_is(phase, "Paused"))
			continue;
		if (!step)
			return arena_printf(cli->arena, "release %.*s is %s", STR_ARG(name),
					    str_is(phase, "Paused") ? "paused" : "out");
		return arena_printf(cli->arena, "release %.*s is at step %.*s of %.*s%s",
				    STR_ARG(name), STR_ARG(text_of(cli->arena, step)),
				    STR_ARG(text_of(cli->arena,
						    value_at(o, "status.steps"))),
				    str_is(phase, "Paused") ? ", paused" : "");
	}
	return STR_NONE;
}

/* A source is Ready once its commit is taken, and what it released may still be on its
 * way: that is said in the table. */
static void say_going_out(struct cli *cli, struct value *const *objects, size_t n)
{
	AUTO_BUF target = BUF_NONE;
	const struct value *releases = NULL;
	struct value *answer;
	struct err ignored;
	struct str tenant = STR_NONE;

	for (size_t i = 0; i < n; i++) {
		const struct value *conditions = value_at(objects[i], "status.conditions");
		struct str of = value_text_at(objects[i], "metadata.namespace"), out;

		/* Those of a tenant follow each other. */
		if (!str_eq(tenant, of)) {
			tenant = of;
			releases = NULL;
			buf_reset(&target);
			buf_z(&target, "/api/v1/releases?limit=1000");
			put_query(&target, "tenant", tenant);
			if (cli_get(cli, buf_view(&target), &answer, &ignored) == OK)
				releases = value_getz(answer, "releases");
		}
		out = going_out(cli, releases,
				arena_printf(cli->arena, "source:%.*s/%.*s", STR_ARG(of),
					     STR_ARG(value_text_at(objects[i],
								   "metadata.name"))));
		for (size_t k = 0; out.n && k < value_count(conditions); k++) {
			struct value *c = conditions->a.items[k];

			if (str_is(value_text_at(c, "type"), "Ready"))
				value_setz(cli->arena, c, "message", value_str(cli->arena,
					   arena_printf(cli->arena, "%.*s; %.*s",
							STR_ARG(out),
							STR_ARG(value_text_at(c,
								"message")))));
		}
	}
}

static enum code get_list(struct cli *cli, const struct kind *kind,
			  struct str namespace, struct err *err)
{
	const struct value *items;
	struct value *list;
	enum code rc = cli_get(cli, object_target(cli, kind, namespace,
						  STR_NONE), &list, err);

	if (rc == OK)
		rc = cli_list(list, "items", &items, err);
	if (rc)
		return rc;
	if (value_count(items) == 0 && !out_is_value(cli)) {
		fprintf(stderr, "no %.*s\n", STR_ARG(kind->plural));
		return OK;
	}
	if (kind->id == KIND_SOURCE && !out_is_value(cli) && cli->output != OUT_NAME)
		say_going_out(cli, items->a.items, items->a.n);
	return out_objects(cli, kind, items->a.items, items->a.n, true, list,
			   err);
}

enum code cmd_get(struct cli *cli, struct err *err)
{
	const struct kind *kind;
	struct str namespace;
	struct value **objects;
	size_t n = cli->n_args - 1;
	enum code rc = kind_of(cli, cli->args[0], &kind, err);

	if (rc == OK)
		rc = namespace_of(cli, kind, &namespace, err);
	if (rc)
		return rc;
	if (n == 0)
		return get_list(cli, kind, namespace, err);
	if (kind->namespaced && namespace.n == 0)
		return err_set(err, E_USAGE, "get: a name needs its tenant: -n");
	objects = arena_alloc(cli->arena, n * sizeof(*objects));
	for (size_t i = 0; i < n && rc == OK; i++)
		rc = cli_get(cli, object_target(cli, kind, namespace,
						str_of(cli->args[i + 1])),
			     &objects[i], err);
	if (rc)
		return rc;
	if (n > 1 && out_is_value(cli)) {
		struct value *list = value_object(cli->arena);
		struct value *items = value_array(cli->arena);

		for (size_t i = 0; i < n; i++)
			value_push(cli->arena, items, objects[i]);
		value_setz(cli->arena, list, "apiVersion",
			   value_str(cli->arena, STR("v1")));
		value_setz(cli->arena, list, "kind",
			   value_str(cli->arena, STR("List")));
		value_setz(cli->arena, list, "items", items);
		return out_value(cli, list, err);
	}
	if (kind->id == KIND_SOURCE && !out_is_value(cli) && cli->output != OUT_NAME)
		say_going_out(cli, objects, n);
	return out_objects(cli, kind, objects, n, false, NULL, err);
}

/* ---- apply ---- */

/* The revision that the file was written for; empty: whatever is there. */
static struct str expected(struct cli *cli, const struct manifest *m)
{
	return text_of(cli->arena,
		       value_at(m->object, "metadata.resourceVersion"));
}

/* What is to be sent in place of 'live': its metadata, with labels and
 * annotations, and where it says so the revision, as the file has them. */
static struct value *replacing(struct cli *cli, const struct manifest *m,
			       const struct value *live)
{
	struct arena *a = cli->arena;
	struct value *next = value_dup(a, m->object);
	struct value *meta = value_dup(a, value_getz(live, "metadata"));
	struct str revision = expected(cli, m);
	static const char *const own[] = { "labels", "annotations" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		struct value *given = value_get(value_getz(next, "metadata"),
						str_of(own[i]));

		if (given)
			value_set(a, meta, str_of(own[i]), given);
	}
	if (revision.n)
		value_setz(a, meta, "resourceVersion", value_str(a, revision));
	value_setz(a, next, "metadata", meta);
	value_remove(next, STR("status"));
	return next;
}

/* The file was written for another state of the object than the one that is
 * there ('live', NULL: none): to write it would undo what somebody else did. */
static enum code has_moved(struct cli *cli, const struct manifest *m,
			   const struct value *live, struct err *err)
{
	struct str revision = expected(cli, m);
	struct str now = value_text_at(live, "metadata.resourceVersion");

	if (revision.n == 0 || (live && str_eq(revision, now)))
		return OK;
	cli->was_answered = true;
	if (live)
		err_set(err, E_CONFLICT, "the file is for resourceVersion %.*s, "
			"and the object has moved to %.*s", STR_ARG(revision),
			STR_ARG(now));
	else
		err_set(err, E_CONFLICT, "the file is for resourceVersion %.*s, "
			"and there is no such object", STR_ARG(revision));
	return err_hint(err, "conflux get it again and redo the change, or take "
			"resourceVersion out of the file to write it anyway");
}

static struct str with_flags(struct cli *cli, struct str target, bool dry)
{
	AUTO_BUF out = BUF_NONE;

	buf_str(&out, target);
	if (dry)
		put_query(&out, "dryRun", STR("All"));
	if (cli_has(cli, FLAG_TAKE_OVER))
		put_query(&out, "take_over", STR("true"));
	put_glass(cli, &out);
	return arena_str(cli->arena, buf_view(&out));
}

/* Looks, and sends one; '*before' is NULL where it is made. */
static enum code try_one(struct cli *cli, const struct manifest *m, bool dry,
			 struct value **before, struct value **after,
			 struct err *err)
{
	struct str one = object_target(cli, m->kind, m->namespace, m->name);
	struct str all = object_target(cli, m->kind, m->namespace, STR_NONE);
	enum code rc;

	*before = NULL;
	rc = cli_get(cli, one, before, err);
	if (rc && rc != E_NOT_FOUND)
		return rc;
	rc = has_moved(cli, m, *before, err);
	if (rc)
		return rc;
	if (*before)
		return cli_send(cli, HTTP_M_PUT, with_flags(cli, one, dry),
				replacing(cli, m, *before), after, err);
	return cli_send(cli, HTTP_M_POST, with_flags(cli, all, dry), m->object,
			after, err);
}

static enum code put_one(struct cli *cli, const struct manifest *m, bool dry,
			 struct value **before, struct value **after,
			 struct err *err)
{
	enum code rc = E_CONFLICT;

	/* Somebody was quicker: look again, which ends where the file is for
	 * what was there before. */
	for (int i = 0; i < APPLY_ATTEMPTS &&
	     (rc == E_CONFLICT || rc == E_EXISTS); i++) {
		rc = try_one(cli, m, dry, before, after, err);
		if (rc == E_CONFLICT && expected(cli, m).n)
			break;
	}
	return rc ? err_wrap(err, "%s: %.*s %.*s", m->file,
			     STR_ARG(m->kind->singular), STR_ARG(m->name)) : OK;
}

static bool same_revision(const struct value *a, const struct value *b)
{
	return str_eq(value_text_at(a, "metadata.resourceVersion"),
		      value_text_at(b, "metadata.resourceVersion"));
}

static enum code tell_waiting(struct cli *cli, const struct kind *kind, struct str name,
			      struct err *err)
{
	return out_write(arena_printf(cli->arena, "%.*s/%.*s waits%s: proposal %.*s\n",
				      STR_ARG(kind->singular), STR_ARG(name),
				      cli_has(cli, FLAG_NOT_BEFORE) ? "" :
								      " for approval",
				      STR_ARG(cli->proposal)), err);
}

static enum code apply_one(struct cli *cli, const struct manifest *m,
			   struct err *err)
{
	struct value *before, *after;
	enum code rc = put_one(cli, m, false, &before, &after, err);

	if (rc)
		return rc;
	if (cli->output == OUT_YAML)
		rc = out_write(STR("---\n"), err);
	if (rc)
		return rc;
	if (cli->output == OUT_NAME || out_is_value(cli))
		return out_objects(cli, m->kind, &after, 1, false, NULL, err);
	if (cli->proposal.n)
		return tell_waiting(cli, m->kind, m->name, err);
	return out_write(arena_printf(cli->arena, "%.*s/%.*s %s\n",
				      STR_ARG(m->kind->singular),
				      STR_ARG(m->name),
				      !before ? "created" :
				      same_revision(before, after) ?
				      "unchanged" : "configured"), err);
}

/* One of several has failed, and its error is 'one': it is told in the end, an
 * earlier one now.  What cannot be done does not keep the rest from it, unless
 * nobody knows how things stand: then false. */
static bool goes_on(enum code *last, enum code rc, struct err *err,
		    const struct err *one)
{
	if (rc == OK)
		return true;
	if (*last)
		error_print("", err);
	*last = rc;
	err_copy(err, one);
	return rc != E_UNCERTAIN && rc != E_UNAVAILABLE && rc != E_TIMEOUT;
}

enum code cmd_apply(struct cli *cli, struct err *err)
{
	struct manifest *m;
	enum code last = OK, rc;
	struct err one = { 0 };
	bool on = true;
	size_t n;

	if (cli->n_args && cli_has(cli, FLAG_FILENAME))
		return err_set(err, E_USAGE, "apply: give either a plan or -f FILE");
	if (cli->n_args)
		return apply_plan(cli, cli->args[0], err);
	rc = manifests_read(cli, &m, &n, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < n && on; i++) {
		rc = apply_one(cli, &m[i], &one);
		on = goes_on(&last, rc, err, &one);
	}
	return last;
}

/* ---- delete ---- */

static enum code delete_one(struct cli *cli, const struct kind *kind,
			    struct str namespace, struct str name,
			    struct err *err)
{
	struct str target = object_target(cli, kind, namespace, name);
	enum code rc = cli_send(cli, HTTP_M_DELETE, with_flags(cli, target, false), NULL,
				NULL, err);

	if (rc == OK && cli->proposal.n)
		return tell_waiting(cli, kind, name, err);
	return rc ? rc : out_write(arena_printf(cli->arena, "%.*s/%.*s deleted\n",
						STR_ARG(kind->singular),
						STR_ARG(name)), err);
}

/* What lives in a tenant goes before it. */
static enum code delete_files(struct cli *cli, struct err *err)
{
	struct err one = { 0 };
	enum code last = OK, rc;
	struct manifest *m;
	bool on = true;
	size_t n;

	rc = manifests_read(cli, &m, &n, err);
	if (rc)
		return rc;
	for (size_t i = n; i-- > 0 && on;) {
		rc = delete_one(cli, m[i].kind, m[i].namespace, m[i].name, &one);
		on = goes_on(&last, rc, err, &one);
	}
	return last;
}

enum code cmd_delete(struct cli *cli, struct err *err)
{
	const struct kind *kind;
	struct str namespace;
	struct err one = { 0 };
	enum code last = OK, rc;
	bool on = true;

	if (cli_has(cli, FLAG_FILENAME) && cli->n_args == 0)
		return delete_files(cli, err);
	if (cli_has(cli, FLAG_FILENAME))
		return err_set(err, E_USAGE, "delete: give either -f FILE or "
			       "KIND NAME");
	if (cli->n_args < 2) {
		err_set(err, E_USAGE, "delete: which object?");
		return err_hint(err, "conflux delete KIND NAME");
	}
	rc = kind_of(cli, cli->args[0], &kind, err);
	if (rc == OK)
		rc = namespace_of(cli, kind, &namespace, err);
	if (rc)
		return rc;
	for (size_t i = 1; i < cli->n_args && on; i++) {
		rc = delete_one(cli, kind, namespace, str_of(cli->args[i]), &one);
		on = goes_on(&last, rc, err, &one);
	}
	return last;
}

/* ---- diff ---- */

struct diffing {
	struct cli *cli;
	struct buf out;
	bool is_told;                    /* the object's name */
	const struct manifest *m, *all;
	size_t n;
};

static bool is_noise(struct str path)
{
	return str_starts(path, STR("metadata.resourceVersion")) ||
		str_starts(path, STR("metadata.generation")) ||
		str_starts(path, STR("metadata.managedFields")) ||
		str_starts(path, STR("metadata.uid")) ||
		str_starts(path, STR("metadata.creationTimestamp")) ||
		str_starts(path, STR("status"));
}

static void put_object_name(struct diffing *d)
{
	if (!d->is_told)
		buf_printf(&d->out, "%.*s/%.*s\n",
			   STR_ARG(d->m->kind->singular), STR_ARG(d->m->name));
	d->is_told = true;
}

static void put_change(struct diffing *d, char sign, struct str path,
		       const struct value *v)
{
	buf_printf(&d->out, "  %c %.*s: ", sign, STR_ARG(path));
	value_json(&d->out, v);
	buf_c(&d->out, '\n');
}

static void on_change(void *data, enum value_change change, struct str path,
		      const struct value *before, const struct value *after)
{
	struct diffing *d = data;

	if (is_noise(path))
		return;
	put_object_name(d);
	if (change != VALUE_ADDED)
		put_change(d, '-', path, before);
	if (change != VALUE_REMOVED)
		put_change(d, '+', path, after);
}

/* The content of a configuration is no part of the object that is read back;
 * its bytes are compared. */
static enum code diff_content(struct diffing *d, const struct value *live,
			      struct err *err)
{
	struct value *given = value_at(d->m->object, "spec.content");
	AUTO_BUF target = BUF_NONE;
	struct client_request q = { .method = HTTP_M_GET };
	struct client_answer answer = { 0 };
	struct value *had = NULL;
	enum code rc;

	if (!given || d->m->kind->id != KIND_CONFIG)
		return OK;
	if (live) {
		buf_z(&target, "/api/v1/fetch/config/");
		url_encode(&target, d->m->namespace);
		buf_c(&target, '/');
		url_encode(&target, value_text_at(live, "spec.application"));
		buf_c(&target, '/');
		url_encode(&target, value_text_at(live, "spec.environment"));
		buf_c(&target, '/');
		url_encode(&target, value_text_at(live, "spec.name"));
		q.target = buf_view(&target);
		rc = cli_ask_raw(d->cli, &q, &answer, err);
		if (rc && rc != E_NOT_FOUND)
			return rc;
		if (rc == OK && str_eq(answer.body, value_text(given)))
			return OK;
		had = rc == OK ? value_str(d->cli->arena, answer.body) : NULL;
	}
	put_object_name(d);
	if (had)
		put_change(d, '-', STR("spec.content"), had);
	put_change(d, '+', STR("spec.content"), given);
	return OK;
}

/* The files themselves bring the tenant of the object at hand. */
static bool makes_tenant(const struct diffing *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->all[i].kind->id == KIND_TENANT &&
		    str_eq(d->all[i].name, d->m->namespace))
			return true;
	return false;
}

static enum code diff_one(struct diffing *d, struct err *err)
{
	struct value *before, *after;
	enum code rc = put_one(d->cli, d->m, true, &before, &after, err);

	d->is_told = false;
	if (rc == E_NOT_FOUND && makes_tenant(d)) {
		/* The server cannot complete what has no tenant yet. */
		before = NULL;
		after = value_dup(d->cli->arena, d->m->object);
		value_remove(value_getz(after, "spec"), STR("content"));
		rc = OK;
	}
	if (rc)
		return rc;
	value_diff(before ? before : value_object(d->cli->arena), after,
		   on_change, d);
	return diff_content(d, before, err);
}

enum code cmd_diff(struct cli *cli, struct err *err)
{
	struct diffing d = { .cli = cli };
	struct manifest *m;
	size_t n;
	enum code rc = manifests_read(cli, &m, &n, err);

	for (size_t i = 0; rc == OK && i < n; i++) {
		d.all = m;
		d.n = n;
		d.m = &m[i];
		rc = diff_one(&d, err);
	}
	cli->differs = d.out.n > 0;
	if (rc == OK)
		rc = out_write(buf_view(&d.out), err);
	buf_fini(&d.out);
	return rc;
}
