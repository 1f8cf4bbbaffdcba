/* Requests of commands: who is asked, with which token; progress meanwhile. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "doc/format.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define CONNECT_MS 10000u        /* of a watch: it tries again */
#define SERVER_DEFAULT "http://127.0.0.1:8080"

static const char *or_env(const char *given, const char *name)
{
	const char *env = given ? given : getenv(name);

	return env && env[0] ? env : NULL;
}

/* ---- progress ---- */

/* A line that says what is waited for, on a terminal, from the first second
 * on. */
static void waiting(void *data, unsigned seconds)
{
	struct cli *cli = data;

	if (!isatty(STDERR_FILENO))
		return;
	cli->shown_s = seconds;
	fprintf(stderr, "\r\033[Kconflux %s: waiting, %u s", cli->command->name,
		seconds);
	fflush(stderr);
}

void cli_progress_clear(struct cli *cli)
{
	if (cli->shown_s)
		fprintf(stderr, "\r\033[K");
	cli->shown_s = 0;
}

/* ---- asking ---- */

enum code cli_client(struct cli *cli, struct err *err)
{
	const char *server = or_env(cli_text(cli, FLAG_SERVER),
				    "CONFLUX_SERVER");
	const char *file = cli_text(cli, FLAG_TOKEN_FILE);
	const char *token = or_env(NULL, "CONFLUX_TOKEN");
	struct client_config config = {
		.server = server ? server : SERVER_DEFAULT,
		.ca_file = cli_text(cli, FLAG_CA_FILE),
		.waiting = waiting,
		.data = cli,
	};
	struct str text;
	enum code rc = cli_ms(cli, FLAG_TIMEOUT, &config.timeout_ms, err);

	if (rc || cli->client)
		return rc;
	/* There it says how long to watch. */
	if (cli->command->run == cmd_watch)
		config.timeout_ms = config.timeout_ms ?
			MIN(config.timeout_ms, CONNECT_MS) : CONNECT_MS;
	if (file) {
		rc = file_read(cli, file, &text, err);
		if (rc)
			return err_wrap(err, "--token-file");
		config.token = str_trim(text);
	} else if (token) {
		config.token = str_of(token);
	}
	cli->has_token = config.token.n > 0;
	rc = client_check_token(config.token, err);
	if (rc)
		return err_wrap(err, file ? "--token-file" : "CONFLUX_TOKEN");
	rc = client_new(&config, &cli->client, err);
	return rc == E_USAGE ? err_wrap(err, "--server or CONFLUX_SERVER") : rc;
}

/* What a server says to each whom it does not know; this side knows more. */
static void explain_unauthorized(const struct cli *cli, struct err *err)
{
	struct str text = str_of(err->text);

	if (!str_starts(text, STR("Unauthorized")) &&
	    !str_eq(text, str_of(code_text(E_UNAUTHORIZED))))
		return;
	if (cli->has_token) {
		err_set(err, E_UNAUTHORIZED, "the server does not know this token");
		err_hint(err, "is it of another cluster, deleted, or not whole? %s",
			 cli_has(cli, FLAG_TOKEN_FILE) ? "It is the one in --token-file" :
			 "It is the one in CONFLUX_TOKEN");
	} else {
		err_set(err, E_UNAUTHORIZED, "a token is needed, and none was sent");
		err_hint(err, "--token-file FILE or CONFLUX_TOKEN; confluxd writes the "
			 "first one to root.token in its data directory");
	}
}

/* What the server did but did not like: 299 - "unknown field \"spec.x\"". */
static void tell_warnings(const struct client_answer *answer)
{
	for (size_t i = 0; i < answer->n_headers; i++) {
		struct str text = answer->headers[i].value;
		AUTO_BUF out = BUF_NONE;

		if (!str_eq_nocase(answer->headers[i].name, STR("warning")))
			continue;
		(void)str_cut(&text, '"');
		for (size_t k = 0; k < text.n && text.p[k] != '"'; k++) {
			k += text.p[k] == '\\' && k + 1 < text.n;
			buf_c(&out, text.p[k]);
		}
		note("conflux: warning: %.*s", STR_ARG(buf_view(&out)));
	}
}

enum code cli_ask_raw(struct cli *cli, const struct client_request *request,
		      struct client_answer *out, struct err *err)
{
	enum code rc = cli_client(cli, err);
	const struct str *header;

	cli->was_answered = false;
	if (rc == OK)
		rc = client_ask(cli->client, request, cli->arena, out, err);
	cli_progress_clear(cli);
	if (rc)
		return rc;
	header = client_header(out, "x-conflux-proposal");
	cli->proposal = header && out->status == 202 ? *header : STR_NONE;
	if (cli->proposal.n == 0)
		tell_warnings(out);
	rc = client_verdict(out, err);
	if (rc == OK && header && out->status != 202 && cli_has(cli, FLAG_BREAK_GLASS))
		fprintf(stderr, "past the gate; somebody else is to review it: conflux review "
			"%.*s\n", STR_ARG(*header));
	cli->was_answered = rc != OK;
	if (rc && (doc_parse_json(out->body, cli->arena, NULL, &cli->refused, NULL) ||
		   !value_getz(cli->refused, "invalid")))
		cli->refused = NULL;
	if (rc == E_MANAGED && cli->command->flags & FLAG_BIT(FLAG_TAKE_OVER))
		err_hint(err, "change it there, or take it over: --take-over");
	if (rc == E_UNAUTHORIZED)
		explain_unauthorized(cli, err);
	return rc;
}

enum code cli_ask(struct cli *cli, const struct client_request *request,
		  struct value **out, struct err *err)
{
	struct client_answer answer;
	enum code rc = cli_ask_raw(cli, request, &answer, err);

	if (rc || !out)
		return rc;
	if (answer.body.n == 0) {
		*out = value_object(cli->arena);
		return OK;
	}
	rc = doc_parse_json(answer.body, cli->arena, NULL, out, err);
	if (rc == OK && (*out)->type != VALUE_OBJECT)
		rc = err_set(err, E_INVALID, "it is no object");
	return rc ? err_wrap(err, "the server's answer") : OK;
}

enum code cli_list(const struct value *answer, const char *name,
		   const struct value **out, struct err *err)
{
	*out = value_get(answer, str_of(name));
	if (*out && (*out)->type == VALUE_ARRAY)
		return OK;
	err_set(err, E_INVALID, "the server's answer has no list \"%s\"", name);
	return err_hint(err, "does --server or CONFLUX_SERVER name a server of "
			"Conflux?");
}

enum code cli_get(struct cli *cli, struct str target, struct value **out,
		  struct err *err)
{
	struct client_request q = { .method = HTTP_M_GET, .target = target };

	return cli_ask(cli, &q, out, err);
}

enum code cli_show(struct cli *cli, struct str target, const struct listing *l,
		   struct err *err)
{
	const struct value *list;
	struct value *v;
	struct table t;
	enum code rc = cli_get(cli, target, &v, err);

	if (rc == OK)
		rc = cli_list(v, l->list, &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, l->id, err);
	table_init(&t, cli->arena, l->columns);
	for (size_t i = 0; i < l->columns; i++)
		table_addz(&t, l->header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		l->row(cli, &t, list->a.items[i]);
	rc = table_print(&t, err);
	if (rc == OK && l->end)
		l->end(cli, v);
	return rc;
}

enum code cli_send(struct cli *cli, enum http_method method, struct str target,
		   const struct value *body, struct value **out, struct err *err)
{
	AUTO_BUF json = BUF_NONE;
	struct client_request q = { .method = method, .target = target };

	if (body)
		value_json(&json, body);
	q.body = buf_view(&json);
	return cli_ask(cli, &q, out, err);
}

void put_query(struct buf *target, const char *name, struct str value)
{
	buf_c(target, str_find(buf_view(target), '?') == SIZE_MAX ? '?' : '&');
	buf_z(target, name);
	buf_c(target, '=');
	url_encode(target, value);
}
