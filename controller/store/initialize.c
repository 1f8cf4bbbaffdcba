/*
 * A cluster that is formed by hand, and the record of it.
 *
 * There is no log yet that could hold who asked for it, so it is written down beside
 * before anything is begun: the file `initialized` holds the command that will say so.
 * When there is a cluster, of a version that knows such records, it is submitted,
 * and the file goes when that was done.  Core loop.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "store/own.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define MAGIC STR("CFXINIT1")
#define SUM_BYTES ((size_t)4)

static void path_of(const struct store *s, struct buf *out)
{
	buf_printf(out, "%s/initialized", s->config.dir);
}

/* ---- the note ---- */

static void make_note(struct store *s, const struct store_initialize *i,
		      struct buf *out)
{
	AUTO_ARENA arena = arena_new(1024);
	struct command c = {
		.type = COMMAND_OPS, .time_ms = store_wall_ms(s),
		.subject = { .name = STR("system"), .role = ROLE_SYSTEM },
		.credential = STR("the node's own machine"),
		.origin = i->who.origin, .reason = i->who.reason };
	struct op *op = command_op(arena, &c, OP_MEMBERS);

	op->stage = MEMBER_NOTED;
	op->member = MEMBER_INITIALIZE;
	op->uid = uuid_new();
	op->is_done = true;
	op->message = arena_printf(arena, ", asked for at node %llu before it "
				   "had a cluster",
				   (unsigned long long)MAX(
					   s->config.cluster.node_id,
					   (uint64_t)1));
	memcpy(c.trace, i->who.trace, sizeof(c.trace));
	c.id = c.body = sha256_of(str_n(op->uid.b, sizeof(op->uid.b)));
	command_encode(out, &c);
}

static void remove_note(struct store *s)
{
	AUTO_BUF path = BUF_NONE;

	path_of(s, &path);
	if (unlink(path.p) && errno != ENOENT)
		log_warn(PART, LOG_KV(log_z("file", path.p)),
			 "not removed; it is written to the audit log once all "
			 "the same");
	buf_fini(&s->note);
}

static enum code write_note(struct store *s, const struct store_initialize *i,
			    struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF file = BUF_NONE;
	enum code rc;

	path_of(s, &path);
	make_note(s, i, &s->note);
	buf_str(&file, MAGIC);
	buf_str(&file, buf_view(&s->note));
	wr_u32(&file, crc32c(0, file.p, file.n));
	rc = failpoint_hit(FP_INITIALIZE_WRITE, err);
	if (rc == OK)
		rc = fs_put(fs_real(), s->config.dir, path.p, buf_view(&file),
			    err);
	if (rc == OK)
		rc = failpoint_hit(FP_INITIALIZE_WRITTEN, err);
	if (rc)
		remove_note(s);
	return rc;
}

static enum code read_note(struct str file, struct buf *out, struct err *err)
{
	AUTO_ARENA arena = arena_new(1024);
	struct str all = str_first(file, file.n - MIN(file.n, SUM_BYTES));
	struct rd sum = rd_of(str_from(file, all.n));
	struct command c;

	if (!str_starts(all, MAGIC) || rd_u32(&sum) != crc32c(0, all.p, all.n))
		return err_set(err, E_CORRUPT, "it is damaged");
	buf_str(out, str_from(all, MAGIC.n));
	return command_decode(arena, buf_view(out), &c, err);
}

void initialize_open(struct store *s)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF file = BUF_NONE;
	struct err err;
	enum code rc;

	path_of(s, &path);
	rc = fs_get(fs_real(), path.p, &file, &err);
	if (rc == E_NOT_FOUND)
		return;
	if (rc == OK)
		rc = read_note(buf_view(&file), &s->note, &err);
	if (rc == OK)
		return;
	log_warn(PART, LOG_KV(log_z("file", path.p), log_z("why", err.text)),
		 "who initialized the cluster cannot be told");
	buf_reset(&s->note);
}

static void noted(struct store_write *w, const struct outcome *o)
{
	struct store *s = container_of(w, struct store, note_write);

	s->is_noting = false;
	if (o->code == OK)
		remove_note(s);
	else
		log_warn(PART, LOG_KV(log_z("why", o->text)),
			 "who initialized the cluster is not in the audit log yet");
}

void initialize_tick(struct store *s)
{
	struct rc_status st;

	if (!s->note.n || s->is_noting ||
	    state_head(s->state)->version < VERSION_MEMBERS)
		return;
	rc_node_status(s->node, &st);
	if (!st.is_ready)
		return;
	s->is_noting = true;
	s->note_write = (struct store_write){ .home = s->core,
					      .bytes = buf_view(&s->note),
					      .done = noted };
	submit_on_core(s, &s->note_write);
}

/* ---- asking ---- */

static void initialized_home(struct msg *msg)
{
	struct store_initialize *i = container_of(msg, struct store_initialize,
						  msg_);

	i->done(i, i->rc_, &i->err_);
}

static void tell(struct store_initialize *i, enum code rc, const struct err *err)
{
	i->rc_ = rc;
	if (rc)
		err_copy(&i->err_, err);
	buf_fini(&i->origin_);
	i->msg_.run = initialized_home;
	loop_post_sure(i->home, &i->msg_);
}

static void initialized(struct rc_initialize *done, enum code rc,
			const struct err *err)
{
	struct store_initialize *i = container_of(done, struct store_initialize,
						  rc_initialize_);

	if (rc && i->has_noted_)
		remove_note(i->store_);
	tell(i, rc, err);
}

static void initialize_here(struct msg *msg)
{
	struct store_initialize *i = container_of(msg, struct store_initialize,
						  msg_);
	struct store *s = i->store_;
	struct rc_status st;
	struct err err;

	rc_node_status(s->node, &st);
	/* Asked for once more: the first one is on record. */
	if (!st.is_formed && !s->note.n) {
		i->who.origin = buf_view(&i->origin_);
		if (write_note(s, i, &err)) {
			tell(i, err.code, &err);
			return;
		}
		i->has_noted_ = true;
	}
	i->rc_initialize_ = (struct rc_initialize){ i->expect, initialized };
	if (rc_initialize(s->node, &i->rc_initialize_))
		return;
	err_set(&err, E_UNAVAILABLE, "the node is stopping");
	initialized(&i->rc_initialize_, E_UNAVAILABLE, &err);
}

bool store_initialize(struct store *s, struct store_initialize *i)
{
	if (atomic_load(&s->is_stopping))
		return false;
	i->store_ = s;
	i->has_noted_ = false;
	i->origin_ = BUF_NONE;
	buf_str(&i->origin_, i->who.origin);
	i->who.reason = STR_NONE;
	i->msg_.run = initialize_here;
	loop_post_sure(s->core, &i->msg_);
	return true;
}
