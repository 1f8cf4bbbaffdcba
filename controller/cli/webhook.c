/* conflux webhook: who is told, keys, and what could not be delivered. */
#include "cli/cli.h"

#include <stdio.h>

#include "http/wire/url.h"

#include "base/banned.h"

#define BASE "/api/v1/_config/webhooks"

/* BASE/TENANT/NAME of the second argument. */
static enum code target_of(struct cli *cli, struct buf *out, struct err *err)
{
	struct str name, tenant;

	if (cli->n_args < 2)
		return err_set(err, E_USAGE, "webhook %s: TENANT/NAME is missing",
			       cli->args[0]);
	name = str_of(cli->args[1]);
	tenant = str_cut(&name, '/');
	if (!tenant.n || !name.n || str_find(name, '/') != SIZE_MAX)
		return err_set(err, E_USAGE, "\"%s\" is no TENANT/NAME",
			       cli->args[1]);
	buf_z(out, BASE "/");
	url_encode(out, tenant);
	buf_c(out, '/');
	url_encode(out, name);
	return OK;
}

static void add_row(struct table *t, const struct value *item,
		    const char *const *members, size_t n, bool is_wide)
{
	for (size_t i = 0; i < n; i++) {
		struct str cell = text_of(t->arena,
					  value_get(item, str_of(members[i])));

		table_add(t, is_wide ? cell : text_short(t->arena, cell));
	}
}

static enum code print_list(struct cli *cli, const struct value *list,
			    const char *const *header, const char *const *members,
			    size_t n, struct err *err)
{
	struct table t;

	table_init(&t, cli->arena, n);
	for (size_t i = 0; i < n; i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		add_row(&t, list->a.items[i], members, n,
			cli->output == OUT_WIDE);
	return table_print(&t, err);
}

static enum code hook_list(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "TENANT", "NAME", "READY", "KEY",
					      "WAITING", "DEAD", "LOST",
					      "LAST DELIVERED", "REASON", "URL" };
	static const char *const members[] = { "tenant", "name", "ready", "has_key",
					       "waiting", "dead", "lost",
					       "last_delivered", "reason", "url" };
	const char *tenant = cli_text(cli, FLAG_NAMESPACE);
	AUTO_BUF target = BUF_NONE;
	const struct value *list;
	struct value *v;
	enum code rc;

	buf_z(&target, BASE);
	if (tenant)
		put_query(&target, "tenant", str_of(tenant));
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "webhooks", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "name", err);
	return print_list(cli, list, header, members, ARRAY_LEN(header), err);
}

/* The key alone, so that it can be written to a file. */
static enum code hook_key(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	AUTO_BUF line = BUF_NONE;
	struct value *v;
	enum code rc = target_of(cli, &target, err);

	if (rc)
		return rc;
	buf_z(&target, "/key");
	if (cli_has(cli, FLAG_REVOKE))
		put_query(&target, "revoke", STR("true"));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	buf_str(&line, value_text_at(v, "key"));
	buf_c(&line, '\n');
	return out_write(buf_view(&line), err);
}

static enum code hook_dead(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "SEQUENCE", "EVENT", "NAME", "TIME",
					      "DEAD", "ERROR", "ID" };
	static const char *const members[] = { "sequence", "event", "name", "time",
					       "dead", "error", "id" };
	AUTO_BUF target = BUF_NONE;
	const struct value *list;
	struct value *v;
	uint64_t limit = 100, after = 0;
	enum code rc = target_of(cli, &target, err);

	if (rc == OK)
		rc = cli_u64(cli, FLAG_LIMIT, &limit, err);
	if (rc == OK)
		rc = cli_u64(cli, FLAG_FROM, &after, err);
	if (rc)
		return rc;
	buf_printf(&target, "/dead?limit=%llu&after=%llu",
		   (unsigned long long)limit,
		   (unsigned long long)(after ? after - 1 : 0));
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "events", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "sequence", err);
	rc = print_list(cli, list, header, members, ARRAY_LEN(header), err);
	if (rc == OK && value_getz(v, "next"))
		fputs("there are more: --limit, --from SEQUENCE\n", stderr);
	return rc;
}

/* retry and drop, of one event or of all that are shown as dead. */
static enum code one_event(struct cli *cli, struct str base, struct str seq,
			   bool is_retry, struct err *err)
{
	AUTO_BUF target = BUF_NONE;

	buf_str(&target, base);
	buf_z(&target, "/dead/");
	url_encode(&target, seq);
	if (is_retry)
		buf_z(&target, "/retry");
	return cli_send(cli, is_retry ? HTTP_M_POST : HTTP_M_DELETE,
			buf_view(&target), NULL, NULL, err);
}

static enum code all_events(struct cli *cli, struct str base, bool is_retry,
			    struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	const struct value *list;
	struct value *v;
	size_t n = 0;
	enum code rc;

	buf_str(&target, base);
	buf_z(&target, "/dead");
	do {
		rc = cli_get(cli, buf_view(&target), &v, err);
		if (rc == OK)
			rc = cli_list(v, "events", &list, err);
		for (size_t i = 0; rc == OK && i < value_count(list); i++, n++)
			rc = one_event(cli, base,
				       text_of(cli->arena,
					       value_getz(list->a.items[i],
							  "sequence")),
				       is_retry, err);
	} while (rc == OK && value_getz(v, "next"));
	if (rc == OK)
		fprintf(stderr, "%zu event%s\n", n, n == 1 ? "" : "s");
	return rc;
}

static enum code hook_events(struct cli *cli, bool is_retry, struct err *err)
{
	AUTO_BUF base = BUF_NONE;
	enum code rc = target_of(cli, &base, err);

	if (rc)
		return rc;
	if (cli->n_args == 2)
		return err_set(err, E_USAGE, "webhook %s: which event? SEQUENCE, or "
			       "all", cli->args[0]);
	if (str_eq(str_of(cli->args[2]), STR("all")))
		return all_events(cli, buf_view(&base), is_retry, err);
	rc = one_event(cli, buf_view(&base), str_of(cli->args[2]), is_retry, err);
	if (rc == E_NOT_FOUND)
		err_hint(err, "`conflux webhook dead %s` shows what is there",
			 cli->args[1]);
	return rc;
}

static enum code hook_test(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct value *v;
	enum code rc = target_of(cli, &target, err);

	if (rc)
		return rc;
	buf_z(&target, "/test");
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
	if (rc == OK)
		rc = out_members(cli, v, err);
	if (rc || value_to_bool(value_getz(v, "ok"), false))
		return rc;
	return err_set(err, E_UNAVAILABLE, "the event was not taken");
}

enum code cmd_webhook(struct cli *cli, struct err *err)
{
	struct str what = str_of(cli->args[0]);

	if (str_is(what, "list"))
		return hook_list(cli, err);
	if (str_is(what, "key"))
		return hook_key(cli, err);
	if (str_is(what, "test"))
		return hook_test(cli, err);
	if (str_is(what, "dead"))
		return hook_dead(cli, err);
	if (str_is(what, "retry"))
		return hook_events(cli, true, err);
	if (str_is(what, "drop"))
		return hook_events(cli, false, err);
	return err_set(err, E_USAGE, "webhook: list, key, test, dead, retry or drop, "
		       "not \"%s\"", cli->args[0]);
}
