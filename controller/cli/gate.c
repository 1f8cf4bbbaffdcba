/* plan, proposals, approve, reject, cancel, review, release: what passes the gate, and
 * what goes out in steps. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "doc/format.h"
#include "http/wire/url.h"

#include "base/banned.h"

/* "TENANT/NAME", escaped, behind 'base'. */
static enum code id_target(struct cli *cli, const char *base, const char *id,
			   const char *behind, struct buf *out, struct err *err)
{
	struct str name = str_of(id);
	struct str tenant = str_cut(&name, '/');

	if (tenant.n == 0 || name.n == 0) {
		err_set(err, E_USAGE, "%s: \"%s\" is no id", cli->command->name, id);
		return err_hint(err, "TENANT/NAME, as %s shows it",
				str_is(str_of(cli->command->name), "release") ?
				"`conflux release list`" : "`conflux proposals`");
	}
	buf_z(out, base);
	url_encode(out, tenant);
	buf_c(out, '/');
	url_encode(out, name);
	buf_z(out, behind);
	return OK;
}

/* Of one that is not there: which are. */
static enum code hint_where(enum code rc, const char *command, struct err *err)
{
	if (rc == E_NOT_FOUND)
		err_hint(err, "`%s` shows what is there", command);
	return rc;
}

static void set_text(struct cli *cli, struct value *body, const char *name,
		     const char *text)
{
	if (text)
		value_set(cli->arena, body, str_of(name),
			  value_str(cli->arena, str_of(text)));
}

static void make_lines_one(struct arena *arena, struct value *v)
{
	AUTO_BUF plain = BUF_NONE;

	for (size_t i = 0; v->type == VALUE_ARRAY && i < v->a.n; i++)
		make_lines_one(arena, v->a.items[i]);
	for (size_t i = 0; v->type == VALUE_OBJECT && i < v->o.n; i++) {
		struct str key = v->o.m[i].key;

		if (!str_is(key, "text") && !str_is(key, "before") &&
		    !str_is(key, "after"))
			make_lines_one(arena, v->o.m[i].value);
	}
	if (v->type != VALUE_STRING)
		return;
	text_plain(&plain, v->s, true);
	v->s = arena_str(arena, buf_view(&plain));
}

/* A copy to be shown by lines: no reason, name or message makes a line of its own.  What
 * is different has lines, or is shown as a value. */
static const struct value *by_lines(struct cli *cli, const struct value *v)
{
	struct value *copy = value_dup(cli->arena, v);

	make_lines_one(cli->arena, copy);
	return copy;
}

/* ---- what is different ---- */

static void put_value(struct buf *out, const struct value *v)
{
	if (v)
		value_json(out, v);
}

static void put_diff(struct buf *out, const struct value *list)
{
	for (size_t i = 0; i < value_count(list); i++) {
		const struct value *c = list->a.items[i];
		struct str kind = value_text_at(c, "change");
		struct str path = value_text_at(c, "path");
		const struct value *before = value_getz(c, "before");
		const struct value *after = value_getz(c, "after");

		buf_printf(out, "    %c %.*s%s", str_is(kind, "added") ? '+' :
			   str_is(kind, "removed") ? '-' : '~', STR_ARG(path),
			   path.n ? ": " : "");
		put_value(out, before);
		if (before && after)
			buf_z(out, " -> ");
		put_value(out, after);
		if (str_is(kind, "reordered"))
			buf_z(out, " (order)");
		buf_c(out, '\n');
	}
}

static void put_text(struct buf *out, struct str text)
{
	while (text.n) {
		buf_z(out, "    ");
		buf_str(out, str_cut(&text, '\n'));
		buf_c(out, '\n');
	}
}

static struct str op_of(const struct value *plan, const struct value *change)
{
	const struct value *ops = value_getz(plan, "operations");
	struct str word = STR("change");

	for (size_t i = 0; i < value_count(ops); i++)
		if (str_eq(value_text_at(ops->a.items[i], "name"),
			   value_text_at(change, "name")) &&
		    str_eq(value_text_at(ops->a.items[i], "kind"),
			   value_text_at(change, "kind"))) {
			word = value_text_at(ops->a.items[i], "op");
			/* That it is made says more than that it is published. */
			break;
		}
	return word;
}

static void put_change(struct buf *out, const struct value *plan, const struct value *c,
		       bool is_over)
{
	struct str at = value_text_at(c, "address");

	buf_printf(out, "  %.*s %.*s %.*s%s\n", STR_ARG(op_of(plan, c)),
		   STR_ARG(value_text_at(c, "kind")),
		   STR_ARG(at.n ? at : value_text_at(c, "name")),
		   !is_over && value_to_bool(value_getz(c, "has_moved"), false) ?
			   " (has moved since)" : "");
	if (value_to_bool(value_getz(c, "formatting_only"), false))
		buf_z(out, "    (formatting only)\n");
	if (value_to_bool(value_getz(c, "too_large"), false))
		buf_z(out, "    (too large to be shown)\n");
	put_diff(out, value_getz(c, "object"));
	put_diff(out, value_getz(c, "diff"));
	put_text(out, value_text_at(c, "text"));
	put_diff(out, value_getz(c, "releases"));
}

static void put_people(struct buf *out, const struct value *stage)
{
	static const char *const members[] = { "subjects", "groups" };
	const char *comma = "";

	for (size_t k = 0; k < ARRAY_LEN(members); k++) {
		const struct value *list = value_get(stage, str_of(members[k]));

		for (size_t i = 0; i < value_count(list); i++, comma = ", ")
			buf_printf(out, "%s%s%.*s", comma, k ? "group " : "",
				   STR_ARG(value_text(list->a.items[i])));
	}
}

/* A first version goes out at once, whatever the policy. */
static void put_way_out(struct buf *out, const struct value *policy)
{
	uint64_t all = 0, first = 0;

	(void)!value_to_u64(value_getz(policy, "configurations"), &all);
	(void)!value_to_u64(value_getz(policy, "first_versions"), &first);
	if (all > first)
		buf_printf(out, "goes out by %.*s: %.*s\n",
			   STR_ARG(value_text_at(policy, "name")),
			   STR_ARG(value_text_at(policy, "strategy")));
	if (first && (!str_is(value_text_at(policy, "strategy"), "immediate") ||
		      !value_text_at(policy, "name").n))
		buf_printf(out, "goes out to all at once: %llu first version%s, which no "
			   "policy delays\n", (unsigned long long)first,
			   first == 1 ? "" : "s");
	else if (first == all && first)
		buf_printf(out, "goes out by %.*s: immediate\n",
			   STR_ARG(value_text_at(policy, "name")));
}

static void put_gate(struct cli *cli, struct buf *out, const struct value *gate)
{
	const struct value *policies = value_getz(gate, "policies");
	const struct value *windows = value_getz(gate, "windows");
	const struct value *release = value_getz(gate, "release_policy");
	struct str left = text_of(cli->arena, value_getz(gate, "not_looked_at"));

	for (size_t i = 0; i < value_count(windows); i++) {
		const struct value *w = windows->a.items[i];
		struct str until = value_text_at(w, "until");

		buf_printf(out, "frozen by %.*s (%.*s): %.*s%s%.*s\n",
			   STR_ARG(value_text_at(w, "name")),
			   STR_ARG(value_text_at(w, "owner")),
			   STR_ARG(value_text_at(w, "reason")), until.n ? ", until " : "",
			   STR_ARG(until));
	}
	for (size_t i = 0; i < value_count(policies); i++) {
		const struct value *p = policies->a.items[i];
		const struct value *stages = value_getz(p, "stages");

		for (size_t k = 0; k < value_count(stages); k++) {
			const struct value *s = stages->a.items[k];

			buf_printf(out, "needs approval (%.*s): %.*s of ",
				   STR_ARG(value_text_at(p, "name")),
				   STR_ARG(text_of(cli->arena, value_getz(s, "required"))));
			put_people(out, s);
			buf_c(out, '\n');
		}
	}
	if (left.n)
		buf_printf(out, "not known whether it needs more approval or is frozen: %.*s "
			   "changes were not compared with policies and windows, there are "
			   "too many\n", STR_ARG(left));
	if (release)
		put_way_out(out, release);
}

static void put_count(struct buf *out, const char *before, struct str n, const char *what)
{
	buf_printf(out, "%s%.*s %s%s", before, STR_ARG(n), what, str_is(n, "1") ? "" : "s");
}

/* Of a list that is shown in part: as many as there are. */
static struct str count_all(struct cli *cli, const struct value *v, const char *list,
			    const char *rest)
{
	uint64_t more = 0;

	(void)!value_to_u64(value_get(v, str_of(rest)), &more);
	return arena_printf(cli->arena, "%llu", (unsigned long long)more +
			    value_count(value_get(v, str_of(list))));
}

static void put_along(struct buf *out, const struct value *along)
{
	for (size_t i = 0; i < value_count(along); i++) {
		const struct value *one = along->a.items[i];
		bool was_held = value_to_bool(value_getz(one, "was_held"), false);

		buf_printf(out, "goes out along with it: %.*s%s\n",
			   STR_ARG(value_text_at(one, "address")),
			   was_held ? ", which was held" : "");
	}
}

static void put_more(struct cli *cli, struct buf *out, const struct value *plan)
{
	struct str more = text_of(cli->arena, value_getz(plan, "changes_more"));
	const struct value *reach = value_getz(plan, "blast_radius");
	const struct value *instances = value_getz(reach, "instances_connected");

	if (more.n)
		buf_printf(out, "  and %.*s more\n", STR_ARG(more));
	put_along(out, value_getz(plan, "along"));
	put_count(out, "reaches ", text_of(cli->arena, value_getz(reach, "configurations")),
		  "configuration");
	put_count(out, ", ", count_all(cli, reach, "applications", "applications_more"),
		  "application");
	put_count(out, ", ", count_all(cli, reach, "environments", "environments_more"),
		  "environment");
	buf_z(out, ", ");
	if (instances && instances->type == VALUE_NUMBER) {
		put_count(out, "", text_of(cli->arena, instances), "connected instance");
		buf_c(out, '\n');
	} else {
		buf_printf(out, "and it is not known how many instances: %.*s\n",
			   STR_ARG(value_text_at(reach, "instances_note")));
	}
}

/* Of one that is over it is history: what the gate would say now is not. */
static void put_plan(struct cli *cli, struct buf *out, const struct value *plan, bool is_over)
{
	const struct value *changes = value_getz(plan, "changes");

	buf_printf(out, "plan %.*s of %.*s\n", STR_ARG(value_text_at(plan, "digest")),
		   STR_ARG(value_text_at(plan, "tenant")));
	for (size_t i = 0; i < value_count(changes); i++)
		put_change(out, plan, changes->a.items[i], is_over);
	if (is_over)
		return;
	put_more(cli, out, plan);
	put_gate(cli, out, value_getz(plan, "gate"));
}

/* ---- plan ---- */

static enum code write_plan(const char *path, const struct value *plan, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	AUTO_BUF json = BUF_NONE;
	enum code rc = OK;

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	value_json_pretty(&json, plan);
	buf_c(&json, '\n');
	if (write(fd, json.p, json.n) != (ssize_t)json.n)
		rc = err_sys(err, errno, "write %s", path);
	if (close(fd) && rc == OK)
		rc = err_sys(err, errno, "write %s", path);
	return rc;
}

void cli_tell_invalid(struct cli *cli, const struct manifest *m, size_t n)
{
	const struct value *list = value_getz(cli->refused, "invalid");

	for (size_t i = 0; i < value_count(list); i++) {
		const struct value *one = list->a.items[i];
		struct str file = value_text_at(one, "file"), name = value_text_at(one, "name");
		struct str field = value_text_at(one, "field");
		uint64_t at = n;
		AUTO_BUF line = BUF_NONE;

		if (value_to_u64(value_getz(one, "index"), &at) && at < n)
			buf_printf(&line, "%s: %.*s %.*s", m[at].file,
				   STR_ARG(m[at].kind->singular), STR_ARG(name));
		else
			buf_printf(&line, "%.*s%s%.*s", STR_ARG(file), name.n ? ": " : "",
				   STR_ARG(name));
		buf_printf(&line, "%s%.*s: %.*s", field.n ? ": " : "", STR_ARG(field),
			   STR_ARG(value_text_at(one, "reason")));
		note("%.*s", STR_ARG(buf_view(&line)));
	}
	if (value_getz(cli->refused, "invalid_more"))
		fprintf(stderr, "and %.*s more\n",
			STR_ARG(text_of(cli->arena, value_getz(cli->refused,
							       "invalid_more"))));
}

static enum code ask_plan(struct cli *cli, struct value **out, struct err *err)
{
	struct value *body = value_object(cli->arena), *list = value_array(cli->arena);
	struct manifest *m;
	size_t n;
	enum code rc = manifests_read(cli, &m, &n, err);

	for (size_t i = 0; rc == OK && i < n; i++) {
		struct value *meta = value_getz(m[i].object, "metadata");

		if (meta && m[i].namespace.n)
			value_setz(cli->arena, meta, "namespace",
				   value_str(cli->arena, m[i].namespace));
		value_push(cli->arena, list, m[i].object);
	}
	if (rc)
		return rc;
	value_setz(cli->arena, body, "manifests", list);
	rc = cli_send(cli, HTTP_M_POST, STR("/api/v1/plans"), body, out, err);
	if (rc && !out_is_value(cli))
		cli_tell_invalid(cli, m, n);
	return rc;
}

/* Of a commit: the leader plans it, and any node shows what it planned. */
static enum code ask_source_plan(struct cli *cli, struct value **out,
				 struct err *err)
{
	struct str name = str_of(cli_text(cli, FLAG_SOURCE));
	struct str tenant = str_cut(&name, '/');
	AUTO_BUF target = BUF_NONE;
	struct value *made;
	enum code rc;

	if (name.n == 0 || tenant.n == 0 || cli_has(cli, FLAG_FILENAME)) {
		err_set(err, E_USAGE, "plan: \"%s\" is no source, or files are named too",
			cli_text(cli, FLAG_SOURCE));
		return err_hint(err, "conflux plan --source TENANT/SOURCE [--commit COMMIT]");
	}
	buf_z(&target, "/api/v1/sources/");
	url_encode(&target, tenant);
	buf_c(&target, '/');
	url_encode(&target, name);
	buf_z(&target, "/plan");
	if (cli_has(cli, FLAG_COMMIT))
		put_query(&target, "commit", str_of(cli_text(cli, FLAG_COMMIT)));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &made, err);
	if (rc && !out_is_value(cli))
		cli_tell_invalid(cli, NULL, 0);
	if (rc)
		return rc;
	if (str_is(text_of(cli->arena, value_getz(made, "operations")), "0")) {
		*out = value_object(cli->arena);
		return OK;
	}
	buf_reset(&target);
	buf_z(&target, "/api/v1/plans/");
	url_encode(&target, value_text_at(made, "digest"));
	put_query(&target, "tenant", tenant);
	return cli_get(cli, buf_view(&target), out, err);
}

enum code cmd_plan(struct cli *cli, struct err *err)
{
	AUTO_BUF out = BUF_NONE;
	struct value *plan;
	struct str digest;
	enum code rc = cli_has(cli, FLAG_SOURCE) ? ask_source_plan(cli, &plan, err) :
						   ask_plan(cli, &plan, err);

	/* A machine reads what is wrong where it would have read the plan. */
	if (rc && cli->refused && out_is_value(cli) &&
	    out_value(cli, cli->refused, &(struct err){ 0 }))
		return rc;
	if (rc)
		return rc;
	digest = value_text_at(plan, "digest");
	cli->differs = digest.n && cli_has(cli, FLAG_DETAILED);
	if (cli_has(cli, FLAG_OUT))
		rc = write_plan(cli_text(cli, FLAG_OUT), plan, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, plan, err);
	if (cli->output == OUT_NAME)
		return digest.n ? out_write(arena_printf(cli->arena, "%.*s\n",
							 STR_ARG(digest)), err) : OK;
	if (digest.n)
		put_plan(cli, &out, by_lines(cli, plan), false);
	else
		buf_z(&out, "nothing to do: everything is so already\n");
	return out_write(buf_view(&out), err);
}

/* ---- apply FILE ---- */

enum code apply_plan(struct cli *cli, const char *path, struct err *err)
{
	struct value *plan, *v, *body = value_object(cli->arena);
	AUTO_BUF target = BUF_NONE;
	struct str text, digest;
	enum code rc = file_read(cli, path, &text, err);

	if (rc == OK && doc_parse_json(text, cli->arena, NULL, &plan, err)) {
		rc = err_wrap(err, "%s", path);
		err_hint(err, "manifests are applied with -f; a plan is what `conflux plan "
			 "--out FILE` has written");
	}
	if (rc)
		return rc;
	digest = value_text_at(plan, "digest");
	if (digest.n == 0 && value_getz(plan, "operations"))
		return out_write(STR("nothing to do\n"), err);
	if (digest.n == 0)
		return err_set(err, E_INVALID, "%s: it is no plan", path);
	buf_z(&target, "/api/v1/plans/");
	url_encode(&target, digest);
	buf_z(&target, "/apply");
	put_query(&target, "tenant", value_text_at(plan, "tenant"));
	put_glass(cli, &target);
	set_text(cli, body, "reason", cli_text(cli, FLAG_MESSAGE));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), body, &v, err);
	if (rc)
		return rc;
	if (cli_is_proposed(cli, v))
		return cli_tell_proposed(cli, v, err);
	return out_is_value(cli) ? out_value(cli, v, err) :
		out_write(arena_printf(cli->arena, "plan %.*s applied, revision %.*s\n",
				       STR_ARG(str_first(digest, 12)),
				       STR_ARG(text_of(cli->arena,
						value_getz(v, "revision")))), err);
}

/* ---- what waits ---- */

void put_glass(const struct cli *cli, struct buf *target)
{
	if (cli_has(cli, FLAG_BREAK_GLASS))
		put_query(target, "break_glass",
			  str_of(cli_text(cli, FLAG_BREAK_GLASS)));
	if (cli_has(cli, FLAG_NOT_BEFORE))
		put_query(target, "not_before",
			  str_of(cli_text(cli, FLAG_NOT_BEFORE)));
}

bool cli_is_proposed(const struct cli *cli, const struct value *answer)
{
	return value_text_at(answer, "proposal_id").n > 0 &&
	       value_getz(answer, "approval_status") != NULL;
}

enum code cli_tell_proposed(struct cli *cli, const struct value *answer, struct err *err)
{
	struct str id = value_text_at(answer, "proposal_id");

	if (out_is_value(cli))
		return out_value(cli, answer, err);
	if (cli->output == OUT_NAME)
		return out_write(arena_printf(cli->arena, "proposal/%.*s\n", STR_ARG(id)),
				 err);
	note("%.*s", STR_ARG(value_text_at(answer, "approval_dashboard_url")));
	return out_write(arena_printf(cli->arena, "%.*s\n",
				      STR_ARG(value_text_at(answer, "message"))), err);
}

/* ---- proposals ---- */

/* What a list is narrowed to, behind '?limit='. */
static enum code list_target(struct cli *cli, const char *path, struct buf *target,
			     struct err *err)
{
	uint64_t limit = 100;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	buf_printf(target, "%s?limit=%llu", path, (unsigned long long)limit);
	if (cli_has(cli, FLAG_NAMESPACE))
		put_query(target, "tenant", str_of(cli_text(cli, FLAG_NAMESPACE)));
	if (cli_has(cli, FLAG_PHASE))
		put_query(target, "phase", str_of(cli_text(cli, FLAG_PHASE)));
	if (cli_has(cli, FLAG_REVIEW))
		put_query(target, "review", STR("Open"));
	if (cli_has(cli, FLAG_AFTER))
		put_query(target, "after", str_of(cli_text(cli, FLAG_AFTER)));
	return rc;
}

/* Beside the table, which scripts read. */
static void tell_more(struct cli *cli, const struct value *answer)
{
	struct str n = text_of(cli->arena, value_getz(answer, "remaining"));
	struct str next = value_text_at(answer, "next");

	if (next.n)
		fprintf(stderr, "%.*s%smore: --limit, or --after %.*s\n", STR_ARG(n),
			n.n ? " " : "", STR_ARG(next));
}

static void add_proposal(struct cli *cli, struct table *t, const struct value *p)
{
	bool is_open = str_is(value_text_at(p, "status.review"), "Open");
	struct str phase = value_text_at(p, "status.phase");

	table_add(t, value_text_at(p, "id"));
	table_add(t, is_open ? arena_printf(cli->arena, "%.*s, review open",
					    STR_ARG(phase)) : phase);
	table_add(t, value_text_at(p, "status.summary"));
	table_add(t, text_of(cli->arena, value_at(p, "spec.count")));
	table_add(t, value_text_at(p, "spec.author"));
	table_add(t, value_text_at(p, "created"));
	table_add(t, text_short(cli->arena, value_text_at(p, "spec.reason")));
}

static enum code list_proposals(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "PROPOSAL", "PHASE", "APPROVALS", "CONFIGS",
					      "AUTHOR", "CREATED", "REASON" };
	static const struct listing listing = { "proposals", "id", header,
						ARRAY_LEN(header), add_proposal,
						tell_more };
	AUTO_BUF target = BUF_NONE;
	enum code rc = list_target(cli, "/api/v1/proposals", &target, err);

	return rc ? rc : cli_show(cli, buf_view(&target), &listing, err);
}

static void put_row(struct cli *cli, struct buf *out, const char *name,
		    const struct value *v)
{
	struct str text = text_of(cli->arena, v);

	if (text.n)
		buf_printf(out, "%-11s %.*s\n", arena_printf(cli->arena, "%s:", name).p,
			   STR_ARG(text));
}

static void put_history(struct buf *out, const struct value *history)
{
	for (size_t i = 0; i < value_count(history); i++) {
		const struct value *h = history->a.items[i];
		struct str message = value_text_at(h, "message");
		struct str what = value_text_at(h, "what");

		buf_printf(out, "  %.*s  %-10.*s %.*s%s%.*s\n",
			   STR_ARG(value_text_at(h, "at")),
			   STR_ARG(what.n ? what : value_text_at(h, "action")),
			   STR_ARG(value_text_at(h, "by")), message.n ? ": " : "",
			   STR_ARG(message));
	}
}

static enum code tell_proposal(struct cli *cli, const struct value *v, struct err *err)
{
	struct str phase = value_text_at(v, "status.phase");
	bool is_over = !str_is(phase, "Pending") && !str_is(phase, "Approved");
	AUTO_BUF out = BUF_NONE;

	if (out_is_value(cli))
		return out_value(cli, v, err);
	v = by_lines(cli, v);
	put_row(cli, &out, "proposal", value_getz(v, "id"));
	put_row(cli, &out, "phase", value_at(v, "status.phase"));
	put_row(cli, &out, "waits for", value_getz(v, "waits_for"));
	put_row(cli, &out, "approvals", value_at(v, "status.summary"));
	put_row(cli, &out, "review", value_at(v, "status.review"));
	put_row(cli, &out, "author", value_at(v, "spec.author"));
	put_row(cli, &out, "reason", value_at(v, "spec.reason"));
	put_row(cli, &out, "commit", value_at(v, "spec.commit"));
	put_row(cli, &out, "not before", value_at(v, "spec.notBefore"));
	if (!is_over)
		put_row(cli, &out, "expires", value_at(v, "spec.expiresAt"));
	put_row(cli, &out, "message", value_at(v, "status.message"));
	put_row(cli, &out, "release", value_at(v, "status.release"));
	put_row(cli, &out, "digest", value_at(v, "spec.digest"));
	if (value_at(v, "status.history")) {
		buf_z(&out, "history:\n");
		put_history(&out, value_at(v, "status.history"));
	}
	if (value_getz(v, "plan"))
		put_plan(cli, &out, value_getz(v, "plan"), is_over);
	return out_write(buf_view(&out), err);
}

enum code cmd_proposals(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct value *v;
	enum code rc;

	if (cli->n_args == 0)
		return list_proposals(cli, err);
	rc = id_target(cli, "/api/v1/proposals/", cli->args[0], "", &target, err);
	if (rc == OK)
		rc = cli_get(cli, buf_view(&target), &v, err);
	return rc ? hint_where(rc, "conflux proposals", err) : tell_proposal(cli, v, err);
}

static enum code vote(struct cli *cli, const char *behind, struct err *err)
{
	struct value *body = value_object(cli->arena), *v;
	AUTO_BUF target = BUF_NONE;
	struct str left;
	enum code rc = id_target(cli, "/api/v1/proposals/", cli->args[0], behind, &target,
				 err);

	set_text(cli, body, "reason", cli_text(cli, FLAG_MESSAGE));
	set_text(cli, body, "digest", cli_text(cli, FLAG_DIGEST));
	if (rc == OK)
		rc = cli_send(cli, HTTP_M_POST, buf_view(&target), body, &v, err);
	(void)hint_where(rc, "conflux proposals", err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	left = value_text_at(v, "status.summary");
	if (str_is(str_of(behind), "/review"))
		return out_write(arena_printf(cli->arena, "%s: reviewed\n", cli->args[0]), err);
	return out_write(arena_printf(cli->arena, "%s: %.*s%s%.*s\n", cli->args[0],
				      STR_ARG(value_text_at(v, "status.phase")),
				      left.n ? ", approvals " : "", STR_ARG(left)), err);
}

enum code cmd_approve(struct cli *cli, struct err *err)
{
	return vote(cli, "/approve", err);
}

enum code cmd_reject(struct cli *cli, struct err *err)
{
	return vote(cli, "/reject", err);
}

enum code cmd_cancel(struct cli *cli, struct err *err)
{
	return vote(cli, "/cancel", err);
}

enum code cmd_review(struct cli *cli, struct err *err)
{
	return vote(cli, "/review", err);
}

/* ---- releases ---- */

static void add_release(struct cli *cli, struct table *t, const struct value *p)
{
	const struct value *o = value_getz(p, "object");

	table_add(t, value_text_at(p, "id"));
	table_add(t, value_text_at(o, "status.phase"));
	table_add(t, text_of(cli->arena, value_at(o, "status.step")));
	table_add(t, value_text_at(o, "spec.strategy"));
	table_add(t, text_of(cli->arena, value_at(o, "spec.count")));
	table_add(t, value_text_at(o, "spec.author"));
	table_add(t, value_text_at(o, "metadata.creationTimestamp"));
	table_add(t, text_short(cli->arena, value_text_at(o, "spec.reason")));
}

static enum code list_releases(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "RELEASE", "PHASE", "STEP", "STRATEGY",
					      "CONFIGS", "AUTHOR", "CREATED", "REASON" };
	static const struct listing listing = { "releases", "id", header,
						ARRAY_LEN(header), add_release,
						tell_more };
	AUTO_BUF target = BUF_NONE;
	enum code rc = list_target(cli, "/api/v1/releases", &target, err);

	return rc ? rc : cli_show(cli, buf_view(&target), &listing, err);
}

/* Where it goes out in steps. */
static void put_step(struct cli *cli, struct buf *out, const struct value *o)
{
	const struct value *step = value_at(o, "status.step");

	if (!step)
		return;
	buf_printf(out, "%-11s %.*s of %.*s\n", "step:",
		   STR_ARG(text_of(cli->arena, step)),
		   STR_ARG(text_of(cli->arena, value_at(o, "status.steps"))));
	put_row(cli, out, "instances", value_at(o, "status.expected"));
}

static enum code tell_release(struct cli *cli, const struct value *v, struct err *err)
{
	const struct value *o, *configs;
	AUTO_BUF out = BUF_NONE;

	if (out_is_value(cli))
		return out_value(cli, v, err);
	v = by_lines(cli, v);
	o = value_getz(v, "object");
	configs = value_at(o, "spec.configs");
	put_row(cli, &out, "release", value_getz(v, "id"));
	put_row(cli, &out, "phase", value_at(o, "status.phase"));
	put_step(cli, &out, o);
	put_row(cli, &out, "waits for", value_getz(v, "waits_for"));
	if (value_getz(v, "waits_for_error"))
		buf_printf(&out, "waits for:  not known, the leader did not say: %.*s\n",
			   STR_ARG(value_text_at(v, "waits_for_error")));
	put_row(cli, &out, "message", value_at(o, "status.message"));
	put_row(cli, &out, "strategy", value_at(o, "spec.strategy"));
	put_row(cli, &out, "policy", value_at(o, "spec.policy"));
	put_row(cli, &out, "author", value_at(o, "spec.author"));
	put_row(cli, &out, "reason", value_at(o, "spec.reason"));
	put_row(cli, &out, "commit", value_at(o, "spec.commit"));
	buf_z(&out, "configs:\n");
	for (size_t i = 0; i < value_count(configs); i++)
		buf_printf(&out, "  %.*s version %.*s\n",
			   STR_ARG(value_text_at(configs->a.items[i], "name")),
			   STR_ARG(text_of(cli->arena, value_getz(configs->a.items[i],
								  "version"))));
	if (value_at(o, "status.history")) {
		buf_z(&out, "history:\n");
		put_history(&out, value_at(o, "status.history"));
	}
	return out_write(buf_view(&out), err);
}

static enum code move(struct cli *cli, struct str what, struct err *err)
{
	struct value *body = value_object(cli->arena), *v;
	AUTO_BUF target = BUF_NONE;
	AUTO_BUF behind = BUF_NONE;
	enum code rc;

	buf_c(&behind, '/');
	buf_str(&behind, what);
	rc = id_target(cli, "/api/v1/releases/", cli->args[1], behind.p, &target, err);
	set_text(cli, body, "reason", cli_text(cli, FLAG_MESSAGE));
	set_text(cli, body, "mode", cli_text(cli, FLAG_MODE));
	if (cli_has(cli, FLAG_FORCE))
		value_setz(cli->arena, body, "force", value_bool(cli->arena, true));
	if (rc == OK)
		rc = cli_send(cli, HTTP_M_POST, buf_view(&target), body, &v, err);
	(void)hint_where(rc, "conflux release list", err);
	if (rc == E_PHASE && str_is(what, "rollback"))
		err_hint(err, "`conflux rollback TENANT/APP/ENV/NAME` goes back to what was "
			 "live before");
	if (rc == OK && str_is(what, "rollback"))
		cli_tell_held(cli, value_text_at(v, "object.metadata.namespace"),
			      value_text_at(v, "object.metadata.name"));
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	return out_write(arena_printf(cli->arena, "%s: %.*s\n", cli->args[1],
				      STR_ARG(value_text_at(v, "object.status.phase"))),
			 err);
}

enum code cmd_release(struct cli *cli, struct err *err)
{
	static const char *const moves[] = { "promote", "promote-full", "pause", "resume",
					     "abort", "rollback" };
	struct str what = str_of(cli->args[0]);
	AUTO_BUF target = BUF_NONE;
	struct value *v;
	enum code rc;

	if (str_is(what, "list") && cli->n_args == 1)
		return list_releases(cli, err);
	if (cli->n_args == 2 && str_is(what, "show")) {
		rc = id_target(cli, "/api/v1/releases/", cli->args[1], "", &target, err);
		if (rc == OK)
			rc = cli_get(cli, buf_view(&target), &v, err);
		return rc ? hint_where(rc, "conflux release list", err) :
			    tell_release(cli, v, err);
	}
	for (size_t i = 0; cli->n_args == 2 && i < ARRAY_LEN(moves); i++)
		if (str_eq(what, str_of(moves[i])))
			return move(cli, what, err);
	return cli_not_understood(cli, err);
}
