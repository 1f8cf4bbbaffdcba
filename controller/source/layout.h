/*
 * What the files of a repository mean: the layouts `files` (the path says the
 * address) and `manifests` (YAML streams of objects).  Pure; any thread.
 */
#ifndef SOURCE_LAYOUT_H
#define SOURCE_LAYOUT_H

#include "doc/format.h"
#include "model/address.h"
#include "schema/kind.h"

#define LAYOUT_PIECES 16

enum layout_type { LAYOUT_FILES, LAYOUT_MANIFESTS };

enum layout_piece_type { PIECE_TEXT, PIECE_APPLICATION, PIECE_ENVIRONMENT, PIECE_NAME };

struct layout {
	enum layout_type type;
	struct {
		enum layout_piece_type type;
		struct str text;
	} pieces[LAYOUT_PIECES];
	size_t n_pieces;
	struct str path;                 /* MANIFESTS: without '/' at the ends */
};

/* From the spec of a ConfluxSource; strings are copied into 'arena'.  Without
 * layout it is {application}/{environment}/{name}.  E_INVALID. */
enum code layout_of_spec(const struct value *spec, struct arena *arena,
			 struct layout *out, struct err *err) MUST_USE;
/* {application}, {environment} and {name} each once, {name} last, something
 * between them.  E_INVALID. */
enum code layout_template(struct str text, struct arena *arena,
			  struct layout *out, struct err *err) MUST_USE;

/* FILES: the address of 'path' (borrows from it); false: not a configuration. */
bool layout_match(const struct layout *layout, struct str tenant,
		  struct str path, struct address *out);
/* MANIFESTS: is 'path' (from the root of the repository) one of ours? */
bool layout_is_manifest(const struct layout *layout, struct str path);

/* ---- content ---- */

/* Parses 'content' as its format says and refuses references ("{{ x }}").  '*out'
 * (may be NULL) is the tree.  E_UNPROCESSABLE: "<path>: line 3, column 7:
 * reason", whatever went wrong. */
enum code layout_check(struct str path, enum format format, struct str content,
		       struct arena *arena, const struct doc_limits *limits,
		       struct value **out, struct err *err) MUST_USE;

/* One object of a manifest, checked and completed. */
struct manifest {
	enum kind_id kind;
	struct str name;                 /* metadata.name */
	struct str labels, meta, spec;   /* canonical JSON; spec without content */
	/* CONFIG */
	struct address at;
	enum format format;
	bool has_content;
	struct str content;
	uint32_t line;
};

/* Calls 'each' for each document, in order; strings live in 'arena'.  With NULL for one
 * that is invalid, and why in 'err': OK goes on behind it.  E_UNPROCESSABLE as
 * layout_check; else what 'each' answers. */
typedef enum code manifest_cb(void *data, const struct manifest *m,
			      struct err *err);
enum code layout_manifests(struct str path, struct str tenant,
			   struct str content, struct arena *arena,
			   const struct doc_limits *limits, manifest_cb *each,
			   void *data, struct err *err) MUST_USE;

/* ---- objects that paths name ---- */
/* "shop", or by the rule of address_object_name where that is no DNS name. */
struct str layout_application_name(struct arena *arena, struct str application);
/* Completes the object of a kind with defaults, as a manifest without metadata
 * but its name would be; canonical JSON.  E_UNPROCESSABLE. */
enum code layout_default_spec(enum kind_id kind, struct str tenant,
			      struct str name, struct value *spec,
			      struct arena *arena, struct str *out,
			      struct err *err) MUST_USE;

#endif
