/* The fewest edits from one sequence to another: see diff_own.h. */
#include "base/map.h"
#include "base/mem.h"
#include "model/diff_own.h"

#include "base/banned.h"

uint32_t diff_number(struct map *seen, struct arena *arena, struct str text)
{
	uintptr_t id = (uintptr_t)map_get(seen, text);

	if (id)
		return (uint32_t)id;
	id = map_count(seen) + 1;
	map_put(seen, arena_str(arena, text), (void *)id);
	return (uint32_t)id;
}

/*
 * 'v' is indexed by diagonal k = x - y, from -edits to edits: the furthest x that d
 * edits reach on it.  A copy of it is kept for each d, of which only -d..d counts, to
 * walk back on: copies[d * d + d + k], as those before take 1 + 3 + ... = d * d.
 */
struct search {
	const uint32_t *a, *b;
	ptrdiff_t n, m;
	ptrdiff_t *v;                    /* the middle */
	int32_t *copies;
	size_t cap;
};

static ptrdiff_t furthest(const struct search *s, ptrdiff_t d, ptrdiff_t k)
{
	if (k == -d || (k != d && s->v[k - 1] < s->v[k + 1]))
		return s->v[k + 1];
	return s->v[k - 1] + 1;
}

static void keep_copy(struct search *s, ptrdiff_t d)
{
	size_t need = (size_t)((d + 1) * (d + 1));

	mem_grow((void **)&s->copies, &s->cap, need, sizeof(*s->copies));
	for (ptrdiff_t k = -d; k <= d; k++)
		s->copies[d * d + d + k] = (int32_t)s->v[k];
}

/* How many edits; -1: more than there may be. */
static ptrdiff_t search(struct search *s)
{
	ptrdiff_t most = MIN(s->n + s->m, (ptrdiff_t)DIFF_EDITS_MAX);

	for (ptrdiff_t d = 0; d <= most; d++) {
		for (ptrdiff_t k = -d; k <= d; k += 2) {
			ptrdiff_t x = d ? furthest(s, d, k) : 0, y = x - k;

			while (x < s->n && y < s->m && s->a[x] == s->b[y])
				x++, y++;
			s->v[k] = x;
			if (x >= s->n && y >= s->m)
				return d;
		}
		keep_copy(s, d);
	}
	return -1;
}

static void snake(ptrdiff_t *x, ptrdiff_t *y, ptrdiff_t to_x, ptrdiff_t to_y,
		  bool *keep_a, bool *keep_b)
{
	while (*x > to_x && *y > to_y) {
		keep_a[--*x] = true;
		keep_b[--*y] = true;
	}
}

static void walk_back(const struct search *s, ptrdiff_t d, bool *keep_a, bool *keep_b)
{
	ptrdiff_t x = s->n, y = s->m;

	for (; d > 0; d--) {
		const int32_t *v = s->copies + (d - 1) * (d - 1) + (d - 1);
		ptrdiff_t k = x - y, from;

		if (k == -d || (k != d && v[k - 1] < v[k + 1]))
			from = k + 1;
		else
			from = k - 1;
		/* One edit led from there to where what is alike began. */
		snake(&x, &y, from < k ? v[from] + 1 : v[from],
		      from < k ? v[from] - from : v[from] - from + 1, keep_a, keep_b);
		x = v[from];
		y = x - from;
	}
	snake(&x, &y, 0, 0, keep_a, keep_b);
}

void diff_edits(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
		bool *keep_a, bool *keep_b)
{
	ptrdiff_t *v = mem_zero((2 * (DIFF_EDITS_MAX + 2) + 1) * sizeof(*v));
	struct search s = { .v = v + DIFF_EDITS_MAX + 2 };
	size_t first = 0, last = 0;
	ptrdiff_t d;

	while (first < n && first < m && a[first] == b[first]) {
		keep_a[first] = keep_b[first] = true;
		first++;
	}
	while (last < n - first && last < m - first && a[n - 1 - last] == b[m - 1 - last]) {
		last++;
		keep_a[n - last] = keep_b[m - last] = true;
	}
	s.a = a + first;
	s.b = b + first;
	s.n = (ptrdiff_t)(n - first - last);
	s.m = (ptrdiff_t)(m - first - last);
	d = search(&s);
	if (d >= 0)
		walk_back(&s, d, keep_a + first, keep_b + first);
	free(s.copies);
	free(v);
}
