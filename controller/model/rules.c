/* Release rules: see rules.h. */
#include "model/rules.h"

#include <stdio.h>

#include "base/hex.h"
#include "wire/wire.h"

#include "base/banned.h"

/* What stands behind the labels of a rule in the wide form. */
enum rule_more {
	MORE_NODES = BIT(0),
	MORE_PERCENT = BIT(1),
	MORE_RELEASE = BIT(2),
	MORE__ALL = MORE_NODES | MORE_PERCENT | MORE_RELEASE,
};

/* ---- making ---- */

struct rule *rules_add(struct arena *arena, struct rules *rules)
{
	rules->r = arena_grow(arena, rules->r, &rules->cap, rules->n + 1,
			      sizeof(*rules->r));
	rules->r[rules->n] = (struct rule){ 0 };
	return &rules->r[rules->n++];
}

struct rule *rules_add_at(struct arena *arena, struct rules *rules, size_t at)
{
	rules_add(arena, rules);
	must(at < rules->n);
	memmove(rules->r + at + 1, rules->r + at,
		(rules->n - 1 - at) * sizeof(*rules->r));
	rules->r[at] = (struct rule){ 0 };
	return &rules->r[at];
}

void rule_add_node(struct arena *arena, struct rule *rule, struct str id)
{
	rule->nodes = arena_grow(arena, rule->nodes, &rule->cap_nodes,
				 rule->n_nodes + 1, sizeof(*rule->nodes));
	rule->nodes[rule->n_nodes++] = id;
}

size_t rules_drop_release(struct rules *rules, uint64_t release)
{
	size_t to = 0, n = rules->n;

	for (size_t i = 0; i < n; i++)
		if (rules->r[i].release != release)
			rules->r[to++] = rules->r[i];
	rules->n = to;
	return n - to;
}

/* ---- matching ---- */

/* What a rule is preferred by. */
struct rank {
	int64_t priority;
	bool has_nodes;
	size_t n_labels;
};

static bool is_better(const struct rank *a, const struct rank *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->has_nodes != b->has_nodes)
		return a->has_nodes;
	return a->n_labels > b->n_labels;
}

static struct rank rank_of(const struct rule *r)
{
	return (struct rank){ r->priority, r->n_nodes > 0, r->labels.n };
}

static struct sha256 salted(const uint8_t salt[SALT_SIZE], struct str id)
{
	char bytes[SALT_SIZE + 1 + CLIENT_ID_MAX];
	struct buf all = { bytes, 0, sizeof(bytes) };
	AUTO_BUF more = BUF_NONE;
	struct buf *b = id.n <= CLIENT_ID_MAX ? &all : &more;

	wr_raw(b, salt, SALT_SIZE);
	buf_c(b, '\0');
	wr_raw(b, id.p, id.n);
	return sha256_of(buf_view(b));
}

uint32_t rules_bucket(const uint8_t salt[SALT_SIZE], struct str id)
{
	struct sha256 sha = salted(salt, id);
	uint64_t n = 0;

	for (unsigned i = 0; i < 8; i++)
		n = n << 8 | sha.b[i];
	return (uint32_t)(n % PERCENT_ALL);
}

static bool is_in_percent(const struct rule *r, const struct client *client)
{
	return !r->has_percent ||
	       (client->id.n && rules_bucket(r->salt, client->id) < r->percent_bp);
}

static bool is_in_nodes(const struct rule *r, const struct client *client)
{
	for (size_t i = 0; i < r->n_nodes; i++)
		if (client->id.n && str_eq(r->nodes[i], client->id))
			return true;
	return r->n_nodes == 0;
}

/* The bucket is asked for last: it takes longer than all the rest. */
static bool rule_matches(const struct rule *r, const struct client *client)
{
	return labels_match(&r->labels, &client->labels) &&
	       is_in_nodes(r, client) && is_in_percent(r, client);
}

/* The best that was found: of people, or of releases. */
struct best {
	bool found;
	struct rank rank;
	uint64_t release;
	size_t at;
};

static bool may_win(const struct best *best, const struct rank *rank,
		    uint64_t release)
{
	if (!best->found || release > best->release)
		return true;
	return release == best->release && is_better(rank, &best->rank);
}

/* Both are of rules that match.  What brings nothing leaves it to people. */
static bool release_wins(const struct best *release, uint32_t version,
			 const struct best *people)
{
	if (!release->found || !version)
		return false;
	if (!people->found || is_better(&release->rank, &people->rank))
		return true;
	return !is_better(&people->rank, &release->rank) &&
	       release->at < people->at;
}

static void find_best(const struct rules *rules, const struct client *client,
		      struct best *people, struct best *release)
{
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];
		struct best *best = r->release ? release : people;
		struct rank rank = rank_of(r);

		if (may_win(best, &rank, r->release) && rule_matches(r, client))
			*best = (struct best){ true, rank, r->release, i };
	}
}

int rules_pick(const struct rules *rules, const struct client *client)
{
	struct best people = { .found = false }, release = { .found = false };

	find_best(rules, client, &people, &release);
	if (release.found &&
	    release_wins(&release, rules->r[release.at].version, &people))
		return (int)release.at;
	return people.found ? (int)people.at : -1;
}

int rules_pick_release(const struct rules *rules, const struct client *client)
{
	struct best people = { .found = false }, release = { .found = false };

	find_best(rules, client, &people, &release);
	return release.found ? (int)release.at : -1;
}

bool rule_is_default(const struct rule *r)
{
	return r->labels.n == 0 && r->n_nodes == 0 && !r->has_percent &&
	       r->release == 0;
}

int rules_default(const struct rules *rules)
{
	int best = -1;

	for (size_t i = 0; i < rules->n; i++)
		if (rule_is_default(&rules->r[i]) &&
		    (best < 0 ||
		     rules->r[i].priority > rules->r[best].priority))
			best = (int)i;
	return best;
}

bool rules_are_wide(const struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->r[i].n_nodes || rules->r[i].has_percent ||
		    rules->r[i].release)
			return true;
	return false;
}

/* ---- checking ---- */

static bool nodes_eq(const struct rule *a, const struct rule *b)
{
	if (a->n_nodes != b->n_nodes)
		return false;
	for (size_t i = 0; i < a->n_nodes; i++)
		if (!str_eq(a->nodes[i], b->nodes[i]))
			return false;
	return true;
}

/* The later one could never win. */
static bool is_twice(const struct rule *a, const struct rule *b)
{
	return a->priority == b->priority && a->release == b->release &&
	       a->has_percent == b->has_percent &&
	       a->percent_bp == b->percent_bp &&
	       memcmp(a->salt, b->salt, SALT_SIZE) == 0 &&
	       labels_eq(&a->labels, &b->labels) && nodes_eq(a, b);
}

static enum code check_rule(const struct rule *r, size_t i, struct err *err)
{
	if (r->percent_bp > PERCENT_ALL)
		return err_set(err, E_UNPROCESSABLE,
			       "releases[%zu]: percent is 0 to 100", i);
	for (size_t k = 0; k < r->n_nodes; k++)
		if (r->nodes[k].n == 0 || r->nodes[k].n > CLIENT_ID_MAX)
			return err_set(err, E_UNPROCESSABLE, "releases[%zu]: "
				       "nodes are names of 1 to %d bytes", i,
				       CLIENT_ID_MAX);
	return OK;
}

enum code rules_check(const struct rules *rules, struct err *err)
{
	size_t n_nodes = 0;
	enum code rc = OK;

	if (rules->n > RULES_MAX)
		return err_set(err, E_UNPROCESSABLE,
			       "%zu release rules, at most %d are allowed",
			       rules->n, RULES_MAX);
	for (size_t i = 0; i < rules->n && rc == OK; i++) {
		rc = check_rule(&rules->r[i], i, err);
		n_nodes += rules->r[i].n_nodes;
		for (size_t j = 0; j < i && rc == OK; j++)
			if (!rules->r[i].release &&
			    is_twice(&rules->r[i], &rules->r[j]))
				rc = err_set(err, E_UNPROCESSABLE,
					     "releases[%zu] has the labels and "
					     "priority of releases[%zu]", i, j);
	}
	if (rc == OK && n_nodes > RULE_NODES_MAX)
		rc = err_set(err, E_UNPROCESSABLE, "release rules name %zu nodes, "
			     "at most %d are allowed", n_nodes, RULE_NODES_MAX);
	return rc;
}

/* ---- bytes ---- */

static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Nodes are one string of strings, so that they can be passed over. */
static void encode_nodes(struct buf *out, const struct rule *r)
{
	AUTO_BUF nodes = BUF_NONE;

	for (size_t i = 0; i < r->n_nodes; i++)
		wr_str(&nodes, r->nodes[i]);
	wr_str(out, buf_view(&nodes));
}

static void encode_more(struct buf *out, const struct rule *r)
{
	wr_u8(out, (uint8_t)((r->n_nodes ? MORE_NODES : 0) |
			     (r->has_percent ? MORE_PERCENT : 0) |
			     (r->release ? MORE_RELEASE : 0)));
	if (r->n_nodes)
		encode_nodes(out, r);
	if (r->has_percent) {
		wr_var(out, r->percent_bp);
		wr_raw(out, r->salt, SALT_SIZE);
	}
	if (r->release)
		wr_var(out, r->release);
}

void rules_encode(struct buf *out, const struct rules *rules)
{
	bool is_wide = rules_are_wide(rules);

	if (is_wide)
		wr_var(out, RULES_WIDE);
	wr_var(out, rules->n);
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];

		wr_var(out, zigzag(r->priority));
		wr_var(out, r->version);
		wr_raw(out, r->sha.b, sizeof(r->sha.b));
		wr_var(out, r->size);
		wr_var(out, r->labels.n);
		for (size_t k = 0; k < r->labels.n; k++) {
			wr_str(out, r->labels.l[k].key);
			wr_str(out, r->labels.l[k].value);
		}
		if (is_wide)
			encode_more(out, r);
	}
}

/* How many follow, and in which form. */
static uint64_t rules_head(struct rd *rd, bool *is_wide)
{
	uint64_t n = rd_var(rd);

	*is_wide = n == RULES_WIDE;
	if (*is_wide)
		n = rd_var(rd);
	if (n <= RULES_MAX)
		return n;
	rd->bad = true;
	return 0;
}

/* A rule as it is read: points into the bytes. */
struct raw {
	int64_t priority;
	uint32_t version;
	const char *sha;
	uint64_t size, n_labels;
	struct str nodes;                /* encoded; empty: none */
	const char *salt;                /* NULL: no percentage */
	uint32_t percent_bp;
	uint64_t release;
};

/* The fixed part; 'n_labels' follow. */
static void raw_head(struct rd *rd, struct raw *r)
{
	r->priority = unzigzag(rd_var(rd));
	r->version = (uint32_t)rd_var(rd);
	r->sha = rd_raw(rd, sizeof(struct sha256)).p;
	r->size = rd_var(rd);
	r->n_labels = rd_var(rd);
	r->nodes = STR_NONE;
	r->salt = NULL;
	r->release = 0;
}

/* What is behind the labels, in the wide form. */
static void raw_more(struct rd *rd, struct raw *r)
{
	unsigned more = rd_u8(rd);

	if (more & ~(unsigned)MORE__ALL)
		rd->bad = true;
	if (more & MORE_NODES) {
		r->nodes = rd_str(rd);
		rd->bad = rd->bad || !r->nodes.n;
	}
	if (more & MORE_PERCENT) {
		uint64_t bp = rd_var(rd);

		r->percent_bp = (uint32_t)bp;
		r->salt = rd_raw(rd, SALT_SIZE).p;
		rd->bad = rd->bad || bp > PERCENT_ALL;
	}
	if (more & MORE_RELEASE) {
		r->release = rd_var(rd);
		rd->bad = rd->bad || !r->release;
	}
}

/* All but labels and nodes. */
static void raw_rule(const struct raw *raw, struct rule *r)
{
	r->priority = raw->priority;
	r->version = raw->version;
	memcpy(r->sha.b, raw->sha, sizeof(r->sha.b));
	r->size = raw->size;
	r->has_percent = raw->salt != NULL;
	if (raw->salt) {
		r->percent_bp = raw->percent_bp;
		memcpy(r->salt, raw->salt, SALT_SIZE);
	}
	r->release = raw->release;
}

static bool decode_nodes(struct arena *arena, struct str in, struct rule *r)
{
	struct rd rd = rd_of(in);

	while (rd_left(&rd) && !rd.bad && r->n_nodes < RULE_NODES_MAX)
		rule_add_node(arena, r, rd_str(&rd));
	return rd_done(&rd);
}

bool rules_decode(struct arena *arena, struct str in, struct rules *out)
{
	struct rd rd = rd_of(in);
	bool is_wide;
	uint64_t n = rules_head(&rd, &is_wide);
	struct raw raw;

	*out = (struct rules){ 0 };
	for (uint64_t i = 0; i < n && !rd.bad; i++) {
		struct rule *r = rules_add(arena, out);

		raw_head(&rd, &raw);
		if (raw.n_labels > LABELS_MAX)
			return false;
		for (uint64_t k = 0; k < raw.n_labels && !rd.bad; k++) {
			struct str key = rd_str(&rd);
			struct str value = rd_str(&rd);

			labels_set(arena, &r->labels, key, value);
		}
		if (is_wide)
			raw_more(&rd, &raw);
		if (rd.bad || r->labels.n != raw.n_labels ||
		    !decode_nodes(arena, raw.nodes, r))
			return false;
		raw_rule(&raw, r);
	}
	return rd_done(&rd) && is_wide == rules_are_wide(out);
}

/* ---- the read path ---- */

static bool match_labels(struct rd *rd, uint64_t count,
			 const struct labels *labels)
{
	bool matches = true;

	for (uint64_t k = 0; k < count && !rd->bad; k++) {
		struct str key = rd_str(rd);
		struct str value = rd_str(rd);
		const struct str *have = matches ? labels_get(labels, key) : NULL;

		matches = have && str_eq(*have, value);
	}
	return matches;
}

static bool match_nodes(struct str nodes, struct str id)
{
	struct rd rd = rd_of(nodes);

	if (!nodes.n)
		return true;
	while (id.n && rd_left(&rd) && !rd.bad)
		if (str_eq(rd_str(&rd), id))
			return true;
	return false;
}

/* The bucket of one client, kept while salts are the same: steps of a release, and
 * rules of people, have one. */
struct bucket {
	const char *salt;                /* NULL: none was asked for */
	uint32_t is;
};

static bool match_percent(const struct raw *r, struct str id, struct bucket *b)
{
	if (!r->salt)
		return true;
	if (!id.n)
		return false;
	if (!b->salt || memcmp(b->salt, r->salt, SALT_SIZE) != 0) {
		b->salt = r->salt;
		b->is = rules_bucket((const uint8_t *)r->salt, id);
	}
	return b->is < r->percent_bp;
}

bool rules_pick_encoded(struct str in, const struct client *client,
			struct rule *out, unsigned *position)
{
	struct rd rd = rd_of(in);
	bool is_wide;
	uint64_t n = rules_head(&rd, &is_wide);
	struct best people = { .found = false }, release = { .found = false };
	struct raw r, won = { 0 }, of_release = { 0 };
	struct bucket bucket = { .salt = NULL };

	for (uint64_t i = 0; i < n && !rd.bad; i++) {
		struct best *best;
		struct rank rank;
		bool matches;

		raw_head(&rd, &r);
		matches = match_labels(&rd, r.n_labels, &client->labels);
		if (is_wide)
			raw_more(&rd, &r);
		rank = (struct rank){ r.priority, r.nodes.n > 0, r.n_labels };
		best = r.release ? &release : &people;
		if (!matches || rd.bad || !may_win(best, &rank, r.release) ||
		    !match_nodes(r.nodes, client->id) ||
		    !match_percent(&r, client->id, &bucket))
			continue;
		*best = (struct best){ true, rank, r.release, i };
		*(r.release ? &of_release : &won) = r;
	}
	if (release_wins(&release, of_release.version, &people)) {
		people = release;
		won = of_release;
	}
	if (!people.found || rd.bad)
		return false;
	*position = (unsigned)people.at;
	*out = (struct rule){ 0 };
	raw_rule(&won, out);
	return true;
}

/* ---- texts ---- */

void percent_text(struct buf *out, uint32_t bp)
{
	buf_printf(out, "%u", bp / 100);
	if (bp % 100)
		buf_printf(out, bp % 10 ? ".%02u" : ".%u",
			   bp % 10 ? bp % 100 : bp % 100 / 10);
}

/* Canonical spelling has neither a sign of 0 nor zeros at the end, and an exponent
 * only where a number is huge, or next to nothing. */
bool percent_read(const struct value *v, uint32_t *bp, bool *is_exact)
{
	AUTO_BUF text = BUF_NONE;
	struct str whole, rest;
	uint64_t n;
	bool exact = true;

	if (!v || v->type != VALUE_NUMBER)
		return false;
	value_canonical(&text, v);
	rest = buf_view(&text);
	if (str_find(rest, 'e') != SIZE_MAX) {
		/* 0 < 1e-30 is cut off to 0; what is huge, or below 0, is none. */
		if (str_find_str(rest, STR("e-")) == SIZE_MAX || rest.p[0] == '-')
			return false;
		rest = STR("0");
		exact = false;
	}
	whole = str_cut(&rest, '.');
	if (!str_u64(whole, &n) || n > 100)
		return false;
	n *= 100;
	for (unsigned i = 0; i < 2 && i < rest.n; i++)
		n += (uint64_t)(rest.p[i] - '0') * (i ? 1 : 10);
	exact = exact && rest.n <= 2;
	if (n > PERCENT_ALL || (n == PERCENT_ALL && !exact))
		return false;
	*bp = (uint32_t)n;
	if (is_exact)
		*is_exact = exact;
	return true;
}

bool salt_read(struct str hex, uint8_t salt[SALT_SIZE])
{
	return hex_parse(hex, salt, SALT_SIZE);
}

void release_name(char out[RELEASE_NAME_MAX], uint64_t number)
{
	char digits[20];
	unsigned n = 0, at = 2;

	/* Each publish makes one: snprintf takes ten times as long. */
	for (; number; number /= 10)
		digits[n++] = (char)('0' + number % 10);
	while (n < 12)
		digits[n++] = '0';
	memcpy(out, "r-", 2);
	while (n)
		out[at++] = digits[--n];
	out[at] = '\0';
}

uint64_t release_number(struct str name)
{
	char again[RELEASE_NAME_MAX];
	uint64_t n;

	if (!str_starts(name, STR("r-")) || !str_u64(str_from(name, 2), &n))
		return 0;
	release_name(again, n);
	return str_eq(str_of(again), name) ? n : 0;
}

static void more_json(struct buf *out, const struct rule *r)
{
	char name[RELEASE_NAME_MAX];

	if (r->n_nodes) {
		buf_z(out, ",\"nodes\":[");
		for (size_t i = 0; i < r->n_nodes; i++) {
			if (i)
				buf_c(out, ',');
			buf_json(out, r->nodes[i]);
		}
		buf_c(out, ']');
	}
	if (r->has_percent) {
		buf_z(out, ",\"percent\":");
		percent_text(out, r->percent_bp);
		buf_z(out, ",\"salt\":\"");
		buf_hex(out, r->salt, SALT_SIZE);
		buf_c(out, '"');
	}
	if (r->release) {
		release_name(name, r->release);
		buf_printf(out, ",\"release\":\"%s\"", name);
	}
}

void rules_json(struct buf *out, const struct rules *rules)
{
	buf_c(out, '[');
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];

		buf_z(out, i ? ",{\"labels\":" : "{\"labels\":");
		labels_json(out, &r->labels);
		buf_z(out, ",\"priority\":");
		buf_i64(out, r->priority);
		buf_z(out, ",\"version_id\":");
		buf_u64(out, r->version);
		more_json(out, r);
		buf_c(out, '}');
	}
	buf_c(out, ']');
}
