/* The table of commands, and what is printed from it. */
#include "cli/cli.h"

#include "base/banned.h"

const struct flag_row flags[FLAG__COUNT] = {
#define FLAG(id, name, letter, value, help) \
	[FLAG_##id] = { name, value, help, letter },
#include "cli/commands.tbl"
#undef FLAG
};

#define F(x) FLAG_BIT(FLAG_##x)
#define GLOBAL \
	(F(SERVER) | F(TOKEN_FILE) | F(CA_FILE) | F(TIMEOUT) | F(HELP))

const struct command commands[] = {
#define COMMAND(fn, name, arguments, least, most, flags, summary, text) \
	{ name, arguments, summary, text, fn, least, most, GLOBAL | (flags) },
#include "cli/commands.tbl"
#undef COMMAND
};
const size_t n_commands = ARRAY_LEN(commands);

/* ---- finding ---- */

/* The nearest of names that are tried one by one. */
struct guess {
	struct str given;
	const char *name;                /* NULL: none is near */
	size_t far;
};

/* Short words are near to everything. */
static struct guess guess(struct str given)
{
	return (struct guess){ .given = given, .far = given.n > 3 ? 3 : 2 };
}

static void guess_try(struct guess *g, const char *name)
{
	size_t far = str_distance(g->given, str_of(name));

	/* The beginning of a longer word counts as one edit. */
	if (far > 1 && g->given.n > 2 && str_starts(str_of(name), g->given))
		far = 1;
	if (far >= g->far)
		return;
	g->far = far;
	g->name = name;
}

const struct command *command_find(const char *name, const char **meant)
{
	struct guess g = guess(str_of(name));

	for (size_t i = 0; i < n_commands; i++) {
		if (str_eq(str_of(name), str_of(commands[i].name)))
			return &commands[i];
		guess_try(&g, commands[i].name);
	}
	guess_try(&g, "help");
	if (meant)
		*meant = g.name;
	return NULL;
}

const char *flag_meant(const struct command *c, struct str name)
{
	struct guess g = guess(name);

	for (unsigned i = 0; i < FLAG__COUNT; i++)
		if (!c || (c->flags & FLAG_BIT(i)))
			guess_try(&g, flags[i].name);
	return g.name;
}

enum code command_unknown(const char *name, struct err *err)
{
	const char *meant;

	if (command_find(name, &meant))
		return OK;
	err_set(err, E_USAGE, "no command \"%s\"", name);
	return meant ? err_hint(err, "did you mean %s?", meant) :
		err_hint(err, "conflux help lists them");
}

/* ---- help ---- */

static void put_flag(struct buf *out, enum flag id)
{
	const struct flag_row *f = &flags[id];
	size_t start = out->n;

	if (f->letter)
		buf_printf(out, "  -%c, --%s", f->letter, f->name);
	else
		buf_printf(out, "      --%s", f->name);
	if (f->value)
		buf_printf(out, " %s", f->value);
	while (out->n - start < 30)
		buf_c(out, ' ');
	buf_printf(out, "  %s\n", f->help);
}

static void put_flags(struct buf *out, uint64_t set)
{
	for (unsigned i = 0; i < FLAG__COUNT; i++)
		if (set & FLAG_BIT(i))
			put_flag(out, i);
}

void help_all(struct buf *out)
{
	buf_z(out, "conflux - configuration from Git, released safely\n\n"
		   "  conflux COMMAND [flags]\n\n");
	for (size_t i = 0; i < n_commands; i++)
		buf_printf(out, "  %-10s %s\n", commands[i].name,
			   commands[i].summary);
	buf_z(out, "  help       this list; help COMMAND for more\n\n"
		   "Flags of all commands:\n");
	put_flags(out, GLOBAL);
}

/* Lines of at most 78 characters. */
static void put_wrapped(struct buf *out, const char *text)
{
	struct str rest = str_of(text);
	size_t column = 0;

	while (rest.n) {
		struct str word = str_cut(&rest, ' ');

		if (column && column + 1 + word.n > 78)
			column = 0, buf_c(out, '\n');
		if (column)
			column++, buf_c(out, ' ');
		buf_str(out, word);
		column += word.n;
	}
	buf_c(out, '\n');
}

void help_command(struct buf *out, const struct command *c)
{
	buf_printf(out, "conflux %s %s: %s\n", c->name, c->arguments,
		   c->summary);
	if (c->text[0]) {
		buf_c(out, '\n');
		put_wrapped(out, c->text);
	}
	if (c->flags & ~GLOBAL) {
		buf_z(out, "\n");
		put_flags(out, c->flags & ~GLOBAL);
	}
	buf_z(out, "\nFlags of all commands:\n");
	put_flags(out, GLOBAL);
}

/* ---- the manual ---- */

static const struct {
	const char *code, *meaning;
} exits[] = {
	{ "0", "done" },
	{ "1", "failed" },
	{ "2", "wrong usage; nothing was asked" },
	{ "3", "there is no such object" },
	{ "4", "refused: the input breaks a rule" },
	{ "5", "refused: not allowed" },
	{ "6", "refused: a conflict with what is there" },
	{ "7", "no answer, or uncertain: the write may have happened" },
	{ "8", "diff found a difference" },
};

static const char servers[] =
	"--server and CONFLUX_SERVER may name several servers of one cluster, such "
	"as https://a:8080,https://b:8080. The first that answers is asked. Where "
	"one does not (no connection, a lost one, no answer in time, or one that "
	"it cannot now), the next is asked the same. That is safe for writes: each "
	"carries an Idempotency-Key, which stays the same, so it happens once; token "
	"create is not sent again where it may have arrived. A "
	"watch goes on at the next server behind the last change it has shown.";

void manual_markdown(struct buf *out)
{
	buf_z(out, "# conflux\n\nPrinted from `controller/cli/commands.tbl`; a "
		   "test compares them.\n\nData goes to standard output, "
		   "everything else to standard error.\n\n"
		   "| command | what |\n| --- | --- |\n");
	for (size_t i = 0; i < n_commands; i++)
		buf_printf(out, "| [%s](#%s) | %s |\n", commands[i].name,
			   commands[i].name, commands[i].summary);
	buf_z(out, "\n## Flags of all commands\n\n```\n");
	put_flags(out, GLOBAL);
	buf_printf(out, "```\n\n## Several servers\n\n%s\n", servers);
	buf_z(out, "\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
	for (size_t i = 0; i < ARRAY_LEN(exits); i++)
		buf_printf(out, "| %s | %s |\n", exits[i].code,
			   exits[i].meaning);
	for (size_t i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];

		buf_printf(out, "\n## %s\n\n`conflux %s%s%s`: %s.", c->name,
			   c->name, c->arguments[0] ? " " : "", c->arguments,
			   c->summary);
		buf_printf(out, "%s%s\n", c->text[0] ? "\n" : "", c->text);
		if (c->flags & ~GLOBAL) {
			buf_z(out, "\n```\n");
			put_flags(out, c->flags & ~GLOBAL);
			buf_z(out, "```\n");
		}
	}
}

/* A '-' that is to be typed. */
static void put_roff(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			buf_c(out, '\\');
		buf_c(out, *text);
	}
}

static void roff_flags(struct buf *out, uint64_t set)
{
	for (unsigned i = 0; i < FLAG__COUNT; i++) {
		if (!(set & FLAG_BIT(i)))
			continue;
		buf_z(out, ".TP\n\\fB\\-\\-");
		put_roff(out, flags[i].name);
		buf_z(out, "\\fR");
		if (flags[i].letter)
			buf_printf(out, ", \\fB\\-%c\\fR", flags[i].letter);
		if (flags[i].value)
			buf_printf(out, " \\fI%s\\fR", flags[i].value);
		buf_c(out, '\n');
		put_roff(out, flags[i].help);
		buf_c(out, '\n');
	}
}

void manual_roff(struct buf *out)
{
	buf_z(out, ".TH CONFLUX 1 \"\" \"Conflux " CLI_VERSION "\" "
		   "\"User Commands\"\n.SH NAME\nconflux \\- configuration from "
		   "Git, released safely\n.SH SYNOPSIS\n.B conflux\n"
		   ".I COMMAND\n[flags]\n.SH COMMANDS\n");
	for (size_t i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];

		buf_z(out, ".SS ");
		put_roff(out, c->name);
		buf_c(out, ' ');
		put_roff(out, c->arguments);
		buf_c(out, '\n');
		put_roff(out, c->summary);
		buf_z(out, ".\n");
		put_roff(out, c->text);
		buf_z(out, c->text[0] ? "\n" : "");
		roff_flags(out, c->flags & ~GLOBAL);
	}
	buf_z(out, ".SH FLAGS OF ALL COMMANDS\n");
	roff_flags(out, GLOBAL);
	buf_z(out, ".SH SEVERAL SERVERS\n");
	put_roff(out, servers);
	buf_z(out, "\n.SH EXIT STATUS\n");
	for (size_t i = 0; i < ARRAY_LEN(exits); i++)
		buf_printf(out, ".TP\n.B %s\n%s\n", exits[i].code,
			   exits[i].meaning);
	buf_z(out, ".SH SEE ALSO\n.BR confluxd (8)\n");
}
