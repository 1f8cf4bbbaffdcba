/*
 * Answers of Prometheus and of webhooks: whatever bytes come, there is one verdict, and
 * a reason that fits where it is not met.
 */
#include <stdint.h>
#include <string.h>

#include "release/verdict.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum verdict v, const char *reason)
{
	must(v == VERDICT_UNKNOWN || v == VERDICT_MET || v == VERDICT_FAILED);
	must(strnlen(reason, 200) < 200);
	must(v != VERDICT_MET || reason[0] == '\0');
}

/* Input: whether a threshold is below or above, and the answer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strategy_query q = { .url = STR("http://p/") };
	struct verdict_step step = { STR("acme"), STR("r-000000000017"), 1 };
	AUTO_BUF url = BUF_NONE;
	struct str answer;
	char reason[200];

	if (!size)
		return 0;
	answer = str_n(data + 1, size - 1);
	q.query = answer;
	if (data[0] & 1)
		q.below = STR("0.5");
	else
		q.above = STR("0.5");
	check(verdict_of_query(&q, 200, answer, reason), reason);
	check(verdict_of_webhook(200, answer, reason), reason);
	/* Nothing of a query is more than text in a URL. */
	verdict_query_url(&url, &q, &step);
	for (size_t i = 0; i < url.n; i++)
		must(url.p[i] > ' ' && (unsigned char)url.p[i] < 0x7f);
	return 0;
}
