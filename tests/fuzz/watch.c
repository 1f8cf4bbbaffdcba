/*
 * What clients say of a watch over WebSocket: what is accepted is within bounds and
 * made of valid addresses and labels.
 */
#include <stdint.h>

#include "api/watch_spec.h"
#include "doc/format.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct watch_spec *spec)
{
	struct err err;

	must(spec->n_keys <= WATCH_KEYS_MAX && spec->n_prefixes <= WATCH_KEYS_MAX);
	must(spec->client.labels.n <= LABELS_MAX);
	for (size_t i = 0; i < spec->n_keys; i++)
		must(address_check(&spec->keys[i], &err) == OK);
	for (size_t i = 0; i < spec->n_prefixes; i++)
		must(spec->prefixes[i].n <= ADDRESS_KEY_MAX);
	for (size_t i = 0; i < spec->client.labels.n; i++)
		must(label_check(spec->client.labels.l[i].key, spec->client.labels.l[i].value,
				 &err) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct watch_spec spec = { 0 };
	struct value *v;
	struct err err = { 0 };

	if (doc_parse_json(str_n(data, size), arena, NULL, &v, &err))
		return 0;
	if (watch_spec_read(&spec, arena, v, &err) == OK)
		look_at(&spec);
	else
		must(err.code == E_INVALID && err.text[0]);
	return 0;
}
