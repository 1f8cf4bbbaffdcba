/* The steps of a job one by one, over a whole store. */
#include "source/pass.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/file.h"
#include "lab.h"
#include "store/own.h"
#include "unit.h"

#include "base/banned.h"

static struct lab lab;
static struct store *store;
static struct source_settings settings;
static struct job job;
static struct pass pass;
static struct err err;
static const char *roots[1];
static char data[100];

/* The one voter leads after a moment. */
static void put(enum kind_id kind, const char *tenant, const char *name,
		struct str spec, const struct address *at)
{
	struct command c = { .type = COMMAND_OPS, .time_ms = clock_wall_ms() };
	struct op *op = command_op(lab.arena, &c, OP_OBJECT_PUT);
	struct outcome o = { .code = E_NOT_LEADER };
	uint64_t until = clock_mono_ms() + 30000;
	AUTO_BUF bytes = BUF_NONE;

	c.subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = STR("{}");
	op->spec = spec;
	if (at) {
		op->application = at->application;
		op->environment = at->environment;
		op->config_name = at->name;
		op->format = STR("text");
	}
	command_encode(&bytes, &c);
	while (o.code && clock_mono_ms() < until)
		ck_assert_msg(store_submit_wait(store, buf_view(&bytes), lab.arena,
						&o, &err) == OK,
			      "%s", err.text);
	ck_assert_msg(o.code == OK, "%s", o.text);
}

static void setup(void)
{
	struct store_config config = { .dir = data, .map_bytes = 1ull << 30,
				       .hold_ms = 10000 };

	lab_open(&lab);
	log_setup(LOG_ERROR, LOG_HUMAN);
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
	roots[0] = lab.dir;
	settings = (struct source_settings){ .dir = lab.clones,
					     .file_roots = roots,
					     .n_file_roots = 1 };
	snprintf(data, sizeof(data), "%s/data", lab.dir);
	ck_assert_int_eq(mkdir(data, 0700), 0);
	ck_assert_msg(store_open(&config, &store, &err) == OK, "%s", err.text);
	put(KIND_TENANT, NULL, "acme", STR("{}"), NULL);
	put(KIND_SOURCE, "acme", "shop",
	    arena_printf(lab.arena, "{\"url\":\"%s\"}", lab.url), NULL);
	job = (struct job){ .store = store, .settings = &settings,
			    .tenant = "acme", .name = "shop" };
}

static void teardown(void)
{
	store_close(&store);
	lab_close(&lab);
}

static void ok(enum code rc)
{
	ck_assert_msg(rc == OK, "%s", err.text);
}

/* ---- a checkpoint comes in ---- */

struct install {
	struct msg msg;
	uv_sem_t done;
};

static enum code to_file(void *sink, const void *p, size_t n, struct err *e)
{
	(void)e;
	return fwrite(p, 1, n, sink) == n ? OK : E_IO;
}

/* Of what is there already, so that the log goes on behind it. */
static void install_run(struct msg *msg)
{
	struct install *x = container_of(msg, struct install, msg);
	struct rc_machine m = state_machine(store->state);
	struct rc_checkpoint from = { fs_real(), NULL, 0 };
	struct rc_applied at;
	struct rc_frozen *f;
	char path[120], dir[120];
	struct err e;
	FILE *file;

	snprintf(path, sizeof(path), "%s/picture.mdb", lab.dir);
	snprintf(dir, sizeof(dir), "%s/state", data);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(m.freeze(m.data, &f, &at, &e), OK);
	ck_assert_int_eq(m.write(m.data, f, to_file, file, &e), OK);
	m.thaw(m.data, f);
	ck_assert_int_eq(fclose(file), 0);
	m.close(m.data);
	from.path = path;
	from.index = at.index;
	ck_assert_msg(m.open(m.data, dir, &from, &at, &e) == OK, "%s", e.text);
	uv_sem_post(&x->done);
}

static void install(void)
{
	struct install x = { .msg = { .run = install_run } };
	uint64_t before = state_generation(store->state);

	ck_assert_int_eq(uv_sem_init(&x.done, 0), 0);
	loop_post_sure(store_core_loop(store), &x.msg);
	uv_sem_wait(&x.done);
	uv_sem_destroy(&x.done);
	ck_assert_uint_gt(state_generation(store->state), before);
}

/* More contents than one picture is read for: the rest of the plan reads the store
 * that there is now, and nothing of the one that is gone. */
START_TEST(a_plan_goes_on_over_a_checkpoint_that_is_installed)
{
	struct address last = { STR("acme"), STR("shop"), STR("prod"),
				STR("399.txt") };
	char path[40];

	for (unsigned i = 0; i < 400; i++) {
		snprintf(path, sizeof(path), "shop/prod/%03u.txt", i);
		lab_write(&lab, path, path);
	}
	lab_commit(&lab, "many");
	ok(pass_begin(&pass, &job, &err));
	ok(pass_load(&pass, 0, &err));
	ok(pass_fetch(&pass, &err));
	ok(pass_open_commit(&pass, &err));
	put(KIND_CONFIG, "acme", "theirs", STR("{}"), &last);
	install();
	/* Somebody else has that address meanwhile, which the picture of before did
	 * not show. */
	ck_assert_int_eq(pass_plan(&pass, &err), E_MANAGED);
	ck_assert_ptr_nonnull(strstr(err.text, "399.txt"));
	ck_assert_uint_eq(job.result.n_invalid, 1);
	pass_end(&pass);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/pass");
	TCase *tc = tcase_create("pass");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, a_plan_goes_on_over_a_checkpoint_that_is_installed);
	suite_add_tcase(s, tc);
	return s;
}

/* The test is its own fetching child, as the daemon is. */
int main(int argc, char **argv)
{
	SRunner *sr;
	int failed;

	if (argc > 1 && strcmp(argv[1], SOURCE_FETCH_ARG) == 0)
		return source_fetch_child_main(argc, argv);
	sr = srunner_create(suite());
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
