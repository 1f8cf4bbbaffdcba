/*
 * From an object as people write it to the operations of a command.
 *
 * Called for Kubernetes bodies and by the shorter routes of mgt.c.  What
 * apply may not do (defaults, validation, canonical texts) is done here.
 */
#include "api/own.h"
#include "base/clock.h"
#include "gate/window.h"
#include "model/strategy.h"

#include "base/banned.h"

_Static_assert(SCHEMA_LABELS_MAX == LABELS_MAX, "what is let in can be selected");

/* Members of metadata that the server owns or keeps elsewhere. */
static const char *const owned[] = {
	"name", "namespace", "uid", "resourceVersion", "generation",
	"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	"selfLink", "labels", "generateName",
};

static struct str canonical(struct arena *arena, const struct value *v)
{
	AUTO_BUF b = BUF_NONE;

	if (!v || value_count(v) == 0)
		return STR("{}");
	value_canonical(&b, v);
	return arena_str(arena, buf_view(&b));
}

static struct str meta_of(struct arena *arena, const struct value *object)
{
	struct value *meta = value_dup(arena, value_getz(object, "metadata"));

	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		value_remove(meta, str_of(owned[i]));
	return canonical(arena, meta);
}

static struct str copy_at(struct arena *arena, const struct value *v,
			  const char *path)
{
	return arena_str(arena, value_text_at(v, path));
}

/* ---- configurations ---- */

static enum code check_content(enum format format, struct str content,
			       struct err *err)
{
	AUTO_ARENA arena = arena_new(16 * 1024);

	if (content_check(format, content, arena, NULL, NULL, err) == OK)
		return OK;
	return err_wrap(err, "content (%s)", format_name(format));
}

static enum code config_format(struct value *spec, struct str name,
			       enum format *out, struct err *err)
{
	struct str given = value_text_at(spec, "format");

	if (given.n == 0) {
		*out = format_of_path(name);
		return OK;
	}
	if (format_parse_name(given, out))
		return OK;
	return err_set(err, E_UNPROCESSABLE, "spec.format: \"%.*s\" is unknown",
		       STR_ARG(given));
}

static void add_version(struct change *ch, const struct op *put,
			struct str content)
{
	struct op *op;
	struct op saved = *put;          /* the array may move */
	struct sha256 sha;

	sha = sha256_of(content);
	change_blob(ch, saved.tenant, content, &sha);
	op = command_op(ch->arena, &ch->cmd, OP_VERSION_ADD);
	op->kind = KIND_CONFIG;
	op->tenant = saved.tenant;
	op->name = saved.name;
	op->sha = sha;
	op->size = content.n;
	op->release = true;
}

/* Applications and environments that an address names are made with it. */
static void add_parents(struct change *ch, const struct address *at)
{
	struct op *app = command_op(ch->arena, &ch->cmd, OP_OBJECT_PUT);
	struct op *env;
	AUTO_BUF spec = BUF_NONE;

	app->kind = KIND_APPLICATION;
	app->tenant = at->tenant;
	app->name = at->application;
	app->labels = app->meta = app->spec = STR("{}");
	app->uid = uuid_new();
	app->only_create = true;
	env = command_op(ch->arena, &ch->cmd, OP_OBJECT_PUT);
	*env = ch->cmd.ops[ch->cmd.n_ops - 2];
	env->kind = KIND_ENVIRONMENT;
	env->uid = uuid_new();
	env->name = environment_object_name(ch->arena, at->application,
					    at->environment);
	buf_z(&spec, "{\"application\":");
	buf_json(&spec, at->application);
	buf_z(&spec, ",\"environment\":");
	buf_json(&spec, at->environment);
	buf_z(&spec, ",\"protected\":false}");
	env->spec = arena_str(ch->arena, buf_view(&spec));
}

static enum code config_ops(struct change *ch, struct op *put,
			    struct value *object, struct err *err)
{
	struct value *spec = value_getz(object, "spec");
	struct value *content = value_getz(spec, "content");
	struct str name = value_text_at(spec, "name");
	struct address at = { put->tenant, copy_at(ch->arena, spec, "application"),
			      copy_at(ch->arena, spec, "environment"),
			      arena_str(ch->arena, name.n ? name : put->name) };
	enum format format = FORMAT_TEXT;
	struct str bytes = STR_NONE;
	struct op saved;
	enum code rc = address_check(&at, err);

	if (rc == OK)
		rc = config_format(spec, at.name, &format, err);
	if (rc == OK && content) {
		bytes = arena_str(ch->arena, value_text(content));
		rc = check_content(format, bytes, err);
	}
	if (rc)
		return rc;
	value_remove(spec, STR("content"));
	value_setz(ch->arena, spec, "name", value_str(ch->arena, at.name));
	value_setz(ch->arena, spec, "format",
		   value_str(ch->arena, str_of(format_name(format))));
	put->application = at.application;
	put->environment = at.environment;
	put->config_name = at.name;
	put->format = str_of(format_name(format));
	put->spec = canonical(ch->arena, spec);
	saved = *put;
	if (is_dns_subdomain(at.application)) {
		ch->cmd.n_ops--;         /* parents come first */
		add_parents(ch, &at);
		*command_op(ch->arena, &ch->cmd, OP_OBJECT_PUT) = saved;
	}
	if (content)
		add_version(ch, &saved, bytes);
	return OK;
}

/* When it is shut is computed at once, so that it counts from here on. */
static enum code window_ops(struct change *ch, const struct op *put,
			    struct err *err)
{
	struct op window = *put, *op;
	AUTO_BUF status = BUF_NONE;
	enum code rc = window_status_of(window.spec, clock_wall_ms(), &status,
					err);

	if (rc)
		return rc;
	op = command_op(ch->arena, &ch->cmd, OP_OBJECT_STATUS);
	op->kind = window.kind;
	op->tenant = window.tenant;
	op->name = window.name;
	op->status = arena_str(ch->arena, buf_view(&status));
	return OK;
}

/* One that no release can go out by would hold up every change that it selects. */
static enum code check_policy(struct change *ch, const struct op *put, struct err *err)
{
	struct strategy s;

	return strategy_read(ch->arena, put->spec, &s, err);
}

enum code object_ops(struct change *ch, const struct kind *kind,
		     struct str tenant, struct str name, struct value *object,
		     uint64_t expect, struct err *err)
{
	struct op *op = command_op(ch->arena, &ch->cmd, OP_OBJECT_PUT);

	op->kind = kind->id;
	op->tenant = arena_str(ch->arena, tenant);
	op->name = arena_str(ch->arena, name);
	op->expect = expect;
	op->uid = uuid_new();
	op->manager = MANAGER_API;
	op->labels = canonical(ch->arena, value_at(object, "metadata.labels"));
	op->meta = meta_of(ch->arena, object);
	op->spec = canonical(ch->arena, value_getz(object, "spec"));
	if (kind->id == KIND_CONFIG)
		return config_ops(ch, op, object, err);
	if (kind->id == KIND_FREEZE_WINDOW)
		return window_ops(ch, op, err);
	if (kind->id == KIND_RELEASE_POLICY)
		return check_policy(ch, op, err);
	return OK;
}
