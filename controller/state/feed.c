/* What an event means to a client: see feed.h. */
#include "state/feed.h"

#include "base/banned.h"

static bool has_rules(struct str rules)
{
	return rules.n && rules.p[0] != 0;
}

/* What was there before: nothing, what the row says, or what is there still. */
static void read_before(struct feed_event *out, const struct event_row *row,
			const struct live_row *live)
{
	out->knows_before = true;
	if (row->type == EVENT_ADDED)
		return;
	out->was_format = live->format;
	out->was_rules = live->rules;
	if (row->type == EVENT_DELETED || live->rev != out->rev)
		return;
	out->knows_before = row->knows_before;
	if (row->was_format.n)
		out->was_format = row->was_format;
	if (row->was_rules.n)
		out->was_rules = row->was_rules;
}

static bool is_same(const struct feed_event *e)
{
	return e->knows_before && str_eq(e->rules, e->was_rules) &&
	       str_eq(e->format, e->was_format);
}

/* False: it is longer than an address can be. */
static bool put_key(char *text, const struct address *at, struct str *key)
{
	struct buf b = { text, 0, FEED_KEY_MAX };

	if (at->tenant.n + at->application.n + at->environment.n + at->name.n +
		    3 > ADDRESS_KEY_MAX)
		return false;
	address_text(&b, at);
	*key = buf_view(&b);
	return true;
}

bool feed_event_read(struct feed_event *out, char *text, uint64_t rev,
		     const struct event_row *row)
{
	bool is_deleted = row->type == EVENT_DELETED;
	struct object_view o;

	if (row->kind != KIND_CONFIG ||
	    !view_of_event(row, is_deleted ? row->before : row->after, rev, &o))
		return false;
	*out = (struct feed_event){ .rev = rev, .is_deleted = is_deleted,
				    .name = row->name };
	if (!is_deleted) {
		out->format = o.live.format;
		out->rules = o.live.rules;
	}
	read_before(out, row, &o.live);
	if (is_same(out) || (out->knows_before && !has_rules(out->rules) &&
			     !has_rules(out->was_rules)))
		return false;
	out->at = (struct address){ row->tenant, o.row.application,
				    o.row.environment, o.row.config_name };
	return put_key(text, &out->at, &out->key);
}

bool feed_pick(struct feed_change *out, const struct feed_event *e,
	       const struct client *client)
{
	struct rule now = { 0 }, was = { 0 };
	unsigned position;
	bool has = e->rules.n &&
		   rules_pick_encoded(e->rules, client, &now, &position);
	bool had = e->was_rules.n &&
		   rules_pick_encoded(e->was_rules, client, &was, &position);

	/* A release counts on those that it was told of. */
	if (e->knows_before && has == had &&
	    (!has || (now.version == was.version &&
		      sha256_eq(&now.sha, &was.sha) &&
		      (!now.release || now.release == was.release) &&
		      str_eq(e->format, e->was_format))))
		return false;
	*out = (struct feed_change){
		.at = e->at, .key = e->key, .rev = e->rev,
		.is_deleted = e->is_deleted, .has_version = has,
		.version = now.version, .sha = now.sha, .size = now.size,
		.format = has ? e->format : STR_NONE,
		.release = has ? now.release : 0,
	};
	return true;
}

static void add_version(struct buf *out, const struct feed_change *c)
{
	if (!c->has_version) {
		buf_z(out, ",\"version\":null,\"sha256\":null,\"size\":null,"
			   "\"format\":null");
		return;
	}
	buf_z(out, ",\"version\":");
	buf_u64(out, c->version);
	buf_z(out, ",\"sha256\":\"");
	buf_hex(out, c->sha.b, sizeof(c->sha.b));
	buf_z(out, "\",\"size\":");
	buf_u64(out, c->size);
	buf_z(out, ",\"format\":");
	buf_json(out, c->format);
	if (c->release) {
		char name[RELEASE_NAME_MAX];

		release_name(name, c->release);
		buf_printf(out, ",\"release\":\"%s\"", name);
	}
}

void feed_json(struct buf *out, const struct feed_change *c)
{
	buf_z(out, "{\"key\":");
	buf_json(out, c->key);
	add_version(out, c);
	buf_z(out, ",\"revision\":");
	buf_u64(out, c->rev);
	buf_z(out, c->is_deleted ? ",\"deleted\":true" : ",\"deleted\":false");
	buf_z(out, c->end ? ",\"end\":true}" : ",\"end\":false}");
}

static enum code is_gone(uint64_t rev, const struct head *head, struct err *err)
{
	err_set(err, E_GONE, "revision %llu is compacted; %llu is the oldest "
		"to resume from", (unsigned long long)rev,
		(unsigned long long)head->compacted_rev);
	return err_hint(err, FEED_GONE_HINT);
}

enum code feed_check(struct kv_txn *txn, uint64_t rev, struct err *err)
{
	struct head head;
	enum code rc = view_head(txn, &head, err);

	if (rc || rev >= head.compacted_rev)
		return rc;
	return is_gone(rev, &head, err);
}

/* A restore moves the revision on by 2^32. */
static bool is_of_another_life(uint64_t a, uint64_t b)
{
	return a >> 32 != b >> 32;
}

enum code feed_check_keys(struct kv_txn *txn, const struct address *keys, size_t n,
			  uint64_t *rev, struct err *err)
{
	struct object_view o;
	struct head head;
	enum code rc = view_head(txn, &head, err);

	if (rc || *rev >= head.compacted_rev)
		return rc;
	if (is_of_another_life(*rev, head.compacted_rev))
		return is_gone(*rev, &head, err);
	for (size_t i = 0; i < n && rc == OK; i++) {
		rc = view_at(txn, &keys[i], &o, err);
		/* Nobody knows any more whether it was deleted behind '*rev'. */
		if (rc == E_NOT_FOUND || (rc == OK && o.live.rev > *rev))
			rc = is_gone(*rev, &head, err);
	}
	if (rc == OK)
		*rev = head.compacted_rev;
	return rc;
}
