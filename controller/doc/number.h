/*
 * Numbers as text: exact decimal comparison and one canonical spelling,
 * without floating point.  Private to doc.
 */
#ifndef DOC_NUMBER_H
#define DOC_NUMBER_H

#include "base/buf.h"

/* JSON's grammar, or inf, -inf, nan. */
bool number_is_valid(struct str text);
/* False where most programs could not read it: beyond the largest double, or
 * smaller than 10^-1000000000.  Formats refuse such numbers alike. */
bool number_is_readable(struct str text);
/* "1", "1.0", "10e-1" all become "1"; "-0" becomes "0"; digits stay, with an
 * exponent where the number has more than 21 places. */
void number_canonical(struct buf *out, struct str text);
bool number_eq(struct str a, struct str b);
/* Less than 0, 0 or more than 0 by value; NUMBER_UNORDERED with a nan. */
int number_cmp(struct str a, struct str b);
#define NUMBER_UNORDERED 2
/* Of any size: "1.0" and "1e40" are, "1.5", inf and nan are not. */
bool number_is_integer(struct str text);
/* Integers only, also "1e3"; false beyond 64 bits. */
bool number_to_i64(struct str text, int64_t *out);
bool number_to_u64(struct str text, uint64_t *out);
/* inf, -inf or nan. */
bool number_is_special(struct str text);

struct value;
struct arena;
/* Sorts the keys of an object that a parser filled, and finds one that stands
 * there twice: then false and '*twice'. */
bool value_index(struct arena *arena, struct value *object, struct str *twice);
/* Adds a member to an object that value_index has not seen yet; 'key' is kept
 * and not looked for. */
void value_append(struct arena *arena, struct value *object, struct str key,
		  struct value *v);

#endif
