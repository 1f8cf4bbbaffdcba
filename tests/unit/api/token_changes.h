/* The store's count of changes of tokens, as it was before the last of them: what a loop
 * sees that looked just before, and takes its picture just behind. */
#ifndef TESTS_API_TOKEN_CHANGES_H
#define TESTS_API_TOKEN_CHANGES_H

#include "store/store.h"

/* What it is now stays what it is, until released. */
void token_changes_hold(const struct store *s);
void token_changes_release(void);

#endif
