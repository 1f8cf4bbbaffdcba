/*
 * From a version to a verdict: see edge.h.
 *
 *	candidate   beside the file, synced
 *	check       of the candidate
 *	previous    what the file holds, kept durably
 *	record      "switching": from here on the file may be either
 *	rename      over the file
 *	tell        the program: a command, a signal, or both
 *	record      "applied"
 *
 * Whoever dies after "switching" finds by the file's digest which one it is, and goes
 * on from there (edge_target_recover).
 */
#include "edge/edge.h"

#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/log.h"

#include "base/banned.h"

#define PART "agent"

void edge_target_open(struct edge_target *t, const struct edge_file *f,
		      const char *state_dir)
{
	t->file = f;
	t->state_dir = state_dir;
	t->stop = 0;
	edge_sweep(f);
	edge_record_load(state_dir, f, &t->record);
}

static enum code save(struct edge_target *t, struct err *err)
{
	return edge_record_save(t->state_dir, t->file, &t->record, err);
}

/* A command has judged; else this machine could not, or was not to, ask it. */
static bool is_judged(enum code rc)
{
	return rc == E_FAILED || rc == E_TIMEOUT;
}

/* What is not remembered is found out again; the file is what counts. */
static void save_or_warn(struct edge_target *t)
{
	struct err err;

	if (save(t, &err))
		log_warn(PART, LOG_NO_KV, "%s", err.text);
}

static enum code check(const struct edge_target *t, const char *candidate,
		       const struct edge_version *v, struct err *err)
{
	struct edge_about about = { candidate, t->file->config.p, v->version,
				    t->stop };
	enum code rc;

	if (!t->file->check)
		return OK;
	rc = edge_run(t->file->check, &about, t->file->timeout_ms, err);
	return rc ? err_wrap(err, "check") : OK;
}

/* The file is what the program shall read now. */
static enum code tell(const struct edge_target *t, uint64_t version, struct err *err)
{
	const struct edge_file *f = t->file;
	struct edge_about about = { f->path, f->config.p, version, t->stop };

	if (f->reload && edge_run(f->reload, &about, f->timeout_ms, err))
		return err_wrap(err, "reload");
	if (f->signal && edge_signal(f->pid_file, f->signal, err))
		return err_wrap(err, "signal");
	return OK;
}

/* Can it be?  A file that is put there for a program that cannot be told would have to be
 * taken away again, with each try. */
static enum code can_tell(const struct edge_target *t, struct err *err)
{
	const struct edge_file *f = t->file;

	if (f->reload && edge_can_run(f->reload, err))
		return err_wrap(err, "reload");
	if (f->signal && edge_signal(f->pid_file, 0, err))
		return err_wrap(err, "signal");
	return OK;
}

/* The file is there, without one before it, and the program could not be told of it
 * yet: it may not have been started. */
static bool is_untold_first(const struct edge_target *t)
{
	return t->record.phase == EDGE_SWITCHING && !t->record.has_previous;
}

static bool stays(const struct edge_target *t, enum code rc)
{
	return is_untold_first(t) && !is_judged(rc);
}

static void reject(struct edge_target *t, const struct edge_version *v,
		   const struct err *err)
{
	t->record.rejected = v->version;
	t->record.rejected_sha = v->sha;
	(void)str_copy(t->record.reason, sizeof(t->record.reason),
		       str_of(err->text));
}

/* ---- there and back ---- */

static enum code keep_previous(struct edge_target *t, struct err *err)
{
	AUTO_BUF content = BUF_NONE;
	struct stat st;
	enum code rc;

	if (is_untold_first(t))
		return OK;               /* it never was in force */
	rc = edge_content(t->file->path, &content, &st, err);
	t->record.has_previous = rc == OK;
	if (rc == E_NOT_FOUND)
		return OK;
	if (rc)
		return rc;
	t->record.previous_uid = st.st_uid;
	t->record.previous_gid = st.st_gid;
	t->record.previous_mode = st.st_mode & 0777;
	return edge_previous_save(t->state_dir, t->file, buf_view(&content), err);
}

/* From here on the file may be the new one. */
static enum code switch_to(struct edge_target *t, const char *candidate,
			   const struct edge_version *v, struct err *err)
{
	enum code rc = keep_previous(t, err);

	if (!rc)
		rc = failpoint_hit(FP_AGENT_KEPT, err);
	if (rc)
		return rc;
	t->record.phase = EDGE_SWITCHING;
	t->record.version = v->version;
	t->record.sha = v->sha;
	rc = save(t, err);
	if (!rc)
		rc = failpoint_hit(FP_AGENT_SWITCH, err);
	if (!rc)
		rc = edge_switch(t->file, candidate, err);
	if (!rc)
		rc = failpoint_hit(FP_AGENT_SWITCHED, err);
	return rc;
}

/* Whose it was, and who might read it, it is again: the settings may say otherwise.
 * An agent that may not give files away keeps the mode at least. */
static enum code old_candidate(const struct edge_target *t, struct str content,
			       struct buf *out, struct err *err)
{
	struct edge_file was = *t->file;
	enum code rc;

	was.uid = t->record.previous_uid;
	was.gid = t->record.previous_gid;
	was.mode = t->record.previous_mode;
	rc = edge_candidate(&was, content, out, err);
	if (rc != E_DENIED)
		return rc;
	was.uid = t->file->uid;
	was.gid = t->file->gid;
	return edge_candidate(&was, content, out, err);
}

/* What was there before is there again. */
static enum code turn_back(struct edge_target *t, struct err *err)
{
	AUTO_BUF content = BUF_NONE;
	AUTO_BUF candidate = BUF_NONE;
	enum code rc;

	if (!t->record.has_previous) {
		edge_discard(t->file->path);
		return OK;
	}
	rc = edge_previous_load(t->state_dir, t->file, &content, err);
	if (!rc)
		rc = old_candidate(t, buf_view(&content), &candidate, err);
	if (!rc)
		rc = failpoint_hit(FP_AGENT_BACK, err);
	if (!rc)
		rc = edge_switch(t->file, candidate.p, err);
	if (!rc)
		rc = failpoint_hit(FP_AGENT_TURNED, err);
	if (rc && candidate.n)
		edge_discard(candidate.p);
	return rc ? err_wrap(err, "what was there before cannot be put back") : OK;
}

static void forget_switch(struct edge_target *t, const struct edge_record *before)
{
	t->record.phase = before->phase;
	t->record.version = before->version;
	t->record.sha = before->sha;
}

/* The program does not take it, or cannot be told.  Where the old content cannot be
 * put back the switch stays on record, and is gone about again. */
static enum edge_verdict take_back(struct edge_target *t,
				   const struct edge_record *before,
				   const struct edge_version *v, struct err *err)
{
	struct err again;

	if (turn_back(t, &again)) {
		err_wrap(err, "%s, after", again.text);
		err->code = again.code;
		return EDGE_FAILED;
	}
	if (tell(t, before->version, &again))
		log_error(PART, LOG_KV(log_z("file", t->file->path)),
			  "with what was there before: %s", again.text);
	if (failpoint_hit(FP_AGENT_RETOLD, err))
		return EDGE_FAILED;
	forget_switch(t, before);
	if (is_judged(err->code))
		reject(t, v, err);
	save_or_warn(t);
	return is_judged(err->code) ? EDGE_REJECTED : EDGE_FAILED;
}

static enum edge_verdict taken(struct edge_target *t, struct err *err)
{
	if (failpoint_hit(FP_AGENT_TOLD, err))
		return EDGE_FAILED;
	t->record.phase = EDGE_APPLIED;
	t->record.rejected = 0;
	t->record.reason[0] = '\0';
	save_or_warn(t);
	return EDGE_TAKEN;
}

/* ---- a version ---- */

static enum edge_verdict bring(struct edge_target *t, const struct edge_version *v,
			       const char *candidate, struct err *err)
{
	struct edge_record before = t->record;
	enum code rc = check(t, candidate, v, err);

	if (rc)
		edge_discard(candidate);
	if (rc && !is_judged(rc))
		return EDGE_FAILED;
	if (rc) {
		reject(t, v, err);
		save_or_warn(t);
		return EDGE_REJECTED;
	}
	if (switch_to(t, candidate, v, err)) {
		/* What was begun the next try ends first. */
		edge_discard(candidate);
		return EDGE_FAILED;
	}
	rc = tell(t, v->version, err);
	if (rc == E_CANCELLED || (rc && stays(t, rc)))
		return EDGE_FAILED;      /* it is told later */
	return rc ? take_back(t, &before, v, err) : taken(t, err);
}

enum code edge_target_recover(struct edge_target *t, struct err *err)
{
	struct edge_version v = { t->record.version, t->record.sha, STR_NONE };
	struct edge_record before = { 0 };
	enum code rc;

	if (t->record.phase != EDGE_SWITCHING)
		return OK;
	/* Whose it is to be, and its mode, may be set otherwise by now. */
	if (!edge_has(t->file, &v.sha)) {
		/* It died before the rename. */
		t->record.phase = EDGE_NOTHING;
		save_or_warn(t);
		return OK;
	}
	rc = tell(t, v.version, err);
	if (rc == OK)
		return taken(t, err) == EDGE_TAKEN ? OK : err->code;
	if (rc == E_CANCELLED || stays(t, rc))
		return rc;
	log_error(PART, LOG_KV(log_z("file", t->file->path),
			       log_u("version", v.version)), "%s", err->text);
	return take_back(t, &before, &v, err) == EDGE_FAILED ? err->code : OK;
}

uint64_t edge_retry_ms(unsigned failures)
{
	return MIN(UINT64_C(10000) << MIN(failures, 5u), UINT64_C(300000));
}

/* What was begun ended, or may be passed over. */
static bool is_free(struct edge_target *t, const struct edge_version *v,
		    struct err *err)
{
	enum code rc = edge_target_recover(t, err);

	/* Of that one nobody knows: it gives way to another. */
	return rc == OK || (rc != E_CANCELLED && stays(t, rc) &&
			    !sha256_eq(&t->record.sha, &v->sha));
}

static bool is_there(const struct edge_target *t)
{
	struct stat st;

	return lstat(t->file->path, &st) == 0 && !is_untold_first(t);
}

enum edge_verdict edge_target_bring(struct edge_target *t,
				    const struct edge_version *v, bool again,
				    struct err *err)
{
	AUTO_BUF candidate = BUF_NONE;
	struct edge_record *r = &t->record;

	if (!is_free(t, v, err))
		return EDGE_FAILED;
	if (r->phase == EDGE_APPLIED && sha256_eq(&r->sha, &v->sha) &&
	    edge_is_in_place(t->file, &v->sha)) {
		r->version = v->version;
		return EDGE_KEPT;
	}
	if (!again && r->rejected == v->version &&
	    sha256_eq(&r->rejected_sha, &v->sha)) {
		err_set(err, E_FAILED, "%s", r->reason);
		return EDGE_REJECTED;
	}
	if ((is_there(t) && can_tell(t, err)) ||
	    edge_candidate(t->file, v->content, &candidate, err))
		return EDGE_FAILED;
	return bring(t, v, candidate.p, err);
}
