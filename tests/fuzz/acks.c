/*
 * Acknowledgements as they come: refused with a word, or within their bounds, kept,
 * and listed so that what is listed is the same acknowledgement.
 */
#include <stdint.h>

#include "api/acks.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_same(const struct ack *a, const struct ack *b)
{
	must(str_eq(a->instance, b->instance) && str_eq(a->key, b->key) &&
	     str_eq(a->reason, b->reason) && str_eq(a->release, b->release) &&
	     a->version == b->version && a->state == b->state &&
	     sha256_eq(&a->sha, &b->sha));
}

static void goes_round(const struct ack *ack)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF json = BUF_NONE;
	struct ack *back;
	struct err err;
	size_t n;

	buf_c(&json, '{');
	ack_json(&json, ack);
	buf_c(&json, '}');
	must(acks_parse(buf_view(&json), arena, &back, &n, &err) == OK && n == 1);
	must_be_same(ack, back);
}

static bool counts(void *data, const struct ack *ack, bool is_connected)
{
	must(!is_connected && ack->seq > 0);
	++*(size_t *)data;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct acks *acks = acks_new(3);
	struct acks_query all = { 0 };
	struct err err = { 0 };
	size_t n, listed = 0;
	struct ack *a;

	if (acks_parse(str_n(data, size), arena, &a, &n, &err)) {
		must((err.code == E_INVALID || err.code == E_UNPROCESSABLE) &&
		     err.text[0]);
		acks_free(&acks);
		return 0;
	}
	must(n <= ACKS_A_REQUEST);
	for (size_t i = 0; i < n; i++) {
		must(ack_instance_is_valid(a[i].instance) && a[i].version > 0 &&
		     a[i].reason.n <= ACK_REASON_MAX &&
		     a[i].release.n <= ACK_RELEASE_MAX &&
		     a[i].state < ACK__STATES);
		goes_round(&a[i]);
		acks_put(acks, &a[i], i);
	}
	acks_each(acks, &all, counts, &listed);
	must(listed <= MIN(n, (size_t)3) && (n == 0 || listed > 0));
	acks_free(&acks);
	return 0;
}
