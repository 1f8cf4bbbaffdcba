/*
 * Whole histories from seeds: three nodes send each other files while links end,
 * frames are damaged, disks are full, fail and lose power, processes end and
 * files are cancelled, in any order of events.  Never is a file received that is
 * another; what was received is there; and once the faults stop every file
 * arrives.
 */
#include "unit.h"

#include "base/mem.h"
#include "lab.h"

#include "base/banned.h"

#define KIB 1024u
#define FILES 4
#define PICKS 10000

static struct prng prng;

static uint64_t below(uint64_t n)
{
	return prng_below(&prng, n);
}

/* Who sends what to whom. */
static struct parcel {
	const char *id;
	unsigned from, to;
	uint64_t bytes;
	bool was_received, is_last;
} parcels[FILES] = {
	{ "a", 0, 1, 45 * KIB + 3, false, false },
	{ "b", 0, 2, 12 * KIB, false, false },
	{ "c", 2, 1, 30 * KIB - 1, false, false },
	{ "d", 1, 0, 20 * KIB, false, false },
};

static char *path(const char *dir, const char *id, const char *suffix)
{
	AUTO_BUF b = BUF_NONE;

	buf_printf(&b, "%s/%s%s", dir, id, suffix);
	return buf_take(&b);
}

/* Each file has one content for ever: its seed is its letter. */
static bool is_right(const struct parcel *p)
{
	char *at = path("in", p->id, ".file");
	bool right = lab_has(p->to, at, p->bytes, (uint64_t)p->id[0]);

	free(at);
	return right;
}

/* Looked at in the moment when the owner is told. */
static void received(void *data, uint64_t peer, const struct ship_offer *o,
		     const char *at)
{
	struct lab_node *n = data;

	n->n_received++;
	for (unsigned i = 0; i < FILES; i++) {
		struct parcel *p = &parcels[i];

		if (!str_eq(o->id, str_of(p->id)))
			continue;
		ck_assert(lab_has((unsigned)(n - lab.nodes), at, p->bytes,
				  (uint64_t)p->id[0]));
		/* Mostly its owner takes it, so that it may come again. */
		p->was_received = p->is_last || below(4) == 0;
		if (!p->was_received)
			must(n->fs.under->ops->remove(n->fs.under, at, NULL) !=
			     E_NOT_FOUND);
	}
}

static bool damage(unsigned from, unsigned to, struct buf *frame)
{
	struct ship_frame f;

	must(ship_frame_decode(buf_view(frame), &f, NULL) == OK);
	if ((f.type == SHIP_F_PAGE || f.type == SHIP_F_CHUNK) &&
	    prng_chance(&prng, 20000))
		frame->p[frame->n - 1 - below(MIN(f.piece.bytes.n, (size_t)32))]
			^= 1 << below(8);
	return !prng_chance(&prng, 1000);
}

static void up(unsigned node)
{
	lab_start(node);
	for (unsigned k = 0; k < LAB_NODES; k++)
		if (k != node && lab.nodes[k].ship)
			lab_connect(node, k);
}

static void crash(unsigned node)
{
	disk_set_errors(lab.nodes[node].disk, 0);
	lab_crash(node, below(3) != 0);
	for (unsigned i = 0; i < FILES; i++)
		if (parcels[i].was_received && parcels[i].to == node)
			ck_assert(is_right(&parcels[i]));
	up(node);
}

static void fault(unsigned node)
{
	unsigned other = (unsigned)(node + 1 + below(2)) % LAB_NODES;
	struct lab_node *n = &lab.nodes[node];

	switch (below(8)) {
	case 0:
		disk_crash_at(n->disk, disk_steps(n->disk) + 1 + below(30));
		break;
	case 1:
		crash(node);
		break;
	case 2:
		n->fs.is_full = below(3) == 0;
		break;
	case 3:
		n->fs.is_full_in_sync = below(4) == 0;
		break;
	case 4:
		disk_set_errors(n->disk, below(3) ? 0 : 5000);
		break;
	case 5:
		if (n->is_up[other] && below(3))
			lab_half_cut(node, other);
		else if (n->is_up[other])
			lab_cut(node, other);
		break;
	case 6:
		ship_set_rate(n->ship, lab.now_ms, below(3) ? 0 : 50 * KIB);
		break;
	default:
		(void)ship_cancel(n->ship, lab.now_ms, other,
				  str_of(parcels[below(FILES)].id));
	}
}

static void pick(void)
{
	unsigned i = (unsigned)below(LAB_NODES), k = (unsigned)below(LAB_NODES);
	struct parcel *p = &parcels[below(FILES)];

	if (disk_is_down(lab.nodes[i].disk))
		crash(i);
	switch (below(40)) {
	case 0:
		if (below(8) == 0)
			fault(i);
		break;
	case 1:
		(void)lab_send(p->from, p->to, p->id);
		break;
	case 2:
		if (i != k && !lab.nodes[i].is_up[k])
			lab_connect(i, k);
		break;
	case 3:
		lab.now_ms += below(500);
		(void)lab_wait();
		break;
	case 4:
		lab.nodes[i].is_full[k] = below(3) == 0;
		if (lab.nodes[i].is_up[k] && !lab.nodes[i].is_full[k])
			ship_writable(lab.nodes[i].ship, lab.now_ms, k);
		break;
	default:
		if (!lab_job(i))
			(void)lab_deliver(i, k);
	}
}

static void end_faults(void)
{
	lab.look = NULL;
	for (unsigned i = 0; i < LAB_NODES; i++) {
		struct lab_node *n = &lab.nodes[i];

		disk_set_errors(n->disk, 0);
		n->fs.is_full = n->fs.is_full_in_sync = false;
		memset(n->is_full, 0, sizeof(n->is_full));
		crash(i);
	}
}

START_TEST(every_file_arrives_in_the_end)
{
	prng_init(&prng, (uint64_t)_i);
	lab_init();
	lab.look = damage;
	for (unsigned i = 0; i < FILES; i++) {
		struct parcel *p = &parcels[i];
		char *at = path("src", p->id, "");

		lab_make(p->from, at, p->bytes, (uint64_t)p->id[0]);
		free(at);
	}
	for (unsigned i = 0; i < LAB_NODES; i++) {
		lab.nodes[i].config.host.received = received;
		lab.nodes[i].config.in_max = 2;
		up(i);
	}
	for (unsigned i = 0; i < PICKS; i++)
		pick();
	end_faults();
	for (unsigned i = 0; i < LAB_NODES; i++)
		lab.nodes[i].n_sent = 0;
	for (unsigned i = 0; i < FILES; i++)
		parcels[i].is_last = true;
	for (unsigned i = 0; i < FILES; i++)
		must(lab_send(parcels[i].from, parcels[i].to, parcels[i].id) ==
		     OK);
	lab_run(60000);
	for (unsigned i = 0; i < FILES; i++)
		ck_assert_msg(is_right(&parcels[i]), "%s", parcels[i].id);
	for (unsigned i = 0; i < LAB_NODES; i++) {
		struct ship_view v;

		ship_view(lab.nodes[i].ship, &v);
		ck_assert_uint_eq(v.in + v.out + v.jobs, 0);
		ck_assert_uint_eq(v.memory, 0);
		ck_assert_uint_le(v.memory_peak,
				  ship_memory_max(&lab.nodes[i].config));
	}
	lab_fini();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ship/history");
	TCase *t = tcase_create("history");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_file_arrives_in_the_end, 1, 41);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
