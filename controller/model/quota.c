/* Quotas of tenants: see quota.h. */
#include "model/quota.h"

#include "doc/format.h"
#include "doc/value.h"

#include "base/banned.h"

static const char *const names[QUOTA__COUNT] = {
	[QUOTA_APPLICATIONS] = "applications",
	[QUOTA_ENVIRONMENTS] = "environments",
	[QUOTA_CONFIGURATIONS] = "configurations",
	[QUOTA_SOURCES] = "sources",
	[QUOTA_CONTENT_BYTES] = "contentBytes",
};

const char *quota_name(enum quota_of what)
{
	must(what < QUOTA__COUNT);
	return names[what];
}

enum quota_of quota_of_kind(enum kind_id kind)
{
	switch (kind) {
	case KIND_APPLICATION:
		return QUOTA_APPLICATIONS;
	case KIND_ENVIRONMENT:
		return QUOTA_ENVIRONMENTS;
	case KIND_CONFIG:
		return QUOTA_CONFIGURATIONS;
	case KIND_SOURCE:
		return QUOTA_SOURCES;
	default:
		return QUOTA__COUNT;
	}
}

void quota_read(struct quota *out, struct str spec)
{
	struct arena *arena;
	struct value *v, *quotas;
	struct err err;

	for (size_t i = 0; i < QUOTA__COUNT; i++)
		out->most[i] = UINT64_MAX;
	/* Most have none, and this is asked for at each write. */
	if (str_find_str(spec, STR("\"quotas\"")) == SIZE_MAX)
		return;
	arena = arena_new(4096);
	if (doc_parse_json(spec, arena, NULL, &v, &err) == OK) {
		quotas = value_getz(v, "quotas");
		for (size_t i = 0; i < QUOTA__COUNT; i++) {
			struct value *most = value_get(quotas,
							 str_of(names[i]));

			if (!most || !value_to_u64(most, &out->most[i]))
				out->most[i] = UINT64_MAX;
		}
	}
	arena_free(&arena);
}

enum code quota_check(const struct quota *quota, enum quota_of what,
		      struct str tenant, uint64_t used, uint64_t more,
		      struct err *err)
{
	uint64_t most;

	if (what >= QUOTA__COUNT)
		return OK;
	most = quota->most[what];
	if (more == 0 || (used <= most && more <= most - used))
		return OK;
	err_set(err, E_QUOTA, "tenant %.*s may have %llu %s, has %llu, and this "
		"adds %llu", STR_ARG(tenant), (unsigned long long)most,
		what == QUOTA_CONTENT_BYTES ? "bytes of content" : names[what],
		(unsigned long long)used, (unsigned long long)more);
	return err_hint(err, "delete what is not needed, or raise spec.quotas.%s "
			"of the tenant", names[what]);
}
