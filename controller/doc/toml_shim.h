/*
 * Between toml_shim.cc and toml.c: plain C types only, because the headers of ours
 * are C and not C++.  Private to doc.
 */
#ifndef DOC_TOML_SHIM_H
#define DOC_TOML_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOML_SHIM_NUMBER = 2, TOML_SHIM_STRING = 3, TOML_SHIM_TIME = 4 };

struct toml_limits {
	unsigned depth_max;
	size_t nodes_max;
};

struct toml_place {
	uint32_t line, column;
	char reason[300];
};

/* NULL: refused, and '*place' says why. */
void *toml_shim_parse(const char *text, size_t n, void *arena,
		      const struct toml_limits *limits,
		      struct toml_place *place);

/* Implemented in toml.c. */
void *toml_make_text(void *arena, int type, const char *p, size_t n);
void *toml_make_bool(void *arena, bool b);
void *toml_make_object(void *arena);
void *toml_make_array(void *arena);
void toml_add_member(void *arena, void *object, const char *key, size_t n,
		     void *item);
void toml_end_object(void *arena, void *object);
void toml_add_item(void *arena, void *array, void *item);
void toml_set_place(void *v, uint32_t line, uint32_t column);

#endif
