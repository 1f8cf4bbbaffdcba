/*
 * A cluster that has lost its majority for good: what a survivor holds, and making
 * it a new cluster of one.  Where no node runs; blocking.
 *
 * What may be lost: everything that was acknowledged and is not in this survivor's
 * log.  What may appear: entries at the end of its log that were never acknowledged;
 * nobody is left who knows.  So the survivor with the highest (last term, last index)
 * is to be taken, and the other one's difference is looked at (rc_survey).
 */
#ifndef RAFTCORE_RECOVER_H
#define RAFTCORE_RECOVER_H

#include "raftcore/restore.h"

#define RC_SURVEY_MEMBERS 64

/* What a data directory holds. */
struct rc_survey {
	uint64_t node_id;
	struct uuid cluster;
	uint64_t last_term, last_index; /* of its log */
	uint64_t vote_term;             /* the newest that it has heard of */
	uint64_t checkpoint_index;      /* 0: none */
	bool is_fenced;                 /* the others said its state is wrong */
	uint64_t members_index;         /* of the entry with these members */
	size_t n_members;
	struct {
		uint64_t id;
		bool votes;
		char address[272];
	} members[RC_SURVEY_MEMBERS];
};

struct seal_provider;

/* Reads log and checkpoints.  It changes nothing, but for what a crash left half
 * written or half moved (checkpoint_find, rc_restore).  E_BUSY: a process runs on
 * it; E_NOT_FOUND: it is no data directory; E_CORRUPT: damage, with the place;
 * E_DENIED: it is sealed, and 'seal' (which may be NULL) does not open it. */
enum code rc_survey(const char *dir, const struct seal_provider *seal,
		    struct rc_survey *out, struct err *err) MUST_USE;

/* Above 0: 'a' is the better survivor; 0: as good as 'b'.  One that is not fenced
 * goes before one that is, then the higher (last term, last index). */
int rc_survey_cmp(const struct rc_survey *a, const struct rc_survey *b);

/*
 * Makes the folder that of a new cluster of one voter, this node, which others join
 * empty: all of the log is applied, then one command.  The term is higher than any
 * that the survivor has heard of, and the id of the cluster is another, so that old
 * members are refused.  What was there is moved to <dir>/before-restore-*.
 *
 * Crashes leave the one or the other, as with rc_restore.  E_PRECONDITION: what this
 * survivor does not have is lost by it, and 'accepts_loss' does not say that this is
 * meant; nothing was touched.  Errors as of rc_survey and rc_restore; E_CORRUPT also
 * where log and checkpoint do not meet.
 */
struct rc_recover {
	const char *dir;
	bool accepts_loss;              /* said by whom it concerns, and by no default */
	const char *address;            /* that others reach it at; "" for one */
	struct uuid cluster;            /* the new id */
	struct rc_machine machine;      /* is opened and closed here */
	const struct seal_provider *seal;
	/* The command, appended to 'out'; NULL: none. */
	void (*command)(void *data, const struct rc_survey *from,
			struct buf *out);
	/* It was applied; an error gives it up.  May be NULL. */
	enum code (*applied)(void *data, struct err *err);
	void *data;
};
enum code rc_recover(const struct rc_recover *how, struct rc_survey *was,
		     struct rc_restored *out, struct err *err) MUST_USE;

#endif
