/*
 * A state machine of one's own: a register of students, in memory, over HTTP.
 *
 *	cc custom_state_machine.c -o register \
 *		$(pkg-config --cflags --libs raftcore libmicrohttpd)
 *	./register 1 /tmp/s1 8001 localhost:7001 localhost:7002 localhost:7003 &
 *	(likewise 2 and 3; or one alone: ./register 1 /tmp/s1 8001 localhost:7001)
 *	curl -d Ada http://localhost:8001/students		{"id":1,"name":"Ada"}
 *	curl http://localhost:8002/students/1
 *	curl -X PUT -d 'Ada Lovelace' http://localhost:8003/students/1
 *	curl -X DELETE http://localhost:8001/students/1
 *
 * A request reaches any node.  A write becomes a command that is sent to whoever leads
 * (rc_call), proposed there, and answered with what the machine made of it; ids are
 * given by the machine, so that all nodes give the same.  A read is answered by the node
 * that is asked, which first makes sure that it has applied what was acknowledged
 * anywhere (rc_read).  custom_state_machine.sh is a client.
 */
#include "common.h"

#include <io/file.h>
#include <io/pool.h>
#include <microhttpd.h>
#include <raftcore/raftcore.h>
#include <wire/sum.h>
#include <wire/wire.h>

#define STUDENTS_MAX 1000
#define WRITE 1                          /* the method of rc_call */
#define WAIT_MS 5000
enum { CREATE = 1, UPDATE, DELETE };     /* commands: u8, u64 id, name */

struct student {
	uint64_t id;
	char name[64];                   /* zeros behind it: part of the digest */
};

/* A picture is this as it lies in memory, for nodes of one build. */
struct state {
	struct rc_applied at;
	uint64_t last_id, n;
	struct student students[STUDENTS_MAX];
};

static struct state state;               /* the apply loop's */
static struct rc_node *node;

/* ---- the machine ---- */

static struct student *find(uint64_t id)
{
	for (uint64_t i = 0; i < state.n; i++)
		if (state.students[i].id == id)
			return &state.students[i];
	return NULL;
}

static void show(struct buf *out, const struct student *st)
{
	buf_printf(out, "{\"id\":%llu,\"name\":", (unsigned long long)st->id);
	buf_json(out, str_of(st->name));
	buf_z(out, "}\n");
}

/* The same on every node: nothing but state and command has a say.  A command that is
 * wrong is refused, and no error. */
static unsigned execute(struct str command, struct buf *out)
{
	struct rd rd = rd_of(command);
	unsigned op = rd_u8(&rd);
	struct student *st = find(rd_u64(&rd));
	struct str name = rd_str(&rd);

	if (!rd_done(&rd) || op < CREATE || op > DELETE || name.n >= sizeof(st->name))
		return 400;
	if (op == CREATE && state.n < STUDENTS_MAX) {
		st = &state.students[state.n++];
		st->id = ++state.last_id;
	}
	if (!st)
		return op == CREATE ? 507 : 404;
	if (op == DELETE) {
		*st = state.students[--state.n];
		return 200;
	}
	memset(st->name, 0, sizeof(st->name));
	memcpy(st->name, name.p, name.n);
	show(out, st);
	return op == CREATE ? 201 : 200;
}

static void answer_pending(uint64_t id, unsigned status, const struct buf *body);

static enum code apply(void *data, const struct rc_entry *entries, size_t n,
		       struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct rc_entry *e = &entries[i];
		struct buf body = BUF_NONE;

		state.at = (struct rc_applied){ e->index, e->term };
		if (e->is_command)
			answer_pending(e->id, execute(e->data, &body), &body);
		buf_fini(&body);
	}
	return OK;
}

/* From a checkpoint, or empty; the log brings the rest. */
static enum code open_(void *data, const char *dir, const struct rc_checkpoint *from,
		       struct rc_applied *out, struct err *err)
{
	struct buf bytes = BUF_NONE;
	enum code rc = from ? fs_get(from->fs, from->path, &bytes, err) : OK;

	state = (struct state){ 0 };
	if (rc == OK && from && bytes.n < sizeof(state))
		rc = err_set(err, E_CORRUPT, "the picture is short");
	if (rc == OK && from)
		memcpy(&state, bytes.p, sizeof(state));
	buf_fini(&bytes);
	*out = state.at;
	return rc;
}

struct rc_frozen {
	struct state state;
};

static enum code freeze(void *data, struct rc_frozen **out, struct rc_applied *at,
			struct err *err)
{
	*out = NEW(struct rc_frozen);
	(*out)->state = state;
	*at = state.at;
	return OK;
}

/* In a worker. */
static enum code write_(void *data, struct rc_frozen *f,
			enum code (*put)(void *sink, const void *p, size_t n,
					 struct err *err),
			void *sink, struct err *err)
{
	return put(sink, &f->state, sizeof(f->state), err);
}

static void thaw(void *data, struct rc_frozen *f)
{
	free(f);
}

static void digest(void *data, uint8_t out[32])
{
	struct sha256 sum = sha256_of(str_n((const char *)&state, sizeof(state)));

	memcpy(out, sum.b, 32);
}

static uint64_t bytes_(void *data)
{
	return state.n * 16;             /* about: of what is in use */
}

static void close_(void *data)
{
}

static const struct rc_machine machine = {
	.open = open_, .apply = apply, .freeze = freeze, .write = write_, .thaw = thaw,
	.digest = digest, .bytes = bytes_, .close = close_,
};

/* ---- writes at the leader ---- */

static struct pending {
	struct rc_proposal proposal;
	struct pending *next;
	struct rpc_token token;
	struct buf command;
} *pending;                              /* the apply loop's */

static void pending_end(struct pending *p, enum code rc, struct str body,
			const struct err *err)
{
	struct pending **at = &pending;

	rc_answer(node, p->token, rc, body, err);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	buf_fini(&p->command);
	free(p);
}

/* Entries of others and of earlier runs have no pending. */
static void answer_pending(uint64_t id, unsigned status, const struct buf *body)
{
	struct pending *p = pending;
	struct buf out = BUF_NONE;

	while (p && p->proposal.id != id)
		p = p->next;
	buf_printf(&out, "%u%.*s", status, (int)body->n, body->n ? body->p : "");
	if (p)
		pending_end(p, OK, buf_view(&out), NULL);
	buf_fini(&out);
}

static void not_applied(struct rc_proposal *p, enum code rc, const struct err *err)
{
	pending_end(container_of(p, struct pending, proposal), rc, STR_NONE, err);
}

static void on_write(void *data, const struct rc_request *request)
{
	struct pending *p = NEW(struct pending);

	buf_str(&p->command, request->body);
	p->token = request->token;
	p->proposal.data = buf_view(&p->command);
	p->proposal.done = not_applied;
	p->next = pending;
	pending = p;
	if (!rc_propose(node, &p->proposal))
		pending_end(p, E_UNAVAILABLE, STR_NONE, NULL);
}

/* ---- HTTP: on a thread of libmicrohttpd; a request sleeps until 'done' ran ---- */

struct request {
	struct rc_call call;
	struct rc_read read;
	struct MHD_Connection *connection;
	struct buf body, command, answer;
	uint64_t id;                     /* that is read; 0: all */
	unsigned status;                 /* 0: not known yet */
};

static void settle(struct request *r, unsigned status, struct str answer)
{
	r->status = status;
	buf_str(&r->answer, answer);
	MHD_resume_connection(r->connection);
}

static void on_outcome(struct rc_call *call, enum code rc, struct str answer,
		       const struct err *err)
{
	uint64_t status = (uint64_t)code_http(rc);

	if (rc == OK && !str_u64(str_first(answer, 3), &status))
		status = 500;
	settle(container_of(call, struct request, call), (unsigned)status,
	       rc ? str_of(err->text) : str_from(answer, 3));
}

static void ask_leader(struct request *r, unsigned op)
{
	wr_u8(&r->command, (uint8_t)op);
	wr_u64(&r->command, r->id);
	wr_str(&r->command, buf_view(&r->body));
	r->call = (struct rc_call){ .peer = RC_LEADER, .method = WRITE,
				    .body = buf_view(&r->command), .timeout_ms = WAIT_MS,
				    .answer_max = 4096, .done = on_outcome };
	if (!rc_call(node, &r->call))
		settle(r, 503, STR("the node is stopping\n"));
}

static void on_current(struct rc_read *read, enum code rc, const struct err *err)
{
	struct request *r = container_of(read, struct request, read);
	struct buf out = BUF_NONE;

	for (uint64_t i = 0; rc == OK && i < state.n; i++)
		if (r->id == 0 || state.students[i].id == r->id)
			show(&out, &state.students[i]);
	if (rc)
		settle(r, 503, str_of(err->text));
	else
		settle(r, r->id && !out.n ? 404 : 200, buf_view(&out));
	buf_fini(&out);
}

static void ask_here(struct request *r)
{
	r->read = (struct rc_read){ .timeout_ms = WAIT_MS, .done = on_current };
	if (!rc_read(node, &r->read))
		settle(r, 503, STR("the node is stopping\n"));
}

static void route(struct request *r, struct str method, struct str path)
{
	bool is_one = str_starts(path, STR("/students/")) &&
		      str_u64(str_from(path, 10), &r->id) && r->id;

	MHD_suspend_connection(r->connection);
	if (!is_one && !str_is(path, "/students"))
		settle(r, 404, STR("there are /students and /students/ID\n"));
	else if (str_is(method, "GET"))
		ask_here(r);
	else if (str_is(method, "POST") && !is_one)
		ask_leader(r, CREATE);
	else if (str_is(method, "PUT") && is_one)
		ask_leader(r, UPDATE);
	else if (str_is(method, "DELETE") && is_one)
		ask_leader(r, DELETE);
	else
		settle(r, 405, STR("GET, POST, PUT or DELETE\n"));
}

/* Called with the head, for each piece of the body, behind it, and when settled. */
static enum MHD_Result on_http(void *data, struct MHD_Connection *connection,
			       const char *path, const char *method,
			       const char *version, const char *bytes, size_t *n,
			       void **at)
{
	struct request *r = *at;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!r) {
		*at = r = NEW(struct request);
		r->connection = connection;
		return MHD_YES;
	}
	if (*n) {
		if (r->body.n + *n > 1024)
			return MHD_NO;
		buf_str(&r->body, str_n(bytes, *n));
		*n = 0;
		return MHD_YES;
	}
	if (!r->status) {
		route(r, str_of(method), str_of(path));
		return MHD_YES;
	}
	response = MHD_create_response_from_buffer(r->answer.n, r->answer.p,
						   MHD_RESPMEM_MUST_COPY);
	result = MHD_queue_response(connection, r->status, response);
	MHD_destroy_response(response);
	return result;
}

static void on_http_end(void *data, struct MHD_Connection *connection, void **at,
			enum MHD_RequestTerminationCode why)
{
	struct request *r = *at;

	if (!r)
		return;
	buf_fini(&r->body);
	buf_fini(&r->command);
	buf_fini(&r->answer);
	free(r);
}

/* ---- a node: a process ---- */

int main(int argc, char **argv)
{
	struct rc_member members[16];
	struct rc_config config;
	struct err err = { 0 };
	struct sockaddr_in http = { .sin_family = AF_INET };
	unsigned id = argc > 1 ? (unsigned)atoi(argv[1]) : 0, n = (unsigned)argc - 4;

	if (argc < 5 || n > ARRAY_LEN(members) || id < 1 || id > n) {
		fprintf(stderr, "usage: register ID FOLDER PORT ADDRESS-OF-1 ...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < n; i++)
		members[i] = (struct rc_member){ i + 1, argv[4 + i] };
	rc_config_defaults(&config);
	config.dir = argv[2];
	config.node_id = id;
	config.address = config.listen = argv[3 + id];
	config.members = members;
	config.n_members = n;
	config.segment_bytes = 1 << 20;
	config.checkpoint_log_bytes = 1024;      /* so that there is one soon */
	config.apply_loop = loop_new("apply", 0);
	config.pool = pool_new("checkpoints", 2, 64);
	config.machine = machine;
	check(rc_node_open(&config, &node, &err), &err, "open");
	rc_handle(node, WRITE, on_write, NULL);
	check(rc_node_start(node, &err), &err, "start");
	http.sin_port = htons((uint16_t)atoi(argv[3]));
	http.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME,
			      0, NULL, NULL, on_http, NULL, MHD_OPTION_SOCK_ADDR, &http,
			      MHD_OPTION_NOTIFY_COMPLETED, on_http_end, NULL,
			      MHD_OPTION_END));
	loop_run_here(config.apply_loop);        /* until it is killed */
	return 0;
}
