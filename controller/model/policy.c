/* Policies of the gate: see policy.h. */
#include "model/policy.h"

#include "base/clock.h"
#include "doc/format.h"
#include "model/permission.h"

#include "base/banned.h"

#define EXPIRES_MS (24ull * 3600000)
#define INTERVALS_MAX 100000

const char *gate_action_name(enum gate_action action)
{
	static const char *const names[GATE__ACTIONS] = {
		[GATE_PUBLISH] = "publish", [GATE_RULES] = "rules",
		[GATE_WRITE] = "write", [GATE_DELETE] = "delete",
		[GATE_ROLLBACK] = "rollback",
	};

	return action < GATE__ACTIONS ? names[action] : "unknown";
}

bool people_have(const struct people *p, struct str subject, struct str groups)
{
	for (size_t i = 0; i < p->n_subjects; i++)
		if (str_eq(p->subjects[i], subject))
			return true;
	for (size_t i = 0; i < p->n_groups; i++)
		if (groups_has(groups, p->groups[i]))
			return true;
	return false;
}

/* ---- reading: each answers false where the schema would have refused ---- */

static bool strings_read(struct arena *arena, const struct value *list,
			 struct str **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	if (!list)
		return true;
	if (list->type != VALUE_ARRAY)
		return false;
	*out = arena_alloc(arena, (list->a.n + 1) * sizeof(**out));
	for (size_t i = 0; i < list->a.n; i++) {
		if (list->a.items[i]->type != VALUE_STRING)
			return false;
		(*out)[(*n)++] = list->a.items[i]->s;
	}
	return true;
}

static bool people_read(struct arena *arena, const struct value *v,
			struct people *out)
{
	*out = (struct people){ 0 };
	return v && v->type == VALUE_OBJECT &&
	       strings_read(arena, value_getz(v, "subjects"), &out->subjects,
			    &out->n_subjects) &&
	       strings_read(arena, value_getz(v, "groups"), &out->groups,
			    &out->n_groups);
}

static bool duration_read(const struct value *v, uint64_t otherwise,
			  uint64_t *out)
{
	*out = otherwise;
	return !v || (v->type == VALUE_STRING && str_duration_ms(v->s, out));
}

static bool bool_read(const struct value *v, bool *out)
{
	if (v && v->type != VALUE_BOOL)
		return false;
	*out = value_to_bool(v, false);
	return true;
}

static bool actions_read(const struct value *v, unsigned *out)
{
	*out = BIT(GATE_PUBLISH) | BIT(GATE_RULES) | BIT(GATE_WRITE) |
	       BIT(GATE_DELETE);
	if (!v)
		return true;
	if (v->type != VALUE_ARRAY)
		return false;
	*out = 0;
	for (size_t i = 0; i < v->a.n; i++) {
		enum gate_action a = 0;

		while (a < GATE__ACTIONS &&
		       !str_eq(value_text(v->a.items[i]),
			       str_of(gate_action_name(a))))
			a++;
		if (a == GATE__ACTIONS)
			return false;
		*out |= BIT(a);
	}
	return true;
}

static bool stage_read(struct arena *arena, const struct value *v,
		       struct approval_stage *out)
{
	const struct value *required = value_getz(v, "required");
	uint64_t n = 1;

	*out = (struct approval_stage){ .name = value_text(value_getz(v, "name")) };
	if (required && (!value_to_u64(required, &n) || n == 0 || n > 100))
		return false;
	out->required = (uint32_t)n;
	return people_read(arena, value_getz(v, "from"), &out->from);
}

static bool stages_read(struct arena *arena, const struct value *v,
			struct approval *out)
{
	if (!v || v->type != VALUE_ARRAY || v->a.n == 0)
		return false;
	out->stages = arena_zero(arena, v->a.n * sizeof(*out->stages));
	for (size_t i = 0; i < v->a.n; i++)
		if (!stage_read(arena, v->a.items[i],
				&out->stages[out->n_stages++]))
			return false;
	return true;
}

static bool conflict_read(const struct value *v, bool *supersedes)
{
	*supersedes = v && str_is(value_text(v), "Supersede");
	return !v || *supersedes || str_is(value_text(v), "Conflict");
}

static bool approval_is_read(struct arena *arena, struct str spec,
			     struct approval *out)
{
	const struct value *priority, *glass;
	struct value *v = NULL;
	struct err err;

	if (doc_parse_json(spec, arena, NULL, &v, &err))
		return false;
	priority = value_getz(v, "priority");
	glass = value_getz(v, "breakGlass");
	return v->type == VALUE_OBJECT &&
	       selector_read(arena, value_getz(v, "select"), &out->select) &&
	       (!priority || value_to_i64(priority, &out->priority)) &&
	       actions_read(value_getz(v, "operations"), &out->actions) &&
	       bool_read(value_getz(v, "formattingOnly"), &out->formatting_only) &&
	       stages_read(arena, value_getz(v, "stages"), out) &&
	       duration_read(value_getz(v, "expiresAfter"), EXPIRES_MS,
			     &out->expires_ms) &&
	       duration_read(value_getz(v, "startAfter"), 0, &out->start_ms) &&
	       conflict_read(value_getz(v, "onConflict"), &out->supersedes) &&
	       (!glass || people_read(arena, glass, &out->glass));
}

void approval_read(struct arena *arena, struct str spec, struct approval *out)
{
	*out = (struct approval){ 0 };
	if (approval_is_read(arena, spec, out))
		return;
	*out = (struct approval){
		.actions = BIT(GATE__ACTIONS) - 1, .formatting_only = true,
		.expires_ms = EXPIRES_MS, .is_broken = true, .n_stages = 1,
	};
	out->stages = ANEW(arena, struct approval_stage);
	*out->stages = (struct approval_stage){
		.name = STR("the policy is malformed"), .required = 1,
	};
}

/* ---- windows ---- */

static bool blocks_read(const struct value *v, unsigned *out)
{
	*out = WINDOW_PUBLISH | WINDOW_STEPS;
	if (!v)
		return true;
	if (v->type != VALUE_ARRAY)
		return false;
	*out = 0;
	for (size_t i = 0; i < v->a.n; i++) {
		struct str s = value_text(v->a.items[i]);

		if (str_is(s, "publish"))
			*out |= WINDOW_PUBLISH;
		else if (str_is(s, "steps"))
			*out |= WINDOW_STEPS;
		else
			return false;
	}
	return true;
}

static bool interval_read(const struct value *v, const char *from,
			  const char *to, struct window_interval *out)
{
	return clock_parse_rfc3339(value_text(value_get(v, str_of(from))),
				   &out->from_ms) &&
	       clock_parse_rfc3339(value_text(value_get(v, str_of(to))),
				   &out->to_ms);
}

static bool schedule_read(const struct value *v, struct window *out)
{
	const struct value *zone = value_getz(v, "timeZone");

	out->has_schedule = true;
	out->cron = value_text(value_getz(v, "cron"));
	out->zone = zone ? value_text(zone) : STR("UTC");
	return out->cron.n && out->zone.n &&
	       duration_read(value_getz(v, "duration"), 0, &out->duration_ms) &&
	       out->duration_ms > 0;
}

static bool when_read(struct arena *arena, const struct value *v,
		      struct window *out)
{
	const struct value *schedule = value_getz(v, "schedule");
	const struct value *once = value_getz(v, "interval");

	if ((schedule != NULL) == (once != NULL))
		return false;
	if (schedule)
		return schedule_read(schedule, out);
	out->intervals = &out->once;
	out->n_intervals = 1;
	out->computed_ms = UINT64_MAX;
	return interval_read(once, "start", "end", &out->once);
}

static bool window_is_read(struct arena *arena, struct str spec,
			   struct window *out)
{
	struct value *v = NULL;
	struct err err;

	if (doc_parse_json(spec, arena, NULL, &v, &err))
		return false;
	out->owner = value_text(value_getz(v, "owner"));
	out->reason = value_text(value_getz(v, "reason"));
	return selector_read(arena, value_getz(v, "select"), &out->select) &&
	       blocks_read(value_getz(v, "blocks"), &out->blocks) &&
	       when_read(arena, v, out);
}

static void digest_of(char hex[65], struct str spec)
{
	struct sha256 sha = sha256_of(spec);

	sha256_hex(hex, &sha);
}

/* Of a schedule; what was computed for another spec is nothing. */
static bool status_read(struct arena *arena, struct str status, struct str spec,
			struct window *out)
{
	const struct value *list;
	uint64_t before = 0;
	char of[65];
	struct value *v = NULL;
	struct err err;

	digest_of(of, spec);
	if (status.n == 0 || doc_parse_json(status, arena, NULL, &v, &err) ||
	    !str_eq(value_text(value_getz(v, "observedSpec")), str_of(of)))
		return true;
	list = value_getz(v, "intervals");
	if (!list || list->type != VALUE_ARRAY || list->a.n > INTERVALS_MAX ||
	    !clock_parse_rfc3339(value_text(value_getz(v, "computedAt")),
				 &out->computed_at_ms) ||
	    !clock_parse_rfc3339(value_text(value_getz(v, "computedUntil")),
				 &out->computed_ms))
		return false;
	out->intervals = arena_alloc(arena, (list->a.n + 1) *
						    sizeof(*out->intervals));
	for (size_t i = 0; i < list->a.n; i++) {
		struct window_interval *at = &out->intervals[i];

		if (!interval_read(list->a.items[i], "from", "to", at) ||
		    at->from_ms < before || at->to_ms <= at->from_ms)
			return false;
		before = at->to_ms;
		out->n_intervals++;
	}
	return true;
}

void window_read(struct arena *arena, struct str spec, struct str status,
		 struct window *out)
{
	*out = (struct window){ 0 };
	if (window_is_read(arena, spec, out) &&
	    (!out->has_schedule || status_read(arena, status, spec, out)))
		return;
	*out = (struct window){ .owner = out->owner, .reason = out->reason,
				.blocks = WINDOW_PUBLISH | WINDOW_STEPS,
				.is_broken = true };
}

bool window_next(const struct window *w, uint64_t now_ms,
		 struct window_interval *out)
{
	for (size_t i = 0; i < w->n_intervals; i++)
		if (w->intervals[i].to_ms > now_ms &&
		    w->intervals[i].to_ms > w->intervals[i].from_ms) {
			*out = w->intervals[i];
			return true;
		}
	return false;
}

bool window_is_shut(const struct window *w, uint64_t now_ms, uint64_t *until_ms)
{
	struct window_interval next;
	uint64_t until = UINT64_MAX;
	bool is_shut = w->is_broken || now_ms >= w->computed_ms;

	if (!is_shut && window_next(w, now_ms, &next)) {
		is_shut = next.from_ms <= now_ms;
		until = next.to_ms;
	}
	if (until_ms)
		*until_ms = until;
	return is_shut;
}

static void put_time(struct buf *out, const char *name, uint64_t ms)
{
	char text[RFC3339_MAX];

	clock_rfc3339(text, ms, false);
	buf_printf(out, "\"%s\":\"%s\"", name, text);
}

void window_status(struct buf *out, const struct window_interval *intervals,
		   size_t n, uint64_t computed_ms, struct str spec,
		   uint64_t now_ms, struct str error)
{
	struct window w = { .intervals = (struct window_interval *)intervals,
			    .n_intervals = n };
	struct window_interval next;
	char of[65];

	digest_of(of, spec);
	buf_c(out, '{');
	put_time(out, "computedAt", now_ms);
	buf_c(out, ',');
	put_time(out, "computedUntil", computed_ms);
	if (error.n) {
		buf_z(out, ",\"error\":");
		buf_json(out, error);
	}
	buf_z(out, ",\"intervals\":[");
	for (size_t i = 0; i < n; i++) {
		buf_z(out, i ? ",{" : "{");
		put_time(out, "from", intervals[i].from_ms);
		buf_c(out, ',');
		put_time(out, "to", intervals[i].to_ms);
		buf_c(out, '}');
	}
	buf_c(out, ']');
	if (window_next(&w, now_ms, &next)) {
		buf_c(out, ',');
		put_time(out, "next", next.from_ms);
	}
	buf_printf(out, ",\"observedSpec\":\"%s\"", of);
	if (window_next(&w, now_ms, &next)) {
		buf_c(out, ',');
		put_time(out, "until", next.to_ms);
	}
	buf_c(out, '}');
}
