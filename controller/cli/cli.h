/*
 * What the files of cli/ share.
 *
 *	commands.c	the table of commands, help and manual
 *	args.c		from argv to struct cli
 *	output.c	tables, JSON, YAML
 *	ask.c		requests, with progress on a terminal
 *	manifest.c	-f: files, folders, standard input
 *	objects.c	get, apply, delete, diff
 *	configs.c	fetch, watch, publish, rollback, resolve, history
 *	backup.c	cluster backup, cluster restore
 *	recover.c	cluster recover
 *	log.c		cluster log
 *	gate.c		plan, proposals, approve, reject, cancel, review, release
 *	holds.c		holds
 *	tokens.c	token, whoami
 *	webhook.c	webhook
 *	system.c	reconcile, audit, status, version
 *
 * Data goes to standard output, everything else to standard error.  Exit codes
 * are those of base/errors.tbl, and 8 where diff found a difference.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "client/client.h"
#include "doc/value.h"
#include "schema/kind.h"

#define CLI_VERSION "0.1.0"
#define EXIT_DIFFERS 8

enum flag {
#define FLAG(id, name, letter, value, help) FLAG_##id,
#include "cli/commands.tbl"
#undef FLAG
	FLAG__COUNT
};

#define FLAG_BIT(flag) (1ull << (flag))
_Static_assert(FLAG__COUNT <= 64, "flags of a command are a uint64_t");

struct flag_row {
	const char *name, *value, *help;
	char letter;
};
extern const struct flag_row flags[FLAG__COUNT];

struct cli;
struct command {
	const char *name, *arguments, *summary, *text;
	enum code (*run)(struct cli *cli, struct err *err);
	unsigned least, most;
	uint64_t flags;                  /* FLAG_BIT(FLAG_...), global ones included */
};
extern const struct command commands[];
extern const size_t n_commands;

enum output { OUT_TABLE, OUT_WIDE, OUT_JSON, OUT_YAML, OUT_NAME };

/* Values of a flag, in order. */
struct given {
	const char **v;
	size_t n, cap;
};

struct cli {
	struct arena *arena;             /* of the whole run */
	const struct command *command;
	struct given given[FLAG__COUNT];
	const char **args;
	size_t n_args, cap_args;
	enum output output;
	struct client *client;
	bool was_answered;               /* an error came from the server */
	bool has_token;
	bool differs;
	struct str proposal;             /* that the last answer names: it waits */
	struct value *refused;           /* the last answer, where it lists what is invalid */
	unsigned shown_s;                /* progress that stands on the terminal */
};

/* ---- args.c ---- */
/* E_USAGE, with the flag or command that was probably meant as the hint. */
enum code cli_parse(struct cli *cli, int argc, char **argv, struct err *err)
	MUST_USE;
/* E_USAGE: its first argument is none of its own, or what follows that is not; with the
 * form that was probably meant as the hint. */
enum code cli_not_understood(const struct cli *cli, struct err *err);
bool cli_has(const struct cli *cli, enum flag flag);
/* The last value, or NULL. */
const char *cli_text(const struct cli *cli, enum flag flag);
/* E_USAGE; '*out' stays where the flag is not given. */
enum code cli_u64(const struct cli *cli, enum flag flag, uint64_t *out,
		  struct err *err) MUST_USE;
enum code cli_ms(const struct cli *cli, enum flag flag, unsigned *out,
		 struct err *err) MUST_USE;

/* ---- commands.c ---- */
/* NULL: unknown; '*meant' (may be NULL) is the nearest name, or NULL. */
const struct command *command_find(const char *name, const char **meant);
/* E_USAGE with what was probably meant as the hint; OK: there is one. */
enum code command_unknown(const char *name, struct err *err) MUST_USE;
/* The flag nearest to 'name' that the command (NULL: any) has, or NULL. */
const char *flag_meant(const struct command *c, struct str name);
void help_all(struct buf *out);
void help_command(struct buf *out, const struct command *c);
void manual_markdown(struct buf *out);   /* docs/cli.md */
void manual_roff(struct buf *out);       /* docs/man/conflux.1 */

/* ---- ask.c ---- */
/* Asks; answers OK only below 300, with the body, an object ('*out' may be
 * NULL).  'target' is an escaped path. */
enum code cli_ask(struct cli *cli, const struct client_request *request,
		  struct value **out, struct err *err) MUST_USE;
/* The same, and the answer as it is. */
enum code cli_ask_raw(struct cli *cli, const struct client_request *request,
		      struct client_answer *out, struct err *err) MUST_USE;
enum code cli_get(struct cli *cli, struct str target, struct value **out,
		  struct err *err) MUST_USE;
/* The list 'name' of an answer; E_INVALID: the server says something else. */
enum code cli_list(const struct value *answer, const char *name,
		   const struct value **out, struct err *err) MUST_USE;
/* POST, PUT, ...: 'body' as JSON, NULL: none. */
enum code cli_send(struct cli *cli, enum http_method method, struct str target,
		   const struct value *body, struct value **out,
		   struct err *err) MUST_USE;
enum code cli_client(struct cli *cli, struct err *err) MUST_USE;
void cli_progress_clear(struct cli *cli);
/* Appends '?' or '&', name=value with the value escaped. */
void put_query(struct buf *target, const char *name, struct str value);

/* ---- output.c ---- */
struct table {
	struct arena *arena;
	size_t columns, n, cap;          /* cells in all */
	struct str *cells;
};
void table_init(struct table *t, struct arena *arena, size_t columns);
void table_add(struct table *t, struct str cell);
#define table_addz(t, z) table_add((t), str_of(z))
/* The first row is the header. */
enum code table_print(const struct table *t, struct err *err) MUST_USE;
/* Text, and JSON, as people may read it: without what a terminal obeys, which others may
 * have put into a reason, a name or a content.  Such characters are shown as \u001b. */
enum code out_write(struct str text, struct err *err) MUST_USE;
/* Just these bytes: a content, a backup. */
enum code out_raw(struct str bytes, struct err *err) MUST_USE;
/* Appends 's' so; 'is_one_line': a newline and a tab are a space. */
void text_plain(struct buf *out, struct str s, bool is_one_line);
/* One line on standard error, so. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "conflux: <word><text>" and the hint, on standard error. */
void error_print(const char *word, const struct err *err);
enum code out_value(const struct cli *cli, const struct value *v,
		    struct err *err) MUST_USE;
enum code out_objects(const struct cli *cli, const struct kind *kind,
		      struct value *const *objects, size_t n, bool is_list,
		      const struct value *whole, struct err *err) MUST_USE;
/* 'member' of each in the list, one a line. */
enum code out_names(const struct cli *cli, const struct value *list,
		    const char *member, struct err *err) MUST_USE;
/* "name: value" for each member; json and yaml too. */
enum code out_members(const struct cli *cli, const struct value *v,
		      struct err *err) MUST_USE;
/* True for json and yaml. */
bool out_is_value(const struct cli *cli);
/* A command that lists. */
struct listing {
	const char *list;                /* the member of the answer */
	const char *id;                  /* the member of a row that -o name prints */
	const char *const *header;
	size_t columns;
	void (*row)(struct cli *cli, struct table *t, const struct value *row);
	void (*end)(struct cli *cli, const struct value *answer);  /* or NULL */
};
/* Gets 'target', and prints its list as was asked for. */
enum code cli_show(struct cli *cli, struct str target, const struct listing *l,
		   struct err *err) MUST_USE;
/* A member as text: numbers and booleans too. */
struct str text_of(struct arena *arena, const struct value *v);
/* As a table has room for: ids of Git are cut to 12 digits, the whole to 60. */
struct str text_short(struct arena *arena, struct str text);

/* ---- manifest.c ---- */
struct manifest {
	struct value *object;
	const struct kind *kind;
	struct str namespace, name;
	const char *file;
};
/* All documents of the -f flags, in the order in which they are to be applied. */
enum code manifests_read(struct cli *cli, struct manifest **out, size_t *n,
			 struct err *err) MUST_USE;
/* "-" is standard input. */
enum code file_read(struct cli *cli, const char *path, struct str *out,
		    struct err *err) MUST_USE;

/* ---- backup.c ---- */
enum code cli_cluster_backup(struct cli *cli, struct err *err) MUST_USE;
enum code cli_cluster_restore(struct cli *cli, struct err *err) MUST_USE;

/* ---- recover.c ---- */
enum code cli_cluster_recover(struct cli *cli, struct err *err) MUST_USE;

/* ---- log.c ---- */
enum code cli_cluster_log(struct cli *cli, struct err *err) MUST_USE;

/* ---- gate.c ---- */
/* --break-glass and --not-before, into a query. */
void put_glass(const struct cli *cli, struct buf *target);
/* Is it the answer to a write that waits for approval? */
bool cli_is_proposed(const struct cli *cli, const struct value *answer);
enum code cli_tell_proposed(struct cli *cli, const struct value *answer,
			    struct err *err) MUST_USE;
/* Of a file that `plan --out` wrote. */
enum code apply_plan(struct cli *cli, const char *path, struct err *err) MUST_USE;

/* The answer that was refused lists what is invalid, if any: a line each; 'm': which
 * files the manifests are in, where it is of files. */
void cli_tell_invalid(struct cli *cli, const struct manifest *m, size_t n);

/* ---- holds.c ---- */
/* How much of a tenant Git does not bring, where any is; on standard error. */
void cli_tell_holds(struct cli *cli, struct str tenant);
/* What of 'release' Git does not bring again, on standard error. */
void cli_tell_held(struct cli *cli, struct str tenant, struct str release);

/* ---- objects.c ---- */
/* "/apis/gitops.conflux.io/v1alpha1/namespaces/acme/confluxsources/shop";
 * 'name' may be empty. */
struct str object_target(struct cli *cli, const struct kind *kind,
			 struct str namespace, struct str name);

#define COMMAND(fn, name, arguments, least, most, flags, summary, text) \
	enum code fn(struct cli *cli, struct err *err);
#define F(x) FLAG_BIT(FLAG_##x)
#include "cli/commands.tbl"
#undef COMMAND
#undef F

#endif
