/*
 * Answers of a server as libconflux reads them: whole and byte by byte they are the
 * same answer, and no body is larger than was allowed.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

#define BODY_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_answer(struct link *l, struct net *net, struct str in, size_t step)
{
	static const struct endpoint to = { .name = "http://a" };
	struct cfx_error error = { 0 };
	bool good = true;

	link_init(l, net);
	l->to = &to;
	l->body_max = BODY_MAX;
	link_http_begin(l);
	for (; in.n && good && !l->is_done; in = sdk_from(in, step))
		good = link_http_take(l, in.p, MIN(step, in.n), &error);
	good = good && (l->is_done || link_http_take(l, NULL, 0, &error)) &&
	       l->is_done;
	must(good || !error.text[0] || error.code);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net net = { .heap = heap_of_libc };
	struct str in = str_n(data, MIN(size, (size_t)4096));
	struct link a, b;
	bool whole = in.n && read_answer(&a, &net, in, in.n);
	bool bytes = in.n && read_answer(&b, &net, in, 1);

	if (in.n == 0)
		return 0;
	must(whole == bytes);
	must(a.answer.body.n <= (size_t)MAX(BODY_MAX, ANSWER_TEXT_MAX));
	if (whole) {
		must(a.answer.status == b.answer.status);
		must(strcmp(a.answer.etag, b.answer.etag) == 0);
		must(strcmp(a.answer.signature, b.answer.signature) == 0);
		must(a.answer.version == b.answer.version);
		must(a.answer.retry_after_s == b.answer.retry_after_s);
		must(str_eq(bytes_view(&a.answer.body), bytes_view(&b.answer.body)));
	}
	link_fini(&a);
	link_fini(&b);
	return 0;
}
