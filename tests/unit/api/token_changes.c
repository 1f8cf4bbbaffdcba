/* See token_changes.h; the linker sends all calls here. */
#include "token_changes.h"

#include "base/banned.h"

uint64_t __real_store_token_changes(const struct store *s);
uint64_t __wrap_store_token_changes(const struct store *s);

static bool is_held;
static uint64_t held;

void token_changes_hold(const struct store *s)
{
	held = __real_store_token_changes(s);
	is_held = true;
}

void token_changes_release(void)
{
	is_held = false;
}

uint64_t __wrap_store_token_changes(const struct store *s)
{
	return is_held ? held : __real_store_token_changes(s);
}
