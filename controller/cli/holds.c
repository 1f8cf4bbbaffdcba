/* What sources may not bring again: holds, and what a roll-back left. */
#include "cli/cli.h"

#include <stdio.h>

#include "base/banned.h"

static void add_row(struct table *t, const struct value *one, bool is_wide)
{
	static const char *const members[] = { "version", "release", "commit", "by",
					       "since", "reason" };
	const struct value *hold = value_getz(one, "hold");

	table_add(t, value_text_at(one, "address"));
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct str cell = text_of(t->arena, value_get(hold, str_of(members[i])));

		table_add(t, is_wide ? cell : text_short(t->arena, cell));
	}
}

/* One part after the other, into one list. */
static enum code ask_all(struct cli *cli, struct str tenant, struct value *all,
			 struct err *err)
{
	AUTO_BUF after = BUF_NONE;
	enum code rc = OK;

	for (bool more = true; more && rc == OK;) {
		AUTO_BUF target = BUF_NONE;
		const struct value *list;
		struct value *v;

		buf_z(&target, "/api/v1/holds");
		if (tenant.n)
			put_query(&target, "tenant", tenant);
		if (after.n)
			put_query(&target, "after", buf_view(&after));
		rc = cli_get(cli, buf_view(&target), &v, err);
		if (rc == OK)
			rc = cli_list(v, "holds", &list, err);
		if (rc)
			return rc;
		for (size_t i = 0; i < value_count(list); i++)
			value_push(cli->arena, all, list->a.items[i]);
		more = value_text_at(v, "next").n > 0;
		buf_reset(&after);
		buf_str(&after, value_text_at(v, "next"));
	}
	return rc;
}

enum code cmd_holds(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "CONFIGURATION", "VERSION", "RELEASE",
					      "COMMIT", "BY", "SINCE", "REASON" };
	struct value *all = value_array(cli->arena), *whole = value_object(cli->arena);
	const char *tenant = cli_text(cli, FLAG_NAMESPACE);
	struct table t;
	enum code rc = ask_all(cli, str_of(tenant ? tenant : ""), all, err);

	value_setz(cli->arena, whole, "holds", all);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, whole, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, all, "address", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(all); i++)
		add_row(&t, all->a.items[i], cli->output == OUT_WIDE);
	return table_print(&t, err);
}

void cli_tell_holds(struct cli *cli, struct str tenant)
{
	struct value *all = value_array(cli->arena);
	struct err ignored;
	size_t n;

	if (ask_all(cli, tenant, all, &ignored))
		return;
	n = value_count(all);
	if (n)
		note("%zu content%s of %.*s %s held, and not brought by Git: conflux holds -n "
		     "%.*s", n, n == 1 ? "" : "s", STR_ARG(tenant), n == 1 ? "is" : "are",
		     STR_ARG(tenant));
}

void cli_tell_held(struct cli *cli, struct str tenant, struct str release)
{
	struct value *all = value_array(cli->arena);
	struct err ignored;
	size_t n = 0;

	/* The roll-back happened, whatever can be said of it. */
	if (ask_all(cli, tenant, all, &ignored))
		return;
	for (size_t i = 0; i < value_count(all); i++) {
		const struct value *one = all->a.items[i];

		if (!str_eq(value_text_at(one, "hold.release"), release))
			continue;
		n++;
		note("a hold stays: Git does not bring version %.*s of %.*s back until a file "
		     "of the release changes",
		     STR_ARG(text_of(cli->arena, value_at(one, "hold.version"))),
		     STR_ARG(value_text_at(one, "address")));
	}
	if (!n)
		fputs("no hold stays: nothing of it was Git's\n", stderr);
}
