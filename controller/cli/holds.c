/* holds: what sources may not bring again. */
#include "cli/cli.h"

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
static enum code ask_all(struct cli *cli, struct value *all, struct err *err)
{
	AUTO_BUF after = BUF_NONE;
	enum code rc = OK;

	for (bool more = true; more && rc == OK;) {
		AUTO_BUF target = BUF_NONE;
		const struct value *list;
		struct value *v;

		buf_z(&target, "/api/v1/holds");
		if (cli_has(cli, FLAG_NAMESPACE))
			put_query(&target, "tenant", str_of(cli_text(cli, FLAG_NAMESPACE)));
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
	struct table t;
	enum code rc = ask_all(cli, all, err);

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
