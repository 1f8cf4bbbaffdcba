/* Files on their way in: see parts.h. */
#include "node/parts.h"

#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

#define LOOK_MS 1000u                    /* while one comes */
/* Of a peer two are under way at a time, and of those alone the answer may be lost. */
#define CAME_MAX 256u
#define UNKNOWN UINT64_MAX

/* One of which a part may lie there, or that has come. */
struct part {
	struct list at;
	struct buf id, meta;             /* meta: of one that has come */
	uint64_t peer;                   /* likewise */
	uint64_t seen_ms;                /* when it came last; 0: not looked at yet */
	uint64_t bytes;                  /* on disk; UNKNOWN */
	bool is_going;
};

void parts_init(struct parts *p)
{
	list_init(&p->coming);
	list_init(&p->came);
	p->look_ms = 0;
}

static void part_free(struct part *t)
{
	list_remove(&t->at);
	buf_fini(&t->id);
	buf_fini(&t->meta);
	free(t);
}

static struct part *part_new(struct list *to, uint64_t peer, struct str id)
{
	struct part *t = NEW(struct part);

	list_init(&t->at);
	t->peer = peer;
	t->bytes = UNKNOWN;
	buf_str(&t->id, id);
	list_append(to, &t->at);
	return t;
}

static struct part *find(const struct list *list, uint64_t peer, struct str id)
{
	struct part *t;

	list_each(list, t, at)
		if (t->peer == peer && str_eq(buf_view(&t->id), id))
			return t;
	return NULL;
}

void parts_take_up(struct parts *p, const struct buf *names)
{
	for (struct str rest = buf_view(names); rest.n;) {
		struct str name = str_cut(&rest, '\0');

		if (filer_owns(name) && str_ends(name, STR(".part")))
			(void)part_new(&p->coming, 0, str_first(name, name.n - 5));
	}
}

void parts_offered(struct rc_node *n, struct str id)
{
	struct parts *p = &n->filer.parts;
	struct part *t = find(&p->coming, 0, id);

	if (!t)
		t = part_new(&p->coming, 0, id);
	t->seen_ms = node_now(n);
	t->bytes = UNKNOWN;
	p->look_ms = MIN(p->look_ms, node_now(n) + LOOK_MS);
}

void parts_came(struct rc_node *n, uint64_t peer, const struct ship_offer *offer)
{
	struct parts *p = &n->filer.parts;
	struct part *part = find(&p->coming, 0, offer->id);
	struct part *old = find(&p->came, peer, offer->id);

	if (part)
		part_free(part);
	if (!old && p->n_came == CAME_MAX)
		old = list_first(&p->came, struct part, at);
	if (old)
		part_free(old);
	else
		p->n_came++;
	buf_str(&part_new(&p->came, peer, offer->id)->meta, offer->meta);
}

bool parts_has_come(const struct parts *p, uint64_t peer,
		    const struct ship_offer *offer)
{
	const struct part *t = find(&p->came, peer, offer->id);

	return t && offer->meta.n && str_eq(buf_view(&t->meta), offer->meta);
}

/* ---- what nobody sends ---- */

uint64_t parts_deadline(const struct rc_node *n)
{
	const struct parts *p = &n->filer.parts;

	if (!n->ship || list_empty(&p->coming))
		return UINT64_MAX;
	return MAX(p->look_ms, node_now(n) + 1);
}

/* False: there is none. */
static bool measure(const struct rc_node *n, struct part *t)
{
	struct fs *fs = fs_real();
	AUTO_BUF path = BUF_NONE;
	struct file *file;
	enum code rc;

	buf_printf(&path, "%s/%s.part", n->filer.incoming, t->id.p);
	rc = fs->ops->open(fs, path.p, 0, &file, NULL);
	if (rc)
		return rc != E_NOT_FOUND;        /* else the next time */
	rc = fs->ops->size(fs, file, &t->bytes, NULL);
	fs->ops->close(fs, file);
	return true;
}

static bool is_coming(const struct rc_node *n, const struct part *t)
{
	uint64_t peer;
	struct str id;

	for (unsigned i = 0; ship_coming(n->ship, i, &peer, &id); i++)
		if (str_eq(id, buf_view(&t->id)))
			return true;
	return false;
}

/* When it is to be looked at again. */
static uint64_t look(struct rc_node *n, struct part *t)
{
	uint64_t now = node_now(n), age = n->config.file_parts_ms;

	t->is_going = false;
	if (is_coming(n, t)) {
		t->seen_ms = now;
		t->bytes = UNKNOWN;
		return now + LOOK_MS;
	}
	if (!t->seen_ms)
		t->seen_ms = now;
	if (t->bytes == UNKNOWN && !measure(n, t)) {
		part_free(t);
		return UINT64_MAX;
	}
	if (t->bytes == UNKNOWN)
		return now + LOOK_MS;
	t->is_going = age && now - t->seen_ms >= age;
	return age ? MAX(t->seen_ms + age, now + LOOK_MS) : UINT64_MAX;
}

/* Of those that nobody sends the one that has lain there longest goes first. */
static void choose_many(struct rc_node *n)
{
	const uint64_t max = n->config.file_parts_bytes;
	uint64_t sum = 0;
	struct part *t, *oldest;

	list_each(&n->filer.parts.coming, t, at)
		if (t->bytes != UNKNOWN && !t->is_going)
			sum += t->bytes;
	while (max && sum > max) {
		oldest = NULL;
		list_each(&n->filer.parts.coming, t, at)
			if (t->bytes != UNKNOWN && !t->is_going &&
			    (!oldest || t->seen_ms < oldest->seen_ms))
				oldest = t;
		oldest->is_going = true;
		sum -= oldest->bytes;
	}
}

void parts_timeout(struct rc_node *n, void (*keep)(struct rc_node *n, struct buf *out))
{
	struct parts *p = &n->filer.parts;
	AUTO_BUF kept = BUF_NONE;
	struct part *t;
	bool any = false;

	if (!n->ship || node_now(n) < p->look_ms)
		return;
	p->look_ms = UINT64_MAX;
	list_each(&p->coming, t, at)
		p->look_ms = MIN(p->look_ms, look(n, t));
	choose_many(n);
	keep(n, &kept);
	list_each(&p->coming, t, at) {
		any |= t->is_going;
		if (t->is_going)
			continue;
		buf_c(&kept, '\0');
		buf_str(&kept, buf_view(&t->id));
	}
	if (!any)
		return;
	if (!ship_clear(n->ship, node_now(n), buf_view(&kept))) {
		p->look_ms = MIN(p->look_ms, node_now(n) + LOOK_MS);
		return;
	}
	list_each(&p->coming, t, at)
		if (t->is_going)
			part_free(t);
}

void parts_free(struct parts *p)
{
	struct part *t;

	list_each(&p->coming, t, at)
		part_free(t);
	list_each(&p->came, t, at)
		part_free(t);
}
