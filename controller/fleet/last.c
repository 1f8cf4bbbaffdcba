/* The last words of instances: see last.h. */
#include "fleet/last.h"

#include "base/banned.h"

void last_put(struct buf *out, const struct fleet_last *last)
{
	wr_str(out, last->key);
	wr_var(out, last->said_version);
	wr_u8(out, (uint8_t)last->said);
	wr_var(out, last->said_age_ms);
	wr_var(out, last->sent_version);
	wr_var(out, last->sent_age_ms);
	wr_str(out, last->reason);
}

enum code last_next(struct rd *rd, struct fleet_last *out, struct err *err)
{
	uint64_t said, sent;
	uint8_t state;

	if (rd_left(rd) == 0)
		return E_NOT_FOUND;
	out->key = rd_str(rd);
	said = rd_var(rd);
	state = rd_u8(rd);
	out->said = state;
	out->said_age_ms = rd_var(rd);
	sent = rd_var(rd);
	out->sent_age_ms = rd_var(rd);
	out->reason = rd_str(rd);
	out->said_version = (uint32_t)said;
	out->sent_version = (uint32_t)sent;
	if (rd->bad || said > UINT32_MAX || sent > UINT32_MAX || !out->key.n ||
	    !(said | sent) || state >= FLEET_IS__COUNT)
		return err_set(err, E_INVALID, "what an instance said is malformed");
	return OK;
}

enum fleet_state last_state(const struct fleet_last *last)
{
	return last->said_version ? last->said : FLEET_IS_SENT;
}

uint32_t last_version(const struct fleet_last *last)
{
	return last->said_version ? last->said_version : last->sent_version;
}

uint64_t last_age_ms(const struct fleet_last *last)
{
	if (!last->said_version)
		return last->sent_age_ms;
	return last->sent_version ? MIN(last->said_age_ms, last->sent_age_ms) :
				    last->said_age_ms;
}

bool last_lag_ms(const struct fleet_last *last, uint64_t *out)
{
	if (!last->sent_version)
		return false;
	*out = last->sent_age_ms;
	/* Who had applied it before it came here was given it again. */
	if (last->said_version == last->sent_version &&
	    last->said == FLEET_IS_APPLIED)
		*out -= MIN(*out, last->said_age_ms);
	return true;
}

static void take_newer(struct fleet_last *to, const struct fleet_last *from)
{
	if (from->said_version &&
	    (!to->said_version || from->said_age_ms < to->said_age_ms)) {
		to->said_version = from->said_version;
		to->said = from->said;
		to->said_age_ms = from->said_age_ms;
		to->reason = from->reason;
	}
	if (from->sent_version &&
	    (!to->sent_version || from->sent_age_ms < to->sent_age_ms)) {
		to->sent_version = from->sent_version;
		to->sent_age_ms = from->sent_age_ms;
	}
}

static size_t take_out(struct fleet_last *all, size_t n, size_t at)
{
	for (; at + 1 < n; at++)
		all[at] = all[at + 1];
	return n - 1;
}

size_t last_merge(struct fleet_last all[FLEET_LAST_MAX], size_t n,
		  const struct fleet_last *more)
{
	struct fleet_last one = *more;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		if (str_eq(all[i].key, one.key)) {
			take_newer(&one, &all[i]);
			n = take_out(all, n, i);
			break;
		}
	while (at < n && last_age_ms(&all[at]) <= last_age_ms(&one))
		at++;
	if (at == FLEET_LAST_MAX)
		return n;
	if (n == FLEET_LAST_MAX)
		n--;
	for (size_t i = n; i > at; i--)
		all[i] = all[i - 1];
	all[at] = one;
	return n + 1;
}
