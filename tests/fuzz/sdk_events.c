/*
 * Server sent events as libconflux reads them, and what headers say of signatures.
 * Whole and byte by byte the events are the same; no text of one holds what ends a
 * line.
 */
#include "client/sdk/own.h"

#include "base/buf.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_a_line(struct str s)
{
	must(str_find(s, '\n') == SIZE_MAX && str_find(s, '\r') == SIZE_MAX);
}

static bool each(void *data, const char *event, const char *id, struct str text)
{
	must_be_a_line(str_of(event));
	must_be_a_line(str_of(id));
	must(event[0] && str_find(text, '\r') == SIZE_MAX);
	buf_printf(data, "%s|%s|%zu|", event, id, text.n);
	buf_str(data, text);
	return true;
}

static void in_steps(struct str in, size_t step, struct buf *seen)
{
	struct events events = { 0 };

	for (; in.n; in = sdk_from(in, step))
		if (!events_feed(&heap_of_libc, &events,
				 str_n(in.p, MIN(in.n, step)), each, seen))
			break;
	events_fini(&heap_of_libc, &events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, MIN(size, (size_t)1 << 16));
	AUTO_BUF whole = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	uint8_t signature[SIGNATURE_BYTES];
	char *text;

	in_steps(in, in.n, &whole);
	in_steps(in, 1, &bytes);
	must(str_eq(buf_view(&whole), buf_view(&bytes)));
	text = heap_text(&heap_of_libc, in);
	(void)signature_parse(text, signature);
	free(text);
	return 0;
}
