/* From argv to struct cli. */
#include "cli/cli.h"

#include <string.h>

#include "base/banned.h"

static void add(struct cli *cli, struct given *g, const char *value)
{
	g->v = arena_grow(cli->arena, g->v, &g->cap, g->n + 1, sizeof(*g->v));
	g->v[g->n++] = value;
}

static int flag_by_name(struct str name)
{
	for (int i = 0; i < FLAG__COUNT; i++)
		if (str_eq(name, str_of(flags[i].name)))
			return i;
	return -1;
}

static int flag_by_letter(char letter)
{
	for (int i = 0; i < FLAG__COUNT; i++)
		if (letter && flags[i].letter == letter)
			return i;
	return -1;
}

/* The name alone is told: a value may be long, or a secret. */
static enum code unknown_flag(const struct cli *cli, struct str name,
			      struct err *err)
{
	const struct command *c = cli->command;
	const char *meant = flag_meant(c, name);

	err_set(err, E_USAGE, "%s%sno flag %s%.*s", c ? c->name : "",
		c ? ": " : "", name.n > 1 ? "--" : "-", STR_ARG(name));
	if (meant)
		return err_hint(err, "did you mean --%s?", meant);
	return c ? err_hint(err, "conflux %s --help", c->name) :
		err_hint(err, "conflux help lists them");
}

/* One of "--name=value", "--name value", "-x value", "-xvalue". */
static enum code take_flag(struct cli *cli, int argc, char **argv, int *i,
			   struct err *err)
{
	const char *arg = argv[*i];
	bool is_long = arg[1] == '-';
	struct str rest = str_of(arg + (is_long ? 2 : 1));
	const char *value = NULL;
	struct str name = str_first(rest, 1);
	int id;

	if (is_long) {
		name = str_cut(&rest, '=');
		id = flag_by_name(name);
		value = rest.p;
	} else {
		id = flag_by_letter(arg[1]);
		if (arg[1] && arg[2])
			value = arg[2] == '=' ? arg + 3 : arg + 2;
	}
	if (id < 0)
		return unknown_flag(cli, name, err);
	if (!flags[id].value) {
		if (value)
			return err_set(err, E_USAGE, "--%s takes no value",
				       flags[id].name);
		value = "";
	} else if (!value) {
		if (*i + 1 >= argc)
			return err_set(err, E_USAGE, "--%s needs a value: %s",
				       flags[id].name, flags[id].value);
		value = argv[++*i];
	}
	add(cli, &cli->given[id], value);
	return OK;
}

static enum code take_command(struct cli *cli, const char *name,
			      struct err *err)
{
	cli->command = command_find(name, NULL);
	return cli->command ? OK : command_unknown(name, err);
}

static enum code check_flags(const struct cli *cli, struct err *err)
{
	for (int i = 0; i < FLAG__COUNT; i++)
		if (cli->given[i].n && !(cli->command->flags & FLAG_BIT(i))) {
			err_set(err, E_USAGE, "%s has no flag --%s",
				cli->command->name, flags[i].name);
			return err_hint(err, "conflux %s --help",
					cli->command->name);
		}
	return OK;
}

static enum code take_output(struct cli *cli, struct err *err)
{
	static const char *const forms[] = { "table", "wide", "json", "yaml",
					     "name" };
	const char *given = cli_text(cli, FLAG_OUTPUT);

	if (!given)
		return OK;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (str_eq(str_of(given), str_of(forms[i]))) {
			cli->output = (enum output)i;
			return OK;
		}
	return err_set(err, E_USAGE, "-o %s: one of table, wide, json, yaml, "
		       "name", given);
}

/* The arguments of the command; a hint that would be cut is none. */
static enum code hint_command(const struct command *c, struct err *err)
{
	if (strlen(c->name) + strlen(c->arguments) + 10 > sizeof(err->hint))
		return err_hint(err, "conflux help %s", c->name);
	return err_hint(err, "conflux %s %s", c->name, c->arguments);
}

static enum code check_count(const struct cli *cli, struct err *err)
{
	const struct command *c = cli->command;

	if (cli->n_args >= c->least && cli->n_args <= c->most)
		return OK;
	err_set(err, E_USAGE, "%s: %s", c->name, cli->n_args < c->least ?
		"something is missing" : "that is too much");
	return hint_command(c, err);
}

/* Forms of a command have " | " between; brackets hold others. */
static struct str next_form(struct str *forms)
{
	size_t end = 0;
	int depth = 0;
	struct str form;

	for (; end < forms->n; end++) {
		depth += (forms->p[end] == '[') - (forms->p[end] == ']');
		if (depth == 0 && str_starts(str_from(*forms, end), STR(" | ")))
			break;
	}
	form = str_first(*forms, end);
	*forms = str_from(*forms, end + 3);
	return form;
}

enum code cli_not_understood(const struct cli *cli, struct err *err)
{
	const struct command *c = cli->command;
	struct str what = str_of(cli->args[0]), forms = str_of(c->arguments);
	AUTO_BUF like = BUF_NONE;

	while (forms.n) {
		struct str form = next_form(&forms), rest = form;

		if (!str_eq(str_cut(&rest, ' '), what))
			continue;
		buf_printf(&like, "%sconflux %s %.*s", like.n ? ", or " : "", c->name,
			   STR_ARG(form));
	}
	if (like.n) {
		err_set(err, E_USAGE, "%s %s: something is missing, or too much",
			c->name, cli->args[0]);
		return err_hint(err, "%.*s", STR_ARG(buf_view(&like)));
	}
	err_set(err, E_USAGE, "%s: \"%s\" is not understood", c->name, cli->args[0]);
	return hint_command(c, err);
}

enum code cli_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
	struct given args = { 0 };
	bool only_args = false;
	enum code rc = OK;

	for (int i = 1; i < argc && rc == OK; i++) {
		const char *arg = argv[i];

		if (!only_args && str_eq(str_of(arg), STR("--")))
			only_args = true;
		else if (!only_args && arg[0] == '-' && arg[1])
			rc = take_flag(cli, argc, argv, &i, err);
		else if (!cli->command)
			rc = take_command(cli, arg, err);
		else
			add(cli, &args, arg);
	}
	cli->args = args.v;
	cli->n_args = args.n;
	if (rc || !cli->command || cli_has(cli, FLAG_HELP))
		return rc;
	rc = check_flags(cli, err);
	if (rc == OK)
		rc = take_output(cli, err);
	return rc ? rc : check_count(cli, err);
}

bool cli_has(const struct cli *cli, enum flag flag)
{
	return cli->given[flag].n > 0;
}

const char *cli_text(const struct cli *cli, enum flag flag)
{
	const struct given *g = &cli->given[flag];

	return g->n ? g->v[g->n - 1] : NULL;
}

enum code cli_u64(const struct cli *cli, enum flag flag, uint64_t *out,
		  struct err *err)
{
	const char *text = cli_text(cli, flag);

	if (!text || str_u64(str_of(text), out))
		return OK;
	return err_set(err, E_USAGE, "--%s %s: no whole number",
		       flags[flag].name, text);
}

enum code cli_ms(const struct cli *cli, enum flag flag, unsigned *out,
		 struct err *err)
{
	const char *text = cli_text(cli, flag);
	uint64_t ms;

	if (!text)
		return OK;
	if (!str_duration_ms(str_of(text), &ms) || ms == 0 || ms > UINT32_MAX)
		return err_set(err, E_USAGE, "--%s %s: no time such as 500ms, "
			       "5s or 2m", flags[flag].name, text);
	*out = (unsigned)ms;
	return OK;
}
