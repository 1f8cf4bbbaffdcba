/*
 * One node of raftcore with a machine in memory, and commands over plain TCP.
 *
 *	raft_node ID DIR LISTEN CLIENTS TABLE_MIB LOG_MIB -|CERT KEY CA MEMBER...
 *		[join=CLUSTER]
 *
 * MEMBER is id=host:port, one for each founder; CLIENTS is the host:port that
 * commands come to.  With a cluster's id it joins that, and the members are
 * those it lets in until it was added.  So much log, or as much as the table holds, is between
 * checkpoints.  Certificates are given as three paths, or "-" once for clear
 * text.  Ends at SIGTERM; what is in DIR is taken up again.
 *
 * What clients say, little-endian; any number may be under way:
 *
 *	u32 n, u64 tag, n bytes     a command of 8 bytes of key and its value
 *	u32 0, u64 tag              how are you?
 *	u32 2, u64 tag, u16 port    add node 2, which listens at 127.0.0.1
 *
 * and are answered, in any order:
 *
 *	u32 n, u64 tag, n bytes     how are you: a line of JSON; else a code of
 *	                            base/err.h, u32
 *
 * The machine is a table of slots of 256 bytes; the key, modulo their number, is
 * the slot that a command is copied to, and what is longer goes on behind it.  A
 * picture is taken by copying pieces of it before they are changed, so that
 * taking one is quick however large the table is, and writing one holds no second
 * table.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/stream.h"
#include "net/net.h"
#include "raftcore/raftcore.h"
#include "wire/wire.h"

#include "base/banned.h"

#define SLOT_BYTES 256u
#define PIECE_BYTES 4096u
#define COMMAND_MAX (64u * 1024)
#define REQUESTS 16384u                  /* more than the node admits */
#define HEAD 12u
#define MEMBERS_MAX 16

/* ---- the machine ---- */

enum piece_state { PIECE_SHARED, PIECE_COPIED, PIECE_WRITTEN };

/*
 * One picture at a time, which is all that raftcore asks for.  A piece is copied
 * by whoever comes first, the apply loop that is about to change it or the worker
 * that writes the picture; neither waits for the other.
 */
struct rc_frozen {
	struct rc_applied at;
	_Atomic uint8_t *states;         /* of the pieces */
	char **copies;                   /* of those PIECE_COPIED */
};

static struct {
	char *slots;
	size_t bytes, n_slots, n_pieces;
	struct rc_applied at;
	struct rc_frozen *frozen;
	_Atomic uint64_t copied;         /* pieces, for pictures */
} table;

static void table_make(size_t mib)
{
	table.bytes = mib << 20;
	table.n_slots = table.bytes / SLOT_BYTES;
	table.n_pieces = table.bytes / PIECE_BYTES;
	table.slots = mmap(NULL, table.bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(table.slots != MAP_FAILED);
}

static bool move(struct rc_frozen *f, size_t piece, uint8_t to)
{
	uint8_t from = PIECE_SHARED;

	return atomic_compare_exchange_strong(&f->states[piece], &from, to);
}

/* Before a piece is changed for the first time since the picture was taken. */
static void keep(struct rc_frozen *f, size_t piece)
{
	if (atomic_load(&f->states[piece]) != PIECE_SHARED)
		return;
	f->copies[piece] = mem_dup(table.slots + piece * PIECE_BYTES,
				   PIECE_BYTES);
	if (move(f, piece, PIECE_COPIED)) {
		atomic_fetch_add(&table.copied, 1);
		return;
	}
	free(f->copies[piece]);          /* it was written meanwhile */
	f->copies[piece] = NULL;
}

static void put_slot(struct str command)
{
	struct rd rd = rd_of(command);
	size_t at = rd_u64(&rd) % table.n_slots * SLOT_BYTES;
	size_t n = MIN(command.n, table.bytes - at);

	for (size_t i = at / PIECE_BYTES;
	     table.frozen && i <= (at + n - 1) / PIECE_BYTES; i++)
		keep(table.frozen, i);
	memcpy(table.slots + at, command.p, n);
}

static enum code read_table(const struct rc_checkpoint *from, struct err *err)
{
	struct fs *fs = from->fs;
	struct file *file;
	uint64_t head[2];
	size_t got = 0, done = 0;
	enum code rc = fs->ops->open(fs, from->path, 0, &file, err);

	if (rc)
		return rc;
	rc = fs->ops->read(fs, file, 0, head, sizeof(head), &got, err);
	if (rc == OK)
		rc = fs->ops->read(fs, file, sizeof(head), table.slots,
				   table.bytes, &done, err);
	fs->ops->close(fs, file);
	if (rc)
		return rc;
	if (got < sizeof(head) || done < table.bytes)
		return err_set(err, E_IO, "%s: not a whole table", from->path);
	table.at = (struct rc_applied){ head[0], head[1] };
	return OK;
}

static enum code machine_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err)
{
	enum code rc = from ? read_table(from, err) : OK;

	*out = table.at;
	return rc;
}

static enum code machine_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *out_at, struct err *err)
{
	struct rc_frozen *f = NEW(struct rc_frozen);

	f->at = *out_at = table.at;
	f->states = mem_zero(table.n_pieces * sizeof(*f->states));
	f->copies = mem_zero(table.n_pieces * sizeof(*f->copies));
	*out = table.frozen = f;
	return OK;
}

/* What is read while it is changed is not used: then there is a copy. */
static void take_piece(struct rc_frozen *f, size_t i, char *to)
{
	memcpy(to, table.slots + i * PIECE_BYTES, PIECE_BYTES);
	if (!move(f, i, PIECE_WRITTEN))
		memcpy(to, f->copies[i], PIECE_BYTES);
}

static enum code machine_write(void *data, struct rc_frozen *f,
			       enum code (*put)(void *sink, const void *p,
						size_t n, struct err *err),
			       void *sink, struct err *err)
{
	uint64_t head[2] = { f->at.index, f->at.term };
	char *piece = mem_alloc(PIECE_BYTES);
	enum code rc = put(sink, head, sizeof(head), err);

	for (size_t i = 0; i < table.n_pieces && rc == OK; i++) {
		take_piece(f, i, piece);
		rc = put(sink, piece, PIECE_BYTES, err);
	}
	free(piece);
	return rc;
}

static void machine_thaw(void *data, struct rc_frozen *f)
{
	table.frozen = NULL;
	for (size_t i = 0; i < table.n_pieces; i++)
		free(f->copies[i]);
	free(f->copies);
	free((void *)f->states);
	free(f);
}

static void machine_digest(void *data, uint8_t out[32])
{
	memset(out, 0, 32);
	memcpy(out, &table.at.index, sizeof(table.at.index));
}

static uint64_t machine_bytes(void *data)
{
	return table.bytes;
}

static void machine_close(void *data)
{
}

/* ---- clients ---- */

struct client {
	struct list at;                  /* in clients */
	struct stream *stream;           /* NULL: it is gone */
	struct buf in, out;
	unsigned open;                   /* commands under way */
};

struct request {
	struct rc_proposal proposal;
	struct client *client;           /* NULL: free */
	uint64_t tag;
	struct buf data;
};

static struct rc_node *node;
static struct loop *loop;
static struct list clients;
/* By the low bits of the proposal's id: ids are given in turn. */
static struct request **requests;
static struct request *spare;            /* by proposal.next_ */

static struct request *request_new(void)
{
	struct request *r = spare;

	if (!r)
		return mem_zero(sizeof(*r));
	spare = (struct request *)r->proposal.next_;
	return r;
}

static void request_free(struct request *r)
{
	r->client->open--;
	r->client = NULL;
	r->proposal.next_ = (struct rc_proposal *)spare;
	spare = r;
}

static void answer(struct client *c, uint64_t tag, struct str body)
{
	wr_u32(&c->out, (uint32_t)body.n);
	wr_u64(&c->out, tag);
	buf_str(&c->out, body);
}

static void answer_code(struct client *c, uint64_t tag, enum code rc)
{
	unsigned char body[4] = { (unsigned char)rc };

	answer(c, tag, str_n(body, sizeof(body)));
}

/* 'done' has no data of its own: the request is around the proposal. */
static void refused(struct rc_proposal *p, enum code rc, const struct err *err)
{
	struct request *r = container_of(p, struct request, proposal);

	answer_code(r->client, r->tag, rc);
	if (requests[p->id % REQUESTS] == r)
		requests[p->id % REQUESTS] = NULL;
	request_free(r);
}

static enum code machine_apply(void *data, const struct rc_entry *entries,
			       size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct rc_entry *e = &entries[i];
		struct request *r;

		table.at = (struct rc_applied){ e->index, e->term };
		if (!e->is_command)
			continue;
		put_slot(e->data);
		r = requests[e->id % REQUESTS];
		if (!r || r->proposal.id != e->id)
			continue;
		answer_code(r->client, r->tag, OK);
		requests[e->id % REQUESTS] = NULL;
		request_free(r);
	}
	return OK;
}

static void propose(struct client *c, uint64_t tag, struct str command)
{
	struct request *r = request_new();

	c->open++;
	r->client = c;
	r->tag = tag;
	buf_reset(&r->data);
	buf_str(&r->data, command);
	r->proposal.data = buf_view(&r->data);
	r->proposal.done = refused;
	if (!rc_propose(node, &r->proposal)) {
		answer_code(c, tag, E_UNAVAILABLE);
		request_free(r);
		return;
	}
	/* What it replaces is answered long ago: fewer are admitted. */
	requests[r->proposal.id % REQUESTS] = r;
}

static void tell(struct client *c, uint64_t tag)
{
	struct rc_status s;
	AUTO_BUF b = BUF_NONE;
	char cluster[37];

	rc_node_status(node, &s);
	uuid_text(cluster, s.cluster_id);
	buf_printf(&b, "{\"cluster\":\"%s\",\"leader\":%llu,\"is_leader\":%s,\"ready\":%s,"
		   "\"applied\":%llu,\"wal_writes\":%llu,\"wal_entries\":%llu,"
		   "\"wal_bytes\":%llu,\"checkpoints\":%llu,"
		   "\"turn_max_us\":%llu,\"turn_max_cpu_us\":%llu,\"wal_sync_us_p99\":%llu,"
		   "\"direct_io\":%s,\"copied\":%llu,\"shipped\":%llu,"
		   "\"installed\":%llu}\n",
		   cluster, (unsigned long long)s.leader_id, s.is_leader ? "true" : "false",
		   s.is_ready ? "true" : "false", (unsigned long long)s.applied,
		   (unsigned long long)s.wal_writes,
		   (unsigned long long)s.wal_entries,
		   (unsigned long long)s.wal_bytes,
		   (unsigned long long)s.checkpoints,
		   (unsigned long long)s.turn_max_us,
		   (unsigned long long)s.turn_max_cpu_us,
		   (unsigned long long)s.wal_sync_us_p99,
		   s.direct_io ? "true" : "false",
		   (unsigned long long)atomic_load(&table.copied),
		   (unsigned long long)s.shipped,
		   (unsigned long long)s.installed);
	answer(c, tag, buf_view(&b));
}

struct adding {
	struct rc_change change;
	struct client *client;
	uint64_t tag;
	char address[32];
};

static void added(struct rc_change *change, enum code rc, const struct err *err)
{
	struct adding *a = container_of(change, struct adding, change);

	a->client->open--;
	answer_code(a->client, a->tag, rc);
	free(a);
}

static void add_node_2(struct client *c, uint64_t tag, uint16_t port)
{
	struct adding *a = NEW(struct adding);

	snprintf(a->address, sizeof(a->address), "127.0.0.1:%u", port);
	a->client = c;
	a->tag = tag;
	a->change = (struct rc_change){ .type = RC_ADD, .id = 2,
					.address = a->address, .done = added };
	c->open++;
	must(rc_change(node, &a->change));
}

/* Takes one message off 'in'; false: it has not come whole. */
static bool take(struct client *c, struct str *in)
{
	struct rd rd = rd_of(*in);
	uint32_t n;
	uint64_t tag;

	if (in->n < HEAD)
		return false;
	n = rd_u32(&rd);
	tag = rd_u64(&rd);
	if (n > COMMAND_MAX || (n && n != 2 && n < 8)) {
		stream_abort(c->stream);
		return false;
	}
	if (in->n < HEAD + n)
		return false;
	if (n == 0)
		tell(c, tag);
	else if (n == 2)
		add_node_2(c, tag, rd_u16(&rd));
	else
		propose(c, tag, str_n(in->p + HEAD, n));
	*in = str_from(*in, HEAD + n);
	return true;
}

static void on_data(struct stream *s, struct str bytes)
{
	struct client *c = stream_data(s);
	struct str in = bytes;

	if (c->in.n) {
		buf_str(&c->in, bytes);
		in = buf_view(&c->in);
	}
	while (take(c, &in))
		;
	if (c->in.n)
		buf_drop(&c->in, c->in.n - in.n);
	else
		buf_str(&c->in, in);
}

static void on_close(struct stream *s, const struct err *err)
{
	struct client *c = stream_data(s);

	c->stream = NULL;
}

static const struct stream_ops client_ops = { .on_data = on_data,
					      .on_close = on_close };

static void on_client(struct listener *l, struct stream *s, void *data)
{
	struct client *c = NEW(struct client);

	c->stream = s;
	list_append(&clients, &c->at);
	stream_set(s, &client_ops, c);
}

/* Answers of a turn leave together. */
static void on_turn(struct turn *turn)
{
	struct client *c;

	list_each(&clients, c, at) {
		if (c->stream && c->out.n)
			stream_write(c->stream, &(struct stream_vec){
				c->out.p, c->out.n }, 1);
		buf_reset(&c->out);
		if (c->stream || c->open)
			continue;
		list_remove(&c->at);
		buf_fini(&c->in);
		buf_fini(&c->out);
		free(c);
	}
}

/* ---- life ---- */

static void check(enum code rc, const struct err *err, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "raft_node: %s: %s\n", what, err->text);
	exit(1);
}

static void on_signal(uv_signal_t *handle, int number)
{
	loop_stop(loop);
}

static void on_fatal(void *data, const struct err *err)
{
	check(err->code, err, "failed");
}

static size_t read_members(char **argv, struct rc_member *out)
{
	size_t n = 0;

	for (; argv[n] && !str_starts(str_of(argv[n]), STR("join=")); n++) {
		char *address = strchr(argv[n], '=');

		must(address && n < MEMBERS_MAX);
		out[n] = (struct rc_member){ strtoull(argv[n], NULL, 10),
					     address + 1 };
	}
	return n;
}

static void open_node(char **argv, struct pool *pool)
{
	struct rc_member members[MEMBERS_MAX];
	struct net_tls tls;
	struct rc_config config;
	struct err err = { 0 };
	struct uuid cluster;
	bool is_clear = strcmp(argv[7], "-") == 0;

	rc_config_defaults(&config);
	config.node_id = strtoull(argv[1], NULL, 10);
	config.dir = argv[2];
	config.address = config.listen = argv[3];
	if (!is_clear) {
		tls = (struct net_tls){ argv[7], argv[8], argv[9] };
		config.tls = &tls;
	}
	config.checkpoint_log_bytes = strtoull(argv[6], NULL, 10) << 20;
	config.members = members;
	argv += is_clear ? 8 : 10;
	config.n_members = read_members(argv, members);
	if (argv[config.n_members]) {
		must(uuid_parse(str_of(argv[config.n_members] + 5), &cluster));
		config.joins = true;
		config.cluster_id = &cluster;
	}
	config.checkpoints_kept = 1;
	config.apply_loop = loop;
	config.pool = pool;
	config.on_fatal = on_fatal;
	config.machine = (struct rc_machine){
		.open = machine_open, .apply = machine_apply,
		.freeze = machine_freeze, .write = machine_write,
		.thaw = machine_thaw, .digest = machine_digest,
		.bytes = machine_bytes, .close = machine_close };
	check(rc_node_open(&config, &node, &err), &err, "open");
	check(rc_node_start(node, &err), &err, "start");
}

int main(int argc, char **argv)
{
	struct listener *listener;
	struct pool *pool;
	struct turn turn = { .run = on_turn };
	uv_signal_t term;
	struct err err = { 0 };

	if (argc < 9) {
		fprintf(stderr, "usage: raft_node ID DIR LISTEN CLIENTS "
			"TABLE_MIB LOG_MIB -|CERT KEY CA ID=HOST:PORT... "
			"[join=CLUSTER]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_WARN);
	list_init(&clients);
	requests = mem_zero(REQUESTS * sizeof(*requests));
	table_make(strtoull(argv[5], NULL, 10));
	loop = loop_new("apply", 0);
	pool = pool_new("worker", 2, 64);
	pool_set_background(pool);
	open_node(argv, pool);
	loop_on_turn(loop, &turn);
	check(listener_new(loop, str_of(argv[4]), false, NULL, on_client, NULL,
			   &listener, &err), &err, "listen");
	must(uv_signal_init(loop_uv(loop), &term) == 0 &&
	     uv_signal_start(&term, on_signal, SIGTERM) == 0);
	loop_run_here(loop);
	rc_node_stop(node);
	pool_free(&pool);
	loop_free(&loop);
	rc_node_free(&node);
	return 0;
}
