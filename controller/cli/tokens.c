/* token, whoami. */
#include "cli/cli.h"

#include <stdio.h>

#include "http/wire/url.h"

#include "base/banned.h"

static void set_text(struct cli *cli, struct value *body, const char *name, enum flag flag)
{
	if (cli_has(cli, flag))
		value_set(cli->arena, body, str_of(name),
			   value_str(cli->arena, str_of(cli_text(cli, flag))));
}

static void set_texts(struct cli *cli, struct value *body, const char *name, enum flag flag)
{
	const struct given *g = &cli->given[flag];
	struct value *list = value_array(cli->arena);

	for (size_t i = 0; i < g->n; i++)
		value_push(cli->arena, list, value_str(cli->arena, str_of(g->v[i])));
	if (g->n)
		value_set(cli->arena, body, str_of(name), list);
}

static enum code check_create(struct cli *cli, const char *name, struct err *err)
{
	static const enum flag of_subject[] = { FLAG_GROUP, FLAG_VERB, FLAG_TENANT,
						FLAG_EXPIRES, FLAG_INSTANCE };
	bool has_subject = cli_has(cli, FLAG_SUBJECT);

	if (!name && !has_subject) {
		err_set(err, E_USAGE, "token create: a name or --subject is missing");
		return err_hint(err, "conflux token create --subject ann --verb publish "
				"--tenant acme, or conflux token create NAME for one that may "
				"do everything");
	}
	if (has_subject && cli_has(cli, FLAG_READ_ONLY))
		return err_set(err, E_USAGE, "--read-only is of tokens without "
			       "--subject; a subject without --verb may read");
	for (size_t i = 0; i < ARRAY_LEN(of_subject); i++)
		if (!has_subject && cli_has(cli, of_subject[i]))
			return err_set(err, E_USAGE, "--%s is of a --subject",
				       flags[of_subject[i]].name);
	return OK;
}

static struct value *create_body(struct cli *cli, const char *name)
{
	struct value *body = value_object(cli->arena);

	if (name)
		value_setz(cli->arena, body, "name",
			   value_str(cli->arena, str_of(name)));
	if (!cli_has(cli, FLAG_SUBJECT))
		value_setz(cli->arena, body, "read_only",
			   value_bool(cli->arena, cli_has(cli, FLAG_READ_ONLY)));
	set_text(cli, body, "certificate_name", FLAG_CERTIFICATE_NAME);
	set_text(cli, body, "subject", FLAG_SUBJECT);
	set_text(cli, body, "tenant", FLAG_TENANT);
	set_text(cli, body, "expires", FLAG_EXPIRES);
	set_texts(cli, body, "groups", FLAG_GROUP);
	set_texts(cli, body, "verbs", FLAG_VERB);
	set_texts(cli, body, "instances", FLAG_INSTANCE);
	return body;
}

static enum code token_create(struct cli *cli, const char *name, struct err *err)
{
	/* What the key would bring back does not hold the token. */
	struct client_request q = { .method = HTTP_M_POST, .is_once = true,
				    .target = STR("/api/v1/tokens") };
	AUTO_BUF json = BUF_NONE;
	struct value *v;
	enum code rc = check_create(cli, name, err);

	if (rc)
		return rc;
	value_json(&json, create_body(cli, name));
	q.body = buf_view(&json);
	rc = cli_ask(cli, &q, &v, err);
	if (rc)
		return rc;
	if (out_is_value(cli))
		return out_value(cli, v, err);
	if (cli_has(cli, FLAG_CERTIFICATE_NAME))
		return out_write(arena_printf(cli->arena, "token/%.*s created\n",
					      STR_ARG(value_text_at(v, "name"))), err);
	fprintf(stderr, "token %.*s (%.*s); it is shown once\n",
		STR_ARG(value_text_at(v, "name")),
		STR_ARG(value_text_at(v, "role")));
	return out_write(arena_printf(cli->arena, "%.*s\n",
				      STR_ARG(value_text_at(v, "token"))), err);
}

/* "publish, approve" */
static struct str joined(struct cli *cli, const struct value *list)
{
	AUTO_BUF out = BUF_NONE;

	for (size_t i = 0; i < value_count(list); i++) {
		buf_z(&out, i ? ", " : "");
		buf_str(&out, value_text(list->a.items[i]));
	}
	return arena_str(cli->arena, buf_view(&out));
}

static void add_token(struct cli *cli, struct table *t, const struct value *token)
{
	struct str expires = value_text_at(token, "expires");

	table_add(t, value_text_at(token, "name"));
	table_add(t, value_text_at(token, "role"));
	table_add(t, value_text_at(token, "subject"));
	table_add(t, value_text_at(token, "tenant"));
	table_add(t, joined(cli, value_getz(token, "groups")));
	table_add(t, joined(cli, value_getz(token, "verbs")));
	table_add(t, value_text_at(token, "created"));
	table_add(t, value_to_bool(value_getz(token, "has_ended"), false) ?
			     STR("has ended") : expires);
	table_add(t, value_text_at(token, "certificate_name"));
}

static enum code token_list(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "NAME", "ROLE", "SUBJECT", "TENANT",
					      "GROUPS", "VERBS", "CREATED",
					      "EXPIRES", "CERTIFICATE" };
	static const struct listing listing = { "tokens", "name", header,
						ARRAY_LEN(header), add_token,
						NULL };

	return cli_show(cli, STR("/api/v1/tokens"), &listing, err);
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
	if (str_is(what, "create"))
		return token_create(cli, cli->n_args == 2 ? cli->args[1] : NULL, err);
	if (cli->n_args == 2 && str_is(what, "delete"))
		return token_delete(cli, cli->args[1], err);
	return cli_not_understood(cli, err);
}

enum code cmd_whoami(struct cli *cli, struct err *err)
{
	static const char *const members[] = { "subject", "role", "tenant", "groups",
					       "instances", "verbs", "expires",
					       "credential" };
	struct value *v;
	enum code rc = cli_get(cli, STR("/api/v1/whoami"), &v, err);

	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_write(arena_printf(cli->arena, "%.*s\n",
				 STR_ARG(value_text_at(v, "subject"))), err);
	for (size_t i = 0; i < ARRAY_LEN(members) && rc == OK; i++) {
		const struct value *m = value_get(v, str_of(members[i]));
		struct str text = m && m->type == VALUE_ARRAY ? joined(cli, m) :
								value_text(m);

		if (m)
			rc = out_write(arena_printf(cli->arena, "%-11s %.*s\n",
						    arena_printf(cli->arena, "%s:",
								 members[i]).p,
						    STR_ARG(text)), err);
	}
	return rc;
}
