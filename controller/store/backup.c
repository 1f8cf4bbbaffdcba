/* Backups of what the store holds. */
#include "store/own.h"

#include "base/banned.h"

bool store_backup(struct store *s, struct rc_backup *backup)
{
	return !atomic_load(&s->is_stopping) && rc_backup(s->node, backup);
}
