/* Who follows a store is woken when something new is visible, and not while he rests. */
#include "lab.h"

#include "base/mem.h"
#include "io/loop.h"

#include "base/banned.h"

struct ear {
	struct follower follower;
	bool rests_when_told;
	_Atomic uint64_t heard;
	_Atomic bool has_gone;
};

static struct ear light, deep;
static struct lab_write writes[3];

static void wake(struct follower *f, uint64_t rev)
{
	struct ear *ear = container_of(f, struct ear, follower);

	if (ear->rests_when_told)
		follower_rests(f, true);
	atomic_store(&ear->heard, rev);
}

static void gone(struct follower *f)
{
	atomic_store(&container_of(f, struct ear, follower)->has_gone, true);
}

static void follow(struct ear *ear, bool rests_when_told)
{
	*ear = (struct ear){ .rests_when_told = rests_when_told };
	ear->follower.home = store_core_loop(lab[0].store);
	ear->follower.wake = wake;
	store_follow(lab[0].store, &ear->follower);
}

static void unfollow_here(struct msg *msg)
{
	store_unfollow(lab[0].store, &deep.follower, gone);
	store_unfollow(lab[0].store, &light.follower, gone);
}

static void rise_here(struct msg *msg)
{
	follower_rests(&deep.follower, false);
}

static uint64_t put(unsigned i, const char *name)
{
	const struct outcome *o = lab_write(&writes[i], 1, lab_encode(lab_put(name, i + 1)));

	ck_assert_int_eq(o->code, OK);
	return o->rev;
}

/* The one who rests follows first: the other has been told when he would have been. */
START_TEST(who_rests_is_not_woken_until_he_rises)
{
	struct msg rise = { .run = rise_here }, unfollow = { .run = unfollow_here };
	uint64_t first, second, third;

	lab_start_alone();
	LAB_WAIT(lab_status(1).is_ready);
	follow(&deep, true);
	follow(&light, false);
	first = put(0, "one");
	LAB_WAIT(atomic_load(&deep.heard) >= first && atomic_load(&light.heard) >= first);
	second = put(1, "two");
	LAB_WAIT(atomic_load(&light.heard) == second);
	ck_assert_uint_eq(atomic_load(&deep.heard), first);
	loop_post_sure(store_core_loop(lab[0].store), &rise);
	third = put(2, "three");
	LAB_WAIT(atomic_load(&deep.heard) == third);
	loop_post_sure(store_core_loop(lab[0].store), &unfollow);
	LAB_WAIT(atomic_load(&deep.has_gone) && atomic_load(&light.has_gone));
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("store/follow");
	TCase *t = tcase_create("follow");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, lab_setup, lab_teardown);
	tcase_add_test(t, who_rests_is_not_woken_until_he_rises);
	suite_add_tcase(suite, t);
	return suite;
}

UNIT_MAIN(suite)
