/*
 * Manifests and files of a repository: whatever a commit holds is taken or
 * refused with a place, and never ends the process.  The first byte says how
 * the rest is read: 'm' a manifest, 't' a path template and a path (parted by
 * a line break), else a file of the format with that number.
 */
#include <stdint.h>

#include "base/must.h"
#include "source/layout.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum code each(void *data, const struct manifest *m, struct err *err)
{
	if (!m)
		return err->code;
	(void)data;
	(void)err;
	must(m->name.n > 0);
	must(m->kind != KIND_CONFIG || address_check(&m->at, NULL) == OK);
	return OK;
}

static void try_template(struct str rest, struct arena *arena)
{
	struct layout layout;
	struct address at;
	struct str text = str_cut(&rest, '\n');

	if (layout_template(text, arena, &layout, NULL) == OK &&
	    layout_match(&layout, STR("acme"), rest, &at))
		must(address_check(&at, NULL) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool loaded;
	struct doc_limits limits = { 1 << 20, 32, 20000, 100 };
	AUTO_ARENA arena = arena_new(0);
	struct str rest = str_n(data + 1, size - 1);
	struct err err = { 0 };

	if (!loaded)
		must(kinds_load(&err) == OK);
	loaded = true;
	if (size == 0)
		return 0;
	if (data[0] == 'm')
		(void)!layout_manifests(STR("m.yaml"), STR("acme"), rest, arena,
					&limits, each, NULL, &err);
	else if (data[0] == 't')
		try_template(rest, arena);
	else
		(void)!layout_check(STR("f"), data[0] % FORMAT__COUNT, rest,
				    arena, &limits, NULL, &err);
	return 0;
}
