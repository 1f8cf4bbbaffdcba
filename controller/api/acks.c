/* See acks.h. */
#include "api/acks.h"

#include <pthread.h>

#include "base/hex.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "doc/format.h"
#include "model/address.h"

#include "base/banned.h"

struct entry {
	struct list at_;                 /* the longest unseen first */
	struct ack ack;                  /* its strings lie behind */
	char text[];
};

struct connected {
	unsigned n;
};

struct acks {
	pthread_mutex_t lock;
	struct map *entries;             /* instance, NUL, key */
	struct map *connected;           /* instance -> struct connected */
	struct list all;
	size_t max;
	uint64_t seq, taken, evicted;
};

static const char *const states[ACK__STATES] = {
	[ACK_RECEIVED] = "received", [ACK_APPLIED] = "applied",
	[ACK_REJECTED] = "rejected",
};

const char *ack_state_name(enum ack_state state)
{
	return states[state];
}

/* ---- reading ---- */

bool ack_instance_is_valid(struct str s)
{
	if (s.n == 0 || s.n > ACK_INSTANCE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return true;
}

static enum code wrong(struct err *err, const char *member, const char *what)
{
	return err_set(err, E_UNPROCESSABLE, "\"%s\" %s", member, what);
}

static bool text_is_within(const struct value *item, const char *member,
			   size_t max, struct str *out, struct err *err)
{
	const struct value *v = value_get(item, str_of(member));

	*out = value_text(v);
	if (v && v->type != VALUE_STRING && v->type != VALUE_NULL) {
		(void)!wrong(err, member, "is no text");
		return false;
	}
	if (out->n <= max)
		return true;
	err_set(err, E_UNPROCESSABLE, "\"%s\" has more than %zu bytes", member,
		max);
	return false;
}

/* A name, or a number, which is kept as its digits. */
static bool release_of(const struct value *item, struct arena *arena,
		       struct str *out, struct err *err)
{
	const struct value *v = value_getz(item, "release");
	uint64_t id;

	if (!v || v->type != VALUE_NUMBER)
		return text_is_within(item, "release", ACK_RELEASE_MAX, out, err);
	if (!value_to_u64(v, &id)) {
		(void)!wrong(err, "release", "is a text, or a whole number from 0");
		return false;
	}
	*out = arena_printf(arena, "%llu", (unsigned long long)id);
	return true;
}

static enum code parse_state(struct str text, enum ack_state *out,
			     struct err *err)
{
	for (unsigned i = 0; i < ACK__STATES; i++)
		if (str_eq(text, str_of(states[i]))) {
			*out = i;
			return OK;
		}
	return wrong(err, "state", "is one of received, applied, rejected");
}

static enum code check_members(const struct value *item, struct err *err)
{
	static const char *const known[] = { "instance", "key", "version",
					     "sha256", "state", "reason",
					     "release" };

	if (item->type != VALUE_OBJECT)
		return err_set(err, E_UNPROCESSABLE, "it is no object");
	for (size_t i = 0; i < item->o.n; i++) {
		bool is_known = false;

		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			is_known |= str_eq(item->o.m[i].key, str_of(known[k]));
		if (!is_known)
			return err_set(err, E_UNPROCESSABLE, "\"%.*s\" is not "
				       "known here",
				       STR_ARG(str_first(item->o.m[i].key, 100)));
	}
	return OK;
}

enum code ack_check(const struct ack *ack, struct err *err)
{
	struct address at;

	if (!ack_instance_is_valid(ack->instance))
		return wrong(err, "instance", "has 1 to 128 bytes that can be seen");
	if (address_parse(ack->key, &at, err)) {
		err->code = E_UNPROCESSABLE;
		return err_wrap(err, "\"key\"");
	}
	if (ack->version == 0)
		return wrong(err, "version", "is a number from 1");
	if (ack->reason.n > ACK_REASON_MAX)
		return wrong(err, "reason", "has more than 512 bytes");
	if (ack->release.n > ACK_RELEASE_MAX)
		return wrong(err, "release", "has more than 253 bytes");
	return OK;
}

static enum code parse_one(const struct value *item, struct arena *arena,
			   struct ack *ack, struct err *err)
{
	struct str sha, state;
	uint64_t version;
	enum code rc = check_members(item, err);

	*ack = (struct ack){ 0 };
	if (rc)
		return rc;
	if (!text_is_within(item, "instance", ACK_INSTANCE_MAX, &ack->instance,
			    err) ||
	    !text_is_within(item, "key", ADDRESS_KEY_MAX, &ack->key, err) ||
	    !text_is_within(item, "sha256", 64, &sha, err) ||
	    !text_is_within(item, "state", 16, &state, err) ||
	    !text_is_within(item, "reason", ACK_REASON_MAX, &ack->reason, err) ||
	    !release_of(item, arena, &ack->release, err))
		return err->code;
	if (!value_to_u64(value_getz(item, "version"), &version) ||
	    version > UINT32_MAX)
		version = 0;
	ack->version = (uint32_t)version;
	rc = ack_check(ack, err);
	if (rc)
		return rc;
	if (!hex_parse(sha, ack->sha.b, sizeof(ack->sha.b)))
		return wrong(err, "sha256", "is 64 hex digits");
	return parse_state(state, &ack->state, err);
}

static enum code parse_all(const struct value *v, struct arena *arena,
			   struct ack **out, size_t *n, struct err *err)
{
	size_t count = v->type == VALUE_ARRAY ? v->a.n : 1;
	struct ack *all;

	if (count > ACKS_A_REQUEST)
		return err_set(err, E_UNPROCESSABLE, "more than %d "
			       "acknowledgements", ACKS_A_REQUEST);
	all = arena_alloc(arena, (count + 1) * sizeof(*all));
	for (size_t i = 0; i < count; i++) {
		const struct value *one = v->type == VALUE_ARRAY ?
						  v->a.items[i] : v;
		enum code rc = parse_one(one, arena, &all[i], err);

		if (rc)
			return err_wrap(err, "acknowledgement %zu", i + 1);
	}
	*out = all;
	*n = count;
	return OK;
}

enum code acks_parse(struct str body, struct arena *arena, struct ack **out,
		     size_t *n, struct err *err)
{
	struct value *v;

	if (doc_parse_json(body, arena, NULL, &v, err)) {
		err->code = E_INVALID;
		return err->code;
	}
	return parse_all(v, arena, out, n, err);
}

/* ---- writing ---- */

static void put_text(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, value);
}

void ack_json(struct buf *out, const struct ack *ack)
{
	buf_z(out, "\"instance\":");
	buf_json(out, ack->instance);
	put_text(out, "key", ack->key);
	buf_printf(out, ",\"version\":%u,\"sha256\":\"", ack->version);
	buf_hex(out, ack->sha.b, sizeof(ack->sha.b));
	buf_printf(out, "\",\"state\":\"%s\"", states[ack->state]);
	put_text(out, "reason", ack->reason);
	put_text(out, "release", ack->release);
}

/* ---- the table ---- */

struct acks *acks_new(size_t max)
{
	struct acks *acks = NEW(struct acks);

	must(max > 0);
	must(pthread_mutex_init(&acks->lock, NULL) == 0);
	acks->entries = map_new();
	acks->connected = map_new();
	list_init(&acks->all);
	acks->max = max;
	return acks;
}

void acks_free(struct acks **at)
{
	struct acks *acks = TAKE(*at);
	struct entry *e;
	struct str key;
	void *value;

	if (!acks)
		return;
	while ((e = list_first(&acks->all, struct entry, at_))) {
		list_remove(&e->at_);
		free(e);
	}
	for (size_t i = 0; map_next(acks->connected, &i, &key, &value);)
		free(value);
	map_free(&acks->entries);
	map_free(&acks->connected);
	pthread_mutex_destroy(&acks->lock);
	free(acks);
}

static struct str name_of(const struct ack *ack, struct buf *name)
{
	buf_reset(name);
	buf_str(name, ack->instance);
	buf_c(name, '\0');
	buf_str(name, ack->key);
	return buf_view(name);
}

static struct str keep(char **to, struct str s)
{
	struct str kept = str_n(*to, s.n);

	if (s.n)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

static struct entry *entry_new(const struct ack *ack)
{
	struct entry *e = mem_alloc(sizeof(*e) + ack->instance.n + ack->key.n +
				    ack->reason.n + ack->release.n);
	char *to = e->text;

	list_init(&e->at_);
	e->ack = *ack;
	e->ack.instance = keep(&to, ack->instance);
	e->ack.key = keep(&to, ack->key);
	e->ack.reason = keep(&to, ack->reason);
	e->ack.release = keep(&to, ack->release);
	return e;
}

/* A client that connects anew has received what it had applied long ago. */
static bool says_less(const struct ack *now, const struct ack *before)
{
	return now->state == ACK_RECEIVED && before->state != ACK_RECEIVED &&
	       now->version == before->version && sha256_eq(&now->sha, &before->sha);
}

static void evict(struct acks *acks)
{
	struct entry *e = list_first(&acks->all, struct entry, at_);
	AUTO_BUF name = BUF_NONE;

	must(map_del(acks->entries, name_of(&e->ack, &name)) == e);
	list_remove(&e->at_);
	free(e);
	acks->evicted++;
}

static void put(struct acks *acks, const struct ack *ack, uint64_t now_ms)
{
	AUTO_BUF name = BUF_NONE;
	struct entry *e = entry_new(ack), *before;

	before = map_put(acks->entries, name_of(ack, &name), e);
	if (before && says_less(ack, &before->ack)) {
		map_put(acks->entries, buf_view(&name), before);
		free(e);
		e = before;
	} else if (before) {
		list_remove(&before->at_);
		free(before);
	}
	list_remove(&e->at_);
	e->ack.time_ms = now_ms;
	e->ack.seq = ++acks->seq;
	list_append(&acks->all, &e->at_);
	acks->taken++;
	if (map_count(acks->entries) > acks->max)
		evict(acks);
}

void acks_put(struct acks *acks, const struct ack *ack, uint64_t now_ms)
{
	pthread_mutex_lock(&acks->lock);
	put(acks, ack, now_ms);
	pthread_mutex_unlock(&acks->lock);
}

static bool is_asked_for(const struct ack *ack, const struct acks_query *q)
{
	struct str key = ack->key;

	return (q->tenant.n == 0 || str_eq(q->tenant, str_cut(&key, '/'))) &&
	       (q->key.n == 0 || str_eq(q->key, ack->key)) &&
	       (q->instance.n == 0 || str_eq(q->instance, ack->instance));
}

/* The first behind a number; a gatherer wants the newest, so from the end. */
static struct list *behind(struct acks *acks, uint64_t after)
{
	struct list *at = &acks->all;

	while (at->prev != &acks->all &&
	       container_of(at->prev, struct entry, at_)->ack.seq > after)
		at = at->prev;
	return at;
}

void acks_each(struct acks *acks, const struct acks_query *query,
	       acks_each_cb *each, void *data)
{
	pthread_mutex_lock(&acks->lock);
	for (struct list *at = query->after ? behind(acks, query->after) :
					      acks->all.next;
	     at != &acks->all; at = at->next) {
		const struct ack *ack = &container_of(at, struct entry, at_)->ack;

		if (is_asked_for(ack, query) &&
		    !each(data, ack, map_get(acks->connected, ack->instance)))
			break;
	}
	pthread_mutex_unlock(&acks->lock);
}

void acks_counts(struct acks *acks, struct acks_counts *out)
{
	pthread_mutex_lock(&acks->lock);
	*out = (struct acks_counts){
		.kept = map_count(acks->entries),
		.taken = acks->taken,
		.evicted = acks->evicted,
		.connected = map_count(acks->connected),
	};
	pthread_mutex_unlock(&acks->lock);
}

/* ---- who is connected ---- */

void acks_join(struct acks *acks, struct str instance)
{
	struct connected *c;

	pthread_mutex_lock(&acks->lock);
	c = map_get(acks->connected, instance);
	if (!c) {
		c = NEW(struct connected);
		map_put(acks->connected, instance, c);
	}
	c->n++;
	pthread_mutex_unlock(&acks->lock);
}

void acks_leave(struct acks *acks, struct str instance)
{
	struct connected *c;

	pthread_mutex_lock(&acks->lock);
	c = map_get(acks->connected, instance);
	must(c && c->n > 0);
	if (--c->n == 0) {
		map_del(acks->connected, instance);
		free(c);
	}
	pthread_mutex_unlock(&acks->lock);
}
