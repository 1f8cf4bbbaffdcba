/* What the files of fleet/ share. */
#ifndef FLEET_OWN_H
#define FLEET_OWN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "fleet/agent.h"
#include "fleet/fleet.h"

#define PART "fleet"

/* What an instance has of one configuration: the last that releases sent it, the last
 * that it was given at all, and its last word. */
struct word {
	struct list at_;                 /* fleet.kept and the like; the newest last */
	struct list of_instance_;        /* instance.heard; the newest last */
	struct instance *instance;
	bool is_kept;                    /* of a release that runs: it does not go */
	uint64_t sent_release, said_release;     /* 0: none; it named none */
	uint32_t sent_version, said_version;     /* 0: none */
	uint64_t sent_ms, said_ms;
	uint32_t given_version;          /* 0: not known */
	uint64_t given_ms;
	enum fleet_word said;
	char *reason;                    /* of REFUSED; or NULL */
	size_t n;
	char key[];
};

enum instance_is {
	INSTANCE_MOVED = BIT(0),         /* its watches are others than before */
	INSTANCE_HEARD = BIT(1),         /* its words are */
};

struct instance {
	struct list at_;                 /* fleet.all; swept last are last */
	struct list left_at_;            /* fleet.left, held: no watch */
	struct list changed_;            /* fleet.changed */
	unsigned is;                     /* why it is in there */
	uint64_t sweep;                  /* that has seen it */
	struct list watches;             /* struct fleet_watch */
	unsigned n_watches;
	bool was_connected;
	uint64_t since_ms, left_ms, seen_ms;
	struct map *words;               /* key -> struct word; NULL: none */
	struct list heard;               /* the same */
	unsigned n_kept;                 /* of these */
	struct list records;             /* agent.c: of releases that run */
	size_t n;
	char id[];
};

struct fleet_watch {
	struct list at_;
	struct instance *instance;
	struct client client;            /* these borrow from the block */
	struct str *keys, *prefixes;
	size_t n_keys, n_prefixes;
};

/* A configuration of a release that runs. */
struct place {
	struct str key;
	struct running *running;         /* agent.c */
	unsigned i;                      /* of it there */
	uint64_t release;
};

struct fleet {
	pthread_mutex_t lock;
	size_t max;
	struct map *by_id;
	struct list all, changed;
	/* Of struct instance, without a watch, unheard the longest first: of these who was
	 * silent for long and may not go while releases run is held, all others left. */
	struct list left, held;
	size_t n_connected, n_watches;
	uint64_t refused;
	size_t n_words;
	/* Of struct word: of releases that run; such of instances that never had a
	 * watch; of releases that did not come here yet, if they are any; all others. */
	struct list kept, loose, ahead, spare;
	/* Set by the agent, under the lock: configurations of releases that run,
	 * in order of their keys. */
	struct place *places;
	size_t n_places;
	bool is_running;                 /* a release is */
	uint64_t newest;                 /* release that came here */
	/* Pokes the core loop; set before the first call, or NULL.  Runs with the
	 * lock. */
	void (*poke)(void *data, bool is_urgent);
	void *poke_data;
};

static inline struct str word_key(const struct word *word)
{
	return str_n(word->key, word->n);
}

static inline struct str instance_id(const struct instance *i)
{
	return str_n(i->id, i->n);
}

/* The first place that is not before 'key'; may be n_places.  With the lock. */
size_t places_from(const struct fleet *fleet, struct str key);
/* With the lock.  Marks it, and wakes the agent where releases run. */
void instance_changed(struct fleet *fleet, struct instance *i, unsigned is,
		      bool is_urgent);
/* Removes one that nothing holds: no watch, no record.  With the lock. */
void instance_drop(struct fleet *fleet, struct instance *i);
/* NULL: there is no room; that is counted where it 'matters'.  With the lock. */
struct instance *instance_of(struct fleet *fleet, struct str id, bool matters,
			     uint64_t now_ms);
/* It was heard of now.  With the lock. */
void instance_seen(struct fleet *fleet, struct instance *i, uint64_t now_ms);
/* Those that nothing holds and that were silent for long; a few at a time.  With the
 * lock. */
void instances_expire(struct fleet *fleet, uint64_t now_ms);
/* Other releases run: whoever is held may go again.  With the lock. */
void instances_let_go(struct fleet *fleet);
/* heard.c: its first watch begins.  With the lock. */
void words_connected(struct fleet *fleet, struct instance *i);
/* Frees all words of an instance.  With the lock. */
void words_free(struct fleet *fleet, struct instance *i);
/* Words of releases that are over are spare from now on, those that were ahead of one
 * that came are kept, and who left with nothing goes.  One that the agent has not come
 * to know yet is not over.  With the lock. */
void instances_prune(struct fleet *fleet,
		     bool (*is_over)(const void *data, uint64_t release),
		     const void *data);

#endif
