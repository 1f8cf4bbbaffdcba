/* Server sent events: see sse.h. */
#include "client/sse.h"

#include "base/banned.h"

#define EVENT_MAX (4u * 1024 * 1024)

void sse_fini(struct sse *sse)
{
	buf_fini(&sse->line);
	buf_fini(&sse->event);
	buf_fini(&sse->id);
	buf_fini(&sse->data);
}

static void take_field(struct sse *sse, struct str line)
{
	struct str name = str_cut(&line, ':');

	if (str_starts(line, STR(" ")))
		line = str_from(line, 1);
	if (str_is(name, "event")) {
		buf_reset(&sse->event);
		buf_str(&sse->event, line);
	} else if (str_is(name, "id")) {
		buf_reset(&sse->id);
		buf_str(&sse->id, line);
	} else if (str_is(name, "data")) {
		if (sse->has_data)
			buf_c(&sse->data, '\n');
		sse->has_data = true;
		buf_str(&sse->data, line);
	}
}

/* True: goes on. */
static bool dispatch(struct sse *sse, sse_event *each, void *data)
{
	bool more = true;

	if (sse->has_data)
		more = each(data, sse->event.n ? buf_view(&sse->event) :
			    STR("message"), buf_view(&sse->id),
			    buf_view(&sse->data));
	sse->has_data = false;
	buf_reset(&sse->event);
	buf_reset(&sse->data);
	return more;
}

/* Cuts the next line, or what there is of it: then false. */
static bool cut_line(struct sse *sse, struct str *bytes)
{
	size_t end = 0;

	if (sse->was_cr && bytes->n && bytes->p[0] == '\n')
		*bytes = str_from(*bytes, 1);
	sse->was_cr = false;
	while (end < bytes->n && bytes->p[end] != '\n' && bytes->p[end] != '\r')
		end++;
	buf_str(&sse->line, str_first(*bytes, end));
	if (end == bytes->n) {
		*bytes = STR_NONE;
		return false;
	}
	sse->was_cr = bytes->p[end] == '\r';
	*bytes = str_from(*bytes, end + 1);
	return true;
}

enum code sse_feed(struct sse *sse, struct str bytes, sse_event *each,
		   void *data, bool *enough, struct err *err)
{
	*enough = false;
	while (bytes.n && !*enough) {
		bool whole = cut_line(sse, &bytes);

		if (sse->line.n + sse->data.n > EVENT_MAX)
			return err_set(err, E_TOO_LARGE, "an event of more than "
				       "%u bytes", EVENT_MAX);
		if (!whole)
			return OK;
		if (sse->line.n == 0)
			*enough = !dispatch(sse, each, data);
		else
			take_field(sse, buf_view(&sse->line));
		buf_reset(&sse->line);
	}
	return OK;
}
