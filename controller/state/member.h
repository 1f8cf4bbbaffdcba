/*
 * What the audit log says of changes of the membership: the operation OP_MEMBERS
 * (command.h).
 *
 * The membership is the engine's, and its changes are no commands; these operations
 * say who asked for one, and what came of it (docs/decisions/0016).  A change is
 * ASKED, made, and ENDED.  Between the two it is open, which is in the state, so
 * that another leader who comes to it says what it FOUND.  What ended that is not
 * open any more says nothing.  NOTED is what was refused before it was begun, or is
 * no change by the engine.  Numbers are in the log: append only; who does not know
 * one stops before it.
 */
#ifndef STATE_MEMBER_H
#define STATE_MEMBER_H

/* From this cluster version on. */
#define VERSION_MEMBERS 2

enum member_stage {
	MEMBER_ASKED = 1,
	MEMBER_ENDED = 2,
	MEMBER_FOUND = 3,
	MEMBER_NOTED = 4,
	MEMBER_STAGE__END
};
enum member_what {
	MEMBER_ADD = 1,
	MEMBER_PROMOTE = 2,
	MEMBER_DEMOTE = 3,
	MEMBER_REMOVE = 4,
	MEMBER_LEAD = 5,                 /* leadership was to be handed to it */
	MEMBER_INITIALIZE = 6,           /* the cluster was formed by hand */
	MEMBER_WHAT__END
};
/* As the audit names it: "member-add". */
const char *member_action(enum member_what what);
#define MEMBER_TEXT_MAX 400
/* Changes that are open at once; more are refused. */
#define MEMBERS_OPEN_MAX 16

#endif
