/*
 * The formats of raftcore, on disk and between nodes: what was written once is read
 * ever after, and today's are not changed by accident (tests/tools/golden.h,
 * docs/formats/compatibility.md).
 */
#include "unit.h"

#include "base/arena.h"
#include "base/mem.h"
#include "backup/backup.h"
#include "io/sim/disk.h"
#include "net/frame.h"
#include "node/form.h"
#include "node/guard.h"
#include "node/identity.h"
#include "node/known.h"
#include "node/own.h"
#include "node/session.h"
#include "rpc/frame.h"
#include "ship/frame.h"
#include "ship/store.h"
#include "ship/tree.h"

#include "golden.h"

#include "base/banned.h"

#define TEXT(s) str_of(s)

static struct disk *disk;
static struct fs *fs;
static struct arena *arena;
static struct err err;
static struct uuid cluster;

static void setup(void)
{
	disk = disk_new(1);
	fs = disk_fs(disk);
	arena = arena_new(4096);
	memset(cluster.b, 0xc1, sizeof(cluster.b));
	ck_assert_int_eq(fs->ops->make_dir(fs, "d", &err), OK);
}

static void teardown(void)
{
	arena_free(&arena);
	disk_free(&disk);
}

#define OKAY(call) ck_assert_msg((call) == OK, "%s", err.text)

/* The file as it lies there is the sample. */
static void same_file(const char *name, const char *path)
{
	AUTO_BUF bytes = BUF_NONE;

	OKAY(fs_get(fs, path, &bytes, &err));
	golden_same(name, buf_view(&bytes));
}

/* The sample lies there, in place of what was. */
static void put_file(const char *name, const char *path)
{
	AUTO_BUF bytes = BUF_NONE;

	golden_read(name, &bytes);
	OKAY(fs_put(fs, "d", path, buf_view(&bytes), &err));
}

/* ---- the log ---- */

static const struct {
	uint64_t term;
	uint8_t type;
	const char *text;
} entries[] = {
	{ 1, ENGINE_CHANGE, "membership" }, { 2, ENGINE_BARRIER, "" },
	{ 2, ENGINE_COMMAND, "first" },	    { 300, ENGINE_COMMAND, "second" },
};

static enum code note(void *data, const struct wal_entry *e, struct err *unused)
{
	size_t *n = data;

	ck_assert_uint_lt(*n, ARRAY_LEN(entries));
	ck_assert_uint_eq(e->index, *n + 1);
	ck_assert_uint_eq(e->term, entries[*n].term);
	ck_assert_uint_eq(e->type, entries[*n].type);
	ck_assert(str_eq(e->data, TEXT(entries[*n].text)));
	++*n;
	return OK;
}

static void open_log(size_t expected)
{
	struct wal_config config = { .fs = fs, .dir = "d", .cluster = cluster,
				     .node = 7, .segment_bytes = 4 * 4096 };
	struct wal *wal;
	size_t n = 0;

	OKAY(wal_open(&config, note, &n, &wal, &err));
	ck_assert_uint_eq(n, expected);
	for (; n < ARRAY_LEN(entries); n += 2) {
		struct wal_entry e[2];

		for (size_t i = 0; i < 2; i++)
			e[i] = (struct wal_entry){ n + i + 1,
						   entries[n + i].term,
						   entries[n + i].type,
						   TEXT(entries[n + i].text) };
		OKAY(wal_append(wal, e, 2, &err));
	}
	wal_close(&wal);
}

START_TEST(segments_of_the_log)
{
	open_log(0);
	same_file("wal-1", "d/0000000000000001.seg");
	teardown();
	setup();
	put_file("wal-1", "d/0000000000000001.seg");
	open_log(ARRAY_LEN(entries));
}
END_TEST

/* ---- small files ---- */

START_TEST(term_and_vote)
{
	struct vote v = { .term = 300, .voted_for = 3, .generation = 1 };

	OKAY(vote_write(fs, "d", &v, &err));
	same_file("vote-1", "d/vote.0");
	put_file("vote-1", "d/vote.0");
	OKAY(vote_read(fs, "d", &v, &err));
	ck_assert_uint_eq(v.term, 300);
	ck_assert_uint_eq(v.voted_for, 3);
	ck_assert_uint_eq(v.generation, 2);
}
END_TEST

START_TEST(identities)
{
	struct identity id = { .cluster = cluster, .incarnation = cluster,
			       .node = 7, .n_founders = 2 };

	id.founders[0] = (struct founder){ 7, cluster, "seven:9001" };
	id.founders[1] = (struct founder){ 8, cluster, "eight:9001" };
	OKAY(identity_write(fs, "d", &id, &err));
	same_file("identity-2", "d/identity");
	put_file("identity-2", "d/identity");
	OKAY(identity_read(fs, "d", &id, &err));
	ck_assert(!id.is_new && uuid_eq(&id.incarnation, &cluster));
	ck_assert_uint_eq(id.n_founders, 2);
	ck_assert_str_eq(id.founders[1].address, "eight:9001");
	/* Of before incarnations. */
	put_file("identity-1", "d/identity");
	OKAY(identity_open(fs, "d", 7, NULL, false, &id, &err));
	ck_assert(!id.is_new);
	ck_assert_mem_eq(id.cluster.b, cluster.b, sizeof(cluster.b));
	ck_assert_uint_eq(id.node, 7);
	ck_assert(!uuid_is_none(&id.incarnation));
}
END_TEST

START_TEST(nodes_that_are_known)
{
	struct identity id = { .node = 7, .n_founders = 1 };
	struct known k;
	AUTO_BUF was = BUF_NONE;

	id.founders[0] = (struct founder){ 8, cluster, "" };
	OKAY(known_open(&k, fs, "d", &id, &err));
	OKAY(known_check(&k, 300, &cluster, &err));
	known_keep(&k, 4711, (uint64_t[]){ 8, 300 }, 2, false);
	same_file("known-1", "d/known");
	golden_read("known-1", &was);
	ck_assert(known_decode(buf_view(&was), &k));
	ck_assert_uint_eq(k.members_index, 4711);
	ck_assert(k.n == 2 && known_of(&k, 8) &&
		  uuid_eq(known_of(&k, 300), &cluster));
	ck_assert(!known_is_doubtful(&k, 8) && !known_is_doubtful(&k, 300));
	/* With doubts. */
	OKAY(known_open(&k, fs, "d", &id, &err));
	known_keep(&k, 4712, (uint64_t[]){ 8 }, 1, true);
	OKAY(known_check(&k, 300, &cluster, &err));
	same_file("known-2", "d/known");
	buf_reset(&was);
	golden_read("known-2", &was);
	ck_assert(known_decode(buf_view(&was), &k));
	ck_assert(k.n == 2 && known_is_doubtful(&k, 8) &&
		  !known_is_doubtful(&k, 300));
}
END_TEST

START_TEST(the_mark_of_a_fence)
{
	struct fence_mark m = { .own = { 1024, { 1, 2 } },
				.others = { 1024, { [31] = 3 } } };
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	fence_encode(&now, &m);
	golden_same("fence-1", buf_view(&now));
	golden_read("fence-1", &was);
	ck_assert(fence_decode(buf_view(&was), &m));
	ck_assert(m.own.index == 1024 && m.own.digest[1] == 2 &&
		  m.others.digest[31] == 3);
}
END_TEST

START_TEST(marks_of_an_install)
{
	struct mark m = { 5000, 3, 4000 };

	OKAY(mark_write(fs, "d", &m, &err));
	same_file("install-1", "d/install");
	put_file("install-1", "d/install");
	OKAY(mark_read(fs, "d", &m, &err));
	ck_assert(m.begun_index == 5000 && m.begun_term == 3 &&
		  m.done_index == 4000);
}
END_TEST

START_TEST(meta_files_of_checkpoints)
{
	AUTO_BUF bytes = BUF_NONE;
	struct checkpoint c = { .cluster = cluster, .index = 5000, .term = 3,
				.conf_index = 17, .bytes = 12345,
				.sum = sha256_of(STR("picture")) };

	buf_z(&c.conf, "membership");
	checkpoint_encode(&bytes, &c);
	golden_same("checkpoint-1", buf_view(&bytes));
	checkpoint_fini(&c);
	buf_reset(&bytes);
	golden_read("checkpoint-1", &bytes);
	ck_assert(checkpoint_decode(buf_view(&bytes), &c));
	ck_assert(c.index == 5000 && c.term == 3 && c.conf_index == 17 &&
		  c.bytes == 12345);
	ck_assert(str_is(buf_view(&c.conf), "membership"));
	checkpoint_fini(&c);
}
END_TEST

START_TEST(membership_entries)
{
	struct engine_peer peers[] = { { 1, "one:9001", true },
				       { 2, "two:9001", true },
				       { 300, "three:9001", true } };
	AUTO_BUF bytes = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	engine_bootstrap(&bytes, peers, ARRAY_LEN(peers));
	golden_same("membership-1", buf_view(&bytes));
	golden_read("membership-1", &was);
	ck_assert(!guard_votes_alone(buf_view(&was), 1));
}
END_TEST

/* ---- between engines ---- */

static struct engine_entry sent[] = {
	{ 2, ENGINE_COMMAND, { "first", 5 } },
	{ 300, ENGINE_CHANGE, { "membership", 10 } },
};

static struct chain_point points[] = { { 1024, { 1, 2, 3 } },
				       { 2048, { [31] = 255 } } };

static const struct {
	const char *name;
	struct engine_message m;
} messages[] = {
	{ "raft-append-1", { .type = ENGINE_M_APPEND, .term = 300,
			     .append = { 9, 2, 8, sent, 2 } } },
	{ "raft-append_result-1", { .type = ENGINE_M_APPEND_RESULT, .term = 300,
				    .append_result = { 0, 11 } } },
	{ "raft-vote-1", { .type = ENGINE_M_VOTE, .term = 301,
			   .vote = { 3, 11, 300, true, false } } },
	{ "raft-vote_result-1", { .type = ENGINE_M_VOTE_RESULT, .term = 301,
				  .vote_result = { true, false } } },
	{ "raft-timeout_now-1", { .type = ENGINE_M_TIMEOUT_NOW, .term = 301,
				  .timeout_now = { 11, 300 } } },
	{ "raft-read_round-1", { .type = ENGINE_M_READ_ROUND, .term = 301,
				 .read = { 5, 0 } } },
	{ "raft-read_agreed-1", { .type = ENGINE_M_READ_AGREED, .term = 301,
				  .read = { 5, 0 } } },
	{ "raft-read_ask-1", { .type = ENGINE_M_READ_ASK, .term = 301,
			       .read = { 6, 0 } } },
	{ "raft-read_answer-1", { .type = ENGINE_M_READ_ANSWER, .term = 301,
				  .read = { 6, 11 } } },
	{ "raft-install-1", { .type = ENGINE_M_INSTALL, .term = 301,
			      .install = { 5000, 300, 17,
					   { "membership", 10 } } } },
	{ "raft-chain-1", { .type = ENGINE_M_CHAIN, .term = 301,
			    .chain = { points, 2 } } },
	{ "raft-turn-1", { .type = ENGINE_M_TURN, .term = 301,
			   .turn = { TURN_GIVEN } } },
};

START_TEST(messages_between_engines)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct engine_message m;

	message_encode(&now, &messages[_i].m);
	golden_same(messages[_i].name, buf_view(&now));
	golden_read(messages[_i].name, &was);
	OKAY(message_decode(arena, buf_view(&was), &m, &err));
	ck_assert_int_eq(m.type, messages[_i].m.type);
	ck_assert_uint_eq(m.term, messages[_i].m.term);
	message_encode(&again, &m);
	ck_assert(str_eq(buf_view(&again), buf_view(&was)));
}
END_TEST

/* ---- the transport ---- */

#define CONTROLS 7

static void controls(struct control out[CONTROLS])
{
	out[0] = (struct control){ .type = CONTROL_HELLO,
				   .hello = { 1, 1, cluster, 7, 8, 2, 99, 3,
					      500 } };
	out[1] = (struct control){ .type = CONTROL_WELCOME,
				   .welcome = { 1, cluster, 8, 1 << 20 } };
	out[0].hello.incarnation = cluster;
	out[1].welcome.incarnation = cluster;
	out[2] = (struct control){ .type = CONTROL_REFUSAL,
				   .refusal = { REFUSAL_CLUSTER,
						STR("another cluster") } };
	out[3] = (struct control){ .type = CONTROL_PING, .stamp = 77 };
	out[4] = (struct control){ .type = CONTROL_PONG, .stamp = 77 };
	out[5] = (struct control){ .type = CONTROL_ASK,
				   .ask = { .from = 7, .incarnation = cluster } };
	out[6] = (struct control){ .type = CONTROL_ANSWER,
				   .ask = { .from = 8,
					    .body = STR("statement") } };
}

static const char *const control_names[] = { "net-hello-2", "net-welcome-2",
					     "net-refusal-1", "net-ping-1",
					     "net-pong-1", "net-ask-1",
					     "net-answer-1" };

static void check_control(const struct control *got, const struct control *want)
{
	ck_assert_int_eq(got->type, want->type);
	switch (want->type) {
	case CONTROL_HELLO:
		ck_assert_uint_eq(got->hello.from, 7);
		ck_assert_uint_eq(got->hello.to, 8);
		ck_assert_uint_eq(got->hello.boot, 99);
		ck_assert_uint_eq(got->hello.serial, 3);
		ck_assert_uint_eq(got->hello.ping_ms, 500);
		break;
	case CONTROL_WELCOME:
		ck_assert_uint_eq(got->welcome.from, 8);
		ck_assert_uint_eq(got->welcome.frame_bytes_max, 1 << 20);
		break;
	case CONTROL_REFUSAL:
		ck_assert_uint_eq(got->refusal.reason, REFUSAL_CLUSTER);
		ck_assert(str_is(got->refusal.text, "another cluster"));
		break;
	case CONTROL_PING:
	case CONTROL_PONG:
		ck_assert_uint_eq(got->stamp, 77);
		break;
	case CONTROL_ASK:
		ck_assert_uint_eq(got->ask.from, 7);
		ck_assert(uuid_eq(&got->ask.incarnation, &cluster));
		break;
	case CONTROL_ANSWER:
		ck_assert_uint_eq(got->ask.from, 8);
		ck_assert(str_is(got->ask.body, "statement"));
	}
}

static void read_control(const char *name, const struct control *want)
{
	AUTO_BUF was = BUF_NONE;
	struct frames frames = { 0 };
	struct control got;
	struct frame frame;
	struct str in;

	golden_read(name, &was);
	in = buf_view(&was);
	ck_assert_int_eq(frames_next(&frames, 1024, &in, &frame, &err), FRAME_ONE);
	ck_assert_uint_eq(frame.channel, FRAME_CONTROL);
	OKAY(control_decode(frame.content, &got, &err));
	check_control(&got, want);
	frames_fini(&frames);
}

START_TEST(what_nodes_say)
{
	AUTO_BUF now = BUF_NONE;
	struct control all[CONTROLS];

	controls(all);
	buf_str(&now, FRAME_MAGIC);
	control_add(&now, &all[_i]);
	golden_same(control_names[_i], buf_view(&now));
	read_control(control_names[_i], &all[_i]);
}
END_TEST

/* Of before incarnations, which are added at the end. */
START_TEST(what_nodes_said)
{
	struct control all[CONTROLS];

	controls(all);
	read_control("net-hello-1", &all[0]);
	read_control("net-welcome-1", &all[1]);
}
END_TEST

/* ---- nodes that form a cluster ---- */

START_TEST(statements)
{
	struct form_statement s = { .self = { 7, cluster, "seven:9001" },
				    .phase = FORM_FORMED, .expect = 2,
				    .is_by_hand = true, .cluster = cluster,
				    .n_founders = 2, .n_members = 3 };
	struct form_statement got;
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;

	s.founders[0] = s.members[0] = s.self;
	s.founders[1] = s.members[1] = (struct founder){ 300, cluster, "b:1" };
	s.members[2] = (struct founder){ .id = 9, .address = "nine:9001" };
	form_encode(&now, &s);
	golden_same("statement-1", buf_view(&now));
	golden_read("statement-1", &was);
	OKAY(form_decode(buf_view(&was), &got, &err));
	ck_assert_int_eq(got.phase, FORM_FORMED);
	ck_assert(got.expect == 2 && got.is_by_hand && got.n_founders == 2 &&
		  got.n_members == 3 && uuid_eq(&got.cluster, &cluster));
	ck_assert_uint_eq(got.founders[1].id, 300);
	ck_assert_str_eq(got.members[2].address, "nine:9001");
	ck_assert(uuid_is_none(&got.members[2].incarnation));
}
END_TEST

/* ---- sessions ---- */

START_TEST(hellos_of_sessions)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	uint64_t own, other;

	session_hello_encode(&now, 300, 1ull << 63);
	golden_same("session-hello-1", buf_view(&now));
	golden_read("session-hello-1", &was);
	ck_assert(session_hello_is(buf_view(&was)));
	OKAY(session_hello_decode(buf_view(&was), &own, &other, &err));
	ck_assert(own == 300 && other == 1ull << 63);
}
END_TEST

/* ---- calls ---- */

static const struct {
	const char *name;
	struct rpc_frame f;
} calls[] = {
	{ "rpc-request-1", { .type = RPC_F_REQUEST, .id = 300,
			     .body = { "body", 4 },
			     .request = { 2, 1500, 4096 } } },
	{ "rpc-answer-1", { .type = RPC_F_ANSWER, .id = 300,
			    .body = { "body", 4 } } },
	{ "rpc-error-1", { .type = RPC_F_ANSWER, .id = 300,
			   .answer = { E_CONFLICT, { "text", 4 },
				       { "hint", 4 } } } },
	{ "rpc-cancel-1", { .type = RPC_F_CANCEL, .id = 300 } },
};

START_TEST(calls_between_nodes)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct rpc_frame f;

	rpc_frame_encode(&now, &calls[_i].f);
	golden_same(calls[_i].name, buf_view(&now));
	golden_read(calls[_i].name, &was);
	OKAY(rpc_frame_decode(buf_view(&was), &f, &err));
	ck_assert_int_eq(f.type, calls[_i].f.type);
	ck_assert_uint_eq(f.id, 300);
	rpc_frame_encode(&again, &f);
	ck_assert(str_eq(buf_view(&again), buf_view(&was)));
}
END_TEST

/* ---- files ---- */

static struct ship_offer the_offer(void)
{
	return (struct ship_offer){ .id = STR("file-1"), .meta = STR("meta"),
				    .shape = { 5000, 1024, 2 },
				    .root = sha256_of(STR("root")) };
}

static void ship_frames(struct ship_frame out[8])
{
	for (unsigned i = 0; i < 8; i++) {
		struct ship_frame *f = &out[i];

		*f = (struct ship_frame){ .type = SHIP_F_OFFER + i,
					  .number = 300 };
		if (f->type == SHIP_F_OFFER) {
			f->offer = the_offer();
		} else if (f->type == SHIP_F_REFUSE ||
			   f->type == SHIP_F_GIVE_UP) {
			f->end.code = E_FULL;
			f->end.text = STR("no room");
		} else {
			f->piece.level = f->type == SHIP_F_ASK_PAGE ||
					 f->type == SHIP_F_PAGE;
			f->piece.index = 4;
			if (f->type == SHIP_F_PAGE || f->type == SHIP_F_CHUNK)
				f->piece.bytes =
					STR("0123456789abcdef0123456789abcdef");
		}
	}
}

static const char *const ship_names[] = {
	"ship-offer-1", "ship-refuse-1", "ship-give_up-1", "ship-ask_page-1",
	"ship-ask_chunk-1", "ship-page-1", "ship-chunk-1", "ship-done-1",
};

START_TEST(files_between_nodes)
{
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF again = BUF_NONE;
	struct ship_frame all[8], f;

	ship_frames(all);
	ship_frame_encode(&now, &all[_i]);
	golden_same(ship_names[_i], buf_view(&now));
	golden_read(ship_names[_i], &was);
	OKAY(ship_frame_decode(buf_view(&was), &f, &err));
	ck_assert_int_eq(f.type, all[_i].type);
	ck_assert_uint_eq(f.number, 300);
	ship_frame_encode(&again, &f);
	ck_assert(str_eq(buf_view(&again), buf_view(&was)));
}
END_TEST

START_TEST(journals_of_files)
{
	struct ship_offer offer = the_offer();
	struct store st;

	store_init(&st, fs, "d", offer.id);
	OKAY(store_open_part(&st, &offer, &err));
	OKAY(store_sync(&st, &offer, 3, &err));
	same_file("journal-1", "d/file-1.journal");
	put_file("journal-1", "d/file-1.journal");
	store_fini(&st);
	store_init(&st, fs, "d", offer.id);
	OKAY(store_open_part(&st, &offer, &err));
	ck_assert_uint_eq(st.durable, 3);
	store_fini(&st);
}
END_TEST

START_TEST(trees_of_files)
{
	struct ship_offer offer = the_offer();
	struct tree_file *t;
	struct sha256 root, again, page[4];

	OKAY(tree_begin(fs, "d", "d/tree", &offer.shape, &t, &err));
	for (unsigned i = 0; i < 5; i++) {
		struct sha256 leaf = sha256_of(str_n("01234" + i, 1));

		OKAY(tree_add(t, &leaf, &err));
	}
	OKAY(tree_end(t, &root, &err));
	tree_free(&t);
	same_file("tree-1", "d/tree");
	put_file("tree-1", "d/tree");
	OKAY(tree_open(fs, "d/tree", &offer.shape, &t, &again, &err));
	ck_assert(sha256_eq(&root, &again));
	OKAY(tree_read(t, 0, 0, page, &err));
	again = sha256_of(STR("0"));
	ck_assert(sha256_eq(&page[0], &again));
	tree_free(&t);
}
END_TEST

/* ---- backups ---- */

static enum code gather(void *out, struct str piece, struct err *unused)
{
	buf_str(out, piece);
	return OK;
}

START_TEST(backups)
{
	struct backup_head h = { .cluster = cluster, .node = 7, .index = 5000,
				 .term = 300, .time_ms = 1700000000000,
				 .bytes = 7, .sum = sha256_of(STR("picture")),
				 .members = { { 7, true, STR("seven:9001") },
					      { 300, false, STR("b:1") } },
				 .n_members = 2, .about = STR("revision 12\n") };
	struct backup_writer *w = backup_writer_new();
	struct backup_reader *r;
	AUTO_BUF now = BUF_NONE;
	AUTO_BUF was = BUF_NONE;
	AUTO_BUF picture = BUF_NONE;

	backup_start(w, &h, &now);
	backup_piece(w, STR("picture"), &now);
	backup_end(w, &now);
	backup_writer_free(&w);
	golden_same("backup-1", buf_view(&now));
	golden_read("backup-1", &was);
	r = backup_reader_new(gather, &picture);
	OKAY(backup_feed(r, buf_view(&was), &err));
	OKAY(backup_finish(r, &err));
	ck_assert(str_is(buf_view(&picture), "picture"));
	ck_assert_uint_eq(backup_reader_head(r)->index, 5000);
	ck_assert_uint_eq(backup_reader_head(r)->members[1].id, 300);
	ck_assert(str_is(backup_reader_head(r)->about, "revision 12\n"));
	backup_reader_free(&r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("node/golden");
	TCase *t = tcase_create("golden");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, segments_of_the_log);
	tcase_add_test(t, term_and_vote);
	tcase_add_test(t, identities);
	tcase_add_test(t, nodes_that_are_known);
	tcase_add_test(t, the_mark_of_a_fence);
	tcase_add_test(t, marks_of_an_install);
	tcase_add_test(t, meta_files_of_checkpoints);
	tcase_add_test(t, membership_entries);
	tcase_add_loop_test(t, messages_between_engines, 0,
			    (int)ARRAY_LEN(messages));
	tcase_add_loop_test(t, what_nodes_say, 0, (int)ARRAY_LEN(control_names));
	tcase_add_test(t, what_nodes_said);
	tcase_add_loop_test(t, calls_between_nodes, 0, (int)ARRAY_LEN(calls));
	tcase_add_loop_test(t, files_between_nodes, 0, (int)ARRAY_LEN(ship_names));
	tcase_add_test(t, statements);
	tcase_add_test(t, hellos_of_sessions);
	tcase_add_test(t, backups);
	tcase_add_test(t, journals_of_files);
	tcase_add_test(t, trees_of_files);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
