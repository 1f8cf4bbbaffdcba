/* The door: who is let in, what replaces what, what strangers can do. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world.h"

#include "base/banned.h"

/* Node 2 is a peer, and nobody answers there: so no error of its link comes
 * between. */
static void open_first(void)
{
	char addr[72];

	if (N1->config.limits.connect_timeout_ms == 800)
		N1->config.limits.connect_timeout_ms = 60000;
	raw_listen(addr);
	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(addr), NULL), OK);
}

static void send_text(struct raw *raw, const char *text)
{
	AUTO_BUF bytes = BUF_NONE;

	frame_add(&bytes, NET_RAFT, str_of(text));
	raw_send(raw, buf_view(&bytes));
}

/* ---- who is refused ---- */

static const struct refused {
	const char *what, *says;
	enum refusal_reason reason;
} refusals[] = {
	{ "cluster", "this is cluster 07070707-", REFUSAL_CLUSTER },
	{ "node", "this is node 1, and not node 3", REFUSAL_NODE },
	{ "self", "node 1 is who answers", REFUSAL_SELF },
	{ "unknown", "node 9 is not among the peers", REFUSAL_UNKNOWN },
	{ "newer", "versions 1 to 1 are spoken here, and 2 to 5 there",
	  REFUSAL_VERSION },
	{ "older", "versions 1 to 1", REFUSAL_VERSION },
	{ "channel", "no channel 7", REFUSAL_CHANNEL },
	{ "no channel", "no channel 0", REFUSAL_CHANNEL },
};

static struct control hello_with(const char *what)
{
	struct control c = hello_of(1, 1);

	if (strcmp(what, "cluster") == 0)
		c.hello.cluster.b[15] = 1;
	else if (strcmp(what, "node") == 0)
		c.hello.to = 3;
	else if (strcmp(what, "self") == 0)
		c.hello.from = 1;
	else if (strcmp(what, "unknown") == 0)
		c.hello.from = 9;
	else if (strcmp(what, "newer") == 0)
		c.hello.least = 2, c.hello.most = 5;
	else if (strcmp(what, "older") == 0)
		c.hello.least = c.hello.most = 0;
	else
		c.hello.channel = strcmp(what, "channel") == 0 ? 7 : 0;
	return c;
}

START_TEST(refused_with_a_reason)
{
	const struct refused *want = &refusals[_i];
	struct control hello = hello_with(want->what), answer;
	struct net_stats stats;
	struct frame frame;
	struct raw raw;

	open_first();
	raw_dial(&raw, N1);
	raw_say(&raw, &hello);
	send_text(&raw, "is not delivered");
	ck_assert(raw_frame(&raw, &frame));
	ck_assert_int_eq(control_decode(frame.content, &answer, NULL), OK);
	ck_assert_int_eq(answer.type, CONTROL_REFUSAL);
	ck_assert_int_eq(answer.refusal.reason, want->reason);
	ck_assert_uint_ne(str_find_str(answer.refusal.text, str_of(want->says)),
			  SIZE_MAX);
	raw_wait_closed(&raw);
	raw_close(&raw);
	pass_ms(20);
	net_stats(N1->net, &stats);
	ck_assert_uint_eq(stats.refused, 1);
	for (unsigned i = 0; i < NET_REFUSALS; i++)
		ck_assert_uint_eq(stats.refused_by[i], i == want->reason);
	ck_assert_uint_eq(stats.accepted, 1);
	ck_assert_uint_eq(stats.strangers, 0);
	ck_assert_uint_eq(N1->frames, 0);
}
END_TEST

/* A range that reaches beyond ours: the greatest that both speak. */
START_TEST(versions_that_are_shared)
{
	struct control hello = hello_of(1, 1), answer;
	struct frame frame;
	struct raw raw;

	hello.hello.least = 0;
	hello.hello.most = 9;
	open_first();
	raw_dial(&raw, N1);
	raw_say(&raw, &hello);
	ck_assert(raw_frame(&raw, &frame));
	ck_assert_int_eq(control_decode(frame.content, &answer, NULL), OK);
	ck_assert_int_eq(answer.type, CONTROL_WELCOME);
	ck_assert_uint_eq(answer.welcome.version, 1);
	ck_assert_uint_eq(answer.welcome.from, 1);
	raw_close(&raw);
}
END_TEST

/* As both sides see it, and log it: once, however often it is tried. */
START_TEST(another_cluster)
{
	N2->config.cluster_id.b[0] = 8;
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 5 &&
	     link_of(N2, 1, NET_RAFT).attempts >= 5);
	ck_assert_uint_eq(N1->ups + N2->ups, 0);
	ck_assert(has_error(N1, 2, "refused: this is cluster 08070707") ||
		  has_error(N1, 2, "refused: this is cluster 07070707"));
	ck_assert_uint_eq(logged("is cluster"), 2);
	ck_assert_uint_eq(logged("peer=2"), 1);
}
END_TEST

/* Refused where it calls, and where it is called. */
START_TEST(another_incarnation)
{
	struct net_stats stats;

	N2->config.incarnation.b[0] = 5;
	N1->turns_away = 5;
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 3 &&
	     link_of(N2, 1, NET_RAFT).attempts >= 3);
	ck_assert_uint_eq(N1->ups + N2->ups, 0);
	ck_assert(has_error(N2, 1, "refused: node 2 is not what it was"));
	ck_assert(has_error(N1, 2, "node 2 is not what it was"));
	net_stats(N1->net, &stats);
	ck_assert_uint_ge(stats.refused_incarnation, 4);
	ck_assert_uint_ge(stats.refused, 2);
	N1->turns_away = 0;
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
}
END_TEST

START_TEST(an_address_of_another_node)
{
	node_open(N1);
	node_open(N3);
	node_knows(N3, N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(N3->addr), NULL), OK);
	WAIT(has_error(N1, 2, "this is node 3, and not node 2"));
	ck_assert_int_eq(net_peer_set(N3->net, 2, str_of(N3->addr), NULL), OK);
	WAIT(has_error(N3, 2, "this is node 3, and not node 2"));
	ck_assert_uint_eq(N1->ups + N3->ups, 0);
}
END_TEST

/* An answer that was not asked for, or is another's. */
START_TEST(a_false_welcome)
{
	struct control welcome = {
		.type = CONTROL_WELCOME,
		.welcome = { .version = 1, .from = 2, .frame_bytes_max = 1000 }
	};
	static const char *const says[] = { "another node has answered",
					    "another node has answered",
					    "chose version 2", "second welcome",
					    "carries none this way" };
	AUTO_BUF bytes = BUF_NONE;
	char addr[72];
	int fd = raw_listen(addr), peer;

	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(addr), NULL), OK);
	peer = raw_accept(fd);
	welcome.welcome.cluster = N1->config.cluster_id;
	if (_i == 0)
		welcome.welcome.from = 3;
	if (_i == 1)
		welcome.welcome.cluster.b[3] = 0;
	if (_i == 2)
		welcome.welcome.version = 2;
	buf_str(&bytes, FRAME_MAGIC);
	control_add(&bytes, &welcome);
	if (_i == 3)
		control_add(&bytes, &welcome);
	if (_i == 4)
		frame_add(&bytes, NET_RAFT, STR("backwards"));
	/* Not before it was greeted. */
	WAIT(recv(peer, (char[1]){ 0 }, 1, MSG_DONTWAIT) == 1);
	ck_assert_int_eq(send(peer, bytes.p, bytes.n, MSG_NOSIGNAL),
			 (ssize_t)bytes.n);
	WAIT(has_error(N1, 2, says[_i]));
	ck_assert_uint_eq(N1->ups, _i >= 3);
	ck_assert_uint_eq(N1->frames, 0);
	close(peer);
	close(fd);
}
END_TEST

/* ---- what replaces what ---- */

START_TEST(a_new_connection_replaces_the_old)
{
	AUTO_BUF bytes = BUF_NONE;
	struct raw old, new;

	open_first();
	raw_enter(&old, 5, 1);
	send_text(&old, "one");
	WAIT(N1->frames == 1);
	/* Half of a frame; and whole ones that nobody has read yet. */
	frame_add(&bytes, NET_RAFT, STR("two"));
	raw_send(&old, str_first(buf_view(&bytes), 10));
	raw_enter(&new, 5, 2);
	raw_send(&old, str_from(buf_view(&bytes), 10));
	send_text(&old, "three");
	send_text(&new, "four");
	WAIT(N1->frames == 2);
	raw_wait_closed(&old);
	pass_ms(20);
	ck_assert(got(N1, "2 raft one\n2 raft four\n"));
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).accepts, 2);
	raw_close(&old);
	raw_close(&new);
}
END_TEST

/* What the kernel holds of the old one counts as lost, too. */
START_TEST(nothing_comes_late)
{
	struct raw old, new;

	open_first();
	raw_enter(&old, 5, 1);
	raw_enter(&new, 6, 1);
	for (unsigned i = 0; i < 50; i++)
		send_text(&old, "late");
	send_text(&new, "in time");
	WAIT(N1->frames);
	pass_ms(20);
	ck_assert(got(N1, "2 raft in time\n"));
	raw_close(&old);
	raw_close(&new);
}
END_TEST

/* The hello of a connection that was given up, behind that of a newer one. */
START_TEST(an_older_hello_is_refused)
{
	struct control hello = hello_of(5, 7), answer;
	struct frame frame;
	struct raw new, old;

	open_first();
	raw_enter(&new, 5, 8);
	raw_dial(&old, N1);
	raw_say(&old, &hello);
	ck_assert(raw_frame(&old, &frame));
	ck_assert_int_eq(control_decode(frame.content, &answer, NULL), OK);
	ck_assert_int_eq(answer.type, CONTROL_REFUSAL);
	ck_assert_int_eq(answer.refusal.reason, REFUSAL_STALE);
	raw_close(&old);
	send_text(&new, "stays");
	WAIT(N1->frames == 1);
	raw_close(&new);
	WAIT(!link_of(N1, 2, NET_RAFT).is_up_in);
	/* Also when the newer has ended; a new life begins anew. */
	hello.hello.serial = 8;
	raw_dial(&old, N1);
	raw_say(&old, &hello);
	ck_assert(raw_frame(&old, &frame));
	ck_assert_int_eq(control_decode(frame.content, &answer, NULL), OK);
	ck_assert_int_eq(answer.type, CONTROL_REFUSAL);
	raw_close(&old);
	raw_enter(&new, 6, 1);
	raw_close(&new);
}
END_TEST

/* Whoever keeps something for a connection hears of each in turn. */
START_TEST(connections_are_told_of)
{
	struct raw old, new;

	N1->hears_in = true;
	open_first();
	raw_enter(&old, 5, 1);
	send_text(&old, "a");
	WAIT(N1->frames == 1);
	raw_enter(&new, 5, 2);
	send_text(&new, "b");
	WAIT(N1->frames == 2);
	ck_assert(got(N1, "in\n2 raft a\nout\nin\n2 raft b\n"));
	raw_close(&new);
	WAIT(N1->outs == 2);
	raw_enter(&new, 5, 3);
	net_drop(N1->net, 2, NET_RPC);
	pass_ms(20);
	ck_assert_uint_eq(N1->outs, 2);
	/* Dropped: what has come and was not delivered is lost. */
	send_text(&new, "c");
	net_drop(N1->net, 2, NET_RAFT);
	WAIT(N1->outs == 3);
	ck_assert_uint_eq(N1->frames, 2);
	raw_wait_closed(&new);
	raw_close(&new);
	raw_close(&old);
	net_drop(N1->net, 7, NET_RAFT);
}
END_TEST

static void remove_on_out(struct node *node, uint64_t peer, bool is_up)
{
	if (!is_up)
		net_peer_remove(node->net, peer);
}

START_TEST(a_peer_removed_when_it_is_replaced)
{
	struct control hello = hello_of(5, 2);
	struct raw old, new;
	struct net_stats stats;

	N1->hears_in = true;
	N1->on_in = remove_on_out;
	open_first();
	raw_enter(&old, 5, 1);
	raw_dial(&new, N1);
	raw_say(&new, &hello);
	send_text(&new, "nobody's");
	raw_wait_closed(&new);
	raw_wait_closed(&old);
	ck_assert(got(N1, "in\nout\n"));
	net_stats(N1->net, &stats);
	ck_assert_uint_eq(stats.strangers, 0);
	raw_close(&new);
	raw_close(&old);
}
END_TEST

/* Of another channel replaces nothing. */
START_TEST(channels_do_not_replace_each_other)
{
	struct control hello = hello_of(5, 2);
	struct raw raft, rpc;
	struct frame frame;

	open_first();
	raw_enter(&raft, 5, 1);
	hello.hello.channel = NET_RPC;
	raw_dial(&rpc, N1);
	raw_say(&rpc, &hello);
	ck_assert(raw_frame(&rpc, &frame));
	send_text(&raft, "here");
	WAIT(N1->frames == 1);
	ck_assert(link_of(N1, 2, NET_RPC).is_up_in);
	/* And carries frames of no other. */
	send_text(&rpc, "wrong");
	raw_wait_closed(&rpc);
	ck_assert(has_error(N1, 2, "a frame of another channel"));
	ck_assert_uint_eq(N1->frames, 1);
	ck_assert(link_of(N1, 2, NET_RAFT).is_up_in);
	raw_close(&raft);
	raw_close(&rpc);
}
END_TEST

/* ---- what is no frame ---- */

static void damaged(struct buf *bytes)
{
	frame_add(bytes, NET_RAFT, STR("bad"));
	bytes->p[bytes->n - 1] ^= 1;
}

static void oversized(struct buf *bytes)
{
	char content[2000] = { 0 };

	frame_add(bytes, NET_RAFT, str_n(content, sizeof(content)));
}

static void garbage(struct buf *bytes)
{
	for (unsigned i = 0; i < 3000; i++)
		buf_c(bytes, (char)(i * 167 + 13));
}

static void unasked(struct buf *bytes)
{
	struct control pong = { .type = CONTROL_PONG };

	control_add(bytes, &pong);
}

static void unknown(struct buf *bytes)
{
	frame_add(bytes, FRAME_CONTROL, STR("\x7f"));
}

START_TEST(what_ends_a_connection)
{
	static void (*const makes[])(struct buf *) = { damaged, oversized,
						       garbage, unasked,
						       unknown };
	static const char *const says[] = { "damaged", "larger", "larger",
					    "nobody expects", "malformed" };
	AUTO_BUF bytes = BUF_NONE;
	struct raw raw;

	N1->config.limits.frame_bytes_max = 1500;
	open_first();
	raw_enter(&raw, 5, 1);
	send_text(&raw, "good");
	makes[_i](&bytes);
	raw_send(&raw, buf_view(&bytes));
	send_text(&raw, "behind");
	raw_wait_closed(&raw);
	raw_close(&raw);
	ck_assert(got(N1, "2 raft good\n"));
	ck_assert(has_error(N1, 2, says[_i]));
	ck_assert(!link_of(N1, 2, NET_RAFT).is_up_in);
	raw_enter(&raw, 5, 2);
	raw_close(&raw);
}
END_TEST

/* ---- strangers ---- */

START_TEST(other_protocols_are_turned_away)
{
	static const char *const others[] = { "GET / HTTP/1.1\r\n\r\n",
					      "\x16\x03\x01\x02\x05\x01",
					      "CCFXNET\n\xff\xff\xff\x00\x10" };
	struct net_stats stats;
	struct raw raw;

	open_first();
	raw_dial(&raw, N1);
	raw_send(&raw, str_of(others[_i]));
	/* The third has zeros, of which str_of sees none. */
	raw_send(&raw, STR("\0\x10\0\0\0\0"));
	raw_wait_closed(&raw);
	raw_close(&raw);
	net_stats(N1->net, &stats);
	ck_assert_uint_eq(stats.refused, 1);
	ck_assert_uint_eq(logged("turned away"), 1);
	/* Not each attempt. */
	raw_dial(&raw, N1);
	raw_send(&raw, STR("GET"));
	raw_wait_closed(&raw);
	raw_close(&raw);
	ck_assert_uint_eq(logged("turned away"), 1);
}
END_TEST

/* Before its hello a stranger may have little kept for it. */
START_TEST(a_hello_is_small)
{
	static char content[FRAME_HELLO_MAX + 1];
	AUTO_BUF bytes = BUF_NONE;
	struct raw raw;

	open_first();
	raw_dial(&raw, N1);
	buf_str(&bytes, FRAME_MAGIC);
	frame_add(&bytes, FRAME_CONTROL, str_n(content, sizeof(content)));
	raw_send(&raw, str_first(buf_view(&bytes), 20));
	raw_wait_closed(&raw);
	raw_close(&raw);
	ck_assert_uint_eq(logged("larger"), 1);
}
END_TEST

START_TEST(a_silent_stranger_is_sent_away)
{
	struct net_stats stats;
	struct raw raw;

	N1->config.limits.connect_timeout_ms = 50;
	open_first();
	raw_dial(&raw, N1);
	raw_send(&raw, str_first(FRAME_MAGIC, 5));
	WAIT((net_stats(N1->net, &stats), stats.strangers == 1));
	raw_wait_closed(&raw);
	raw_close(&raw);
	ck_assert_uint_eq(logged("no hello within 50 ms"), 1);
	net_stats(N1->net, &stats);
	ck_assert_uint_eq(stats.strangers, 0);
}
END_TEST

/* The oldest of too many goes, and who has something to say comes in. */
START_TEST(a_crowd_of_strangers)
{
	struct raw crowd[5], peer;
	struct net_stats stats;

	N1->config.limits.strangers_max = 4;
	N1->config.limits.connect_timeout_ms = 60000;
	open_first();
	for (unsigned i = 0; i < 4; i++) {
		raw_dial(&crowd[i], N1);
		WAIT((net_stats(N1->net, &stats), stats.strangers == i + 1));
	}
	raw_enter(&peer, 5, 1);
	raw_wait_closed(&crowd[0]);
	net_stats(N1->net, &stats);
	ck_assert_uint_eq(stats.strangers, 3);
	raw_dial(&crowd[4], N1);
	WAIT((net_stats(N1->net, &stats), stats.strangers == 4));
	raw_dial(&crowd[0], N1);
	raw_wait_closed(&crowd[1]);
	send_text(&peer, "still here");
	WAIT(N1->frames == 1);
	raw_close(&peer);
	for (unsigned i = 0; i < 5; i++)
		raw_close(&crowd[i]);
}
END_TEST

/* A peer that asks and never reads does not fill this node's memory. */
START_TEST(answers_that_nobody_reads)
{
	struct control ping = { .type = CONTROL_PING, .stamp = 1 };
	AUTO_BUF bytes = BUF_NONE;
	struct raw raw;

	open_first();
	raw_enter(&raw, 5, 1);
	while (bytes.n < 100000)
		control_add(&bytes, &ping);
	WAIT((raw_send(&raw, buf_view(&bytes)),
	      has_error(N1, 2, "does not read") ||
		      !link_of(N1, 2, NET_RAFT).is_up_in));
	raw_close(&raw);
}
END_TEST

/* Silence of who came in, by its own measure. */
START_TEST(a_silent_peer_is_given_up)
{
	uint64_t start = uv_hrtime();
	struct control hello = hello_of(5, 1);
	struct frame frame;
	struct raw raw;

	open_first();
	hello.hello.ping_ms = 200;
	raw_dial(&raw, N1);
	raw_say(&raw, &hello);
	ck_assert(raw_frame(&raw, &frame));
	raw_wait_closed(&raw);
	ck_assert_uint_ge((uv_hrtime() - start) / 1000000, 590);
	ck_assert(!link_of(N1, 2, NET_RAFT).is_up_in);
	raw_close(&raw);
}
END_TEST

/* ---- addresses ---- */

static enum code open_at(const char *listen, bool clear)
{
	const struct net_handlers none = {
		.on_frame = (void (*)(void *, uint64_t, enum net_channel,
				      struct str))abort,
	};
	struct err err = { 0 };
	enum code rc;

	N1->config.listen = listen;
	N1->config.allow_clear_text = clear;
	rc = net_open_tcp(&N1->config, &none, &N1->net, &err);
	ck_assert(!rc == (N1->net != NULL));
	ck_assert(!rc || err.text[0]);
	ck_assert(rc != E_DENIED || strstr(err.hint, "certificates"));
	node_close(N1);
	return rc;
}

START_TEST(where_clear_text_may_listen)
{
	ck_assert_int_eq(open_at("0.0.0.0:0", false), E_DENIED);
	ck_assert_int_eq(open_at("0.0.0.0:0", true), OK);
	ck_assert_int_eq(open_at("localhost:0", false), OK);
	ck_assert_int_eq(open_at("127.0.0.1", false), E_INVALID);
}
END_TEST

static enum code set(uint64_t id, const char *address)
{
	struct err err = { 0 };
	enum code rc = net_peer_set(N1->net, id, str_of(address), &err);

	ck_assert(!rc || strstr(err.text, "peer "));
	return rc;
}

START_TEST(addresses_of_peers)
{
	node_open(N1);
	ck_assert_int_eq(set(1, "127.0.0.1:1"), E_INVALID);
	ck_assert_int_eq(set(0, "127.0.0.1:1"), E_INVALID);
	ck_assert_int_eq(set(2, "127.0.0.1"), E_INVALID);
	ck_assert_int_eq(set(2, "127.0.0.1:0"), E_INVALID);
	ck_assert_int_eq(set(2, "10.0.0.1:1"), E_DENIED);
	ck_assert_int_eq(set(2, "[2001:db8::1]:1"), E_DENIED);
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "x"), E_NOT_FOUND);
	ck_assert_int_eq(set(2, "[::1]:1"), OK);
	node_close(N1);
	N1->config.allow_clear_text = true;
	node_open(N1);
	ck_assert_int_eq(set(2, "10.0.0.1:1"), OK);
}
END_TEST

START_TEST(a_peer_by_name)
{
	char address[80];

	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	snprintf(address, sizeof(address), "localhost%s", strchr(N2->addr, ':'));
	ck_assert_int_eq(set(2, address), OK);
	WAIT(N1->is_up[NET_RAFT]);
	ck_assert_int_eq(set(3, "no-such-host.invalid:1"), OK);
	WAIT(has_error(N1, 3, "look up no-such-host.invalid"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net/door");
	TCase *t = tcase_create("door");

	tcase_add_checked_fixture(t, world_setup, world_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, refused_with_a_reason, 0, ARRAY_LEN(refusals));
	tcase_add_test(t, versions_that_are_shared);
	tcase_add_test(t, another_cluster);
	tcase_add_test(t, another_incarnation);
	tcase_add_test(t, an_address_of_another_node);
	tcase_add_loop_test(t, a_false_welcome, 0, 5);
	tcase_add_test(t, a_new_connection_replaces_the_old);
	tcase_add_test(t, nothing_comes_late);
	tcase_add_test(t, an_older_hello_is_refused);
	tcase_add_test(t, connections_are_told_of);
	tcase_add_test(t, a_peer_removed_when_it_is_replaced);
	tcase_add_test(t, channels_do_not_replace_each_other);
	tcase_add_loop_test(t, what_ends_a_connection, 0, 5);
	tcase_add_loop_test(t, other_protocols_are_turned_away, 0, 3);
	tcase_add_test(t, a_hello_is_small);
	tcase_add_test(t, a_silent_stranger_is_sent_away);
	tcase_add_test(t, a_crowd_of_strangers);
	tcase_add_test(t, answers_that_nobody_reads);
	tcase_add_test(t, a_silent_peer_is_given_up);
	tcase_add_test(t, where_clear_text_may_listen);
	tcase_add_test(t, addresses_of_peers);
	tcase_add_test(t, a_peer_by_name);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
