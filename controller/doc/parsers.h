/*
 * The parsers behind format.c: one file each.  Text was checked for size and
 * UTF-8.  Private to doc.
 */
#ifndef DOC_PARSERS_H
#define DOC_PARSERS_H

#include "doc/format.h"

#define NUMBER_UNREADABLE "a number beyond what programs can read"

/* "line 3, column 7: reason", or the reason alone where line is 0; E_PARSE. */
enum code parse_error(struct err *err, struct doc_place *place, uint32_t line,
		      uint32_t column, const char *reason);
/* The same for the byte 'at' of 'text'. */
enum code parse_error_at(struct err *err, struct doc_place *place,
			 struct str text, size_t at, const char *reason);

/* On error '*out' is not written. */
typedef enum code doc_parser(struct str text, struct arena *arena,
			     const struct doc_limits *limits, struct value **out,
			     struct doc_place *place, struct err *err);

doc_parser json_parse;
doc_parser yaml_parse;
doc_parser yaml_parse_stream;
doc_parser toml_parse;

/*
 * True where UTF-8 text 'text' is JSON without a doubt: jansson would take it too, but for
 * keys that stand twice.  False says nothing (deep, exponents, long numbers, escapes
 * beyond the simple ones).
 */
bool json_is_plain(struct str text);
/*
 * A plain YAML scalar by the core schema (YAML 1.2, section 10.3.2): fills type
 * and content of 'v'; what is nothing else is a string, whose bytes are
 * copied.  NULL: done; else why it is refused.
 */
const char *yaml_core(struct arena *arena, struct str s, struct value *v);

#endif
