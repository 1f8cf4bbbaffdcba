/* Groups of a subject, as tokens keep them: see permission.h. */
#include "model/permission.h"

#include "wire/wire.h"

#include "base/banned.h"

bool groups_next(struct str groups, size_t *at, struct str *out)
{
	size_t n;

	if (*at >= groups.n)
		return false;
	n = (uint8_t)groups.p[*at];
	if (n == 0 || n > GROUP_NAME_MAX || *at + 1 + n > groups.n)
		return false;
	*out = str_n(groups.p + *at + 1, n);
	*at += 1 + n;
	return true;
}

bool groups_has(struct str groups, struct str group)
{
	struct str one;

	for (size_t at = 0; groups_next(groups, &at, &one);)
		if (str_eq(one, group))
			return true;
	return false;
}

bool groups_are_valid(struct str groups)
{
	struct str one, before = STR_NONE;
	size_t at = 0, n = 0;

	while (groups_next(groups, &at, &one)) {
		if ((n && str_cmp(before, one) >= 0) || ++n > GROUPS_MAX)
			return false;
		before = one;
	}
	return at == groups.n;
}

static void sort(struct str *names, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k && str_cmp(names[k - 1], names[k]) > 0; k--) {
			struct str s = names[k];

			names[k] = names[k - 1];
			names[k - 1] = s;
		}
}

enum code groups_encode(struct buf *out, struct str *names, size_t n,
			struct err *err)
{
	if (n > GROUPS_MAX)
		return err_set(err, E_INVALID, "%zu groups, at most %d are allowed",
			       n, GROUPS_MAX);
	sort(names, n);
	for (size_t i = 0; i < n; i++) {
		if (names[i].n == 0 || names[i].n > GROUP_NAME_MAX)
			return err_set(err, E_INVALID, "a group's name has 1 to %d "
				       "bytes", GROUP_NAME_MAX);
		if (i && str_eq(names[i - 1], names[i]))
			return err_set(err, E_INVALID, "group \"%.*s\" is named twice",
				       STR_ARG(names[i]));
		wr_u8(out, (uint8_t)names[i].n);
		buf_str(out, names[i]);
	}
	return OK;
}

/* ---- instances ---- */

bool group_instance(struct str group, struct str *pattern)
{
	struct str before = STR(GROUP_INSTANCE);

	if (!str_starts(group, before))
		return false;
	*pattern = str_from(group, before.n);
	return true;
}

bool subject_is_bound(const struct subject *s)
{
	struct str one, pattern;

	for (size_t at = 0; groups_next(s->groups, &at, &one);)
		if (group_instance(one, &pattern))
			return true;
	return false;
}

static bool is_like(struct str pattern, struct str instance)
{
	if (!str_ends(pattern, STR("*")))
		return str_eq(pattern, instance);
	return str_starts(instance, str_first(pattern, pattern.n - 1));
}

bool subject_may_be(const struct subject *s, struct str instance)
{
	struct str one, pattern;

	for (size_t at = 0; groups_next(s->groups, &at, &one);)
		if (group_instance(one, &pattern) && is_like(pattern, instance))
			return true;
	return !subject_is_bound(s);
}
