/*
 * The agent's file of settings, in YAML: see edge.h and docs/agent.md.
 *
 *	endpoints: [https://a:8443, https://b:8443]
 *	token_file: /etc/conflux/agent.token
 *	state_dir: /var/lib/conflux-agent
 *	applications:
 *	- tenant: acme
 *	  application: shop
 *	  environment: prod
 *	  labels: {region: eu}
 *	  files:
 *	  - config: nginx.conf
 *	    path: /etc/nginx/nginx.conf
 *	    owner: root
 *	    group: www-data
 *	    mode: "0640"
 *	    check: [nginx, -t, -c, "{}"]
 *	    reload: [nginx, -s, reload]
 */
#include "edge/edge.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>

#include "doc/format.h"
#include "io/file.h"

#include "base/banned.h"

#define SETS_MAX 64
#define FILES_MAX 64                 /* of an application, as the SDK takes */
#define WORDS_MAX 64
#define TIMEOUT_MS 30000

struct reading {
	struct arena *arena;
	struct err *err;
};

/* ---- pieces ---- */

static enum code wrong(struct reading *r, const struct value *v, const char *what)
{
	if (v && v->line)
		return err_set(r->err, E_USAGE, "line %u: %s", v->line, what);
	return err_set(r->err, E_USAGE, "%s", what);
}

static enum code missing(struct reading *r, const struct value *in, const char *name)
{
	if (in->line)
		return err_set(r->err, E_USAGE, "line %u: %s is missing", in->line,
			       name);
	return err_set(r->err, E_USAGE, "%s is missing", name);
}

/* Every member is one of 'names' (with spaces between). */
static enum code known(struct reading *r, const struct value *v, const char *names)
{
	if (v->type != VALUE_OBJECT)
		return wrong(r, v, "a mapping is expected");
	for (size_t i = 0; i < v->o.n; i++) {
		struct str rest = str_of(names);
		bool found = false;

		while (rest.n && !found)
			found = str_eq(str_cut(&rest, ' '), v->o.m[i].key);
		if (!found)
			return err_set(r->err, E_USAGE, "line %u: %.*s is not known; "
				       "there are: %s", v->o.m[i].value->line,
				       STR_ARG(v->o.m[i].key), names);
	}
	return OK;
}

/* A text; NULL where it is not there. */
static enum code text(struct reading *r, const struct value *in, const char *name,
		      bool is_required, const char **out)
{
	const struct value *v = value_get(in, str_of(name));

	*out = NULL;
	if (!v)
		return is_required ? missing(r, in, name) : OK;
	if (v->type != VALUE_STRING || v->s.n == 0 ||
	    str_find(v->s, '\0') != SIZE_MAX)
		return err_set(r->err, E_USAGE, "line %u: %s is to be a text", v->line,
			       name);
	*out = arena_z(r->arena, v->s);
	return OK;
}

static enum code absolute(struct reading *r, const struct value *in,
			  const char *name, bool is_required, const char **out)
{
	enum code rc = text(r, in, name, is_required, out);

	if (rc || !*out || **out == '/')
		return rc;
	return err_set(r->err, E_USAGE, "line %u: %s is to be an absolute path, not "
		       "%s", value_get(in, str_of(name))->line, name, *out);
}

static enum code array(struct reading *r, const struct value *in, const char *name,
		       size_t most, const struct value **out)
{
	const struct value *v = value_get(in, str_of(name));

	*out = v;
	if (!v)
		return missing(r, in, name);
	if (v->type != VALUE_ARRAY || v->a.n == 0 || v->a.n > most)
		return err_set(r->err, E_USAGE, "line %u: %s is to be a list of 1 to "
			       "%zu", v->line, name, most);
	return OK;
}

/* A list of texts as an argv; NULL where it is not there. */
static enum code argv_of(struct reading *r, const struct value *in, const char *name,
			 char *const **out)
{
	const struct value *v;
	enum code rc;
	char **words;

	*out = NULL;
	if (!value_get(in, str_of(name)))
		return OK;
	rc = array(r, in, name, WORDS_MAX, &v);
	if (rc)
		return rc;
	words = arena_zero(r->arena, (v->a.n + 1) * sizeof(*words));
	for (size_t i = 0; i < v->a.n; i++) {
		if (v->a.items[i]->type != VALUE_STRING)
			return wrong(r, v->a.items[i], "each word of a command is to "
				     "be a text; quote numbers");
		words[i] = arena_z(r->arena, v->a.items[i]->s);
	}
	*out = words;
	return OK;
}

/* ---- whom a file belongs to ---- */

static enum code owner_of(struct reading *r, const struct value *in,
			  struct edge_file *f)
{
	const struct value *v = value_getz(in, "owner");
	const char *name;
	const struct passwd *pw;
	uint64_t n;
	enum code rc;

	f->uid = (uid_t)-1;
	if (v && value_to_u64(v, &n) && n < UINT32_MAX) {
		f->uid = (uid_t)n;
		return OK;
	}
	rc = text(r, in, "owner", false, &name);
	if (rc || !name)
		return rc;
	pw = getpwnam(name);
	if (!pw)
		return err_set(r->err, E_USAGE, "line %u: there is no user %s",
			       v->line, name);
	f->uid = pw->pw_uid;
	return OK;
}

static enum code group_of(struct reading *r, const struct value *in,
			  struct edge_file *f)
{
	const struct value *v = value_getz(in, "group");
	const struct group *gr;
	const char *name;
	uint64_t n;
	enum code rc;

	f->gid = (gid_t)-1;
	if (v && value_to_u64(v, &n) && n < UINT32_MAX) {
		f->gid = (gid_t)n;
		return OK;
	}
	rc = text(r, in, "group", false, &name);
	if (rc || !name)
		return rc;
	gr = getgrnam(name);
	if (!gr)
		return err_set(r->err, E_USAGE, "line %u: there is no group %s",
			       v->line, name);
	f->gid = gr->gr_gid;
	return OK;
}

/* Octal in quotes: YAML's 0640 is six hundred and forty. */
static enum code mode_of(struct reading *r, const struct value *in,
			 struct edge_file *f)
{
	const struct value *v = value_getz(in, "mode");
	struct str digits;

	f->mode = 0644;
	if (!v)
		return OK;
	digits = value_text(v);
	if (digits.n < 3 || digits.n > 4)
		return wrong(r, v, "mode is to be octal digits in quotes, as "
			     "\"0640\"");
	f->mode = 0;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '7')
			return wrong(r, v, "mode is to be octal digits");
		f->mode = f->mode << 3 | (mode_t)(digits.p[i] - '0');
	}
	return f->mode & 07000 ? wrong(r, v, "mode has no setuid, setgid or sticky "
				       "bit for a configuration") : OK;
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "HUP", SIGHUP }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 },
	{ "INT", SIGINT }, { "TERM", SIGTERM }, { "WINCH", SIGWINCH },
};

static enum code signal_of(struct reading *r, const struct value *in,
			   struct edge_file *f)
{
	const struct value *v = value_getz(in, "signal");
	struct str name;
	enum code rc;

	if (!v)
		return OK;
	rc = known(r, v, "name pid_file");
	if (rc)
		return rc;
	name = value_text(value_getz(v, "name"));
	if (str_starts(name, STR("SIG")))
		name = str_from(name, 3);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (str_eq(name, str_of(signals[i].name)))
			f->signal = signals[i].number;
	if (!f->signal)
		return wrong(r, v, "signal.name is to be HUP, USR1, USR2, INT, TERM "
			     "or WINCH");
	return absolute(r, v, "pid_file", true, &f->pid_file);
}

static enum code timeout_of(struct reading *r, const struct value *in,
			    struct edge_file *f)
{
	const struct value *v = value_getz(in, "timeout");
	uint64_t ms;

	f->timeout_ms = TIMEOUT_MS;
	if (!v)
		return OK;
	if (!str_duration_ms(value_text(v), &ms) || ms < 100 || ms > 3600000)
		return wrong(r, v, "timeout is to be a time of 100ms to 1h, as 30s");
	f->timeout_ms = (unsigned)ms;
	return OK;
}

/* ---- files and applications ---- */

static enum code file_of(struct reading *r, const struct value *in,
			 struct edge_file *f)
{
	const char *config;
	enum code rc = known(r, in, "config path owner group mode check reload signal "
				    "timeout");

	if (!rc)
		rc = text(r, in, "config", true, &config);
	if (!rc)
		rc = absolute(r, in, "path", true, &f->path);
	if (!rc)
		rc = owner_of(r, in, f);
	if (!rc)
		rc = group_of(r, in, f);
	if (!rc)
		rc = mode_of(r, in, f);
	if (!rc)
		rc = argv_of(r, in, "check", &f->check);
	if (!rc)
		rc = argv_of(r, in, "reload", &f->reload);
	if (!rc)
		rc = signal_of(r, in, f);
	if (!rc)
		rc = timeout_of(r, in, f);
	if (rc)
		return rc;
	f->config = str_of(config);
	if (str_find(f->config, ',') != SIZE_MAX)
		return wrong(r, in, "a configuration's name with a comma is not "
			     "supported here");
	return str_ends(str_of(f->path), STR("/")) ?
		       wrong(r, in, "path is a folder") : OK;
}

static enum code labels_of(struct reading *r, const struct value *in,
			   struct edge_set *set)
{
	const struct value *v = value_getz(in, "labels");
	AUTO_BUF out = BUF_NONE;

	if (!v)
		return OK;
	if (v->type != VALUE_OBJECT)
		return wrong(r, v, "labels is to be a mapping of texts");
	for (size_t i = 0; i < v->o.n; i++) {
		if (v->o.m[i].value->type != VALUE_STRING)
			return wrong(r, v, "labels is to be a mapping of texts; quote "
				     "numbers and yes or no");
		buf_printf(&out, "%s%.*s=%.*s", out.n ? "," : "",
			   STR_ARG(v->o.m[i].key), STR_ARG(v->o.m[i].value->s));
	}
	set->labels = out.n ? arena_z(r->arena, buf_view(&out)) : NULL;
	return OK;
}

static enum code set_of(struct reading *r, const struct value *in,
			struct edge_set *set)
{
	const struct value *files;
	enum code rc = known(r, in, "tenant application environment labels files");

	if (!rc)
		rc = text(r, in, "tenant", true, &set->tenant);
	if (!rc)
		rc = text(r, in, "application", true, &set->application);
	if (!rc)
		rc = text(r, in, "environment", true, &set->environment);
	if (!rc)
		rc = labels_of(r, in, set);
	if (!rc)
		rc = array(r, in, "files", FILES_MAX, &files);
	if (rc)
		return rc;
	set->n_files = files->a.n;
	set->files = arena_zero(r->arena, set->n_files * sizeof(*set->files));
	for (size_t i = 0; i < set->n_files && !rc; i++)
		rc = file_of(r, files->a.items[i], &set->files[i]);
	return rc;
}

/* Two targets of one file would undo each other for ever. */
static enum code check_paths(struct reading *r, const struct edge_settings *s)
{
	for (size_t i = 0; i < s->n_sets; i++)
		for (size_t k = 0; k < s->sets[i].n_files; k++)
			for (size_t m = i; m < s->n_sets; m++)
				for (size_t n = m == i ? k + 1 : 0;
				     n < s->sets[m].n_files; n++)
					if (strcmp(s->sets[i].files[k].path,
						   s->sets[m].files[n].path) == 0)
						return err_set(r->err, E_USAGE,
							"two files have the path "
							"%s",
							s->sets[m].files[n].path);
	return OK;
}

static enum code endpoints_of(struct reading *r, const struct value *in,
			      struct edge_settings *s)
{
	AUTO_BUF out = BUF_NONE;
	const struct value *v;
	enum code rc = array(r, in, "endpoints", 16, &v);

	if (rc)
		return rc;
	for (size_t i = 0; i < v->a.n; i++) {
		struct str one = value_text(v->a.items[i]);

		if (!str_starts(one, STR("http://")) &&
		    !str_starts(one, STR("https://")))
			return wrong(r, v->a.items[i], "an endpoint is to be http:// or "
				     "https:// with host and port");
		buf_printf(&out, "%s%.*s", out.n ? "," : "", STR_ARG(one));
	}
	s->endpoints = arena_z(r->arena, buf_view(&out));
	return OK;
}

static enum code connection_of(struct reading *r, const struct value *in,
			       struct edge_settings *s)
{
	enum code rc = endpoints_of(r, in, s);

	if (!rc)
		rc = absolute(r, in, "token_file", false, &s->token_file);
	if (!rc)
		rc = absolute(r, in, "ca_file", false, &s->ca_file);
	if (!rc)
		rc = absolute(r, in, "cert_file", false, &s->cert_file);
	if (!rc)
		rc = absolute(r, in, "key_file", false, &s->key_file);
	if (!rc)
		rc = absolute(r, in, "public_key_file", false, &s->public_key_file);
	if (!rc)
		rc = absolute(r, in, "snapshot_key_file", false,
			      &s->snapshot_key_file);
	if (!rc)
		rc = absolute(r, in, "state_dir", true, &s->state_dir);
	if (!rc)
		rc = text(r, in, "instance", false, &s->instance);
	if (!rc && !s->cert_file != !s->key_file)
		rc = wrong(r, in, "cert_file and key_file are to be given together");
	return rc;
}

static enum code all_of(struct reading *r, const struct value *in,
			struct edge_settings *s)
{
	const struct value *sets;
	enum code rc = known(r, in, "endpoints token_file ca_file cert_file key_file "
				    "public_key_file snapshot_key_file state_dir "
				    "instance applications");

	if (!rc)
		rc = connection_of(r, in, s);
	if (!rc)
		rc = array(r, in, "applications", SETS_MAX, &sets);
	if (rc)
		return rc;
	s->n_sets = sets->a.n;
	s->sets = arena_zero(r->arena, s->n_sets * sizeof(*s->sets));
	for (size_t i = 0; i < s->n_sets && !rc; i++)
		rc = set_of(r, sets->a.items[i], &s->sets[i]);
	return rc ? rc : check_paths(r, s);
}

enum code edge_settings_parse(struct str text, struct edge_settings *out,
			      struct err *err)
{
	struct reading r = { arena_new(0), err };
	struct value *v;
	enum code rc;

	*out = (struct edge_settings){ .arena = r.arena };
	rc = doc_parse(FORMAT_YAML, text, r.arena, NULL, &v, NULL, err);
	if (!rc)
		rc = all_of(&r, v, out);
	if (rc)
		edge_settings_fini(out);
	return rc;
}

enum code edge_settings_load(const char *path, struct edge_settings *out,
			     struct err *err)
{
	AUTO_BUF text = BUF_NONE;
	enum code rc = fs_get(fs_real(), path, &text, err);

	*out = (struct edge_settings){ 0 };
	if (!rc)
		rc = edge_settings_parse(buf_view(&text), out, err);
	return rc ? err_wrap(err, "%s", path) : OK;
}

void edge_settings_fini(struct edge_settings *s)
{
	arena_free(&s->arena);
	*s = (struct edge_settings){ 0 };
}

/* ---- where they are kept ---- */

static bool is_of_one_place(const struct edge_set *a, const struct edge_set *b)
{
	return strcmp(a->tenant, b->tenant) == 0 &&
	       strcmp(a->application, b->application) == 0 &&
	       strcmp(a->environment, b->environment) == 0 &&
	       strcmp(a->labels ? a->labels : "", b->labels ? b->labels : "") == 0;
}

/* The first of those of one place has the name that it would have alone, so that what
 * was kept before there were others is found. */
void edge_snapshot_path(const struct edge_settings *s, size_t i, struct buf *out)
{
	const struct edge_set *set = &s->sets[i];
	AUTO_BUF text = BUF_NONE;
	struct sha256 sha;
	size_t before = 0;

	for (size_t k = 0; k < i; k++)
		before += is_of_one_place(&s->sets[k], set);
	buf_printf(&text, "%s/%s/%s?%s", set->tenant, set->application,
		   set->environment, set->labels ? set->labels : "");
	/* Two may have the same names, too. */
	if (before)
		buf_printf(&text, "\n%zu", before);
	for (size_t k = 0; before && k < set->n_files; k++)
		buf_printf(&text, "\n%.*s", STR_ARG(set->files[k].config));
	sha = sha256_of(buf_view(&text));
	buf_printf(out, "%s/", s->state_dir);
	buf_hex(out, sha.b, 8);
	buf_z(out, ".snapshot");
}
