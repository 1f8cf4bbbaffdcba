/*
 * The settings loader: each place turns what it holds into (setting, text,
 * origin), and one function checks and keeps it.  Later calls win, so the order
 * of places is the order of calls in settings_load.  Everything lives in the
 * arena of the object; a failed load leaves an object only to be freed.
 */
#include "tbl/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "doc/format.h"

#include "base/banned.h"

#define FILE_BYTES_MAX (1u << 20)

static const struct row {
	const char *section, *name, *key, *def, *least, *most, *unit, *help;
	enum setting_type type;
} rows[] = {
#define SETTING(s, n, t, d, lo, hi, u, h) \
	{ #s, #n, #s "." #n, d, lo, hi, u, h, SETTING_##t },
#include "tbl/settings.tbl"
#undef SETTING
};

static const char *const type_names[] = {
	[SETTING_STRING] = "string",	 [SETTING_PATH] = "path",
	[SETTING_U64] = "number",	 [SETTING_BYTES] = "bytes",
	[SETTING_DURATION] = "duration", [SETTING_BOOL] = "bool",
	[SETTING_LIST] = "list",	 [SETTING_HOSTS] = "hosts",
	[SETTING_ENUM] = "enum",
};

static const struct alias {
	const char *flag;
	enum setting id;
} aliases[] = {
	{ "data-dir", SETTING_storage_data_dir },
	{ "listen", SETTING_server_listen },
	{ "node-id", SETTING_cluster_node_id },
	{ "raft-listen", SETTING_cluster_raft_listen },
	{ "peers", SETTING_cluster_peers },
	{ "bootstrap-expect", SETTING_cluster_bootstrap_expect },
};

/* Flags that set nothing. */
static const char *const others[] = { "config", "check-config", "help",
				      "version" };

struct setting_value {
	const char *text, *origin;
	uint64_t n;
	const char **items;
	size_t n_items, cap_items;
	bool flagged;
};

struct settings {
	struct arena *arena;
	enum settings_ask ask;
	const char *config;
	struct setting_value v[SETTING__COUNT];
};

/* ---- names ---- */

/* "server.loops" as "server-loops" or "SERVER_LOOPS". */
static void spell(char *out, size_t cap, const char *key, char joint, bool upper)
{
	size_t i;

	must(strlen(key) < cap);
	for (i = 0; key[i]; i++) {
		char c = key[i];

		if (c == '.' || c == '_')
			c = joint;
		out[i] = upper ? (char)toupper((unsigned char)c) : c;
	}
	out[i] = 0;
}

static bool find_spelled(struct str name, char joint, bool upper,
			 enum setting *out)
{
	char s[64];
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++) {
		spell(s, sizeof(s), rows[i].key, joint, upper);
		if (str_eq(name, str_of(s))) {
			*out = (enum setting)i;
			return true;
		}
	}
	return false;
}

static bool find_key(struct str section, struct str name, enum setting *out)
{
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++)
		if (str_eq(section, str_of(rows[i].section)) &&
		    str_eq(name, str_of(rows[i].name))) {
			*out = (enum setting)i;
			return true;
		}
	return false;
}

static bool is_section(struct str s)
{
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++)
		if (str_eq(s, str_of(rows[i].section)))
			return true;
	return false;
}

struct guess {
	struct str given;
	char best[64];
	size_t far;
};

static void guess_try(struct guess *g, const char *name)
{
	size_t far = str_distance(g->given, str_of(name));

	if (far < g->far) {
		g->far = far;
		str_copy(g->best, sizeof(g->best), str_of(name));
	}
}

/* Adds the hint where a guess is near; returns the error's code. */
static enum code guess_hint(const struct guess *g, const char *before,
			    struct err *err, enum code rc)
{
	if (g->far <= 3)
		err_hint(err, "did you mean %s%s?", before, g->best);
	else
		err_hint(err, "docs/settings.md lists all settings");
	return rc;
}

#define GUESS(of) { .given = (of), .far = SIZE_MAX }

static enum code unknown_key(struct str section, struct str name,
			     struct err *err)
{
	struct guess g = GUESS(name);
	char before[32];
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++)
		if (str_eq(section, str_of(rows[i].section)))
			guess_try(&g, rows[i].name);
	snprintf(before, sizeof(before), "%.*s.", STR_ARG(section));
	return guess_hint(&g, before, err,
			  err_set(err, E_INVALID, "%.*s.%.*s is no setting",
				  STR_ARG(section), STR_ARG(name)));
}

static enum code unknown_section(struct str section, struct err *err)
{
	struct guess g = GUESS(section);
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++)
		guess_try(&g, rows[i].section);
	return guess_hint(&g, "", err,
			  err_set(err, E_INVALID, "%.*s is no section",
				  STR_ARG(section)));
}

static enum code unknown_spelled(struct str name, const char *prefix,
				 char joint, bool upper, enum code code,
				 struct err *err)
{
	struct guess g = GUESS(name);
	char s[64];
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++) {
		spell(s, sizeof(s), rows[i].key, joint, upper);
		guess_try(&g, s);
	}
	for (i = 0; !upper && i < ARRAY_LEN(aliases); i++)
		guess_try(&g, aliases[i].flag);
	for (i = 0; !upper && i < ARRAY_LEN(others); i++)
		guess_try(&g, others[i]);
	return guess_hint(&g, prefix, err,
			  err_set(err, code, "%s%.*s is unknown", prefix,
				  STR_ARG(name)));
}

/* ---- values ---- */

static bool parse_number(enum setting_type type, struct str text, uint64_t *out)
{
	if (type == SETTING_BYTES)
		return str_bytes(text, out);
	if (type == SETTING_DURATION)
		return str_duration_ms(text, out);
	return str_u64(text, out);
}

static enum code check_number(const struct row *r, struct str text,
			      uint64_t *out, struct err *err)
{
	uint64_t least, most;
	const char *why;

	must(parse_number(r->type, str_of(r->least), &least));
	must(parse_number(r->type, str_of(r->most), &most));
	if (!parse_number(r->type, text, out))
		why = "is not of this type";
	else if (*out < least)
		why = "is too small";
	else if (*out > most)
		why = "is too large";
	else
		return OK;
	err_set(err, E_INVALID, "%s: '%.*s' %s (%s)", r->key,
		(int)MIN(text.n, (size_t)64), text.p, why, type_names[r->type]);
	return err_hint(err, "allowed: %s to %s", r->least, r->most);
}

static enum code check_bool(const struct row *r, struct str text,
			    uint64_t *out, struct err *err)
{
	bool b;

	if (!str_bool(text, &b)) {
		err_set(err, E_INVALID, "%s: '%.*s' is not of this type (bool)",
			r->key, (int)MIN(text.n, (size_t)64), text.p);
		return err_hint(err, "allowed: true or false");
	}
	*out = b;
	return OK;
}

static enum code check_enum(const struct row *r, struct str text,
			    uint64_t *out, struct err *err)
{
	struct str words = str_of(r->unit);
	uint64_t i;

	for (i = 0; words.p; i++)
		if (str_eq(str_cut(&words, '|'), text)) {
			*out = i;
			return OK;
		}
	err_set(err, E_INVALID, "%s: '%.*s' is none of its words", r->key,
		(int)MIN(text.n, (size_t)64), text.p);
	return err_hint(err, "allowed: %s", r->unit);
}

static bool is_list(const struct row *r)
{
	return r->type == SETTING_LIST || r->type == SETTING_HOSTS;
}

static char separator(const struct row *r)
{
	return r->type == SETTING_LIST ? ':' : ',';
}

static void split_list(struct settings *s, struct setting_value *v, char by,
		       struct str text)
{
	while (text.p) {
		struct str item = str_cut(&text, by);

		/* Paths may begin and end as they like. */
		if (by == ',')
			item = str_trim(item);
		if (item.n == 0)
			continue;
		v->items = arena_grow(s->arena, v->items, &v->cap_items,
				      v->n_items + 1, sizeof(*v->items));
		v->items[v->n_items++] = arena_z(s->arena, item);
	}
}

/* Whether what stands behind the colon of each is a port. */
static enum code check_hosts(const struct row *r, const struct setting_value *v,
			     struct err *err)
{
	for (size_t i = 0; i < v->n_items; i++) {
		struct str host = str_of(v->items[i]);
		size_t colon = str_rfind(host, ':');
		uint64_t port;

		if (colon == SIZE_MAX || host.p[host.n - 1] == ']')
			continue;
		if (colon && str_u64(str_from(host, colon + 1), &port) && port > 0 &&
		    port < 65536)
			continue;
		err_set(err, E_INVALID, "%s: '%s' is no host, and no host and port",
			r->key, v->items[i]);
		return err_hint(err, "hosts are separated by commas");
	}
	return OK;
}

/* Checks 'text' and makes it the value of 'id'. */
static enum code set(struct settings *s, enum setting id, struct str text,
		     const char *origin, struct err *err)
{
	const struct row *r = &rows[id];
	struct setting_value v = { .flagged = s->v[id].flagged };
	enum code rc = OK;

	if (str_find(text, 0) != SIZE_MAX)
		return err_set(err, E_INVALID, "%s: holds a NUL byte", r->key);
	switch (r->type) {
	case SETTING_U64:
	case SETTING_BYTES:
	case SETTING_DURATION:
		rc = check_number(r, text, &v.n, err);
		break;
	case SETTING_BOOL:
		rc = check_bool(r, text, &v.n, err);
		break;
	case SETTING_ENUM:
		rc = check_enum(r, text, &v.n, err);
		break;
	case SETTING_LIST:
	case SETTING_HOSTS:
		split_list(s, &v, separator(r), text);
		if (r->type == SETTING_HOSTS)
			rc = check_hosts(r, &v, err);
		break;
	case SETTING_STRING:
	case SETTING_PATH:
		break;
	}
	if (rc)
		return rc;
	v.text = arena_z(s->arena, text);
	v.origin = origin;
	s->v[id] = v;
	return OK;
}

struct settings *settings_new(void)
{
	struct settings *s = NEW(struct settings);
	size_t i;

	s->arena = arena_new(0);
	for (i = 0; i < SETTING__COUNT; i++)
		must(set(s, (enum setting)i, str_of(rows[i].def), "default",
			 NULL) == OK);
	return s;
}

void settings_free(struct settings **settings)
{
	struct settings *s = *settings;

	if (!s)
		return;
	arena_free(&s->arena);
	free(s);
	*settings = NULL;
}

/* ---- the file ---- */

struct config_file {
	const char *path;
	struct str text;
};

/* A value of block style stands below its key, so the line of a section is
 * looked for in the text. */
static uint32_t section_line(const struct config_file *f,
			     const struct member *m)
{
	struct str rest = f->text;
	uint32_t n;

	for (n = 1; rest.p; n++) {
		struct str line = str_cut(&rest, '\n');

		if (str_starts(line, m->key) && line.n > m->key.n &&
		    line.p[m->key.n] == ':')
			return n;
	}
	return m->value->line;
}

/* The text of a scalar, or of a list joined by what separates it. */
static enum code file_text(const struct value *v, enum setting id,
			   struct buf *out, struct err *err)
{
	char by = separator(&rows[id]);
	size_t i;

	if (v->type == VALUE_BOOL) {
		buf_z(out, v->b ? "true" : "false");
		return OK;
	}
	if (v->type == VALUE_STRING || v->type == VALUE_NUMBER) {
		buf_str(out, v->s);
		return OK;
	}
	if (v->type != VALUE_ARRAY || !is_list(&rows[id]))
		return err_set(err, E_INVALID, "%s: takes a %s, not a value of type %s",
			       rows[id].key, type_names[rows[id].type],
			       value_type_name(v->type));
	for (i = 0; i < v->a.n; i++) {
		const struct value *item = v->a.items[i];

		if (item->type != VALUE_STRING ||
		    str_find(item->s, by) != SIZE_MAX)
			return err_set(err, E_INVALID,
				       "%s: items are strings without a %s",
				       rows[id].key, by == ':' ? "colon" : "comma");
		if (i)
			buf_c(out, by);
		buf_str(out, item->s);
	}
	return OK;
}

static enum code file_member(struct settings *s, const struct config_file *f,
			     struct str section, const struct member *m,
			     struct err *err)
{
	AUTO_BUF text = BUF_NONE;
	enum setting id;
	const char *origin;
	enum code rc;

	if (!find_key(section, m->key, &id)) {
		rc = unknown_key(section, m->key, err);
	} else {
		origin = arena_printf(s->arena, "%s:%u", f->path,
				      m->value->line).p;
		rc = file_text(m->value, id, &text, err);
		if (!rc)
			rc = set(s, id, buf_view(&text), origin, err);
	}
	return rc ? err_wrap(err, "%s: line %u", f->path, m->value->line) : OK;
}

static enum code file_section(struct settings *s, const struct config_file *f,
			      const struct member *m, struct err *err)
{
	enum code rc = OK;
	size_t i;

	if (!is_section(m->key))
		rc = unknown_section(m->key, err);
	else if (m->value->type == VALUE_NULL)
		return OK;
	else if (m->value->type != VALUE_OBJECT)
		rc = err_set(err, E_INVALID, "section %.*s holds no settings",
			     STR_ARG(m->key));
	if (rc)
		return err_wrap(err, "%s: line %u", f->path, section_line(f, m));
	for (i = 0; i < m->value->o.n; i++) {
		rc = file_member(s, f, m->key, &m->value->o.m[i], err);
		if (rc)
			return rc;
	}
	return OK;
}

static enum code read_file(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return err_sys(err, errno, "%s", path);
	n = fread(buf_extend(out, FILE_BYTES_MAX + 1), 1, FILE_BYTES_MAX + 1, f);
	buf_cut(out, n);
	if (ferror(f)) {
		int e = errno;

		fclose(f);
		return err_sys(err, e, "%s", path);
	}
	fclose(f);
	if (n > FILE_BYTES_MAX)
		return err_set(err, E_TOO_LARGE, "%s: larger than 1 MiB", path);
	return OK;
}

static enum code load_file(struct settings *s, const char *path,
			   struct err *err)
{
	AUTO_BUF text = BUF_NONE;
	struct config_file f = { .path = path };
	struct value *root;
	enum code rc;
	size_t i;

	rc = read_file(path, &text, err);
	if (rc)
		return rc;
	f.text = buf_view(&text);
	if (str_trim(f.text).n == 0)
		return OK;
	rc = doc_parse(FORMAT_YAML, f.text, s->arena, NULL, &root, NULL, err);
	if (rc)
		return err_wrap(err, "%s", path);
	if (root->type == VALUE_NULL)
		return OK;
	if (root->type != VALUE_OBJECT)
		return err_set(err, E_INVALID, "%s: line %u: holds no sections",
			       path, root->line);
	for (i = 0; i < root->o.n; i++) {
		rc = file_section(s, &f, &root->o.m[i], err);
		if (rc)
			return rc;
	}
	return OK;
}

/* ---- the environment ---- */

/* CONFLUX_SERVER and CONFLUX_TOKEN are the client's; only a name that begins
 * with a whole section is held to be a setting. */
static bool looks_like_setting(struct str name)
{
	char lower[32];
	struct str section = str_cut(&name, '_');
	size_t i;

	if (!name.p || section.n >= sizeof(lower))
		return false;
	for (i = 0; i < section.n; i++)
		lower[i] = (char)tolower((unsigned char)section.p[i]);
	return is_section(str_n(lower, section.n));
}

/* Behind a mark of those below; 'value' of the variable. */
static bool ends_service(struct str mark, struct str rest, struct str value)
{
	if (str_is(mark, "_SERVICE_HOST"))
		return rest.n == 0;
	if (str_is(mark, "_SERVICE_PORT"))
		return rest.n == 0 || rest.p[0] == '_';
	return rest.n == 0 ? str_find_str(value, STR("://")) != SIZE_MAX :
			     rest.n > 1 && rest.p[0] == '_' &&
				     isdigit((unsigned char)rest.p[1]);
}

/* Kubernetes puts variables of each Service of a namespace into its containers, and one
 * may be named conflux-server: CONFLUX_SERVER_SERVICE_HOST, ..._SERVICE_PORT_HTTP,
 * ..._PORT=tcp://..., ..._PORT_80_TCP_ADDR. */
static bool is_of_service(struct str name, struct str value)
{
	static const char *const marks[] = { "_SERVICE_HOST", "_SERVICE_PORT", "_PORT" };

	for (struct str at = name; at.n; at = str_from(at, 1))
		for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
			struct str mark = str_of(marks[i]);

			if (str_starts(at, mark) &&
			    ends_service(mark, str_from(at, mark.n), value))
				return true;
		}
	return false;
}

static enum code load_variable(struct settings *s, struct str var,
			       struct err *err)
{
	struct str all = str_cut(&var, '=');
	struct str name = str_from(all, strlen("CONFLUX_"));
	const char *origin;
	enum setting id;

	if (!str_starts(all, STR("CONFLUX_")) || !looks_like_setting(name))
		return OK;
	if (!find_spelled(name, '_', true, &id))
		return is_of_service(name, var) ? OK :
			unknown_spelled(name, "CONFLUX_", '_', true, E_INVALID, err);
	origin = arena_z(s->arena, all);
	if (set(s, id, var, origin, err))
		return err_wrap(err, "%s", origin);
	return OK;
}

static enum code load_env(struct settings *s, char *const *env, struct err *err)
{
	enum code rc = OK;

	for (; env && *env && !rc; env++)
		rc = load_variable(s, str_of(*env), err);
	return rc;
}

static const char *env_config(char *const *env)
{
	static const char name[] = "CONFLUX_CONFIG=";

	for (; env && *env; env++)
		if (strncmp(*env, name, sizeof(name) - 1) == 0 &&
		    (*env)[sizeof(name) - 1])
			return *env + sizeof(name) - 1;
	return NULL;
}

/* ---- flags ---- */

/* Walks over argv; a flag is its name, and a value after = or in the next. */
struct flags {
	int argc, at;
	char *const *argv;
	struct str name;
	const char *value;
};

static bool flags_next(struct flags *f)
{
	const char *arg, *eq;

	if (++f->at >= f->argc)
		return false;
	arg = f->argv[f->at];
	eq = strchr(arg, '=');
	f->name = eq ? str_n(arg, (size_t)(eq - arg)) : str_of(arg);
	f->value = eq ? eq + 1 : NULL;
	return true;
}

static bool find_flag(struct str name, enum setting *out)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_eq(name, str_of(aliases[i].flag))) {
			*out = aliases[i].id;
			return true;
		}
	return find_spelled(name, '-', false, out);
}

static enum code flags_value(struct flags *f, struct err *err)
{
	struct str name = str_from(f->name, 2);
	enum setting id;

	if (!f->value && f->at + 1 < f->argc)
		f->value = f->argv[++f->at];
	if (f->value)
		return OK;
	if (!str_is(f->name, "--config") && !find_flag(name, &id))
		return unknown_spelled(name, "--", '-', false, E_USAGE, err);
	return err_set(err, E_USAGE, "%.*s: a value is missing",
		       STR_ARG(f->name));
}

static bool flags_bare(struct settings *s, const struct flags *f)
{
	if (f->value)
		return false;
	if (str_is(f->name, "--help") || str_is(f->name, "-h"))
		s->ask = SETTINGS_HELP;
	else if (str_is(f->name, "--version"))
		s->ask = SETTINGS_VERSION;
	else if (str_is(f->name, "--check-config"))
		s->ask = SETTINGS_CHECK;
	else
		return false;
	return true;
}

/* First pass: what to do, and where the file is. */
static enum code scan_flags(struct settings *s, int argc, char *const *argv,
			    struct err *err)
{
	struct flags f = { .argc = argc, .argv = argv };
	enum code rc;

	while (flags_next(&f)) {
		if (flags_bare(s, &f)) {
			if (s->ask != SETTINGS_CHECK)
				return OK;
			continue;
		}
		if (!str_starts(f.name, STR("--"))) {
			err_set(err, E_USAGE, "unexpected argument '%s'", argv[f.at]);
			return err_hint(err, "confluxd --help");
		}
		rc = flags_value(&f, err);
		if (rc)
			return rc;
		if (str_is(f.name, "--config"))
			s->config = arena_z(s->arena, str_of(f.value));
	}
	return OK;
}

static enum code load_flag(struct settings *s, const struct flags *f,
			   struct err *err)
{
	struct str name = str_from(f->name, 2);
	enum setting id;

	if (!find_flag(name, &id))
		return unknown_spelled(name, "--", '-', false, E_USAGE, err);
	if (s->v[id].flagged)
		return err_set(err, E_USAGE, "%.*s: %s is given twice",
			       STR_ARG(f->name), rows[id].key);
	s->v[id].flagged = true;
	if (set(s, id, str_of(f->value), arena_z(s->arena, f->name), err))
		return err_wrap(err, "%.*s", STR_ARG(f->name));
	return OK;
}

static enum code load_flags(struct settings *s, int argc, char *const *argv,
			    struct err *err)
{
	struct flags f = { .argc = argc, .argv = argv };
	enum code rc;

	while (flags_next(&f)) {
		if (flags_bare(s, &f))
			continue;
		rc = flags_value(&f, err);
		if (!rc && !str_is(f.name, "--config"))
			rc = load_flag(s, &f, err);
		if (rc)
			return rc;
	}
	return OK;
}

enum code settings_load(struct settings *s, int argc, char *const *argv,
			char *const *env, struct err *err)
{
	enum code rc = scan_flags(s, argc, argv, err);

	if (rc || s->ask == SETTINGS_HELP || s->ask == SETTINGS_VERSION)
		return rc;
	if (!s->config && env_config(env))
		s->config = arena_z(s->arena, str_of(env_config(env)));
	if (s->config)
		rc = load_file(s, s->config, err);
	if (!rc)
		rc = load_env(s, env, err);
	if (!rc)
		rc = load_flags(s, argc, argv, err);
	if (rc)
		return rc;
	if (!*settings_text(s, SETTING_tls_cert_file) !=
	    !*settings_text(s, SETTING_tls_key_file))
		return err_set(err, E_INVALID,
			       "tls.cert_file and tls.key_file come together");
	return OK;
}

/* ---- values ---- */

enum settings_ask settings_asked(const struct settings *s)
{
	return s->ask;
}

const char *settings_text(const struct settings *s, enum setting id)
{
	must(id < SETTING__COUNT);
	return s->v[id].text;
}

uint64_t settings_u64(const struct settings *s, enum setting id)
{
	must(rows[id].type == SETTING_U64 || rows[id].type == SETTING_BYTES ||
	     rows[id].type == SETTING_DURATION);
	return s->v[id].n;
}

bool settings_bool(const struct settings *s, enum setting id)
{
	must(rows[id].type == SETTING_BOOL);
	return s->v[id].n;
}

const char *const *settings_list(const struct settings *s, enum setting id,
				 size_t *n)
{
	must(is_list(&rows[id]));
	*n = s->v[id].n_items;
	return s->v[id].items;
}

unsigned settings_word(const struct settings *s, enum setting id)
{
	must(rows[id].type == SETTING_ENUM);
	return (unsigned)s->v[id].n;
}

const char *settings_origin(const struct settings *s, enum setting id)
{
	must(id < SETTING__COUNT);
	return s->v[id].origin;
}

/* ---- printing ---- */

void settings_print(const struct settings *s, struct buf *out)
{
	size_t i;

	for (i = 0; i < SETTING__COUNT; i++)
		buf_printf(out, "%-28s %-24s %s\n", rows[i].key,
			   *s->v[i].text ? s->v[i].text : "-", s->v[i].origin);
}

void settings_help(struct buf *out)
{
	char flag[64];
	size_t i;

	buf_z(out, "  --config FILE                  settings in YAML\n"
		   "  --check-config                 check and print all settings\n"
		   "  --data-dir DIR                 storage.data_dir\n"
		   "  --listen ADDRESS:PORT          server.listen\n"
		   "  --node-id N                    cluster.node_id\n"
		   "  --raft-listen ADDRESS:PORT     cluster.raft_listen\n"
		   "  --peers 1=HOST:PORT,2=...      cluster.peers\n"
		   "  --bootstrap-expect N           cluster.bootstrap_expect\n"
		   "  --version\n  --help\n");
	for (i = 0; i < SETTING__COUNT; i++) {
		spell(flag, sizeof(flag), rows[i].key, '-', false);
		buf_printf(out, "  --%-28s %s", flag, rows[i].help);
		if (*rows[i].def)
			buf_printf(out, " [%s]", rows[i].def);
		buf_c(out, '\n');
	}
}

/* A pipe ends a cell of a table, also within `...`. */
static void cell(struct buf *out, const char *z)
{
	for (; *z; z++) {
		if (*z == '|')
			buf_c(out, '\\');
		buf_c(out, *z);
	}
}

static void reference_row(struct buf *out, const struct row *r)
{
	buf_printf(out, "| `%s` | %s | ", r->key, type_names[r->type]);
	if (*r->def)
		buf_printf(out, "`%s`", r->def);
	buf_z(out, " | ");
	if (*r->least)
		buf_printf(out, "`%s` to `%s`", r->least, r->most);
	else if (r->type == SETTING_ENUM)
		cell(out, r->unit);
	buf_printf(out, " | %s |\n", r->help);
}

void settings_reference(struct buf *out)
{
	size_t i;

	buf_z(out, "# Settings\n\n"
		   "Printed from `controller/tbl/settings.tbl`; a test compares them.\n\n"
		   "Later places win: the default, the file (`--config FILE` or\n"
		   "`CONFLUX_CONFIG`), the environment, flags. `sources.file_roots` is\n"
		   "`file_roots:` below `sources:` in the file, `CONFLUX_SOURCES_FILE_ROOTS`\n"
		   "and `--sources-file-roots`. `--data-dir`, `--listen`, `--node-id`,\n"
		   "`--raft-listen`, `--peers` and `--bootstrap-expect` are short for\n"
		   "`storage.data_dir`, `server.listen`, `cluster.node_id`,\n"
		   "`cluster.raft_listen`, `cluster.peers` and\n"
		   "`cluster.bootstrap_expect`. Sizes are written `64KiB`,\n"
		   "`8MiB`, `1GiB`; times `100ms`, `5s`, `1m30s`, `7d`; lists `a:b`, or as a\n"
		   "list in YAML. What Kubernetes puts into the environment of Services\n"
		   "(`CONFLUX_SERVER_SERVICE_HOST`) is no setting.\n\n"
		   "| setting | type | default | allowed | meaning |\n"
		   "| --- | --- | --- | --- | --- |\n");
	for (i = 0; i < SETTING__COUNT; i++)
		reference_row(out, &rows[i]);
}
