/* The simulated disk: see disk.h. */
#include "io/sim/disk.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"

#include "base/banned.h"

struct inode {
	struct inode *next;
	struct buf live, durable;
};

struct file {
	struct file *next;
	struct inode *inode;
	unsigned flags;
};

struct name {
	char *path;
	struct inode *inode;
};

struct names {
	struct name *v;
	size_t n, cap;
};

/* A change of names: 'del' goes, 'set' comes; both where it is a rename. */
struct change {
	char *del, *set;
	struct inode *inode;
};

struct disk {
	struct fs fs;
	struct prng prng;
	struct inode *inodes;            /* all there ever were */
	struct file *files;              /* open */
	struct names live, durable, folders;
	struct change *journal;          /* not durable yet, in order */
	size_t n_journal, cap_journal;
	uint64_t steps, crash_at;
	unsigned errors;
	bool is_down, lies, is_full, rots;
};

static struct disk *disk_of(struct fs *fs)
{
	return container_of(fs, struct disk, fs);
}

static char *text_dup(const char *s)
{
	return mem_dup(s, strlen(s));
}

/* ---- names ---- */

static size_t name_at(const struct names *names, const char *path)
{
	for (size_t i = 0; i < names->n; i++)
		if (str_eq(str_of(names->v[i].path), str_of(path)))
			return i;
	return SIZE_MAX;
}

static void name_del(struct names *names, const char *path)
{
	size_t i = name_at(names, path);

	if (i == SIZE_MAX)
		return;
	free(names->v[i].path);
	names->v[i] = names->v[--names->n];
}

static void name_set(struct names *names, const char *path, struct inode *inode)
{
	name_del(names, path);
	mem_grow((void **)&names->v, &names->cap, names->n + 1,
		 sizeof(*names->v));
	names->v[names->n++] = (struct name){ text_dup(path), inode };
}

static void names_reset(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i].path);
	names->n = 0;
}

static bool is_in(const char *path, const char *folder)
{
	struct str p = str_of(path), f = str_of(folder);

	return str_starts(p, f) && p.n > f.n && p.p[f.n] == '/' &&
		str_find(str_from(p, f.n + 1), '/') == SIZE_MAX;
}

static void change_apply(struct names *names, const struct change *c)
{
	if (c->del)
		name_del(names, c->del);
	if (c->set)
		name_set(names, c->set, c->inode);
}

static void change_free(struct change *c)
{
	free(c->del);
	free(c->set);
}

static void change(struct disk *d, const char *del, const char *set,
		   struct inode *inode)
{
	struct change *c;

	mem_grow((void **)&d->journal, &d->cap_journal, d->n_journal + 1,
		 sizeof(*d->journal));
	c = &d->journal[d->n_journal++];
	*c = (struct change){ del ? text_dup(del) : NULL, set ? text_dup(set) : NULL,
			      inode };
	change_apply(&d->live, c);
}

/* ---- steps ---- */

/* Counts a step; E_IO, E_FULL: it fails.  '*torn': the machine goes down in the
 * middle of it. */
static enum code step(struct disk *d, enum failpoint fp, const char *path,
		      bool *torn, struct err *err)
{
	*torn = false;
	if (d->is_down)
		return err_set(err, E_IO, "%s: the machine is down", path);
	d->steps++;
	if (d->steps == d->crash_at) {
		d->is_down = *torn = true;
		return err_set(err, E_IO, "%s: the machine goes down", path);
	}
	if (d->errors && prng_chance(&d->prng, d->errors))
		return err_set(err, E_IO, "%s: input/output error", path);
	if (failpoint_hit(fp, err))
		return err_wrap(err, "%s", path);
	return OK;
}

static void put(struct buf *b, uint64_t at, const char *p, size_t n)
{
	if (b->n < at + n) {
		size_t old = b->n;

		buf_extend(b, at + n - old);
		memset(b->p + old, 0, at + n - old);
	}
	memcpy(b->p + at, p, n);
}

/* Blocks that differ from what is durable survive or not: of a power loss, and of
 * a sync that failed, after which a system calls them clean all the same. */
static void lose_blocks(struct disk *d, struct inode *inode)
{
	for (size_t at = 0; at < inode->live.n; at += FILE_BLOCK) {
		size_t n = MIN(inode->live.n - at, (size_t)FILE_BLOCK);
		struct str old = str_first(str_from(buf_view(&inode->durable),
						    at), n);

		if (!str_eq(old, str_n(inode->live.p + at, n)) &&
		    prng_chance(&d->prng, 500000))
			put(&inode->durable, at, inode->live.p + at, n);
	}
	buf_reset(&inode->live);
	buf_str(&inode->live, buf_view(&inode->durable));
}

/* ---- the operations ---- */

static enum code sim_open(struct fs *fs, const char *path, unsigned flags,
			  struct file **out, struct err *err)
{
	struct disk *d = disk_of(fs);
	size_t i = name_at(&d->live, path);
	struct inode *inode;
	struct file *file;
	enum code rc;
	bool torn;

	if (d->is_down)
		return err_set(err, E_IO, "%s: the machine is down", path);
	if (i != SIZE_MAX && failpoint_hit(FP_FILE_OPEN, err))
		return err_wrap(err, "open %s", path);
	if (i != SIZE_MAX && flags & FILE_CREATE && flags & FILE_EXCLUSIVE)
		return err_set(err, E_EXISTS, "%s: there is one", path);
	if (i == SIZE_MAX && !(flags & FILE_CREATE))
		return err_set(err, E_NOT_FOUND, "%s: no such file", path);
	if (i == SIZE_MAX) {
		rc = step(d, FP_FILE_OPEN, path, &torn, err);
		if (rc == OK && d->is_full)
			rc = err_set(err, E_FULL, "%s: no room", path);
		if (rc)
			return rc;
		inode = NEW(struct inode);
		inode->next = d->inodes;
		d->inodes = inode;
		change(d, NULL, path, inode);
	} else {
		inode = d->live.v[i].inode;
	}
	file = NEW(struct file);
	file->inode = inode;
	file->flags = flags;
	file->next = d->files;
	d->files = file;
	*out = file;
	return OK;
}

static void sim_close(struct fs *fs, struct file *file)
{
	struct disk *d = disk_of(fs);
	struct file **at = &d->files;

	while (*at != file) {
		must(*at);
		at = &(*at)->next;
	}
	*at = file->next;
	free(file);
}

static enum code sim_read(struct fs *fs, struct file *file, uint64_t at, void *p,
			  size_t n, size_t *got, struct err *err)
{
	struct str rest = str_from(buf_view(&file->inode->live), at);

	if (disk_of(fs)->is_down)
		return err_set(err, E_IO, "read: the machine is down");
	if (failpoint_hit(FP_FILE_READ, err))
		return err_wrap(err, "read");
	*got = MIN(n, rest.n);
	if (*got)
		memcpy(p, rest.p, *got);
	return OK;
}

/* Each block of a write that failed, or that the power failed under, is there or
 * not. */
static void tear(struct disk *d, struct file *file, uint64_t at, const char *p,
		 size_t n)
{
	while (n) {
		size_t k = MIN(n, FILE_BLOCK - at % FILE_BLOCK);

		if (prng_chance(&d->prng, 500000)) {
			put(&file->inode->live, at, p, k);
			/* Of a process that dies, it is seen; of the power, it
			 * may be gone. */
			if (file->flags & FILE_DURABLE &&
			    prng_chance(&d->prng, 500000))
				put(&file->inode->durable, at, p, k);
		}
		at += k;
		p += k;
		n -= k;
	}
}

static enum code sim_write(struct fs *fs, struct file *file, uint64_t at,
			   const void *p, size_t n, struct err *err)
{
	struct disk *d = disk_of(fs);
	bool torn, was_down = d->is_down;
	enum code rc = step(d, FP_FILE_WRITE, "write", &torn, err);

	must(file->flags & FILE_WRITE);
	/* A write that fails may have been done in part. */
	if (rc && !was_down)
		tear(d, file, at, p, n);
	if (rc == OK && d->is_full && at + n > file->inode->live.n)
		rc = err_set(err, E_FULL, "write: no room");
	if (rc)
		return rc;
	put(&file->inode->live, at, p, n);
	if (d->rots && n)
		file->inode->live.p[at + prng_below(&d->prng, MIN(n, 64u))] ^= 1;
	d->rots = false;
	if (file->flags & FILE_DURABLE)
		put(&file->inode->durable, at, file->inode->live.p + at, n);
	return OK;
}

static enum code sim_sync(struct fs *fs, struct file *file, struct err *err)
{
	struct disk *d = disk_of(fs);
	struct inode *inode = file->inode;
	bool torn;
	enum code rc = step(d, FP_FILE_SYNC, "sync", &torn, err);

	if (rc && !torn && !d->is_down)
		lose_blocks(d, inode);
	if (rc || d->lies)
		return rc;
	buf_reset(&inode->durable);
	buf_str(&inode->durable, buf_view(&inode->live));
	return OK;
}

static enum code sim_size(struct fs *fs, struct file *file, uint64_t *out,
			  struct err *err)
{
	if (failpoint_hit(FP_FILE_SIZE, err))
		return err_wrap(err, "stat");
	*out = file->inode->live.n;
	return OK;
}

static enum code sim_shrink(struct fs *fs, struct file *file, uint64_t n,
			    struct err *err)
{
	bool torn;
	enum code rc = step(disk_of(fs), FP_FILE_SHRINK, "shorten", &torn, err);

	must(file->flags & FILE_WRITE);
	if (rc == OK)
		buf_cut(&file->inode->live, MIN(n, file->inode->live.n));
	return rc;
}

static uint64_t sim_room(struct fs *fs, const char *path)
{
	return disk_of(fs)->is_full ? 0 : UINT64_MAX;
}

static bool sim_is_direct(struct fs *fs, struct file *file)
{
	return true;
}

static enum code sim_rename(struct fs *fs, const char *from, const char *to,
			    struct err *err)
{
	struct disk *d = disk_of(fs);
	size_t i = name_at(&d->live, from);
	bool torn;
	enum code rc;

	if (i == SIZE_MAX)
		return err_set(err, E_NOT_FOUND, "%s: no such file", from);
	rc = step(d, FP_FILE_RENAME, from, &torn, err);
	if (rc == OK)
		change(d, from, to, d->live.v[i].inode);
	return rc;
}

static enum code sim_remove(struct fs *fs, const char *path, struct err *err)
{
	struct disk *d = disk_of(fs);
	bool torn;
	enum code rc;

	if (name_at(&d->live, path) == SIZE_MAX)
		return err_set(err, E_NOT_FOUND, "%s: no such file", path);
	rc = step(d, FP_FILE_REMOVE, path, &torn, err);
	if (rc == OK)
		change(d, path, NULL, NULL);
	return rc;
}

static enum code sim_make_dir(struct fs *fs, const char *path, struct err *err)
{
	struct disk *d = disk_of(fs);

	if (d->is_down)
		return err_set(err, E_IO, "%s: the machine is down", path);
	if (failpoint_hit(FP_FILE_MAKE_DIR, err))
		return err_wrap(err, "make folder %s", path);
	if (name_at(&d->folders, path) == SIZE_MAX)
		name_set(&d->folders, path, NULL);
	return OK;
}

static enum code sim_sync_dir(struct fs *fs, const char *path, struct err *err)
{
	struct disk *d = disk_of(fs);
	size_t kept = 0;
	bool torn;
	enum code rc = step(d, FP_FILE_SYNC_DIR, path, &torn, err);

	if (rc || d->lies)
		return rc;
	for (size_t i = 0; i < d->n_journal; i++) {
		struct change *c = &d->journal[i];

		if (is_in(c->set ? c->set : c->del, path)) {
			change_apply(&d->durable, c);
			change_free(c);
		} else {
			d->journal[kept++] = *c;
		}
	}
	d->n_journal = kept;
	return OK;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static enum code sim_list(struct fs *fs, const char *path, struct buf *names,
			  struct err *err)
{
	struct disk *d = disk_of(fs);
	size_t n = 0, skip = strlen(path) + 1;
	const char **found;

	if (failpoint_hit(FP_FILE_LIST, err))
		return err_wrap(err, "list %s", path);
	found = mem_alloc((d->live.n + 1) * sizeof(*found));
	for (size_t i = 0; i < d->live.n; i++)
		if (is_in(d->live.v[i].path, path))
			found[n++] = d->live.v[i].path;
	qsort(found, n, sizeof(*found), by_text);
	for (size_t i = 0; i < n; i++)
		buf_add(names, found[i] + skip, strlen(found[i]) + 1 - skip);
	free(found);
	if (n == 0 && name_at(&d->folders, path) == SIZE_MAX)
		return err_set(err, E_NOT_FOUND, "%s: no such folder", path);
	return OK;
}

/* ---- life ---- */

struct disk *disk_new(uint64_t seed)
{
	static const struct fs_ops ops = {
		.open = sim_open, .close = sim_close, .read = sim_read,
		.write = sim_write, .sync = sim_sync, .size = sim_size,
		.shrink = sim_shrink, .room = sim_room,
		.is_direct = sim_is_direct, .rename = sim_rename,
		.remove = sim_remove, .make_dir = sim_make_dir,
		.sync_dir = sim_sync_dir, .list = sim_list,
	};
	struct disk *d = NEW(struct disk);

	d->fs.ops = &ops;
	prng_init(&d->prng, seed);
	return d;
}

static void forget_journal(struct disk *d, size_t from)
{
	for (size_t i = from; i < d->n_journal; i++)
		change_free(&d->journal[i]);
	d->n_journal = from;
}

static void close_files(struct disk *d)
{
	while (d->files)
		sim_close(&d->fs, d->files);
}

void disk_free(struct disk **dp)
{
	struct disk *d = *dp;

	if (!d)
		return;
	*dp = NULL;
	close_files(d);
	forget_journal(d, 0);
	names_reset(&d->live);
	names_reset(&d->durable);
	names_reset(&d->folders);
	free(d->live.v);
	free(d->durable.v);
	free(d->folders.v);
	free(d->journal);
	for (struct inode *i = d->inodes, *next; i; i = next) {
		next = i->next;
		buf_fini(&i->live);
		buf_fini(&i->durable);
		free(i);
	}
	free(d);
}

struct fs *disk_fs(struct disk *d)
{
	return &d->fs;
}

uint64_t disk_steps(const struct disk *d)
{
	return d->steps;
}

void disk_crash_at(struct disk *d, uint64_t at)
{
	d->crash_at = at;
}

bool disk_is_down(const struct disk *d)
{
	return d->is_down;
}

void disk_set_errors(struct disk *d, unsigned per_million)
{
	d->errors = per_million;
}

void disk_set_lies(struct disk *d, bool lies)
{
	d->lies = lies;
}

void disk_rot_next(struct disk *d, bool rots)
{
	d->rots = rots;
}

void disk_set_full(struct disk *d, bool is_full)
{
	d->is_full = is_full;
}

bool disk_damage(struct disk *d, const char *path, uint64_t at)
{
	size_t i = name_at(&d->live, path);
	struct inode *inode = i == SIZE_MAX ? NULL : d->live.v[i].inode;

	if (!inode || at >= inode->live.n || at >= inode->durable.n)
		return false;
	inode->live.p[at] ^= 0x40;
	inode->durable.p[at] ^= 0x40;
	return true;
}

void disk_power_loss(struct disk *d)
{
	size_t kept = (size_t)prng_below(&d->prng, d->n_journal + 1);

	close_files(d);
	for (size_t i = 0; i < kept; i++)
		change_apply(&d->durable, &d->journal[i]);
	forget_journal(d, 0);
	names_reset(&d->live);
	for (size_t i = 0; i < d->durable.n; i++)
		name_set(&d->live, d->durable.v[i].path, d->durable.v[i].inode);
	for (struct inode *i = d->inodes; i; i = i->next)
		lose_blocks(d, i);
	d->is_down = false;
	d->crash_at = 0;
}

void disk_kill(struct disk *d)
{
	close_files(d);
	d->is_down = false;
	d->crash_at = 0;
}
