/* The store over restarts, pictures and other batch boundaries. */
#include <stdio.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "bench.h"
#include "unit.h"

#include "io/file.h"

#include "base/banned.h"

static struct bench b;

static void setup(void)
{
	bench_open(&b, "boot-1");
}

static void teardown(void)
{
	bench_close(&b);
}

static struct sha256 digest(struct bench *x)
{
	struct sha256 d;
	struct err err;

	ck_assert_int_eq(state_scan_digest(x->state, &d, &err), OK);
	return d;
}

START_TEST(an_orderly_stop_keeps_the_store)
{
	struct sha256 before;
	uint64_t index;

	bench_shop(&b, "a");
	before = digest(&b);
	index = b.index;
	bench_reopen(&b, "boot-2", true, NULL);
	ck_assert_uint_eq(b.index, index);
	ck_assert(sha256_eq(&before, (struct sha256[]){ digest(&b) }));
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
/* The machine of the second boot, closed as yet. */
static void next_boot(void)
{
	state_free(&b.state);
	b.state = state_new(&(struct state_config){ .map_bytes = 1ull << 30,
						    .boot_id = "boot-2" });
	b.machine = state_machine(b.state);
}

static enum code fail_once(const char *spec)
{
	struct command *c = bench_command(&b);
	struct str entry;
	struct err err = { 0 };

	put_tenant(&b, c, "other");
	entry = bench_encode(&b, c);
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	return bench_try(&b, &entry, 1, &err);
}

/* What is in it is not known: it is made anew from checkpoint and log, also after
 * an orderly stop, and also where the file looks well. */
START_TEST(a_store_that_failed_is_not_believed)
{
	static const char *const specs[] = { "kv.write=error*1",
					     "kv.commit=error*1" };

	bench_shop(&b, "a");
	ck_assert_int_eq(fail_once(specs[_i / 2]), E_IO);
	bench_reopen(&b, "boot-1", _i % 2, NULL);
	ck_assert_uint_eq(b.index, 0);
}
END_TEST

/* Opening may write already (a table that is new), so nothing is opened that is
 * marked as clean. */
START_TEST(a_clean_store_is_marked_before_it_is_opened)
{
	struct rc_applied at = { 0 };
	struct err err = { 0 };
	uint64_t index;

	bench_shop(&b, "a");
	index = b.index;
	b.machine.close(b.machine.data);
	next_boot();
	ck_assert_int_eq(failpoint_set("store.state=error*1", &err), OK);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, NULL, &at, &err),
			 E_IO);
	ck_assert_uint_eq(state_generation(b.state), 0);
	/* It is as it was. */
	bench_reopen(&b, "boot-3", false, NULL);
	ck_assert_uint_eq(b.index, index);
}
END_TEST

/* Nothing was changed: the same entry is applied when there is room. */
START_TEST(a_store_that_was_full_is_kept)
{
	uint64_t index;

	bench_shop(&b, "a");
	index = b.index;
	ck_assert_int_eq(fail_once("kv.commit=full*1"), E_FULL);
	b.index = index;
	ck_assert_int_eq(fail_once("kv.commit=off"), OK);
	bench_reopen(&b, "boot-1", true, NULL);
	ck_assert_uint_eq(b.index, index + 1);
}
END_TEST
#endif

START_TEST(a_killed_process_keeps_it_under_the_same_boot)
{
	uint64_t index;

	bench_shop(&b, "a");
	index = b.index;
	bench_reopen(&b, "boot-1", false, NULL);
	ck_assert_uint_eq(b.index, index);
}
END_TEST

START_TEST(after_a_power_loss_it_is_made_anew)
{
	bench_shop(&b, "a");
	bench_reopen(&b, "boot-2", false, NULL);
	ck_assert_uint_eq(b.index, 0);
	ck_assert_uint_eq(state_head(b.state)->rev, 0);
}
END_TEST

static enum code to_file(void *sink, const void *p, size_t n, struct err *err)
{
	return fwrite(p, 1, n, sink) == n ? OK : E_IO;
}

static struct rc_checkpoint picture;     /* the last that was taken */

/* A picture of what 'x' holds, in its folder. */
static void take_picture_of(struct bench *x, struct buf *path)
{
	struct rc_frozen *f;
	struct rc_applied at;
	struct err err;
	FILE *file;

	buf_printf(path, "%s/picture.mdb", x->dir);
	file = fopen(path->p, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(x->machine.freeze(x->machine.data, &f, &at, &err), OK);
	ck_assert_int_eq(x->machine.write(x->machine.data, f, to_file, file, &err),
			 OK);
	x->machine.thaw(x->machine.data, f);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_uint_eq(at.index, x->index);
	picture = (struct rc_checkpoint){ fs_real(), path->p, at.index };
}

static void take_picture(struct buf *path)
{
	take_picture_of(&b, path);
}

START_TEST(a_picture_brings_back_the_state)
{
	AUTO_BUF path = BUF_NONE;
	struct sha256 before;
	uint64_t index;

	bench_shop(&b, "a");
	before = digest(&b);
	index = b.index;
	take_picture(&path);
	bench_reopen(&b, "boot-2", false, &picture);
	ck_assert_uint_eq(b.index, index);
	ck_assert(sha256_eq(&before, (struct sha256[]){ digest(&b) }));
}
END_TEST

/* The mark says usable, and LMDB makes an empty file without a word. */
START_TEST(a_store_whose_file_is_gone_comes_from_the_picture)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF data = BUF_NONE;
	struct sha256 before;

	bench_shop(&b, "a");
	before = digest(&b);
	take_picture(&path);
	b.machine.close(b.machine.data);
	buf_printf(&data, "%s/store.0/data.mdb", b.dir);
	ck_assert_int_eq(unlink(data.p), 0);
	bench_reopen(&b, "boot-1", false, &picture);
	ck_assert(sha256_eq(&before, (struct sha256[]){ digest(&b) }));
}
END_TEST

#ifdef CONFLUX_FAILPOINTS
static unsigned stores_there(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		AUTO_BUF path = BUF_NONE;

		buf_printf(&path, "%s/store.%u", b.dir, i);
		n += access(path.p, F_OK) == 0;
	}
	return n;
}

/* An opening without room changes nothing that counts: it is done again, by the
 * next start, or where a checkpoint was installed by the machine that is there.  The
 * mark is made before the copy, and behind it. */
START_TEST(a_picture_is_taken_when_there_is_room)
{
	const char *spec = _i / 2 ? "store.state=full@2*1" : "store.state=full*1";
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF marked = BUF_NONE;
	struct rc_applied at = { 0 };
	struct err err = { 0 };
	struct sha256 before;

	bench_shop(&b, "a");
	before = digest(&b);
	take_picture(&path);
	b.machine.close(b.machine.data);
	buf_printf(&marked, "%s/store.state", b.dir);
	ck_assert_int_eq(unlink(marked.p), 0);
	if (_i % 2)
		next_boot();
	ck_assert_int_eq(failpoint_set(spec, &err), OK);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 E_FULL);
	ck_assert_ptr_null(state_kv(b.state));
	/* What did not come about takes no room; what was there stays so far. */
	ck_assert_uint_le(stores_there(), 1);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 OK);
	ck_assert_uint_eq(at.index, picture.index);
	ck_assert(sha256_eq(&before, (struct sha256[]){ digest(&b) }));
	ck_assert_uint_eq(stores_there(), 1);
	bench_reopen(&b, "boot-3", true, NULL);
	ck_assert_uint_eq(b.index, picture.index);
}
END_TEST

/* A disk that holds one store and not two: once the mark says that it is made anew the
 * old one is of no use, and its room is what is wanted. */
START_TEST(what_no_mark_vouches_for_takes_no_room)
{
	AUTO_BUF path = BUF_NONE;
	struct rc_applied at = { 0 };
	struct err err = { 0 };

	bench_shop(&b, "a");
	take_picture(&path);
	b.machine.close(b.machine.data);
	ck_assert_uint_eq(stores_there(), 1);
	/* No mark was made, so the old one stands. */
	ck_assert_int_eq(failpoint_set("store.state=full*1", &err), OK);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 E_FULL);
	ck_assert_uint_eq(stores_there(), 1);
	ck_assert_int_eq(failpoint_set("kv.commit=full*1", &err), OK);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 E_FULL);
	ck_assert_uint_eq(stores_there(), 0);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 OK);
	ck_assert_uint_eq(at.index, picture.index);
	bench_reopen(&b, "boot-3", true, NULL);
	ck_assert_uint_eq(b.index, picture.index);
}
END_TEST

/* A whole store that cannot be opened for want of room is not made anew. */
START_TEST(a_store_is_opened_when_there_is_room)
{
	struct rc_applied at = { 0 };
	struct err err = { 0 };
	uint64_t index;

	bench_shop(&b, "a");
	index = b.index;
	b.machine.close(b.machine.data);
	next_boot();
	ck_assert_int_eq(failpoint_set("kv.commit=full*1", &err), OK);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, NULL, &at, &err),
			 E_FULL);
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, NULL, &at, &err), OK);
	ck_assert_uint_eq(at.index, index);
}
END_TEST
#endif

/* As when a checkpoint of another node was installed, and the process was killed
 * before the state was made from it. */
START_TEST(a_store_below_the_picture_comes_from_it)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF state = BUF_NONE;
	char text[256] = "";
	struct bench ahead;
	struct sha256 want;
	FILE *file;

	bench_shop(&b, "a");
	bench_open(&ahead, "boot-1");
	bench_shop(&ahead, "a");
	put_blob(&ahead, "acme", STR("more"));
	want = digest(&ahead);
	take_picture_of(&ahead, &path);
	bench_reopen(&b, "boot-1", true, &picture);
	ck_assert_uint_eq(b.index, ahead.index);
	ck_assert(sha256_eq(&want, (struct sha256[]){ digest(&b) }));
	buf_printf(&state, "%s/store.state", b.dir);
	file = fopen(state.p, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	ck_assert_str_eq(text, "dirty boot-1 store.1 picture.mdb\n");
	/* One that stands above it is left as it is. */
	put_blob(&b, "acme", STR("and more"));
	bench_reopen(&b, "boot-1", false, &picture);
	ck_assert_uint_eq(b.index, ahead.index + 1);
	bench_close(&ahead);
}
END_TEST

/* What readers on other threads do while a checkpoint is installed. */
START_TEST(readers_keep_the_old_store_until_they_take_the_new)
{
	AUTO_BUF path = BUF_NONE;
	struct bench ahead;
	struct rc_applied at;
	struct kv_txn *old, *now;
	uint64_t generation = state_generation(b.state);
	uint64_t snapshot, commits;
	struct err err;

	bench_shop(&b, "a");
	bench_open(&ahead, "boot-1");
	bench_shop(&ahead, "a");
	for (int i = 0; i < 3; i++)
		put_blob(&ahead, "acme", STR("more"));
	take_picture_of(&ahead, &path);
	old = bench_read(&b);
	snapshot = kv_snapshot(old);
	b.machine.close(b.machine.data);
	ck_assert_ptr_null(state_kv(b.state));
	commits = b.commits;
	ck_assert_int_eq(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 OK);
	ck_assert_uint_eq(at.index, ahead.index);
	ck_assert_uint_eq(b.commits, commits + 1);
	ck_assert_uint_gt(state_generation(b.state), generation);
	ck_assert(kv_get(old, KV_META, STR("state"), NULL));
	now = bench_read(&b);
	ck_assert_uint_ne(kv_snapshot(now), snapshot);
	kv_end(&old);
	ck_assert(kv_get(now, KV_META, STR("state"), NULL));
	kv_end(&now);
	b.index = at.index;
	put_blob(&b, "acme", STR("and more"));
	bench_close(&ahead);
}
END_TEST

START_TEST(a_store_that_was_cut_short_is_made_anew)
{
	AUTO_BUF path = BUF_NONE;

	bench_shop(&b, "a");
	b.machine.close(b.machine.data);
	buf_printf(&path, "%s/store.0/data.mdb", b.dir);
	ck_assert_int_eq(truncate(path.p, 3 * 4096), 0);
	bench_reopen(&b, "boot-1", false, NULL);
	ck_assert_uint_eq(b.index, 0);
}
END_TEST

/* What a rebuild left half done opens like a store: it must not be used. */
START_TEST(a_rebuild_that_was_cut_off_is_made_again)
{
	AUTO_BUF data = BUF_NONE;
	AUTO_BUF state = BUF_NONE;
	struct rc_applied at;
	struct err err;
	char text[16] = "";
	FILE *file;

	bench_shop(&b, "a");
	b.machine.close(b.machine.data);
	buf_printf(&data, "%s/store.0/data.mdb", b.dir);
	buf_printf(&state, "%s/store.state", b.dir);
	file = fopen(data.p, "r+");
	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 8192; i++)
		fputc('x', file);
	fclose(file);
	/* The picture cannot be read, so the rebuild ends in the middle. */
	picture = (struct rc_checkpoint){ fs_real(), "/nowhere/picture", 1 };
	ck_assert_int_ne(b.machine.open(b.machine.data, b.dir, &picture, &at, &err),
			 OK);
	file = fopen(state.p, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	ck_assert_int_ne(strncmp(text, "clean", 5), 0);
	bench_reopen(&b, "boot-1", false, NULL);
	ck_assert_uint_eq(b.index, 0);
}
END_TEST

START_TEST(a_damaged_store_is_made_anew)
{
	AUTO_BUF path = BUF_NONE;
	FILE *file;

	bench_shop(&b, "a");
	b.machine.close(b.machine.data);
	buf_printf(&path, "%s/store.0/data.mdb", b.dir);
	file = fopen(path.p, "r+");
	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 8192; i++)
		fputc('x', file);
	fclose(file);
	bench_reopen(&b, "boot-1", false, NULL);
	ck_assert_uint_eq(b.index, 0);
}
END_TEST

/* The same log in one batch and in many leaves the same rows and chain. */
START_TEST(batch_boundaries_leave_no_trace)
{
	struct bench other;
	struct str log[64];
	size_t n = 0;
	struct command *c = bench_command(&b);
	uint8_t one[32], two[32];

	put_tenant(&b, c, "acme");
	log[n++] = bench_encode(&b, c);
	for (int i = 0; i < 20; i++) {
		struct str name = arena_printf(b.arena, "f%d", i % 7);
		struct command blob = { .type = COMMAND_BLOB,
					.time_ms = b.time_ms,
					.tenant = STR("acme"),
					.bytes = arena_printf(b.arena, "v%d", i) };

		blob.sha = sha256_of(blob.bytes);
		blob.total = blob.bytes.n;
		log[n++] = bench_encode(&b, &blob);
		c = bench_command(&b);
		c->id = sha256_of(blob.bytes);
		put_config(&b, c, "acme", "shop", "prod", name.p);
		add_version(&b, c, "acme",
			    arena_printf(b.arena, "shop.prod.%s", name.p).p,
			    blob.bytes, i % 3 > 0);
		log[n++] = bench_encode(&b, c);
		if (i % 5 == 0)
			log[n++] = STR("\1\1junk");
	}
	bench_open(&other, "boot-1");
	bench_batch(&b, log, n);
	for (size_t i = 0; i < n; i++)
		bench_batch(&other, &log[i], 1);
	ck_assert_uint_gt(state_head(b.state)->rev, 20);
	b.machine.digest(b.machine.data, one);
	other.machine.digest(other.machine.data, two);
	ck_assert_int_eq(memcmp(one, two, 32), 0);
	ck_assert(sha256_eq((struct sha256[]){ digest(&b) },
			    (struct sha256[]){ digest(&other) }));
	bench_close(&other);
}
END_TEST

/* ---- slices ---- */

/* A command of root that makes 'n' configurations. */
static struct command *many_configs(size_t n)
{
	struct command *c = bench_command(&b);

	for (size_t i = 0; i < n; i++)
		put_config(&b, c, "acme", "shop", "prod",
			   arena_printf(b.arena, "f%zu", i).p);
	return c;
}

/* The entries that stage 'c' in parts and make it effective. */
static size_t stage(const struct command *c, struct str *out, size_t parts)
{
	struct str bytes = bench_encode(&b, c);
	struct command part = { .type = COMMAND_STAGE, .time_ms = b.time_ms,
				.transaction = uuid_new() };
	size_t size = (bytes.n + parts - 1) / parts;

	for (; part.part < parts; part.part++) {
		part.bytes = str_first(str_from(bytes, part.part * size), size);
		out[part.part] = bench_encode(&b, &part);
	}
	part.type = COMMAND_STAGED;
	part.sha = sha256_of(bytes);
	out[parts] = bench_encode(&b, &part);
	return parts + 1;
}

/* Begins a batch of one entry and does one slice of it. */
static bool begin(struct str entry, struct rc_entry *e)
{
	struct err err;
	bool more;

	*e = (struct rc_entry){ .index = ++b.index, .term = 1, .id = b.index,
				.is_command = true, .data = entry };
	ck_assert_int_eq(b.machine.apply(b.machine.data, e, 1, &err), OK);
	ck_assert_int_eq(b.machine.apply_more(b.machine.data, &more, &err), OK);
	return more;
}

static bool slice(void)
{
	struct err err;
	bool more;

	ck_assert_int_eq(b.machine.apply_more(b.machine.data, &more, &err), OK);
	return more;
}

static uint64_t rev_that_readers_see(void)
{
	struct kv_txn *txn = bench_read(&b);
	struct head head;
	struct str val;

	ck_assert(kv_get(txn, KV_META, STR("state"), &val));
	ck_assert(head_decode(val, &head));
	kv_end(&txn);
	return head.rev;
}

START_TEST(a_huge_command_is_applied_in_slices_that_nobody_sees)
{
	struct rc_entry e;
	uint64_t rev, commits;
	unsigned slices = 1;

	bench_shop(&b, "a");
	rev = rev_that_readers_see();
	commits = b.commits;
	ck_assert(begin(bench_encode(&b, many_configs(1000)), &e));
	do {
		ck_assert_uint_eq(rev_that_readers_see(), rev);
		ck_assert_uint_eq(state_head(b.state)->rev, rev);
		ck_assert_uint_eq(b.commits, commits);
		slices++;
	} while (slice());
	ck_assert_uint_ge(slices, 5);
	ck_assert_int_eq(b.last.code, OK);
	ck_assert_uint_eq(rev_that_readers_see(), rev + 1000);
	ck_assert_uint_eq(b.commits, commits + 1);
}
END_TEST

START_TEST(slices_leave_no_trace)
{
	struct bench other;
	struct str log[16];
	size_t n = 0;
	struct command *c = bench_command(&b);

	put_tenant(&b, c, "acme");
	log[n++] = bench_encode(&b, c);
	n += stage(many_configs(700), &log[n], 9);
	log[n++] = bench_encode(&b, bench_command(&b));
	bench_open(&other, "boot-1");
	bench_batch(&b, log, n);
	for (size_t i = 0; i < n; i++)
		bench_batch(&other, &log[i], 1);
	ck_assert_uint_eq(state_head(b.state)->rev, 701);
	ck_assert(sha256_eq((struct sha256[]){ digest(&b) },
			    (struct sha256[]){ digest(&other) }));
	bench_close(&other);
}
END_TEST

START_TEST(a_stop_between_slices_leaves_the_state_before)
{
	struct str entry;
	struct rc_entry e;
	struct sha256 before;
	uint64_t index;

	bench_shop(&b, "a");
	before = digest(&b);
	index = b.index;
	entry = bench_encode(&b, many_configs(1000));
	ck_assert(begin(entry, &e));
	bench_reopen(&b, "boot-2", true, NULL);
	ck_assert_uint_eq(b.index, index);
	ck_assert(sha256_eq(&before, (struct sha256[]){ digest(&b) }));
	bench_batch(&b, &entry, 1);
	ck_assert_int_eq(b.last.code, OK);
}
END_TEST

START_TEST(a_refusal_in_a_late_slice_undoes_the_early_ones)
{
	struct command *c;
	uint64_t bytes, rev;

	bench_shop(&b, "a");
	bytes = state_head(b.state)->bytes;
	rev = state_head(b.state)->rev;
	c = many_configs(500);
	put_config(&b, c, "nobody", "shop", "prod", "x");
	bench_apply(&b, c);
	ck_assert_int_eq(b.last.code, E_NOT_FOUND);
	ck_assert_uint_eq(b.last.op, 500);
	ck_assert_uint_eq(state_head(b.state)->bytes, bytes);
	ck_assert_uint_eq(state_head(b.state)->rev, rev);
}
END_TEST

START_TEST(an_operation_that_is_malformed_undoes_those_before_it)
{
	struct str whole, entry;
	uint64_t bytes;

	bench_shop(&b, "a");
	bytes = state_head(b.state)->bytes;
	whole = bench_encode(&b, many_configs(300));
	entry = str_first(whole, whole.n - 1);
	bench_batch(&b, &entry, 1);
	ck_assert_int_eq(b.last.code, E_INVALID);
	ck_assert_uint_eq(state_head(b.state)->bytes, bytes);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("state/machine");
	TCase *t = tcase_create("machine");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_orderly_stop_keeps_the_store);
	tcase_add_test(t, a_killed_process_keeps_it_under_the_same_boot);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, a_store_that_failed_is_not_believed, 0, 4);
	tcase_add_test(t, a_store_that_was_full_is_kept);
	tcase_add_test(t, a_clean_store_is_marked_before_it_is_opened);
#endif
	tcase_add_test(t, after_a_power_loss_it_is_made_anew);
	tcase_add_test(t, a_picture_brings_back_the_state);
	tcase_add_test(t, a_store_whose_file_is_gone_comes_from_the_picture);
#ifdef CONFLUX_FAILPOINTS
	tcase_add_loop_test(t, a_picture_is_taken_when_there_is_room, 0, 4);
	tcase_add_test(t, a_store_is_opened_when_there_is_room);
	tcase_add_test(t, what_no_mark_vouches_for_takes_no_room);
#endif
	tcase_add_test(t, a_store_below_the_picture_comes_from_it);
	tcase_add_test(t, readers_keep_the_old_store_until_they_take_the_new);
	tcase_add_test(t, a_store_that_was_cut_short_is_made_anew);
	tcase_add_test(t, a_rebuild_that_was_cut_off_is_made_again);
	tcase_add_test(t, a_damaged_store_is_made_anew);
	tcase_add_test(t, batch_boundaries_leave_no_trace);
	tcase_add_test(t, a_huge_command_is_applied_in_slices_that_nobody_sees);
	tcase_add_test(t, slices_leave_no_trace);
	tcase_add_test(t, a_stop_between_slices_leaves_the_state_before);
	tcase_add_test(t, a_refusal_in_a_late_slice_undoes_the_early_ones);
	tcase_add_test(t, an_operation_that_is_malformed_undoes_those_before_it);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
