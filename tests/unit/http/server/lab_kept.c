/* Bodies in pieces that their handlers keep, as messages of gRPC are: see lab.h. */
#include "lab.h"

#include "http/server/server.h"

#include "base/banned.h"

static void keep(struct request *r, struct str bytes, bool is_last)
{
	size_t *kept = r->data;

	*kept += request_query(r, "nothing") ? 0 : bytes.n;
	/* As one that waits for its commit: nobody answers it. */
	if (is_last && request_query(r, "waits")) {
		if (!request_body_keeps(r, *kept))
			answer(r, 429, "text/plain", STR("too much"));
		return;
	}
	if (is_last)
		answer(r, 200, "text/plain", STR("kept"));
	else
		ck_assert(request_body_keeps(r, *kept));
}

void lab_post_kept(struct request *r)
{
	r->data = ANEW(r->arena, size_t);
	/* As one of many messages, which are answered as they come. */
	if (request_query(r, "streams"))
		answer_stream(r, 200, "text/plain");
	request_on_body(r, keep);
}
