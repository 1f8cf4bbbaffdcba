/* What -f names: files, folders, standard input; documents of YAML or JSON. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc/format.h"

#include "base/banned.h"

#define BYTES_MAX (64u * 1024 * 1024)
#define DEPTH_MAX 32

struct reading {
	struct cli *cli;
	struct manifest *m;
	size_t n, cap;
};

enum code file_read(struct cli *cli, const char *path, struct str *out,
		    struct err *err)
{
	bool is_stdin = str_eq(str_of(path), STR("-"));
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	AUTO_BUF b = BUF_NONE;
	ssize_t n;

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	do {
		n = read(fd, buf_extend(&b, 65536), 65536);
		buf_cut(&b, b.n - 65536 + (n > 0 ? (size_t)n : 0));
	} while ((n > 0 && b.n <= BYTES_MAX) || (n < 0 && errno == EINTR));
	if (n < 0)
		err_sys(err, errno, "%s", path);
	if (!is_stdin)
		close(fd);
	if (n < 0)
		return err->code;
	if (b.n > BYTES_MAX)
		return err_set(err, E_TOO_LARGE, "%s: more than 64 MiB", path);
	*out = arena_str(cli->arena, buf_view(&b));
	return OK;
}

/* ---- documents ---- */

static enum code take_object(struct reading *r, const char *file,
			     struct value *object, struct err *err)
{
	const char *flag = cli_text(r->cli, FLAG_NAMESPACE);
	struct str kind = value_text_at(object, "kind");
	struct manifest m = { .object = object, .file = file };

	if (object->type != VALUE_OBJECT)
		return err_set(err, E_INVALID, "%s: line %u: no object", file,
			       object->line);
	m.kind = kind_by_name(kind);
	if (!m.kind || !str_is(value_text_at(object, "apiVersion"),
			       API_GROUP_VERSION)) {
		err_set(err, E_INVALID, "%s: line %u: kind \"%.*s\" of apiVersion "
			"\"%.*s\" is unknown", file, object->line, STR_ARG(kind),
			STR_ARG(value_text_at(object, "apiVersion")));
		return err_hint(err, "apiVersion: " API_GROUP_VERSION);
	}
	m.name = value_text_at(object, "metadata.name");
	if (m.name.n == 0)
		return err_set(err, E_INVALID, "%s: line %u: metadata.name is "
			       "missing", file, object->line);
	m.namespace = value_text_at(object, "metadata.namespace");
	if (m.kind->namespaced && m.namespace.n == 0) {
		if (!flag)
			flag = getenv("CONFLUX_NAMESPACE");
		if (!flag || !flag[0]) {
			err_set(err, E_INVALID, "%s: line %u: %.*s %.*s has no "
				"metadata.namespace (its tenant)", file,
				object->line, STR_ARG(kind), STR_ARG(m.name));
			return err_hint(err, "write it, or give -n TENANT");
		}
		m.namespace = str_of(flag);
		value_setz(r->cli->arena, value_getz(object, "metadata"),
			   "namespace", value_str(r->cli->arena, m.namespace));
	}
	r->m = arena_grow(r->cli->arena, r->m, &r->cap, r->n + 1, sizeof(m));
	r->m[r->n++] = m;
	return OK;
}

static enum code take_text(struct reading *r, const char *file, struct str text,
			   struct err *err)
{
	struct value *documents;
	enum code rc = doc_parse_stream(text, r->cli->arena, NULL, &documents,
					NULL, err);

	if (rc)
		return err_wrap(err, "%s", file);
	for (size_t i = 0; i < documents->a.n && rc == OK; i++) {
		struct value *v = documents->a.items[i];
		struct value *items = value_getz(v, "items");

		if (str_ends(value_text_at(v, "kind"), STR("List")) && items &&
		    items->type == VALUE_ARRAY)
			for (size_t k = 0; k < items->a.n && rc == OK; k++)
				rc = take_object(r, file, items->a.items[k], err);
		else
			rc = take_object(r, file, v, err);
	}
	return rc;
}

/* ---- files ---- */

static bool is_manifest(const char *name)
{
	struct str s = str_of(name);

	return str_ends(s, STR(".yaml")) || str_ends(s, STR(".yml")) ||
		str_ends(s, STR(".json"));
}

static enum code take_path(struct reading *r, const char *path, unsigned depth,
			   bool is_named, struct err *err);

static enum code take_folder(struct reading *r, const char *path,
			     unsigned depth, struct err *err)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	enum code rc = OK;

	if (n < 0)
		return err_sys(err, errno, "%s", path);
	if (depth == DEPTH_MAX)
		rc = err_set(err, E_INVALID, "%s: more than %d folders deep",
			     path, DEPTH_MAX);
	for (int i = 0; i < n; i++) {
		if (rc == OK && names[i]->d_name[0] != '.')
			rc = take_path(r, arena_printf(r->cli->arena, "%s/%s",
						       path, names[i]->d_name).p,
				       depth + 1, false, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

static enum code take_path(struct reading *r, const char *path, unsigned depth,
			   bool is_named, struct err *err)
{
	bool is_stdin = str_eq(str_of(path), STR("-"));
	struct stat st;
	struct str text;
	enum code rc;

	if (!is_stdin && stat(path, &st))
		return err_sys(err, errno, "%s", path);
	if (!is_stdin && S_ISDIR(st.st_mode))
		return take_folder(r, path, depth, err);
	if (!is_named && !is_manifest(path))
		return OK;
	rc = file_read(r->cli, path, &text, err);
	return rc ? rc : take_text(r, is_stdin ? "standard input" : path, text,
				   err);
}

/* Tenants before what lives in them; else as written. */
static void sort(struct manifest *m, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct manifest one = m[i];
		size_t k = i;

		for (; k > 0 && m[k - 1].kind->id > one.kind->id; k--)
			m[k] = m[k - 1];
		m[k] = one;
	}
}

enum code manifests_read(struct cli *cli, struct manifest **out, size_t *n,
			 struct err *err)
{
	const struct given *files = &cli->given[FLAG_FILENAME];
	struct reading r = { .cli = cli };
	enum code rc = OK;

	if (files->n == 0) {
		err_set(err, E_USAGE, "%s: -f is missing", cli->command->name);
		return err_hint(err, "conflux %s -f FILE", cli->command->name);
	}
	for (size_t i = 0; i < files->n && rc == OK; i++)
		rc = take_path(&r, files->v[i], 0, true, err);
	if (rc == OK && r.n == 0)
		rc = err_set(err, E_INVALID, "%s: no objects in there",
			     files->v[0]);
	if (rc)
		return rc;
	sort(r.m, r.n);
	*out = r.m;
	*n = r.n;
	return OK;
}
