/* fetch, watch, publish, rollback, resolve, history: one configuration by its
 * address. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rand.h"
#include "doc/format.h"
#include "http/wire/url.h"

#include "base/banned.h"

#define RECONNECT_MS 500u
#define RECONNECT_MAX_MS 30000u
#define NEXT_MS 200u             /* to the next of several servers */

/* The four parts, escaped, with what comes before them. */
static enum code fetch_target(const char *address, struct buf *out,
			      struct err *err)
{
	struct str rest = str_of(address);

	buf_z(out, "/api/v1/fetch/config");
	for (int i = 0; i < 4; i++) {
		struct str part = i < 3 ? str_cut(&rest, '/') : rest;

		if (part.n == 0) {
			err_set(err, E_USAGE, "\"%s\" is no address", address);
			return err_hint(err, "tenant/application/environment/"
					"name");
		}
		buf_c(out, '/');
		url_encode(out, part);
	}
	return OK;
}

static enum code put_client(const struct cli *cli, struct buf *target,
			    struct err *err)
{
	const struct given *labels = &cli->given[FLAG_LABEL];

	for (size_t i = 0; i < labels->n; i++) {
		struct str value = str_of(labels->v[i]);
		struct str key = str_cut(&value, '=');
		AUTO_BUF name = BUF_NONE;

		if (key.n == 0 || !value.p) {
			err_set(err, E_USAGE, "--label %s: no label",
				labels->v[i]);
			return err_hint(err, "KEY=VALUE");
		}
		buf_z(&name, "label.");
		url_encode(&name, key);
		put_query(target, name.p, value);
	}
	if (cli_has(cli, FLAG_INSTANCE))
		put_query(target, "instance", str_of(cli_text(cli, FLAG_INSTANCE)));
	return OK;
}

/* "/api/v1/mgt/configs/<id><rest>" of an address; '*found': as it is now. */
static enum code config_target(struct cli *cli, const char *address,
			       const char *rest, struct buf *out,
			       struct value **found, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	enum code rc = fetch_target(address, &target, err);

	if (rc)
		return rc;
	buf_reset(&target);
	buf_z(&target, "/api/v1/mgt/configs");
	put_query(&target, "address", str_of(address));
	rc = cli_get(cli, buf_view(&target), found, err);
	if (rc)
		return rc;
	buf_z(out, "/api/v1/mgt/configs/");
	url_encode(out, value_text_at(*found, "id"));
	buf_z(out, rest);
	return OK;
}

enum code cmd_fetch(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct client_request q = { .method = HTTP_M_GET };
	struct client_answer answer;
	enum code rc = fetch_target(cli->args[0], &target, err);

	if (rc == OK)
		rc = put_client(cli, &target, err);
	if (rc)
		return rc;
	q.target = buf_view(&target);
	q.wants_signature = cli_has(cli, FLAG_PUBLIC_KEY);
	rc = cli_ask_raw(cli, &q, &answer, err);
	if (rc == OK)
		rc = client_check_content(cli->client, &answer, cli->args[0],
					  cli_text(cli, FLAG_PUBLIC_KEY), err);
	return rc ? rc : out_raw(answer.body, err);
}

/* ---- watch ---- */

struct watching {
	struct cli *cli;
	uint64_t count, left;            /* 0: no end */
	char last[32];                   /* id of the last event */
	unsigned failures;               /* since a connection was any good */
	enum code rc;
	struct err *err;
};

static void put_event(struct arena *arena, struct buf *out,
		      const struct value *v, bool wide)
{
	char now[RFC3339_MAX];

	clock_rfc3339(now, clock_wall_ms(), true);
	buf_printf(out, "%s  %.*s  ", now, STR_ARG(value_text_at(v, "key")));
	if (value_to_bool(value_getz(v, "deleted"), false))
		buf_z(out, "deleted");
	else if (value_text_at(v, "sha256").n == 0)
		buf_z(out, "no version for these labels");
	else
		buf_printf(out, "version %.*s  %.*s",
			   STR_ARG(text_of(arena, value_getz(v, "version"))),
			   STR_ARG(str_first(value_text_at(v, "sha256"),
					     wide ? 64 : 12)));
	buf_printf(out, "  revision %.*s%s\n",
		   STR_ARG(text_of(arena, value_getz(v, "revision"))),
		   value_to_bool(value_getz(v, "end"), false) ? "  end" : "");
}

/* One line an event, or one document of YAML. */
static enum code tell_event(struct watching *w, struct arena *arena,
			    const struct value *v, struct str text)
{
	AUTO_BUF out = BUF_NONE;

	if (!value_getz(v, "version") || !value_getz(v, "revision"))
		return err_set(w->err, E_INVALID, "an event without version");
	switch (w->cli->output) {
	case OUT_JSON:
		buf_str(&out, text);
		buf_c(&out, '\n');
		break;
	case OUT_YAML:
		buf_z(&out, "---\n");
		value_yaml(&out, v);
		break;
	case OUT_NAME:
		buf_str(&out, value_text_at(v, "key"));
		buf_c(&out, '\n');
		break;
	default:
		put_event(arena, &out, v, w->cli->output == OUT_WIDE);
	}
	return w->cli->output == OUT_YAML ? out_raw(buf_view(&out), w->err) :
					    out_write(buf_view(&out), w->err);
}

/* The server says why it is over, and what to do. */
static bool refuse_watch(struct watching *w, const struct value *v)
{
	uint64_t status;
	enum code code = E_GONE;

	if (value_to_u64(value_getz(v, "status"), &status) && status != 410)
		code = status == 401 ? E_UNAUTHORIZED : E_DENIED;
	w->rc = err_set(w->err, code, "%.*s", STR_ARG(value_text_at(v, "detail")));
	if (code == E_GONE)
		err_hint(w->err, "watch without --since, and fetch again meanwhile");
	return false;
}

static bool on_event(void *data, struct str event, struct str id,
		     struct str text)
{
	struct watching *w = data;
	AUTO_ARENA arena = arena_new(0);
	struct value *v;

	cli_progress_clear(w->cli);
	if (doc_parse_json(text, arena, NULL, &v, w->err) ||
	    v->type != VALUE_OBJECT) {
		w->rc = err_set(w->err, E_INVALID, "an event that is no JSON");
		return false;
	}
	if (str_is(event, "error"))
		return refuse_watch(w, v);
	if (str_is(event, "end"))
		return false;            /* goes on at another server */
	if (!str_is(event, "change") && !str_is(event, "bookmark"))
		return true;             /* of a newer server */
	str_copy(w->last, sizeof(w->last), id);
	w->failures = 0;
	if (str_is(event, "bookmark"))
		return true;
	w->rc = tell_event(w, arena, v, text);
	return w->rc == OK && (w->count == 0 || --w->left > 0);
}

static enum code watch_target(struct cli *cli, struct buf *out, struct err *err)
{
	const struct given *prefixes = &cli->given[FLAG_PREFIX];
	uint64_t since = 0;
	enum code rc = cli_u64(cli, FLAG_SINCE, &since, err);

	if (rc)
		return rc;
	if (cli->n_args + prefixes->n == 0) {
		err_set(err, E_USAGE, "watch: what?");
		return err_hint(err, "an address, or --prefix acme/; "
				"--prefix '' is everything");
	}
	buf_z(out, "/api/v1/watch");
	for (size_t i = 0; i < cli->n_args; i++)
		put_query(out, "key", str_of(cli->args[i]));
	for (size_t i = 0; i < prefixes->n; i++)
		put_query(out, "prefix", str_of(prefixes->v[i]));
	rc = put_client(cli, out, err);
	if (cli_has(cli, FLAG_SINCE))
		put_query(out, "since", str_of(cli_text(cli, FLAG_SINCE)));
	return rc;
}

/* How far the state is: where a watch that is told nothing starts. */
static enum code revision_now(struct cli *cli, char out[32], struct err *err)
{
	struct value *status;
	enum code rc = cli_get(cli, STR("/api/v1/status"), &status, err);

	if (rc == OK)
		str_copy(out, 32, text_of(cli->arena,
					  value_getz(status, "revision")));
	return rc;
}

/* At once, as good as, while there is a server that was not asked; then doubled
 * up to 30 s.  Half of it is chance, so that watchers that were lost together do
 * not come back together. */
static unsigned pause_of(unsigned failures, unsigned servers)
{
	unsigned ms = RECONNECT_MS << MIN(failures / servers, 6u);

	ms = (failures + 1) % servers ? NEXT_MS : MIN(ms, RECONNECT_MAX_MS);
	return ms / 2 + (unsigned)(rand_u64() % (ms / 2));
}

/* What passes by itself: the server is away, slow or busy.  One whose handshake
 * fails may be on its way out, and is no reason not to ask the others. */
static bool comes_back(const struct watching *w, enum code rc)
{
	return rc == E_UNAVAILABLE || rc == E_TIMEOUT || rc == E_BUSY ||
		rc == E_RATE || rc == E_NOT_LEADER ||
		(rc == E_TLS && w->failures + 1 < client_servers(w->cli->client));
}

/* Until there is enough, 'until' (0: never), or a refusal. */
static enum code watch_on(struct watching *w, struct str target, uint64_t until)
{
	struct client *client = w->cli->client;
	struct client_request q = { .method = HTTP_M_GET, .target = target };
	uint64_t start, now = clock_mono_ms();
	unsigned pause;
	enum code rc;

	while (!until || now < until) {
		fprintf(stderr, "conflux watch: watching after revision %s\n",
			w->last[0] ? w->last : cli_text(w->cli, FLAG_SINCE));
		q.last_event_id = w->last[0] ? w->last : NULL;
		start = now;
		rc = client_follow(client, &q, until ? (unsigned)(until - now) :
				   0, on_event, w, w->err);
		cli_progress_clear(w->cli);
		now = clock_mono_ms();
		if (w->rc || (w->count && w->left == 0))
			return w->rc;
		if (until && now >= until)
			break;
		if (rc && !comes_back(w, rc)) {
			w->cli->was_answered = true;
			return rc;
		}
		if (rc != E_TIMEOUT && now - start >= RECONNECT_MAX_MS)
			w->failures = 0;
		pause = pause_of(w->failures++, client_servers(client));
		if (until)
			pause = (unsigned)MIN(pause, until - now);
		fprintf(stderr, "conflux watch: the connection was lost (%s); "
			"again in %u ms\n", rc ? w->err->text :
			"the server ended it", pause);
		client_pause(client, MAX(pause, 1u));
		now = clock_mono_ms();
	}
	return OK;
}

enum code cmd_watch(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct watching w = { .cli = cli, .err = err };
	unsigned timeout = 0;
	enum code rc = watch_target(cli, &target, err);

	if (rc == OK)
		rc = cli_u64(cli, FLAG_COUNT, &w.count, err);
	if (rc == OK)
		rc = cli_ms(cli, FLAG_TIMEOUT, &timeout, err);
	if (rc == OK)
		rc = cli_client(cli, err);
	if (rc == OK && !cli_has(cli, FLAG_SINCE))
		rc = revision_now(cli, w.last, err);
	if (rc)
		return rc;
	w.left = w.count;
	return watch_on(&w, buf_view(&target),
			timeout ? clock_mono_ms() + timeout : 0);
}

/* ---- publish, rollback ---- */

static void set_text(struct cli *cli, struct value *body, const char *name,
		     const char *text)
{
	if (text)
		value_set(cli->arena, body, str_of(name),
			  value_str(cli->arena, str_of(text)));
}

static enum code set_version(struct cli *cli, struct value *body,
			     struct err *err)
{
	uint64_t n = 0;
	enum code rc = cli_u64(cli, FLAG_VERSION, &n, err);

	if (rc == OK && cli_has(cli, FLAG_VERSION))
		value_setz(cli->arena, body, "version_id",
			   value_u64(cli->arena, n));
	return rc;
}

/* The version that was published has a rule of a release: '*release' names it. */
static bool goes_out(const struct value *answer, struct str *release)
{
	const struct value *rules = value_at(answer, "object.status.releases");
	const struct value *version = value_getz(answer, "version_id");

	for (size_t i = 0; i < value_count(rules) && version; i++) {
		const struct value *rule = rules->a.items[i];
		const struct value *of = value_getz(rule, "version_id");

		*release = value_text_at(rule, "release");
		if (release->n && of && value_eq(of, version))
			return true;
	}
	return false;
}

static enum code tell_version(struct cli *cli, const struct value *answer,
			      struct err *err)
{
	struct str release;

	if (cli_is_proposed(cli, answer))
		return cli_tell_proposed(cli, answer, err);
	if (goes_out(answer, &release))
		return out_write(arena_printf(cli->arena, "%s: version %.*s goes out "
					      "in steps, by release %.*s/%.*s; "
					      "version %.*s is live\n",
					      cli->args[0],
					      STR_ARG(text_of(cli->arena,
						value_getz(answer, "version_id"))),
					      STR_ARG(value_text_at(answer,
						"object.metadata.namespace")),
					      STR_ARG(release),
					      STR_ARG(text_of(cli->arena, value_at(
						answer, "object.status.version")))),
				 err);
	return out_write(arena_printf(cli->arena, "%s: version %.*s is live, "
				      "revision %.*s\n", cli->args[0],
				      STR_ARG(text_of(cli->arena, value_at(answer,
						"object.status.version"))),
				      STR_ARG(text_of(cli->arena,
					value_getz(answer, "revision")))), err);
}

enum code cmd_publish(struct cli *cli, struct err *err)
{
	struct value *body = value_object(cli->arena), *answer, *found;
	const char *file = cli_text(cli, FLAG_FILENAME);
	AUTO_BUF target = BUF_NONE;
	struct str content;
	enum code rc = set_version(cli, body, err);

	if (rc)
		return rc;
	if (!file == !cli_has(cli, FLAG_VERSION))
		return err_set(err, E_USAGE, "publish: give either -f FILE or "
			       "--version-id");
	if (file) {
		rc = file_read(cli, file, &content, err);
		if (rc == OK && !str_is_utf8(content))
			rc = err_set(err, E_INVALID, "%s: not UTF-8", file);
		if (rc)
			return rc;
		value_setz(cli->arena, body, "content",
			   value_str(cli->arena, content));
	}
	set_text(cli, body, "message", cli_text(cli, FLAG_MESSAGE));
	rc = config_target(cli, cli->args[0], "/publish", &target, &found, err);
	if (rc == E_NOT_FOUND)
		err_hint(err, "publish changes what is there; Git, or `conflux apply` of a "
			 "ConfluxConfig, makes it. Case counts");
	if (rc)
		return rc;
	if (cli_has(cli, FLAG_TAKE_OVER))
		put_query(&target, "take_over", STR("true"));
	put_glass(cli, &target);
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), body, &answer, err);
	return rc ? rc : tell_version(cli, answer, err);
}

/* What Git may bring again, and what not. */
static void tell_hold(const struct value *before, const struct value *after)
{
	struct str was = value_text_at(before, "object.status.hold.sha256");
	struct str is = value_text_at(after, "object.status.hold.sha256");

	if (was.n && !str_eq(was, is))
		fprintf(stderr, "the hold on %.*s is lifted: Git may bring it again\n",
			STR_ARG(str_first(was, 12)));
	if (is.n)
		fprintf(stderr, "a hold stays: Git does not bring %.*s back until the "
			"file changes\n", STR_ARG(str_first(is, 12)));
}

enum code cmd_rollback(struct cli *cli, struct err *err)
{
	struct value *body = value_object(cli->arena), *answer, *found;
	const char *mode = cli_text(cli, FLAG_MODE);
	AUTO_BUF target = BUF_NONE;
	enum code rc = set_version(cli, body, err);

	set_text(cli, body, "mode", mode ? mode : "stable_only");
	set_text(cli, body, "comment", cli_text(cli, FLAG_MESSAGE));
	if (rc == OK)
		rc = config_target(cli, cli->args[0], "/rollback", &target, &found, err);
	put_glass(cli, &target);
	if (rc == OK)
		rc = cli_send(cli, HTTP_M_POST, buf_view(&target), body, &answer,
			      err);
	if (rc)
		return rc;
	if (!cli_is_proposed(cli, answer))
		tell_hold(found, answer);
	return tell_version(cli, answer, err);
}

/* ---- resolve, history ---- */

enum code cmd_resolve(struct cli *cli, struct err *err)
{
	AUTO_BUF target = BUF_NONE;
	struct str n, why;
	struct value *v;
	enum code rc = config_target(cli, cli->args[0], "/resolve", &target, &v, err);

	if (rc == OK)
		rc = put_client(cli, &target, err);
	if (rc == OK)
		rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc)
		return rc;
	if (out_is_value(cli) || cli->output == OUT_WIDE)
		return out_members(cli, v, err);
	n = text_of(cli->arena, value_getz(v, "version_id"));
	why = value_text_at(v, "why");
	if (cli->output == OUT_NAME)
		return out_write(arena_printf(cli->arena, "%.*s\n", STR_ARG(n)),
				 err);
	if (n.n == 0)
		return out_write(arena_printf(cli->arena, "no version: %.*s\n",
					      STR_ARG(why)), err);
	return out_write(arena_printf(cli->arena, "version %.*s: %.*s\n",
				      STR_ARG(n), STR_ARG(why)), err);
}

/* "all" get it, "some" do by a rule, or nobody. */
static const char *who_gets(const struct value *config, const struct value *version)
{
	const struct value *rules = value_at(config, "object.status.releases");
	const struct value *live = value_at(config, "object.status.version");

	if (live && version && value_eq(live, version))
		return "all";
	for (size_t i = 0; i < value_count(rules) && version; i++) {
		const struct value *of = value_getz(rules->a.items[i], "version_id");

		if (of && value_eq(of, version))
			return "some";
	}
	return "";
}

enum code cmd_history(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "VERSION", "LIVE", "CREATED", "SIZE",
					      "AUTHOR", "COMMIT", "MESSAGE" };
	AUTO_BUF target = BUF_NONE;
	const struct value *list;
	struct value *v, *found;
	struct table t;
	uint64_t limit = 100;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc == OK)
		rc = config_target(cli, cli->args[0], "/versions", &target, &found, err);
	if (rc)
		return rc;
	put_query(&target, "limit", arena_printf(cli->arena, "%llu",
						 (unsigned long long)limit));
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "versions", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "version_id", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++) {
		struct value *one = list->a.items[i];

		table_add(&t, text_of(cli->arena, value_getz(one, "version_id")));
		table_addz(&t, who_gets(found, value_getz(one, "version_id")));
		table_add(&t, value_text_at(one, "created"));
		table_add(&t, text_of(cli->arena, value_getz(one, "size")));
		table_add(&t, value_text_at(one, "author"));
		table_add(&t, str_first(value_text_at(one, "commit"),
					cli->output == OUT_WIDE ? 64 : 12));
		table_add(&t, value_text_at(one, "message"));
	}
	return table_print(&t, err);
}
