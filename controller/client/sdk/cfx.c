/*
 * libconflux: open, close, the thread or the program's loop, status.  See conflux.h
 * for what it promises, own.h for the other files.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/sdk/own.h"

#include "base/banned.h"

/* Of the target of a watch, in bytes. */
#define WATCH_MAX 4096

struct shelf *sdk_shelf(const struct cfx *cfx)
{
	return &((struct cfx *)cfx)->shelf;
}

const char *cfx_version(void)
{
	return CONFLUX_SDK_VERSION;
}

void cfx_log(struct cfx *cfx, enum cfx_level level, const char *fmt, ...)
{
	char text[400];
	va_list args;

	if (!cfx->o.log)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cfx->o.log(cfx->o.log_data, level, text);
}

void cfx_trouble(struct cfx *cfx, const struct cfx_error *error)
{
	cfx->status.last = *error;
	cfx_log(cfx, CFX_LOG_WARNING, "%s", error->text);
}

/* ---- options ---- */

/* Texts of the options, which are copied. */
static const size_t texts[] = {
#define TEXT(name) offsetof(struct cfx_options, name)
	TEXT(endpoints), TEXT(tenant), TEXT(application), TEXT(environment),
	TEXT(configs), TEXT(labels), TEXT(instance), TEXT(token_file),
	TEXT(ca_file), TEXT(cert_file), TEXT(key_file), TEXT(public_key_file),
	TEXT(snapshot_file), TEXT(snapshot_key_file),
#undef TEXT
};

static const char **text_at(struct cfx_options *o, size_t i)
{
	return (const char **)((char *)o + texts[i]);
}

static bool copy_texts(struct cfx *cfx)
{
	size_t n = 0;
	char *p;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		n += *text_at(&cfx->o, i) ? strlen(*text_at(&cfx->o, i)) + 1 : 0;
	cfx->strings = p = heap_alloc(&cfx->heap, n);
	for (size_t i = 0; p && i < ARRAY_LEN(texts); i++) {
		const char **at = text_at(&cfx->o, i);
		size_t size = *at ? strlen(*at) + 1 : 0;

		if (size == 0)
			continue;
		memcpy(p, *at, size);
		*at = p;
		p += size;
	}
	return cfx->strings != NULL;
}

static void set_defaults(struct cfx_options *o)
{
#define DEFAULT(name, value) (o->name = o->name ? o->name : (value))
	DEFAULT(boot_timeout_ms, 10000);
	DEFAULT(connect_timeout_ms, 3000);
	DEFAULT(request_timeout_ms, 10000);
	DEFAULT(silence_timeout_ms, 45000);
	DEFAULT(retry_min_ms, 200);
	DEFAULT(retry_max_ms, 30000);
	DEFAULT(content_max, (size_t)8 << 20);
	DEFAULT(received_ms, o->acknowledges == CFX_ACKNOWLEDGE_BY_PROGRAM ? 1 : 1000);
#undef DEFAULT
	o->retry_max_ms = MAX(o->retry_max_ms, o->retry_min_ms);
}

static enum cfx_code check_part(const char *what, const char *s,
				struct cfx_error *error)
{
	size_t n = s ? strlen(s) : 0;

	bool is_good = n >= 1 && n <= 63;

	for (size_t i = 0; i < n; i++)
		is_good &= (unsigned char)s[i] > ' ' && s[i] != '/';
	if (!is_good)
		return cfx_fail(error, CFX_E_USAGE, "%s has 1 to 63 bytes that can "
				"be seen, and no '/'", what);
	return CFX_OK;
}

static bool is_instance(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (s[n] <= ' ' || s[n] > '~')
			return false;
	return n >= 1 && n <= 127;
}

static enum cfx_code check_options(const struct cfx_options *o,
				   struct cfx_error *error)
{
	const struct cfx_allocator *a = o->allocator;
	enum cfx_code rc = check_part("tenant", o->tenant, error);

	if (rc == CFX_OK)
		rc = check_part("application", o->application, error);
	if (rc == CFX_OK)
		rc = check_part("environment", o->environment, error);
	if (rc)
		return rc;
	if (!o->endpoints || !o->endpoints[0] || !o->configs || !o->configs[0])
		return cfx_fail(error, CFX_E_USAGE, "endpoints and configs name "
				"one at least");
	if (o->instance && !is_instance(o->instance))
		return cfx_fail(error, CFX_E_USAGE, "instance has 1 to 127 bytes "
				"that can be seen, without spaces");
	if (o->token && o->token_file)
		return cfx_fail(error, CFX_E_USAGE, "token or token_file, not "
				"both");
	if (o->snapshot_key_file && !o->snapshot_file)
		return cfx_fail(error, CFX_E_USAGE, "snapshot_key_file without "
				"snapshot_file");
	if (a && (!a->alloc || !a->resize || !a->release))
		return cfx_fail(error, CFX_E_USAGE, "allocator: all of its "
				"functions");
	if ((unsigned)o->boot > CFX_BOOT_AT_ONCE ||
	    (unsigned)o->mode > CFX_MODE_LOOP)
		return cfx_fail(error, CFX_E_USAGE, "boot or mode is none that "
				"there is");
	return CFX_OK;
}

/* ---- what requests are made of ---- */

static bool put_labels(struct cfx *cfx, struct bytes *out, const char *sep,
		       bool *is_good)
{
	struct str one, rest = str_of(cfx->o.labels);
	const heap *h = &cfx->heap;
	bool good = true;

	while (good && sdk_cut(&rest, ',', &one)) {
		const char *equal = one.n ? memchr(one.p, '=', one.n) : NULL;
		size_t n = equal ? (size_t)(equal - one.p) : 0;

		if (n == 0) {
			*is_good = false;
			return true;
		}
		good = bytes_add(h, out, str_of(sep)) &&
		       bytes_add(h, out, STR("label.")) &&
		       sdk_escape(h, out, str_n(one.p, n), false) &&
		       bytes_add(h, out, STR("=")) &&
		       sdk_escape(h, out, sdk_from(one, n + 1), false);
		sep = "&";
	}
	return good;
}

static bool put_key(struct cfx *cfx, struct bytes *out, const char *name)
{
	return bytes_printf(&cfx->heap, out, "%s/%s/%s/%s", cfx->o.tenant,
			    cfx->o.application, cfx->o.environment, name);
}

static bool make_config(struct cfx *cfx, unsigned at, bool *is_good)
{
	struct config *c = &cfx->configs[at];
	const heap *h = &cfx->heap;
	struct bytes target = { 0 }, key = { 0 };
	bool good = put_key(cfx, &key, cfx->names->name[at]) &&
		    bytes_add(h, &target, STR("/api/v1/fetch/config/")) &&
		    sdk_escape(h, &target, bytes_view(&key), true) &&
		    put_labels(cfx, &target, "?", is_good);

	if (good) {
		c->key = heap_text(h, bytes_view(&key));
		c->target = heap_text(h, bytes_view(&target));
	}
	bytes_fini(h, &key);
	bytes_fini(h, &target);
	return good && c->key && c->target;
}

static bool put_keys(struct cfx *cfx, struct bytes *out)
{
	const heap *h = &cfx->heap;
	bool good = true;

	for (unsigned i = 0; i < cfx->names->n && good; i++)
		good = bytes_add(h, out, i ? STR("&key=") : STR("?key=")) &&
		       sdk_escape(h, out, str_of(cfx->configs[i].key), false);
	return good;
}

/* Of many long names all of the environment is watched, because a server takes a
 * header of some length only. */
static bool make_watch(struct cfx *cfx, bool *is_good)
{
	static const struct str path = { "/api/v1/watch", 13 };
	const heap *h = &cfx->heap;
	struct bytes out = { 0 }, prefix = { 0 };
	bool good = bytes_add(h, &out, path) && put_keys(cfx, &out);

	if (good && out.n > WATCH_MAX) {
		out.n = path.n;
		good = put_key(cfx, &prefix, "") &&
		       bytes_add(h, &out, STR("?prefix=")) &&
		       sdk_escape(h, &out, bytes_view(&prefix), false);
	}
	good = good && put_labels(cfx, &out, "&", is_good);
	if (good)
		cfx->watch_target = heap_text(h, bytes_view(&out));
	bytes_fini(h, &prefix);
	bytes_fini(h, &out);
	return good && cfx->watch_target;
}

static enum cfx_code make_configs(struct cfx *cfx, struct cfx_error *error)
{
	bool is_good = true, good;

	cfx->configs = heap_zero(&cfx->heap,
				 cfx->names->n * sizeof(*cfx->configs));
	good = cfx->configs;
	for (unsigned i = 0; i < cfx->names->n && good; i++)
		good = make_config(cfx, i, &is_good);
	if (!good || !make_watch(cfx, &is_good))
		return cfx_no_memory(error);
	return is_good ? CFX_OK : cfx_fail(error, CFX_E_USAGE,
					   "labels are key=value with commas "
					   "between: \"region=eu,zone=a\"");
}

static enum cfx_code make_token(struct cfx *cfx, const char *token,
				struct cfx_error *error)
{
	enum cfx_code rc = CFX_OK;

	if (cfx->o.token_file)
		rc = sdk_read_file(&cfx->heap, cfx->o.token_file, 4096,
				   &cfx->token, error);
	else if (token && !bytes_add(&cfx->heap, &cfx->token, str_of(token)))
		rc = cfx_no_memory(error);
	if (rc)
		return rc;
	while (cfx->token.n && (unsigned char)cfx->token.p[cfx->token.n - 1] <= ' ')
		cfx->token.n--;
	/* It becomes part of a header line. */
	for (size_t i = 0; i < cfx->token.n; i++)
		if (cfx->token.p[i] <= ' ' || cfx->token.p[i] > '~')
			return cfx_fail(error, CFX_E_USAGE, "the token holds a "
					"byte that no token has, at %zu", i + 1);
	return CFX_OK;
}

static enum cfx_code make_snapshot_key(struct cfx *cfx, struct cfx_error *error)
{
	const char *path = cfx->o.snapshot_key_file;
	struct bytes in = { 0 };
	enum cfx_code rc = path ? sdk_read_file(&cfx->heap, path, 256, &in, error) :
				  CFX_OK;

	if (!path || rc)
		return rc;
	cfx->snapshot_key = heap_zero(&cfx->heap, 32);
	if (!cfx->snapshot_key) {
		rc = cfx_no_memory(error);
	} else if (in.n == 32) {
		memcpy(cfx->snapshot_key, in.p, 32);
	} else {
		while (in.n && (unsigned char)in.p[in.n - 1] <= ' ')
			in.n--;
		if (!sdk_unhex(bytes_view(&in), cfx->snapshot_key, 32))
			rc = cfx_fail(error, CFX_E_USAGE, "%s: a key is 32 bytes, "
				      "or 64 hexadecimal digits "
				      "(openssl rand -hex 32)", path);
	}
	heap_wipe(&cfx->heap, in.p, in.cap);
	return rc;
}

static void make_instance(struct cfx *cfx)
{
	char host[80] = "";

	if (cfx->o.instance) {
		snprintf(cfx->instance, sizeof(cfx->instance), "%s",
			 cfx->o.instance);
		return;
	}
	if (gethostname(host, sizeof(host) - 1) < 0 || !is_instance(host))
		snprintf(host, sizeof(host), "host");
	snprintf(cfx->instance, sizeof(cfx->instance), "%s-%016llx", host,
		 (unsigned long long)sdk_random());
}

/* ---- parts ---- */

static enum cfx_code make_descriptors(struct cfx *cfx, struct cfx_error *error)
{
	struct epoll_event event = { .events = EPOLLIN };

	cfx->net.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (cfx->net.epoll < 0)
		return cfx_fail(error, CFX_E_IO, "epoll: %s",
				strerrordesc_np(errno));
	cfx->net.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cfx->net.wake < 0 ||
	    epoll_ctl(cfx->net.epoll, EPOLL_CTL_ADD, cfx->net.wake, &event) < 0)
		return cfx_fail(error, CFX_E_IO, "eventfd: %s",
				strerrordesc_np(errno));
	return CFX_OK;
}

static enum cfx_code make_locks(struct cfx *cfx, struct cfx_error *error)
{
	pthread_mutexattr_t attr;

	cfx->has_lock = pthread_mutex_init(&cfx->lock, NULL) == 0;
	if (pthread_mutexattr_init(&attr) == 0) {
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
		cfx->has_calls = pthread_mutex_init(&cfx->calls, &attr) == 0;
		pthread_mutexattr_destroy(&attr);
	}
	return cfx->has_lock && cfx->has_calls ? CFX_OK : cfx_no_memory(error);
}

static enum cfx_code make_endpoints(struct cfx *cfx, struct cfx_error *error)
{
	enum cfx_code rc;
	bool is_tls = false;

	cfx->endpoints = heap_zero(&cfx->heap, ENDPOINTS_MAX *
				   sizeof(*cfx->endpoints));
	if (!cfx->endpoints)
		return cfx_no_memory(error);
	rc = endpoints_parse(cfx->o.endpoints, cfx->endpoints,
			     &cfx->n_endpoints, error);
	for (unsigned i = 0; i < cfx->n_endpoints; i++)
		is_tls |= cfx->endpoints[i].is_tls;
	if (rc == CFX_OK && cfx->n_endpoints == 0)
		rc = cfx_fail(error, CFX_E_USAGE, "endpoints: there is none");
	if (rc == CFX_OK && is_tls)
		rc = tls_setup_init(&cfx->net.tls, &cfx->o, error);
	/* Many clients with one list do not all begin at the same. */
	if (rc == CFX_OK)
		cfx->at = (unsigned)(sdk_random() % cfx->n_endpoints);
	return rc;
}

static enum cfx_code make_picture(struct cfx *cfx, struct cfx_error *error)
{
	enum cfx_code rc = names_new(&cfx->heap, cfx->o.configs, &cfx->names,
				     error);
	struct cfx_view *first;

	if (rc)
		return rc;
	first = picture_new(&cfx->heap, cfx->names, NULL);
	if (!first)
		return cfx_no_memory(error);
	if (!shelf_init(&cfx->heap, &cfx->shelf, first)) {
		cfx_view_free(first);
		return cfx_no_memory(error);
	}
	return CFX_OK;
}

static enum cfx_code make(struct cfx *cfx, const char *token,
			  struct cfx_error *error)
{
	enum cfx_code rc;

	link_init(&cfx->watch, &cfx->net);
	link_init(&cfx->ask, &cfx->net);
	cfx->net.heap = cfx->heap;
	cfx->net.connect_ms = cfx->o.connect_timeout_ms;
	cfx->seed = sdk_random();
	cfx->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!cfx->c_locale || !copy_texts(cfx))
		return cfx_no_memory(error);
	make_instance(cfx);
	rc = make_locks(cfx, error);
	if (rc == CFX_OK)
		rc = make_picture(cfx, error);
	if (rc == CFX_OK)
		rc = make_configs(cfx, error);
	if (rc == CFX_OK)
		rc = make_token(cfx, token, error);
	if (rc == CFX_OK)
		rc = make_snapshot_key(cfx, error);
	if (rc == CFX_OK && !snapshot_bind(cfx))
		rc = cfx_no_memory(error);
	if (rc == CFX_OK && cfx->o.public_key_file)
		rc = signer_new(&cfx->heap, cfx->o.public_key_file, &cfx->signer,
				error);
	if (rc == CFX_OK)
		rc = make_endpoints(cfx, error);
	if (rc == CFX_OK)
		rc = make_descriptors(cfx, error);
	return rc;
}

/* ---- turns ---- */

static void show_status(struct cfx *cfx)
{
	struct cfx_status *s = &cfx->status;
	const struct cfx_view *now = cfx_now(cfx);

	s->is_complete = engine_is_complete(cfx);
	s->is_from_snapshot = false;
	for (unsigned i = 0; i < cfx->names->n; i++)
		s->is_from_snapshot |= now->docs[i] &&
				       now->docs[i]->is_from_snapshot;
	snprintf(s->endpoint, sizeof(s->endpoint), "%s",
		 cfx->endpoints[cfx->at].name);
	s->unheard = ack_unheard(cfx);
	s->stale_ms = cfx->lost_ms;      /* since when, until it is asked for */
	pthread_mutex_lock(&cfx->lock);
	cfx->told = *s;
	pthread_mutex_unlock(&cfx->lock);
}

void cfx_status(const struct cfx *cfx, struct cfx_status *out)
{
	struct cfx *c = (struct cfx *)cfx;
	size_t size = MIN(out->size, sizeof(*out));
	struct cfx_status told;

	pthread_mutex_lock(&c->lock);
	told = c->told;
	for (unsigned i = 0; i < c->names->n; i++)
		told.unheard += c->configs[i].said.is_due;
	pthread_mutex_unlock(&c->lock);
	told.size = size;
	told.stale_ms = told.is_connected ? 0 :
			MAX(sdk_now_ms() - told.stale_ms, (int64_t)1);
	memcpy(out, &told, size);
}

static void turn(struct cfx *cfx)
{
	uint64_t n;

	if (cfx->is_dispatching)
		return;                  /* from a callback */
	cfx->is_dispatching = true;
	while (read(cfx->net.wake, &n, sizeof(n)) < 0 && errno == EINTR)
		;
	engine_step(cfx);
	show_status(cfx);
	cfx->is_dispatching = false;
}

int cfx_fd(const struct cfx *cfx)
{
	return cfx->net.epoll;
}

int cfx_timeout_ms(const struct cfx *cfx)
{
	int64_t due, now = sdk_now_ms();

	if (cfx->has_thread)
		return -1;               /* that thread sees to it */
	due = engine_due(cfx);
	if (due == INT64_MAX)
		return -1;
	return due <= now ? 0 : (int)MIN(due - now, (int64_t)60000);
}

void cfx_dispatch(struct cfx *cfx)
{
	if (!cfx->has_thread)
		turn(cfx);
}

static void wait_for_more(struct cfx *cfx, int64_t at_most_ms)
{
	struct epoll_event event;
	int64_t due = engine_due(cfx), now = sdk_now_ms();
	int ms = due == INT64_MAX ? -1 :
		 due <= now ? 0 : (int)MIN(due - now, (int64_t)60000);

	if (at_most_ms >= 0 && (ms < 0 || ms > at_most_ms))
		ms = (int)at_most_ms;
	/* A wait that fails is one that is over; time goes on meanwhile. */
	(void)epoll_wait(cfx->net.epoll, &event, 1, ms);
}

static void *run(void *data)
{
	struct cfx *cfx = data;

	while (!atomic_load(&cfx->is_stopping)) {
		turn(cfx);
		if (!atomic_load(&cfx->is_stopping))
			wait_for_more(cfx, -1);
	}
	return NULL;
}

/* ---- the start ---- */

/* Why there is nothing to wait for any more; CFX_OK: there is. */
static enum cfx_code is_hopeless(const struct cfx *cfx, struct cfx_error *error)
{
	const struct cfx_view *now = cfx_now(cfx);

	if (cfx->refused.code) {
		*error = cfx->refused;
		return error->code;
	}
	for (unsigned i = 0; i < cfx->names->n; i++)
		if (cfx->configs[i].refusal.code && !now->docs[i]) {
			*error = cfx->configs[i].refusal;
			return error->code;
		}
	if (cfx->round == 0)
		return CFX_OK;
	*error = cfx->status.last;
	return error->code;
}

static enum cfx_code wait_for_all(struct cfx *cfx, struct cfx_error *error)
{
	int64_t until = sdk_now_ms() + cfx->o.boot_timeout_ms;
	enum cfx_code rc;

	for (;;) {
		int64_t now;

		turn(cfx);
		if (engine_is_complete(cfx))
			return CFX_OK;
		rc = is_hopeless(cfx, error);
		if (rc)
			return rc;
		now = sdk_now_ms();
		if (now >= until)
			break;
		wait_for_more(cfx, until - now);
	}
	if (cfx->status.last.code) {
		*error = cfx->status.last;
		return error->code;
	}
	return cfx_fail(error, CFX_E_TIMEOUT, "no configuration within %u ms "
			"(boot_timeout_ms)", cfx->o.boot_timeout_ms);
}

/* What a start without a server has; there may be none. */
static enum cfx_code start_offline(struct cfx *cfx, struct cfx_error *error)
{
	enum cfx_code rc;

	if (!cfx->o.snapshot_file)
		return CFX_OK;
	rc = snapshot_load(cfx, error);
	if (rc == CFX_OK)
		rc = commit(cfx, "snapshot", error);
	if (rc == CFX_E_NO_MEMORY)
		return rc;
	if (rc && rc != CFX_E_NOT_FOUND)
		cfx_trouble(cfx, error);
	return CFX_OK;
}

static enum cfx_code boot(struct cfx *cfx, struct cfx_error *error)
{
	enum cfx_code rc;

	if (cfx->o.boot == CFX_BOOT_AT_ONCE)
		return start_offline(cfx, error);
	rc = wait_for_all(cfx, error);
	if (rc == CFX_OK || cfx->o.boot == CFX_BOOT_FAIL_FAST ||
	    rc == CFX_E_NO_MEMORY)
		return rc;
	/* What there is of the servers' goes before. */
	rc = commit(cfx, "server", error);
	return rc ? rc : start_offline(cfx, error);
}

enum cfx_code cfx_open(const struct cfx_options *given, struct cfx **out,
		       struct cfx_error *error)
{
	struct cfx_options o = { 0 };
	struct cfx_error none;
	struct cfx *cfx;
	enum cfx_code rc;
	int no;

	error = error ? error : &none;
	*error = (struct cfx_error){ 0 };
	if (given->size < sizeof(size_t) || given->size > 4096)
		return cfx_fail(error, CFX_E_USAGE, "options begin with "
				"CFX_OPTIONS_INIT");
	memcpy(&o, given, MIN(given->size, sizeof(o)));
	rc = check_options(&o, error);
	if (rc)
		return rc;
	cfx = heap_zero(o.allocator ? o.allocator : &heap_of_libc, sizeof(*cfx));
	if (!cfx)
		return cfx_no_memory(error);
	cfx->heap = o.allocator ? *o.allocator : heap_of_libc;
	cfx->net.epoll = cfx->net.wake = -1;
	set_defaults(&o);
	cfx->o = o;
	cfx->o.token = NULL;             /* it is in cfx->token alone */
	cfx->lost_ms = sdk_now_ms();
	rc = make(cfx, o.token, error);
	if (rc == CFX_OK)
		rc = boot(cfx, error);
	if (rc == CFX_OK) {
		/* What a start has that fails, or is not through, is not whole. */
		cfx->may_save = true;
		save_step(cfx, sdk_now_ms());
		show_status(cfx);
	}
	if (rc == CFX_OK && o.mode == CFX_MODE_THREAD) {
		no = sdk_thread(run, cfx, &cfx->thread);
		cfx->has_thread = no == 0;
		if (no)
			rc = cfx_fail(error, CFX_E_IO, "a thread: %s",
				      strerrordesc_np(no));
	}
	if (rc) {
		cfx_close(cfx);
		return rc;
	}
	*error = (struct cfx_error){ 0 };
	*out = cfx;
	return CFX_OK;
}

void cfx_close(struct cfx *cfx)
{
	heap heap;

	if (!cfx)
		return;
	if (cfx->has_thread) {
		atomic_store(&cfx->is_stopping, true);
		sdk_wake(cfx->net.wake);
		pthread_join(cfx->thread, NULL);
	}
	heap = cfx->heap;
	save_fini(cfx);
	commit_fini(cfx);
	engine_fini(cfx);
	signer_free(&heap, &cfx->signer);
	shelf_fini(&heap, &cfx->shelf);
	names_unref(&heap, cfx->names);
	tls_setup_fini(&cfx->net.tls);
	heap_wipe(&heap, cfx->token.p, cfx->token.cap);
	heap_wipe(&heap, cfx->snapshot_key, 32);
	bytes_fini(&heap, &cfx->binding);
	heap_release(&heap, cfx->endpoints);
	heap_release(&heap, cfx->strings);
	if (cfx->c_locale)
		freelocale(cfx->c_locale);
	if (cfx->net.epoll >= 0)
		close(cfx->net.epoll);
	if (cfx->net.wake >= 0)
		close(cfx->net.wake);
	if (cfx->has_lock)
		pthread_mutex_destroy(&cfx->lock);
	if (cfx->has_calls)
		pthread_mutex_destroy(&cfx->calls);
	heap_release(&heap, cfx);
}
