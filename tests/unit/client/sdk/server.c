/* A server for tests of libconflux: see server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/str.h"
#include "keys.h"

#include "base/banned.h"

#define CONFIGS 8
#define CONNECTIONS 64
#define ACKS 256

struct one {
	char name[64], type[64];
	char *content;
	uint64_t version, rev;
	bool end, is_gone;
	int fails;                       /* its fetches, with that status */
	size_t piece;                    /* 0: it is sent at once */
	unsigned pause_ms;
};

struct connection {
	struct server *server;
	pthread_t thread;
	int fd;                          /* -1: free */
	bool is_over;                    /* to be joined */
	bool has_thread;                 /* of the accepting thread */
	SSL *ssl;
};

struct server {
	struct server_config config;
	char url[64];
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_stopping, is_down, is_mute, is_held;
	unsigned held;
	unsigned cuts;
	struct one configs[CONFIGS];
	unsigned n;
	uint64_t rev, compacted;
	struct { unsigned n, requests; int status; unsigned after; } refuse[SERVER_ROUTES];
	const char *token;               /* NULL: any, or none */
	enum server_lie lie;
	struct connection connections[CONNECTIONS];
	char reason[512];                /* of the last rejection */
	bool tells_release;
	char acks[ACKS][192];
	unsigned n_acks;
	SSL_CTX *ctx;
	EVP_PKEY *key, *signer, *forger;
};

/* ---- keys ---- */

static FILE *file_in(const struct server *s, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->config.folder, name);
	f = fopen(path, "w");
	must(f);
	return f;
}

static int any_will_do(int is_good, X509_STORE_CTX *ctx)
{
	return 1;
}

static void make_keys(struct server *s)
{
	FILE *f;

	if (s->config.signs) {
		s->signer = keys_new(EVP_PKEY_ED25519);
		s->forger = keys_new(EVP_PKEY_ED25519);
		f = file_in(s, "public.pem");
		must(PEM_write_PUBKEY(f, s->signer) == 1);
		fclose(f);
	}
	if (s->config.is_tls) {
		X509 *cert;

		s->key = keys_new(EVP_PKEY_EC);
		cert = keys_cert(s->key);
		f = file_in(s, "ca.pem");
		must(PEM_write_X509(f, cert) == 1);
		fclose(f);
		f = file_in(s, "key.pem");
		must(PEM_write_PrivateKey(f, s->key, NULL, NULL, 0, NULL, NULL) == 1);
		fclose(f);
		s->ctx = SSL_CTX_new(TLS_server_method());
		if (s->config.wants_certificate)
			SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER |
					   SSL_VERIFY_FAIL_IF_NO_PEER_CERT, any_will_do);
		must(SSL_CTX_use_certificate(s->ctx, cert) == 1);
		must(SSL_CTX_use_PrivateKey(s->ctx, s->key) == 1);
		X509_free(cert);
	}
}

/* ---- bytes ---- */

static bool send_all(struct connection *c, const char *p, size_t n)
{
	while (n) {
		ssize_t did = c->ssl ? SSL_write(c->ssl, p, (int)n) :
				       send(c->fd, p, n, MSG_NOSIGNAL);

		if (did <= 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

static bool say(struct connection *c, const char *fmt, ...) PRINTF(2, 3);
static bool say(struct connection *c, const char *fmt, ...)
{
	char room[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(room, sizeof(room), fmt, args);
	va_end(args);
	must(n >= 0 && (size_t)n < sizeof(room));
	return send_all(c, room, (size_t)n);
}

/* A whole request; false: it ended. */
static bool receive(struct connection *c, char *room, size_t size)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = c->ssl ? SSL_read(c->ssl, room + n,
						(int)(size - 1 - n)) :
				       recv(c->fd, room + n, size - 1 - n, 0);
		char *end, *length;

		if (got <= 0)
			return false;
		n += (size_t)got;
		room[n] = '\0';
		end = strstr(room, "\r\n\r\n");
		length = strcasestr(room, "\r\nContent-Length: ");
		if (end && n >= (size_t)(end + 4 - room) +
				(length && length < end ?
				 (size_t)atoi(length + 18) : 0))
			return true;
		must(n < size - 1);
	}
}

/* ---- answers ---- */

static const char *header_of(const char *request, const char *name, char *room,
			     size_t size)
{
	const char *at = strcasestr(request, name);
	size_t n;

	if (!at)
		return NULL;
	at += strlen(name);
	n = strcspn(at, "\r");
	snprintf(room, size, "%.*s", (int)n, at);
	return room;
}

static void hex_of(const void *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", ((const uint8_t *)p)[i]);
}

static void digest_of(const char *content, char hex[65])
{
	uint8_t digest[32];

	EVP_Digest(content, strlen(content), digest, NULL, EVP_sha256(), NULL);
	hex_of(digest, 32, hex);
}

static void sign(struct server *s, const struct one *one, const char *hex,
		 char *out, size_t size)
{
	EVP_PKEY *key = s->lie == SERVER_FORGED ? s->forger : s->signer;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[64], base64[96];
	size_t n = sizeof(sig);
	char text[512];
	int text_n = snprintf(text, sizeof(text), "conflux-signature-v1\n"
			      "acme/shop/prod/%s\n%llu\n%s\n", one->name,
			      (unsigned long long)one->version, hex);

	must(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
	must(EVP_DigestSign(ctx, sig, &n, (unsigned char *)text,
			    (size_t)text_n) == 1);
	EVP_MD_CTX_free(ctx);
	EVP_EncodeBlock(base64, sig, 64);
	snprintf(out, size, "X-Conflux-Signature: ed25519; key=0011223344556677; "
		 "sig=%s\r\n", base64);
}

static bool has_token(const struct server *s, const char *request)
{
	char line[100];

	snprintf(line, sizeof(line), "\r\nAuthorization: Bearer %s\r\n",
		 s->token ? s->token : "");
	return !s->token || strstr(request, line);
}

static bool refused(struct connection *c, enum server_route route, const char *request)
{
	struct server *s = c->server;
	int status = 0;
	unsigned after = 0;
	char retry[48] = "";

	pthread_mutex_lock(&s->lock);
	s->refuse[route].requests++;
	if (s->refuse[route].n) {
		s->refuse[route].n--;
		status = s->refuse[route].status;
		after = s->refuse[route].after;
	}
	if (!has_token(s, request))
		status = 401;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	if (status == 0)
		return false;
	if (after)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", after);
	say(c, "HTTP/1.1 %d No\r\n%sContent-Type: application/problem+json\r\n"
	    "Content-Length: 17\r\n\r\n{\"detail\":\"told\"}", status, retry);
	return true;
}

static bool send_content(struct connection *c, const struct one *one, const char *content)
{
	size_t n = strlen(content), piece;

	for (; n; content += piece, n -= piece) {
		piece = one->piece ? MIN(n, one->piece) : n;
		poll(NULL, 0, (int)one->pause_ms);
		if (!send_all(c, content, piece))
			return false;
	}
	return true;
}

static bool fetch(struct connection *c, const char *request, const char *target)
{
	struct server *s = c->server;
	struct one one = { .is_gone = true };
	char hex[65], signature[640] = "", room[128], *content = NULL;
	const char *match;
	enum server_lie lie;
	bool good;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		size_t n = strlen(s->configs[i].name);

		if (strncmp(target, "/api/v1/fetch/config/acme/shop/prod/", 36) == 0 &&
		    strncmp(target + 36, s->configs[i].name, n) == 0 &&
		    (target[36 + n] == '?' || target[36 + n] == ' '))
			one = s->configs[i];
	}
	lie = s->lie;
	if (!one.is_gone) {
		content = strdup(one.content);
		digest_of(content, hex);
		if (s->signer && lie != SERVER_UNSIGNED &&
		    strcasestr(request, "X-Conflux-Want-Signature"))
			sign(s, &one, hex, signature, sizeof(signature));
	}
	s->held++;
	while (s->is_held && !s->is_stopping)
		pthread_cond_wait(&s->cond, &s->lock);
	s->held--;
	if (s->config.release)
		snprintf(signature + strlen(signature),
			 sizeof(signature) - strlen(signature),
			 "X-Conflux-Release: %s\r\n", s->config.release);
	pthread_mutex_unlock(&s->lock);
	if (one.fails) {
		free(content);
		return say(c, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", one.fails);
	}
	if (!content)
		return say(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	if (lie == SERVER_BYTES)
		content[0] ^= 1;
	match = header_of(request, "\r\nIf-None-Match: ", room, sizeof(room));
	if (lie == SERVER_GARBAGE)
		good = say(c, "SIP/2.0 200 OK\r\n\r\n");
	else if (match && strstr(match, hex))
		/* The length is that of the content, as a proxy may say it. */
		good = say(c, "HTTP/1.1 304 Not Modified\r\nETag: \"%s\"\r\n"
			   "X-Conflux-Version: %llu\r\nX-Conflux-Revision: %llu\r\n"
			   "%sContent-Length: %zu\r\n\r\n", hex,
			   (unsigned long long)one.version,
			   (unsigned long long)one.rev, signature, strlen(content));
	else
		good = say(c, "HTTP/1.1 200 OK\r\nETag: \"%s\"\r\n"
			   "X-Conflux-Version: %llu\r\nX-Conflux-Revision: %llu\r\n"
			   "Content-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", hex,
			   (unsigned long long)one.version,
			   (unsigned long long)one.rev, one.type, signature,
			   strlen(content)) &&
		       send_content(c, &one, content);
	free(content);
	return good;
}

static bool chunk(struct connection *c, const char *text)
{
	return say(c, "%zx\r\n%s\r\n", strlen(text), text);
}

static bool tell(struct connection *c, const struct one *one)
{
	char hex[65] = "", text[900], release[300] = "";

	pthread_mutex_lock(&c->server->lock);
	if (c->server->tells_release)
		snprintf(release, sizeof(release), "%s", c->server->config.release);
	pthread_mutex_unlock(&c->server->lock);

	if (!one->is_gone)
		digest_of(one->content, hex);
	if (one->is_gone)
		snprintf(text, sizeof(text), "id: %llu\nevent: change\ndata: {"
			 "\"key\":\"acme/shop/prod/%s\",\"version\":null,"
			 "\"sha256\":null,\"deleted\":true,\"end\":true}\n\n",
			 (unsigned long long)one->rev, one->name);
	else
		snprintf(text, sizeof(text), "id: %llu\nevent: change\ndata: {"
			 "\"key\":\"acme/shop/prod/%s\",\"version\":%llu,"
			 "\"sha256\":\"%s\",\"revision\":%llu,\"deleted\":false,"
			 "\"end\":%s%s%s%s}\n\n", (unsigned long long)one->rev,
			 one->name, (unsigned long long)one->version, hex,
			 (unsigned long long)one->rev,
			 one->end ? "true" : "false",
			 release[0] ? ",\"release\":\"" : "", release,
			 release[0] ? "\"" : "");
	return chunk(c, text);
}

/* The next after 'rev', copied; false: none. */
static bool next_change(struct server *s, uint64_t rev, struct one *out)
{
	struct one *first = NULL;

	for (unsigned i = 0; i < s->n; i++) {
		struct one *one = &s->configs[i];

		if (one->rev > rev && (!first || one->rev < first->rev))
			first = one;
	}
	if (!first)
		return false;
	*out = *first;
	if (first->content)
		out->content = strdup(first->content);
	return true;
}

static void until(struct timespec *t, unsigned ms)
{
	clock_gettime(CLOCK_REALTIME, t);
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

static bool watch(struct connection *c, const char *request)
{
	struct server *s = c->server;
	char room[64];
	const char *last = header_of(request, "\r\nLast-Event-ID: ", room,
				     sizeof(room));
	uint64_t rev = last ? strtoull(last, NULL, 10) : 0;
	bool good;
	unsigned cuts;

	pthread_mutex_lock(&s->lock);
	if (!last)
		rev = s->rev;
	cuts = s->cuts;
	good = !last || rev >= s->compacted;
	pthread_mutex_unlock(&s->lock);
	if (!good)
		return say(c, "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
	good = say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		   "X-Conflux-Revision: %llu\r\nTransfer-Encoding: chunked\r\n\r\n",
		   (unsigned long long)rev) && chunk(c, ": watching\n\n");
	pthread_mutex_lock(&s->lock);
	while (good && !s->is_stopping && cuts == s->cuts) {
		struct one one;
		struct timespec t;

		if (!s->is_mute && next_change(s, rev, &one)) {
			pthread_mutex_unlock(&s->lock);
			good = tell(c, &one);
			rev = one.rev;
			free(one.content);
			pthread_mutex_lock(&s->lock);
			continue;
		}
		until(&t, s->config.heartbeat_ms);
		if (pthread_cond_timedwait(&s->cond, &s->lock, &t) == ETIMEDOUT &&
		    !s->is_mute) {
			pthread_mutex_unlock(&s->lock);
			good = chunk(c, "event: bookmark\ndata: {}\n\n");
			pthread_mutex_lock(&s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return false;
}

static void text_member(const char *body, const char *name, char *out, size_t size)
{
	char quoted[40];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	at = strstr(body, quoted);
	at = at && at < strchr(body, '}') ? at + strlen(quoted) : "";
	at += *at == '"';
	snprintf(out, size, "%.*s", (int)strcspn(at, "\",}"), at);
}

/* "rejected main.json 2", and behind it the release where one is said. */
static void note_ack(struct server *s, const char *one)
{
	char state[20], key[80], version[20], release[40];

	text_member(one, "state", state, sizeof(state));
	text_member(one, "key", key, sizeof(key));
	text_member(one, "version", version, sizeof(version));
	text_member(one, "release", release, sizeof(release));
	if (strcmp(state, "rejected") == 0)
		text_member(one, "reason", s->reason, sizeof(s->reason));
	if (s->n_acks < ACKS)
		snprintf(s->acks[s->n_acks++], sizeof(s->acks[0]), "%s %s %s%s%s",
			 state, strlen(key) > 15 ? key + 15 : key, version,
			 release[0] ? " " : "", release);
}

/* No reason of these tests has a brace in it. */
static bool acks(struct connection *c, const char *request)
{
	struct server *s = c->server;
	const char *body = strstr(request, "\r\n\r\n") + 4;

	if (s->config.has_no_acks)
		return say(c, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
	must(body[0] == '[' && body[strlen(body) - 1] == ']');
	if (!str_is_utf8(str_of(body)))
		return say(c, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
	pthread_mutex_lock(&s->lock);
	for (const char *one = body; (one = strchr(one, '{')); one++)
		note_ack(s, one);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return say(c, "HTTP/1.1 204 No Content\r\n\r\n");
}

static bool serve(struct connection *c)
{
	struct server *s = c->server;
	char request[65536], *target;

	if (!receive(c, request, sizeof(request)))
		return false;
	pthread_mutex_lock(&s->lock);
	while (s->is_mute && !s->is_stopping)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	target = strchr(request, ' ') + 1;
	if (strncmp(target, "/api/v1/watch", 13) == 0)
		return refused(c, SERVER_WATCH, request) || watch(c, request);
	if (strncmp(target, "/api/v1/acks", 12) == 0)
		return refused(c, SERVER_ACKS, request) || acks(c, request);
	return refused(c, SERVER_FETCH, request) || fetch(c, request, target);
}

/* ---- connections ---- */

/* OpenSSL writes here without MSG_NOSIGNAL; the client under test must not. */
static void block_sigpipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *run_connection(void *data)
{
	struct connection *c = data;
	struct server *s = c->server;

	int one = 1;

	block_sigpipe();
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (s->config.on_thread)
		s->config.on_thread();
	if (s->ctx) {
		c->ssl = SSL_new(s->ctx);
		SSL_set_fd(c->ssl, c->fd);
	}
	if (!s->ctx || SSL_accept(c->ssl) == 1)
		while (serve(c))
			;
	SSL_free(c->ssl);
	c->ssl = NULL;
	pthread_mutex_lock(&s->lock);
	shutdown(c->fd, SHUT_RDWR);
	close(c->fd);
	c->fd = -1;
	c->is_over = true;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void take(struct server *s, int fd)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &s->connections[i];

		if (c->is_over) {
			pthread_join(c->thread, NULL);
			c->is_over = c->has_thread = false;
		}
		if (c->fd >= 0)
			continue;
		c->fd = fd;
		c->has_thread = pthread_create(&c->thread, NULL, run_connection,
					       c) == 0;
		if (c->has_thread)
			return;
		c->fd = -1;
		break;
	}
	close(fd);
}

static void *run(void *data)
{
	struct server *s = data;

	if (s->config.on_thread)
		s->config.on_thread();
	for (;;) {
		int fd = accept(s->fd, NULL, NULL);

		pthread_mutex_lock(&s->lock);
		if (s->is_stopping) {
			pthread_mutex_unlock(&s->lock);
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		if (fd >= 0 && s->is_down)
			close(fd);
		else if (fd >= 0)
			take(s, fd);
		pthread_mutex_unlock(&s->lock);
	}
}

struct server *server_new(const struct server_config *config)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct server *s = calloc(1, sizeof(*s));
	socklen_t n = sizeof(sa);

	s->config = *config;
	s->config.heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : 1000;
	s->rev = config->first_rev ? config->first_rev : 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		s->connections[i] = (struct connection){ .server = s, .fd = -1 };
	make_keys(s);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(s->fd, 64) == 0);
	must(getsockname(s->fd, (struct sockaddr *)&sa, &n) == 0);
	snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%u",
		 config->is_tls ? "https" : "http", ntohs(sa.sin_port));
	must(pthread_create(&s->thread, NULL, run, s) == 0);
	return s;
}

static void cut_all(struct server *s)
{
	s->cuts++;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (s->connections[i].fd >= 0)
			shutdown(s->connections[i].fd, SHUT_RDWR);
	pthread_cond_broadcast(&s->cond);
}

void server_free(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	cut_all(s);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (s->connections[i].has_thread)
			pthread_join(s->connections[i].thread, NULL);
	for (unsigned i = 0; i < s->n; i++)
		free(s->configs[i].content);
	SSL_CTX_free(s->ctx);
	EVP_PKEY_free(s->key);
	EVP_PKEY_free(s->signer);
	EVP_PKEY_free(s->forger);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
}

/* ---- what tests ask for ---- */

const char *server_url(const struct server *s)
{
	return s->url;
}

static struct one *one_of(struct server *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->configs[i].name, name) == 0)
			return &s->configs[i];
	must(s->n < CONFIGS);
	snprintf(s->configs[s->n].name, sizeof(s->configs[0].name), "%s", name);
	return &s->configs[s->n++];
}

void server_publish(struct server *s, const char *name, const char *type,
		    const char *content, bool end)
{
	struct one *one;

	pthread_mutex_lock(&s->lock);
	one = one_of(s, name);
	free(one->content);
	one->content = strdup(content);
	snprintf(one->type, sizeof(one->type), "%s", type);
	one->version++;
	one->rev = ++s->rev;
	one->end = end;
	one->is_gone = false;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void server_delete(struct server *s, const char *name)
{
	struct one *one;

	pthread_mutex_lock(&s->lock);
	one = one_of(s, name);
	one->is_gone = true;
	one->rev = ++s->rev;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void server_release(struct server *s, const char *name, uint64_t version,
		    const char *content, const char *release)
{
	struct one *one;

	pthread_mutex_lock(&s->lock);
	one = one_of(s, name);
	free(one->content);
	one->content = strdup(content);
	one->version = version;
	one->rev = ++s->rev;
	one->end = true;
	s->config.release = release;
	s->tells_release = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

const char *server_reason(struct server *s, char out[512])
{
	pthread_mutex_lock(&s->lock);
	memcpy(out, s->reason, sizeof(s->reason));
	pthread_mutex_unlock(&s->lock);
	return out;
}

void server_refuse(struct server *s, enum server_route route, unsigned n,
		   int status, unsigned retry_after_s)
{
	pthread_mutex_lock(&s->lock);
	s->refuse[route].n = n;
	s->refuse[route].status = status;
	s->refuse[route].after = retry_after_s;
	pthread_mutex_unlock(&s->lock);
}

void server_fails(struct server *s, const char *name, int status)
{
	pthread_mutex_lock(&s->lock);
	one_of(s, name)->fails = status;
	pthread_mutex_unlock(&s->lock);
}

void server_trickles(struct server *s, const char *name, size_t piece, unsigned pause_ms)
{
	pthread_mutex_lock(&s->lock);
	one_of(s, name)->piece = piece;
	one_of(s, name)->pause_ms = pause_ms;
	pthread_mutex_unlock(&s->lock);
}

void server_wants(struct server *s, const char *token)
{
	pthread_mutex_lock(&s->lock);
	s->token = token;
	pthread_mutex_unlock(&s->lock);
}

void server_lies(struct server *s, enum server_lie lie)
{
	pthread_mutex_lock(&s->lock);
	s->lie = lie;
	pthread_mutex_unlock(&s->lock);
}

void server_compact(struct server *s, uint64_t rev)
{
	pthread_mutex_lock(&s->lock);
	s->compacted = rev;
	pthread_mutex_unlock(&s->lock);
}

void server_cut(struct server *s, bool is_down)
{
	pthread_mutex_lock(&s->lock);
	s->is_down = is_down;
	cut_all(s);
	pthread_mutex_unlock(&s->lock);
}

void server_mute(struct server *s, bool is_mute)
{
	pthread_mutex_lock(&s->lock);
	s->is_mute = is_mute;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void server_hold(struct server *s, bool is_held)
{
	pthread_mutex_lock(&s->lock);
	s->is_held = is_held;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

unsigned server_held(struct server *s)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->held;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned server_requests(struct server *s, enum server_route route)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->refuse[route].requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned server_acks(struct server *s, const char *begin)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n_acks; i++)
		n += strncmp(s->acks[i], begin, strlen(begin)) == 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void server_forget_acks(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->n_acks = 0;
	pthread_mutex_unlock(&s->lock);
}

uint64_t server_rev(struct server *s)
{
	uint64_t rev;

	pthread_mutex_lock(&s->lock);
	rev = s->rev;
	pthread_mutex_unlock(&s->lock);
	return rev;
}

static bool has_ack(const struct server *s, const char *ack)
{
	for (unsigned i = 0; i < s->n_acks; i++)
		if (strcmp(s->acks[i], ack) == 0)
			return true;
	return false;
}

bool server_saw_ack(struct server *s, const char *ack)
{
	struct timespec t;
	bool saw;

	until(&t, 30000);
	pthread_mutex_lock(&s->lock);
	while (!has_ack(s, ack) &&
	       pthread_cond_timedwait(&s->cond, &s->lock, &t) != ETIMEDOUT)
		;
	saw = has_ack(s, ack);
	pthread_mutex_unlock(&s->lock);
	return saw;
}
