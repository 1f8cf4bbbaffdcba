/*
 * The reconciler over a whole store: real repositories, pushes, triggers, the
 * timer, and what the status says.
 */
#include "source/source.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "lab.h"
#include "state/view.h"
#include "store/store.h"
#include "unit.h"

#include "base/banned.h"

#define BASE_SPEC "\"url\":\"%s\",\"interval\":\"%s\""

static struct lab lab;
static struct store *store;
static struct pool *pool;
static struct reconciler *rec;
static struct source_settings settings;
static const char *roots[1];
static struct err err;
static struct outcome last;

/* ---- the store ---- */

static struct command *command(void)
{
	struct command *c = ANEW(lab.arena, struct command);

	c->type = COMMAND_OPS;
	c->time_ms = clock_wall_ms();
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	return c;
}

static enum code submit(struct command *c)
{
	AUTO_BUF bytes = BUF_NONE;

	command_encode(&bytes, c);
	ck_assert_msg(store_submit_wait(store, buf_view(&bytes), lab.arena, &last,
					&err) == OK,
		      "%s", err.text);
	return last.code;
}

static struct op *object(struct command *c, enum op_type type, enum kind_id kind,
			 const char *tenant, const char *name)
{
	struct op *op = command_op(lab.arena, c, type);

	op->kind = kind;
	op->tenant = str_of(tenant);
	op->name = str_of(name);
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

/* The one voter leads after a moment. */
static void wait_for_leader(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct command *c = command();

		object(c, OP_OBJECT_PUT, KIND_TENANT, NULL, "acme");
		if (submit(c) == OK)
			return;
		usleep(10000);
	}
	ck_abort_msg("no leader: %s", last.text);
}

static void put_source(const char *name, const char *more, const char *interval)
{
	struct command *c = command();
	struct op *op = object(c, OP_OBJECT_PUT, KIND_SOURCE, "acme", name);

	op->spec = arena_printf(lab.arena, "{" BASE_SPEC "%s}", lab.url, interval,
				more);
	ck_assert_msg(submit(c) == OK, "%s", last.text);
}

static struct kv_txn *read_now(struct view **view)
{
	struct kv_txn *txn;

	ck_assert_int_eq(view_new(store, view, &err), OK);
	ck_assert_int_eq(view_use(*view, 0, &txn, &err), OK);
	return txn;
}

static const char *fetch(const char *address)
{
	struct view *view;
	struct kv_txn *txn = read_now(&view);
	struct config_view config;
	struct address at;
	AUTO_BUF content = BUF_NONE;
	const char *out = "-";

	ck_assert_int_eq(address_parse(str_of(address), &at, NULL), OK);
	if (view_config(txn, &at, CLIENT_NOBODY, &config, NULL) == OK &&
	    view_content(txn, at.tenant, &config.rule.sha, config.rule.size,
			 &content, NULL) == OK)
		out = arena_z(lab.arena, buf_view(&content));
	view_free(&view);
	return out;
}

static const char *status(const char *name)
{
	struct view *view;
	struct kv_txn *txn = read_now(&view);
	struct object_view o;
	const char *out = "-";

	if (view_object(txn, KIND_SOURCE, STR("acme"), str_of(name), &o,
			NULL) == OK)
		out = arena_z(lab.arena, o.row.status);
	view_free(&view);
	return out;
}

#define says(name, text)                                             \
	ck_assert_msg(strstr(status(name), (text)) != NULL, "%s", status(name))

/* ---- triggers ---- */

struct waiter {
	struct source_wait wait;
	uv_sem_t sem;
	struct source_result result;
};

static void on_result(struct source_wait *wait, const struct source_result *res)
{
	struct waiter *w = container_of(wait, struct waiter, wait);

	w->result = *res;
	uv_sem_post(&w->sem);
}

static void ask(struct waiter *w, const char *name)
{
	*w = (struct waiter){ .wait = { .home = store_core_loop(store),
					.done = on_result } };
	uv_sem_init(&w->sem, 0);
	ck_assert(source_trigger(rec, STR("acme"), str_of(name), &w->wait));
}

static struct source_result hear(struct waiter *w)
{
	uv_sem_wait(&w->sem);
	uv_sem_destroy(&w->sem);
	return w->result;
}

static struct source_result trigger(const char *name)
{
	struct waiter w;

	ask(&w, name);
	return hear(&w);
}

static struct source_result reconcile(const char *name)
{
	struct source_result res = trigger(name);

	ck_assert_msg(res.code == OK, "%s", res.text);
	return res;
}

/* ---- fixture ---- */

static void open_all(void)
{
	struct store_config config = { .dir = arena_printf(lab.arena, "%s/data",
							   lab.dir).p,
				       .map_bytes = 1ull << 30 };

	pool = pool_new("git", 2, 64);
	(void)!mkdir(config.dir, 0700);
	ck_assert_msg(store_open(&config, &store, &err) == OK, "%s", err.text);
	wait_for_leader();
	rec = source_reconciler_new(store, pool, &settings);
	source_reconciler_start(rec);
}

static void close_all(void)
{
	source_reconciler_stop(rec);
	source_reconciler_free(&rec);
	store_close(&store);
	pool_free(&pool);
}

static void setup(void)
{
	lab_open(&lab);
	log_setup(LOG_ERROR, LOG_HUMAN);
	ck_assert_msg(kinds_load(&err) == OK, "%s", err.text);
	roots[0] = lab.dir;
	settings = (struct source_settings){ .dir = lab.clones,
					     .file_roots = roots,
					     .n_file_roots = 1 };
	open_all();
}

static void teardown(void)
{
	close_all();
	lab_close(&lab);
}

/* ---- the tests ---- */

START_TEST(a_push_becomes_live)
{
	struct source_result res;
	uint64_t rev;

	lab_write(&lab, "shop/prod/db.toml", "port = 1\n");
	lab_write(&lab, "shop/prod/a/b.json", "{}");
	lab_write(&lab, "README.md", "ignored");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/db.toml"), "port = 1\n");
	ck_assert_str_eq(fetch("acme/shop/prod/a/b.json"), "{}");
	says("shop", "\"configs\":2");
	says("shop", "\"ignoredFiles\":1");
	/* Nothing new: nothing written. */
	rev = store_rev(store);
	res = reconcile("shop");
	ck_assert_uint_eq(res.rev, 0);
	ck_assert_uint_eq(store_rev(store), rev);

	lab_write(&lab, "shop/prod/db.toml", "port = 2\n");
	struct oid id = lab_commit(&lab, "second");
	char hex[OID_TEXT];

	res = reconcile("shop");
	ck_assert_uint_eq(res.operations, 1);
	ck_assert_str_eq(fetch("acme/shop/prod/db.toml"), "port = 2\n");
	oid_text(hex, &id);
	ck_assert_ptr_nonnull(strstr(res.revision, hex));
	says("shop", res.revision);
	says("shop", "\"configs\":2");
}
END_TEST

struct ends {
	unsigned events, ends;
};

static bool count_end(void *data, uint64_t rev, const struct event_row *event)
{
	struct ends *e = data;

	(void)rev;
	e->events++;
	e->ends += event->end;
	return true;
}

START_TEST(five_become_visible_together)
{
	struct view *view;
	struct ends ends = { 0, 0 };
	uint64_t rev;
	char path[40];

	lab_write(&lab, "shop/prod/0.txt", "0");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	rev = store_rev(store);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "shop/prod/%u.txt", i);
		lab_write(&lab, path, "five");
	}
	lab_commit(&lab, "five");
	ck_assert_uint_eq(reconcile("shop").operations, 9);
	ck_assert_int_eq(view_events(read_now(&view), rev, count_end, &ends,
				     &err), OK);
	view_free(&view);
	/* Four are new (object and version), one changed, the status, and the
	 * Release. */
	ck_assert_uint_eq(ends.events, 11);
	ck_assert_uint_eq(ends.ends, 1);
}
END_TEST

START_TEST(a_broken_file_stops_its_source_alone)
{
	struct source_result res;
	uint64_t rev;

	lab_write(&lab, "shop/prod/x.yaml", "a: 1\n");
	lab_write(&lab, "shop/prod/y.txt", "old");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	lab_write(&lab, "shop/prod/x.yaml", "a: 1\nb: [\n");
	lab_write(&lab, "shop/prod/y.txt", "new");
	lab_commit(&lab, "broken");
	res = trigger("shop");
	ck_assert_int_eq(res.code, E_UNPROCESSABLE);
	ck_assert(str_starts(str_of(res.text), STR("shop/prod/x.yaml: line ")));
	says("shop", "shop/prod/x.yaml: line ");
	says("shop", "InvalidContent");
	ck_assert_str_eq(fetch("acme/shop/prod/x.yaml"), "a: 1\n");
	ck_assert_str_eq(fetch("acme/shop/prod/y.txt"), "old");
	/* Again: the same, and nothing written. */
	rev = store_rev(store);
	ck_assert_int_eq(trigger("shop").code, E_UNPROCESSABLE);
	ck_assert_uint_eq(store_rev(store), rev);
	/* Another source goes on. */
	lab_git(&lab, "checkout", "-qb", "other", "HEAD~");
	lab_git(&lab, "mv", "shop", "billing");
	lab_commit(&lab, "other");
	lab_git(&lab, "checkout", "-q", "main");
	put_source("billing", ",\"ref\":{\"branch\":\"other\"}", "1h");
	reconcile("billing");
	ck_assert_str_eq(fetch("acme/billing/prod/y.txt"), "old");
	/* And mended is mended. */
	lab_write(&lab, "shop/prod/x.yaml", "a: 2\n");
	lab_commit(&lab, "mended");
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.yaml"), "a: 2\n");
	ck_assert_str_eq(fetch("acme/shop/prod/y.txt"), "new");
	says("shop", "\"reason\":\"Applied\"");
}
END_TEST

START_TEST(a_rollback_holds)
{
	struct command *c;

	lab_write(&lab, "shop/prod/x.txt", "good");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	lab_write(&lab, "shop/prod/x.txt", "bad");
	lab_commit(&lab, "bad");
	reconcile("shop");
	c = command();
	object(c, OP_ROLLBACK, KIND_CONFIG, "acme", "shop.prod.x.txt")->mode =
		ROLLBACK_STABLE_ONLY;
	ck_assert_msg(submit(c) == OK, "%s", last.text);
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "good");
	/* Also where everything is compared anew. */
	lab_git(&lab, "commit", "-q", "--amend", "-m", "bad, forced");
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "good");
	lab_write(&lab, "shop/prod/x.txt", "better");
	lab_commit(&lab, "better");
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "better");
}
END_TEST

START_TEST(a_forced_push_with_a_lost_base)
{
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_write(&lab, "shop/prod/gone.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", ",\"prune\":true", "1h");
	reconcile("shop");
	lab_git(&lab, "checkout", "-q", "--orphan", "fresh");
	lab_remove(&lab, "shop/prod/gone.txt");
	lab_write(&lab, "shop/prod/x.txt", "2");
	lab_commit(&lab, "rewritten");
	lab_git(&lab, "branch", "-M", "main");
	/* Another node's clone has never had the base. */
	close_all();
	ck_assert_int_eq(rename(lab.clones, arena_printf(lab.arena, "%s/old",
							 lab.dir).p), 0);
	open_all();
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "2");
	ck_assert_str_eq(fetch("acme/shop/prod/gone.txt"), "-");
}
END_TEST

START_TEST(the_timer_finds_a_push)
{
	uint64_t until = clock_mono_ms() + 20000;

	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", "", "1s");
	reconcile("shop");
	lab_write(&lab, "shop/prod/x.txt", "2");
	lab_commit(&lab, "second");
	while (strcmp(fetch("acme/shop/prod/x.txt"), "2") != 0 &&
	       clock_mono_ms() < until)
		usleep(20000);
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "2");
}
END_TEST

static void delete_source(const char *name)
{
	struct command *c = command();

	object(c, OP_OBJECT_DELETE, KIND_SOURCE, "acme", name);
	ck_assert_msg(submit(c) == OK, "%s", last.text);
}

/* What follows from an event has none of its own to wait for. */
#define until(text, seen) \
	do { \
		uint64_t end_ = clock_mono_ms() + 20000; \
	\
		while (strcmp((seen), (text)) != 0 && \
		       clock_mono_ms() < end_) \
			usleep(10000); \
		ck_assert_str_eq((seen), (text)); \
	} while (0)

START_TEST(suspended_missing_deleted)
{
	struct source_result res;

	ck_assert_int_eq(trigger("none").code, E_NOT_FOUND);
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", ",\"suspend\":true,\"prune\":true", "1h");
	res = trigger("shop");
	ck_assert_int_eq(res.code, E_CONFLICT);
	ck_assert_str_eq(res.text, "the source is suspended");
	says("shop", "Suspended");
	put_source("shop", ",\"prune\":true", "1h");
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "1");
	delete_source("shop");
	/* What it owned goes with it, because it prunes. */
	until("-", fetch("acme/shop/prod/x.txt"));
	ck_assert_int_eq(trigger("shop").code, E_NOT_FOUND);
}
END_TEST

static const char *manager(void)
{
	struct view *view;
	struct kv_txn *txn = read_now(&view);
	struct object_view o;
	const char *out = "-";

	if (view_object(txn, KIND_CONFIG, STR("acme"), STR("shop.prod.x.txt"),
			&o, NULL) == OK)
		out = manager_name(o.row.manager);
	view_free(&view);
	return out;
}

START_TEST(a_deleted_source_leaves_what_nobody_owns)
{
	struct command *c;

	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	ck_assert_str_eq(manager(), "git");
	delete_source("shop");
	until("api", manager());
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "1");
	/* The same source again finds what it left. */
	put_source("shop", "", "1h");
	reconcile("shop");
	ck_assert_str_eq(manager(), "git");
	/* People write what nobody owns. */
	delete_source("shop");
	until("api", manager());
	c = command();
	object(c, OP_OBJECT_DELETE, KIND_CONFIG, "acme", "shop.prod.x.txt");
	ck_assert_msg(submit(c) == OK, "%s", last.text);
}
END_TEST

/* The deletion is there, and what follows from it did not come to be. */
static void delete_and_crash(const char *more)
{
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", more, "1h");
	reconcile("shop");
	source_reconciler_stop(rec);
	source_reconciler_free(&rec);
	delete_source("shop");
	ck_assert_str_eq(manager(), "git");
	rec = source_reconciler_new(store, pool, &settings);
	close_all();
	open_all();
}

START_TEST(a_prune_that_was_cut_off_is_done_at_the_next_start)
{
	delete_and_crash(",\"prune\":true");
	until("-", fetch("acme/shop/prod/x.txt"));
}
END_TEST

START_TEST(so_is_what_was_to_be_left)
{
	delete_and_crash("");
	until("api", manager());
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "1");
}
END_TEST

START_TEST(two_sources_one_address)
{
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("first", "", "1h");
	reconcile("first");
	put_source("second", "", "1h");
	ck_assert_int_eq(trigger("second").code, E_MANAGED);
	says("second", "AddressOwned");
	says("second", "source:acme/first");
	says("first", "\"reason\":\"Applied\"");
}
END_TEST

START_TEST(specs_that_cannot_be)
{
	lab_commit(&lab, "first");
	put_source("tag", ",\"ref\":{\"tag\":\"v9\"}", "1h");
	ck_assert_int_eq(trigger("tag").code, E_NOT_FOUND);
	says("tag", "RefNotFound");
	put_source("tpl", ",\"layout\":{\"files\":{\"pathTemplate\":\"{x}\"}}", "1h");
	ck_assert_int_eq(trigger("tpl").code, E_INVALID);
	says("tpl", "InvalidSpec");
	put_source("man", ",\"layout\":{\"manifests\":{\"path\":\"none\"}}", "1h");
	ck_assert_int_eq(trigger("man").code, E_UNPROCESSABLE);
	says("man", "\\\"none\\\" is not in the repository");
	ck_assert_int_eq(symlink("/etc/passwd",
				 arena_printf(lab.arena, "%s/link", lab.repo).p),
			 0);
	lab_commit(&lab, "link");
	put_source("link", "", "1h");
	ck_assert_int_eq(trigger("link").code, E_UNPROCESSABLE);
	says("link", "link: symbolic links are not followed");
}
END_TEST

START_TEST(manifests)
{
	static const char one[] =
		"apiVersion: gitops.conflux.io/v1alpha1\nkind: ConfluxConfig\n"
		"metadata: {name: db}\nspec: {application: shop, environment: "
		"prod, name: db.toml, content: \"x = %d\\n\"}\n";
	AUTO_BUF text = BUF_NONE;

	buf_printf(&text, one, 1);
	lab_write(&lab, "deploy/db.yaml", text.p);
	lab_write(&lab, "deploy/notes.md", "ignored");
	lab_commit(&lab, "first");
	put_source("m", ",\"prune\":true,\"layout\":{\"manifests\":{\"path\":"
			"\"deploy\"}}", "1h");
	reconcile("m");
	ck_assert_str_eq(fetch("acme/shop/prod/db.toml"), "x = 1\n");
	says("m", "\"ignoredFiles\":1");
	buf_reset(&text);
	buf_printf(&text, one, 2);
	lab_write(&lab, "deploy/db.yaml", text.p);
	lab_commit(&lab, "second");
	ck_assert_uint_eq(reconcile("m").operations, 1);
	ck_assert_str_eq(fetch("acme/shop/prod/db.toml"), "x = 2\n");
	lab_remove(&lab, "deploy/db.yaml");
	lab_commit(&lab, "third");
	reconcile("m");
	ck_assert_str_eq(fetch("acme/shop/prod/db.toml"), "-");
}
END_TEST

START_TEST(a_first_import_is_one_command)
{
	char path[60];
	struct source_result res;
	struct source_metrics m;

	for (unsigned i = 0; i < 2500; i++) {
		snprintf(path, sizeof(path), "app%u/env%u/%u.json", i % 10, i % 7,
			 i);
		lab_write(&lab, path, "{\"some\": \"content\"}");
	}
	lab_commit(&lab, "many");
	put_source("shop", "", "1h");
	reconcile("shop");
	source_metrics(rec, &m);
	/* Ten applications, seventy environments. */
	ck_assert_uint_eq(m.operations, 2 * 2500 + 80);
	ck_assert_str_eq(fetch("acme/app9/env1/2479.json"),
			 "{\"some\": \"content\"}");
	says("shop", "\"configs\":2500");
	lab_write(&lab, "app9/env1/2479.json", "{}");
	lab_commit(&lab, "one");
	res = reconcile("shop");
	ck_assert_uint_eq(res.operations, 1);
	source_metrics(rec, &m);
	/* Three folders of two commits. */
	ck_assert_uint_eq(m.subtrees_opened_last, 6);
	ck_assert_uint_eq(m.commits_applied, 2);
}
END_TEST

START_TEST(a_restart_writes_nothing)
{
	uint64_t rev;

	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	rev = store_rev(store);
	close_all();
	open_all();
	reconcile("shop");
	ck_assert_uint_eq(store_rev(store), rev);
	ck_assert_str_eq(fetch("acme/shop/prod/x.txt"), "1");
}
END_TEST

/* Takes connections and says nothing; lab.url is its. */
static int silent_server(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	settings.allow_private = true;
	snprintf(lab.url, sizeof(lab.url), "https://127.0.0.1:%u/x.git",
		 ntohs(at.sin_port));
	return fd;
}

START_TEST(stops_while_a_server_is_silent)
{
	int fd = silent_server();
	struct waiter w;
	uint64_t start;

	put_source("silent", "", "1h");
	ask(&w, "silent");
	/* It is being fetched once its connection comes. */
	int peer = accept(fd, NULL, NULL);

	start = clock_mono_ms();
	close_all();
	ck_assert_uint_lt(clock_mono_ms() - start, 10000);
	ck_assert_int_eq(hear(&w).code, E_CANCELLED);
	close(peer);
	close(fd);
	open_all();
}
END_TEST

/* A third source, and a plan of each: of all of them one is looked at. */
START_TEST(servers_that_hang_hold_up_their_tenant_alone)
{
	static const char *const names[] = { "a", "b", "c" };
	struct waiter w[3], plans[3];
	struct command *c = command();
	struct str spec;
	int fd, peer;

	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	spec = arena_printf(lab.arena, "{\"url\":\"%s\"}", lab.url);
	fd = silent_server();
	for (int i = 0; i < 3; i++) {
		put_source(names[i], "", "1h");
		ask(&w[i], names[i]);
		plans[i] = (struct waiter){ .wait = { .home = store_core_loop(store),
						      .done = on_result } };
		uv_sem_init(&plans[i].sem, 0);
		ck_assert(source_plan(rec, STR("acme"), str_of(names[i]), STR_NONE,
				      &plans[i].wait));
	}
	peer = accept(fd, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	object(c, OP_OBJECT_PUT, KIND_TENANT, NULL, "other");
	ck_assert_msg(submit(c) == OK, "%s", last.text);
	c = command();
	object(c, OP_OBJECT_PUT, KIND_SOURCE, "other", "shop")->spec = spec;
	ck_assert_msg(submit(c) == OK, "%s", last.text);
	until("1", fetch("other/shop/prod/x.txt"));
	close_all();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(hear(&w[i]).code, E_CANCELLED);
		ck_assert_int_eq(hear(&plans[i]).code, E_CANCELLED);
	}
	close(peer);
	close(fd);
	open_all();
}
END_TEST

static const char *clones(void)
{
	DIR *d = opendir(lab.clones);
	const char *out = "none";
	struct dirent *e;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		out = e->d_name[0] == '.' ? out : "some";
	closedir(d);
	return out;
}

/* Also at the next start, where nobody was there to see it. */
START_TEST(clones_go_with_their_sources)
{
	lab_write(&lab, "shop/prod/x.txt", "1");
	lab_commit(&lab, "first");
	put_source("one", "", "1h");
	reconcile("one");
	ck_assert_str_eq(clones(), "some");
	delete_source("one");
	until("none", clones());
	close_all();
	ck_assert_int_eq(mkdir(arena_printf(lab.arena, "%s/acme-one-0123abcd",
					    lab.clones).p, 0700), 0);
	open_all();
	until("none", clones());
}
END_TEST

/* ---- plans ---- */

/* A plan is kept from the version on that the cluster has in a moment. */
static void wait_for_gate(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct view *view;
		struct kv_txn *txn = read_now(&view);
		uint64_t version = 0;
		struct str row;

		if (kv_get(txn, KV_META, VERSION_KEY, &row))
			ck_assert(cluster_version_decode(row, &version));
		view_free(&view);
		if (version >= VERSION_GATE)
			return;
		usleep(10000);
	}
	ck_abort_msg("the cluster's version does not grow");
}

static struct source_result plan(const char *commit)
{
	struct waiter w = { .wait = { .home = store_core_loop(store),
				      .done = on_result } };

	uv_sem_init(&w.sem, 0);
	ck_assert(source_plan(rec, STR("acme"), STR("shop"), str_of(commit),
			      &w.wait));
	return hear(&w);
}

static enum code execute(const struct source_result *res)
{
	struct command *c = command();
	struct op *op = command_op(lab.arena, c, OP_EXECUTE);

	op->tenant = STR("acme");
	ck_assert(hex_parse(str_of(res->plan), op->sha.b, sizeof(op->sha.b)));
	return submit(c);
}

START_TEST(a_commit_is_planned_and_made_live_by_its_plan)
{
	struct source_result first, again, later;
	struct oid old, new;
	char text[OID_TEXT];

	wait_for_gate();
	lab_write(&lab, "shop/prod/a.toml", "a = 1\n");
	lab_commit(&lab, "first");
	put_source("shop", "", "1h");
	reconcile("shop");
	lab_write(&lab, "shop/prod/a.toml", "a = 2\n");
	old = lab_commit(&lab, "second");
	lab_write(&lab, "shop/prod/a.toml", "a = 3\n");
	new = lab_commit(&lab, "third");
	(void)new;
	later = plan("");
	ck_assert_msg(later.code == OK, "%s", later.text);
	ck_assert_uint_eq(later.operations, 1);
	oid_text(text, &old);
	text[9] = '\0';
	first = plan(text);
	again = plan(text);
	ck_assert_msg(first.code == OK && again.code == OK, "%s", first.text);
	ck_assert_str_eq(first.plan, again.plan);
	ck_assert_str_ne(first.plan, later.plan);
	/* Nothing happened yet. */
	ck_assert_str_eq(fetch("acme/shop/prod/a.toml"), "a = 1\n");
	ck_assert_msg(execute(&first) == OK, "%s", last.text);
	ck_assert_str_eq(fetch("acme/shop/prod/a.toml"), "a = 2\n");
	oid_text(text, &old);
	says("shop", text);
	/* It moved under the other plan. */
	ck_assert_int_eq(execute(&later), E_CONFLICT);
	ck_assert_str_eq(fetch("acme/shop/prod/a.toml"), "a = 2\n");
	/* And it is still the source's. */
	reconcile("shop");
	ck_assert_str_eq(fetch("acme/shop/prod/a.toml"), "a = 3\n");
}
END_TEST

START_TEST(commits_that_cannot_be_planned)
{
	wait_for_gate();
	lab_write(&lab, "shop/prod/a.toml", "a = 1\n");
	lab_commit(&lab, "first");
	ck_assert_int_eq(plan("").code, E_NOT_FOUND);
	put_source("shop", "", "1h");
	ck_assert_int_eq(plan("0123456789").code, E_NOT_FOUND);
	ck_assert_int_eq(plan("012").code, E_INVALID);
	ck_assert_int_eq(plan("what ever").code, E_INVALID);
	lab_write(&lab, "shop/prod/a.toml", "a = \n");
	lab_commit(&lab, "broken");
	ck_assert_int_eq(plan("").code, E_UNPROCESSABLE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("source/reconciler");
	TCase *tc = tcase_create("reconciler");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_push_becomes_live);
	tcase_add_test(tc, five_become_visible_together);
	tcase_add_test(tc, a_broken_file_stops_its_source_alone);
	tcase_add_test(tc, a_rollback_holds);
	tcase_add_test(tc, a_forced_push_with_a_lost_base);
	tcase_add_test(tc, the_timer_finds_a_push);
	tcase_add_test(tc, suspended_missing_deleted);
	tcase_add_test(tc, a_deleted_source_leaves_what_nobody_owns);
	tcase_add_test(tc, a_prune_that_was_cut_off_is_done_at_the_next_start);
	tcase_add_test(tc, so_is_what_was_to_be_left);
	tcase_add_test(tc, two_sources_one_address);
	tcase_add_test(tc, specs_that_cannot_be);
	tcase_add_test(tc, manifests);
	tcase_add_test(tc, a_first_import_is_one_command);
	tcase_add_test(tc, a_restart_writes_nothing);
	tcase_add_test(tc, stops_while_a_server_is_silent);
	tcase_add_test(tc, servers_that_hang_hold_up_their_tenant_alone);
	tcase_add_test(tc, clones_go_with_their_sources);
	tcase_add_test(tc, a_commit_is_planned_and_made_live_by_its_plan);
	tcase_add_test(tc, commits_that_cannot_be_planned);
	suite_add_tcase(s, tc);
	return s;
}

FETCHING_UNIT_MAIN(suite)
