/* The agent's file of settings. */
#include "unit.h"

#include <signal.h>

#include "edge/edge.h"

#include "base/banned.h"

#define TOP "endpoints: [http://a:1, https://b:2]\nstate_dir: /s\n"
#define APP TOP "applications:\n- tenant: acme\n  application: shop\n" \
	    "  environment: prod\n"
#define FILES APP "  files:\n"
#define ONE FILES "  - {config: a.toml, path: /etc/a.toml}\n"

static struct edge_settings s;
static struct err err;

START_TEST(all_that_there_is)
{
	static const char text[] =
		"endpoints: [http://a:1, https://b:2]\n"
		"token_file: /t\nca_file: /ca\ncert_file: /c\nkey_file: /k\n"
		"public_key_file: /p\nsnapshot_key_file: /sk\nstate_dir: /s\n"
		"instance: web-1\n"
		"applications:\n"
		"- tenant: acme\n  application: shop\n  environment: prod\n"
		"  labels: {region: eu, zone: a}\n"
		"  files:\n"
		"  - config: a.toml\n    path: /etc/a.toml\n    owner: root\n"
		"    group: 7\n    mode: \"0640\"\n"
		"    check: [nginx, -t, \"{}\"]\n    reload: [nginx, -s, reload]\n"
		"    timeout: 5s\n"
		"  - config: b\n    path: /etc/b\n"
		"    signal: {name: SIGUSR1, pid_file: /run/b.pid}\n"
		"- {tenant: acme, application: x, environment: prod,\n"
		"   files: [{config: c, path: /etc/c}]}\n";
	const struct edge_file *f;

	ck_assert_msg(edge_settings_parse(str_n(text, sizeof(text) - 1), &s,
					  &err) == OK, "%s", err.text);
	ck_assert_str_eq(s.endpoints, "http://a:1,https://b:2");
	ck_assert_str_eq(s.token_file, "/t");
	ck_assert_str_eq(s.instance, "web-1");
	ck_assert_uint_eq(s.n_sets, 2);
	ck_assert_str_eq(s.sets[0].labels, "region=eu,zone=a");
	ck_assert_ptr_null(s.sets[1].labels);
	ck_assert_uint_eq(s.sets[0].n_files, 2);
	f = &s.sets[0].files[0];
	ck_assert(str_is(f->config, "a.toml"));
	ck_assert_uint_eq(f->uid, 0);
	ck_assert_uint_eq(f->gid, 7);
	ck_assert_uint_eq(f->mode, 0640);
	ck_assert_str_eq(f->check[2], "{}");
	ck_assert_ptr_null(f->check[3]);
	ck_assert_str_eq(f->reload[0], "nginx");
	ck_assert_uint_eq(f->timeout_ms, 5000);
	f++;
	ck_assert_int_eq(f->signal, SIGUSR1);
	ck_assert_str_eq(f->pid_file, "/run/b.pid");
	ck_assert_uint_eq(f->mode, 0644);
	ck_assert_uint_eq(f->uid, (uid_t)-1);
	edge_settings_fini(&s);
}
END_TEST

/* Each says where, and what is to be there. */
static const struct {
	const char *text, *says;
} wrong[] = {
	{ "", "a mapping is expected" },
	{ "{", "line 2" },
	{ "state_dir: /s\napplications: []\n", "endpoints is missing" },
	{ "endpoints: [a:1]\nstate_dir: /s\n", "line 1: an endpoint is to be http://" },
	{ "endpoints: []\n", "line 1: endpoints is to be a list of 1 to 16" },
	{ "endpoints: [http://a]\n", "state_dir is missing" },
	{ "endpoints: [http://a]\nstate_dir: s\n", "line 2: state_dir is to be an "
						   "absolute path" },
	{ TOP, "applications is missing" },
	{ TOP "cert_file: /c\napplications: []\n", "cert_file and key_file" },
	{ TOP "endpoint: x\n", "line 3: endpoint is not known; there are: endpoints" },
	{ TOP "applications:\n- tenant: acme\n", "application is missing" },
	{ APP, "files is missing" },
	{ APP "  labels: {a: 1}\n  files: []\n", "quote numbers" },
	{ FILES "  - {config: a}\n", "path is missing" },
	{ FILES "  - {config: a, path: b}\n", "line 8: path is to be an absolute path" },
	{ FILES "  - {config: a, path: /b/}\n", "path is a folder" },
	{ FILES "  - {config: \"a,b\", path: /b}\n", "with a comma" },
	{ FILES "  - {config: a, path: /b, mode: 0640}\n", "octal digits in quotes" },
	{ FILES "  - {config: a, path: /b, mode: \"0948\"}\n", "octal digits" },
	{ FILES "  - {config: a, path: /b, mode: \"4755\"}\n", "setuid" },
	{ FILES "  - {config: a, path: /b, owner: no-such-user}\n", "there is no user" },
	{ FILES "  - {config: a, path: /b, group: no-such-group}\n",
	  "there is no group" },
	{ FILES "  - {config: a, path: /b, check: nginx}\n", "check is to be a list" },
	{ FILES "  - {config: a, path: /b, reload: [a, 1]}\n", "quote numbers" },
	{ FILES "  - {config: a, path: /b, signal: {name: KILL, pid_file: /p}}\n",
	  "signal.name is to be" },
	{ FILES "  - {config: a, path: /b, signal: {name: HUP}}\n",
	  "pid_file is missing" },
	{ FILES "  - {config: a, path: /b, timeout: 5}\n", "timeout is to be a time" },
	{ ONE "  - {config: b, path: /etc/a.toml}\n", "two files have the path" },
};

START_TEST(what_is_wrong_is_said)
{
	ck_assert_msg(edge_settings_parse(str_of(wrong[_i].text), &s, &err) != OK,
		      "%s", wrong[_i].text);
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s: %s",
		      wrong[_i].text, err.text);
}
END_TEST

START_TEST(the_file_is_named)
{
	ck_assert_int_eq(edge_settings_load("/no/such/file", &s, &err), E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "/no/such/file"));
	ck_assert_int_eq(edge_settings_parse(STR(ONE), &s, &err), OK);
	edge_settings_fini(&s);
}
END_TEST

static void path_of(size_t i, char out[100])
{
	struct buf b = BUF_NONE;

	edge_snapshot_path(&s, i, &b);
	snprintf(out, 100, "%.*s", STR_ARG(buf_view(&b)));
	buf_fini(&b);
}

/* Each keeps what it has in a file of its own, and the first as if it were alone. */
START_TEST(snapshots_of_one_address)
{
	static const char set[] = "- {tenant: acme, application: shop, environment: prod, "
				  "files: [{config: %s, path: /etc/%zu}]}\n";
	static const char *const names[] = { "a", "b", "a", "b" };
	char text[600], alone[100], paths[ARRAY_LEN(names)][100];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), TOP "applications:\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, set, names[i], i);
		ck_assert_int_eq(edge_settings_parse(str_of(text), &s, &err), OK);
		for (size_t k = 0; k <= i; k++)
			path_of(k, paths[k]);
		edge_settings_fini(&s);
		if (i == 0)
			memcpy(alone, paths[0], sizeof(alone));
		ck_assert_str_eq(paths[0], alone);
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(paths[k], paths[i]);
	}
	/* What an agent kept that knew of one alone. */
	ck_assert_str_eq(alone, "/s/0bda10b2b29d6e6c.snapshot");
}
END_TEST

static Suite *suite(void)
{
	Suite *s_ = suite_create("edge/settings");
	TCase *t = tcase_create("settings");

	tcase_add_test(t, all_that_there_is);
	tcase_add_loop_test(t, what_is_wrong_is_said, 0, ARRAY_LEN(wrong));
	tcase_add_test(t, the_file_is_named);
	tcase_add_test(t, snapshots_of_one_address);
	suite_add_tcase(s_, t);
	return s_;
}

UNIT_MAIN(suite)
