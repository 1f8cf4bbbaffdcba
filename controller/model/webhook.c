/* Webhooks: see webhook.h. */
#include "model/webhook.h"

#include "doc/format.h"
#include "doc/value.h"

#include "base/banned.h"

static const struct {
	const char *name, *type;
} notices[NOTICE__END] = {
#define NOTICE(ident, number, type) [number] = { #ident, type },
#include "model/notices.tbl"
#undef NOTICE
};

const char *notice_name(enum notice notice)
{
	must(notice > NOTICE_NONE && notice < NOTICE__END);
	return notices[notice].name;
}

const char *notice_type(enum notice notice)
{
	must(notice > NOTICE_NONE && notice < NOTICE__END);
	return notices[notice].type;
}

enum notice notice_of(struct str name)
{
	for (unsigned i = 1; i < NOTICE__END; i++)
		if (str_eq(name, str_of(notices[i].name)))
			return (enum notice)i;
	return NOTICE_NONE;
}

/* Whatever it asked for, it is told of what it missed. */
bool webhook_wants(const struct webhook *w, enum notice notice)
{
	return notice == NOTICE_EVENTS_LOST || notice == NOTICE_TEST ||
	       (w->wants & BIT(notice));
}

void webhook_read(struct arena *arena, struct str spec, struct webhook *out)
{
	struct value *v, *events;
	struct err err;

	*out = (struct webhook){ .wants = UINT64_MAX,
				 .timeout_ms = WEBHOOK_TIMEOUT_MS };
	if (doc_parse_json(spec, arena, NULL, &v, &err))
		return;
	out->url = value_text(value_getz(v, "url"));
	out->suspend = value_to_bool(value_getz(v, "suspend"), false);
	out->may_approve = value_to_bool(value_getz(v, "mayApprove"), false);
	if (!str_duration_ms(value_text(value_getz(v, "timeout")),
			     &out->timeout_ms) || out->timeout_ms == 0)
		out->timeout_ms = WEBHOOK_TIMEOUT_MS;
	/* Each try may leave a look-up of its name behind, which ends by itself. */
	out->timeout_ms = MAX(out->timeout_ms, (uint64_t)WEBHOOK_TIMEOUT_MIN_MS);
	out->timeout_ms = MIN(out->timeout_ms, (uint64_t)WEBHOOK_TIMEOUT_MAX_MS);
	events = value_getz(v, "events");
	if (!events || events->type != VALUE_ARRAY)
		return;
	out->wants = 0;
	for (size_t i = 0; i < events->a.n; i++)
		out->wants |= BIT(notice_of(value_text(events->a.items[i])));
}

struct str condition_ready(struct arena *arena, struct str status,
			   struct str *reason, struct str *message)
{
	struct value *v, *all;
	struct err err;

	if (reason)
		*reason = STR_NONE;
	if (message)
		*message = STR_NONE;
	if (!status.n || doc_parse_json(status, arena, NULL, &v, &err))
		return STR_NONE;
	all = value_getz(v, "conditions");
	for (size_t i = 0; i < value_count(all) && all->type == VALUE_ARRAY; i++) {
		const struct value *c = all->a.items[i];

		if (!str_is(value_text(value_getz(c, "type")), "Ready"))
			continue;
		if (reason)
			*reason = value_text(value_getz(c, "reason"));
		if (message)
			*message = value_text(value_getz(c, "message"));
		return value_text(value_getz(c, "status"));
	}
	return STR_NONE;
}
