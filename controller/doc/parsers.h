/*
 * The parsers behind format.c: one file each.  Text was checked for size and
 * UTF-8.  Private to doc.
 */
#ifndef DOC_PARSERS_H
#define DOC_PARSERS_H

#include "doc/format.h"

#ifdef __cplusplus
extern "C" {
#endif

enum code parse_error(struct err *err, struct doc_place *place, uint32_t line,
		      uint32_t column, const char *reason);

typedef enum code doc_parser(struct str text, struct arena *arena,
			     const struct doc_limits *limits,
			     struct value **out, struct doc_place *place,
			     struct err *err);

doc_parser json_parse;
doc_parser yaml_parse;
doc_parser yaml_parse_stream;
doc_parser toml_parse;

#ifdef __cplusplus
}
#endif

#endif
