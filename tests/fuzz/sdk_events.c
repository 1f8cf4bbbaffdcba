/*
 * Server sent events as libconflux reads them, and what headers say of signatures.
 * Whole and byte by byte the events are the same, and the same as the command line's
 * reader finds.
 */
#include "client/sdk/own.h"

#include "base/buf.h"
#include "client/sse.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool put(struct buf *seen, struct str event, struct str id, struct str text)
{
	buf_printf(seen, "%.*s|%.*s|%zu|", STR_ARG(event), STR_ARG(id), text.n);
	buf_str(seen, text);
	return true;
}

static bool each(void *data, const char *event, const char *id, struct str text)
{
	return put(data, str_of(event), str_of(id), text);
}

static bool each_of_other(void *data, struct str event, struct str id,
			  struct str text)
{
	/* A name or id that is longer than any that it knows is none. */
	return put(data, event.n < 24 ? event : STR("message"),
		   id.n < 24 ? id : STR_NONE, text);
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
	AUTO_BUF other = BUF_NONE;
	uint8_t signature[SIGNATURE_BYTES];
	struct sse sse = { 0 };
	bool enough;
	char *text;

	/* Texts end at a NUL here, and in the other they do not. */
	if (in.n && memchr(in.p, 0, in.n))
		return 0;
	in_steps(in, in.n, &whole);
	in_steps(in, 1, &bytes);
	must(str_eq(buf_view(&whole), buf_view(&bytes)));
	must(sse_feed(&sse, in, each_of_other, &other, &enough, NULL) == OK);
	sse_fini(&sse);
	must(str_eq(buf_view(&whole), buf_view(&other)));
	text = heap_text(&heap_of_libc, in);
	(void)signature_parse(text, signature);
	free(text);
	return 0;
}
