/* See admission.h. */
#include "api/admission.h"

#include "base/must.h"

#include "base/banned.h"

/* The loop's clock is in milliseconds: what is less may be rounding. */
#define IDLE_NS UINT64_C(1000000)

static uint64_t began(const struct admission *a, uint64_t woke_ns)
{
	return a->began_ns ? a->began_ns :
			     woke_ns > a->ended_ns ? woke_ns : a->ended_ns;
}

bool admission_take(struct admission *a, uint64_t woke_ns, uint64_t now_ns)
{
	if (a->target_ns == 0)
		return true;
	a->began_ns = began(a, woke_ns);
	if (!a->is_overloaded || now_ns < a->began_ns + a->target_ns)
		return true;
	a->shed++;
	return false;
}

void admission_turn(struct admission *a, uint64_t woke_ns, uint64_t now_ns)
{
	uint64_t start = began(a, woke_ns);
	bool was_idle = start >= a->ended_ns + IDLE_NS;

	if (a->target_ns == 0)
		return;
	a->began_ns = 0;
	a->ended_ns = now_ns;
	if (was_idle || now_ns < start + a->target_ns) {
		a->is_overloaded = false;
		a->above_since_ns = 0;
	}
	if (now_ns < start + a->target_ns)
		return;
	if (a->above_since_ns == 0)
		a->above_since_ns = start;
	else if (now_ns - a->above_since_ns >= ADMISSION_TARGETS * a->target_ns)
		a->is_overloaded = true;
}
