/*
 * Triggers of sources on their way to the leader, their answers, and what the child
 * that fetches is told and says: refused, or the same again.
 *
 * The first byte says which.
 */
#include <stdint.h>

#include "source/git.h"
#include "source/question.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void question(struct str in)
{
	struct source_question q, back;
	AUTO_BUF bytes = BUF_NONE;
	struct err err = { 0 };
	enum code rc = question_decode(in, &q, &err);

	must(rc == OK || ((rc == E_INVALID || rc == E_UNSUPPORTED) && err.text[0]));
	if (rc)
		return;
	question_encode(&bytes, &q);
	must(question_decode(buf_view(&bytes), &back, &err) == OK);
	must(str_eq(back.tenant, q.tenant) && str_eq(back.name, q.name) &&
	     back.wait == q.wait);
}

static void answer(struct str in)
{
	struct source_result r, back;
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct err err = { 0 };
	uint64_t seen, seen_again;

	if (question_answer_decode(in, &r, &seen, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return;
	}
	must(code_is_known((unsigned)r.code));
	question_answer_encode(&once, &r, seen);
	must(question_answer_decode(buf_view(&once), &back, &seen_again, &err) ==
	     OK && seen == seen_again);
	question_answer_encode(&twice, &back, seen);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

static void fetch_request(struct str in)
{
	struct fetch_request r = { 0 };

	if (!fetch_request_decode(in, &r))
		return;
	must(r.url.n <= in.n && r.token.n <= in.n && r.ca_file.n <= in.n);
}

static void fetch_answer(struct str in)
{
	struct fetch_answer a = { 0 }, back = { 0 };
	AUTO_BUF bytes = BUF_NONE;

	if (!fetch_answer_decode(in, &a))
		return;
	must(code_is_known((unsigned)a.code));
	fetch_answer_encode(&bytes, &a);
	must(fetch_answer_decode(buf_view(&bytes), &back));
	must(back.code == a.code && back.bytes == a.bytes &&
	     str_eq(back.text, a.text) && str_eq(back.hint, a.hint));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(struct str in) = { question, answer,
							fetch_request, fetch_answer };

	if (size)
		kinds[data[0] % ARRAY_LEN(kinds)](str_n(data + 1, size - 1));
	return 0;
}
