/* Damage: see damage.h. */
#include "damage.h"

#include <stdio.h>

#include "wal/inspect.h"
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

/* ---- the log ---- */

struct chosen {
	struct damaged_log *out;
	uint64_t n, which;               /* records seen; which is wanted */
};

static enum code choose(void *data, const struct wal_seen_record *r, struct err *err)
{
	struct chosen *c = data;

	if (c->n++ != c->which)
		return OK;
	snprintf(c->out->path, sizeof(c->out->path), "%s", r->path);
	c->out->from = r->offset;
	c->out->to = r->offset + (uint64_t)r->blocks * FILE_BLOCK;
	return OK;
}

bool damage_log(struct disk *disk, const char *dir, uint64_t pick,
		struct damaged_log *out)
{
	struct wal_inspect_config config = { .fs = disk_fs(disk), .dir = dir };
	struct chosen c = { out, 0, UINT64_MAX };
	struct wal_visitor v = { .record = choose, .data = &c };
	struct wal_inspected is;
	struct err err;

	*out = (struct damaged_log){ 0 };
	if (wal_inspect(&config, &v, &is, &err) || is.records == 0 || is.damaged)
		return false;
	c = (struct chosen){ out, 0, pick % is.records };
	if (wal_inspect(&config, &v, &is, &err) || !out->path[0])
		return false;
	pick /= is.records;
	if (pick % 16 == 0)
		out->from = out->to = 0;
	pick /= 16;
	/* Of a header what all have; of a record any byte of its blocks. */
	out->at = out->from + pick % (out->to ? out->to - out->from : 64);
	if (disk_damage(disk, out->path, out->at))
		return true;
	out->path[0] = '\0';
	return false;
}

bool damage_is_said(const struct damaged_log *d, struct str text)
{
	struct str rest = str_of(d->path);
	struct str said = STR(": damaged at ");
	uint64_t at = 0;

	if (!str_starts(text, rest))
		return false;
	text = str_from(text, rest.n);
	if (!str_starts(text, said))
		return false;
	text = str_from(text, said.n);
	while (text.n && text.p[0] >= '0' && text.p[0] <= '9') {
		at = at * 10 + (uint64_t)(text.p[0] - '0');
		text = str_from(text, 1);
	}
	return d->to ? at >= d->from && at < d->to : at == 0;
}
