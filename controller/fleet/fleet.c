/* The instances of a node: see fleet.h. */
#include "base/mem.h"
#include "fleet/own.h"

#include "base/banned.h"

/* Words that are kept, for each instance that may be known: one has at most some
 * 700 bytes. */
#define WORDS_EACH 4

/* ---- configurations of releases that run ---- */

size_t places_from(const struct fleet *fleet, struct str key)
{
	size_t low = 0, high = fleet->n_places;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (str_cmp(fleet->places[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_place(const struct fleet *fleet, struct str key)
{
	size_t at = places_from(fleet, key);

	return at < fleet->n_places && str_eq(fleet->places[at].key, key);
}

/* ---- instances ---- */

static struct instance *instance_new(struct fleet *fleet, struct str id)
{
	struct instance *i = mem_zero(sizeof(*i) + id.n);

	i->n = id.n;
	memcpy(i->id, id.p, id.n);
	list_init(&i->left_at_);
	list_init(&i->changed_);
	list_init(&i->watches);
	list_init(&i->records);
	list_append(&fleet->all, &i->at_);
	map_put(fleet->by_id, id, i);
	return i;
}

static void word_free(struct fleet *fleet, struct word *word)
{
	free(word->reason);
	free(word);
	fleet->n_words--;
}

static void words_free(struct fleet *fleet, struct instance *i)
{
	void *value;

	if (!i->words)
		return;
	for (size_t at = 0; map_next(i->words, &at, NULL, &value);)
		word_free(fleet, value);
	map_free(&i->words);
}

void instance_drop(struct fleet *fleet, struct instance *i)
{
	must(i->n_watches == 0 && list_empty(&i->records));
	must(map_del(fleet->by_id, instance_id(i)) == i);
	list_remove(&i->at_);
	list_remove(&i->left_at_);
	list_remove(&i->changed_);
	words_free(fleet, i);
	free(i);
}

static bool make_room(struct fleet *fleet)
{
	struct instance *i;

	if (map_count(fleet->by_id) < fleet->max)
		return true;
	list_each(&fleet->left, i, left_at_)
		if (list_empty(&i->records)) {
			instance_drop(fleet, i);
			return true;
		}
	fleet->refused++;
	return false;
}

/* NULL: there is no room. */
static struct instance *instance_of(struct fleet *fleet, struct str id,
				    uint64_t now_ms)
{
	struct instance *i = map_get(fleet->by_id, id);

	if (i || !make_room(fleet))
		return i;
	i = instance_new(fleet, id);
	i->left_ms = now_ms;
	list_append(&fleet->left, &i->left_at_);
	return i;
}

/* What is said without the name of a release is of those that run. */
static bool counts(const struct fleet *fleet, struct str key,
		   const struct word *word,
		   bool (*is_over)(const void *data, uint64_t release),
		   const void *data)
{
	return (word->sent_release && !is_over(data, word->sent_release)) ||
	       (word->said_release && !is_over(data, word->said_release)) ||
	       (word->said_version && !word->said_release &&
		is_place(fleet, key));
}

static void prune_words(struct fleet *fleet, struct instance *i,
			bool (*is_over)(const void *data, uint64_t release),
			const void *data)
{
	struct map *old = i->words;
	struct str key;
	void *word;

	i->words = NULL;
	for (size_t at = 0; old && map_next(old, &at, &key, &word);) {
		if (!counts(fleet, key, word, is_over, data)) {
			word_free(fleet, word);
			continue;
		}
		if (!i->words)
			i->words = map_new();
		map_put(i->words, key, word);
	}
	map_free(&old);
}

void instances_prune(struct fleet *fleet,
		     bool (*is_over)(const void *data, uint64_t release),
		     const void *data)
{
	struct instance *i;

	list_each(&fleet->all, i, at_) {
		prune_words(fleet, i, is_over, data);
		if (!i->n_watches && !i->words && list_empty(&i->records))
			instance_drop(fleet, i);
	}
}

void instance_changed(struct fleet *fleet, struct instance *i, unsigned is,
		      bool is_urgent)
{
	i->is |= is;
	if (list_empty(&i->changed_))
		list_append(&fleet->changed, &i->changed_);
	if (fleet->is_running && fleet->poke)
		fleet->poke(fleet->poke_data, is_urgent);
}

/* ---- watches ---- */

static size_t spec_bytes(const struct fleet_spec *spec)
{
	size_t n = spec->labels->n * sizeof(struct label) +
		   (spec->n_keys + spec->n_prefixes) * sizeof(struct str);

	for (size_t i = 0; i < spec->labels->n; i++)
		n += spec->labels->l[i].key.n + spec->labels->l[i].value.n;
	for (size_t i = 0; i < spec->n_keys; i++)
		n += spec->keys[i].tenant.n + spec->keys[i].application.n +
		     spec->keys[i].environment.n + spec->keys[i].name.n + 3;
	for (size_t i = 0; i < spec->n_prefixes; i++)
		n += spec->prefixes[i].n;
	return n;
}

static struct str put_text(char **to, struct str s)
{
	struct str kept = str_n(*to, s.n);

	if (s.n)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

static struct str put_key(char **to, const struct address *at)
{
	char *start = *to;

	put_text(to, at->tenant);
	put_text(to, STR("/"));
	put_text(to, at->application);
	put_text(to, STR("/"));
	put_text(to, at->environment);
	put_text(to, STR("/"));
	put_text(to, at->name);
	return str_n(start, (size_t)(*to - start));
}

static struct fleet_watch *watch_new(const struct fleet_spec *spec)
{
	struct fleet_watch *w = mem_zero(sizeof(*w) + spec_bytes(spec));
	struct label *labels = (struct label *)(w + 1);
	char *text;

	w->keys = (struct str *)(labels + spec->labels->n);
	w->prefixes = w->keys + spec->n_keys;
	text = (char *)(w->prefixes + spec->n_prefixes);
	w->n_keys = spec->n_keys;
	w->n_prefixes = spec->n_prefixes;
	w->client.labels.l = labels;
	w->client.labels.n = w->client.labels.cap = spec->labels->n;
	for (size_t i = 0; i < spec->labels->n; i++) {
		labels[i].key = put_text(&text, spec->labels->l[i].key);
		labels[i].value = put_text(&text, spec->labels->l[i].value);
	}
	for (size_t i = 0; i < spec->n_keys; i++)
		w->keys[i] = put_key(&text, &spec->keys[i]);
	for (size_t i = 0; i < spec->n_prefixes; i++)
		w->prefixes[i] = put_text(&text, spec->prefixes[i]);
	return w;
}

static void connect(struct fleet *fleet, struct instance *i, uint64_t now_ms)
{
	list_remove(&i->left_at_);
	i->since_ms = now_ms;
	i->was_connected = true;
	fleet->n_connected++;
}

struct fleet_watch *fleet_join(struct fleet *fleet, const struct fleet_spec *spec,
			       uint64_t now_ms)
{
	struct fleet_watch *w = NULL;
	struct instance *i;

	must(spec->instance.n > 0 && spec->instance.n <= FLEET_INSTANCE_MAX);
	pthread_mutex_lock(&fleet->lock);
	i = instance_of(fleet, spec->instance, now_ms);
	if (i) {
		w = watch_new(spec);
		w->instance = i;
		w->client.id = instance_id(i);
		list_append(&i->watches, &w->at_);
		if (i->n_watches++ == 0)
			connect(fleet, i, now_ms);
		fleet->n_watches++;
		i->seen_ms = now_ms;
		instance_changed(fleet, i, INSTANCE_MOVED, false);
	}
	pthread_mutex_unlock(&fleet->lock);
	return w;
}

static void disconnect(struct fleet *fleet, struct instance *i, uint64_t now_ms)
{
	i->left_ms = now_ms;
	fleet->n_connected--;
	list_append(&fleet->left, &i->left_at_);
	/* It may say something yet, or come back; where no release is about it
	 * nobody asks. */
	if (!fleet->is_running && list_empty(&i->records) && !i->words)
		instance_drop(fleet, i);
}

void fleet_leave(struct fleet *fleet, struct fleet_watch **at, uint64_t now_ms)
{
	struct fleet_watch *w = TAKE(*at);
	struct instance *i;

	if (!w)
		return;
	pthread_mutex_lock(&fleet->lock);
	i = w->instance;
	list_remove(&w->at_);
	fleet->n_watches--;
	i->seen_ms = now_ms;
	instance_changed(fleet, i, INSTANCE_MOVED, false);
	if (--i->n_watches == 0)
		disconnect(fleet, i, now_ms);
	pthread_mutex_unlock(&fleet->lock);
	free(w);
}

/* ---- words ---- */

static struct word *word_of(struct fleet *fleet, struct instance *i,
			    struct str key)
{
	struct word *word = i->words ? map_get(i->words, key) : NULL;

	if (word)
		return word;
	if (fleet->n_words >= WORDS_EACH * fleet->max + FLEET_CONFIGS_MAX) {
		fleet->refused++;
		return NULL;
	}
	if (!i->words)
		i->words = map_new();
	word = NEW(struct word);
	map_put(i->words, key, word);
	fleet->n_words++;
	return word;
}

static void note_sent(struct fleet *fleet, const struct fleet_sent *sent,
		      uint64_t now_ms)
{
	struct instance *i = instance_of(fleet, sent->instance, now_ms);
	struct word *word = i ? word_of(fleet, i, sent->key) : NULL;

	if (!word)
		return;
	i->seen_ms = now_ms;
	if (word->sent_release == sent->release &&
	    word->sent_version == sent->version)
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

/* Is it worth to be kept? */
static bool is_of_release(struct fleet *fleet, const struct fleet_said *said)
{
	const struct instance *i = map_get(fleet->by_id, said->instance);

	return said->release || is_place(fleet, said->key) ||
	       (i && i->words && map_get(i->words, said->key));
}

/* Who connects anew says that it received what it applied long ago. */
static bool says_less(const struct word *word, const struct fleet_said *said)
{
	return said->word == FLEET_GOT && word->said != FLEET_GOT &&
	       word->said_version == said->version &&
	       word->said_release == said->release;
}

static void note_said(struct fleet *fleet, const struct fleet_said *said,
		      uint64_t now_ms)
{
	struct instance *i = instance_of(fleet, said->instance, now_ms);
	struct word *word = i ? word_of(fleet, i, said->key) : NULL;

	if (!word)
		return;
	i->seen_ms = now_ms;
	if (says_less(word, said))
		return;
	word->said_release = said->release;
	word->said_version = said->version;
	word->said = said->word;
	word->said_ms = now_ms;
	free(word->reason);
	word->reason = NULL;
	if (said->word == FLEET_REFUSED)
		word->reason = mem_dup(said->reason.p, said->reason.n);
	instance_changed(fleet, i, INSTANCE_HEARD, said->word == FLEET_REFUSED);
}

void fleet_said(struct fleet *fleet, const struct fleet_said *said,
		uint64_t now_ms)
{
	pthread_mutex_lock(&fleet->lock);
	if (is_of_release(fleet, said))
		note_said(fleet, said, now_ms);
	pthread_mutex_unlock(&fleet->lock);
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

static size_t least_behind(struct fleet *fleet, struct str after, struct str of,
			   size_t limit, struct instance **heap, bool *more)
{
	struct instance *i;
	size_t n = 0;

	list_each(&fleet->all, i, at_) {
		if (!i->n_watches || str_cmp(instance_id(i), after) <= 0 ||
		    (of.n && !followed(i, of).n))
			continue;
		if (n < limit) {
			heap_add(heap, &n, i);
			continue;
		}
		*more = true;
		if (by_name(&i, &heap[0]) < 0) {
			heap[0] = i;
			sift(heap, n, 0);
		}
	}
	qsort(heap, n, sizeof(*heap), by_name);
	return n;
}

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

void fleet_list_connected(struct fleet *fleet, const struct fleet_list *list,
			  size_t limit, uint64_t node, uint64_t now_ms,
			  struct buf *out, bool *more)
{
	struct instance **heap = mem_alloc(limit * sizeof(struct instance *) + 1);
	AUTO_BUF of = BUF_NONE;
	size_t n;

	*more = false;
	if (list->tenant.n) {
		buf_str(&of, list->tenant);
		buf_c(&of, '/');
	}
	pthread_mutex_lock(&fleet->lock);
	n = least_behind(fleet, list->after, buf_view(&of), limit, heap, more);
	for (size_t i = 0; i < n; i++) {
		struct fleet_row row = {
			.instance = instance_id(heap[i]),
			.state = FLEET_IS_CONNECTED, .is_connected = true,
			.age_ms = since(heap[i]->seen_ms, now_ms),
			.node = node, .key = followed(heap[i], buf_view(&of)),
		};

		if (out->n > FLEET_LIST_FULL) {
			*more = true;
			break;
		}
		list_row(out, &row);
	}
	pthread_mutex_unlock(&fleet->lock);
	free(heap);
}

void fleet_counts(struct fleet *fleet, struct fleet_counts *out)
{
	pthread_mutex_lock(&fleet->lock);
	*out = (struct fleet_counts){ map_count(fleet->by_id),
				      fleet->n_connected, fleet->n_watches,
				      fleet->refused };
	pthread_mutex_unlock(&fleet->lock);
}

/* ---- life ---- */

void fleet_set_poke(struct fleet *fleet, void (*poke)(void *data, bool is_urgent),
		    void *data)
{
	fleet->poke = poke;
	fleet->poke_data = data;
}

struct fleet *fleet_new(size_t max)
{
	struct fleet *fleet = NEW(struct fleet);

	must(max > 0);
	must(pthread_mutex_init(&fleet->lock, NULL) == 0);
	fleet->max = max;
	fleet->by_id = map_new();
	list_init(&fleet->all);
	list_init(&fleet->left);
	list_init(&fleet->changed);
	return fleet;
}

void fleet_free(struct fleet **at)
{
	struct fleet *fleet = TAKE(*at);
	struct instance *i;
	struct fleet_watch *w;

	if (!fleet)
		return;
	list_each(&fleet->all, i, at_) {
		list_each(&i->watches, w, at_)
			free(w);
		i->n_watches = 0;
		instance_drop(fleet, i);
	}
	map_free(&fleet->by_id);
	pthread_mutex_destroy(&fleet->lock);
	free(fleet);
}
