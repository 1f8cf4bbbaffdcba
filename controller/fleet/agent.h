/*
 * The agent of a node: what its instances have of the releases that run, as reports
 * to the leader.
 *
 * It is told which releases run, sees what changed in the fleet, and makes of it one
 * record for each instance that a release concerns: because the release's rules pick
 * it, or because it was sent a version of it, or said something of one.  What differs
 * from what was reported goes out; what was sent and not answered goes out again; and
 * all of it where the leader is another (its session), or asks for it.  One report is
 * on its way at a time.
 *
 * An instance is *of the cohort* of a step where it is connected and picked; *late*
 * where it became so after the step had begun (MOVE_STEP_BEGUN).  When all instances
 * were looked at for a step the report says so (EVALUATED), behind their records.
 *
 * No thread, no clock, no store; node.c drives it.  Core loop; it takes the fleet's
 * lock for what it does.
 */
#ifndef FLEET_AGENT_H
#define FLEET_AGENT_H

#include "fleet/fleet.h"

/* A configuration of a release. */
struct fleet_config {
	struct str key;                  /* "tenant/application/environment/name" */
	uint32_t version;
};

/* As the state has it. */
struct fleet_release {
	uint64_t id;
	uint64_t rev;                    /* another: its rules may be others */
	uint32_t step;
	bool is_begun;                   /* the step; MOVE_STEP_BEGUN */
	const struct fleet_config *configs;
	size_t n;                        /* at most FLEET_CONFIGS_MAX */
};

struct agent_host {
	uint64_t began_ms;               /* since when the fleet knows who is there */
	/* Does what is live at 'key' give the client the release's version? */
	bool (*picks)(void *data, uint64_t release, struct str key,
		      const struct client *client);
	void *data;
};

struct agent;
/* 'boot' is another for each process. */
struct agent *agent_new(struct fleet *fleet, const struct agent_host *host,
			uint64_t boot);
/* Before the fleet. */
void agent_free(struct agent **agent);

/* Which releases run: start, add each, end.  Copies. */
void agent_running_start(struct agent *agent);
void agent_running_add(struct agent *agent, const struct fleet_release *release,
		       uint64_t now_ms);
/* Instead of it where nothing is otherwise; false: something is. */
bool agent_running_keep(struct agent *agent, uint64_t release, uint64_t rev);
/* True: one has other configurations than before, so what was gathered of them says
 * something else: a leader gathers anew. */
bool agent_running_end(struct agent *agent);
size_t agent_running(const struct agent *agent);
bool agent_runs(const struct agent *agent, uint64_t release);

/* Looks at 'most' instances that changed, or that a release has come to concern.
 * True: there are more. */
bool agent_look(struct agent *agent, unsigned most, uint64_t now_ms);
/* Is there something to report, and nothing on its way? */
bool agent_has_report(const struct agent *agent);
/* What is there cannot wait: a rejection, or a step that was evaluated. */
bool agent_is_urgent(const struct agent *agent);
/* The next report, to be answered; only where there is one. */
void agent_report(struct agent *agent, uint64_t now_ms, struct buf *out);
/* What came of it; 'answer' counts where rc is OK. */
void agent_answered(struct agent *agent, enum code rc, struct str answer);
/* A leader wants all of it. */
void agent_ask(struct agent *agent, uint64_t session);

#endif
