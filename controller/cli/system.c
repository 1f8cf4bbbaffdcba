/* reconcile, audit, instances, fleet, status, version. */
#include "cli/cli.h"

#include <stdio.h>

#include "base/clock.h"
#include "http/wire/url.h"

#include "base/banned.h"

/* Of a commit that goes out in steps. */
static enum code tell_going_out(struct cli *cli, struct str tenant, struct str live,
				const struct value *v, struct err *err)
{
	struct str release = value_text_at(v, "release");
	struct str phase = value_text_at(v, "phase");
	const struct value *step = value_getz(v, "step");
	const char *how = "is going out";

	if (str_is(phase, "Paused"))
		how = "is paused";
	else if (str_is(phase, "Queued"))
		how = "waits for a release before it";
	else if (step)
		how = arena_printf(cli->arena, "is at step %.*s of %.*s",
				   STR_ARG(text_of(cli->arena, step)),
				   STR_ARG(text_of(cli->arena,
						   value_getz(v, "steps")))).p;
	return out_write(arena_printf(cli->arena, "%s: %.*s goes out by release %.*s/%.*s, "
				      "which %s: conflux release show %.*s/%.*s\n",
				      cli->args[0], STR_ARG(live), STR_ARG(tenant),
				      STR_ARG(release), how, STR_ARG(tenant),
				      STR_ARG(release)), err);
}

static enum code tell_reconciled(struct cli *cli, struct str tenant,
				 const struct value *v, struct err *err)
{
	struct str back = value_text_at(v, "turned_back");
	struct str live = text_short(cli->arena, value_text_at(v, "lastAppliedRevision"));
	struct str n = text_of(cli->arena, value_getz(v, "operations"));
	const char *what;

	cli_tell_holds(cli, tenant);
	if (value_getz(v, "release"))
		return tell_going_out(cli, tenant, live, v, err);
	if (!str_is(n, "0"))
		return out_write(arena_printf(cli->arena, "%s: %.*s is live, %.*s "
					      "%s\n", cli->args[0],
					      STR_ARG(live), STR_ARG(n),
					      str_is(n, "1") ? "operation" :
							       "operations"),
				 err);
	if (back.n)
		return out_write(arena_printf(cli->arena, "%s: %.*s is the newest, and "
					      "turned back: conflux release show "
					      "%.*s/%.*s\n", cli->args[0],
					      STR_ARG(live), STR_ARG(tenant),
					      STR_ARG(back)), err);
	/* Right after `apply` the source itself was quicker: it may be live since
	 * this moment. */
	what = str_is(text_of(cli->arena, value_getz(v, "revision")), "0") ?
	       "is live, and the repository has nothing newer" :
	       "is live, and changes no configuration";
	return out_write(arena_printf(cli->arena, "%s: %.*s %s\n", cli->args[0],
				      STR_ARG(live), what), err);
}

enum code cmd_reconcile(struct cli *cli, struct err *err)
{
	struct str name = str_of(cli->args[0]);
	struct str tenant = str_cut(&name, '/');
	bool wait = !cli_has(cli, FLAG_NO_WAIT);
	AUTO_BUF target = BUF_NONE;
	struct str waits;
	struct value *v;
	enum code rc;

	if (name.n == 0 || tenant.n == 0) {
		err_set(err, E_USAGE, "reconcile: \"%s\" is no source",
			cli->args[0]);
		return err_hint(err, "TENANT/SOURCE");
	}
	buf_z(&target, "/api/v1/sources/");
	url_encode(&target, tenant);
	buf_c(&target, '/');
	url_encode(&target, name);
	buf_z(&target, "/reconcile");
	put_query(&target, "wait", wait ? STR("true") : STR("false"));
	rc = cli_send(cli, HTTP_M_POST, buf_view(&target), NULL, &v, err);
	/* Of one the refusal itself says all. */
	if (rc == E_NOT_FOUND && cli->was_answered) {
		err_wrap(err, "%s", cli->args[0]);
		err_hint(err, "conflux get sources -A lists them");
	}
	if (rc && value_count(value_getz(cli->refused, "invalid")) > 1)
		cli_tell_invalid(cli, NULL, 0);
	if (rc)
		return rc;
	if (!wait)
		return out_write(STR("asked for\n"), err);
	waits = value_text_at(v, "proposal_id");
	if (waits.n)
		return out_write(arena_printf(cli->arena, "%s: %.*s waits for "
					      "approval: proposal %.*s/%.*s\n",
					      cli->args[0],
					      STR_ARG(text_short(cli->arena,
						value_text_at(v,
						"lastAppliedRevision"))),
					      STR_ARG(tenant), STR_ARG(waits)),
				 err);
	return tell_reconciled(cli, tenant, v, err);
}

/* ---- audit ---- */

static enum code audit_verify(struct cli *cli, struct err *err)
{
	struct value *v;
	enum code rc = cli_get(cli, STR("/api/v1/audit/verify"), &v, err);

	if (rc)
		return rc;
	/* Not to be taken for a broken chain. */
	if (!value_getz(v, "valid"))
		return err_set(err, E_INVALID, "the server's answer does not say "
			       "whether the chain is valid");
	if (out_is_value(cli))
		rc = out_value(cli, v, err);
	else
		rc = out_write(arena_printf(cli->arena, "%.*s records, head %.*s"
					    "\n", STR_ARG(text_of(cli->arena,
						value_getz(v, "records"))),
					    STR_ARG(str_first(value_text_at(v,
						"head"), 12))), err);
	if (rc || value_to_bool(value_getz(v, "valid"), false))
		return rc;
	return err_set(err, E_CORRUPT, "the chain is broken: %.*s",
		       STR_ARG(value_text_at(v, "detail")));
}

static enum code audit_list(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "SEQ", "TIME", "WHO", "FROM",
					      "WHAT", "COMMIT", "REASON" };
	static const char *const members[] = { "seq", "time", "subject", "origin",
					       "target", "commit", "reason" };
	AUTO_BUF target = BUF_NONE;
	uint64_t limit = 100, from = 0;
	const struct value *list;
	struct value *v;
	struct table t;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc == OK)
		rc = cli_u64(cli, FLAG_FROM, &from, err);
	if (rc)
		return rc;
	buf_printf(&target, "/api/v1/audit?from=%llu&limit=%llu",
		   (unsigned long long)from, (unsigned long long)limit);
	rc = cli_get(cli, buf_view(&target), &v, err);
	if (rc == OK)
		rc = cli_list(v, "records", &list, err);
	if (rc || out_is_value(cli))
		return rc ? rc : out_value(cli, v, err);
	if (cli->output == OUT_NAME)
		return out_names(cli, list, "seq", err);
	table_init(&t, cli->arena, ARRAY_LEN(header));
	for (size_t i = 0; i < ARRAY_LEN(header); i++)
		table_addz(&t, header[i]);
	for (size_t i = 0; i < value_count(list); i++)
		for (size_t k = 0; k < ARRAY_LEN(members); k++) {
			struct str cell = text_of(cli->arena, value_get(
				list->a.items[i], str_of(members[k])));

			table_add(&t, cli->output == OUT_WIDE ? cell :
				  text_short(cli->arena, cell));
		}
	rc = table_print(&t, err);
	if (rc == OK && value_getz(v, "next"))
		fprintf(stderr, "more: --from %.*s\n",
			STR_ARG(text_of(cli->arena, value_getz(v, "next"))));
	return rc;
}

enum code cmd_audit(struct cli *cli, struct err *err)
{
	struct str what = str_of(cli->args[0]);

	if (str_is(what, "list"))
		return audit_list(cli, err);
	if (str_is(what, "verify"))
		return audit_verify(cli, err);
	return err_set(err, E_USAGE, "audit: list or verify, not \"%s\"",
		       cli->args[0]);
}

/* ---- instances ---- */

static void add_instance(struct cli *cli, struct table *t, const struct value *item)
{
	static const char *const members[] = { "instance", "key", "version",
					       "state" };
	uint64_t ms = 0;
	char age[16];

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		table_add(t, text_of(t->arena, value_get(item, str_of(members[i]))));
	(void)!value_to_u64(value_getz(item, "age_ms"), &ms);
	clock_age(age, ms);
	table_add(t, arena_str(t->arena, str_of(age)));
	table_addz(t, value_to_bool(value_getz(item, "connected"), false) ? "yes" :
									   "no");
	table_add(t, text_short(t->arena, value_text_at(item, "reason")));
}

enum code cmd_instances(struct cli *cli, struct err *err)
{
	static const char *const header[] = { "INSTANCE", "CONFIGURATION",
					      "VERSION", "STATE", "AGE",
					      "CONNECTED", "REASON" };
	static const struct listing listing = { "instances", "instance", header,
						ARRAY_LEN(header), add_instance,
						NULL };
	AUTO_BUF target = BUF_NONE;
	uint64_t limit = 100;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc)
		return rc;
	buf_printf(&target, "/api/v1/instances?limit=%llu",
		   (unsigned long long)limit);
	if (cli->n_args)
		put_query(&target, "key", str_of(cli->args[0]));
	return cli_show(cli, buf_view(&target), &listing, err);
}

/* ---- fleet ---- */

static void add_lag(struct table *t, const struct value *item)
{
	uint64_t lag;

	if (value_to_u64(value_getz(item, "lag_ms"), &lag))
		table_add(t, arena_printf(t->arena, "%llu ms",
					  (unsigned long long)lag));
	else
		table_addz(t, "-");
}

static void add_version(struct table *t, const struct value *item)
{
	const struct value *version = value_getz(item, "version");

	if (version && version->type == VALUE_NUMBER)
		table_add(t, text_of(t->arena, version));
	else
		table_addz(t, "-");
}

static void add_fleet_row(struct table *t, const struct value *item,
			  bool of_release)
{
	uint64_t age = 0;
	char text[16];

	table_add(t, text_of(t->arena, value_getz(item, "instance")));
	table_add(t, text_of(t->arena, value_getz(item, "state")));
	add_version(t, item);
	add_lag(t, item);
	if (!of_release)
		table_add(t, text_of(t->arena, value_getz(item, "key")));
	(void)!value_to_u64(value_getz(item, "age_ms"), &age);
	clock_age(text, age);
	table_add(t, arena_str(t->arena, str_of(text)));
	table_add(t, text_of(t->arena, value_getz(item, "node")));
	table_addz(t, value_to_bool(value_getz(item, "connected"), false) ? "yes" :
									   "no");
	table_add(t, text_short(t->arena, value_text_at(item, "reason")));
}

static void add_of_fleet(struct cli *cli, struct table *t, const struct value *item)
{
	add_fleet_row(t, item, false);
}

static void add_of_release(struct cli *cli, struct table *t,
			   const struct value *item)
{
	add_fleet_row(t, item, true);
}

/* Beside the table, which scripts read. */
static void tell_waits(struct cli *cli, const struct value *answer)
{
	struct str what = value_text_at(answer, "waits_for");

	if (what.n)
		note("waits for: %.*s", STR_ARG(what));
}

enum code cmd_fleet(struct cli *cli, struct err *err)
{
	static const char *const of_all[] = { "INSTANCE", "STATE", "VERSION",
					      "LAG", "CONFIGURATION", "SEEN",
					      "NODE", "CONNECTED", "REASON" };
	static const char *const of_one[] = { "INSTANCE", "STATE", "VERSION",
					      "LAG", "SEEN", "NODE",
					      "CONNECTED", "REASON" };
	static const struct listing all = { "instances", "instance", of_all,
					    ARRAY_LEN(of_all), add_of_fleet,
					    NULL };
	static const struct listing one = { "instances", "instance", of_one,
					    ARRAY_LEN(of_one), add_of_release,
					    tell_waits };
	bool of_release = cli->n_args > 0;
	AUTO_BUF target = BUF_NONE;
	uint64_t limit = 100;
	enum code rc = cli_u64(cli, FLAG_LIMIT, &limit, err);

	if (rc)
		return rc;
	buf_printf(&target, "/api/v1/fleet?limit=%llu", (unsigned long long)limit);
	if (of_release)
		put_query(&target, "release", str_of(cli->args[0]));
	if (cli_text(cli, FLAG_AFTER))
		put_query(&target, "after", str_of(cli_text(cli, FLAG_AFTER)));
	if (cli_has(cli, FLAG_NAMESPACE))
		put_query(&target, "tenant", str_of(cli_text(cli, FLAG_NAMESPACE)));
	return cli_show(cli, buf_view(&target), of_release ? &one : &all, err);
}

/* ---- status, version ---- */

enum code cmd_status(struct cli *cli, struct err *err)
{
	struct value *v;
	enum code rc = cli_get(cli, STR("/api/v1/status"), &v, err);

	if (rc || cli->output != OUT_NAME)
		return rc ? rc : out_members(cli, v, err);
	return out_write(arena_printf(cli->arena, "node/%.*s\n",
				      STR_ARG(text_of(cli->arena, value_getz(v,
						"node_id")))), err);
}

enum code cmd_version(struct cli *cli, struct err *err)
{
	struct value *out = value_object(cli->arena), *v;
	enum code rc = cli_get(cli, STR("/version"), &v, err);

	value_setz(cli->arena, out, "client",
		   value_str(cli->arena, STR(CLI_VERSION)));
	if (rc == OK)
		value_setz(cli->arena, out, "server",
			   value_str(cli->arena, value_text_at(v, "conflux")));
	/* Without a server the command still has a version. */
	if (cli->output == OUT_NAME)
		return out_write(STR(CLI_VERSION "\n"), err);
	return out_members(cli, out, err) ? err->code : rc;
}
