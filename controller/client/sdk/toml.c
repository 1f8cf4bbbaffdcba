/*
 * TOML 1.0 as JSON: see doc.h.
 *
 * The text is read into a tree, because tables come in any order, and the tree is
 * written as JSON.  Each table knows how it was made, which decides who may add to it:
 * a header may go through any but an inline one and may name again what other headers
 * went through; a dotted key may go through what dotted keys and headers went through.
 *
 * Numbers keep their digits.  What JSON has not is a text: dates and times in one
 * spelling (RFC 3339), inf and nan.
 */
#include "client/sdk/toml.h"

#include <stdio.h>

#include "base/banned.h"

/* ---- the tree ---- */

enum cfx_code toml_refuse(struct toml *t, const char *why)
{
	unsigned line = 1, column = 1;

	for (const char *p = t->start; p < t->p; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	return cfx_fail(t->error, CFX_E_PARSE, "line %u, column %u: %s", line, column,
			why);
}

static uint64_t hash_of(const struct toml *t, uint32_t parent, struct str key)
{
	return doc_hash_key(t->seed ^ (parent + 1) * 0x9e3779b97f4a7c15u, key);
}

static struct str key_of(const struct toml *t, const struct node *n)
{
	return n->key_n ? str_n(t->names.p + n->key, n->key_n) : STR("");
}

/* NODE_NONE: there is none. */
static uint32_t find(const struct toml *t, uint32_t parent, struct str key)
{
	uint64_t hash = hash_of(t, parent, key);
	size_t at = 0;
	uint32_t *id;

	while ((id = table_next(&t->by_key, hash, &at))) {
		const struct node *n = &t->nodes[*id];

		if (n->parent == parent && str_eq(key, key_of(t, n)))
			return *id;
	}
	return NODE_NONE;
}

/* The last member of 'parent'; of a table with a key. */
static enum cfx_code add(struct toml *t, uint32_t parent, const struct str *key,
			 enum made made, uint32_t *out)
{
	uint32_t id = (uint32_t)t->n_nodes;
	struct node *n, *of;

	if (!heap_more(t->heap, (void **)&t->nodes, &t->cap_nodes, id, sizeof(*n)))
		return cfx_no_memory(t->error);
	n = &t->nodes[id];
	*n = (struct node){ .parent = parent, .made = made, .first = NODE_NONE,
			    .last = NODE_NONE, .next = NODE_NONE, .depth = 1 };
	if (parent != NODE_NONE) {
		of = &t->nodes[parent];
		n->depth = of->depth + 1;
		if (made != MADE_SCALAR && n->depth > DOC_DEPTH_MAX)
			return toml_refuse(t, "too deep");
		if (of->last == NODE_NONE)
			of->first = id;
		else
			t->nodes[of->last].next = id;
		of->last = id;
	}
	t->n_nodes++;
	*out = id;
	if (!key)
		return CFX_OK;
	n->key = (uint32_t)t->names.n;
	n->key_n = (uint32_t)key->n;
	return bytes_add(t->heap, &t->names, *key) &&
	       table_add(t->heap, &t->by_key, hash_of(t, parent, *key), id) ?
		       CFX_OK : cfx_no_memory(t->error);
}

/* ---- between ---- */

static void skip_space(struct toml *t)
{
	while (*t->p == ' ' || *t->p == '\t')
		t->p++;
}

/* False: there is none. */
static bool skip_newline(struct toml *t)
{
	if (t->p[0] == '\r' && t->p[1] == '\n')
		t->p++;
	if (*t->p != '\n')
		return false;
	t->p++;
	return true;
}

static enum cfx_code skip_comment(struct toml *t)
{
	if (*t->p != '#')
		return CFX_OK;
	while (t->p < t->end && *t->p != '\n' && !(t->p[0] == '\r' && t->p[1] == '\n')) {
		if (toml_is_control(*t->p))
			return toml_refuse(t, "a control character in a comment");
		t->p++;
	}
	return CFX_OK;
}

static enum cfx_code end_line(struct toml *t)
{
	enum cfx_code rc;

	skip_space(t);
	rc = skip_comment(t);
	if (rc)
		return rc;
	if (t->p == t->end || skip_newline(t))
		return CFX_OK;
	return toml_refuse(t, "the end of the line is expected here");
}

/* Between the values of an array. */
static enum cfx_code skip_lines(struct toml *t)
{
	enum cfx_code rc;

	do {
		skip_space(t);
		rc = skip_comment(t);
		if (rc)
			return rc;
	} while (skip_newline(t));
	return CFX_OK;
}

/* ---- keys ---- */

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* The next part of a key into t->part; '*is_last': no dot is behind it. */
static enum cfx_code key_part(struct toml *t, bool *is_last)
{
	const char *from;
	enum cfx_code rc = CFX_OK;

	skip_space(t);
	from = t->p;
	if (*t->p == '"' || *t->p == '\'') {
		rc = toml_string(t, false);
	} else {
		while (is_bare(*t->p))
			t->p++;
		t->part.n = 0;
		if (t->p == from)
			return toml_refuse(t, "a key is expected here");
		if (!bytes_add(t->heap, &t->part, str_n(from, (size_t)(t->p - from))))
			return cfx_no_memory(t->error);
	}
	if (rc)
		return rc;
	skip_space(t);
	*is_last = *t->p != '.';
	t->p += !*is_last;
	return CFX_OK;
}

static enum cfx_code twice(struct toml *t)
{
	return cfx_fail(t->error, CFX_E_PARSE, "the key \"%.*s\" stands twice in a "
			"table", (int)MIN(t->part.n, (size_t)100), t->part.p);
}

/* ---- values ---- */

static enum cfx_code value(struct toml *t, uint32_t parent, const struct str *key);

static enum cfx_code array(struct toml *t, uint32_t at)
{
	bool wants_comma = false;

	for (t->p++;; wants_comma = !wants_comma) {
		enum cfx_code rc = skip_lines(t);

		if (rc)
			return rc;
		if (*t->p == ']') {
			t->p++;
			return CFX_OK;
		}
		if (!wants_comma) {
			rc = value(t, at, NULL);
			if (rc)
				return rc;
		} else if (*t->p++ != ',') {
			t->p--;
			return toml_refuse(t, "a comma or an end is expected here");
		}
	}
}

static enum cfx_code pair(struct toml *t, uint32_t table);

static enum cfx_code inline_table(struct toml *t, uint32_t at)
{
	t->p++;
	skip_space(t);
	if (*t->p == '}') {
		t->p++;
		return CFX_OK;
	}
	for (;;) {
		enum cfx_code rc = pair(t, at);

		if (rc)
			return rc;
		skip_space(t);
		if (*t->p == '}') {
			t->p++;
			return CFX_OK;
		}
		if (*t->p != ',')
			return toml_refuse(t, "a comma or an end is expected here");
		t->p++;
	}
}

static enum cfx_code scalar(struct toml *t, uint32_t at)
{
	size_t from = t->values.n;
	enum cfx_code rc;

	if (*t->p == '"' || *t->p == '\'') {
		rc = toml_string(t, true);
		if (rc == CFX_OK &&
		    !sdk_json(t->heap, &t->values, bytes_view(&t->part)))
			rc = cfx_no_memory(t->error);
	} else {
		rc = toml_plain(t);
	}
	if (rc == CFX_OK && t->values.n > UINT32_MAX)
		rc = cfx_fail(t->error, CFX_E_TOO_LARGE, "content of more than 4 GiB as "
			      "JSON");
	t->nodes[at].value = (uint32_t)from;
	t->nodes[at].value_n = (uint32_t)(t->values.n - from);
	return rc;
}

static enum cfx_code value(struct toml *t, uint32_t parent, const struct str *key)
{
	enum made made = *t->p == '[' ? MADE_ARRAY : *t->p == '{' ? MADE_INLINE :
								    MADE_SCALAR;
	uint32_t at;
	enum cfx_code rc = add(t, parent, key, made, &at);

	if (rc)
		return rc;
	return made == MADE_ARRAY ? array(t, at) :
	       made == MADE_INLINE ? inline_table(t, at) : scalar(t, at);
}

/* Through 'table' by the part that was read, of a dotted key. */
static enum cfx_code go_dotted(struct toml *t, uint32_t *table)
{
	struct str part = bytes_view(&t->part);
	uint32_t to = find(t, *table, part);

	if (to == NODE_NONE)
		return add(t, *table, &part, MADE_DOTTED, table);
	if (t->nodes[to].made != MADE_DOTTED && t->nodes[to].made != MADE_IMPLICIT)
		return twice(t);
	*table = to;
	return CFX_OK;
}

static enum cfx_code pair(struct toml *t, uint32_t table)
{
	bool is_last = false;
	struct str part;
	enum cfx_code rc;

	for (;;) {
		rc = key_part(t, &is_last);
		if (rc == CFX_OK && is_last)
			break;
		if (rc == CFX_OK)
			rc = go_dotted(t, &table);
		if (rc)
			return rc;
	}
	part = bytes_view(&t->part);
	if (find(t, table, part) != NODE_NONE)
		return twice(t);
	if (*t->p != '=')
		return toml_refuse(t, "a key and '=' are expected here");
	t->p++;
	skip_space(t);
	return value(t, table, &part);
}

/* ---- headers ---- */

static enum cfx_code go_header(struct toml *t, uint32_t *table)
{
	struct str part = bytes_view(&t->part);
	uint32_t to = find(t, *table, part);

	if (to == NODE_NONE)
		return add(t, *table, &part, MADE_IMPLICIT, table);
	switch (t->nodes[to].made) {
	case MADE_SCALAR:
	case MADE_ARRAY:
	case MADE_INLINE:
		return twice(t);
	case MADE_TABLES:
		*table = t->nodes[to].last;
		return CFX_OK;
	default:
		*table = to;
		return CFX_OK;
	}
}

static enum cfx_code begin_table(struct toml *t, uint32_t *table)
{
	struct str part = bytes_view(&t->part);
	uint32_t to = find(t, *table, part);

	if (to == NODE_NONE)
		return add(t, *table, &part, MADE_HEADER, table);
	if (t->nodes[to].made != MADE_IMPLICIT)
		return twice(t);
	t->nodes[to].made = MADE_HEADER;
	*table = to;
	return CFX_OK;
}

static enum cfx_code begin_element(struct toml *t, uint32_t *table)
{
	struct str part = bytes_view(&t->part);
	uint32_t to = find(t, *table, part);
	enum cfx_code rc = CFX_OK;

	if (to == NODE_NONE)
		rc = add(t, *table, &part, MADE_TABLES, &to);
	else if (t->nodes[to].made != MADE_TABLES)
		return twice(t);
	return rc ? rc : add(t, to, NULL, MADE_HEADER, table);
}

static enum cfx_code header(struct toml *t, uint32_t *table)
{
	bool is_element = t->p[1] == '[', is_last = false;
	enum cfx_code rc;

	t->p += is_element ? 2 : 1;
	*table = 0;
	while (!is_last) {
		rc = key_part(t, &is_last);
		if (rc == CFX_OK && !is_last)
			rc = go_header(t, table);
		if (rc)
			return rc;
	}
	rc = is_element ? begin_element(t, table) : begin_table(t, table);
	if (rc)
		return rc;
	for (unsigned i = 0; i <= is_element; i++)
		if (*t->p++ != ']') {
			t->p--;
			return toml_refuse(t, "a ']' is expected here");
		}
	return CFX_OK;
}

static enum cfx_code document(struct toml *t)
{
	uint32_t table;
	enum cfx_code rc = add(t, NODE_NONE, NULL, MADE_HEADER, &table);

	while (rc == CFX_OK && t->p < t->end) {
		skip_space(t);
		if (*t->p == '[')
			rc = header(t, &table);
		else if (*t->p != '#' && *t->p != '\n' && *t->p != '\r' &&
			 t->p < t->end)
			rc = pair(t, table);
		if (rc == CFX_OK)
			rc = end_line(t);
	}
	return rc;
}

/* ---- writing ---- */

static bool is_array(const struct node *n)
{
	return n->made == MADE_ARRAY || n->made == MADE_TABLES;
}

static bool put_begin(struct toml *t, const struct node *n, struct bytes *out)
{
	const struct node *of = n->parent == NODE_NONE ? NULL : &t->nodes[n->parent];

	if (of && !is_array(of) &&
	    (!sdk_json(t->heap, out, key_of(t, n)) ||
	     !bytes_add(t->heap, out, STR(":"))))
		return false;
	if (n->made == MADE_SCALAR)
		return bytes_add(t->heap, out, str_n(t->values.p + n->value,
						     n->value_n));
	return bytes_add(t->heap, out, is_array(n) ? STR("[") : STR("{"));
}

static bool put_end(struct toml *t, const struct node *n, struct bytes *out)
{
	if (n->made == MADE_SCALAR)
		return true;
	return bytes_add(t->heap, out, is_array(n) ? STR("]") : STR("}"));
}

static bool put_tree(struct toml *t, struct bytes *out)
{
	const struct node *n = &t->nodes[0];
	bool good = put_begin(t, n, out);

	while (good) {
		if (n->first != NODE_NONE) {
			n = &t->nodes[n->first];
			good = put_begin(t, n, out);
			continue;
		}
		good = put_end(t, n, out);
		while (good && n->next == NODE_NONE && n->parent != NODE_NONE) {
			n = &t->nodes[n->parent];
			good = put_end(t, n, out);
		}
		if (!good || n->parent == NODE_NONE)
			break;
		n = &t->nodes[n->next];
		good = bytes_add(t->heap, out, STR(",")) && put_begin(t, n, out);
	}
	return good;
}

enum cfx_code toml_to_json(const heap *heap, struct str text, uint64_t seed,
			   struct bytes *out, struct cfx_error *error)
{
	struct toml t = { .heap = heap, .error = error, .seed = seed,
			  .start = text.p, .p = text.p, .end = text.p + text.n };
	enum cfx_code rc;

	if (sdk_starts(text, STR("\xef\xbb\xbf")))
		t.p += 3;
	rc = document(&t);
	if (rc == CFX_OK && !put_tree(&t, out))
		rc = cfx_no_memory(error);
	heap_release(heap, t.nodes);
	/* Content may be secret. */
	heap_wipe(heap, t.names.p, t.names.cap);
	heap_wipe(heap, t.values.p, t.values.cap);
	heap_wipe(heap, t.part.p, t.part.cap);
	table_fini(heap, &t.by_key);
	return rc;
}
