/*
 * Requests, answers and bodies of HTTP/1.1.  Fed whole and in pieces, the
 * outcome is the same; what was found lies inside the input's copy.
 */
#include "http/wire/http1.h"
#include "http/wire/url.h"

#include <stdlib.h>

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	enum code rc;
	uint64_t body;
	size_t rest;
};

static struct outcome read_body(const struct http1_head *head, struct str in,
				size_t step)
{
	struct outcome o = { OK, 0, 0 };
	struct http1_body b;

	http1_body_init(&b, head);
	while (!o.rc && in.n > 0 && !b.is_done) {
		struct str part = str_first(in, step), piece;

		in = str_from(in, part.n);
		while (!o.rc && part.n > 0 && !b.is_done) {
			o.rc = http1_body_next(&b, &part, 1 << 16, &piece, NULL);
			o.body += piece.n;
		}
		o.rest = in.n + part.n;
	}
	return o;
}

static void check_target(struct arena *arena, struct str target)
{
	struct str path, query, decoded;
	struct url_param *params;
	size_t n;

	if (!url_split(target, &path, &query))
		return;
	url_decode(arena, path, false, &decoded);
	if (url_query(arena, query, 100, &params, &n))
		must(n <= 100);
}

static void check_request(struct str in)
{
	AUTO_ARENA arena = arena_new(0);
	size_t scanned = 0, len = 0, slow = 0, len_slow = 0;
	struct http1_head head;
	struct outcome whole, pieces;
	enum code rc = http1_find(in, 8192, &scanned, &len, NULL), rc_slow = OK;

	for (size_t n = 1; n <= in.n && !rc_slow && !len_slow; n++)
		rc_slow = http1_find(str_first(in, n), 8192, &slow, &len_slow, NULL);
	must(rc == rc_slow && len == len_slow);
	if (rc || len == 0)
		return;
	if (http1_answer(arena, arena_z(arena, in), len, HTTP_M_GET, &head, NULL) == OK)
		read_body(&head, str_from(in, len), 7);
	if (http1_request(arena, arena_z(arena, in), len, &head, NULL) != OK)
		return;
	check_target(arena, head.target);
	whole = read_body(&head, str_from(in, len), SIZE_MAX);
	pieces = read_body(&head, str_from(in, len), 1);
	must(whole.rc == pieces.rc);
	must(whole.rc || (whole.body == pieces.body && whole.rest == pieces.rest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size <= 16384)
		check_request(str_n(data, size));
	return 0;
}
