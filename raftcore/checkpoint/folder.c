/* The folder of checkpoints: names, leftovers, pruning. */
#include <string.h>

#include "checkpoint/own.h"

#include "base/banned.h"

#define NAMES_MAX 64

void checkpoint_path(struct buf *out, const char *dir,
		     const struct checkpoint_name *name)
{
	buf_printf(out, "%s/%016llx-%016llx.ckpt", dir,
		   (unsigned long long)name->index,
		   (unsigned long long)name->term);
}

static bool hex_of(struct str s, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *digits = "0123456789abcdef";
		const char *d = memchr(digits, s.p[i], 16);

		if (!d)
			return false;
		*out = *out << 4 | (uint64_t)(d - digits);
	}
	return true;
}

static bool name_of(struct str s, struct checkpoint_name *out)
{
	return s.n == 38 && str_ends(s, STR(".ckpt")) && s.p[16] == '-' &&
	       hex_of(str_first(s, 16), &out->index) &&
	       hex_of(str_first(str_from(s, 17), 16), &out->term);
}

static enum code remove_in(struct fs *fs, const char *dir, struct str name,
			   struct err *err)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%.*s", dir, STR_ARG(name));
	return fs->ops->remove(fs, path.p, err);
}

/* Names come sorted, which is oldest first; the newest 'max' stay. */
enum code checkpoint_list(struct fs *fs, const char *dir,
			  struct checkpoint_name *names, size_t max, size_t *n,
			  struct err *err)
{
	AUTO_BUF list = BUF_NONE;
	struct str rest;
	size_t found = 0;
	enum code rc = fs->ops->list(fs, dir, &list, err);

	rest = buf_view(&list);
	while (rc == OK && rest.n) {
		struct str name = str_cut(&rest, '\0');
		struct checkpoint_name at;

		if (str_ends(name, STR(".tmp")))
			rc = remove_in(fs, dir, name, err);
		else if (name_of(name, &at)) {
			size_t last = found < max ? found++ : max - 1;

			memmove(names + 1, names, last * sizeof(*names));
			names[0] = at;
		}
	}
	if (rc == OK)
		*n = found;
	return rc;
}

enum code checkpoint_prune(struct fs *fs, const char *dir, size_t keep,
			   struct err *err)
{
	struct checkpoint_name names[NAMES_MAX];
	size_t n;
	enum code rc = checkpoint_list(fs, dir, names, NAMES_MAX, &n, err);

	for (size_t i = keep; rc == OK && i < n; i++) {
		AUTO_BUF path = BUF_NONE;

		checkpoint_path(&path, dir, &names[i]);
		rc = fs->ops->remove(fs, path.p, err);
	}
	return rc;
}
