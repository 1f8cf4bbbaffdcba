/* Requests out: see http_out.h. */
#include "hook/http_out.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "egress/egress.h"

#include "base/banned.h"

#define MOST 256
#define IDLE_MS 60000
#define KEPT_CONNECTIONS 64L
/* One part of so many of all turns is for buckets of which none runs. */
#define RESERVE 4u
/* Whose answers take so long, or do not come at all, has half as many turns, and again
 * half; down to one, which all buckets can have at once. */
#define SLOW_MS 10000u
#define SLOW_MOST 8u

struct http_out {
	struct http_out_config config;
	char *ca_file;
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock;
	struct list asked;               /* not yet begun; under lock */
	bool is_stopping;                /* under lock */
	unsigned n_open[HTTP_OUT_BUCKETS]; /* asked and not told; under lock */
	/* Its thread's. */
	struct list waiting, running;
	unsigned n_running, n_of[HTTP_OUT_BUCKETS];
	unsigned slow[HTTP_OUT_BUCKETS];
};

/* ---- one request ---- */

static size_t on_body(char *p, size_t size, size_t n, void *data)
{
	struct http_ask *ask = data;
	size_t room = HTTP_OUT_ANSWER_MAX - ask->answer.n;

	if (n * size <= room) {
		buf_add(&ask->answer, p, n * size);
		return n * size;
	}
	buf_add(&ask->answer, p, room);
	ask->is_cut = true;
	return 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *data)
{
	struct http_ask *ask = data;

	ask->header_bytes_ += n * size;
	return ask->header_bytes_ > HTTP_OUT_ANSWER_MAX ? 0 : n * size;
}

/* The address that is about to be connected to, and no other. */
static curl_socket_t on_socket(void *data, curlsocktype purpose,
			       struct curl_sockaddr *to)
{
	struct http_ask *ask = data;

	if (purpose != CURLSOCKTYPE_IPCXN || egress_is_inside(&to->addr)) {
		ask->is_refused_ = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static bool add_headers(struct http_ask *ask, struct curl_slist **out)
{
	struct str rest = ask->headers;
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");

	while (list && rest.n) {
		AUTO_BUF line = BUF_NONE;
		struct curl_slist *more;

		buf_str(&line, str_cut(&rest, '\n'));
		buf_c(&line, '\0');
		more = curl_slist_append(list, line.p);
		if (!more)
			curl_slist_free_all(list);
		list = more;
	}
	*out = list;
	return list != NULL;
}

#define SET(option, value)                                       \
	do {                                                      \
		if (rc == CURLE_OK)                               \
			rc = curl_easy_setopt(easy, option, value); \
	} while (0)

static CURLcode set_limits(struct http_out *out, struct http_ask *ask, CURL *easy,
			   long timeout_ms)
{
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	/* A name that nobody answers for is not waited for when its time is over: all
	 * requests would wait with it. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TIMEOUT_MS, timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (out->ca_file)
		SET(CURLOPT_CAINFO, out->ca_file);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, ask);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, ask);
	if (!out->config.allow_private) {
		SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
		SET(CURLOPT_OPENSOCKETDATA, ask);
	}
	return rc;
}

/* The handle takes copies of its texts; the body stays where it is. */
static CURLcode set_up(struct http_out *out, struct http_ask *ask, CURL *easy,
		       long timeout_ms)
{
	struct curl_slist *list = NULL;
	AUTO_BUF url = BUF_NONE;
	CURLcode rc = set_limits(out, ask, easy, timeout_ms);

	buf_str(&url, ask->url);
	buf_c(&url, '\0');
	SET(CURLOPT_URL, url.p);
	SET(CURLOPT_USERAGENT, "conflux");
	SET(CURLOPT_PRIVATE, ask);
	if (rc == CURLE_OK && !add_headers(ask, &list))
		rc = CURLE_OUT_OF_MEMORY;
	ask->list_ = list;
	SET(CURLOPT_HTTPHEADER, list);
	if (ask->is_post) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, ask->body.n ? ask->body.p : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body.n);
	}
	return rc;
}

static void come_home(struct msg *msg)
{
	struct http_ask *ask = container_of(msg, struct http_ask, msg_);

	ask->done(ask, ask->rc_, &ask->err_);
}

static void tell(struct http_out *out, struct http_ask *ask, enum code rc)
{
	pthread_mutex_lock(&out->lock);
	out->n_open[ask->bucket]--;
	pthread_mutex_unlock(&out->lock);
	ask->rc_ = rc;
	ask->took_ms = clock_mono_ms() - ask->start_ms_;
	ask->msg_.run = come_home;
	loop_post_sure(ask->home, &ask->msg_);
}

static void let_go(struct http_out *out, struct http_ask *ask)
{
	if (ask->easy_) {
		curl_multi_remove_handle(out->multi, ask->easy_);
		curl_easy_cleanup(ask->easy_);
	}
	curl_slist_free_all(ask->list_);
	ask->easy_ = ask->list_ = NULL;
	list_remove(&ask->at_);
}

/* What people are told of an address: its host, and not what stands behind it,
 * where there may be secrets. */
static struct str host_of(struct str url)
{
	size_t at = str_find_str(url, STR("://"));
	struct str rest = at == SIZE_MAX ? url : str_from(url, at + 3);
	struct str host = str_cut(&rest, '/');

	at = str_rfind(host, '@');
	if (at != SIZE_MAX)
		host = str_from(host, at + 1);
	return str_first(host, 200);
}

static enum code egress(struct http_ask *ask)
{
	struct str host = host_of(ask->url);

	err_set(&ask->err_, E_EGRESS, "%.*s is an address of this machine or of a "
		"private network", STR_ARG(host));
	return err_hint(&ask->err_, "webhooks.private_hosts lets requests reach "
				    "these");
}

static enum code code_of(struct http_ask *ask, CURLcode result)
{
	struct str host = host_of(ask->url);
	enum code rc = E_UNAVAILABLE;

	if (result == CURLE_OK || (result == CURLE_WRITE_ERROR && ask->is_cut))
		return OK;
	if (ask->is_refused_ && result == CURLE_COULDNT_CONNECT)
		return egress(ask);
	if (result == CURLE_OPERATION_TIMEDOUT)
		rc = E_TIMEOUT;
	else if (result == CURLE_URL_MALFORMAT ||
		 result == CURLE_UNSUPPORTED_PROTOCOL)
		rc = E_INVALID;
	else if (ask->header_bytes_ > HTTP_OUT_ANSWER_MAX)
		return err_set(&ask->err_, E_TOO_LARGE, "%.*s answers with a header "
			       "of more than %d bytes", STR_ARG(host),
			       HTTP_OUT_ANSWER_MAX);
	return err_set(&ask->err_, rc, "%.*s: %s", STR_ARG(host),
		       curl_easy_strerror(result));
}

static void note_speed(struct http_out *out, const struct http_ask *ask, enum code rc)
{
	unsigned *slow = &out->slow[ask->bucket];

	if (rc == E_TIMEOUT || clock_mono_ms() - ask->start_ms_ >= SLOW_MS)
		*slow = MIN(*slow + 1, SLOW_MOST);
	else if (*slow)
		--*slow;
}

static void end(struct http_out *out, struct http_ask *ask, CURLcode result)
{
	enum code rc = code_of(ask, result);
	long status = 0;

	if (rc == OK)
		curl_easy_getinfo(ask->easy_, CURLINFO_RESPONSE_CODE, &status);
	ask->status = (unsigned)status;
	let_go(out, ask);
	out->n_running--;
	out->n_of[ask->bucket]--;
	note_speed(out, ask, rc);
	tell(out, ask, rc);
}

static void begin(struct http_out *out, struct http_ask *ask)
{
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	list_remove(&ask->at_);
	list_append(&out->running, &ask->at_);
	out->n_running++;
	out->n_of[ask->bucket]++;
	ask->start_ms_ = clock_mono_ms();
	ask->easy_ = curl_easy_init();
	if (ask->easy_)
		rc = set_up(out, ask, ask->easy_, (long)MAX(ask->timeout_ms, 1u));
	if (rc == CURLE_OK &&
	    curl_multi_add_handle(out->multi, ask->easy_) != CURLM_OK)
		rc = CURLE_FAILED_INIT;
	if (rc != CURLE_OK)
		end(out, ask, rc);
}

/* ---- the thread ---- */

static bool may_begin(const struct http_out *out, unsigned bucket)
{
	unsigned most = MAX(out->config.most_of_one >> out->slow[bucket], 1u);
	unsigned n = out->n_of[bucket];

	return n == 0 || (n < most && out->n_running + out->config.most / RESERVE <
					     out->config.most);
}

/* Whose turn it is: the first of those of whose bucket the fewest run, so that nobody
 * waits for who has many; NULL: nobody's, now. */
static struct http_ask *next_of(struct http_out *out)
{
	struct http_ask *best = NULL;

	if (out->n_running >= out->config.most)
		return NULL;
	for (struct list *at = out->waiting.next; at != &out->waiting; at = at->next) {
		struct http_ask *ask = container_of(at, struct http_ask, at_);

		if (may_begin(out, ask->bucket) &&
		    (!best || out->n_of[ask->bucket] < out->n_of[best->bucket]))
			best = ask;
		if (best && out->n_of[best->bucket] == 0)
			break;
	}
	return best;
}

/* False: it is over. */
static bool take(struct http_out *out)
{
	struct http_ask *ask;
	bool is_stopping;

	pthread_mutex_lock(&out->lock);
	while (!list_empty(&out->asked)) {
		struct list *at = out->asked.next;

		list_remove(at);
		list_append(&out->waiting, at);
	}
	is_stopping = out->is_stopping;
	pthread_mutex_unlock(&out->lock);
	while (!is_stopping && (ask = next_of(out)))
		begin(out, ask);
	return !is_stopping;
}

static void tell_ended(struct http_out *out)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(out->multi, &left))) {
		struct http_ask *ask = NULL;
		CURLcode result = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &ask);
		end(out, ask, result);
	}
}

static void cancel_all(struct http_out *out, struct list *list)
{
	while (!list_empty(list)) {
		struct http_ask *ask = container_of(list->next, struct http_ask, at_);

		let_go(out, ask);
		tell(out, ask, err_set(&ask->err_, E_CANCELLED, "the node is stopping"));
	}
}

static void *run(void *data)
{
	struct http_out *out = data;
	int n;

	while (take(out)) {
		curl_multi_perform(out->multi, &n);
		tell_ended(out);
		if (next_of(out))
			continue;
		curl_multi_poll(out->multi, NULL, 0, IDLE_MS, NULL);
	}
	cancel_all(out, &out->running);
	cancel_all(out, &out->waiting);
	return NULL;
}

static enum code start(struct http_out *out, struct err *err)
{
	sigset_t all, was;
	int n;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	n = pthread_create(&out->thread, NULL, run, out);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (n)
		return err_set(err, E_BUSY, "there is no thread for requests out: %s",
			       strerror(n));
	pthread_setname_np(out->thread, "http-out");
	return OK;
}

/* ---- life ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void out_free(struct http_out *out)
{
	if (out->multi)
		curl_multi_cleanup(out->multi);
	pthread_mutex_destroy(&out->lock);
	free(out->ca_file);
	free(out);
}

enum code http_out_new(const struct http_out_config *config,
		       struct http_out **outp, struct err *err)
{
	struct http_out *out;
	enum code rc;

	if (config->ca_file && access(config->ca_file, R_OK))
		return err_set(err, E_INVALID, "webhooks.ca_file %s: %s",
			       config->ca_file, strerror(errno));
	pthread_once(&once, init_curl);
	out = NEW(struct http_out);
	out->config = *config;
	out->config.most = config->most ? config->most : MOST;
	out->config.most_of_one = config->most_of_one ?: HTTP_OUT_OF_ONE;
	out->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
	pthread_mutex_init(&out->lock, NULL);
	list_init(&out->asked);
	list_init(&out->waiting);
	list_init(&out->running);
	out->multi = curl_multi_init();
	must(out->multi);
	curl_multi_setopt(out->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
	rc = start(out, err);
	if (rc)
		out_free(out);
	else
		*outp = out;
	return rc;
}

bool http_out_ask(struct http_out *out, struct http_ask *ask)
{
	bool taken;

	buf_reset(&ask->answer);
	err_reset(&ask->err_);
	ask->status = 0;
	ask->is_cut = ask->is_refused_ = false;
	ask->header_bytes_ = 0;
	ask->easy_ = ask->list_ = NULL;
	ask->start_ms_ = clock_mono_ms();
	must(ask->bucket < HTTP_OUT_BUCKETS);
	pthread_mutex_lock(&out->lock);
	taken = !out->is_stopping;
	if (taken) {
		list_append(&out->asked, &ask->at_);
		out->n_open[ask->bucket]++;
	}
	pthread_mutex_unlock(&out->lock);
	if (taken)
		curl_multi_wakeup(out->multi);
	return taken;
}

bool http_out_has_room(struct http_out *out, unsigned bucket)
{
	unsigned n;

	pthread_mutex_lock(&out->lock);
	n = out->n_open[bucket];
	pthread_mutex_unlock(&out->lock);
	return n < 2 * out->config.most_of_one;
}

unsigned http_out_bucket(struct str tenant)
{
	unsigned n = 0;

	for (size_t i = 0; i < tenant.n; i++)
		n = n * 31 + (unsigned char)tenant.p[i];
	return n % HTTP_OUT_BUCKETS;
}

void http_ask_fini(struct http_ask *ask)
{
	buf_fini(&ask->answer);
}

void http_out_stop(struct http_out *out)
{
	bool was;

	pthread_mutex_lock(&out->lock);
	was = out->is_stopping;
	out->is_stopping = true;
	pthread_mutex_unlock(&out->lock);
	if (was)
		return;
	curl_multi_wakeup(out->multi);
	pthread_join(out->thread, NULL);
}

void http_out_free(struct http_out **outp)
{
	struct http_out *out = TAKE(*outp);

	if (!out)
		return;
	http_out_stop(out);
	out_free(out);
}
