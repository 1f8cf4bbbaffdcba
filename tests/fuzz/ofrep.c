/*
 * Flags: whatever configuration and context there are, the answers are JSON, and a
 * flag that all together tell is told alike alone.
 *
 * The input is a configuration and, behind a NUL, a context.
 */
#include <stdint.h>

#include "api/ofrep_flag.h"
#include "doc/format.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void labels(struct arena *arena, struct str text)
{
	struct labels labels = { 0 };
	unsigned ignored = 0;
	struct value *v;
	struct err err;

	if (doc_parse_json(text, arena, NULL, &v, &err))
		return;
	flag_context_labels(arena, v, &labels, &ignored);
	must(labels.n <= LABELS_MAX);
	must(labels.n + ignored == (v->type == VALUE_OBJECT ? v->o.n : 0));
	for (size_t i = 0; i < labels.n; i++)
		must(label_check(labels.l[i].key, labels.l[i].value, &err) == OK);
}

static struct value *all_of(struct arena *arena, const struct flag_set *set)
{
	AUTO_BUF out = BUF_NONE;
	struct value *v;
	struct err err = { 0 };

	flag_set_json(&out, set, "STATIC", 1);
	must(doc_parse_json(buf_view(&out), arena, NULL, &v, &err) == OK ||
	     err.code == E_TOO_LARGE);
	return err.code ? NULL : value_getz(v, "flags");
}

static void one(struct arena *arena, const struct flag_set *set, struct str key,
		const struct value *told)
{
	const struct value *flag = flag_find(set, key);
	AUTO_BUF out = BUF_NONE;
	struct flag_result res;
	struct value *v;
	struct err err;

	must(flag);
	flag_evaluate(flag, "STATIC", &res);
	must(!res.error || (!res.value && res.details[0]));
	flag_json(&out, key, &res, set, 1);
	must(doc_parse_json(buf_view(&out), arena, NULL, &v, &err) == OK);
	must(value_eq(v, told));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct str context = str_n(data, size);
	struct str config = str_cut(&context, '\0');
	const struct value *all;
	struct flag_set set;
	struct value *root;
	struct err err;

	labels(arena, context);
	if (doc_parse_json(config, arena, NULL, &root, &err) ||
	    flag_set_of(root, &set, &err))
		return 0;
	flag_find(&set, context);
	all = all_of(arena, &set);
	for (size_t i = 0; i < MIN(value_count(all), (size_t)20); i++)
		one(arena, &set, value_text_at(all->a.items[i], "key"),
		    all->a.items[i]);
	return 0;
}
