/*
 * The clones of a node: a folder for each source, and one for what is only planned of
 * it.  They are caches, and may go whenever no job is in them.
 */
#ifndef SOURCE_CLONES_H
#define SOURCE_CLONES_H

#include "base/arena.h"
#include "source/source.h"
#include "store/view.h"

struct clones;
struct clones *clones_new(const struct source_settings *settings);
/* Nobody holds one. */
void clones_free(struct clones **clones);

/*
 * <dir>/<ns>-<name>-<32 hex digits>.  Names may have dashes and are cut, so that what
 * is before the digits may be that of two; the digits are of names and url.
 */
struct str clones_path(const struct clones *clones, struct arena *arena, struct str ns,
		       struct str name, struct str url, bool plans);

/* While it is held it is not swept.  Any thread. */
void clones_hold(struct clones *clones, const char *path);
void clones_let_go(struct clones *clones, const char *path);

/* Removes one of too many packs, or bytes in them; the next fetch makes it anew. */
void clones_trim(const struct clones *clones, const char *path);
/* Removes what no source names and nobody holds.  A worker; E_IO. */
enum code clones_sweep(struct clones *clones, struct view *view, struct err *err) MUST_USE;
/* True, once, where a sweep left one that was held and is not any more.  Any thread. */
bool clones_want_sweep(struct clones *clones);

#endif
