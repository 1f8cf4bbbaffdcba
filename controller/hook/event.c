/* Events as they go out: see event.h. */
#include "hook/event.h"

#include "base/clock.h"
#include "doc/format.h"
#include "doc/value.h"

#include "base/banned.h"

/* What the event says by itself; the data of who noted it cannot say otherwise. */
static void set_own(struct arena *arena, struct value *data,
		    const struct outbox_row *row, struct str hook)
{
	const struct kind *kind = kind_by_id(row->kind);

	value_setz(arena, data, "event",
		   value_str(arena, str_of(notice_name(row->notice))));
	value_setz(arena, data, "tenant", value_str(arena, row->tenant));
	value_setz(arena, data, "webhook", value_str(arena, hook));
	if (kind)
		value_setz(arena, data, "kind", value_str(arena, kind->name));
	if (row->name.n)
		value_setz(arena, data, "name", value_str(arena, row->name));
}

static struct value *data_of(struct arena *arena, const struct outbox_row *row,
			     struct str hook)
{
	struct value *data;
	struct err err;

	if (doc_parse_json(row->data, arena, NULL, &data, &err) ||
	    data->type != VALUE_OBJECT)
		data = value_object(arena);
	set_own(arena, data, row, hook);
	return data;
}

static void put_text(struct buf *out, const char *name, struct str text)
{
	buf_printf(out, "\"%s\":", name);
	buf_json(out, text);
	buf_c(out, ',');
}

void event_json(struct buf *out, const struct outbox_row *row, struct str cluster,
		struct str hook)
{
	AUTO_ARENA arena = arena_new(0);
	const struct kind *kind = kind_by_id(row->kind);
	char id[37], time[RFC3339_MAX];

	uuid_text(id, row->id);
	clock_rfc3339(time, row->time_ms, true);
	buf_z(out, "{\"specversion\":\"1.0\",");
	put_text(out, "id", str_of(id));
	put_text(out, "source",
		 arena_printf(arena, "/clusters/%.*s/tenants/%.*s", STR_ARG(cluster),
			      STR_ARG(row->tenant)));
	put_text(out, "type", str_of(notice_type(row->notice)));
	if (kind && row->name.n)
		put_text(out, "subject",
			 arena_printf(arena, "%.*s/%.*s", STR_ARG(kind->plural),
				      STR_ARG(row->name)));
	put_text(out, "time", str_of(time));
	put_text(out, "datacontenttype", STR("application/json"));
	buf_z(out, "\"data\":");
	value_canonical(out, data_of(arena, row, hook));
	buf_c(out, '}');
}

void event_test(struct outbox_row *out, struct uuid id, struct str tenant,
		uint64_t now_ms)
{
	*out = (struct outbox_row){ .id = id, .notice = NOTICE_TEST,
				    .time_ms = now_ms, .tenant = tenant,
				    .data = STR("{}") };
}
