/* Looking for input before sleeping: see spin.h. */
#include "io/spin.h"

#include "base/mem.h"

#include "base/banned.h"

/* With so much credit it is looked for input, and no more is kept. */
#define CREDIT_WANTED 8u
#define CREDIT_MAX 16u
#define MISS_COSTS 4u
#define PAUSE_NS UINT64_C(10000000)
#define PAUSE_MAX_NS UINT64_C(1280000000)
/* Found so often without anybody wanting the processor, the next pause is short. */
#define FOUND_CALM 256u

bool spin_wants(const struct spin *spin, uint64_t now_ns)
{
	return spin->most_ns && spin->credit >= CREDIT_WANTED &&
		now_ns >= spin->not_before_ns;
}

void spin_hit(struct spin *spin)
{
	spin->credit = MIN(spin->credit + 1, CREDIT_MAX);
	if (++spin->found >= FOUND_CALM)
		spin->pause_ns = 0;
}

void spin_miss(struct spin *spin)
{
	spin->credit -= MIN(spin->credit, MISS_COSTS);
}

void spin_crowded(struct spin *spin, uint64_t now_ns)
{
	spin->pause_ns = spin->pause_ns ? MIN(2 * spin->pause_ns, PAUSE_MAX_NS) :
					  PAUSE_NS;
	spin->not_before_ns = now_ns + spin->pause_ns;
	spin->found = 0;
}

void spin_told(struct spin *spin)
{
	spin->credit = 0;
}

void spin_slept(struct spin *spin, uint64_t ns)
{
	if (ns < spin->most_ns)
		spin->credit = MIN(spin->credit + 1, CREDIT_MAX);
	else
		spin->credit -= MIN(spin->credit, 1u);
}
