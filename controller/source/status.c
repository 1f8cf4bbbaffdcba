/* The status of a source: see status.h. */
#include "source/status.h"

#include "base/clock.h"

#include "base/banned.h"

#define MESSAGE_MAX 1024

struct str status_revision(struct arena *arena, struct str ref,
			   const struct oid *commit)
{
	char hex[OID_TEXT];

	oid_text(hex, commit);
	return arena_printf(arena, "%.*s@sha1:%s", STR_ARG(ref), hex);
}

/* Of "main@sha1:<hex>"; the name of a branch may hold the same. */
static bool commit_of(struct str revision, struct oid *out)
{
	return revision.n > OID_TEXT - 1 + 6 &&
	       str_eq(str_first(str_from(revision, revision.n - (OID_TEXT - 1) - 6),
				6),
		      STR("@sha1:")) &&
	       oid_parse(str_from(revision, revision.n - (OID_TEXT - 1)), out);
}

void status_parse(const struct value *status, struct status_read *out)
{
	*out = (struct status_read){ 0 };
	(void)!value_to_u64(value_getz(status, "observedGeneration"),
			    &out->observed_generation);
	(void)!value_to_u64(value_getz(status, "configs"), &out->configs);
	(void)!value_to_u64(value_getz(status, "ignoredFiles"), &out->ignored);
	out->applied_text = value_text(value_getz(status, "lastAppliedRevision"));
	out->attempted_text = value_text(value_getz(status,
						    "lastAttemptedRevision"));
	out->proposal = value_text(value_getz(status, "proposal"));
	out->revert_release = value_text_at(status, "revert.release");
	out->has_applied = commit_of(out->applied_text, &out->applied);
	out->has_previous = commit_of(value_text(value_getz(status,
							    "previousRevision")),
				      &out->previous);
}

static const struct value *condition_of(const struct value *status,
					struct str type)
{
	const struct value *list = value_getz(status, "conditions");

	for (size_t i = 0; list && list->type == VALUE_ARRAY && i < list->a.n; i++)
		if (str_eq(value_text(value_getz(list->a.items[i], "type")), type))
			return list->a.items[i];
	return NULL;
}

bool status_is_ready(const struct value *status)
{
	return str_is(value_text(value_getz(condition_of(status, STR("Ready")),
					    "status")),
		      "True");
}

struct state {
	const char *type, *status, *reason;
};

/* The time of a condition moves only with its status. */
static struct value *condition(struct arena *arena, const struct value *before,
			       const struct state *s,
			       const struct status_write *w, uint64_t now_ms)
{
	const struct value *old = condition_of(before, str_of(s->type));
	struct value *c = value_object(arena);
	char now[RFC3339_MAX];
	struct str since = value_text(value_getz(old, "lastTransitionTime"));

	clock_rfc3339(now, now_ms, false);
	if (!since.n || !str_eq(value_text(value_getz(old, "status")),
				str_of(s->status)))
		since = str_of(now);
	value_setz(arena, c, "type", value_str(arena, str_of(s->type)));
	value_setz(arena, c, "status", value_str(arena, str_of(s->status)));
	value_setz(arena, c, "reason", value_str(arena, str_of(s->reason)));
	value_setz(arena, c, "message",
		   value_str(arena, str_first(w->message, MESSAGE_MAX)));
	value_setz(arena, c, "lastTransitionTime", value_str(arena, since));
	value_setz(arena, c, "observedGeneration",
		   value_u64(arena, w->generation));
	return c;
}

static struct value *conditions(struct arena *arena, const struct value *before,
				const struct status_write *w, uint64_t now_ms)
{
	bool ready = w->phase == STATUS_READY;
	bool moving = w->phase == STATUS_RECONCILING ||
		      w->phase == STATUS_FAILING || w->phase == STATUS_WAITING;
	bool stalled = w->phase == STATUS_STALLED;
	const struct state states[] = {
		{ "Ready", ready ? "True" :
			   w->phase == STATUS_RECONCILING ? "Unknown" : "False",
		  w->reason },
		{ "Reconciling", moving ? "True" : "False", w->reason },
		{ "Stalled", stalled ? "True" : "False", w->reason },
	};
	struct value *list = value_array(arena);

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		value_push(arena, list,
			   condition(arena, before, &states[i], w, now_ms));
	return list;
}

static struct str lag_text(struct arena *arena, uint64_t ms)
{
	if (ms < 1000)
		return arena_printf(arena, "%llums", (unsigned long long)ms);
	return arena_printf(arena, "%llu.%llus", (unsigned long long)(ms / 1000),
			    (unsigned long long)(ms % 1000 / 100));
}

static void set_previous(struct arena *arena, struct value *v, struct str now)
{
	struct str before = value_text(value_getz(v, "lastAppliedRevision"));

	if (before.n && !str_eq(before, now))
		value_setz(arena, v, "previousRevision", value_str(arena, before));
}

static void set_revert(struct arena *arena, struct value *v,
		       const struct status_write *w)
{
	struct value *r = value_object(arena);

	value_setz(arena, r, "release", value_str(arena, w->revert_release));
	value_setz(arena, r, "branch", value_str(arena, w->revert_branch));
	if (w->revert_commit.n)
		value_setz(arena, r, "commit", value_str(arena, w->revert_commit));
	if (w->revert_error.n)
		value_setz(arena, r, "error",
			   value_str(arena, str_first(w->revert_error,
						      MESSAGE_MAX)));
	value_setz(arena, v, "revert", r);
}

struct str status_text(struct arena *arena, const struct value *before,
		       const struct status_write *w, uint64_t now_ms)
{
	struct value *v = before && before->type == VALUE_OBJECT ?
				  value_dup(arena, before) :
				  value_object(arena);
	AUTO_BUF b = BUF_NONE;

	value_setz(arena, v, "observedGeneration", value_u64(arena, w->generation));
	if (w->applied.n) {
		set_previous(arena, v, w->applied);
		value_setz(arena, v, "lastAppliedRevision",
			   value_str(arena, w->applied));
	}
	if (w->phase == STATUS_WAITING)
		value_setz(arena, v, "proposal", value_str(arena, w->proposal));
	else if (!w->keeps)
		value_remove(v, STR("proposal"));
	if (w->revert_release.n)
		set_revert(arena, v, w);
	if (w->attempted.n)
		value_setz(arena, v, "lastAttemptedRevision",
			   value_str(arena, w->attempted));
	if (w->applied_generation)
		value_setz(arena, v, "lastAppliedGeneration",
			   value_u64(arena, w->applied_generation));
	if (w->has_lag)
		value_setz(arena, v, "lag",
			   value_str(arena, lag_text(arena, w->lag_ms)));
	if (w->has_counts) {
		value_setz(arena, v, "configs", value_u64(arena, w->configs));
		value_setz(arena, v, "ignoredFiles", value_u64(arena, w->ignored));
	}
	if (!w->keeps)
		value_setz(arena, v, "conditions",
			   conditions(arena, before, w, now_ms));
	value_canonical(&b, v);
	return arena_str(arena, buf_view(&b));
}
