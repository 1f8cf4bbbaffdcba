/* What diff.c, diff_lines.c and diff_edits.c share. */
#ifndef MODEL_DIFF_OWN_H
#define MODEL_DIFF_OWN_H

#include "model/diff.h"

struct map;

/* The number of 'text' among those seen, from 1; a new one is copied to 'arena'. */
uint32_t diff_number(struct map *seen, struct arena *arena, struct str text);
/* Which elements of 'a' and 'b' stay: a longest common subsequence (E. W. Myers, "An
 * O(ND) Difference Algorithm and Its Variations", 1986), where that takes at most
 * DIFF_EDITS_MAX edits; else what both begin and end with. */
void diff_edits(const uint32_t *a, size_t n, const uint32_t *b, size_t m,
		bool *keep_a, bool *keep_b);
/* A private key, or a URL with a password. */
bool diff_text_is_secret(struct str text);

#endif
