/* The instances of a node: see fleet.h. */
#include "base/mem.h"
#include "fleet/own.h"

#include "base/banned.h"

/* Who may go at once, while the lock is held for something else. */
#define EXPIRE_AT_ONCE 4

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
	list_init(&i->heard);
	list_append(&fleet->all, &i->at_);
	map_put(fleet->by_id, id, i);
	return i;
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

static bool drop_oldest(struct fleet *fleet, struct list *of)
{
	struct instance *i;

	list_each(of, i, left_at_)
		if (list_empty(&i->records)) {
			instance_drop(fleet, i);
			return true;
		}
	return false;
}

static bool make_room(struct fleet *fleet, bool matters)
{
	if (map_count(fleet->by_id) < fleet->max || drop_oldest(fleet, &fleet->held) ||
	    drop_oldest(fleet, &fleet->left))
		return true;
	fleet->refused += matters;
	return false;
}

struct instance *instance_of(struct fleet *fleet, struct str id, bool matters,
			     uint64_t now_ms)
{
	struct instance *i = map_get(fleet->by_id, id);

	if (i || !make_room(fleet, matters))
		return i;
	i = instance_new(fleet, id);
	i->left_ms = now_ms;
	list_append(&fleet->left, &i->left_at_);
	return i;
}

void instance_seen(struct fleet *fleet, struct instance *i, uint64_t now_ms)
{
	i->seen_ms = now_ms;
	if (i->n_watches)
		return;
	list_remove(&i->left_at_);
	list_append(&fleet->left, &i->left_at_);
}

static bool is_gone(const struct instance *i, uint64_t now_ms)
{
	return now_ms > i->seen_ms && now_ms - i->seen_ms > FLEET_GONE_MS;
}

void instances_expire(struct fleet *fleet, uint64_t now_ms)
{
	unsigned left = EXPIRE_AT_ONCE;
	struct instance *i;

	list_each(&fleet->left, i, left_at_) {
		if (left-- == 0 || !is_gone(i, now_ms))
			return;
		if (!i->n_kept && list_empty(&i->records)) {
			instance_drop(fleet, i);
			continue;
		}
		/* Out of the way of those behind it. */
		list_remove(&i->left_at_);
		list_append(&fleet->held, &i->left_at_);
	}
}

void instances_let_go(struct fleet *fleet)
{
	/* They were silent for longer than whoever is left. */
	while (!list_empty(&fleet->held)) {
		struct list *last = fleet->held.prev;

		list_remove(last);
		list_prepend(&fleet->left, last);
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
	if (!i->was_connected)
		words_connected(fleet, i);
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
	instances_expire(fleet, now_ms);
	i = instance_of(fleet, spec->instance, true, now_ms);
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
	/* It may say something yet, or come back, and what it said is listed for a
	 * while. */
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

/* ---- counts ---- */

void fleet_counts(struct fleet *fleet, struct fleet_counts *out)
{
	pthread_mutex_lock(&fleet->lock);
	*out = (struct fleet_counts){ map_count(fleet->by_id),
				      fleet->n_connected, fleet->n_watches,
				      fleet->n_words, fleet->refused };
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
	list_init(&fleet->held);
	list_init(&fleet->kept);
	list_init(&fleet->loose);
	list_init(&fleet->ahead);
	list_init(&fleet->spare);
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
