/* See world.h. */
#include "world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

struct loop *loop;
struct node nodes[4];

static uv_timer_t ticker;
static struct net *old_nets[64];
static unsigned old_n;
static struct proxy *proxies;
static struct buf log_lines;

/* ---- the loop ---- */

static void on_tick(uv_timer_t *timer)
{
}

void step(void)
{
	uv_run(loop_uv(loop), UV_RUN_ONCE);
}

void pass_ms(unsigned ms)
{
	uint64_t until = uv_hrtime() + (uint64_t)ms * 1000000;

	while (uv_hrtime() < until)
		step();
}

/* ---- nodes ---- */

static void on_frame(void *data, uint64_t peer, enum net_channel channel,
		     struct str bytes)
{
	struct node *node = data;

	node->frames++;
	if (!node->quiet)
		buf_printf(&node->got, "%llu %s %.*s\n",
			   (unsigned long long)peer, net_channel_name(channel),
			   STR_ARG(bytes));
	if (node->on_frame)
		node->on_frame(node, peer, channel, bytes);
}

static void on_peer(void *data, uint64_t peer, enum net_channel channel,
		    bool is_up)
{
	struct node *node = data;

	node->is_up[channel] = is_up;
	node->ups += is_up;
	node->downs += !is_up;
	if (node->on_peer)
		node->on_peer(node, peer, is_up);
}

static void on_in(void *data, uint64_t peer, enum net_channel channel,
		  bool is_up)
{
	struct node *node = data;

	node->ins += is_up;
	node->outs += !is_up;
	buf_z(&node->got, is_up ? "in\n" : "out\n");
	if (node->on_in)
		node->on_in(node, peer, is_up);
}

static void on_room(void *data, uint64_t peer, enum net_channel channel)
{
	struct node *node = data;

	node->rooms++;
	if (node->on_room)
		node->on_room(node, peer);
}

static enum code may_come(void *data, uint64_t peer,
			  const struct uuid *incarnation, struct err *err)
{
	const struct node *node = data;

	if (!node->turns_away || incarnation->b[0] != node->turns_away)
		return OK;
	return err_set(err, E_DENIED, "node %llu is not what it was",
		       (unsigned long long)peer);
}

static void log_line(void *data, enum log_level level, struct str line)
{
	buf_str(&log_lines, line);
	buf_c(&log_lines, '\n');
}

unsigned logged(const char *what)
{
	struct str rest = buf_view(&log_lines);
	unsigned n = 0;

	while (rest.n)
		n += str_find_str(str_cut(&rest, '\n'), str_of(what)) !=
		     SIZE_MAX;
	return n;
}

static struct net_tls tls_of[ARRAY_LEN(nodes)];

void world_setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = loop_new("test", 0);
	loop_set_slow_ms(loop, 60000);
	log_set_sink(log_line, NULL);
	uv_timer_init(loop_uv(loop), &ticker);
	uv_timer_start(&ticker, on_tick, 1, 1);
	for (unsigned i = 1; i < ARRAY_LEN(nodes); i++) {
		struct node *node = &nodes[i];
		struct net_limits *limits = &node->config.limits;

		*node = (struct node){ .id = i };
		net_config_defaults(&node->config);
		node->config.loop = loop;
		node->config.node_id = i;
		node->config.listen = "127.0.0.1:0";
		memset(node->config.cluster_id.b, 7, 16);
		limits->ping_ms = 20;
		limits->dead_ms = 400;
		limits->connect_timeout_ms = 800;
	}
}

void world_teardown(void)
{
	for (unsigned i = 1; i < ARRAY_LEN(nodes); i++)
		node_close(&nodes[i]);
	loop_free(&loop);
	while (old_n)
		net_free(&old_nets[--old_n]);
	for (unsigned i = 1; i < ARRAY_LEN(nodes); i++)
		buf_fini(&nodes[i].got);
	while (proxies) {
		struct proxy **next = (struct proxy **)proxies;
		struct proxy *p = proxies;

		proxies = *next;
		free(p);
	}
	log_set_sink(NULL, NULL);
	buf_fini(&log_lines);
}

void node_open(struct node *node)
{
	const struct net_handlers handlers = {
		.on_frame = on_frame,
		.on_peer = on_peer,
		.on_in = node->hears_in ? on_in : NULL,
		.on_room = on_room,
		.may_come = may_come,
		.data = node,
	};
	struct net_stats stats;
	struct err err = { 0 };

	memset(node->is_up, 0, sizeof(node->is_up));
	if (node->addr[0])
		node->config.listen = node->addr;
	ck_assert_msg(net_open_tcp(&node->config, &handlers, &node->net,
				   &err) == OK,
		      "%s", err.text);
	net_stats(node->net, &stats);
	memcpy(node->addr, stats.listen.text, sizeof(node->addr));
}

void node_close(struct node *node)
{
	if (!node->net)
		return;
	net_stop(node->net);
	ck_assert_uint_lt(old_n, ARRAY_LEN(old_nets));
	old_nets[old_n++] = TAKE(node->net);
}

void node_knows(struct node *node, const struct node *other)
{
	struct err err = { 0 };

	ck_assert_msg(net_peer_set(node->net, other->id, str_of(other->addr),
				   &err) == OK,
		      "%s", err.text);
}

void node_pair(void)
{
	node_open(N1);
	node_open(N2);
	node_knows(N1, N2);
	node_knows(N2, N1);
	WAIT(N1->is_up[NET_RAFT] && N2->is_up[NET_RAFT]);
}

enum code node_send(struct node *node, uint64_t to, enum net_channel channel,
		    const char *text)
{
	return net_send(node->net, to, channel, str_of(text));
}

bool got(const struct node *node, const char *want)
{
	return str_eq(buf_view(&node->got), str_of(want));
}

struct net_link_stats link_of(const struct node *node, uint64_t peer,
			      enum net_channel channel)
{
	struct net_peer_stats stats;

	ck_assert_int_eq(net_peer_stats(node->net, peer, &stats), OK);
	return stats.links[channel];
}

bool has_error(const struct node *node, uint64_t peer, const char *what)
{
	struct net_peer_stats stats;

	ck_assert_int_eq(net_peer_stats(node->net, peer, &stats), OK);
	return stats.error_ms && strstr(stats.error.text, what) != NULL;
}

/* ---- by hand ---- */

static struct sockaddr_in sockaddr_of(const char *addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint64_t port;

	ck_assert(
		str_u64(str_from(str_of(addr), str_rfind(str_of(addr), ':') + 1),
			&port));
	sa.sin_port = htons((uint16_t)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sa;
}

void raw_dial(struct raw *raw, const struct node *to)
{
	struct sockaddr_in sa = sockaddr_of(to->addr);

	*raw = (struct raw){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
					  0) };
	ck_assert_int_ge(raw->fd, 0);
	ck_assert_int_eq(connect(raw->fd, (struct sockaddr *)&sa, sizeof(sa)),
			 0);
}

void raw_send(struct raw *raw, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = send(raw->fd, bytes.p, bytes.n,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return;
		bytes = str_from(bytes, n > 0 ? (size_t)n : 0);
		if (bytes.n)
			step();
	}
}

/* False: there is nothing now. */
static bool raw_read(struct raw *raw)
{
	char bytes[4096];
	ssize_t n = recv(raw->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		raw->is_closed = true;
	else
		buf_add(&raw->in, bytes, (size_t)n);
	return true;
}

bool raw_frame(struct raw *raw, struct frame *out)
{
	for (;;) {
		struct str in = str_from(buf_view(&raw->in), raw->at);
		enum frame_step got_one = frames_next(&raw->frames, 1 << 20,
						      &in, out, NULL);

		raw->at = raw->in.n - in.n;
		ck_assert_int_ne(got_one, FRAME_BAD);
		if (got_one == FRAME_ONE)
			return true;
		if (raw->is_closed)
			return false;
		WAIT(raw_read(raw));
	}
}

void raw_wait_closed(struct raw *raw)
{
	while (!raw->is_closed)
		WAIT(raw_read(raw));
}

void raw_close(struct raw *raw)
{
	close(raw->fd);
	frames_fini(&raw->frames);
	buf_fini(&raw->in);
}

struct control hello_of(uint64_t boot, uint64_t serial)
{
	struct control c = {
		.type = CONTROL_HELLO,
		.hello = { .least = 1,
			   .most = 1,
			   .from = 2,
			   .to = 1,
			   .channel = NET_RAFT,
			   .boot = boot,
			   .serial = serial,
			   .ping_ms = 1000 },
	};

	c.hello.cluster = N1->config.cluster_id;
	return c;
}

void raw_say(struct raw *raw, const struct control *c)
{
	AUTO_BUF bytes = BUF_NONE;

	if (c->type == CONTROL_HELLO)
		buf_str(&bytes, FRAME_MAGIC);
	control_add(&bytes, c);
	raw_send(raw, buf_view(&bytes));
}

void raw_enter(struct raw *raw, uint64_t boot, uint64_t serial)
{
	struct control hello = hello_of(boot, serial), answer;
	struct frame frame;

	raw_dial(raw, N1);
	raw_say(raw, &hello);
	ck_assert(raw_frame(raw, &frame));
	ck_assert_int_eq(control_decode(frame.content, &answer, NULL), OK);
	ck_assert_int_eq(answer.type, CONTROL_WELCOME);
}

int raw_listen(char addr[72])
{
	struct sockaddr_in sa = sockaddr_of("127.0.0.1:0");
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	snprintf(addr, 72, "127.0.0.1:%u", ntohs(sa.sin_port));
	return fd;
}

int raw_accept(int fd)
{
	int got_fd = -1;

	WAIT((got_fd = accept(fd, NULL, NULL)) >= 0);
	return got_fd;
}

/* ---- the proxy ---- */

struct half {
	struct proxy *proxy;
	struct stream *s;
	struct half *other;
	struct list at;
};

struct proxy {
	struct proxy *next; /* first: see world_teardown */
	char to[72];
	struct listener *listener;
	struct stream_addr addr;
	struct list halves;
	bool is_stalled;
	uint64_t bytes;
};

static void half_data(struct stream *s, struct str bytes)
{
	struct half *half = stream_data(s);

	half->proxy->bytes += bytes.n;
	if (half->other)
		stream_write(half->other->s,
			     &(struct stream_vec){ bytes.p, bytes.n }, 1);
}

static void half_close(struct stream *s, const struct err *err)
{
	struct half *half = stream_data(s);

	if (half->other) {
		half->other->other = NULL;
		stream_close(half->other->s);
	}
	list_remove(&half->at);
	free(half);
}

static const struct stream_ops half_ops = {
	.on_data = half_data,
	.on_close = half_close,
};

static struct half *half_new(struct proxy *p)
{
	struct half *half = NEW(struct half);

	half->proxy = p;
	list_append(&p->halves, &half->at);
	return half;
}

static void proxy_accept(struct listener *l, struct stream *s, void *data)
{
	struct proxy *p = data;
	struct half *a = half_new(p), *b = half_new(p);

	a->s = s;
	stream_set(s, &half_ops, a);
	ck_assert_int_eq(stream_connect(loop, str_of(p->to), NULL, NULL,
					&half_ops, b, &b->s, NULL),
			 OK);
	a->other = b;
	b->other = a;
	if (p->is_stalled) {
		stream_read_pause(a->s);
		stream_read_pause(b->s);
	}
}

struct proxy *proxy_new(const char *to)
{
	struct proxy *p = NEW(struct proxy);

	p->next = proxies;
	proxies = p;
	list_init(&p->halves);
	snprintf(p->to, sizeof(p->to), "%s", to);
	ck_assert_int_eq(listener_new(loop, STR("127.0.0.1:0"), false, NULL,
				      proxy_accept, p, &p->listener, NULL),
			 OK);
	listener_addr(p->listener, &p->addr);
	return p;
}

const char *proxy_addr(const struct proxy *p)
{
	return p->addr.text;
}

void proxy_cut(struct proxy *p)
{
	struct half *half;

	list_each(&p->halves, half, at) {
		half->other = NULL;
		stream_abort(half->s);
	}
}

void proxy_stall(struct proxy *p, bool on)
{
	struct half *half;

	p->is_stalled = on;
	list_each(&p->halves, half, at) {
		if (on)
			stream_read_pause(half->s);
		else
			stream_read_resume(half->s);
	}
}

uint64_t proxy_bytes(const struct proxy *p)
{
	return p->bytes;
}

/* ---- certificates ---- */

static char folder[64];

const char *cert(const char *file)
{
	static char paths[16][160];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, file);
	return path;
}

static void add_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_msg(ext != NULL, "%s", value);
	ck_assert_int_eq(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static FILE *open_as(const char *name, const char *ending, const char *mode)
{
	char file[80];
	FILE *f;

	snprintf(file, sizeof(file), "%s.%s", name, ending);
	f = fopen(cert(file), mode);
	ck_assert_msg(f != NULL, "%s", file);
	return f;
}

static void set_names(X509 *x, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(x);

	ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name,
						    -1, -1, 0),
			 1);
}

/* 'ca' NULL: by itself. */
static void sign(X509 *x, EVP_PKEY *key, const char *ca)
{
	X509 *issuer = x;
	EVP_PKEY *by = key;
	FILE *f;

	if (ca) {
		f = open_as(ca, "pem", "r");
		issuer = PEM_read_X509(f, NULL, NULL, NULL);
		fclose(f);
		f = open_as(ca, "key", "r");
		by = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	ck_assert_int_gt(X509_sign(x, by, EVP_sha256()), 0);
	if (ca) {
		X509_free(issuer);
		EVP_PKEY_free(by);
	}
}

static void save(const char *name, X509 *x, EVP_PKEY *key)
{
	FILE *f = open_as(name, "pem", "w");

	ck_assert_int_eq(PEM_write_X509(f, x), 1);
	fclose(f);
	f = open_as(name, "key", "w");
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL),
			 1);
	fclose(f);
}

void make_cert(const char *name, const char *ca, const char *names, int days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	static long serial = 1;

	ck_assert(key && x);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -86400L * 30);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
	X509_set_pubkey(x, key);
	set_names(x, name);
	add_ext(x, NID_basic_constraints,
		ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (names)
		add_ext(x, NID_subject_alt_name, names);
	sign(x, key, ca);
	save(name, x, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

void certs_setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/conflux-net-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	make_cert("ca", NULL, NULL, 90);
	make_cert("other-ca", NULL, NULL, 90);
}

void certs_teardown(void)
{
	AUTO_BUF command = BUF_NONE;

	buf_printf(&command, "rm -rf %s", folder);
	if (strncmp(folder, "/tmp/conflux-net-", 17) == 0) {
		FILE *f = popen(command.p, "r");

		if (f)
			pclose(f);
	}
}

void node_tls(struct node *node, const char *name, const char *ca)
{
	struct net_tls *tls = &tls_of[node->id];
	char file[80];

	free((char *)tls->cert_file);
	free((char *)tls->key_file);
	free((char *)tls->ca_file);
	snprintf(file, sizeof(file), "%s.pem", name);
	tls->cert_file = mem_dup(cert(file), strlen(cert(file)));
	snprintf(file, sizeof(file), "%s.key", name);
	tls->key_file = mem_dup(cert(file), strlen(cert(file)));
	snprintf(file, sizeof(file), "%s.pem", ca);
	tls->ca_file = mem_dup(cert(file), strlen(cert(file)));
	node->config.tls = tls;
}
