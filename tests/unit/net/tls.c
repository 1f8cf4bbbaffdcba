/* TLS between nodes: whose certificate is good for what, versions, reload. */
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#include "base/banned.h"

#define NODE(n) "URI:conflux://node/" #n
#define HERE "IP:127.0.0.1,DNS:localhost"

static void all_certs(void)
{
	certs_setup();
	make_cert("one", "ca", NODE(1), 20);
	make_cert("two", "ca", NODE(2), 10);
	make_cert("three", "ca", NODE(3) ",IP:127.0.0.1", 10);
	make_cert("two-and-three", "ca", NODE(3) "," NODE(2), 10);
	make_cert("here", "ca", HERE, 10);
	make_cert("elsewhere", "ca", "IP:127.0.0.2,DNS:elsewhere.test", 10);
	make_cert("nothing", "ca", NULL, 10);
	make_cert("odd", "ca", "URI:conflux://node/2x,IP:127.0.0.1", 10);
	make_cert("other-uri", "ca", "URI:urn:node/2,IP:127.0.0.1", 10);
	make_cert("expired", "ca", NODE(2), -1);
	make_cert("foreign", "other-ca", NODE(2), 10);
}

static void open_both(const char *one, const char *two)
{
	node_tls(N1, one, "ca");
	node_tls(N2, two, "ca");
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
}

static int64_t days_of(int64_t expiry)
{
	return (expiry - (int64_t)time(NULL) + 43200) / 86400;
}

/* ---- who is who ---- */

static const struct {
	const char *two;	    /* what node 2 shows */
	const char *dialler, *door; /* what node 1 finds; NULL: good */
} shown[] = {
	{ "two", NULL, NULL },
	{ "two-and-three", NULL, NULL },
	{ "here", NULL, NULL },
	{ "other-uri", NULL, NULL },
	/* An id that is another's counts for more than a host that is right. */
	{ "three", "of conflux://node/3 and not of node 2",
	  "of conflux://node/3 and not of node 2" },
	{ "odd", "of conflux://node/2x and not", "of conflux://node/2x" },
	{ "elsewhere", "names neither node 2 nor 127.0.0.1",
	  "names neither node 2 nor 127.0.0.1" },
	{ "nothing", "names neither", "names neither" },
	{ "expired", "certificate has expired", "certificate has expired" },
	{ "foreign", "unable to get local issuer", "unable to get local issuer" },
};

START_TEST(certificates)
{
	const char *dialler = shown[_i].dialler;

	open_both("one", shown[_i].two);
	if (!dialler) {
		WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
		ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "a"), OK);
		ck_assert_int_eq(node_send(N2, 1, NET_RPC, "b"), OK);
		WAIT(N1->frames && N2->frames);
		ck_assert(got(N1, "2 rpc b\n"));
		return;
	}
	/* Node 1 does not talk to it. */
	WAIT(has_error(N1, 2, dialler) && N1->is_up[NET_RAFT] == false);
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 3);
	ck_assert_uint_eq(N1->ups + N2->ups, 0);
	ck_assert_uint_eq(N1->frames, 0);
}
END_TEST

/* Nor lets it in: here the dialler is in the wrong. */
START_TEST(certificates_at_the_door)
{
	if (!shown[_i].door)
		return;
	node_tls(N1, "one", "ca");
	node_tls(N2, shown[_i].two, "ca");
	node_open(N1);
	node_open(N2);
	/* Node 1 knows node 2 and finds nobody there. */
	ck_assert_int_eq(net_peer_set(N1->net, 2, STR("127.0.0.1:1"), NULL), OK);
	node_knows(N2, N1);
	WAIT(logged(shown[_i].door) >= 1);
	WAIT(link_of(N2, 1, NET_RAFT).attempts >= 3);
	ck_assert_uint_eq(N2->ups, 0);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).accepts, 0);
	/* It is told why. */
	WAIT(has_error(N2, 1, "refused: the certificate") ||
	     has_error(N2, 1, "expired") || has_error(N2, 1, "unknown ca"));
}
END_TEST

START_TEST(a_name_in_the_certificate)
{
	char address[80];

	node_tls(N1, "one", "ca");
	node_tls(N2, "here", "ca");
	node_open(N1);
	node_open(N2);
	snprintf(address, sizeof(address), "localhost%s", strchr(N2->addr, ':'));
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(address), NULL), OK);
	node_knows(N2, N1);
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
}
END_TEST

/* ---- other ways to speak ---- */

START_TEST(clear_text_against_tls)
{
	node_tls(N1, "one", "ca");
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(link_of(N1, 2, NET_RAFT).attempts >= 3 &&
	     link_of(N2, 1, NET_RAFT).attempts >= 3);
	ck_assert_uint_eq(N1->ups + N2->ups, 0);
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).accepts +
				  link_of(N2, 1, NET_RAFT).accepts,
			  0);
	/* Who speaks TLS is told apart from garbage. */
	ck_assert_uint_ge(logged("one speaks TLS and the other does not"), 1);
}
END_TEST

struct tls_raw {
	pthread_t thread;
	int port, max_version;
	const char *pem, *key; /* NULL: shows none */
	_Atomic bool done;
	int read; /* SSL_read's answer, behind hello */
};

static void speak_tls(struct tls_raw *raw, SSL *ssl)
{
	AUTO_BUF bytes = BUF_NONE;
	struct control hello = hello_of(1, 1);
	char in[1000];

	if (SSL_connect(ssl) != 1)
		return;
	buf_str(&bytes, FRAME_MAGIC);
	control_add(&bytes, &hello);
	SSL_write(ssl, bytes.p, (int)bytes.n);
	raw->read = SSL_read(ssl, in, sizeof(in));
}

static void *tls_main(void *arg)
{
	struct tls_raw *raw = arg;
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)raw->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	if (raw->max_version)
		SSL_CTX_set_max_proto_version(ctx, raw->max_version);
	if (raw->pem) {
		SSL_CTX_use_certificate_chain_file(ctx, raw->pem);
		SSL_CTX_use_PrivateKey_file(ctx, raw->key, SSL_FILETYPE_PEM);
	}
	ssl = SSL_new(ctx);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
		SSL_set_fd(ssl, fd);
		speak_tls(raw, ssl);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	atomic_store(&raw->done, true);
	return NULL;
}

static bool lets_in(struct tls_raw *raw)
{
	struct net_stats stats;

	net_stats(N1->net, &stats);
	raw->port = stats.listen.port;
	ck_assert_int_eq(pthread_create(&raw->thread, NULL, tls_main, raw), 0);
	WAIT(raw->done);
	pthread_join(raw->thread, NULL);
	return raw->read > 0 && link_of(N1, 2, NET_RAFT).accepts;
}

START_TEST(who_is_let_in_by_tls)
{
	struct tls_raw good = { .pem = cert("two.pem"), .key = cert("two.key") };
	struct tls_raw old = { .pem = good.pem,
			       .key = good.key,
			       .max_version = TLS1_2_VERSION };
	struct tls_raw none = { .max_version = 0 };

	node_tls(N1, "one", "ca");
	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, STR("127.0.0.1:1"), NULL), OK);
	ck_assert(!lets_in(&none));
	ck_assert(!lets_in(&old));
	ck_assert_uint_eq(link_of(N1, 2, NET_RAFT).accepts, 0);
	ck_assert(lets_in(&good));
}
END_TEST

/* ---- reload and expiry ---- */

static void point(const char *name, const char *at, const char *ending)
{
	char from[80], to[80];

	snprintf(from, sizeof(from), "%s.%s", name, ending);
	snprintf(to, sizeof(to), "%s.%s", at, ending);
	unlink(cert(from));
	ck_assert_int_eq(symlink(cert(to), cert(from)), 0);
}

static int64_t peer_days(const struct node *node, uint64_t peer)
{
	struct net_peer_stats stats;

	ck_assert_int_eq(net_peer_stats(node->net, peer, &stats), OK);
	return stats.cert_expiry ? days_of(stats.cert_expiry) : -1;
}

static int64_t own_days(const struct node *node)
{
	struct net_stats stats;

	net_stats(node->net, &stats);
	return days_of(stats.cert_expiry);
}

START_TEST(certificates_are_reloaded)
{
	struct err err = { 0 };

	point("live", "two", "pem");
	point("live", "two", "key");
	open_both("one", "live");
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
	ck_assert_int_eq(own_days(N1), 20);
	ck_assert_int_eq(own_days(N2), 10);
	ck_assert_int_eq(peer_days(N1, 2), 10);
	ck_assert_int_eq(peer_days(N2, 1), 20);

	make_cert("two-new", "ca", NODE(2), 80);
	point("live", "two-new", "pem");
	ck_assert_int_eq(net_tls_reload(N2->net, &err), E_TLS);
	ck_assert_ptr_nonnull(strstr(err.text, "live.key"));
	ck_assert_int_eq(own_days(N2), 10);
	point("live", "two-new", "key");
	ck_assert_int_eq(net_tls_reload(N2->net, &err), OK);
	ck_assert_int_eq(own_days(N2), 80);

	/* What is open stays; what is made now, either way, has the new one. */
	ck_assert_int_eq(node_send(N2, 1, NET_RAFT, "old"), OK);
	WAIT(N1->frames == 1);
	ck_assert_int_eq(peer_days(N1, 2), 10);
	ck_assert_int_eq(node_send(N1, 2, NET_RPC, "dials"), OK);
	WAIT(N2->frames == 1);
	ck_assert_int_eq(peer_days(N1, 2), 80);
	ck_assert_int_eq(node_send(N2, 1, NET_SHIP, "is dialled"), OK);
	WAIT(N1->frames == 2);
	ck_assert_int_eq(peer_days(N1, 2), 80);
	ck_assert_uint_eq(N1->downs + N2->downs, 0);
}
END_TEST

/* The CA is read again, too. */
START_TEST(another_ca_after_reload)
{
	point("trusted", "ca", "pem");
	make_cert("moved", "other-ca", NODE(2), 10);
	node_tls(N1, "one", "trusted");
	node_tls(N2, "moved", "ca");
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(has_error(N1, 2, "unable to get local issuer"));
	point("trusted", "other-ca", "pem");
	ck_assert_int_eq(net_tls_reload(N1->net, NULL), OK);
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
}
END_TEST

START_TEST(files_of_no_use)
{
	const struct net_handlers none = {
		.on_frame = (void (*)(void *, uint64_t, enum net_channel,
				      struct str))abort,
	};
	struct err err = { 0 };

	node_tls(N1, "missing", "ca");
	ck_assert_int_eq(net_open_tcp(&N1->config, &none, &N1->net, &err),
			 E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "missing.pem"));
	node_tls(N1, "one", "missing");
	ck_assert_int_eq(net_open_tcp(&N1->config, &none, &N1->net, &err),
			 E_NOT_FOUND);
	ck_assert_ptr_null(N1->net);
}
END_TEST

/* With certificates addresses may be anywhere. */
START_TEST(beyond_loopback)
{
	node_tls(N1, "one", "ca");
	N1->config.listen = "0.0.0.0:0";
	node_open(N1);
	ck_assert_int_eq(net_peer_set(N1->net, 2, STR("10.0.0.1:1"), NULL), OK);
}
END_TEST

static unsigned rtt_us(void)
{
	return (unsigned)link_of(N1, 2, NET_RAFT).rtt_us;
}

/* Order and content through TLS, with cuts, as in link.c without. */
START_TEST(frames_through_cuts)
{
	static char block[60000];
	struct proxy *p;
	unsigned before;

	N1->config.limits.backoff_max_ms = 10;
	N2->quiet = true;
	node_tls(N1, "one", "ca");
	node_tls(N2, "two", "ca");
	node_open(N1);
	node_open(N2);
	node_knows(N2, N1);
	p = proxy_new(N2->addr);
	ck_assert_int_eq(net_peer_set(N1->net, 2, str_of(proxy_addr(p)), NULL),
			 OK);
	for (unsigned i = 0; i < 5; i++) {
		WAIT(N1->is_up[NET_RAFT]);
		before = N2->frames;
		WAIT((net_send(N1->net, 2, NET_RAFT,
			       str_n(block, sizeof(block))) == OK) &&
		     N2->frames > before + 3);
		proxy_cut(p);
		WAIT(N1->downs == i + 1);
	}
	WAIT(N1->is_up[NET_RAFT] && rtt_us());
	N2->quiet = false;
	ck_assert_int_eq(node_send(N1, 2, NET_RAFT, "last"), OK);
	WAIT(got(N2, "1 raft last\n"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net/tls");
	TCase *t = tcase_create("tls");

	tcase_add_unchecked_fixture(t, all_certs, certs_teardown);
	tcase_add_checked_fixture(t, world_setup, world_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, certificates, 0, ARRAY_LEN(shown));
	tcase_add_loop_test(t, certificates_at_the_door, 4, ARRAY_LEN(shown));
	tcase_add_test(t, a_name_in_the_certificate);
	tcase_add_test(t, clear_text_against_tls);
	tcase_add_test(t, who_is_let_in_by_tls);
	tcase_add_test(t, certificates_are_reloaded);
	tcase_add_test(t, another_ca_after_reload);
	tcase_add_test(t, files_of_no_use);
	tcase_add_test(t, beyond_loopback);
	tcase_add_test(t, frames_through_cuts);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)
