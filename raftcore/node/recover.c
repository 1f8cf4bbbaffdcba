/*
 * Forced recovery: see recover.h.  The old folder is only read; the state is made
 * anew from its newest whole checkpoint and all of its log, in restoring/, and goes
 * the way of a restore from there on (restore.c).
 */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/own.h"
#include "node/restore.h"
#include "raftcore/recover.h"

#include "base/banned.h"

#define ULL(x) ((unsigned long long)(x))

/* An old folder that is looked at. */
struct survivor {
	struct wal *wal;
	struct seal_files *files;        /* of its checkpoints */
	struct checkpoint base;
	char *checkpoints;
	uint64_t first;                  /* of the log; 0: it is empty */
	struct rc_survey *out;
	const struct rc_recover *how;    /* NULL: it is only looked at */
};

static void take_members(struct rc_survey *out, uint64_t index, struct str conf)
{
	struct engine_member *m = mem_zero(RC_SURVEY_MEMBERS * sizeof(*m));
	size_t n = MIN(engine_members(conf, m, RC_SURVEY_MEMBERS),
		       (size_t)RC_SURVEY_MEMBERS);

	out->members_index = index;
	out->n_members = n;
	for (size_t i = 0; i < n; i++) {
		out->members[i].id = m[i].id;
		out->members[i].votes = m[i].votes;
		memcpy(out->members[i].address, m[i].address,
		       sizeof(m[i].address));
	}
	free(m);
}

/* A record that starts lower replaces what was behind. */
static enum code found(void *data, const struct wal_entry *e, struct err *err)
{
	struct survivor *s = data;

	if (s->first && e->index > s->out->last_index + 1)
		return err_set(err, E_CORRUPT, "entry %llu does not follow %llu",
			       ULL(e->index), ULL(s->out->last_index));
	if (!s->first || e->index < s->first)
		s->first = e->index;
	s->out->last_index = e->index;
	s->out->last_term = e->term;
	return OK;
}

static enum code open_wal(struct survivor *s, const char *dir,
			  const struct identity *id,
			  const struct seal_provider *seal, struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	struct wal_config c = { .fs = fs_real(), .node = id->node,
				.cluster = id->cluster,
				.segment_bytes = 64u << 20,
				.seal = seal, .reads_only = true };

	buf_printf(&path, "%s/wal", dir);
	if (access(path.p, F_OK))
		return err_set(err, E_NOT_FOUND, "%s has no log", dir);
	c.dir = path.p;
	return wal_open(&c, found, s, &s->wal, err);
}

/* As at a start: the log is that of before, where a checkpoint was to replace it
 * and counts. */
static enum code check_install(struct survivor *s, const char *dir,
			       struct err *err)
{
	struct mark mark;
	enum code rc = mark_read(fs_real(), dir, &mark, err);

	if (rc)
		return rc;
	if (mark.begun_index && mark.begun_index == s->base.index &&
	    mark.begun_term == s->base.term) {
		mark.done_index = s->base.index;
		s->first = s->out->last_index = s->out->last_term = 0;
	}
	if (s->out->last_index >= s->base.index ||
	    (s->first == 0 && mark.done_index == s->base.index))
		return OK;
	err_set(err, E_CORRUPT, "%s: the log ends at entry %llu, below the "
		"checkpoint at %llu: segments are missing", dir,
		ULL(s->out->last_index), ULL(s->base.index));
	return err_hint(err, "put the missing segments back, take another "
			     "survivor, or restore a backup");
}

static enum code note_members(void *data, const struct wal_entry *e,
			      struct err *err)
{
	struct survivor *s = data;

	if (e->type == ENGINE_CHANGE)
		take_members(s->out, e->index, e->data);
	return OK;
}

/* The log and the checkpoint meet, or something is missing. */
static enum code check(struct survivor *s, const char *dir, struct err *err)
{
	struct rc_survey *o = s->out;
	enum code rc = check_install(s, dir, err);

	if (rc)
		return rc;
	if (s->first > s->base.index + 1)
		return err_set(err, E_CORRUPT, "%s: the log begins at entry %llu, and "
			       "the newest whole checkpoint ends at %llu", dir,
			       ULL(s->first), ULL(s->base.index));
	if (s->base.index) {
		o->checkpoint_index = s->base.index;
		take_members(o, s->base.conf_index, buf_view(&s->base.conf));
	}
	if (o->last_index < s->base.index) {
		o->last_index = s->base.index;
		o->last_term = s->base.term;
	}
	if (o->last_index == 0)
		return err_set(err, E_NOT_FOUND, "%s holds nothing", dir);
	if (s->first == 0 || o->last_index <= s->base.index)
		return OK;
	return wal_read(s->wal, MAX(s->first, s->base.index + 1),
			o->last_index, note_members, s, err);
}

static enum code look(struct survivor *s, const char *dir,
		      const struct seal_provider *seal, struct err *err)
{
	struct identity *id = NEW(struct identity);
	AUTO_BUF checkpoints = BUF_NONE;
	struct vote vote = { 0 };
	struct fence fence = { 0 };
	unsigned damaged;
	enum code rc = identity_read(fs_real(), dir, id, err);

	if (rc == E_NOT_FOUND || (rc == OK && id->waits))
		rc = err_set(err, E_NOT_FOUND, "%s is not the data directory of a "
			     "cluster's node", dir);
	buf_printf(&checkpoints, "%s/checkpoints", dir);
	s->checkpoints = buf_take(&checkpoints);
	if (rc == OK) {
		s->out->node_id = id->node;
		s->out->cluster = id->cluster;
		rc = vote_read(fs_real(), dir, &vote, err);
		s->out->vote_term = vote.term;
		s->files = checkpoint_files_new(fs_real(), seal, id->cluster);
	}
	if (rc == OK)
		rc = fence_read(fs_real(), dir, &fence, err);
	s->out->is_fenced = fence.is_on;
	if (rc == OK)
		rc = checkpoint_find(seal_files_fs(s->files), s->checkpoints,
				     id->cluster, &s->base, &damaged, err);
	if (rc == OK)
		rc = open_wal(s, dir, id, seal, err);
	if (rc == OK)
		rc = check(s, dir, err);
	free(id);
	return rc;
}

static void let_go(struct survivor *s)
{
	wal_close(&s->wal);
	checkpoint_fini(&s->base);
	seal_files_free(&s->files);
	free(TAKE(s->checkpoints));
}

enum code rc_survey(const char *dir, const struct seal_provider *seal,
		    struct rc_survey *out, struct err *err)
{
	struct survivor s = { .out = out };
	int lock = -1;
	enum code rc;

	*out = (struct rc_survey){ 0 };
	if (access(dir, F_OK))
		return err_set(err, E_NOT_FOUND, "%s is not there", dir);
	rc = dir_lock(dir, &lock, err);
	if (rc == OK)
		rc = restore_adopt(dir, err);
	if (rc == OK)
		rc = look(&s, dir, seal, err);
	let_go(&s);
	if (lock >= 0)
		close(lock);
	return rc;
}

int rc_survey_cmp(const struct rc_survey *a, const struct rc_survey *b)
{
	if (a->is_fenced != b->is_fenced)
		return a->is_fenced ? -1 : 1;
	if (a->last_term != b->last_term)
		return a->last_term > b->last_term ? 1 : -1;
	return (a->last_index > b->last_index) - (a->last_index < b->last_index);
}

/* ---- the state ---- */

static enum code apply_some(const struct rc_machine *m,
			    const struct node_loaded *loaded, struct err *err)
{
	struct rc_entry *batch = mem_zero(loaded->n * sizeof(*batch));
	enum code rc;

	for (size_t i = 0; i < loaded->n; i++)
		core_entry_of(&loaded->entries[i], &batch[i]);
	rc = rc_machine_apply(m, batch, loaded->n, err);
	free(batch);
	return rc;
}

/* The newest checkpoint, and every entry above it. */
static enum code open_state(void *data, const struct rc_machine *m,
			    const char *dir, struct rc_applied *at,
			    struct err *err)
{
	struct survivor *s = data;
	AUTO_BUF picture = BUF_NONE;
	struct rc_checkpoint from = { .fs = seal_files_fs(s->files),
				      .index = s->base.index };
	enum code rc;

	checkpoint_path(s->checkpoints, &s->base, ".ckpt", &picture);
	from.path = picture.p;
	rc = m->open(m->data, dir, from.index ? &from : NULL, at, err);
	if (rc)
		return rc;
	if (at->index < s->base.index)
		rc = err_set(err, E_CORRUPT, "the state did not take the checkpoint "
			     "at %llu", ULL(s->base.index));
	while (rc == OK && at->index < s->out->last_index) {
		struct node_loaded loaded = { 0 };

		rc = node_load(s->wal, at->index + 1, s->out->last_index,
			       &loaded, err);
		if (rc == OK)
			rc = apply_some(m, &loaded, err);
		if (rc == OK)
			at->index = loaded.entries[loaded.n - 1].index;
		node_loaded_fini(&loaded);
	}
	at->term = MAX(at->term, MAX(s->out->vote_term, s->out->last_term)) + 1;
	if (rc)
		m->close(m->data);
	return rc;
}

static void put_command(void *data, const struct backup_head *none,
			struct buf *out)
{
	struct survivor *s = data;

	(void)none;
	if (s->how->command)
		s->how->command(s->how->data, s->out, out);
}

static enum code was_applied(void *data, struct err *err)
{
	struct survivor *s = data;

	return s->how->applied ? s->how->applied(s->how->data, err) : OK;
}

static enum code recover(struct survivor *s, struct rc_restored *out,
			 struct err *err)
{
	const struct rc_recover *how = s->how;
	struct rc_restore as = { .dir = how->dir, .node_id = s->out->node_id,
				 .address = how->address,
				 .cluster = how->cluster,
				 .machine = how->machine, .seal = how->seal,
				 .aside = true,
				 .adopt = true, .command = put_command,
				 .applied = was_applied, .data = s };

	return restore_make(&as, open_state, s, out, err);
}

enum code rc_recover(const struct rc_recover *how, struct rc_survey *was,
		     struct rc_restored *out, struct err *err)
{
	struct survivor s = { .out = was, .how = how };
	int lock = -1;
	enum code rc;

	*was = (struct rc_survey){ 0 };
	*out = (struct rc_restored){ 0 };
	if (!how->accepts_loss) {
		err_set(err, E_PRECONDITION, "what was acknowledged and is not in %s "
			"would be lost: nothing was recovered", how->dir);
		return err_hint(err, "compare the survivors (rc_survey), then say "
				     "accepts_loss");
	}
	if (access(how->dir, F_OK))
		return err_set(err, E_NOT_FOUND, "%s is not there", how->dir);
	rc = dir_lock(how->dir, &lock, err);
	if (rc == OK)
		rc = restore_adopt(how->dir, err);
	if (rc == OK)
		rc = look(&s, how->dir, how->seal, err);
	if (rc == OK)
		rc = recover(&s, out, err);
	let_go(&s);
	if (lock >= 0)
		close(lock);
	return rc;
}
