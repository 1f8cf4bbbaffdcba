/* conflux cluster: who is in it, who leads, and changing both. */
#include <stdio.h>

#include "cli/cli.h"

#include "http/wire/url.h"

#include "base/banned.h"

/* How far others are only the leader knows, and nobody measures the way to
 * itself: that is 0. */
static struct str cell(struct cli *cli, const struct value *node,
		       const char *member)
{
	struct str text = text_of(cli->arena, value_get(node, str_of(member)));

	return str_eq(text, STR("0")) ? STR("-") : text;
}

static enum code print_nodes(struct cli *cli, const struct value *v,
			     struct err *err)
{
	static const char *const header[] = { "NODE", "ROLE", "UP", "MATCH",
					      "RTT-US", "QUEUED", "DROPPED",
					      "RECONNECTS", "ADDRESS", "ERROR" };
	static const char *const members[] = { "id", "role", "is_up",
					       "match_index", "rtt_us",
					       "queued_bytes", "dropped",
					       "reconnects", "address", "error" };
	const struct value *list;
	struct table t;
	enum code rc = cli_list(v, "nodes", &list, err);

	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "id", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		for (size_t k = 0; k < ARRAY_LEN(members); k++)
			table_add(&t, cell(cli, list->a.items[i], members[k]));
	return table_print(&t, err);
}

/* Beside the table, which scripts read. */
static void warn_of_state(struct cli *cli, const struct value *v)
{
	struct str state = text_of(cli->arena, value_get(v, STR("state")));
	struct str entry = text_of(cli->arena,
				   value_get(v, STR("divergence_index")));
	struct str own = text_of(cli->arena, value_get(v, STR("node_id")));
	struct str other = text_of(cli->arena,
				   value_get(v, STR("divergence_node")));

	if (str_eq(state, STR("fenced")))
		fprintf(stderr, "warning: node %.*s is fenced: its state is not "
			"that of the majority at entry %.*s; remove it, wipe it "
			"and let it join under a new id\n", STR_ARG(own),
			STR_ARG(entry));
	else if (str_eq(state, STR("differs")))
		fprintf(stderr, "warning: the state of node %.*s is another at "
			"entry %.*s\n", STR_ARG(other), STR_ARG(entry));
}

static enum code node_target(const char *id, const char *what, struct buf *out,
			     struct err *err)
{
	uint64_t n;

	if (!str_u64(str_of(id), &n) || n == 0 || n > 65535) {
		err_set(err, E_USAGE, "cluster: \"%s\" is no node id", id);
		return err_hint(err, "a number of 1 to 65535; conflux cluster "
				     "status shows them");
	}
	buf_printf(out, "/_cluster/nodes/%llu%s", (unsigned long long)n, what);
	return OK;
}

static struct value *body_of(struct cli *cli, const char *id,
			     const char *address)
{
	struct value *body = value_object(cli->arena);
	uint64_t n = 0;

	(void)!str_u64(str_of(id), &n);
	value_setz(cli->arena, body, "id", value_u64(cli->arena, n));
	if (address)
		value_setz(cli->arena, body, "address",
			   value_str(cli->arena, str_of(address)));
	return body;
}

/* Sends it, and prints who is in the cluster then. */
static enum code change(struct cli *cli, enum http_method method,
			struct buf *target, const struct value *body,
			struct err *err)
{
	struct value *v;
	enum code rc;

	if (cli_has(cli, FLAG_FORCE))
		put_query(target, "force", STR("true"));
	rc = cli_send(cli, method, buf_view(target), body, &v, err);
	return rc ? rc : print_nodes(cli, v, err);
}

static enum code initialize(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct value *v;
	enum code rc;

	buf_z(&target, "/_cluster/initialize");
	if (cli_has(cli, FLAG_EXPECT))
		put_query(&target, "expect", str_of(cli_text(cli, FLAG_EXPECT)));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
	if (rc)
		return rc;
	return out_write(STR("asked for: the cluster is formed when all of them are "
			     "there\n"), err);
}

/* ---- collection of versions ---- */

static enum code gc_run(struct cli *cli, struct err *err)
{
	uint64_t examined = 0, removed = 0, n;
	AUTO_BUF after = BUF_NONE;
	AUTO_BUF out = BUF_NONE;

	for (bool more = true; more;) {
		AUTO_BUF target = BUF_NONE;
		struct value *v;
		enum code rc;

		buf_z(&target, "/api/v1/_cluster/gc");
		if (after.n)
			put_query(&target, "after", buf_view(&after));
		rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
		if (rc)
			return rc;
		examined += value_to_u64(value_getz(v, "examined"), &n) ? n : 0;
		removed += value_to_u64(value_getz(v, "removed"), &n) ? n : 0;
		more = value_getz(v, "next") != NULL;
		buf_reset(&after);
		buf_str(&after, value_text_at(v, "next"));
	}
	buf_printf(&out, "%llu versions of %llu configurations removed\n",
		   (unsigned long long)removed, (unsigned long long)examined);
	return out_write(buf_view(&out), err);
}

static enum code print_preview(struct cli *cli, const struct value *v, struct err *err)
{
	static const char *const header[] = { "VERSION", "CREATED", "SIZE", "GOES",
					      "WHY" };
	const struct value *list;
	struct table t;
	enum code rc = cli_list(v, "versions", &list, err);

	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "version_id", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++) {
		const struct value *one = list->a.items[i];

		table_add(&t, text_of(cli->arena, value_getz(one, "version_id")));
		table_add(&t, value_text_at(one, "created"));
		table_add(&t, text_of(cli->arena, value_getz(one, "size")));
		table_addz(&t, value_to_bool(value_getz(one, "removed"), false) ? "yes" :
										   "no");
		table_add(&t, value_text_at(one, "why"));
	}
	rc = table_print(&t, err);
	fprintf(stderr, "%.*s: %.*s of %zu versions would go: it %.*s\n",
		STR_ARG(value_text_at(v, "name")),
		STR_ARG(text_of(cli->arena, value_getz(v, "removed"))),
		value_count(list), STR_ARG(value_text_at(v, "retention")));
	return rc;
}

/* All of it: what stands behind 'whole' is asked for, and put there. */
static enum code get_rest(struct cli *cli, struct str target, struct value *whole,
			  struct err *err)
{
	struct value *all = value_getz(whole, "versions");
	uint64_t next, goes = 0, n;
	enum code rc = OK;

	(void)!value_to_u64(value_getz(whole, "removed"), &goes);
	while (rc == OK && value_to_u64(value_getz(whole, "next"), &next)) {
		AUTO_BUF behind = BUF_NONE;
		const struct value *list;
		struct value *v;

		buf_printf(&behind, "%.*s?after=%llu", STR_ARG(target),
			   (unsigned long long)next);
		rc = cli_get(cli, buf_view(&behind), &v, err);
		if (rc == OK)
			rc = cli_list(v, "versions", &list, err);
		if (rc)
			break;
		for (size_t i = 0; i < value_count(list); i++)
			value_push(cli->arena, all, list->a.items[i]);
		if (value_to_u64(value_getz(v, "removed"), &n))
			goes += n;
		value_remove(whole, STR("next"));
		if (value_to_u64(value_getz(v, "next"), &n) && n < next)
			value_setz(cli->arena, whole, "next", value_u64(cli->arena, n));
	}
	value_setz(cli->arena, whole, "removed", value_u64(cli->arena, goes));
	return rc;
}

static enum code gc_preview(struct cli *cli, const char *address, struct err *err)
{
	const struct value *list;
	AUTO_BUF target = BUF_NONE;
	struct value *v;
	enum code rc;

	buf_z(&target, "/api/v1/mgt/configs");
	put_query(&target, "address", str_of(address));
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc)
		return rc;
	buf_reset(&target);
	buf_z(&target, "/api/v1/_cluster/gc/configs/");
	url_encode(&target, value_text_at(v, "id"));
	buf_z(&target, "/preview");
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "versions", &list, err);
	if (rc == OK)
		rc = get_rest(cli, buf_view(&target), v, err);
	return rc ? rc : print_preview(cli, v, err);
}

static enum code gc(struct cli *cli, struct err *err)
{
	struct str what = cli->n_args > 1 ? str_of(cli->args[1]) : STR_NONE;
	struct value *v;
	enum code rc;

	if (cli->n_args == 1)
		return gc_run(cli, err);
	if (cli->n_args == 3 && str_is(what, "preview"))
		return gc_preview(cli, cli->args[2], err);
	if (cli->n_args == 2 && str_is(what, "status")) {
		rc = cli_get(cli, STR("/api/v1/_cluster/gc/status"), &v, err);
		return rc ? rc : out_members(cli, v, err);
	}
	err_set(err, E_USAGE, "cluster gc: \"%s\" is not understood", cli->args[1]);
	return err_hint(err, "gc, gc status, gc preview TENANT/APP/ENV/NAME");
}

enum code cmd_cluster(struct cli *cli, struct err *err)
{
	struct str what = str_of(cli->args[0]);
	const char *id = cli->n_args > 1 ? cli->args[1] : "";
	AUTO_BUF target = BUF_NONE;
	AUTO_BUF unused = BUF_NONE;
	struct value *v;
	enum code rc;

	if (str_is(what, "backup"))
		return cli_cluster_backup(cli, err);
	if (str_is(what, "log"))
		return cli_cluster_log(cli, err);
	if (str_is(what, "recover"))
		return cli_cluster_recover(cli, err);
	if (str_is(what, "restore"))
		return cli_cluster_restore(cli, err);
	if (str_is(what, "gc"))
		return gc(cli, err);
	if (cli->n_args == 1 && str_is(what, "status")) {
		rc = cli_get(cli, STR("/_cluster/status"), &v, err);
		if (rc)
			return rc;
		warn_of_state(cli, v);
		return print_nodes(cli, v, err);
	}
	if (cli->n_args == 1 && str_is(what, "initialize"))
		return initialize(cli, err);
	if (cli->n_args == 3 && str_is(what, "add")) {
		buf_z(&target, "/_cluster/nodes");
		rc = node_target(id, "", &unused, err);
		return rc ? rc : change(cli, HTTP_M_POST, &target,
					body_of(cli, id, cli->args[2]), err);
	}
	if (cli->n_args == 2 && str_is(what, "transfer")) {
		buf_z(&target, "/_cluster/leader/transfer");
		rc = node_target(id, "", &unused, err);
		return rc ? rc : change(cli, HTTP_M_POST, &target,
					body_of(cli, id, NULL), err);
	}
	if (cli->n_args == 2 &&
	    (str_is(what, "promote") || str_is(what, "demote"))) {
		rc = node_target(id, str_is(what, "promote") ? "/promote" :
							       "/demote",
				 &target, err);
		return rc ? rc : change(cli, HTTP_M_POST, &target, NULL, err);
	}
	if (cli->n_args == 2 && str_is(what, "remove")) {
		rc = node_target(id, "", &target, err);
		return rc ? rc : change(cli, HTTP_M_DELETE, &target, NULL, err);
	}
	return cli_not_understood(cli, err);
}
