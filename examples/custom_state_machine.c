/*
 * A state machine of one's own: a register of students, in memory, over HTTP.
 *
 *	cc custom_state_machine.c $(pkg-config --cflags --libs raftcore) -o register
 *	mkdir /tmp/students && ./register /tmp/students 3 stay
 *	curl -d Ada http://ADDRESS/students		{"id":1,"name":"Ada"}
 *	curl http://ADDRESS/students/1
 *	curl -X PUT -d 'Ada Lovelace' http://ADDRESS/students/1
 *	curl -X DELETE http://ADDRESS/students/1
 *
 * One node or three, each a process.  Without "stay" the program is its own
 * client: it makes, changes and removes students, starts the nodes again from
 * their checkpoints, and compares.
 *
 * A request reaches any node.  A write becomes a command that is sent to whoever
 * leads (rc_call), proposed there, and answered with what the machine made of it;
 * ids are given by the machine, so that all nodes give the same.  A read is
 * answered by the node that is asked, which first makes sure that it has applied
 * what was acknowledged anywhere (rc_read).
 */
#include <sys/stat.h>

#include "common.h"

#include <io/file.h>
#include <io/pool.h>
#include <io/stream.h>
#include <raftcore/raftcore.h>
#include <wire/sum.h>
#include <wire/wire.h>

#define NODES_MAX 3
#define STUDENTS_MAX 1000
#define WRITE 1                          /* the method of rc_call */
enum { CREATE = 1, UPDATE, DELETE };     /* commands: u8, u64 id, name */

struct student {
	uint64_t id;
	char name[64];
};

/* A node. */
struct server {
	struct loop *loop;
	struct rc_node *node;
	struct pending *pending;
	/* The state; apply loop. */
	struct rc_applied at;
	uint64_t last_id, n;
	struct student students[STUDENTS_MAX];
	bool is_from_checkpoint;
};

static char addresses[NODES_MAX][32], http[NODES_MAX][32];
static pid_t children[NODES_MAX];

/* ---- the machine ---- */

static struct student *find(struct server *s, uint64_t id)
{
	for (uint64_t i = 0; i < s->n; i++)
		if (s->students[i].id == id)
			return &s->students[i];
	return NULL;
}

static void show(struct buf *out, const struct student *st)
{
	buf_printf(out, "{\"id\":%llu,\"name\":", (unsigned long long)st->id);
	buf_json(out, str_of(st->name));
	buf_z(out, "}\n");
}

/* The same on every node: nothing but state and command has a say.  A command
 * that is wrong is refused, and no error. */
static unsigned execute(struct server *s, struct str command, struct buf *out)
{
	struct rd rd = rd_of(command);
	unsigned op = rd_u8(&rd);
	struct student *st = find(s, rd_u64(&rd));
	struct str name = rd_str(&rd);

	if (!rd_done(&rd) || op < CREATE || op > DELETE ||
	    name.n >= sizeof(st->name))
		return 400;
	if (op == CREATE && s->n < STUDENTS_MAX) {
		st = &s->students[s->n++];
		st->id = ++s->last_id;
	}
	if (!st)
		return op == CREATE ? 507 : 404;
	if (op == DELETE) {
		*st = s->students[--s->n];
		return 200;
	}
	(void)str_copy(st->name, sizeof(st->name), name);
	show(out, st);
	return op == CREATE ? 201 : 200;
}

static void answer_pending(struct server *s, uint64_t id, unsigned status,
			   const struct buf *body);

static enum code apply(void *data, const struct rc_entry *entries, size_t n,
		       struct err *err)
{
	struct server *s = data;

	for (size_t i = 0; i < n; i++) {
		const struct rc_entry *e = &entries[i];
		struct buf body = BUF_NONE;

		s->at = (struct rc_applied){ e->index, e->term };
		if (e->is_command)
			answer_pending(s, e->id, execute(s, e->data, &body), &body);
		buf_fini(&body);
	}
	return OK;
}

static void encode(const struct server *s, struct buf *out)
{
	wr_u64(out, s->at.index);
	wr_u64(out, s->at.term);
	wr_u64(out, s->last_id);
	wr_u64(out, s->n);
	for (uint64_t i = 0; i < s->n; i++) {
		wr_u64(out, s->students[i].id);
		wr_str(out, str_of(s->students[i].name));
	}
}

/* From a checkpoint, or empty; the log brings the rest. */
static enum code open_(void *data, const char *dir,
		       const struct rc_checkpoint *from, struct rc_applied *out,
		       struct err *err)
{
	struct server *s = data;
	struct buf bytes = BUF_NONE;
	struct rd rd;
	enum code rc = OK;

	if (from)
		rc = fs_get(from->fs, from->path, &bytes, err);
	rd = rd_of(rc || !from ? STR_NONE : buf_view(&bytes));
	s->is_from_checkpoint = from != NULL;
	s->at = (struct rc_applied){ 0 };
	s->last_id = s->n = 0;
	if (rc == OK && from) {
		s->at.index = rd_u64(&rd);
		s->at.term = rd_u64(&rd);
		s->last_id = rd_u64(&rd);
		s->n = MIN(rd_u64(&rd), (uint64_t)STUDENTS_MAX);
		for (uint64_t i = 0; i < s->n; i++) {
			s->students[i].id = rd_u64(&rd);
			(void)str_copy(s->students[i].name,
				       sizeof(s->students[i].name), rd_str(&rd));
		}
		if (rd.bad)
			rc = err_set(err, E_CORRUPT, "the picture is short");
	}
	buf_fini(&bytes);
	*out = s->at;
	return rc;
}

struct rc_frozen {
	struct buf bytes;
};

static enum code freeze(void *data, struct rc_frozen **out,
			struct rc_applied *at, struct err *err)
{
	struct server *s = data;

	*out = NEW(struct rc_frozen);
	encode(s, &(*out)->bytes);
	*at = s->at;
	return OK;
}

static enum code write_(void *data, struct rc_frozen *f,
			enum code (*put)(void *sink, const void *p, size_t n,
					 struct err *err),
			void *sink, struct err *err)
{
	return put(sink, f->bytes.p, f->bytes.n, err);
}

static void thaw(void *data, struct rc_frozen *f)
{
	buf_fini(&f->bytes);
	free(f);
}

static void digest(void *data, uint8_t out[32])
{
	struct buf bytes = BUF_NONE;
	struct sha256 sum;

	encode(data, &bytes);
	sum = sha256_of(buf_view(&bytes));
	memcpy(out, sum.b, 32);
	buf_fini(&bytes);
}

static uint64_t bytes_(void *data)
{
	return ((struct server *)data)->n * 16;  /* about */
}

static void close_(void *data)
{
}

/* ---- writes at the leader ---- */

struct pending {
	struct rc_proposal proposal;
	struct pending *next;
	struct server *server;
	struct rpc_token token;
	struct buf command;
};

static void pending_end(struct pending *p, enum code rc, struct str body,
			const struct err *err)
{
	struct pending **at = &p->server->pending;

	rc_answer(p->server->node, p->token, rc, body, err);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	buf_fini(&p->command);
	free(p);
}

/* Entries of others and of earlier runs have no pending. */
static void answer_pending(struct server *s, uint64_t id, unsigned status,
			   const struct buf *body)
{
	struct buf out = BUF_NONE;

	for (struct pending *p = s->pending; p; p = p->next)
		if (p->proposal.id == id) {
			buf_printf(&out, "%u", status);
			buf_str(&out, buf_view(body));
			pending_end(p, OK, buf_view(&out), NULL);
			break;
		}
	buf_fini(&out);
}

static void not_applied(struct rc_proposal *p, enum code rc, const struct err *err)
{
	pending_end(container_of(p, struct pending, proposal), rc, STR_NONE, err);
}

static void on_write(void *data, const struct rc_request *request)
{
	struct server *s = data;
	struct pending *p = NEW(struct pending);

	buf_str(&p->command, request->body);
	p->server = s;
	p->token = request->token;
	p->proposal.data = buf_view(&p->command);
	p->proposal.done = not_applied;
	p->next = s->pending;
	s->pending = p;
	if (!rc_propose(s->node, &p->proposal))
		pending_end(p, E_UNAVAILABLE, STR_NONE, NULL);
}

/* ---- HTTP: one request a connection ---- */

struct conn {
	struct rc_call call;
	struct rc_read read;
	struct server *server;
	struct stream *stream;           /* NULL: it is gone */
	struct buf in, command;
	uint64_t id;                     /* that is read; 0: all */
	bool is_asked;                   /* call or read is out */
};

static void respond(struct conn *c, unsigned status, struct str body)
{
	struct buf out = BUF_NONE;

	buf_printf(&out, "HTTP/1.1 %u Status\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n%.*s", status, body.n, STR_ARG(body));
	stream_write(c->stream, &(struct stream_vec){ out.p, out.n }, 1);
	stream_close(c->stream);
	buf_fini(&out);
}

static void conn_free(struct conn *c)
{
	buf_fini(&c->in);
	buf_fini(&c->command);
	free(c);
}

static void on_outcome(struct rc_call *call, enum code rc, struct str answer,
		       const struct err *err)
{
	struct conn *c = container_of(call, struct conn, call);
	uint64_t status = (uint64_t)code_http(rc);

	c->is_asked = false;
	if (!c->stream) {
		conn_free(c);
		return;
	}
	if (rc == OK && !str_u64(str_first(answer, 3), &status))
		status = 500;
	respond(c, (unsigned)status, rc ? str_of(err->text) : str_from(answer, 3));
}

static void ask_leader(struct conn *c, unsigned op, uint64_t id, struct str name)
{
	wr_u8(&c->command, (uint8_t)op);
	wr_u64(&c->command, id);
	wr_str(&c->command, name);
	c->call = (struct rc_call){ .peer = RC_LEADER, .method = WRITE,
				    .body = buf_view(&c->command),
				    .timeout_ms = 5000, .answer_max = 4096,
				    .done = on_outcome };
	c->is_asked = rc_call(c->server->node, &c->call);
	if (!c->is_asked)
		respond(c, 503, STR("the node is stopping\n"));
}

static void on_current(struct rc_read *read, enum code rc, const struct err *err)
{
	struct conn *c = container_of(read, struct conn, read);
	struct server *s = c->server;
	struct buf out = BUF_NONE;

	c->is_asked = false;
	if (!c->stream) {
		conn_free(c);
		return;
	}
	for (uint64_t i = 0; i < s->n; i++)
		if (c->id == 0 || s->students[i].id == c->id)
			show(&out, &s->students[i]);
	if (rc)
		respond(c, 503, str_of(err->text));
	else
		respond(c, c->id && !out.n ? 404 : 200, buf_view(&out));
	buf_fini(&out);
}

static void get(struct conn *c, uint64_t id)
{
	c->id = id;
	c->read = (struct rc_read){ .timeout_ms = 5000, .done = on_current };
	c->is_asked = rc_read(c->server->node, &c->read);
	if (!c->is_asked)
		respond(c, 503, STR("the node is stopping\n"));
}

static void get_status(struct conn *c)
{
	struct server *s = c->server;
	struct buf out = BUF_NONE;
	struct rc_status st;

	rc_node_status(s->node, &st);
	buf_printf(&out, "{\"node\":%llu,\"leader\":%llu,\"has_checkpoint\":%s,"
		   "\"is_from_checkpoint\":%s}\n", (unsigned long long)st.node_id,
		   (unsigned long long)st.leader_id,
		   st.checkpoint_index ? "true" : "false",
		   s->is_from_checkpoint ? "true" : "false");
	respond(c, 200, buf_view(&out));
	buf_fini(&out);
}

static void route(struct conn *c, struct str method, struct str path, struct str body)
{
	struct str collection = STR("/students");
	uint64_t id = 0;
	bool is_one = str_starts(path, STR("/students/")) &&
		      str_u64(str_from(path, 10), &id) && id;

	if (str_is(path, "/"))
		get_status(c);
	else if (!is_one && !str_eq(path, collection))
		respond(c, 404, STR("there are /students and /students/ID\n"));
	else if (str_is(method, "GET"))
		get(c, id);
	else if (str_is(method, "POST") && !is_one)
		ask_leader(c, CREATE, 0, body);
	else if (str_is(method, "PUT") && is_one)
		ask_leader(c, UPDATE, id, body);
	else if (str_is(method, "DELETE") && is_one)
		ask_leader(c, DELETE, id, STR_NONE);
	else
		respond(c, 405, STR("GET, POST, PUT or DELETE\n"));
}

/* Enough of HTTP/1.1 for curl, and for nobody who means harm. */
static void on_data(struct stream *stream, struct str bytes)
{
	struct conn *c = stream_data(stream);
	struct str head, line, method, path;
	uint64_t length = 0;
	size_t end;

	buf_str(&c->in, bytes);
	end = str_find_str(buf_view(&c->in), STR("\r\n\r\n"));
	if (c->in.n > 65536) {
		respond(c, 413, STR_NONE);
		return;
	}
	if (end == SIZE_MAX || c->is_asked)
		return;
	head = str_first(buf_view(&c->in), end);
	line = str_cut(&head, '\n');
	method = str_cut(&line, ' ');
	path = str_cut(&line, ' ');
	while (head.n) {
		struct str value = str_cut(&head, '\n'), name = str_cut(&value, ':');

		if (str_eq_nocase(name, STR("content-length")) &&
		    !str_u64(str_trim(value), &length)) {
			respond(c, 400, STR_NONE);
			return;
		}
	}
	if (c->in.n - end - 4 >= length)
		route(c, method, path, str_n(c->in.p + end + 4, length));
}

static void on_close(struct stream *stream, const struct err *err)
{
	struct conn *c = stream_data(stream);

	c->stream = NULL;
	if (!c->is_asked)
		conn_free(c);
}

static void on_accept(struct listener *l, struct stream *stream, void *data)
{
	static const struct stream_ops ops = { .on_data = on_data,
					       .on_close = on_close };
	struct conn *c = NEW(struct conn);

	c->server = data;
	c->stream = stream;
	stream_set(stream, &ops, c);
}

/* ---- a node: a process ---- */

static void serve(uint64_t id, unsigned n, const char *folder)
{
	struct server *s = NEW(struct server);
	struct rc_member members[NODES_MAX];
	struct rc_config config;
	struct err err = { 0 };
	char dir[4000];

	for (unsigned i = 0; i < n; i++)
		members[i] = (struct rc_member){ i + 1, addresses[i] };
	snprintf(dir, sizeof(dir), "%s/%llu", folder, (unsigned long long)id);
	s->loop = loop_new("apply", 0);
	rc_config_defaults(&config);
	config.dir = dir;
	config.node_id = id;
	config.address = config.listen = addresses[id - 1];
	config.members = members;
	config.n_members = n;
	config.segment_bytes = 1 << 20;
	config.checkpoint_log_bytes = 1024;      /* so that there is one soon */
	config.apply_loop = s->loop;
	config.pool = pool_new("checkpoints", 2, 64);
	config.machine = (struct rc_machine){ .data = s, .open = open_,
		.apply = apply, .freeze = freeze, .write = write_, .thaw = thaw,
		.digest = digest, .bytes = bytes_, .close = close_ };
	check(rc_node_open(&config, &s->node, &err), &err, "open");
	rc_handle(s->node, WRITE, on_write, s);
	check(rc_node_start(s->node, &err), &err, "start");
	check(listener_new(s->loop, str_of(http[id - 1]), false, NULL, on_accept, s,
			   &(struct listener *){ NULL }, &err), &err, "listen");
	loop_run_here(s->loop);          /* until it is killed */
}

static void start(unsigned n, const char *folder)
{
	for (unsigned i = 0; i < n; i++) {
		children[i] = fork_child();
		if (children[i] == 0)
			serve(i + 1, n, folder);
	}
}

/* ---- a client ---- */

/* Status of the answer; tried again where nobody listens or leads. */
static unsigned ask(unsigned i, const char *method, const char *path,
		    const char *body, char answer[65536])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	unsigned status = 0;
	size_t n = 0;
	ssize_t got;
	char *end;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)atoi(strrchr(http[i], ':') + 1));
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		n = 0;
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		    dprintf(fd, "%s %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
			    method, path, strlen(body), body) > 0)
			while ((got = read(fd, answer + n, 65535 - n)) > 0)
				n += (size_t)got;
		close(fd);
		answer[n] = 0;
		if (sscanf(answer, "HTTP/1.1 %u", &status) == 1 && status < 500)
			break;
		usleep(20000);
	}
	end = strstr(answer, "\r\n\r\n");
	memmove(answer, end + 4, strlen(end + 4) + 1);
	return status;
}

static char answer[65536];

static bool has(unsigned i, const char *path, const char *what)
{
	return ask(i, "GET", path, "", answer) == 200 && strstr(answer, what);
}

static void demonstrate(unsigned n, const char *folder)
{
	char path[96], ada[96], name[64];
	unsigned last = n - 1;

	start(n, folder);
	must(ask(last, "POST", "/students", "Ada", answer) == 201);
	must(sscanf(answer, "{\"id\":%63[0-9]", name) == 1);
	printf("%u node%s: POST is 201 %s", n, n > 1 ? "s" : "", answer);
	snprintf(ada, sizeof(ada), "/students/%s", name);
	must(ask(0, "PUT", ada, "Ada Lovelace", answer) == 200);
	must(ask(0, "PUT", "/students/7777", "Nobody", answer) == 404);
	must(ask(0, "PATCH", ada, "", answer) == 405);
	for (unsigned i = 0; i < n; i++)
		must(has(i, ada, "\"Ada Lovelace\""));
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "student %u", i);
		must(ask(i % n, "POST", "/students", name, answer) == 201);
	}
	must(sscanf(answer, "{\"id\":%63[0-9]", name) == 1);
	snprintf(path, sizeof(path), "/students/%s", name);
	must(ask(last, "DELETE", path, "", answer) == 200);
	for (unsigned i = 0; i < n; i++)
		while (!has(i, "/", "\"has_checkpoint\":true"))
			usleep(20000);

	for (unsigned i = 0; i < n; i++)
		kill_child(children[i]);
	start(n, folder);
	for (unsigned i = 0; i < n; i++) {
		must(has(i, "/", "\"is_from_checkpoint\":true"));
		must(has(i, "/students", "\"student 98\""));
		must(ask(i, "GET", path, "", answer) == 404);
		must(ask(i, "GET", ada, "", answer) == 200);
	}
	printf("killed and started again from checkpoint and log: %s", answer);
	for (unsigned i = 0; i < n; i++)
		kill_child(children[i]);
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = { 1, NODES_MAX };
	char folder[3900];
	unsigned n = argc > 2 && strcmp(argv[2], "1") == 0 ? 1 : NODES_MAX;

	if (argc < 2) {
		fprintf(stderr, "usage: custom_state_machine FOLDER [1|3 stay]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < NODES_MAX; i++) {
		pick_address(addresses[i]);
		pick_address(http[i]);
	}
	if (argc > 3) {
		start(n, argv[1]);
		for (unsigned i = 0; i < n; i++)
			printf("http://%s/students\n", http[i]);
		pause();
	}
	for (unsigned i = 0; i < 2; i++) {
		snprintf(folder, sizeof(folder), "%s/of-%u", argv[1], sizes[i]);
		mkdir(folder, 0700);
		demonstrate(sizes[i], folder);
	}
	return 0;
}
