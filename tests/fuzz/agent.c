/* The agent's file of settings: what is taken has all that the agent needs. */
#include <stdint.h>

#include "edge/edge.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const struct edge_file *f)
{
	must(f->config.n && f->path && f->path[0] == '/');
	must((f->mode & 07000) == 0 && f->timeout_ms >= 100);
	must(!f->signal == !f->pid_file);
	must(!f->check || f->check[0]);
	must(!f->reload || f->reload[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct edge_settings s;
	struct err err;

	if (edge_settings_parse(str_n(data, size), &s, &err)) {
		must(err.text[0] && s.n_sets == 0);
		return 0;
	}
	must(s.endpoints && s.state_dir && s.n_sets);
	for (size_t i = 0; i < s.n_sets; i++) {
		must(s.sets[i].tenant && s.sets[i].n_files);
		for (size_t k = 0; k < s.sets[i].n_files; k++)
			check_file(&s.sets[i].files[k]);
	}
	edge_settings_fini(&s);
	return 0;
}
