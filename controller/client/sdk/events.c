/*
 * Server sent events (WHATWG HTML, 9.2), with memory that may fail.  What the SDK
 * does not read, retry among it, is dropped.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

#define EVENT_MAX ((size_t)1 << 20)

void events_reset(struct events *e)
{
	e->line.n = e->data.n = 0;
	e->event[0] = e->id[0] = '\0';
	e->has_data = e->was_cr = false;
}

void events_fini(const heap *heap, struct events *e)
{
	bytes_fini(heap, &e->line);
	bytes_fini(heap, &e->data);
	*e = (struct events){ 0 };
}

static void keep(char *out, size_t size, struct str s)
{
	size_t n = s.n < size ? s.n : 0;         /* too long: none that we know */

	if (n)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

static bool take_field(const heap *heap, struct events *e)
{
	struct str line = bytes_view(&e->line), name = line, value = STR_NONE;
	const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;

	if (colon) {
		name = str_n(line.p, (size_t)(colon - line.p));
		value = sdk_from(line, name.n + 1);
		if (value.n && value.p[0] == ' ')
			value = sdk_from(value, 1);
	}
	if (str_is(name, "event")) {
		keep(e->event, sizeof(e->event), value);
	} else if (str_is(name, "id")) {
		keep(e->id, sizeof(e->id), value);
	} else if (str_is(name, "data")) {
		if (e->has_data && !bytes_add(heap, &e->data, STR("\n")))
			return false;
		e->has_data = true;
		return bytes_add(heap, &e->data, value);
	}
	return true;
}

static bool end_line(const heap *heap, struct events *e, event_each *each,
		     void *data)
{
	bool good = true;

	if (e->line.n) {
		good = take_field(heap, e);
		e->line.n = 0;
		return good;
	}
	if (e->has_data)
		good = each(data, e->event[0] ? e->event : "message", e->id,
			    bytes_view(&e->data));
	e->event[0] = '\0';
	e->data.n = 0;
	e->has_data = false;
	return good;
}

bool events_feed(const heap *heap, struct events *e, struct str in,
		 event_each *each, void *data)
{
	while (in.n) {
		size_t n = 0;
		bool was_cr = e->was_cr;

		e->was_cr = false;
		if (was_cr && in.p[0] == '\n') {
			in = sdk_from(in, 1);
			continue;
		}
		while (n < in.n && in.p[n] != '\n' && in.p[n] != '\r')
			n++;
		if (e->line.n + e->data.n + n > EVENT_MAX ||
		    !bytes_add(heap, &e->line, str_n(in.p, n)))
			return false;
		if (n == in.n)
			return true;
		e->was_cr = in.p[n] == '\r';
		in = sdk_from(in, n + 1);
		if (!end_line(heap, e, each, data))
			return false;
	}
	return true;
}
