/*
 * Server sent events as a client reads them.  Whole and byte by byte they are
 * the same events; no text of one holds what ends a line.
 */
#include "client/sse.h"

#include <stdlib.h>

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_a_line(struct str s)
{
	must(str_find(s, '\n') == SIZE_MAX && str_find(s, '\r') == SIZE_MAX);
}

static bool each(void *data, struct str event, struct str id, struct str text)
{
	struct buf *seen = data;

	must_be_a_line(event);
	must_be_a_line(id);
	must(event.n > 0 && str_find(text, '\r') == SIZE_MAX);
	buf_printf(seen, "%zu %zu %zu ", event.n, id.n, text.n);
	buf_str(seen, event);
	buf_str(seen, id);
	buf_str(seen, text);
	return true;
}

static void read_in_steps(struct str in, size_t step, struct buf *seen)
{
	struct sse sse = { 0 };
	bool enough;

	for (; in.n; in = str_from(in, step)) {
		must(sse_feed(&sse, str_first(in, step), each, seen, &enough,
			      NULL) == OK);
		must(!enough);
	}
	sse_fini(&sse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, MIN(size, (size_t)1 << 20));
	AUTO_BUF whole = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;

	read_in_steps(in, in.n, &whole);
	read_in_steps(in, 1, &bytes);
	must(str_eq(buf_view(&whole), buf_view(&bytes)));
	return 0;
}
