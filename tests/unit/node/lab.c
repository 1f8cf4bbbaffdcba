/* A core of a node on one thread: see lab.h. */
#include "lab.h"

#include <check.h>
#include <stdlib.h>

#include "base/mem.h"
#include "wire/wire.h"

#include "base/banned.h"

/* ---- the machine ---- */

static enum code machine_open(void *data, const char *dir,
			      const struct rc_checkpoint *from,
			      struct rc_applied *out, struct err *err)
{
	struct lab *lab = data;
	AUTO_BUF bytes = BUF_NONE;

	lab->state = (struct lab_state){ 0 };
	lab->from_checkpoint = from;
	if (from) {
		enum code rc = fs_get(from->fs, from->path, &bytes, err);

		if (rc)
			return rc;
		memcpy(&lab->state, bytes.p, sizeof(lab->state));
		ck_assert_uint_eq(lab->state.sum,
				  lab->sums[lab->state.index]);
	}
	*out = (struct rc_applied){ lab->state.index + lab->ahead,
				    lab->state.term };
	lab->opens++;
	return OK;
}

static void machine_close(void *data)
{
	((struct lab *)data)->closes++;
}

static enum code machine_freeze(void *data, struct rc_frozen **out,
				struct rc_applied *at, struct err *err)
{
	return err_set(err, E_INTERNAL, "the lab freezes by itself");
}

static uint64_t machine_bytes(void *data)
{
	return ((struct lab *)data)->machine_bytes;
}

static void apply_one(struct lab *lab, const struct rc_entry *e)
{
	struct lab_state *s = &lab->state;
	struct rd rd = rd_of(e->data);

	ck_assert_uint_eq(e->index, s->index + 1);
	ck_assert_uint_ge(e->term, s->term);
	ck_assert_uint_lt(e->index, LAB_INDEXES);
	s->index = e->index;
	s->term = e->term;
	if (e->is_command) {
		s->sum = s->sum * 31 + rd_u64(&rd);
		s->count++;
	}
	s->sum += e->term;
	if (s->index <= lab->applied_ever)
		ck_assert_uint_eq(lab->sums[s->index], s->sum);
	lab->sums[s->index] = s->sum;
	lab->applied_ever = MAX(lab->applied_ever, s->index);
}

/* ---- the host ---- */

static struct lab_write *queue(struct lab *lab)
{
	struct lab_write *w = NEW(struct lab_write);

	*lab->writes_last = w;
	lab->writes_last = &w->next;
	return w;
}

static void host_append(void *host, struct append *append)
{
	queue(host)->append = append;
}

static void host_load(void *host, uint64_t from, uint64_t to)
{
	struct lab_write *w = queue(host);

	w->from = from;
	w->to = to;
}

static void host_cut(void *host, uint64_t index)
{
	queue(host)->cut = index;
}

static void host_apply(void *host, const struct rc_entry *entries, size_t n,
		       bool makes_ready, bool wants_digest)
{
	struct lab *lab = host;

	ck_assert(!lab->batch && !lab->freezing);
	lab->batch = entries;
	lab->n_batch = n;
	lab->is_ready = lab->is_ready || makes_ready;
}

static void host_checkpoint(void *host, const struct checkpoint *c)
{
	struct lab *lab = host;

	ck_assert(!lab->batch && !lab->freezing && !lab->writing);
	lab->freezing = c;
}

static void host_install(void *host, const struct checkpoint *c,
			 const char *path)
{
	struct lab *lab = host;

	ck_assert(!lab->batch && !lab->freezing && !lab->installing);
	lab->installing = c;
}

static void host_install_done(void *host, enum code rc)
{
	struct lab *lab = host;

	lab->installing = NULL;
	lab->install_rc = rc;
}

static void host_refuse(void *host, struct rc_proposal *p, enum code rc,
			const char *text)
{
	struct lab_proposal *own = container_of(p, struct lab_proposal, p);
	struct lab *lab = host;

	ck_assert(!own->is_answered);
	own->is_answered = true;
	own->rc = rc;
	lab->refused++;
}

static void host_role(void *host, bool is_leader, uint64_t leader,
		      uint64_t term)
{
	((struct lab *)host)->is_leader = is_leader;
}

static void host_fatal(void *host, const struct err *err)
{
	struct lab *lab = host;

	lab->fatals++;
	err_copy(&lab->fatal, err);
}

static void host_send(void *host, uint64_t peer, const struct engine_message *m)
{
	((struct lab *)host)->sent = *m;
}

static const struct node_host lab_host = {
	.send = host_send,
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal, .install = host_install,
	.install_done = host_install_done,
};

/* ---- life ---- */

struct lab *lab_new(uint64_t seed)
{
	struct lab *lab = NEW(struct lab);

	lab->disk = disk_new(seed);
	lab->fs = disk_fs(lab->disk);
	rc_config_defaults(&lab->config);
	lab->config.dir = "/node";
	lab->config.segment_bytes = 16 * 4096;
	lab->config.checkpoint_log_bytes = 4000;
	lab->config.inflight_entries_max = 16;
	lab->config.machine = (struct rc_machine){ .data = lab,
						   .open = machine_open,
						   .freeze = machine_freeze,
						   .bytes = machine_bytes,
						   .close = machine_close };
	lab->writes_last = &lab->writes;
	return lab;
}

struct lab *lab_new_of_three(uint64_t seed)
{
	static const struct node_member members[] = {
		{ 1, "127.0.0.1:1" }, { 2, "127.0.0.1:2" }, { 3, "127.0.0.1:3" }
	};
	struct lab *lab = lab_new(seed);

	lab->config.node_id = 1;
	lab->members = members;
	lab->n_members = ARRAY_LEN(members);
	return lab;
}

void lab_free(struct lab *lab)
{
	lab_crash(lab);
	disk_free(&lab->disk);
	free(lab);
}

enum code lab_try_open(struct lab *lab, struct err *err)
{
	struct node_core_config config = { .node = &lab->config,
					   .fs = lab->fs, .seed = 1,
					   .members = lab->members,
					   .n_members = lab->n_members,
					   .host = &lab_host, .host_data = lab };

	return node_core_open(&config, &lab->core, err);
}

void lab_open(struct lab *lab)
{
	struct err err;

	ck_assert_msg(lab_try_open(lab, &err) == OK, "%s", err.text);
	lab->is_leader = lab->is_ready = false;
	node_core_start(lab->core, lab->now_ms);
}

static void write_free(struct lab *lab)
{
	struct lab_write *w = lab->writes;

	lab->writes = w->next;
	if (!lab->writes)
		lab->writes_last = &lab->writes;
	free(w);
}

void lab_crash(struct lab *lab)
{
	node_core_free(&lab->core);
	disk_power_loss(lab->disk);
	while (lab->writes)
		write_free(lab);
	lab->batch = NULL;
	lab->freezing = lab->writing = lab->installing = NULL;
}

void lab_propose(struct lab *lab, struct lab_proposal *p)
{
	*p = (struct lab_proposal){ 0 };
	lab->next_value++;
	for (unsigned i = 0; i < 8; i++)
		p->bytes[i] = (char)(lab->next_value >> (8 * i));
	p->p.id = lab->next_value;
	p->p.data = str_n(p->bytes, 8 + lab->next_value % 56);
	node_core_propose(lab->core, lab->now_ms, &p->p);
}

/* ---- doing what waits ---- */

static void do_append(struct lab *lab, struct append *a)
{
	uint64_t sequence = a->sequence;
	struct err err;
	enum code rc;

	if (lab->fails_next_write)
		rc = err_set(&err, E_IO, "the disk is gone");
	else
		rc = wal_append(node_core_wal(lab->core), a->entries, a->n,
				&err);
	node_core_written(lab->core, lab->now_ms, sequence, rc, &err);
}

static void do_load(struct lab *lab, uint64_t from, uint64_t to)
{
	struct node_loaded loaded = { 0 };
	struct err err;
	enum code rc = node_load(node_core_wal(lab->core), from, to, &loaded,
				 &err);

	lab->loads++;
	node_core_loaded(lab->core, lab->now_ms, rc, &loaded, &err);
}

bool lab_write(struct lab *lab)
{
	struct lab_write w;
	struct err err;

	if (!lab->writes)
		return false;
	w = *lab->writes;
	write_free(lab);
	if (w.append) {
		do_append(lab, w.append);
	} else if (w.cut) {
		lab->cuts++;
		ck_assert(wal_cut(node_core_wal(lab->core), w.cut, &err) == OK ||
			  lab->may_not_cut);
	} else {
		do_load(lab, w.from, w.to);
	}
	return true;
}

bool lab_machine(struct lab *lab)
{
	const struct rc_entry *batch = TAKE(lab->batch);
	struct err err;

	if (lab->freezing) {
		ck_assert_uint_eq(lab->freezing->index, lab->state.index);
		ck_assert_uint_eq(lab->freezing->term, lab->state.term);
		lab->frozen = lab->state;
		lab->writing = TAKE(lab->freezing);
		node_core_frozen(lab->core, lab->now_ms, OK);
		return true;
	}
	if (!batch)
		return false;
	if (lab->fails_next_apply) {
		err_set(&err, E_IO, "the store is gone");
		node_core_applied(lab->core, lab->now_ms, E_IO, &err, NULL);
		return true;
	}
	for (size_t i = 0; i < lab->n_batch; i++)
		apply_one(lab, &batch[i]);
	node_core_applied(lab->core, lab->now_ms, OK, NULL,
			  &(struct node_stand){ .bytes = lab->machine_bytes });
	return true;
}

static enum code write_checkpoint(struct lab *lab, uint64_t *oldest,
				  struct err *err)
{
	const char *dir = "/node/checkpoints";
	struct checkpoint c = *lab->writing;
	struct checkpoint_writer *w;
	enum code rc;

	if (lab->fails_next_checkpoint)
		return err_set(err, E_FULL, "no room");
	rc = checkpoint_begin(lab->fs, dir, NULL, NULL, &w, err);
	if (rc)
		return rc;
	rc = checkpoint_put(w, &lab->frozen, sizeof(lab->frozen), err);
	if (rc == OK)
		rc = checkpoint_end(w, &c, err);
	checkpoint_writer_free(&w);
	rc = rc ? rc : checkpoint_prune(lab->fs, dir, 2, oldest, err);
	checkpoint_clear(lab->fs, dir, NULL, NULL);
	return rc;
}

bool lab_worker(struct lab *lab)
{
	uint64_t oldest = 0;
	struct err err;
	enum code rc;

	if (!lab->writing)
		return false;
	rc = write_checkpoint(lab, &oldest, &err);
	lab->writing = NULL;
	lab->checkpoints += rc == OK;
	node_core_checkpointed(lab->core, lab->now_ms, rc, oldest);
	return true;
}

void lab_wait(struct lab *lab)
{
	uint64_t due = node_core_deadline(lab->core);

	if (due == UINT64_MAX)
		return;
	lab->now_ms = MAX(lab->now_ms, due);
	node_core_timeout(lab->core, lab->now_ms);
}

void lab_settle(struct lab *lab)
{
	do {
		while (lab_write(lab) || lab_machine(lab) || lab_worker(lab))
			;
		if (!lab->is_ready)
			lab_wait(lab);
	} while (!lab->is_ready || lab->batch || lab->writes);
}
