/* The steps of a job one by one, over a whole store. */
#include "source/pass.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "io/file.h"
#include "lab.h"
#include "store/own.h"
#include "unit.h"

#include "base/banned.h"

static struct lab lab;
static struct store *store;
static struct source_settings settings;
static struct clones *clones;
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
	clones = clones_new(&settings);
	job = (struct job){ .store = store, .settings = &settings, .clones = clones,
			    .tenant = "acme", .name = "shop" };
}

static void teardown(void)
{
	clones_free(&clones);
	store_close(&store);
	lab_close(&lab);
}

static void ok(enum code rc)
{
	ck_assert_msg(rc == OK, "%s", err.text);
}

/* A pass that ends with its commit open. */
static void begin(void)
{
	ok(pass_begin(&pass, &job, &err));
	ok(pass_load(&pass, 0, &err));
	ok(pass_fetch(&pass, &err));
	ok(pass_open_commit(&pass, &err));
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
	begin();
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

/* ---- Git LFS ---- */

#define POINTER "version https://git-lfs.github.com/spec/v1\n"

START_TEST(a_pointer_of_git_lfs_is_no_content)
{
	AUTO_BUF longer = BUF_NONE;

	buf_z(&longer, POINTER);
	memset(buf_extend(&longer, 1024), 'x', 1024);
	lab_write(&lab, "shop/prod/longer.txt", longer.p);
	lab_write(&lab, "shop/prod/pointer.txt", POINTER
		  "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d"
		  "17e2393\nsize 12345\n");
	lab_commit(&lab, "tracked by LFS");
	begin();
	ck_assert_int_eq(pass_plan(&pass, &err), E_UNPROCESSABLE);
	ck_assert_str_eq(err.text, "shop/prod/pointer.txt: a pointer of Git LFS, not the "
			 "file itself");
	ck_assert_uint_eq(job.result.n_invalid, 1);
	pass_end(&pass);
}
END_TEST

/* ---- clones ---- */

static enum code sweep(void)
{
	struct view *view = NULL;
	enum code rc;

	ok(view_new(store, &view, &err));
	rc = clones_sweep(clones, view, &err);
	view_free(&view);
	return rc;
}

/* Of the last pass. */
static char folder[200];

static bool is_there(void)
{
	return access(folder, F_OK) == 0;
}

static void make_clone(void)
{
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	begin();
	ck_assert(str_copy(folder, sizeof(folder), str_of(pass.dir)));
	pass_end(&pass);
	ck_assert(is_there());
}

START_TEST(a_clone_that_no_source_names_goes)
{
	char first[200], other[100];

	make_clone();
	memcpy(first, folder, sizeof(first));
	job.plans = true;
	make_clone();
	/* Both that are of the source stay. */
	snprintf(other, sizeof(other), "%s/acme-shop-0123abcd", lab.clones);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ok(sweep());
	ck_assert_str_ne(first, folder);
	ck_assert(is_there() && access(first, F_OK) == 0);
	ck_assert_int_eq(access(other, F_OK), -1);
	/* Another url is another clone. */
	put(KIND_SOURCE, "acme", "shop", STR("{\"url\":\"file:///none\"}"), NULL);
	ok(sweep());
	ck_assert(!is_there() && access(first, F_OK) != 0);
}
END_TEST

START_TEST(a_clone_that_a_job_reads_stays_until_then)
{
	make_clone();
	begin();
	put(KIND_SOURCE, "acme", "shop", STR("{\"url\":\"file:///none\"}"), NULL);
	ok(sweep());
	ck_assert(is_there());
	ck_assert(!clones_want_sweep(clones));
	pass_end(&pass);
	ck_assert(clones_want_sweep(clones) && !clones_want_sweep(clones));
	ok(sweep());
	ck_assert(!is_there());
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
static unsigned count_clones(void)
{
	DIR *d = opendir(lab.clones);
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

START_TEST(a_sweep_that_is_cut_off_is_made_again)
{
	make_clone();
	put(KIND_SOURCE, "acme", "shop", STR("{\"url\":\"file:///none\"}"), NULL);
	ck_assert_int_eq(failpoint_set("clone.rename=error*1", &err), OK);
	ck_assert_int_eq(sweep(), E_IO);
	ck_assert(is_there());
	ck_assert_int_eq(failpoint_set("clone.remove=error*1", &err), OK);
	ck_assert_int_eq(sweep(), E_IO);
	ck_assert(!is_there());
	ck_assert_uint_eq(count_clones(), 1);
	ok(sweep());
	ck_assert_uint_eq(count_clones(), 0);
}
END_TEST
#endif

START_TEST(a_clone_has_a_bound)
{
	char pack[300];
	int fd;

	make_clone();
	snprintf(pack, sizeof(pack), "%s/objects/pack/pack-more.pack", folder);
	fd = creat(pack, 0600);
	ck_assert_int_ge(fd, 0);
	/* A hole: it takes nothing. */
	ck_assert_int_eq(ftruncate(fd, (2ll << 30) - (1 << 20)), 0);
	clones_trim(clones, folder);
	ck_assert(is_there());
	ck_assert_int_eq(ftruncate(fd, 2ll << 30), 0);
	close(fd);
	clones_trim(clones, folder);
	ck_assert(!is_there());
}
END_TEST

static struct str path_of(const char *ns, const char *name)
{
	return clones_path(clones, lab.arena, str_of(ns), str_of(name), STR("u"), false);
}

/* Two tenants, and two names that begin alike. */
START_TEST(no_two_sources_share_a_clone)
{
	char one[254] = "", two[254] = "";
	struct str path;

	ck_assert(!str_eq(path_of("a", "b-c"), path_of("a-b", "c")));
	ck_assert(str_eq(path_of("a", "b-c"), path_of("a", "b-c")));
	memset(one, 'n', 253);
	memset(two, 'n', 253);
	two[252] = 'm';
	path = path_of("a", one);
	ck_assert(!str_eq(path, path_of("a", two)));
	/* With a tenant of 63 bytes, and while it is removed, it is a file's name. */
	ck_assert_uint_le(strlen(".gone-") + 62 + path.n - strlen(lab.clones) - 1, 255);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/pass");
	TCase *tc = tcase_create("pass");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, a_plan_goes_on_over_a_checkpoint_that_is_installed);
	tcase_add_test(tc, a_pointer_of_git_lfs_is_no_content);
	tcase_add_test(tc, a_clone_that_no_source_names_goes);
	tcase_add_test(tc, a_clone_that_a_job_reads_stays_until_then);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_test(tc, a_sweep_that_is_cut_off_is_made_again);
#endif
	tcase_add_test(tc, a_clone_has_a_bound);
	tcase_add_test(tc, no_two_sources_share_a_clone);
	suite_add_tcase(s, tc);
	return s;
}

FETCHING_UNIT_MAIN(suite)
