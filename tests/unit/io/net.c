/* See net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

struct loop *loop;
struct net net;

/* Ticks, so that a step ends also where another thread is waited for. */
static uv_timer_t ticker;

static void on_tick(uv_timer_t *timer)
{
}

void net_step(void)
{
	uv_run(loop_uv(loop), UV_RUN_ONCE);
}

/* ---- ends ---- */

static void on_data(struct stream *s, struct str bytes)
{
	struct end *end = stream_data(s);

	ck_assert_uint_gt(bytes.n, 0);
	ck_assert_int_eq(end->closed, 0);
	end->data++;
	if (!end->quiet)
		buf_str(&end->got, bytes);
	if (end->on_data)
		end->on_data(end, bytes);
}

static void on_eof(struct stream *s)
{
	struct end *end = stream_data(s);

	ck_assert_int_eq(end->closed, 0);
	end->eof++;
	if (end->on_eof)
		end->on_eof(end);
}

static void on_drain(struct stream *s)
{
	struct end *end = stream_data(s);

	ck_assert_int_eq(end->closed, 0);
	ck_assert_uint_eq(stream_pending(s), 0);
	end->drained++;
	if (end->on_drain)
		end->on_drain(end);
}

static void on_open(struct stream *s)
{
	struct end *end = stream_data(s);

	ck_assert_int_eq(end->closed, 0);
	end->opened++;
	if (end->on_open)
		end->on_open(end);
}

static void on_close(struct stream *s, const struct err *err)
{
	struct end *end = stream_data(s);

	ck_assert_ptr_eq(end->s, s);
	end->closed++;
	end->err = *err;
	end->s = NULL;
}

const struct stream_ops end_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drain = on_drain,
	.on_open = on_open,
	.on_close = on_close,
};

void end_send(struct end *end, struct str bytes)
{
	stream_write(end->s, &(struct stream_vec){ bytes.p, bytes.n }, 1);
}

bool got(const struct end *end, struct str want)
{
	return str_eq(buf_view(&end->got), want);
}

void end_fini(struct end *end)
{
	buf_fini(&end->got);
}

/* ---- the connection ---- */

void net_setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = loop_new("test", 0);
	uv_timer_init(loop_uv(loop), &ticker);
	uv_timer_start(&ticker, on_tick, 1, 1);
}

void net_teardown(void)
{
	bool server = net.server.s != NULL, client = net.client.s != NULL;

	loop_free(&loop);
	ck_assert_int_eq(net.server.closed, net.accepted || server);
	ck_assert_int_eq(net.client.closed, net.client.closed || client);
	ck_assert_ptr_null(net.server.s);
	ck_assert_ptr_null(net.client.s);
	end_fini(&net.server);
	end_fini(&net.client);
	tls_server_free(&net.tls_server);
	tls_client_free(&net.tls_client);
}

static void on_accept(struct listener *l, struct stream *s, void *data)
{
	ck_assert_ptr_eq(data, &net);
	ck_assert_ptr_null(net.server.s);
	net.accepted++;
	net.server.s = s;
	stream_set(s, &end_ops, &net.server);
}

void net_listen(bool tls)
{
	struct err err = { 0 };

	if (tls && !net.tls_server)
		ck_assert_msg(tls_server_new(cert("server.pem"),
					     cert("server.key"), NULL,
					     "h2,http/1.1", &net.tls_server,
					     &err) == OK,
			      "%s", err.text);
	if (tls && !net.tls_client)
		ck_assert_msg(tls_client_new(cert("ca.pem"), "http/1.1",
					     &net.tls_client, &err) == OK,
			      "%s", err.text);
	ck_assert_msg(listener_new(loop, STR("127.0.0.1:0"), false,
				   net.tls_server, on_accept, &net,
				   &net.listener, &err) == OK,
		      "%s", err.text);
	listener_addr(net.listener, &net.addr);
}

void net_connect(void)
{
	struct err err = { 0 };

	ck_assert_msg(stream_connect(loop, str_of(net.addr.text),
				     net.tls_client, NULL, &end_ops,
				     &net.client, &net.client.s, &err) == OK,
		      "%s", err.text);
}

void net_pair(bool tls)
{
	net_listen(tls);
	net_connect();
	WAIT(net.client.opened && net.server.s &&
	     net.server.opened == (tls ? 1 : 0));
}

/* ---- raw peers ---- */

static void *raw_main(void *arg)
{
	struct raw *raw = arg;

	raw->run(raw);
	if (raw->ssl)
		SSL_free(raw->ssl);
	close(raw->fd);
	atomic_store(&raw->done, true);
	return NULL;
}

int net_dial(void)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(net.addr.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

void raw_start(struct raw *raw, void (*run)(struct raw *raw))
{
	raw->run = run;
	raw->fd = net_dial();
	ck_assert_int_eq(pthread_create(&raw->thread, NULL, raw_main, raw), 0);
}

void raw_join(struct raw *raw)
{
	WAIT(raw->done);
	pthread_join(raw->thread, NULL);
}

bool raw_handshake(struct raw *raw)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	/* The lowest level, or the library itself would refuse old versions. */
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, raw->max_version);
	if (raw->cert) {
		SSL_CTX_use_certificate_chain_file(ctx, raw->cert);
		SSL_CTX_use_PrivateKey_file(ctx, raw->key, SSL_FILETYPE_PEM);
	}
	if (raw->alpn)
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)raw->alpn,
					(unsigned)strlen(raw->alpn));
	raw->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(raw->ssl, raw->fd);
	raw->handshake = SSL_connect(raw->ssl);
	return raw->handshake == 1;
}

void raw_send(struct raw *raw, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t sent = raw->ssl ? SSL_write(raw->ssl, at, (int)n) :
					  send(raw->fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		at += sent;
		n -= (size_t)sent;
	}
}

void raw_read_all(struct raw *raw)
{
	char bytes[16384];

	for (;;) {
		ssize_t n = raw->ssl ?
				    SSL_read(raw->ssl, bytes, sizeof(bytes)) :
				    recv(raw->fd, bytes, sizeof(bytes), 0);

		raw->end = (int)n;
		raw->end_errno = errno;
		if (n <= 0)
			return;
		buf_add(&raw->got, bytes, (size_t)n);
	}
}

/* ---- certificates ---- */

static char folder[64];

const char *cert(const char *name)
{
	static char paths[16][128];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void openssl(const char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		execvp("openssl", (char *const *)argv);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "openssl ended with %d", status);
}

#define HOST_NAMES "DNS:localhost,DNS:conflux.test,IP:127.0.0.1"

/* 'ca' NULL: signs itself. */
static void make_cert(const char *name, const char *ca, const char *days,
		      const char *names)
{
	char alt[256];
	char key[128], pem[128], ca_pem[128], ca_key[128], subject[64];
	const char *argv[40] = {
		"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-days", days, "-subj",
		subject, "-keyout", key, "-out", pem, "-addext",
		alt,
	};
	size_t n = 18;

	snprintf(alt, sizeof(alt), "subjectAltName=%s", names);
	snprintf(subject, sizeof(subject), "/CN=%s", name);
	snprintf(key, sizeof(key), "%s/%s.key", folder, name);
	snprintf(pem, sizeof(pem), "%s/%s.pem", folder, name);
	if (ca) {
		snprintf(ca_pem, sizeof(ca_pem), "%s/%s.pem", folder, ca);
		snprintf(ca_key, sizeof(ca_key), "%s/%s.key", folder, ca);
		argv[n++] = "-addext";
		argv[n++] = "basicConstraints=critical,CA:FALSE";
		argv[n++] = "-CA";
		argv[n++] = ca_pem;
		argv[n++] = "-CAkey";
		argv[n++] = ca_key;
	}
	openssl(argv);
}

void certs_setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/conflux-certs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	make_cert("ca", NULL, "30", HOST_NAMES);
	make_cert("server", "ca", "20", HOST_NAMES);
	make_cert("second", "ca", "10", HOST_NAMES);
	make_cert("client", "ca", "10", HOST_NAMES);
	make_cert("node", "ca", "5",
		  "URI:conflux://node/7,DNS:*.conflux.test,URI:urn:x");
	make_cert("stranger", NULL, "10", HOST_NAMES);
}

void certs_teardown(void)
{
	static const char *const names[] = { "ca", "server", "second", "client",
					     "stranger", "live", "node" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s.pem", folder, names[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%s.key", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}
