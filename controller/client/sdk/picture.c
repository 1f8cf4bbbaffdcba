/* Pictures and who reads them: see picture.h; getters and views: see conflux.h. */
#include "client/sdk/picture.h"

#include "client/sdk/own.h"

#include "base/banned.h"

#define FEW 4

/* ---- names ---- */

static unsigned name_slot(struct str name)
{
	uint64_t h = doc_hash_key(0xcbf29ce484222325u, name);

	return (unsigned)((h ^ h >> 32) * 0x9e3779b97f4a7c15u >> 56);
}

int names_find(const struct names *names, const char *name)
{
	struct str s = str_of(name);

	if (!name)
		return -1;
	if (names->n <= FEW) {           /* quicker than a hash */
		for (unsigned i = 0; i < names->n; i++)
			if (strcmp(names->name[i], name) == 0)
				return (int)i;
		return -1;
	}
	for (unsigned at = name_slot(s); names->table[at % 256]; at++) {
		int i = names->table[at % 256] - 1;

		if (strcmp(names->name[i], name) == 0)
			return i;
	}
	return -1;
}

void names_unref(const heap *heap, struct names *names)
{
	if (!names || atomic_fetch_sub(&names->refs, 1) != 1)
		return;
	for (unsigned i = 0; i < names->n; i++)
		heap_release(heap, names->name[i]);
	heap_release(heap, names);
}

static enum cfx_code add_name(const heap *heap, struct names *names,
			      struct str name, struct cfx_error *error)
{
	bool is_twice;
	unsigned at;

	if (names->n == CONFIGS_MAX)
		return cfx_fail(error, CFX_E_USAGE, "configs: more than %d",
				CONFIGS_MAX);
	if (name.n == 0 || name.n > 253)
		return cfx_fail(error, CFX_E_USAGE, "configs: a name has 1 to "
				"253 bytes, not %zu", name.n);
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ')
			return cfx_fail(error, CFX_E_USAGE, "configs: a name has "
					"a control byte, at %zu", i + 1);
	names->name[names->n] = heap_text(heap, name);
	if (!names->name[names->n])
		return cfx_no_memory(error);
	is_twice = names_find(names, names->name[names->n]) >= 0;
	names->n++;
	if (is_twice)
		return cfx_fail(error, CFX_E_USAGE, "configs: %.*s stands there "
				"twice", STR_ARG(name));
	for (at = name_slot(name); names->table[at % 256]; at++)
		;
	names->table[at % 256] = (uint8_t)names->n;
	return CFX_OK;
}

enum cfx_code names_new(const heap *heap, const char *list, struct names **out,
			struct cfx_error *error)
{
	struct names *names = heap_zero(heap, sizeof(*names) +
					CONFIGS_MAX * sizeof(char *));
	struct str one, rest = str_of(list);
	enum cfx_code rc = CFX_OK;

	if (!names)
		return cfx_no_memory(error);
	atomic_init(&names->refs, 1);
	while (rc == CFX_OK && sdk_cut(&rest, ',', &one))
		rc = add_name(heap, names, one, error);
	if (rc)
		names_unref(heap, names);
	else
		*out = names;
	return rc;
}

/* ---- pictures ---- */

struct cfx_view *picture_new(const heap *heap, struct names *names,
			     const struct cfx_view *of)
{
	struct cfx_view *p = heap_zero(heap, sizeof(*p) +
				       names->n * sizeof(p->docs[0]));

	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	p->heap = *heap;
	p->names = names;
	atomic_fetch_add(&names->refs, 1);
	for (unsigned i = 0; of && i < names->n; i++)
		p->docs[i] = doc_ref(of->docs[i]);
	return p;
}

void picture_set(struct cfx_view *p, unsigned at, struct doc *doc)
{
	doc_unref(p->docs[at]);
	p->docs[at] = doc_ref(doc);
}

void cfx_view_free(struct cfx_view *p)
{
	heap heap;

	if (!p || atomic_fetch_sub_explicit(&p->refs, 1,
					    memory_order_acq_rel) != 1)
		return;
	heap = p->heap;
	for (unsigned i = 0; i < p->names->n; i++)
		doc_unref(p->docs[i]);
	names_unref(&heap, p->names);
	heap_release(&heap, p);
}

/* ---- the shelf ---- */

/* Threads take slots in turn, so that the first 64 share none. */
static unsigned slot_of_thread(void)
{
	static atomic_uint threads;
	static _Thread_local unsigned mine
		__attribute__((tls_model("initial-exec")));

	if (mine == 0)
		mine = 1 + atomic_fetch_add_explicit(&threads, 1,
						     memory_order_relaxed) %
			       SLOTS;
	return mine - 1;
}

static inline atomic_uint *enter(struct shelf *shelf)
{
	struct slot *slot = &shelf->slots[slot_of_thread()];
	unsigned epoch = atomic_load_explicit(&shelf->epoch,
					      memory_order_relaxed);
	atomic_uint *readers = &slot->readers[epoch & 1];

	atomic_fetch_add(readers, 1);
	return readers;
}

static inline void leave(atomic_uint *readers)
{
	atomic_fetch_sub_explicit(readers, 1, memory_order_release);
}

bool shelf_init(const heap *heap, struct shelf *shelf, struct cfx_view *first)
{
	size_t n = SLOTS * sizeof(struct slot);
	uintptr_t at;

	shelf->slots_room = heap_zero(heap, n + sizeof(struct slot));
	if (!shelf->slots_room)
		return false;
	at = (uintptr_t)shelf->slots_room + sizeof(struct slot) - 1;
	shelf->slots = (struct slot *)(at - at % sizeof(struct slot));
	atomic_store(&shelf->now, first);
	return true;
}

static void free_all(struct cfx_view *list)
{
	while (list) {
		struct cfx_view *next = list->next;

		cfx_view_free(list);
		list = next;
	}
}

void shelf_fini(const heap *heap, struct shelf *shelf)
{
	free_all(TAKE(shelf->old));
	free_all(TAKE(shelf->waiting));
	cfx_view_free(atomic_exchange(&shelf->now, NULL));
	heap_release(heap, TAKE(shelf->slots_room));
}

void shelf_exchange(struct shelf *shelf, struct cfx_view *next)
{
	struct cfx_view *was = atomic_exchange(&shelf->now, next);

	was->next = shelf->old;
	shelf->old = was;
	shelf_clean(shelf);
}

/* Has each slot's count 'which' been seen at 0?  'phase' keeps how far. */
static bool drained(struct shelf *shelf, unsigned which)
{
	while (shelf->phase < (which + 1) * SLOTS) {
		struct slot *slot = &shelf->slots[shelf->phase % SLOTS];

		if (atomic_load(&slot->readers[which]))
			return false;
		shelf->phase++;
	}
	return true;
}

bool shelf_clean(struct shelf *shelf)
{
	for (;;) {
		if (!shelf->waiting) {
			if (!shelf->old)
				return false;
			shelf->waiting = TAKE(shelf->old);
			shelf->phase = 0;
			atomic_store(&shelf->epoch, 1);
		}
		if (!drained(shelf, 0))
			return true;
		atomic_store(&shelf->epoch, 0);
		if (!drained(shelf, 1))
			return true;
		free_all(TAKE(shelf->waiting));
	}
}

struct cfx_view *cfx_view(const struct cfx *cfx)
{
	struct shelf *shelf = sdk_shelf(cfx);
	atomic_uint *readers = enter(shelf);
	struct cfx_view *p = atomic_load(&shelf->now);

	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	leave(readers);
	return p;
}

/* ---- values ---- */

static const struct doc *doc_of(const struct cfx_view *p, const char *config)
{
	int at = names_find(p->names, config);

	return at < 0 ? NULL : p->docs[at];
}

static const struct item *find(const struct cfx_view *p, const char *config,
			       const char *path)
{
	return doc_find(doc_of(p, config), path);
}

int64_t cfx_view_i64(const struct cfx_view *p, const char *config,
		     const char *path, int64_t fallback)
{
	const struct item *item = find(p, config, path);

	return item && item->is_i64 ? item->i64 : fallback;
}

double cfx_view_double(const struct cfx_view *p, const char *config,
		       const char *path, double fallback)
{
	const struct item *item = find(p, config, path);

	return item && item->is_double ? item->number : fallback;
}

bool cfx_view_bool(const struct cfx_view *p, const char *config,
		   const char *path, bool fallback)
{
	const struct doc *doc = doc_of(p, config);
	const struct item *item = doc_find(doc, path);
	struct str text;

	if (!item)
		return fallback;
	if (item->type == CFX_BOOL)
		return item->i64;
	if (item->type != CFX_TEXT)
		return fallback;
	text = str_n(doc->content + item->key, item->key_n);
	return str_is(text, "true") ? true :
	       str_is(text, "false") ? false : fallback;
}

const char *cfx_view_string(const struct cfx_view *p, const char *config,
			    const char *path, const char *fallback,
			    size_t *bytes)
{
	const struct doc *doc = doc_of(p, config);
	const struct item *item = doc_find(doc, path);
	struct str text = item && item->type != CFX_NULL ? doc_text(doc, item) :
							   str_of(fallback);

	if (bytes)
		*bytes = text.n;
	return text.p;
}

const char *cfx_view_content(const struct cfx_view *p, const char *config,
			     size_t *bytes)
{
	const struct doc *doc = doc_of(p, config);

	if (bytes)
		*bytes = doc ? doc->content_n : 0;
	return doc ? doc->content : NULL;
}

enum cfx_type cfx_view_type(const struct cfx_view *p, const char *config,
			    const char *path)
{
	const struct item *item = find(p, config, path);

	return item ? item->type : CFX_NONE;
}

size_t cfx_view_count(const struct cfx_view *p, const char *config,
		      const char *path)
{
	const struct item *item = find(p, config, path);

	return item ? item->count : 0;
}

bool cfx_view_info(const struct cfx_view *p, const char *config,
		   struct cfx_info *out)
{
	const struct doc *doc = doc_of(p, config);

	if (!doc)
		return false;
	*out = (struct cfx_info){
		.version = doc->version,
		.revision = doc->revision,
		.content_type = doc->content_type,
		.bytes = doc->content_n,
		.is_from_snapshot = doc->is_from_snapshot,
	};
	sdk_hex(out->sha256, doc->sha256, sizeof(doc->sha256));
	return true;
}

/* ---- getters ---- */

#define GET(cfx, call) \
	({ \
		struct shelf *shelf_ = sdk_shelf(cfx); \
		atomic_uint *readers_ = enter(shelf_); \
		const struct cfx_view *now = atomic_load(&shelf_->now); \
		__typeof__(call) value_ = call; \
		leave(readers_); \
		value_; \
	})

int64_t cfx_get_i64(const struct cfx *cfx, const char *config, const char *path,
		    int64_t fallback)
{
	return GET(cfx, cfx_view_i64(now, config, path, fallback));
}

double cfx_get_double(const struct cfx *cfx, const char *config,
		      const char *path, double fallback)
{
	return GET(cfx, cfx_view_double(now, config, path, fallback));
}

bool cfx_get_bool(const struct cfx *cfx, const char *config, const char *path,
		  bool fallback)
{
	return GET(cfx, cfx_view_bool(now, config, path, fallback));
}

static size_t copy_string(const struct cfx_view *now, const char *config,
			  const char *path, const char *fallback, char *buffer,
			  size_t size)
{
	size_t n, fits;
	const char *text = cfx_view_string(now, config, path, fallback, &n);

	if (size == 0)
		return n;
	fits = MIN(n, size - 1);
	if (fits)
		memcpy(buffer, text, fits);
	buffer[fits] = '\0';
	return n;
}

size_t cfx_get_string(const struct cfx *cfx, const char *config,
		      const char *path, const char *fallback, char *buffer,
		      size_t size)
{
	return GET(cfx, copy_string(now, config, path, fallback, buffer, size));
}
