/* Releases that go out in steps: see rollout.h. */
#include "model/rollout.h"

#include <stdio.h>

#include "base/clock.h"

#include "base/banned.h"

/* Conditions that come and go are noted so often at most. */
#define NOTE_MS 1000u

static const char *const phase_names[ROLLOUT__END] = {
	[ROLLOUT_QUEUED] = "Queued",
	[ROLLOUT_PROGRESSING] = "Progressing",
	[ROLLOUT_PAUSED] = "Paused",
	[ROLLOUT_COMPLETED] = "Completed",
	[ROLLOUT_ROLLED_BACK] = "RolledBack",
	[ROLLOUT_ABORTED] = "Aborted",
	[ROLLOUT_SUPERSEDED] = "Superseded",
};

const char *rollout_phase_name(enum rollout_phase phase)
{
	return (unsigned)phase < ROLLOUT__END && phase_names[phase] ?
		       phase_names[phase] : "Unknown";
}

bool rollout_is_out(enum rollout_phase phase)
{
	return phase == ROLLOUT_PROGRESSING || phase == ROLLOUT_PAUSED;
}

bool rollout_is_open(enum rollout_phase phase)
{
	return phase == ROLLOUT_QUEUED || rollout_is_out(phase);
}

/* ---- moves ---- */

/* Progressing behind these while steps are left, else completed. */
#define STEPS_ON ROLLOUT_PROGRESSING

static const uint8_t moves[ROLLOUT__END][MOVE__END] = {
	[ROLLOUT_QUEUED] = {
		[MOVE_START] = ROLLOUT_PROGRESSING,
		[MOVE_ABORT] = ROLLOUT_ABORTED,
	},
	[ROLLOUT_PROGRESSING] = {
		[MOVE_STEP_BEGUN] = ROLLOUT_PROGRESSING,
		[MOVE_ADVANCE] = STEPS_ON,
		[MOVE_PROMOTE] = STEPS_ON,
		[MOVE_PROMOTE_FULL] = ROLLOUT_COMPLETED,
		[MOVE_PAUSE] = ROLLOUT_PAUSED,
		[MOVE_ROLLBACK] = ROLLOUT_ROLLED_BACK,
		[MOVE_ABORT] = ROLLOUT_ABORTED,
		[MOVE_MET] = ROLLOUT_PROGRESSING,
		[MOVE_UNMET] = ROLLOUT_PROGRESSING,
	},
	[ROLLOUT_PAUSED] = {
		[MOVE_PROMOTE] = STEPS_ON,
		[MOVE_PROMOTE_FULL] = ROLLOUT_COMPLETED,
		[MOVE_RESUME] = ROLLOUT_PROGRESSING,
		[MOVE_ROLLBACK] = ROLLOUT_ROLLED_BACK,
		[MOVE_ABORT] = ROLLOUT_ABORTED,
	},
	[ROLLOUT_COMPLETED] = {
		[MOVE_ROLLBACK] = ROLLOUT_ROLLED_BACK,
		[MOVE_FORGET] = ROLLOUT_COMPLETED,
	},
};

enum rollout_phase rollout_next(enum rollout_phase phase, enum release_move move,
				size_t step, size_t steps)
{
	enum rollout_phase to;

	if ((unsigned)phase >= ROLLOUT__END || (unsigned)move >= MOVE__END)
		return 0;
	to = moves[phase][move];
	if (to == STEPS_ON && (move == MOVE_ADVANCE || move == MOVE_PROMOTE) &&
	    step + 1 >= steps)
		return ROLLOUT_COMPLETED;
	return to;
}

/* ---- conditions ---- */

static void say(char reason[300], const char *text)
{
	snprintf(reason, 300, "%s", text);
}

/* a of n, against a share in basis points: less than 0, 0, more than 0. */
static int compare(uint64_t a, uint64_t n, uint32_t bp)
{
	unsigned __int128 left = (unsigned __int128)a * PERCENT_ALL;
	unsigned __int128 right = (unsigned __int128)n * bp;

	return left < right ? -1 : left > right;
}

static uint64_t bad_of(const struct strategy *s, const struct tally *t)
{
	return t->rejected + (s->lost_counts ? t->lost : 0);
}

static enum condition judge_rejected(const struct strategy *s,
				     const struct tally *t, char reason[300])
{
	uint64_t bad = bad_of(s, t);

	if (!s->has_rejected)
		return CONDITION_MET;
	if (compare(bad, t->total, s->rejected_bp) > 0) {
		snprintf(reason, 300, "%llu of %llu instances rejected it%s%s%.*s%s%.*s",
			 (unsigned long long)bad, (unsigned long long)t->total,
			 t->lost && s->lost_counts ? " or vanished with it" : "",
			 t->instance.n ? ": " : "",
			 (int)MIN(t->instance.n, (size_t)128), t->instance.p ?: "",
			 t->reason.n ? ": " : "",
			 (int)MIN(t->reason.n, (size_t)100), t->reason.p ?: "");
		return CONDITION_FAILED;
	}
	if (tally_is_gathered(t))
		return CONDITION_MET;
	say(reason, "not all of the step's instances were heard of");
	return CONDITION_UNKNOWN;
}

static enum condition judge_applied(const struct strategy *s,
				    const struct tally *t, char reason[300])
{
	uint64_t bad = bad_of(s, t);

	if (!s->has_applied)
		return CONDITION_MET;
	/* Of those that are left too few could still come to it. */
	if (bad && compare(t->total - MIN(bad, t->total), t->total,
			   s->applied_bp) < 0) {
		snprintf(reason, 300, "%llu of %llu instances will not apply it%s%.*s"
			 "%s%.*s", (unsigned long long)bad,
			 (unsigned long long)t->total, t->instance.n ? ": " : "",
			 (int)MIN(t->instance.n, (size_t)128), t->instance.p ?: "",
			 t->reason.n ? ": " : "",
			 (int)MIN(t->reason.n, (size_t)100), t->reason.p ?: "");
		return CONDITION_FAILED;
	}
	if (tally_is_gathered(t) && t->total < s->instances_min) {
		snprintf(reason, 300, "%llu instances are in the step, and %llu are to "
			 "be", (unsigned long long)t->total,
			 (unsigned long long)s->instances_min);
		return CONDITION_UNKNOWN;
	}
	if (tally_is_gathered(t) && compare(t->applied, t->total,
					    s->applied_bp) >= 0)
		return CONDITION_MET;
	snprintf(reason, 300, "%llu of %llu instances applied it, and %u.%02u%% must",
		 (unsigned long long)t->applied, (unsigned long long)t->total,
		 s->applied_bp / 100, s->applied_bp % 100);
	return CONDITION_UNKNOWN;
}

static enum condition judge_verdict(enum verdict v, const struct tally *t,
				    const char *who, char reason[300])
{
	if (v == VERDICT_MET)
		return CONDITION_MET;
	snprintf(reason, 300, "%s %s%s%.*s", who,
		 v == VERDICT_FAILED ? "says no" : "has not said yes yet",
		 t->verdict_reason.n ? ": " : "",
		 (int)MIN(t->verdict_reason.n, (size_t)200),
		 t->verdict_reason.p ?: "");
	return v == VERDICT_FAILED ? CONDITION_FAILED : CONDITION_UNKNOWN;
}

/* One that failed counts before what is not known, and that before what is met. */
static void add(enum condition *all, char reason[300], enum condition one,
		const char *text)
{
	bool counts = one == CONDITION_FAILED ? *all != CONDITION_FAILED :
		      one == CONDITION_UNKNOWN ? *all == CONDITION_MET : false;

	if (!counts)
		return;
	*all = one;
	say(reason, text);
}

enum condition rollout_condition(const struct strategy *s, const struct tally *t,
				 char reason[300])
{
	enum condition all = CONDITION_MET;
	char text[300] = "";

	reason[0] = '\0';
	add(&all, reason, judge_rejected(s, t, text), text);
	add(&all, reason, judge_applied(s, t, text), text);
	for (size_t i = 0; i < s->n_queries; i++)
		add(&all, reason, judge_verdict(t->queries[i], t, "Prometheus", text),
		    text);
	if (s->webhook.n)
		add(&all, reason, judge_verdict(t->webhook, t, "the webhook", text),
		    text);
	return all;
}

/* ---- what next ---- */

static void begin_to_look(struct rollout_watch *w, const struct rollout_facts *f,
			  uint64_t now_ms)
{
	w->began_ms = now_ms;
	w->baked_ms = f->baked_ms;
	w->looked_ms = f->met_ms;
	w->was_met = w->inherits = f->met_ms != 0;
}

/* Is it a new leader that cannot know yet? */
static bool waits_for_reports(const struct rollout_watch *w, enum condition c,
			      uint64_t now_ms)
{
	return w->inherits && c == CONDITION_UNKNOWN &&
	       now_ms < w->began_ms + ROLLOUT_GATHER_MS;
}

static void remember(struct rollout_watch *w, enum condition c, uint64_t now_ms)
{
	uint64_t passed = w->looked_ms && now_ms > w->looked_ms ?
				  now_ms - w->looked_ms : 0;

	w->inherits = false;
	/* The time behind us counts where it was met at both its ends. */
	if (c == CONDITION_MET && w->was_met)
		w->baked_ms += passed;
	w->was_met = c == CONDITION_MET;
	w->looked_ms = now_ms;
}

static void fail(const struct strategy *s, const char *why,
		 struct rollout_decision *out)
{
	out->move = s->pauses ? MOVE_PAUSE : MOVE_ROLLBACK;
	if (why != out->reason)
		say(out->reason, why);
}

/* How long it may take, from where on nobody listens to excuses. */
static uint64_t deadline(const struct strategy *s, const struct strategy_step *step,
			 const struct rollout_facts *f,
			 const struct rollout_watch *w)
{
	uint64_t by_state = f->step_ms + f->paused_ms + s->timeout_ms;
	uint64_t by_leader = w->began_ms + step->bake_ms + ROLLOUT_GATHER_MS;

	/* A leader that was there from the beginning needs no grace. */
	return w->began_ms <= f->step_ms + ROLLOUT_GATHER_MS / 10 ?
		       by_state : MAX(by_state, by_leader);
}

static void wait_for(struct rollout_decision *out, uint64_t due_ms)
{
	if (!out->due_ms || due_ms < out->due_ms)
		out->due_ms = due_ms;
}

static void say_until(char reason[300], const char *text, uint64_t ms)
{
	char time[RFC3339_MAX];

	clock_rfc3339(time, ms, false);
	snprintf(reason, 300, "%s until %s", text, time);
}

/* Its conditions held for long enough. */
static void decide_baked(const struct strategy_step *step,
			 const struct rollout_facts *f, uint64_t now_ms,
			 struct rollout_decision *out)
{
	uint64_t until = f->step_ms + f->paused_ms + step->pause_ms;

	if (step->is_manual) {
		say(out->reason, "waits for somebody to promote it");
	} else if (now_ms >= until) {
		out->move = MOVE_ADVANCE;
	} else {
		say_until(out->reason, "its pause is not over", until);
		wait_for(out, until);
	}
}

/* A leader that comes after this one is to know since when they are met. */
static void decide_note(const struct rollout_facts *f, uint64_t now_ms,
			struct rollout_watch *w, struct rollout_decision *out)
{
	bool is_met = out->condition == CONDITION_MET;

	if (is_met == (f->met_ms != 0))
		return;
	if (is_met && w->noted_ms && now_ms < w->noted_ms + NOTE_MS) {
		wait_for(out, w->noted_ms + NOTE_MS);
		return;
	}
	if (is_met)
		w->noted_ms = now_ms;
	out->move = is_met ? MOVE_MET : MOVE_UNMET;
	out->baked_ms = w->baked_ms;
}

static void decide_progressing(const struct strategy *s,
			       const struct rollout_facts *f,
			       const struct tally *tally, uint64_t now_ms,
			       struct rollout_watch *w,
			       struct rollout_decision *out)
{
	const struct strategy_step *step = &s->steps[f->step];
	uint64_t late;

	if (!f->is_begun) {
		out->move = MOVE_STEP_BEGUN;
		return;
	}
	out->condition = rollout_condition(s, tally, out->reason);
	if (!w->began_ms)
		begin_to_look(w, f, now_ms);
	if (tally->next_lost_ms)
		wait_for(out, tally->next_lost_ms);
	if (waits_for_reports(w, out->condition, now_ms)) {
		wait_for(out, w->began_ms + ROLLOUT_GATHER_MS);
		return;
	}
	remember(w, out->condition, now_ms);
	if (out->condition == CONDITION_FAILED) {
		fail(s, out->reason, out);
		return;
	}
	if (w->baked_ms >= step->bake_ms && out->condition == CONDITION_MET) {
		decide_baked(step, f, now_ms, out);
		return;
	}
	late = deadline(s, step, f, w);
	if (w->baked_ms < step->bake_ms && now_ms >= late) {
		char why[300];

		snprintf(why, sizeof(why), "the step took longer than its timeout%s%.250s",
			 out->reason[0] ? ": " : "", out->reason);
		fail(s, why, out);
		return;
	}
	if (out->condition == CONDITION_MET) {
		uint64_t baked = now_ms + step->bake_ms - w->baked_ms;

		say_until(out->reason, "its conditions are met, and must stay so", baked);
		wait_for(out, baked);
	}
	if (w->baked_ms < step->bake_ms) {
		wait_for(out, late);
		out->late_ms = late;
		decide_note(f, now_ms, w, out);
	}
}

void rollout_decide(const struct strategy *s, const struct rollout_facts *f,
		    const struct tally *tally, uint64_t now_ms,
		    struct rollout_watch *w, struct rollout_decision *out)
{
	*out = (struct rollout_decision){ .move = 0 };
	switch (f->phase) {
	case ROLLOUT_QUEUED:
		if (!f->is_blocked)
			out->move = MOVE_START;
		else
			say(out->reason, "waits for another release of its group");
		return;
	case ROLLOUT_PROGRESSING:
		if (f->step < s->n_steps)
			decide_progressing(s, f, tally, now_ms, w, out);
		return;
	case ROLLOUT_PAUSED:
		say(out->reason, "paused, until somebody resumes or promotes it");
		*w = (struct rollout_watch){ 0 };
		return;
	case ROLLOUT_COMPLETED:
		if (now_ms >= f->completed_ms + s->keep_ms)
			out->move = MOVE_FORGET;
		else
			out->due_ms = f->completed_ms + s->keep_ms;
		return;
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_ABORTED:
	case ROLLOUT_SUPERSEDED:
	case ROLLOUT__END:
		return;
	}
}
