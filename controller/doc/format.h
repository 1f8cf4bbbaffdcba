/*
 * Formats of configuration: one row of formats.tbl and one file each.
 *
 * Parsing never trusts its input: bytes, depth, nodes and YAML aliases are
 * bounded, duplicate keys, bytes that are not UTF-8 and trailing garbage are
 * refused, and each error names line, column and reason.  Pure; any thread.
 */
#ifndef DOC_FORMAT_H
#define DOC_FORMAT_H

#include "doc/value.h"

/* FORMAT(ident, "name", "extensions", "content type", structured) */
enum format {
#define FORMAT(ident, name, ext, type, structured) FORMAT_##ident,
#include "doc/formats.tbl"
#undef FORMAT
	FORMAT__COUNT
};

struct doc_limits {
	size_t bytes_max;	/* 8 MiB */
	unsigned depth_max;	/* 64 */
	size_t nodes_max;	/* 1,000,000, also after alias expansion */
	unsigned documents_max; /* 1,000 in one YAML stream */
};
extern const struct doc_limits doc_limits_default;

struct doc_place {
	uint32_t line, column; /* from 1; 0 unknown */
};

const char *format_name(enum format f); /* "json" */
const char *format_content_type(enum format f);
bool format_is_structured(enum format f);
bool format_parse_name(struct str name, enum format *out);
/* By extension of a path ("a/b.toml"); unknown means text. */
enum format format_of_path(struct str path);

/* One value out of 'text'.  Text format gives one string value (bytes that
 * are not UTF-8 are allowed there).  On error err reads "line 3, column 7:
 * reason" and '*place' (may be NULL) holds the position.  NULL limits: the
 * default.  E_PARSE, E_TOO_LARGE. */
enum code doc_parse(enum format f, struct str text, struct arena *arena,
		    const struct doc_limits *limits, struct value **out,
		    struct doc_place *place, struct err *err) MUST_USE;
/* A YAML stream ("---" separated; JSON is YAML): an array of the documents,
 * empty ones left out. */
enum code doc_parse_stream(struct str text, struct arena *arena,
			   const struct doc_limits *limits, struct value **array,
			   struct doc_place *place, struct err *err) MUST_USE;
/* JSON only, the way request bodies come. */
enum code doc_parse_json(struct str text, struct arena *arena,
			 const struct doc_limits *limits, struct value **out,
			 struct err *err) MUST_USE;

#endif
