/* What a tenant may hold, against what is counted: see model/quota.h.  Deterministic. */
#include "state/apply.h"

#include "base/banned.h"

static uint64_t used_of(struct apply *a, struct str tenant, enum quota_of what)
{
	for (enum kind_id kind = KIND_NONE; kind < KIND__END; kind++)
		if (quota_of_kind(kind) == what)
			return ap_count(a, tenant, kind);
	return ap_count(a, tenant, COUNT_CONTENT);
}

enum code ap_quota(struct apply *a, struct str tenant, enum quota_of what,
		   uint64_t more, struct err *err)
{
	AUTO_BUF key = BUF_NONE;
	struct object_row row;
	struct quota quota;
	struct str val;

	if (what == QUOTA__COUNT || !tenant.n)
		return OK;
	key_object(&key, STR_NONE, KIND_TENANT, tenant);
	val = ap_get(a, KV_OBJECTS, buf_view(&key));
	if (!val.p)
		return OK;
	if (!object_row_decode(val, &row))
		return err_set(err, E_CORRUPT, "an object row is malformed");
	quota_read(&quota, row.spec);
	if (quota.most[what] == UINT64_MAX)
		return OK;
	return quota_check(&quota, what, tenant, used_of(a, tenant, what), more,
			   err);
}
