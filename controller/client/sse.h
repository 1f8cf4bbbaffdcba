/*
 * Server sent events (WHATWG HTML, 9.2): bytes to events.  Lines end in LF, CR
 * or CR LF; comments and unknown fields are dropped.
 */
#ifndef CLIENT_SSE_H
#define CLIENT_SSE_H

#include "base/buf.h"

struct sse {
	struct buf line, event, id, data;
	bool has_data;
	bool was_cr;                     /* an LF that comes belongs to it */
};

typedef bool sse_event(void *data, struct str event, struct str id,
		       struct str text);

void sse_fini(struct sse *sse);
/* Feeds the next bytes.  '*enough': a callback said false.  E_TOO_LARGE: an
 * event of more than 4 MiB. */
enum code sse_feed(struct sse *sse, struct str bytes, sse_event *each,
		   void *data, bool *enough, struct err *err) MUST_USE;

#endif
