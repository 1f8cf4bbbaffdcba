/*
 * conflux-agent: see edge.h.  Waits for new versions (libconflux wakes it) and for
 * signals: SIGTERM and SIGINT end it between two files, or within a command's grace,
 * SIGHUP has what was rejected tried again.  With --once SIGTERM and SIGINT end it where
 * it is, as a crash would: the next start goes on from there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/sdk/conflux.h"
#include "edge/edge.h"
#include "io/file.h"

#include "base/banned.h"

#define PART "agent"
#define ONCE_MS 30000
#define HEARD_MS 5000                /* with --once: until the cluster has heard */
#define VERSION "0.1.0"

struct app {
	struct agent *agent;
	const struct edge_set *set;
	struct cfx *cfx;
	struct edge_target *targets;
	atomic_bool has_news;
	uint64_t retry_ms;               /* 0: nothing failed */
	unsigned failures;               /* in a row, of what this machine refused */
	bool has_failed;                 /* now */
};

struct agent {
	struct edge_settings settings;
	struct app *apps;
	int wake, again, ends;           /* eventfd; signalfds: SIGHUP, the others */
	int lock;
	bool is_once;
	unsigned lacking;                /* with --once: what was not applied */
};

static int fail(const struct err *err)
{
	fprintf(stderr, "conflux-agent: %s\n", err->text);
	if (err->hint[0])
		fprintf(stderr, "  hint: %s\n", err->hint);
	return code_exit(err->code);
}

/* ---- the library ---- */

/* On the library's thread. */
static void on_change(void *data, const struct cfx_change *change)
{
	struct app *app = data;
	uint64_t one = 1;

	(void)change;
	atomic_store(&app->has_news, true);
	if (write(app->agent->wake, &one, sizeof(one)) < 0)
		return;                  /* it is awake already */
}

static void on_log(void *data, enum cfx_level level, const char *text)
{
	const struct app *app = data;

	log_at(level == CFX_LOG_WARNING ? LOG_WARN :
	       level == CFX_LOG_INFO ? LOG_INFO : LOG_DEBUG, PART,
	       LOG_KV(log_z("application", app->set->application),
		      log_z("environment", app->set->environment)), "%s", text);
}

static void names_of(const struct edge_set *set, struct buf *out)
{
	for (size_t i = 0; i < set->n_files; i++) {
		bool is_new = true;

		for (size_t k = 0; k < i; k++)
			is_new &= !str_eq(set->files[k].config, set->files[i].config);
		if (is_new)
			buf_printf(out, "%s%.*s", out->n ? "," : "",
				   STR_ARG(set->files[i].config));
	}
}

static enum code open_app(struct app *app, struct err *err)
{
	const struct edge_settings *s = &app->agent->settings;
	struct cfx_options o = CFX_OPTIONS_INIT;
	AUTO_BUF names = BUF_NONE;
	AUTO_BUF snapshot = BUF_NONE;
	char host[128] = "";
	struct cfx_error error;
	uint64_t id;

	/* Stable over restarts: it is the same instance. */
	if (gethostname(host, sizeof(host) - 1))
		host[0] = '\0';
	names_of(app->set, &names);
	edge_snapshot_path(s, (size_t)(app->set - s->sets), &snapshot);
	o.endpoints = s->endpoints;
	o.tenant = app->set->tenant;
	o.application = app->set->application;
	o.environment = app->set->environment;
	o.labels = app->set->labels;
	o.configs = names.p;
	o.instance = s->instance ? s->instance : host[0] ? host : NULL;
	o.token_file = s->token_file;
	o.ca_file = s->ca_file;
	o.cert_file = s->cert_file;
	o.key_file = s->key_file;
	o.public_key_file = s->public_key_file;
	o.snapshot_file = snapshot.p;
	o.snapshot_key_file = s->snapshot_key_file;
	o.acknowledges = CFX_ACKNOWLEDGE_BY_PROGRAM;
	o.boot = app->agent->is_once ? CFX_BOOT_FAIL_SAFE : CFX_BOOT_AT_ONCE;
	o.boot_timeout_ms = ONCE_MS;
	o.content_max = EDGE_CONTENT_MAX;
	o.log = on_log;
	o.log_data = app;
	if (cfx_open(&o, &app->cfx, &error) ||
	    cfx_on_change(app->cfx, NULL, "", on_change, app, &id))
		return err_set(err, error.code == CFX_E_USAGE ? E_USAGE : E_FAILED,
			       "%s/%s/%s: %s", app->set->tenant,
			       app->set->application, app->set->environment,
			       error.text);
	return OK;
}

/* ---- versions ---- */

static void say(const struct app *app, const struct edge_target *t, uint64_t version,
		enum edge_verdict verdict, const struct err *err)
{
	struct log_kv kv[] = { log_z("file", t->file->path),
			       log_s("config", t->file->config),
			       log_u("version", version) };

	if (verdict == EDGE_TAKEN)
		log_write(LOG_INFO, PART, 3, kv, "applied");
	else if (verdict == EDGE_REJECTED)
		log_write(LOG_WARN, PART, 3, kv, "rejected: %s", err->text);
	else if (verdict == EDGE_FAILED && (err->code == E_CANCELLED ||
					    app->agent->is_once))
		log_write(LOG_ERROR, PART, 3, kv, "not applied, is tried again by the "
			  "next start: %s", err->text);
	else if (verdict == EDGE_FAILED)
		log_write(LOG_ERROR, PART, 3, kv, "not applied, is tried again in "
			  "%llu s: %s", (unsigned long long)
			  edge_retry_ms(app->failures) / 1000, err->text);
}

/* What the cluster hears of a configuration is the worst of its files. */
static void acknowledge(struct app *app, struct str config, uint64_t version,
			const struct err *err)
{
	AUTO_BUF name = BUF_NONE;

	buf_str(&name, config);
	if (cfx_acknowledge(app->cfx, name.p, version, err == NULL,
			    err ? err->text : NULL))
		log_error(PART, LOG_KV(log_s("config", config)),
			  "what became of it cannot be said");
}

/* Who ends at once waits until the servers, where there are any, have heard. */
static void wait_heard(const struct app *app)
{
	uint64_t until = clock_mono_ms() + HEARD_MS;
	struct cfx_status status = { .size = sizeof(status) };

	for (;;) {
		cfx_status(app->cfx, &status);
		if (status.unheard == 0 ||
		    (!status.is_connected && status.is_from_snapshot))
			return;
		if (clock_mono_ms() >= until)
			break;
		poll(NULL, 0, 10);
	}
	log_warn(PART, LOG_KV(log_z("application", app->set->application)),
		 "no server has heard in time what became of the versions%s%s",
		 status.last.text[0] ? ": " : "", status.last.text);
}

static bool version_of(const struct cfx_view *view, struct str config,
		       struct edge_version *out)
{
	AUTO_BUF name = BUF_NONE;
	struct cfx_info info;
	const char *content;
	size_t n;

	buf_str(&name, config);
	if (!cfx_view_info(view, name.p, &info))
		return false;
	content = cfx_view_content(view, name.p, &n);
	*out = (struct edge_version){ .version = info.version,
				      .content = str_n(content, n) };
	return hex_parse(str_of(info.sha256), out->sha.b, sizeof(out->sha.b));
}

/* One file. */
static enum edge_verdict bring(struct app *app, struct edge_target *t,
			       const struct edge_version *v, bool again,
			       struct err *err)
{
	bool was_rejected = t->record.rejected == v->version;
	enum edge_verdict verdict = edge_target_bring(t, v, again, err);

	app->has_failed |= verdict == EDGE_FAILED;
	if (verdict != EDGE_REJECTED || !was_rejected || again)
		say(app, t, v->version, verdict, err);
	return verdict;
}

/* Somebody wants it to end. */
static bool shall_end(const struct agent *a)
{
	struct pollfd p = { .fd = a->ends, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static bool is_first_of(const struct edge_set *set, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (str_eq(set->files[k].config, set->files[i].config))
			return false;
	return true;
}

/* All files of the configuration of file 'i'. */
static void bring_config(struct app *app, const struct cfx_view *view, size_t i,
			 bool again)
{
	const struct edge_set *set = app->set;
	struct edge_version v;
	struct err err, worst;
	bool is_well = true;

	if (!version_of(view, set->files[i].config, &v)) {
		app->agent->lacking++;
		if (app->agent->is_once)
			log_error(PART, LOG_KV(log_s("config", set->files[i].config)),
				  "there is no such configuration, or no server "
				  "answers");
		return;
	}
	for (size_t k = i; k < set->n_files; k++) {
		if (!str_eq(set->files[k].config, set->files[i].config))
			continue;
		/* Nothing is said of what has not come to its end. */
		if (shall_end(app->agent))
			return;
		if (bring(app, &app->targets[k], &v, again, &err) <= EDGE_TAKEN)
			continue;
		if (err.code == E_CANCELLED)
			return;
		is_well = false;
		worst = err;
		app->agent->lacking++;
	}
	/* Meanwhile the same content may have become a later version. */
	(void)version_of(view, set->files[i].config, &v);
	acknowledge(app, set->files[i].config, v.version, is_well ? NULL : &worst);
}

static void bring_all(struct app *app, bool again)
{
	struct cfx_view *view;

	/* What is new, or asked for, does not wait for what failed. */
	if (atomic_exchange(&app->has_news, false) || again)
		app->failures = 0;
	app->retry_ms = 0;
	app->has_failed = false;
	view = cfx_view(app->cfx);
	for (size_t i = 0; i < app->set->n_files; i++)
		if (is_first_of(app->set, i))
			bring_config(app, view, i, again);
	cfx_view_free(view);
	if (app->has_failed)
		app->retry_ms = clock_mono_ms() + edge_retry_ms(app->failures++);
	else
		app->failures = 0;
}

/* ---- life ---- */

static void try_again(struct agent *a)
{
	struct signalfd_siginfo info;

	if (read(a->again, &info, sizeof(info)) != sizeof(info))
		return;
	log_info(PART, LOG_NO_KV, "what was rejected is tried again");
	for (size_t i = 0; i < a->settings.n_sets; i++)
		bring_all(&a->apps[i], true);
}

static int wait_ms(const struct agent *a)
{
	uint64_t now = clock_mono_ms(), least = UINT64_MAX;

	for (size_t i = 0; i < a->settings.n_sets; i++)
		if (a->apps[i].retry_ms)
			least = MIN(least, a->apps[i].retry_ms);
	if (least == UINT64_MAX)
		return -1;
	return least <= now ? 0 : (int)(least - now);
}

static void take_news(struct agent *a)
{
	uint64_t now = clock_mono_ms(), count;

	if (read(a->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn(PART, LOG_NO_KV, "eventfd: %s", strerror(errno));
	for (size_t i = 0; i < a->settings.n_sets; i++) {
		struct app *app = &a->apps[i];

		if (atomic_load(&app->has_news) ||
		    (app->retry_ms && app->retry_ms <= now))
			bring_all(app, false);
	}
}

static void run(struct agent *a)
{
	struct pollfd fds[3] = { { .fd = a->wake, .events = POLLIN },
				 { .fd = a->again, .events = POLLIN },
				 { .fd = a->ends, .events = POLLIN } };

	for (;;) {
		fds[0].revents = fds[1].revents = fds[2].revents = 0;
		if (poll(fds, 3, wait_ms(a)) < 0 && errno != EINTR)
			break;
		if (fds[2].revents)
			break;
		if (fds[1].revents)
			try_again(a);
		else
			take_news(a);
	}
}

/* Threads inherit the mask: signals wait for the descriptors. */
static enum code set_up(struct agent *a, struct err *err)
{
	sigset_t again, ends;
	enum code rc;

	sigemptyset(&again);
	sigemptyset(&ends);
	sigaddset(&again, SIGHUP);
	if (!a->is_once) {
		sigaddset(&ends, SIGTERM);
		sigaddset(&ends, SIGINT);
	}
	pthread_sigmask(SIG_BLOCK, &again, NULL);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* It may be inherited as ignored, and then commands have no status. */
	signal(SIGCHLD, SIG_DFL);
	a->again = signalfd(-1, &again, SFD_CLOEXEC | SFD_NONBLOCK);
	a->ends = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->again < 0 || a->ends < 0 || a->wake < 0)
		return err_sys(err, errno, "eventfd or signalfd");
	rc = fs_make_dir(fs_real(), a->settings.state_dir, err);
	if (rc)
		return err_wrap(err, "state_dir");
	return edge_lock(a->settings.state_dir, &a->lock, err);
}

/* What is wrong stays on record; the next try of the file says it. */
static void open_target(struct app *app, size_t i)
{
	struct err err;

	edge_target_open(&app->targets[i], &app->set->files[i],
			 app->agent->settings.state_dir);
	app->targets[i].stop = app->agent->ends;
	if (edge_target_recover(&app->targets[i], &err))
		log_warn(PART, LOG_KV(log_z("file", app->set->files[i].path)),
			 "what was begun is not ended yet: %s", err.text);
}

static enum code open_all(struct agent *a, struct err *err)
{
	a->apps = mem_zero(a->settings.n_sets * sizeof(*a->apps));
	for (size_t i = 0; i < a->settings.n_sets; i++) {
		struct app *app = &a->apps[i];
		enum code rc;

		app->agent = a;
		app->set = &a->settings.sets[i];
		app->targets = mem_zero(app->set->n_files * sizeof(*app->targets));
		for (size_t k = 0; k < app->set->n_files; k++)
			open_target(app, k);
		rc = open_app(app, err);
		if (rc)
			return rc;
	}
	return OK;
}

static void close_all(struct agent *a)
{
	for (size_t i = 0; a->apps && i < a->settings.n_sets; i++) {
		cfx_close(a->apps[i].cfx);
		free(a->apps[i].targets);
	}
	free(a->apps);
}

static int live(struct agent *a)
{
	struct err err;
	enum code rc = set_up(a, &err);

	if (!rc)
		rc = open_all(a, &err);
	if (rc) {
		close_all(a);
		return fail(&err);
	}
	log_info(PART, LOG_KV(log_z("endpoints", a->settings.endpoints)),
		 "conflux-agent " VERSION " starts");
	for (size_t i = 0; i < a->settings.n_sets; i++)
		bring_all(&a->apps[i], false);
	for (size_t i = 0; a->is_once && i < a->settings.n_sets; i++)
		wait_heard(&a->apps[i]);
	if (!a->is_once)
		run(a);
	close_all(a);
	log_info(PART, LOG_NO_KV, "stopped");
	return a->is_once && a->lacking ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const char help[] =
	"conflux-agent - keeps files as their configurations are\n\n"
	"  conflux-agent --config FILE [--once]\n\n"
	"  --config FILE     settings in YAML (docs/agent.md has an example)\n"
	"  --once            applies what there is and ends: 0 where all was applied\n"
	"  --check-config    checks the settings and ends\n"
	"  --log-level L     debug, info, warn or error\n"
	"  --log-json        log lines as JSON\n"
	"  --help, --version\n";

struct arguments {
	const char *config;
	bool is_once, is_check, is_json;
	enum log_level level;
};

static enum code arguments_of(int argc, char **argv, struct arguments *out,
			      struct err *err)
{
	*out = (struct arguments){ .level = LOG_INFO };
	for (int i = 1; i < argc; i++) {
		struct str word = str_of(argv[i]);

		if (str_is(word, "--once"))
			out->is_once = true;
		else if (str_is(word, "--check-config"))
			out->is_check = true;
		else if (str_is(word, "--log-json"))
			out->is_json = true;
		else if (str_is(word, "--config") && i + 1 < argc)
			out->config = argv[++i];
		else if (!str_is(word, "--log-level") || i + 1 >= argc ||
			 !log_level_parse(str_of(argv[++i]), &out->level))
			return err_set(err, E_USAGE, "%s is not understood; see "
				       "conflux-agent --help", argv[i]);
	}
	return out->config ? OK : err_set(err, E_USAGE, "--config FILE is missing; see "
					  "conflux-agent --help");
}

/* Where it was started without them, no file of ours becomes standard error. */
static bool has_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

int main(int argc, char **argv)
{
	struct agent a = { .wake = -1, .again = -1, .ends = -1, .lock = -1 };
	struct arguments args;
	struct err err;
	int status;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("conflux-agent " VERSION) < 0;
	if (!has_streams())
		return EXIT_FAILURE;
	if (arguments_of(argc, argv, &args, &err) ||
	    edge_settings_load(args.config, &a.settings, &err))
		return fail(&err);
	log_setup(args.level, args.is_json ? LOG_JSON : LOG_HUMAN);
	a.is_once = args.is_once;
	status = args.is_check ? EXIT_SUCCESS : live(&a);
	edge_settings_fini(&a.settings);
	return status;
}
