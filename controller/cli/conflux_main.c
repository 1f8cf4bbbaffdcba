/* conflux: the command for people and scripts. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

#include "base/banned.h"

/* What became of it: nothing was asked, refused, uncertain, or failed. */
static const char *word_of(const struct cli *cli, enum code rc)
{
	if (rc == E_USAGE)
		return "";
	if (rc == E_UNCERTAIN)
		return "uncertain: ";
	return cli->was_answered ? "refused: " : "failed: ";
}

static int tell_error(struct cli *cli, const struct err *err)
{
	cli_progress_clear(cli);
	error_print(word_of(cli, err->code), err);
	return code_exit(err->code);
}

static int print(const struct buf *b)
{
	struct err err;

	return out_write(buf_view(b), &err) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool is(const char *a, const char *b)
{
	return str_eq(str_of(a), str_of(b));
}

static int helps_with(struct cli *cli, const char *name)
{
	const struct command *c = command_find(name, NULL);
	AUTO_BUF out = BUF_NONE;
	struct err err = { 0 };

	if (is(name, "help")) {
		help_all(&out);
	} else if (!c) {
		(void)!command_unknown(name, &err);
		return tell_error(cli, &err);
	} else {
		help_command(&out, c);
	}
	return print(&out);
}

/* "help [command]", "manual markdown|roff" (for docs/), or no command. */
static bool helps(struct cli *cli, int argc, char **argv, int *status)
{
	AUTO_BUF out = BUF_NONE;

	if (argc > 2 && is(argv[1], "help")) {
		*status = helps_with(cli, argv[2]);
		return true;
	}
	if (argc == 2 && is(argv[1], "--version"))
		buf_z(&out, "conflux " CLI_VERSION "\n");
	else if (argc > 2 && is(argv[1], "manual") && is(argv[2], "roff"))
		manual_roff(&out);
	else if (argc > 2 && is(argv[1], "manual") && is(argv[2], "markdown"))
		manual_markdown(&out);
	else if (argc < 2 || is(argv[1], "help") || is(argv[1], "--help") ||
		 is(argv[1], "-h"))
		help_all(&out);
	else
		return false;
	*status = print(&out);
	return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct err err = { 0 };
	AUTO_BUF help = BUF_NONE;
	enum code rc = kinds_load(&err);

	if (rc == OK)
		rc = cli_parse(cli, argc, argv, &err);
	if (rc == OK && !cli->command)
		rc = err_set(&err, E_USAGE, "which command? conflux help lists "
			     "them");
	if (rc)
		return tell_error(cli, &err);
	if (cli_has(cli, FLAG_HELP)) {
		help_command(&help, cli->command);
		return print(&help);
	}
	rc = cli->command->run(cli, &err);
	if (rc)
		return tell_error(cli, &err);
	return cli->differs ? EXIT_DIFFERS : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct cli cli = { .arena = arena_new(64 * 1024) };
	int status;

	if (!helps(&cli, argc, argv, &status))
		status = run(&cli, argc, argv);
	client_free(&cli.client);
	arena_free(&cli.arena);
	return status;
}
