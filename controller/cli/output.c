/* Tables, JSON and YAML on standard output. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "doc/format.h"

#include "base/banned.h"

#define CELL_MAX 60              /* of a table; wide shows all */

/* ---- what others wrote ---- */

/* Characters that a terminal obeys (C0, C1, DEL), or that turn what stands around them:
 * embeddings, overrides and isolates of directions, separators of lines. */
static bool is_plain(uint32_t c)
{
	return c >= ' ' && !(c >= 0x7f && c <= 0x9f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2066 && c <= 0x2069);
}

/* The first character and its bytes.  What is no UTF-8 is one of its number: some
 * terminals read a single byte so. */
static uint32_t first_of(struct str s, size_t *bytes)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned char lead = (unsigned char)s.p[0];
	size_t n = str_utf8_len(s);
	uint32_t c = n ? lead & mask[n] : lead;

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	*bytes = MAX(n, (size_t)1);
	return c;
}

void text_plain(struct buf *out, struct str s, bool is_one_line)
{
	size_t bytes;

	for (; s.n; s = str_from(s, bytes)) {
		uint32_t c = first_of(s, &bytes);
		bool is_good = is_plain(c) && (c < 0x80 || bytes > 1);

		if (is_good || (!is_one_line && (c == '\n' || c == '\t')))
			buf_str(out, str_first(s, bytes));
		else if (c == '\n' || c == '\t' || c == '\r')
			buf_c(out, ' ');
		else
			buf_printf(out, "\\u%04x", (unsigned)c);
	}
}

enum code out_raw(struct str bytes, struct err *err)
{
	if (fwrite(bytes.p ? bytes.p : "", 1, bytes.n, stdout) == bytes.n &&
	    fflush(stdout) == 0)
		return OK;
	return err_sys(err, errno, "standard output");
}

enum code out_write(struct str text, struct err *err)
{
	AUTO_BUF plain = BUF_NONE;

	text_plain(&plain, text, false);
	return out_raw(buf_view(&plain), err);
}

void note(const char *format, ...)
{
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF plain = BUF_NONE;
	va_list args;

	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	text_plain(&plain, buf_view(&text), true);
	fprintf(stderr, "%.*s\n", STR_ARG(buf_view(&plain)));
}

void error_print(const char *word, const struct err *err)
{
	note("conflux: %s%s", word, err->text);
	if (err->hint[0])
		note("  hint: %s", err->hint);
}

bool out_is_value(const struct cli *cli)
{
	return cli->output == OUT_JSON || cli->output == OUT_YAML;
}

enum code out_value(const struct cli *cli, const struct value *v,
		    struct err *err)
{
	AUTO_BUF out = BUF_NONE;

	/* YAML has its own way to write them; in JSON they stand in strings alone. */
	if (cli->output == OUT_YAML) {
		value_yaml(&out, v);
		return out_raw(buf_view(&out), err);
	}
	value_json_pretty(&out, v);
	return out_write(buf_view(&out), err);
}

enum code out_names(const struct cli *cli, const struct value *list,
		    const char *member, struct err *err)
{
	AUTO_BUF out = BUF_NONE;

	for (size_t i = 0; i < value_count(list); i++) {
		buf_str(&out, text_of(cli->arena, value_get(list->a.items[i],
							    str_of(member))));
		buf_c(&out, '\n');
	}
	return out_write(buf_view(&out), err);
}

struct str text_of(struct arena *arena, const struct value *v)
{
	AUTO_BUF out = BUF_NONE;

	if (!v || v->type == VALUE_NULL)
		return STR("");
	if (v->type == VALUE_STRING)
		return v->s;
	value_json(&out, v);
	return arena_str(arena, buf_view(&out));
}

/* ---- tables ---- */

void table_init(struct table *t, struct arena *arena, size_t columns)
{
	*t = (struct table){ .arena = arena, .columns = columns };
}

void table_add(struct table *t, struct str cell)
{
	AUTO_BUF plain = BUF_NONE;

	t->cells = arena_grow(t->arena, t->cells, &t->cap, t->n + 1,
			      sizeof(*t->cells));
	text_plain(&plain, cell, true);
	t->cells[t->n++] = arena_str(t->arena, buf_view(&plain));
}

/* Characters as a terminal shows them. */
static size_t width(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

enum code table_print(const struct table *t, struct err *err)
{
	AUTO_BUF out = BUF_NONE;
	size_t *widths = arena_zero(t->arena, t->columns * sizeof(*widths));

	for (size_t i = 0; i < t->n; i++)
		widths[i % t->columns] = MAX(widths[i % t->columns],
					     width(t->cells[i]));
	for (size_t i = 0; i < t->n; i++) {
		size_t column = i % t->columns;

		buf_str(&out, t->cells[i]);
		if (column + 1 == t->columns) {
			while (out.n && out.p[out.n - 1] == ' ')
				buf_cut(&out, out.n - 1);
			buf_c(&out, '\n');
			continue;
		}
		for (size_t n = width(t->cells[i]); n < widths[column] + 3; n++)
			buf_c(&out, ' ');
	}
	return out_write(buf_view(&out), err);
}

enum code out_members(const struct cli *cli, const struct value *v,
		      struct err *err)
{
	struct table t;

	if (out_is_value(cli))
		return out_value(cli, v, err);
	table_init(&t, cli->arena, 2);
	for (size_t i = 0; i < v->o.n; i++) {
		table_add(&t, v->o.m[i].key);
		table_add(&t, text_of(cli->arena, v->o.m[i].value));
	}
	return table_print(&t, err);
}

/* ---- objects ---- */

static struct str upper(struct arena *arena, struct str s)
{
	char *p = arena_z(arena, s);

	for (size_t i = 0; i < s.n; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] -= 'a' - 'A';
	return str_n(p, s.n);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

struct str text_short(struct arena *arena, struct str text)
{
	AUTO_BUF out = BUF_NONE;
	size_t run = 0;

	for (size_t i = 0; i < text.n; i++) {
		run = is_hex(text.p[i]) ? run + 1 : 0;
		buf_c(&out, text.p[i]);
		/* An object id of Git, whole: the first 12 tell enough. */
		if (run == 40 && (i + 1 == text.n || !is_hex(text.p[i + 1])))
			buf_cut(&out, out.n - 28);
	}
	if (out.n > CELL_MAX) {
		size_t n = CELL_MAX - 3;

		while (n && ((unsigned char)out.p[n] & 0xc0) == 0x80)
			n--;
		buf_cut(&out, n);
		buf_z(&out, "...");
	}
	return arena_str(arena, buf_view(&out));
}

static struct str cell(const struct cli *cli, const struct kind_column *column,
		       const struct value *object, uint64_t now)
{
	AUTO_BUF json = BUF_NONE;
	struct str text;

	kind_cell_json(column, object, now, &json);
	text = buf_view(&json);
	if (str_is(text, "null"))
		return STR("");
	if (text.n >= 2 && text.p[0] == '"') {
		struct value *v = NULL;

		(void)!doc_parse_json(text, cli->arena, NULL, &v, NULL);
		text = value_text(v);
	}
	return cli->output == OUT_WIDE ? arena_str(cli->arena, text) :
		text_short(cli->arena, text);
}

static struct str age(const struct cli *cli, const struct value *object,
		      uint64_t now)
{
	uint64_t made;
	char text[16];

	if (!clock_parse_rfc3339(value_text_at(object,
					"metadata.creationTimestamp"), &made))
		return STR("");
	clock_age(text, now > made ? now - made : 0);
	return arena_str(cli->arena, str_of(text));
}

static bool is_shown(const struct cli *cli, const struct kind_column *column)
{
	return column->priority == 0 || cli->output == OUT_WIDE;
}

static enum code print_names(const struct kind *kind,
			     struct value *const *objects, size_t n,
			     struct err *err)
{
	AUTO_BUF out = BUF_NONE;

	for (size_t i = 0; i < n; i++) {
		buf_str(&out, kind->singular);
		buf_z(&out, "." API_GROUP "/");
		buf_str(&out, value_text_at(objects[i], "metadata.name"));
		buf_c(&out, '\n');
	}
	return out_write(buf_view(&out), err);
}

enum code out_objects(const struct cli *cli, const struct kind *kind,
		      struct value *const *objects, size_t n, bool is_list,
		      const struct value *whole, struct err *err)
{
	bool tenants = kind->namespaced && cli_has(cli, FLAG_ALL);
	uint64_t now = clock_wall_ms();
	size_t columns = 2 + tenants;
	struct table t;

	if (out_is_value(cli))
		return out_value(cli, is_list ? whole : objects[0], err);
	if (cli->output == OUT_NAME)
		return print_names(kind, objects, n, err);
	for (size_t c = 0; c < kind->n_columns; c++)
		columns += is_shown(cli, &kind->columns[c]);
	table_init(&t, cli->arena, columns);
	if (tenants)
		table_add(&t, STR("TENANT"));
	table_add(&t, STR("NAME"));
	for (size_t c = 0; c < kind->n_columns; c++)
		if (is_shown(cli, &kind->columns[c]))
			table_add(&t, upper(cli->arena, kind->columns[c].name));
	table_add(&t, STR("AGE"));
	for (size_t i = 0; i < n; i++) {
		if (tenants)
			table_add(&t, value_text_at(objects[i],
						    "metadata.namespace"));
		table_add(&t, value_text_at(objects[i], "metadata.name"));
		for (size_t c = 0; c < kind->n_columns; c++)
			if (is_shown(cli, &kind->columns[c]))
				table_add(&t, cell(cli, &kind->columns[c],
						   objects[i], now));
		table_add(&t, age(cli, objects[i], now));
	}
	return table_print(&t, err);
}
