/*
 * What instances were sent and what they said, by configuration: of releases that run
 * for the agent, and of all others for lists.  The first is kept; the rest is spare,
 * and goes where there is no room, unheard the longest first.  Then goes what was said
 * of releases that did not come here yet, if they ever will: anybody can name one; and
 * then of those that never had a watch what the agent has seen, whose records stay.
 */
#include "base/mem.h"
#include "fleet/last.h"
#include "fleet/own.h"

#include "base/banned.h"

/* Words that there are, for each instance that may be known: one has at most some
 * 1,300 bytes. */
#define WORDS_EACH 4

/* ---- words ---- */

static void word_free(struct fleet *fleet, struct word *word)
{
	word->instance->n_kept -= word->is_kept;
	list_remove(&word->at_);
	list_remove(&word->of_instance_);
	free(word->reason);
	free(word);
	fleet->n_words--;
}

void words_free(struct fleet *fleet, struct instance *i)
{
	struct word *word;

	list_each(&i->heard, word, of_instance_)
		word_free(fleet, word);
	map_free(&i->words);
}

static void word_drop(struct fleet *fleet, struct word *word)
{
	struct instance *i = word->instance;

	must(map_del(i->words, word_key(word)) == word);
	word_free(fleet, word);
	if (list_empty(&i->heard))
		map_free(&i->words);
}

static struct list *list_of(struct fleet *fleet, const struct word *word)
{
	if (word->is_kept)
		return word->instance->was_connected ? &fleet->kept : &fleet->loose;
	return word->said_release > fleet->newest ? &fleet->ahead : &fleet->spare;
}

/* Of a release that runs, or not (any more). */
static void word_keep(struct fleet *fleet, struct word *word, bool is_kept)
{
	word->instance->n_kept += (unsigned)is_kept - (unsigned)word->is_kept;
	word->is_kept = is_kept;
	list_remove(&word->at_);
	list_append(list_of(fleet, word), &word->at_);
}

void words_connected(struct fleet *fleet, struct instance *i)
{
	struct word *word;

	list_each(&i->heard, word, of_instance_)
		if (word->is_kept) {
			list_remove(&word->at_);
			list_append(&fleet->kept, &word->at_);
		}
}

/* One that the agent has looked at: what it said is in its records. */
static struct word *oldest_loose(struct fleet *fleet)
{
	struct word *word;
	unsigned left = 8;

	list_each(&fleet->loose, word, at_) {
		if (list_empty(&word->instance->changed_))
			return word;
		if (!--left)
			break;
	}
	return NULL;
}

static bool room_for_word(struct fleet *fleet)
{
	struct word *oldest;

	if (fleet->n_words < WORDS_EACH * fleet->max + FLEET_CONFIGS_MAX)
		return true;
	oldest = list_first(&fleet->spare, struct word, at_);
	if (!oldest)
		oldest = list_first(&fleet->ahead, struct word, at_);
	if (!oldest)
		oldest = oldest_loose(fleet);
	if (oldest)
		word_drop(fleet, oldest);
	return oldest != NULL;
}

/* NULL: there is no room, which counts where it is of a release. */
static struct word *word_of(struct fleet *fleet, struct instance *i,
			    struct str key, bool is_kept)
{
	struct word *word = i->words ? map_get(i->words, key) : NULL;

	if (!word && !room_for_word(fleet)) {
		fleet->refused += is_kept;
		return NULL;
	}
	if (!word) {
		word = mem_zero(sizeof(*word) + key.n);
		word->instance = i;
		word->n = key.n;
		memcpy(word->key, key.p, key.n);
		list_init(&word->at_);
		list_init(&word->of_instance_);
		if (!i->words)
			i->words = map_new();
		map_put(i->words, key, word);
		fleet->n_words++;
	}
	word_keep(fleet, word, is_kept || word->is_kept);
	list_remove(&word->of_instance_);
	list_append(&i->heard, &word->of_instance_);
	return word;
}

/* ---- what was sent ---- */

/* To the list alone; the agent is told of releases. */
static void note_given(struct word *word, uint32_t version, uint64_t now_ms)
{
	if (word->given_version == version)
		return;
	word->given_version = version;
	word->given_ms = now_ms;
}

static void note_sent(struct fleet *fleet, const struct fleet_sent *sent,
		      uint64_t now_ms)
{
	bool of_release = sent->release != 0;
	/* Who asks now and then is no instance of a list before he says something. */
	struct instance *i = of_release ?
		instance_of(fleet, sent->instance, true, now_ms) :
		map_get(fleet->by_id, sent->instance);
	struct word *word = i ? word_of(fleet, i, sent->key, of_release) : NULL;

	if (!word)
		return;
	instance_seen(fleet, i, now_ms);
	note_given(word, sent->version, now_ms);
	if (!of_release || (word->sent_release == sent->release &&
			    word->sent_version == sent->version))
		return;
	word->sent_release = sent->release;
	word->sent_version = sent->version;
	word->sent_ms = now_ms;
	instance_changed(fleet, i, INSTANCE_HEARD, false);
}

void fleet_sent(struct fleet *fleet, const struct fleet_sent *sent,
		uint64_t now_ms)
{
	pthread_mutex_lock(&fleet->lock);
	note_sent(fleet, sent, now_ms);
	pthread_mutex_unlock(&fleet->lock);
}

/* ---- what was said ---- */

static bool is_place(const struct fleet *fleet, struct str key)
{
	size_t at = places_from(fleet, key);

	return at < fleet->n_places && str_eq(fleet->places[at].key, key);
}

/* What is said without the name of a release is of those that run. */
static bool is_of_release(const struct fleet *fleet, struct str key, uint64_t release)
{
	if (!release)
		return is_place(fleet, key);
	for (size_t at = places_from(fleet, key);
	     at < fleet->n_places && str_eq(fleet->places[at].key, key); at++)
		if (fleet->places[at].release == release)
			return true;
	return false;
}

/* Who connects anew says that it received what it applied long ago; of a release that
 * began, or sent it, since then it has said nothing yet. */
static bool says_less(const struct fleet *fleet, const struct word *word,
		      const struct fleet_said *said, bool was_kept)
{
	return said->word == FLEET_GOT && word->said != FLEET_GOT &&
	       word->said_version == said->version &&
	       word->said_release == said->release &&
	       word->said_ms >= word->sent_ms &&
	       (was_kept || !is_place(fleet, said->key));
}

static bool is_kept_already(const struct instance *i, struct str key)
{
	const struct word *word = i->words ? map_get(i->words, key) : NULL;

	return word && word->is_kept;
}

static void note_said(struct fleet *fleet, const struct fleet_said *said,
		      uint64_t now_ms)
{
	bool of_release = is_of_release(fleet, said->key, said->release);
	struct instance *i = instance_of(fleet, said->instance, of_release, now_ms);
	bool was_kept = i && is_kept_already(i, said->key);
	struct word *word = i ? word_of(fleet, i, said->key, of_release) : NULL;

	if (!word)
		return;
	instance_seen(fleet, i, now_ms);
	if (says_less(fleet, word, said, was_kept))
		return;
	word->said_release = said->release;
	word->said_version = said->version;
	word->said = said->word;
	word->said_ms = now_ms;
	/* It may be ahead now. */
	word_keep(fleet, word, word->is_kept);
	free(word->reason);
	word->reason = NULL;
	if (said->word == FLEET_REFUSED)
		word->reason = mem_dup(said->reason.p, said->reason.n);
	if (word->is_kept)
		instance_changed(fleet, i, INSTANCE_HEARD,
				 said->word == FLEET_REFUSED);
}

void fleet_said(struct fleet *fleet, const struct fleet_said *said,
		uint64_t now_ms)
{
	pthread_mutex_lock(&fleet->lock);
	instances_expire(fleet, now_ms);
	note_said(fleet, said, now_ms);
	pthread_mutex_unlock(&fleet->lock);
}

/* ---- releases that are over ---- */

static bool counts(const struct fleet *fleet, const struct word *word,
		   bool (*is_over)(const void *data, uint64_t release),
		   const void *data)
{
	return (word->sent_release && !is_over(data, word->sent_release)) ||
	       (word->said_version &&
		is_of_release(fleet, word_key(word), word->said_release));
}

/* What was ahead of all releases may be of one now, or of none. */
static void prune_ahead(struct fleet *fleet)
{
	struct word *word;

	list_each(&fleet->ahead, word, at_)
		if (word->said_release <= fleet->newest)
			word_keep(fleet, word, is_of_release(fleet, word_key(word),
							     word->said_release));
}

void instances_prune(struct fleet *fleet,
		     bool (*is_over)(const void *data, uint64_t release),
		     const void *data)
{
	struct list *const kept[] = { &fleet->kept, &fleet->loose };
	struct instance *i;
	struct word *word;

	for (size_t k = 0; k < ARRAY_LEN(kept); k++)
		list_each(kept[k], word, at_)
			if (!counts(fleet, word, is_over, data))
				word_keep(fleet, word, false);
	prune_ahead(fleet);
	instances_let_go(fleet);
	list_each(&fleet->all, i, at_)
		if (!i->n_watches && !i->words && list_empty(&i->records))
			instance_drop(fleet, i);
}

/* ---- lists ---- */

static int by_name(const void *a, const void *b)
{
	return str_cmp(instance_id(*(struct instance *const *)a),
		       instance_id(*(struct instance *const *)b));
}

/* Under the lock a bounded number of rows is sorted: the least of those behind
 * 'after' are kept in a heap whose first is the greatest. */
static void sift(struct instance **heap, size_t n, size_t at)
{
	for (;;) {
		size_t most = at, left = 2 * at + 1;

		for (size_t c = left; c < left + 2 && c < n; c++)
			if (by_name(&heap[c], &heap[most]) > 0)
				most = c;
		if (most == at)
			return;
		struct instance *swap = heap[at];

		heap[at] = heap[most];
		heap[most] = swap;
		at = most;
	}
}

static void heap_add(struct instance **heap, size_t *n, struct instance *i)
{
	size_t at = (*n)++;

	heap[at] = i;
	while (at && by_name(&heap[at], &heap[(at - 1) / 2]) > 0) {
		struct instance *swap = heap[at];

		heap[at] = heap[(at - 1) / 2];
		heap[(at - 1) / 2] = swap;
		at = (at - 1) / 2;
	}
}

/* The first thing that it follows: of a tenant ("acme/"), or at all.  Who follows all
 * tenants follows this one; that is all that is said of it. */
static struct str followed(const struct instance *i, struct str of)
{
	const struct fleet_watch *w;

	list_each(&i->watches, w, at_) {
		for (size_t k = 0; k < w->n_keys; k++)
			if (str_starts(w->keys[k], of))
				return w->keys[k];
		for (size_t k = 0; k < w->n_prefixes; k++) {
			if (str_starts(w->prefixes[k], of))
				return w->prefixes[k];
			if (str_starts(of, w->prefixes[k]))
				return of;
		}
	}
	return STR_NONE;
}

static bool has_word_of(const struct instance *i, struct str of)
{
	const struct word *word;

	list_each(&i->heard, word, of_instance_)
		if (str_starts(word_key(word), of))
			return true;
	return false;
}

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

static bool is_listed(const struct instance *i, struct str of, uint64_t now_ms)
{
	if (i->n_watches && (!of.n || followed(i, of).n))
		return true;
	return (i->n_watches || since(i->seen_ms, now_ms) <= FLEET_GONE_MS) &&
	       has_word_of(i, of);
}

static size_t least_behind(struct fleet *fleet, const struct fleet_list *list,
			   struct str of, uint64_t now_ms, struct instance **heap,
			   bool *more)
{
	struct instance *i;
	size_t n = 0;

	list_each(&fleet->all, i, at_) {
		if (str_cmp(instance_id(i), list->after) <= 0 ||
		    !is_listed(i, of, now_ms))
			continue;
		if (n < list->limit) {
			heap_add(heap, &n, i);
			continue;
		}
		*more = true;
		if (n && by_name(&i, &heap[0]) < 0) {
			heap[0] = i;
			sift(heap, n, 0);
		}
	}
	qsort(heap, n, sizeof(struct instance *), by_name);
	return n;
}

static void put_word(struct buf *out, const struct word *word, uint64_t now_ms)
{
	static const enum fleet_state states[] = {
		[FLEET_GOT] = FLEET_IS_RECEIVED,
		[FLEET_APPLIED] = FLEET_IS_APPLIED,
		[FLEET_REFUSED] = FLEET_IS_REJECTED,
	};
	struct fleet_last last = {
		.key = word_key(word),
		.said_version = word->said_version,
		.said = states[word->said],
		.said_age_ms = since(word->said_ms, now_ms),
		.sent_version = word->given_version,
		.sent_age_ms = since(word->given_ms, now_ms),
		.reason = word->reason ? str_of(word->reason) : STR_NONE,
	};

	last_put(out, &last);
}

/* The newest first. */
static void put_words(struct buf *out, const struct instance *i, struct str of,
		      uint64_t now_ms)
{
	unsigned left = FLEET_LAST_MAX;

	for (const struct list *at = i->heard.prev; at != &i->heard && left;
	     at = at->prev) {
		const struct word *word = list_entry(at, struct word, of_instance_);

		/* Without a version: what it was given last is nothing. */
		if (!str_starts(word_key(word), of) ||
		    !(word->said_version | word->given_version))
			continue;
		put_word(out, word, now_ms);
		left--;
	}
}

void fleet_list_known(struct fleet *fleet, const struct fleet_list *list,
		      uint64_t node, uint64_t now_ms, struct buf *out, bool *more)
{
	struct instance **heap = mem_alloc(list->limit * sizeof(*heap) + 1);
	AUTO_BUF of = BUF_NONE;
	AUTO_BUF words = BUF_NONE;
	size_t n;

	*more = false;
	if (list->tenant.n) {
		buf_str(&of, list->tenant);
		buf_c(&of, '/');
	}
	pthread_mutex_lock(&fleet->lock);
	instances_expire(fleet, now_ms);
	n = least_behind(fleet, list, buf_view(&of), now_ms, heap, more);
	for (size_t i = 0; i < n; i++) {
		struct fleet_row row = {
			.instance = instance_id(heap[i]),
			.state = FLEET_IS_CONNECTED,
			.is_connected = heap[i]->n_watches > 0,
			.age_ms = since(heap[i]->seen_ms, now_ms),
			.node = node, .key = followed(heap[i], buf_view(&of)),
		};

		if (out->n > FLEET_LIST_FULL) {
			*more = true;
			break;
		}
		buf_reset(&words);
		put_words(&words, heap[i], buf_view(&of), now_ms);
		row.words = buf_view(&words);
		list_row(out, &row);
	}
	pthread_mutex_unlock(&fleet->lock);
	free(heap);
}
