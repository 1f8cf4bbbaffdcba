/*
 * conflux-agent: configurations as files, for programs that know nothing of
 * Conflux.
 *
 * For each file there is a target.  When a configuration has another version the
 * agent writes it beside the file, lets a command of yours check it, renames it over
 * the file, and tells the program (a command or a signal).  What comes of that is what
 * the cluster hears: applied, or rejected with a reason.  A file is replaced by
 * rename alone, so that whoever reads it, at whatever moment the agent or the machine
 * dies, finds the whole old one or the whole new one.
 *
 *	settings.c	the agent's file of settings
 *	file.c		files that are replaced, and what goes before
 *	command.c	commands with a deadline
 *	record.c	what is remembered of a target over restarts
 *	target.c	from a version to a verdict
 *	conflux_agent_main.c	connections, signals, the loop
 *
 * One thread does all of this; the SDK's threads only wake it.
 */
#ifndef EDGE_H
#define EDGE_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "wire/sum.h"

/* ---- settings.c ---- */

struct edge_file {
	struct str config;               /* the configuration's name */
	const char *path;                /* absolute */
	uid_t uid;                       /* (uid_t)-1: as the agent is */
	gid_t gid;
	mode_t mode;
	char *const *check;              /* argv, or NULL; "{}" is the candidate */
	char *const *reload;             /* argv, or NULL */
	int signal;                      /* 0: none; to who pid_file names */
	const char *pid_file;
	unsigned timeout_ms;             /* of each command: 30,000 */
};

/* The configurations of one address, with one connection. */
struct edge_set {
	const char *tenant, *application, *environment;
	const char *labels;              /* "a=b,c=d", or NULL */
	struct edge_file *files;
	size_t n_files;
};

struct edge_settings {
	const char *endpoints;           /* with commas between */
	const char *token_file, *ca_file, *cert_file, *key_file, *public_key_file;
	const char *instance;            /* NULL: the host's name */
	const char *state_dir;
	const char *snapshot_key_file;
	struct edge_set *sets;
	size_t n_sets;
	struct arena *arena;
};

/* Reads and checks; the error names the file, the place and what to do. */
enum code edge_settings_load(const char *path, struct edge_settings *out,
			     struct err *err) MUST_USE;
/* As edge_settings_load, of a text. */
enum code edge_settings_parse(struct str text, struct edge_settings *out,
			      struct err *err) MUST_USE;
void edge_settings_fini(struct edge_settings *s);
/* Where the i-th set's content is kept for an offline start: one file for each address
 * and set of labels, and for each set where several have the same. */
void edge_snapshot_path(const struct edge_settings *s, size_t i, struct buf *out);

/* ---- command.c ---- */

/*
 * Runs argv with "{}" replaced by 'file' (a word that is "{}", or holds it), with
 * CONFLUX_FILE, CONFLUX_CONFIG and CONFLUX_VERSION in its environment, in a process
 * group of its own, and waits for it.  E_FAILED: it ended otherwise than with 0, with
 * the end of what it wrote; E_TIMEOUT: it and its group were killed; E_CANCELLED: the
 * agent is to end, and the command was not there yet within five seconds of that, or
 * failed; E_NOT_FOUND, E_DENIED, E_IO: it could not be started.  What it leaves running
 * is not waited for.
 */
struct edge_about {
	const char *file, *config;
	uint64_t version;
	int stop;                        /* readable: the agent is to end; 0: never is */
};
enum code edge_run(char *const *argv, const struct edge_about *about,
		   unsigned timeout_ms, struct err *err) MUST_USE;
/* Is there a program to run?  E_NOT_FOUND, E_DENIED. */
enum code edge_can_run(char *const *argv, struct err *err) MUST_USE;
/* Sends 'signal' to whom 'pid_file' names; never E_FAILED.  0: is he there? */
enum code edge_signal(const char *pid_file, int signal, struct err *err) MUST_USE;

/* ---- file.c ---- */

/* Writes a candidate beside 'f->path', synced, with owner and mode; '*out' is its
 * name. */
enum code edge_candidate(const struct edge_file *f, struct str content,
			 struct buf *out, struct err *err) MUST_USE;
/* Renames it over the file, durably. */
enum code edge_switch(const struct edge_file *f, const char *candidate,
		      struct err *err) MUST_USE;
void edge_discard(const char *candidate);
/* Candidates that an agent before left, which died. */
void edge_sweep(const struct edge_file *f);
/* What stands there, up to EDGE_CONTENT_MAX bytes, and of whom ('st' may be NULL);
 * E_NOT_FOUND. */
#define EDGE_CONTENT_MAX (64u * 1024 * 1024)
struct stat;
enum code edge_content(const char *path, struct buf *out, struct stat *st,
		       struct err *err) MUST_USE;
/* It holds just this, whosever it is. */
bool edge_has(const struct edge_file *f, const struct sha256 *sha);
/* The same, and owner and mode are as they should be. */
bool edge_is_in_place(const struct edge_file *f, const struct sha256 *sha);
/* The state's folder is this agent's until '*fd' is closed; E_BUSY: another's. */
enum code edge_lock(const char *dir, int *fd, struct err *err) MUST_USE;

/* ---- record.c ---- */

enum edge_phase {
	EDGE_NOTHING,                    /* nothing was done yet */
	EDGE_SWITCHING,                  /* the file may be the new one; not told */
	EDGE_APPLIED,
	EDGE__PHASES,
};

/* What is known of a target; a file of its own in the state's folder. */
struct edge_record {
	enum edge_phase phase;
	uint64_t version;                /* applied, or switching to */
	struct sha256 sha;
	bool has_previous;               /* the content before is kept beside it */
	uid_t previous_uid;              /* whose that file was */
	gid_t previous_gid;
	mode_t previous_mode;
	/* The last version that was rejected; 0: none. */
	uint64_t rejected;
	struct sha256 rejected_sha;
	char reason[200];
};
/* A record that is not there is EDGE_NOTHING; so is one of another path, and one
 * that cannot be read (which is logged). */
void edge_record_load(const char *dir, const struct edge_file *f,
		      struct edge_record *out);
enum code edge_record_save(const char *dir, const struct edge_file *f,
			   const struct edge_record *r, struct err *err) MUST_USE;
/* The content that the file had before the switch. */
enum code edge_previous_save(const char *dir, const struct edge_file *f,
			     struct str content, struct err *err) MUST_USE;
enum code edge_previous_load(const char *dir, const struct edge_file *f,
			     struct buf *out, struct err *err) MUST_USE;

/* ---- target.c ---- */

struct edge_version {
	uint64_t version;
	struct sha256 sha;
	struct str content;
};

/* How long to wait after so many failures in a row: 10 s, twice that, up to 300 s. */
uint64_t edge_retry_ms(unsigned failures);

enum edge_verdict {
	EDGE_KEPT,                       /* it is in place already */
	EDGE_TAKEN,                      /* it was applied now */
	EDGE_REJECTED,                   /* by a command of the user's: not tried again */
	EDGE_FAILED,                     /* by this machine: to be tried again, which
					    the next agent does after E_CANCELLED */
};

struct edge_target {
	const struct edge_file *file;
	const char *state_dir;
	struct edge_record record;
	int stop;                        /* as in struct edge_about */
};

/* Reads what is known, and sweeps up; 'stop' is 0. */
void edge_target_open(struct edge_target *t, const struct edge_file *f,
		      const char *state_dir);
/*
 * Brings the file to 'v', and tells the program; blocks as long as commands take.  Where
 * the program cannot be told the file stays as it is: EDGE_FAILED.  One that was not
 * there before is put there all the same, for a program that is yet to start, and stays.
 * 'err' says why with EDGE_REJECTED and EDGE_FAILED.  After EDGE_REJECTED what was there
 * before is there again; after EDGE_FAILED it is still, or again, or the next call goes
 * on from where this one came to.  'again': also what was rejected before is tried.
 */
enum edge_verdict edge_target_bring(struct edge_target *t,
				    const struct edge_version *v, bool again,
				    struct err *err);
/* Ends what an agent before had begun and died of: the file stays the new one where
 * the program takes it, else it becomes the old one again.  Anything but OK: it is not
 * ended yet. */
enum code edge_target_recover(struct edge_target *t, struct err *err) MUST_USE;

#endif
