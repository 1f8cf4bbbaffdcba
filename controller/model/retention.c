/* Retention of versions: see retention.h. */
#include "model/retention.h"

#include "base/banned.h"

#define DAY_MS 86400000ull

bool retention_is_over(const struct retention *r, uint64_t rank,
		       uint64_t created_ms, uint64_t now_ms)
{
	bool many = r->has_versions && rank >= r->versions;
	bool old = r->has_days && now_ms > created_ms &&
		   (now_ms - created_ms) / DAY_MS >= r->days;

	/* What is not said is no reason to keep it, and none to remove it. */
	if (!r->has_versions)
		return old;
	if (!r->has_days)
		return many;
	return r->is_or ? many || old : many && old;
}

/* Where one is enough to be removed, both are needed to stay. */
void retention_text(struct buf *out, const struct retention *r)
{
	if (!r->has_versions && !r->has_days) {
		buf_z(out, "keeps all");
		return;
	}
	buf_z(out, "keeps ");
	if (r->has_versions)
		buf_printf(out, "the newest %llu", (unsigned long long)r->versions);
	if (r->has_versions && r->has_days)
		buf_z(out, r->is_or ? " of those of " : ", and those of ");
	else if (r->has_days)
		buf_z(out, "those of ");
	if (r->has_days)
		buf_printf(out, "%llu days", (unsigned long long)r->days);
}
