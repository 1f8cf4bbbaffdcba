/* Events of nodes of a cluster, as their owners are told them. */
#include <stdio.h>

#include "ring.h"

#include "base/failpoint.h"

#include "base/banned.h"

#define STORY_MAX 16384

static struct err err;
/* What each was told, in order: "members 1v 2v 3l;peer-up 2;"; under the lock. */
static struct story {
	char text[STORY_MAX];
	size_t n;
	uint64_t members_index, checkpoint, installed;
	bool went_back;
} stories[RING_MAX];

PRINTF(2, 3) static void add(struct story *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->text + s->n, sizeof(s->text) - s->n, fmt, ap);
	va_end(ap);
	ck_assert(n > 0 && s->n + (size_t)n < sizeof(s->text));
	s->n += (size_t)n;
}

static void on_event(void *data, const struct rc_event *e)
{
	const struct ring_node *r = data;
	struct story *s = &stories[r->id - 1];

	ck_assert(loop_is_here(r->apply));
	pthread_mutex_lock(&ring_lock);
	add(s, "%s", rc_event_name(e->type));
	switch (e->type) {
	case RC_EVENT_MEMBERS:
		for (size_t i = 0; i < e->n_members; i++) {
			add(s, " %d%c", (int)e->members[i].id,
			    e->members[i].votes ? 'v' : 'l');
			ck_assert_str_eq(e->members[i].address,
					 ring[e->members[i].id - 1].address);
		}
		s->went_back |= e->index <= s->members_index;
		s->members_index = e->index;
		break;
	case RC_EVENT_CHECKPOINT:
		s->checkpoint = e->index;
		break;
	case RC_EVENT_INSTALLED:
		s->installed = e->index;
		break;
	case RC_EVENT_CHECKPOINT_FAILED:
		ck_assert_ptr_nonnull(e->err);
		add(s, " %s", code_slug(e->err->code));
		break;
	case RC_EVENT_PEER_UP:
	case RC_EVENT_PEER_DOWN:
		add(s, " %d", (int)e->peer);
		break;
	}
	add(s, ";");
	pthread_mutex_unlock(&ring_lock);
	ring_changed();
}

static bool was_told(unsigned id, const char *what)
{
	bool is;

	pthread_mutex_lock(&ring_lock);
	is = strstr(stories[id - 1].text, what) != NULL;
	pthread_mutex_unlock(&ring_lock);
	return is;
}

static void forget(unsigned id)
{
	pthread_mutex_lock(&ring_lock);
	stories[id - 1] = (struct story){ 0 };
	pthread_mutex_unlock(&ring_lock);
}

/* Of what it was told, the memberships alone. */
static const char *memberships(unsigned id)
{
	static char out[STORY_MAX];
	char *to = out;

	pthread_mutex_lock(&ring_lock);
	for (const char *p = stories[id - 1].text; *p; p = strchr(p, ';') + 1) {
		size_t n = (size_t)(strchr(p, ';') - p) + 1;

		if (strncmp(p, "members ", 8) != 0)
			continue;
		memcpy(to, p + 8, n - 8);
		to += n - 8;
	}
	*to = '\0';
	pthread_mutex_unlock(&ring_lock);
	return out;
}

static void setup(void)
{
	ring_setup();
	memset(stories, 0, sizeof(stories));
	ring_on_event = on_event;
}

#define STORY                                                             \
	"1v 2v 3v;1v 2v 3v 4l;1v 2v 3v 4v;1v 2v 3v 4l;1v 2v 3v;"

/* Each node is told each membership once and in order, also the one that joins. */
START_TEST(memberships_are_told_in_order)
{
	unsigned leader;

	ring_found(3);
	leader = ring_elected();
	ring_start(4);
	ck_assert_int_eq(ring_change(leader, RC_ADD, 4, &err), OK);
	ring_fill(leader, 0, 50, 50);
	RING_WAIT(ring_equal(50));
	RING_WAIT(ring_change(leader, RC_PROMOTE, 4, &err) == OK);
	RING_WAIT(ring_change(leader, RC_DEMOTE, 4, &err) == OK);
	RING_WAIT(was_told(4, "4v;") && strcmp(memberships(4),
		  "1v 2v 3v;1v 2v 3v 4l;1v 2v 3v 4v;1v 2v 3v 4l;") == 0);
	RING_WAIT(ring_change(leader, RC_REMOVE, 4, &err) == OK);
	for (unsigned id = 1; id <= 3; id++) {
		RING_WAIT(strcmp(memberships(id), STORY) == 0);
		ck_assert(!stories[id - 1].went_back);
	}
	/* One that was up goes with its membership. */
	RING_WAIT(was_told(leader, "peer-up 4;") &&
		  was_told(leader, "peer-down 4;"));
}
END_TEST

START_TEST(peers_come_and_go)
{
	unsigned leader, follower;

	ring_found(3);
	leader = ring_elected();
	follower = leader % 3 + 1;
	RING_WAIT(was_told(leader, follower == 1 ? "peer-up 1;" :
				   follower == 2 ? "peer-up 2;" : "peer-up 3;"));
	forget(leader);
	ring_stop(follower);
	RING_WAIT(was_told(leader, "peer-down"));
	ck_assert(!was_told(leader, "peer-up"));
	ring_start(follower);
	RING_WAIT(was_told(leader, "peer-up"));
}
END_TEST

/* A checkpoint is told of by who takes it; who installs one is told so, behind
 * the membership that came with it; and a start says what it begins with. */
START_TEST(checkpoints_that_are_taken_and_installed)
{
	unsigned leader, follower, next = 0;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_config.segment_bytes = 64 * 1024;
	ring_config.inflight_entries_max = 64;
	ring_found(3);
	leader = ring_elected();
	follower = leader % 3 + 1;
	ring_stop(follower);
	forget(follower);
	while (ring_status(leader).log_first <= 1) {
		ring_fill(leader, next, 200, 1000);
		next += 200;
	}
	RING_WAIT(stories[leader - 1].checkpoint ==
		  ring_status(leader).checkpoint_index);
	ring_start(follower);
	RING_WAIT(ring_equal(next));
	RING_WAIT(was_told(follower, "installed;"));
	ck_assert_uint_gt(stories[follower - 1].installed, 0);
	ck_assert_uint_le(stories[follower - 1].installed,
			  stories[leader - 1].checkpoint);
	ck_assert(strstr(stories[follower - 1].text, "members 1v 2v 3v;") <
		  strstr(stories[follower - 1].text, "installed;"));
	ring_stop(follower);
	forget(follower);
	ring_start(follower);
	RING_WAIT(was_told(follower, "members 1v 2v 3v;"));
}
END_TEST

START_TEST(a_checkpoint_that_fails)
{
	unsigned next = 0;

	ring_config.checkpoint_log_bytes = 300 * 1024;
	ring_found(1);
	ck_assert_int_eq(failpoint_set("checkpoint.sync=error*1", &err), OK);
	while (!was_told(1, "checkpoint-failed io;")) {
		ring_fill(1, next, 100, 1000);
		next += 100;
		ck_assert_uint_lt(next, 20000);
	}
	while (!was_told(1, "checkpoint;")) {
		ring_fill(1, next, 100, 1000);
		next += 100;
		ck_assert_uint_lt(next, 40000);
	}
	ck_assert_int_eq(failpoint_set("checkpoint.sync=off", &err), OK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/events");
	TCase *t = tcase_create("events");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, ring_teardown);
	tcase_add_test(t, memberships_are_told_in_order);
	tcase_add_test(t, peers_come_and_go);
	tcase_add_test(t, checkpoints_that_are_taken_and_installed);
	tcase_add_test(t, a_checkpoint_that_fails);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
