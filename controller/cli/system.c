/* reconcile, audit, token, instances, status, version. */
#include "cli/cli.h"

#include <stdio.h>

#include "base/clock.h"
#include "http/wire/url.h"

#include "base/banned.h"

enum code cmd_reconcile(struct cli *cli, struct err *err)
{
	struct str name = str_of(cli->args[0]);
	struct str tenant = str_cut(&name, '/');
	bool wait = !cli_has(cli, FLAG_NO_WAIT);
	AUTO_BUF target = BUF_NONE;
	struct str live, n;
	struct value *v;
	const char *what;
	enum code rc;

	if (name.n == 0 || tenant.n == 0) {
		err_set(err, E_USAGE, "reconcile: \"%s\" is no source",
			cli->args[0]);
		return err_hint(err, "TENANT/SOURCE");
	}
	buf_z(&target, "/api/v1/sources/");
	url_encode(&target, tenant);
	buf_c(&target, '/');
	url_encode(&target, name);
	buf_z(&target, "/reconcile");
	put_query(&target, "wait", wait ? STR("true") : STR("false"));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
	if (rc)
		return rc;
	if (!wait)
		return out_write(STR("asked for\n"), err);
	live = text_short(cli->arena, value_text_at(v, "lastAppliedRevision"));
	n = text_of(cli->arena, value_getz(v, "operations"));
	if (!str_is(n, "0"))
		return out_write(arena_printf(cli->arena, "%s: %.*s is live, %.*s "
					      "%s\n", cli->args[0],
					      STR_ARG(live), STR_ARG(n),
					      str_is(n, "1") ? "operation" :
							       "operations"),
				 err);
	/* Right after `apply` the source itself was quicker. */
	what = str_is(text_of(cli->arena, value_getz(v, "revision")), "0") ?
	       "was live already: the repository has nothing newer" :
	       "is live, and changes no configuration";
	return out_write(arena_printf(cli->arena, "%s: %.*s %s\n", cli->args[0],
				      STR_ARG(live), what), err);
}

/* ---- audit ---- */

static enum code audit_verify(struct cli *cli, struct err *err)
{
	struct value *v;
	enum code rc = cli_get(cli, STR("/api/v1/audit/verify"), &v, err);

	if (rc)
		return rc;
	/* Not to be taken for a broken chain. */
	if (!value_getz(v, "valid"))
		return err_set(err, E_INVALID, "the server's answer does not say "
			       "whether the chain is valid");
	if (out_is_value(cli))
		rc = out_value(cli, v, err);
	else
		rc = out_write(arena_printf(cli->arena, "%.*s records, head %.*s"
					    "\n", STR_ARG(text_of(cli->arena,
						value_getz(v, "records"))),
					    STR_ARG(str_first(value_text_at(v,
						"head"), 12))), err);
	if (rc || value_to_bool(value_getz(v, "valid"), false))
		return rc;
	return err_set(err, E_CORRUPT, "the chain is broken: %.*s",
		       STR_ARG(value_text_at(v, "detail")));
}

static enum code audit_list(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "SEQ", "TIME", "WHO", "FROM",
					      "WHAT", "COMMIT", "REASON" };
	static const char *const members[] = { "seq", "time", "subject", "origin",
					       "target", "commit", "reason" };
	AUTO_BUF target = BUF_NONE;
	uint64_t limit = 100, from = 0;
	const struct value *list;
	struct value *v;
	struct table t;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc == OK)
		rc = cli_u64(cli, FLAG_FROM, &from, err);
	if (rc)
		return rc;
	buf_printf(&target, "/api/v1/audit?from=%llu&limit=%llu",
		   (unsigned long long)from, (unsigned long long)limit);
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "records", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "seq", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		for (size_t k = 0; k < ARRAY_LEN(members); k++) {
			struct str cell = text_of(cli->arena, value_get(
				list->a.items[i], str_of(members[k])));

			table_add(&t, cli->output == OUT_WIDE ? cell :
				  text_short(cli->arena, cell));
		}
	rc = table_print(&t, err);
	if (rc == OK && value_getz(v, "next"))
		fprintf(stderr, "more: --from %.*s\n",
			STR_ARG(text_of(cli->arena, value_getz(v, "next"))));
	return rc;
}

enum code cmd_audit(struct cli *cli, struct err *err)
{
	struct str what = str_of(cli->args[0]);

	if (str_is(what, "list"))
		return audit_list(cli, err);
	if (str_is(what, "verify"))
		return audit_verify(cli, err);
	return err_set(err, E_USAGE, "audit: list or verify, not \"%s\"",
		       cli->args[0]);
}

/* ---- tokens ---- */

static enum code token_create(struct cli *cli, const char *name, struct err *err)
{
	struct value *body = value_object(cli->arena), *v;
	/* What the key would bring back does not hold the token. */
	struct client_request q = { .method = HTTP_M_POST, .is_once = true,
				    .target = STR("/api/v1/tokens") };
	AUTO_BUF json = BUF_NONE;
	enum code rc;

	value_setz(cli->arena, body, "name",
		   value_str(cli->arena, str_of(name)));
	value_setz(cli->arena, body, "read_only",
		   value_bool(cli->arena, cli_has(cli, FLAG_READ_ONLY)));
	if (cli_has(cli, FLAG_CERTIFICATE_NAME))
		value_setz(cli->arena, body, "certificate_name",
			   value_str(cli->arena, str_of(cli_text(cli,
						FLAG_CERTIFICATE_NAME))));
	value_json(&json, body);
	q.body = buf_view(&json);
	rc = cli_ask(cli, &q, &v, err);
	if (rc)
		return rc;
	if (out_is_value(cli))
		return out_value(cli, v, err);
	if (cli_has(cli, FLAG_CERTIFICATE_NAME))
		return out_write(arena_printf(cli->arena, "token/%s created\n", name),
				 err);
	fprintf(stderr, "token %s (%.*s); it is shown once\n", name,
		STR_ARG(value_text_at(v, "role")));
	return out_write(arena_printf(cli->arena, "%.*s\n",
				      STR_ARG(value_text_at(v, "token"))), err);
}

static enum code token_list(struct cli *cli, struct err *err)
{
	const struct value *list;
	struct value *v;
	struct table t;
	enum code rc = cli_get(cli, STR("/api/v1/tokens"), &v, err);

	if (rc == OK)
		rc = cli_list(v, "tokens", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "name", err);
	table_init(&t, cli->arena, 4);
	table_addz(&t, "NAME");
	table_addz(&t, "ROLE");
	table_addz(&t, "CREATED");
	table_addz(&t, "CERTIFICATE");
	for (size_t i = 0; i < value_count(list); i++) {
		table_add(&t, value_text_at(list->a.items[i], "name"));
		table_add(&t, value_text_at(list->a.items[i], "role"));
		table_add(&t, value_text_at(list->a.items[i], "created"));
		table_add(&t, value_text_at(list->a.items[i],
					    "certificate_name"));
	}
	return table_print(&t, err);
}

static enum code token_delete(struct cli *cli, const char *name, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	enum code rc;

	buf_z(&target, "/api/v1/tokens/");
	url_encode(&target, str_of(name));
	rc = cli_send(cli, HTTP_M_DELETE, buf_view(&target), NULL, NULL, err);
	return rc ? rc : out_write(arena_printf(cli->arena, "token/%s deleted\n",
						name), err);
}

enum code cmd_token(struct cli *cli, struct err *err)
{
	struct str what = str_of(cli->args[0]);

	if (str_is(what, "list") && cli->n_args == 1)
		return token_list(cli, err);
	if (cli->n_args == 2 && str_is(what, "create"))
		return token_create(cli, cli->args[1], err);
	if (cli->n_args == 2 && str_is(what, "delete"))
		return token_delete(cli, cli->args[1], err);
	err_set(err, E_USAGE, "token: that is not understood");
	return err_hint(err, "conflux token %s", cli->command->arguments);
}

/* ---- instances ---- */

static void add_instance(struct table *t, const struct value *item)
{
	static const char *const members[] = { "instance", "key", "version",
					       "state" };
	uint64_t ms = 0;
	char age[16];

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		table_add(t, text_of(t->arena, value_get(item, str_of(members[i]))));
	(void)!value_to_u64(value_getz(item, "age_ms"), &ms);
	clock_age(age, ms);
	table_add(t, arena_str(t->arena, str_of(age)));
	table_addz(t, value_to_bool(value_getz(item, "connected"), false) ? "yes" :
									   "no");
	table_add(t, text_short(t->arena, value_text_at(item, "reason")));
}

enum code cmd_instances(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "INSTANCE", "CONFIGURATION",
					      "VERSION", "STATE", "AGE",
					      "CONNECTED", "REASON" };
	AUTO_BUF target = BUF_NONE;
	const struct value *list;
	uint64_t limit = 100;
	struct value *v;
	struct table t;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc)
		return rc;
	buf_printf(&target, "/api/v1/instances?limit=%llu",
		   (unsigned long long)limit);
	if (cli->n_args)
		put_query(&target, "key", str_of(cli->args[0]));
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "instances", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "instance", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		add_instance(&t, list->a.items[i]);
	return table_print(&t, err);
}

/* ---- status, version ---- */

enum code cmd_status(struct cli *cli, struct err *err)
{
	struct value *v;
	enum code rc = cli_get(cli, STR("/api/v1/status"), &v, err);

	if (rc || cli->output != OUT_NAME)
		return rc ? rc : out_members(cli, v, err);
	return out_write(arena_printf(cli->arena, "node/%.*s\n",
				      STR_ARG(text_of(cli->arena, value_getz(v,
						"node_id")))), err);
}

enum code cmd_version(struct cli *cli, struct err *err)
{
	struct value *out = value_object(cli->arena), *v;
	enum code rc = cli_get(cli, STR("/version"), &v, err);

	value_setz(cli->arena, out, "client",
		   value_str(cli->arena, STR(CLI_VERSION)));
	if (rc == OK)
		value_setz(cli->arena, out, "server",
			   value_str(cli->arena, value_text_at(v, "conflux")));
	/* Without a server the command still has a version. */
	if (cli->output == OUT_NAME)
		return out_write(STR(CLI_VERSION "\n"), err);
	return out_members(cli, out, err) ? err->code : rc;
}
