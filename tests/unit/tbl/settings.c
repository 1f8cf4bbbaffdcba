/* Settings: which place wins, what is refused and how it is told, printing. */
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "tbl/settings.h"

#include "base/banned.h"

#define ARGS_MAX 8

static struct settings *s;
static char dir[] = "/tmp/conflux-tbl-XXXXXX";
static char path[64];

static void setup(void)
{
	s = settings_new();
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/conflux.yaml", dir);
}

static void teardown(void)
{
	settings_free(&s);
	unlink(path);
	rmdir(dir);
}

static void write_config(const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Loads with the words of 'args' (NULL last) and one variable or NULL. */
static enum code load(const char *var, const char *const *args, struct err *err)
{
	char *argv[ARGS_MAX] = { (char *)"confluxd" };
	char *env[] = { (char *)(var ? var : "HOME=/"), NULL };
	int argc = 1;

	for (; args && *args; args++)
		argv[argc++] = (char *)*args;
	return settings_load(s, argc, argv, env, err);
}

#define FLAGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void good(const char *var, const char *const *args)
{
	struct err err = { 0 };

	ck_assert_msg(load(var, args, &err) == OK, "%s", err.text);
}

static void bad(const char *var, const char *const *args, enum code code,
		const char *text, const char *hint)
{
	struct err err = { 0 };

	ck_assert_int_eq(load(var, args, &err), code);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	ck_assert_msg(strstr(err.hint, hint) != NULL, "%s", err.hint);
	settings_free(&s);
	s = settings_new();
}

static void bad_file(const char *yaml, enum code code, const char *text,
		     const char *hint)
{
	write_config(yaml);
	bad(NULL, FLAGS("--config", path), code, text, hint);
}

START_TEST(defaults_are_of_the_table)
{
	size_t n;

	good(NULL, NULL);
	ck_assert_str_eq(settings_text(s, SETTING_server_listen),
			 "127.0.0.1:8080");
	ck_assert_uint_eq(settings_u64(s, SETTING_server_header_bytes), 16384);
	ck_assert_uint_eq(settings_u64(s, SETTING_storage_map_size),
			  64ull << 30);
	ck_assert_uint_eq(settings_u64(s, SETTING_sources_fetch_timeout),
			  60000);
	ck_assert(!settings_bool(s, SETTING_sources_private_hosts));
	ck_assert_uint_eq(settings_word(s, SETTING_log_level), 1);
	settings_list(s, SETTING_sources_file_roots, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_str_eq(settings_origin(s, SETTING_log_level), "default");
	ck_assert_int_eq(settings_asked(s), SETTINGS_RUN);
}
END_TEST

START_TEST(later_places_win)
{
	const char *yaml = "server:\n  loops: 2\n  idle_timeout: 5s\n"
			   "cluster:\n  node_id: 3\n";

	write_config(yaml);
	good("CONFLUX_SERVER_LOOPS=4", FLAGS("--config", path));
	ck_assert_uint_eq(settings_u64(s, SETTING_server_loops), 4);
	ck_assert_str_eq(settings_origin(s, SETTING_server_loops),
			 "CONFLUX_SERVER_LOOPS");
	ck_assert_uint_eq(settings_u64(s, SETTING_cluster_node_id), 3);
	ck_assert_uint_eq(settings_u64(s, SETTING_server_idle_timeout), 5000);
	ck_assert_msg(strstr(settings_origin(s, SETTING_cluster_node_id),
			     "conflux.yaml:5") != NULL,
		      "%s", settings_origin(s, SETTING_cluster_node_id));
	settings_free(&s);
	s = settings_new();
	good("CONFLUX_SERVER_LOOPS=4",
	     FLAGS("--server-loops=8", "--config", path));
	ck_assert_uint_eq(settings_u64(s, SETTING_server_loops), 8);
	ck_assert_str_eq(settings_origin(s, SETTING_server_loops),
			 "--server-loops");
}
END_TEST

START_TEST(the_file_is_named_by_the_environment_too)
{
	char var[96];

	write_config("log: {level: warn}\nsources:\n");
	snprintf(var, sizeof(var), "CONFLUX_CONFIG=%s", path);
	good(var, NULL);
	ck_assert_uint_eq(settings_word(s, SETTING_log_level), 2);
}
END_TEST

START_TEST(short_flags_and_lists)
{
	const char *const *roots;
	size_t n;

	good(NULL, FLAGS("--data-dir", "/d", "--listen=[::1]:1",
			 "--sources-file-roots", "/a::/b"));
	ck_assert_str_eq(settings_text(s, SETTING_storage_data_dir), "/d");
	ck_assert_str_eq(settings_text(s, SETTING_server_listen), "[::1]:1");
	roots = settings_list(s, SETTING_sources_file_roots, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(roots[0], "/a");
	ck_assert_str_eq(roots[1], "/b");
	settings_free(&s);
	s = settings_new();
	write_config("sources:\n  file_roots: [/x, /y, /z]\n"
		     "  private_hosts: true\n");
	good(NULL, FLAGS("--config", path));
	roots = settings_list(s, SETTING_sources_file_roots, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(roots[2], "/z");
	ck_assert(settings_bool(s, SETTING_sources_private_hosts));
}
END_TEST

/* One that has a port, too. */
START_TEST(hosts_may_have_ports)
{
	const char *const *hosts;
	size_t n;

	good(NULL, FLAGS("--sources-token-hosts",
			 "git.example, git.example:8443,,[::1]:1,[::1]"));
	hosts = settings_list(s, SETTING_sources_token_hosts, &n);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(hosts[0], "git.example");
	ck_assert_str_eq(hosts[1], "git.example:8443");
	ck_assert_str_eq(hosts[2], "[::1]:1");
	settings_free(&s);
	s = settings_new();
	write_config("sources:\n  token_hosts: ['a:8443', b]\n");
	good(NULL, FLAGS("--config", path));
	hosts = settings_list(s, SETTING_sources_token_hosts, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(hosts[0], "a:8443");
	ck_assert_str_eq(hosts[1], "b");
	/* As it was written once: two hosts. */
	bad(NULL, FLAGS("--sources-token-hosts", "a.example:b.example"), E_INVALID,
	    "no host and port", "commas");
	bad(NULL, FLAGS("--sources-token-hosts", "a:0"), E_INVALID, "'a:0'", "");
	bad(NULL, FLAGS("--sources-token-hosts", "a:65536"), E_INVALID, "", "");
	bad(NULL, FLAGS("--sources-token-hosts", "a:"), E_INVALID, "", "");
	bad_file("sources:\n  token_hosts: ['a,b']\n", E_INVALID, "comma", "");
}
END_TEST

START_TEST(errors_of_the_file_name_line_and_hint)
{
	bad_file("server:\n  loops: 2\n  lops: 3\n", E_INVALID,
		 "line 3: server.lops is no setting", "server.loops?");
	bad_file("log:\n  level: info\nservr:\n  loops: 2\n", E_INVALID,
		 "line 3: servr is no section", "mean server?");
	bad_file("server:\n  loops: 65\n", E_INVALID,
		 "line 2: server.loops: '65' is too large", "0 to 64");
	bad_file("server:\n  loops: [1]\n", E_INVALID, "not a value of type", "");
	bad_file("server: 7\n", E_INVALID, "holds no settings", "");
	bad_file("- a\n", E_INVALID, "holds no sections", "");
	bad_file("sources:\n  file_roots: ['/a:b']\n", E_INVALID, "colon", "");
	bad_file("a: [\n", E_PARSE, "conflux.yaml: line", "");
	bad(NULL, FLAGS("--config", "/nowhere/c.yaml"), E_NOT_FOUND,
	    "/nowhere/c.yaml", "");
}
END_TEST

START_TEST(errors_of_the_environment_name_the_variable)
{
	bad("CONFLUX_LOG_LEVEL=loud", NULL, E_INVALID,
	    "CONFLUX_LOG_LEVEL: log.level", "debug|info|warn|error");
	bad("CONFLUX_LOG_LEVL=info", NULL, E_INVALID, "CONFLUX_LOG_LEVL",
	    "CONFLUX_LOG_LEVEL?");
	bad("CONFLUX_SERVER_IDLE_TIMEOUT=1ms", NULL, E_INVALID, "too small",
	    "100ms to 1d");
	good("CONFLUX_SERVER=http://x", NULL);
}
END_TEST

/* Of a Service named conflux-server, and one named conflux-log-2. */
START_TEST(what_kubernetes_says_of_services_is_no_setting)
{
	good("CONFLUX_SERVER_SERVICE_HOST=10.0.0.1", NULL);
	good("CONFLUX_SERVER_SERVICE_PORT=8080", NULL);
	good("CONFLUX_SERVER_SERVICE_PORT_HTTP=8080", NULL);
	good("CONFLUX_SERVER_PORT=tcp://10.0.0.1:8080", NULL);
	good("CONFLUX_SERVER_PORT_8080_TCP=tcp://10.0.0.1:8080", NULL);
	good("CONFLUX_SERVER_PORT_8080_TCP_PROTO=tcp", NULL);
	good("CONFLUX_SERVER_PORT_8080_TCP_PORT=8080", NULL);
	good("CONFLUX_SERVER_PORT_8080_TCP_ADDR=10.0.0.1", NULL);
	good("CONFLUX_LOG_2_SERVICE_HOST=10.0.0.1", NULL);
	good("CONFLUX_LOG_2_PORT=udp://10.0.0.1:8080", NULL);
	/* What somebody may have meant is not passed over. */
	bad("CONFLUX_SERVER_PORT=8080", NULL, E_INVALID, "CONFLUX_SERVER_PORT", "");
	bad("CONFLUX_SERVER_PORTS=tcp://a", NULL, E_INVALID, "CONFLUX_SERVER_PORTS", "");
	bad("CONFLUX_SERVER_PORT_HTTP=8080", NULL, E_INVALID, "CONFLUX_SERVER_PORT_HTTP", "");
	bad("CONFLUX_SERVER_SERVICE_HOSTS=a", NULL, E_INVALID, "SERVICE_HOSTS", "");
}
END_TEST

START_TEST(errors_of_flags_are_usage)
{
	bad(NULL, FLAGS("--servr-loops", "2"), E_USAGE, "--servr-loops",
	    "--server-loops?");
	bad(NULL, FLAGS("--listen"), E_USAGE, "a value is missing", "");
	bad(NULL, FLAGS("--nonsense"), E_USAGE, "--nonsense is unknown", "");
	bad(NULL, FLAGS("--data-dri", "x"), E_USAGE, "--data-dri is unknown",
	    "did you mean --data-dir?");
	bad(NULL, FLAGS("--check-confg"), E_USAGE, "--check-confg is unknown",
	    "did you mean --check-config?");
	bad(NULL, FLAGS("--listen", "a:1", "--server-listen", "b:1"), E_USAGE,
	    "given twice", "");
	bad(NULL, FLAGS("file"), E_USAGE, "unexpected argument", "");
	bad(NULL, FLAGS("--server-loops", "two"), E_INVALID,
	    "--server-loops: server.loops: 'two'", "0 to 64");
	bad(NULL, FLAGS("--tls-cert-file", "c"), E_INVALID, "together", "");
}
END_TEST

START_TEST(questions_are_told_apart)
{
	good(NULL, FLAGS("--check-config"));
	ck_assert_int_eq(settings_asked(s), SETTINGS_CHECK);
	settings_free(&s);
	s = settings_new();
	good("CONFLUX_LOG_LEVEL=loud", FLAGS("--help"));
	ck_assert_int_eq(settings_asked(s), SETTINGS_HELP);
}
END_TEST

START_TEST(everything_is_printed_with_its_origin)
{
	AUTO_BUF b = BUF_NONE;
	const char *line;

	good(NULL, FLAGS("--log-format=json"));
	settings_print(s, &b);
	line = strstr(b.p, "log.format ");
	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_nonnull(strstr(line, "json"));
	ck_assert_ptr_nonnull(strstr(line, "--log-format"));
	buf_reset(&b);
	settings_help(&b);
	ck_assert_ptr_nonnull(strstr(b.p, "--sources-file-roots"));
}
END_TEST

START_TEST(the_document_is_of_the_table)
{
	static char text[65536];
	AUTO_BUF b = BUF_NONE;
	FILE *f = fopen("docs/settings.md", "re");

	ck_assert_msg(f != NULL, "docs/settings.md is missing");
	ck_assert_uint_lt(fread(text, 1, sizeof(text) - 1, f),
			  sizeof(text) - 1);
	fclose(f);
	settings_reference(&b);
	ck_assert_str_eq(text, b.p);
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("tbl/settings");
	TCase *t = tcase_create("settings");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, defaults_are_of_the_table);
	tcase_add_test(t, later_places_win);
	tcase_add_test(t, the_file_is_named_by_the_environment_too);
	tcase_add_test(t, short_flags_and_lists);
	tcase_add_test(t, hosts_may_have_ports);
	tcase_add_test(t, errors_of_the_file_name_line_and_hint);
	tcase_add_test(t, errors_of_the_environment_name_the_variable);
	tcase_add_test(t, what_kubernetes_says_of_services_is_no_setting);
	tcase_add_test(t, errors_of_flags_are_usage);
	tcase_add_test(t, questions_are_told_apart);
	tcase_add_test(t, everything_is_printed_with_its_origin);
	tcase_add_test(t, the_document_is_of_the_table);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
