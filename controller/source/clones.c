/* Clones: see clones.h. */
#include "source/clones.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "doc/format.h"
#include "source/fetch.h"
#include "state/view.h"
#include "wire/sum.h"

#include "base/banned.h"

/* What is being removed; no source's name begins so. */
#define GONE ".gone-"

struct holding {
	bool is_missed;                  /* by a sweep */
};

struct clones {
	const struct source_settings *settings;
	pthread_mutex_t lock;
	struct map *held;                /* path -> holding; guarded by lock, as this: */
	bool wants_sweep;
};

struct clones *clones_new(const struct source_settings *settings)
{
	struct clones *c = NEW(struct clones);

	c->settings = settings;
	c->held = map_new();
	must(pthread_mutex_init(&c->lock, NULL) == 0);
	return c;
}

void clones_free(struct clones **clones)
{
	struct clones *c = *clones;

	if (!c)
		return;
	must(map_count(c->held) == 0);
	map_free(&c->held);
	pthread_mutex_destroy(&c->lock);
	free(c);
	*clones = NULL;
}

/* A folder's name has up to 255 bytes; names of sources may have 253. */
static struct str folder_of(struct arena *arena, struct str ns, struct str name,
			    struct str url, bool plans)
{
	AUTO_BUF whole = BUF_NONE;
	struct sha256 digest;
	char hex[33];

	wr_str(&whole, ns);
	wr_str(&whole, name);
	wr_str(&whole, url);
	wr_u8(&whole, plans);
	digest = sha256_of(buf_view(&whole));
	hex_text(hex, digest.b, 16);
	return arena_printf(arena, "%.*s-%.*s-%s", STR_ARG(ns),
			    (int)MIN(name.n, (size_t)150), name.p, hex);
}

struct str clones_path(const struct clones *c, struct arena *arena, struct str ns,
		       struct str name, struct str url, bool plans)
{
	return arena_printf(arena, "%s/%.*s", c->settings->dir,
			    STR_ARG(folder_of(arena, ns, name, url, plans)));
}

/* ---- who is in them ---- */

void clones_hold(struct clones *c, const char *path)
{
	pthread_mutex_lock(&c->lock);
	must(!map_put(c->held, str_of(path), NEW(struct holding)));
	pthread_mutex_unlock(&c->lock);
}

void clones_let_go(struct clones *c, const char *path)
{
	struct holding *h;

	pthread_mutex_lock(&c->lock);
	h = map_del(c->held, str_of(path));
	must(h);
	c->wants_sweep |= h->is_missed;
	pthread_mutex_unlock(&c->lock);
	free(h);
}

bool clones_want_sweep(struct clones *c)
{
	bool yes;

	pthread_mutex_lock(&c->lock);
	yes = c->wants_sweep;
	c->wants_sweep = false;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

void clones_trim(const struct clones *c, const char *path)
{
	const struct source_limits *l = &c->settings->limits;
	uint64_t fetch = l->fetch_bytes ? l->fetch_bytes : 1ull << 30;

	(void)!fetch_clone_trim(path, l->packs ? l->packs : 64,
				l->clone_bytes ? l->clone_bytes : 2 * fetch);
}

/* ---- what no source names ---- */

struct naming {
	struct map *names;
	struct arena *arena;
};

static bool on_source(void *data, const struct object_view *o)
{
	struct naming *n = data;
	struct value *spec = NULL;
	struct str url;

	/* What cannot be read names nothing, and is not fetched either. */
	if (doc_parse_json(arena_str(n->arena, o->row.spec), n->arena, NULL, &spec,
			   NULL))
		return true;
	url = value_text_at(spec, "url");
	map_put(n->names, folder_of(n->arena, o->tenant, o->name, url, false), n);
	map_put(n->names, folder_of(n->arena, o->tenant, o->name, url, true), n);
	arena_reset(n->arena);
	return true;
}

static enum code name_all(struct view *view, struct map *names, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct naming n = { names, arena };
	struct kv_txn *txn;
	enum code rc = view_use(view, 0, &txn, err);

	if (rc == OK)
		rc = view_list(txn, KIND_SOURCE, STR_NONE, STR_NONE, STR_NONE,
			       on_source, &n, err);
	/* Removing takes its time, and no picture is held over it. */
	view_idle(view);
	return rc;
}

/* Under another name nobody comes in any more, however long removing takes. */
static bool take_away(struct clones *c, const char *path, const char *gone)
{
	struct holding *h;
	bool yes;

	pthread_mutex_lock(&c->lock);
	h = map_get(c->held, str_of(path));
	if (h)
		h->is_missed = true;
	yes = !h && rename(path, gone) == 0;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

static enum code remove_one(struct clones *c, const char *name, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF gone = BUF_NONE;
	enum code rc;

	buf_printf(&path, "%s/%s", c->settings->dir, name);
	buf_printf(&gone, "%s/" GONE "%s", c->settings->dir, name);
	/* What was cut off before. */
	(void)!fetch_clone_trim(gone.p, 0, 0);
	rc = failpoint_hit(FP_CLONE_RENAME, err);
	if (rc || !take_away(c, path.p, gone.p))
		return rc;
	log_info("source", LOG_KV(log_z("folder", name)),
		 "a clone that no source names is removed");
	rc = failpoint_hit(FP_CLONE_REMOVE, err);
	if (rc)
		return rc;
	if (!fetch_clone_trim(gone.p, 0, 0))
		return err_sys(err, errno, "remove %s", gone.p);
	return OK;
}

static enum code sweep(struct clones *c, const struct map *names, DIR *d,
		       struct err *err)
{
	enum code rc = OK;
	struct dirent *e;

	while (rc == OK && (e = readdir(d))) {
		AUTO_BUF path = BUF_NONE;
		struct str name = str_of(e->d_name);

		buf_printf(&path, "%s/%s", c->settings->dir, e->d_name);
		if (str_starts(name, STR(GONE)))
			(void)!fetch_clone_trim(path.p, 0, 0);
		else if (name.p[0] != '.' && !map_get(names, name))
			rc = remove_one(c, e->d_name, err);
	}
	return rc;
}

enum code clones_sweep(struct clones *c, struct view *view, struct err *err)
{
	struct map *names = map_new();
	enum code rc = name_all(view, names, err);
	DIR *d = rc ? NULL : opendir(c->settings->dir);

	if (d)
		rc = sweep(c, names, d, err);
	else if (rc == OK && errno != ENOENT)
		rc = err_sys(err, errno, "list %s", c->settings->dir);
	if (d)
		closedir(d);
	map_free(&names);
	return rc;
}
