/* Damage: see damage.h. */
#include "damage.h"

#include "wal/vote.h"

#include "base/banned.h"

bool damage_newest(struct disk *disk, const char *dir, uint64_t floor,
		   uint64_t at)
{
	struct fs *fs = disk_fs(disk);
	uint64_t newest = 0, before = 0;
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF path = BUF_NONE;
	struct str rest;

	if (fs->ops->list(fs, dir, &names, NULL))
		return false;
	for (rest = buf_view(&names); rest.n;) {
		struct str name = str_cut(&rest, '\0');

		if (!str_ends(name, STR(".meta")))
			continue;
		before = newest;
		must(str_u64(str_first(name, 20), &newest));
		buf_reset(&path);
		buf_printf(&path, "%s/%.*s.ckpt", dir, (int)name.n - 5, name.p);
	}
	return before && before >= floor && disk_damage(disk, path.p, at);
}

bool damage_vote(struct disk *disk, const char *dir, unsigned which, uint64_t at)
{
	struct fs *fs = disk_fs(disk);
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF other = BUF_NONE;
	AUTO_BUF bytes = BUF_NONE;
	struct vote v;

	buf_printf(&path, "%s/vote.%u", dir, which);
	buf_printf(&other, "%s/vote.%u", dir, !which);
	return vote_read(fs, dir, &v, NULL) == OK && !v.damaged &&
	       fs_get(fs, other.p, &bytes, NULL) == OK &&
	       disk_damage(disk, path.p, at);
}
