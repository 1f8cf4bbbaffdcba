/* Labels: see labels.h. */
#include "model/labels.h"

#include "base/banned.h"

static size_t labels_place(const struct labels *labels, struct str key,
			   bool *found)
{
	size_t lo = 0, hi = labels->n;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = str_cmp(labels->l[mid].key, key);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool labels_set(struct arena *arena, struct labels *labels, struct str key,
		struct str value)
{
	bool found;
	size_t at = labels_place(labels, key, &found);

	if (!found) {
		if (labels->n == LABELS_MAX)
			return false;
		labels->l = arena_grow(arena, labels->l, &labels->cap,
				       labels->n + 1, sizeof(*labels->l));
		memmove(labels->l + at + 1, labels->l + at,
			(labels->n - at) * sizeof(*labels->l));
		labels->n++;
		labels->l[at].key = key;
	}
	labels->l[at].value = value;
	return true;
}

const struct str *labels_get(const struct labels *labels, struct str key)
{
	bool found;
	size_t at = labels_place(labels, key, &found);

	return found ? &labels->l[at].value : NULL;
}

bool labels_match(const struct labels *want, const struct labels *have)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct str *v = labels_get(have, want->l[i].key);

		if (!v || !str_eq(*v, want->l[i].value))
			return false;
	}
	return true;
}

bool labels_eq(const struct labels *a, const struct labels *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->l[i].key, b->l[i].key) ||
		    !str_eq(a->l[i].value, b->l[i].value))
			return false;
	return true;
}

static bool is_key_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '/' ||
	       c == '-';
}

enum code label_check(struct str key, struct str value, struct err *err)
{
	if (key.n == 0 || key.n > 63)
		return err_set(err, E_INVALID,
			       "label key \"%.*s\" must have 1 to 63 bytes",
			       (int)MIN(key.n, (size_t)80), key.p ? key.p : "");
	for (size_t i = 0; i < key.n; i++)
		if (!is_key_byte(key.p[i]))
			return err_set(err, E_INVALID,
				       "label key \"%.*s\" has a byte outside "
				       "[A-Za-z0-9._/-]",
				       STR_ARG(key));
	if (value.n > 253)
		return err_set(err, E_INVALID,
			       "label %.*s: the value is longer than 253 bytes",
			       STR_ARG(key));
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
			return err_set(err, E_INVALID,
				       "label %.*s: the value has a control byte",
				       STR_ARG(key));
	return OK;
}

void labels_json(struct buf *out, const struct labels *labels)
{
	buf_c(out, '{');
	for (size_t i = 0; i < labels->n; i++) {
		if (i)
			buf_c(out, ',');
		buf_json(out, labels->l[i].key);
		buf_c(out, ':');
		buf_json(out, labels->l[i].value);
	}
	buf_c(out, '}');
}
