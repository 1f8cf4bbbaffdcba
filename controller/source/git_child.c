/*
 * The child that fetches: main of `confluxd --git-fetch`.
 *
 * libgit2 1.5 waits for a silent server without end, so a fetch runs in a
 * process that can be killed at its deadline (docs/decisions/0003).  One
 * request on stdin, one answer on stdout, then the end; nothing else is
 * inherited, and the kernel bounds memory, file size and processor time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <netdb.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "egress/egress.h"
#include "source/git_child.h"
#include "source/source.h"

#include "base/banned.h"

#define REQUEST_MAX (64 * 1024)
/* Address space: maps of packs, what is known of each object while a pack is indexed,
 * and the largest object with its delta base. */
#define CHILD_MEMORY (4ull << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SHADOW 1
#else
#define HAS_SHADOW 0
#endif

/* ---- bounds ---- */

static void set_limit(int what, uint64_t n)
{
	struct rlimit limit = { .rlim_cur = n, .rlim_max = n };

	/* Where the parent has less already, that holds. */
	(void)!setrlimit((__rlimit_resource_t)what, &limit);
}

/* Where the machine, or the container, runs out of memory all the same, the child goes
 * and not the daemon. */
static void go_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1000", 4);
	close(fd);
}

static void confine(const struct fetch_request *req)
{
	go_first();
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_NOFILE, 256);
	set_limit(RLIMIT_CPU, req->ms_max / 1000 + 5);
	set_limit(RLIMIT_FSIZE, req->bytes_max + (16 << 20));
	if (!HAS_SHADOW)
		set_limit(RLIMIT_AS, CHILD_MEMORY);
	/* Too large a file answers an error instead of killing. */
	signal(SIGXFSZ, SIG_IGN);
}

static int on_progress(const git_indexer_progress *p, void *data)
{
	struct child *c = data;

	c->ans.bytes = p->received_bytes;
	if (p->received_bytes > c->req.bytes_max)
		c->stopped = "bytes";
	else if (p->total_objects > c->req.objects_max)
		c->stopped = "objects";
	return c->stopped ? GIT_EUSER : 0;
}

/* ---- who is talked to ---- */

/* The host of "https://host[:port]/..." as a C string. */
static bool host_of(struct str url, char out[256])
{
	struct str rest = str_from(url, STR("https://").n);
	struct str host = str_cut(&rest, '/');

	if (host.n && *host.p == '[') {
		host = str_from(host, 1);
		host = str_cut(&host, ']');
	} else {
		host = str_cut(&host, ':');
	}
	return host.n && str_copy(out, 256, host);
}

static enum code check_host(struct child *c)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char host[256];
	enum code rc = OK;
	int n;

	if (!str_starts(c->req.url, STR("https://")))
		return OK;
	if (!host_of(c->req.url, host))
		return err_set(&c->err, E_INVALID, "the url names no host");
	n = getaddrinfo(host, NULL, &want, &list);
	if (n)
		return err_set(&c->err, E_UNAVAILABLE, "look up %s: %s", host,
			       gai_strerror(n));
	for (struct addrinfo *a = list; a && rc == OK; a = a->ai_next)
		if (!c->req.allow_private && egress_is_inside(a->ai_addr))
			rc = err_set(&c->err, E_DENIED,
				     "%s is an address of this machine or of a "
				     "private network", host);
	freeaddrinfo(list);
	if (rc == E_DENIED)
		err_hint(&c->err, "sources.private_hosts lets sources reach these");
	return rc;
}

static int on_credential(git_credential **out, const char *url,
			 const char *user_of_url, unsigned allowed, void *data)
{
	struct child *c = data;
	char user[256], token[4096];
	int rc;

	(void)url;
	(void)user_of_url;
	/* A second question means that the first answer was refused. */
	if (!c->req.token.n || c->asked++ ||
	    !(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) ||
	    !str_copy(user, sizeof(user), c->req.user) ||
	    !str_copy(token, sizeof(token), c->req.token)) {
		git_error_set_str(GIT_ERROR_HTTP,
				  c->req.token.n ?
					  "the server refused the token" :
					  "the server asks for a token");
		return GIT_EAUTH;
	}
	rc = git_credential_userpass_plaintext_new(out, user, token);
	explicit_bzero(token, sizeof(token));
	return rc;
}

/* ---- errors ---- */

enum code child_git_error(struct child *c, int rc, const char *what)
{
	const git_error *e = git_error_last();
	const char *text = e && e->message ? e->message : "unknown error";

	if (c->stopped)
		return err_set(&c->err, E_TOO_LARGE,
			       "%s: more than the allowed %s", what, c->stopped);
	if (rc == GIT_EAUTH)
		return err_set(&c->err, E_UNAUTHORIZED, "%s: %s", what, text);
	if (rc == GIT_ENOTFOUND)
		return err_set(&c->err, E_NOT_FOUND, "%s: %s", what, text);
	if (rc == GIT_ECERTIFICATE || (e && e->klass == GIT_ERROR_SSL))
		return err_set(&c->err, E_TLS, "%s: %s", what, text);
	if (e && e->klass == GIT_ERROR_OS)
		return err_set(&c->err, E_IO, "%s: %s", what, text);
	return err_set(&c->err, E_UNAVAILABLE, "%s: %s", what, text);
}

/* ---- the fetch ---- */

/* What a killed child has left: files that are no packs yet, and locks. */
static void remove_leavings(const char *dir, const char *marker)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strstr(e->d_name, marker))
			(void)!unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static void tidy(const char *dir)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/objects/pack", dir);
	remove_leavings(path.p, "_git2_");
	remove_leavings(path.p, ".lock");
	buf_reset(&path);
	buf_printf(&path, "%s/refs/conflux", dir);
	remove_leavings(path.p, ".lock");
	remove_leavings(dir, ".lock");
}

static enum code open_clone(struct child *c)
{
	char dir[4096];
	int rc;

	if (!str_copy(dir, sizeof(dir), c->req.dir))
		return err_set(&c->err, E_INVALID, "the folder's name is too long");
	rc = git_repository_open_bare(&c->git, dir);
	if (rc == 0) {
		tidy(dir);
		return OK;
	}
	rc = git_repository_init(&c->git, dir, 1);
	return rc ? child_git_error(c, rc, "make the clone") : OK;
}

void child_callbacks(struct child *c, git_remote_callbacks *cb)
{
	cb->transfer_progress = on_progress;
	cb->credentials = on_credential;
	cb->payload = c;
}

enum code child_connect(struct child *c, git_direction direction)
{
	git_remote_connect_options opts;
	char url[2100];
	int rc;

	git_remote_connect_options_init(&opts,
					GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	if (!str_copy(url, sizeof(url), c->req.url))
		return err_set(&c->err, E_INVALID, "the url is too long");
	child_callbacks(c, &opts.callbacks);
	opts.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	c->asked = 0;
	git_remote_free(c->remote);
	c->remote = NULL;
	rc = git_remote_create_anonymous(&c->remote, c->git, url);
	if (rc == 0)
		rc = git_remote_connect_ext(c->remote, direction, &opts);
	return rc ? child_git_error(c, rc, "connect") : OK;
}

enum code child_find_ref(struct child *c, struct str ref, git_oid *out,
			 bool *found)
{
	const git_remote_head **heads;
	size_t n;
	int rc = git_remote_ls(&heads, &n, c->remote);

	*found = false;
	if (rc)
		return child_git_error(c, rc, "list branches");
	for (size_t i = 0; i < n && !*found; i++)
		if (str_eq(str_of(heads[i]->name), ref)) {
			*out = heads[i]->oid;
			*found = true;
		}
	return OK;
}

/* The object that the server has under the ref. */
static enum code find_ref(struct child *c, git_oid *out)
{
	bool found;
	enum code rc = child_find_ref(c, c->req.ref, out, &found);

	if (rc || found)
		return rc;
	err_set(&c->err, E_NOT_FOUND, "the repository has no %.*s",
		STR_ARG(c->req.ref));
	return err_hint(&c->err, "spec.ref names a branch or a tag that exists");
}

static enum code download(struct child *c)
{
	git_fetch_options opts;
	AUTO_BUF spec = BUF_NONE;
	git_strarray specs = { NULL, 1 };
	int rc;

	git_fetch_options_init(&opts, GIT_FETCH_OPTIONS_VERSION);
	buf_printf(&spec, "+%.*s:" LOCAL_REF, STR_ARG(c->req.ref));
	specs.strings = &spec.p;
	child_callbacks(c, &opts.callbacks);
	opts.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	opts.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	rc = git_remote_download(c->remote, &specs, &opts);
	if (rc == 0)
		rc = git_remote_update_tips(c->remote, &opts.callbacks, 0,
					    GIT_REMOTE_DOWNLOAD_TAGS_NONE, NULL);
	return rc ? child_git_error(c, rc, "fetch") : OK;
}

/* A tag object leads to its commit. */
static enum code peel(struct child *c, const git_oid *id)
{
	git_object *any = NULL, *commit = NULL;
	int rc = git_object_lookup(&any, c->git, id, GIT_OBJECT_ANY);

	if (rc == 0)
		rc = git_object_peel(&commit, any, GIT_OBJECT_COMMIT);
	if (rc == 0)
		memcpy(c->ans.commit.b, git_object_id(commit)->id,
		       sizeof(c->ans.commit.b));
	git_object_free(commit);
	git_object_free(any);
	return rc ? child_git_error(c, rc, "read the commit") : OK;
}

/* The clone has the object and keeps it: nothing to download. */
static bool is_here(struct child *c, const git_oid *id)
{
	git_oid have;

	return git_reference_name_to_id(&have, c->git, LOCAL_REF) == 0 &&
	       git_oid_equal(&have, id);
}

static enum code fetch(struct child *c)
{
	git_oid id;
	enum code rc = check_host(c);

	if (rc == OK)
		rc = open_clone(c);
	if (rc == OK)
		rc = child_connect(c, GIT_DIRECTION_FETCH);
	if (rc == OK)
		rc = find_ref(c, &id);
	if (rc == OK && !is_here(c, &id))
		rc = download(c);
	return rc ? rc : peel(c, &id);
}

static bool read_all(int fd, struct buf *out)
{
	for (;;) {
		ssize_t n = read(fd, buf_extend(out, 4096), 4096);

		buf_cut(out, out->n - 4096 + (n > 0 ? (size_t)n : 0));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		if (out->n > REQUEST_MAX)
			return false;
	}
}

static void write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n <= 0 && errno != EINTR)
			return;
		s = str_from(s, n > 0 ? (size_t)n : 0);
	}
}

int source_fetch_child_main(int argc, char **argv)
{
	struct child c = { 0 };
	AUTO_BUF in = BUF_NONE;
	AUTO_BUF out = BUF_NONE;

	(void)argc;
	(void)argv;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, ~0U, 0);
	umask(077);
	if (!read_all(0, &in) || !fetch_request_decode(buf_view(&in), &c.req))
		return 2;
	confine(&c.req);
	/* The kernel bounds it. */
	repo_set_piece_max(SIZE_MAX);
	repo_setup();
	if (c.req.ca_file.n)
		git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, c.req.ca_file.p,
				 NULL);
	c.ans.code = fetch(&c);
	if (c.ans.code == OK && c.req.push.n)
		c.ans.code = child_revert(&c);
	c.ans.text = str_of(c.err.text);
	c.ans.hint = str_of(c.err.hint);
	git_remote_free(c.remote);
	git_repository_free(c.git);
	fetch_answer_encode(&out, &c.ans);
	write_all(1, buf_view(&out));
	/* Nothing is left to be flushed or undone; what libraries keep for the
	 * life of a process ends here. */
	_exit(0);
}
