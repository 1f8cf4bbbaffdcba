/*
 * What the cluster hears of versions: received, applied or rejected.
 *
 * Of each configuration the last word counts, and is said until a server has heard it;
 * the next server hears it again.  All that is due goes in one request.  `received` is
 * said only where nothing more is known within a while, so that usually it is no
 * request at all.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

#define RETRY_MS 5000

static const char *const words[] = {
	[WORD_RECEIVED] = "received", [WORD_APPLIED] = "applied",
	[WORD_REJECTED] = "rejected",
};

static bool is_of(const struct about *about, const struct doc *doc)
{
	return about->version == doc->version &&
	       memcmp(about->sha256, doc->sha256, sizeof(doc->sha256)) == 0;
}

static struct about about_of(const struct doc *doc)
{
	struct about about = { .version = doc->version };

	memcpy(about.sha256, doc->sha256, sizeof(doc->sha256));
	memcpy(about.release, doc->release, sizeof(doc->release));
	return about;
}

/* ---- words ---- */

/* As much of a program's words as there is room for, cut between characters; what is no
 * UTF-8 becomes '?', a character that was cut off already included. */
static void put_text(char *out, size_t size, const char *in)
{
	size_t at = 0;

	while (*in) {
		unsigned known = doc_utf8_length(in), n = MAX(known, 1u);

		if (at + n >= size)
			break;
		memcpy(out + at, known ? in : "?", n);
		at += n;
		in += n;
	}
	out[at] = '\0';
}

static void say(struct config *c, enum word word, const struct about *about,
		const char *reason)
{
	struct ack *ack = &c->ack;

	ack->word = word;
	ack->about = *about;
	ack->is_due = true;
	ack->is_asked = ack->is_heard = false;
	put_text(ack->reason, sizeof(ack->reason), reason);
}

void ack_say(struct cfx *cfx, unsigned at, enum word word, const struct doc *doc,
	     const char *reason)
{
	struct config *c = &cfx->configs[at];
	struct about about = about_of(doc);

	say(c, word, &about, reason);
	/* What is staged is a later one. */
	if (!c->staged || !is_of(&c->received, c->staged) || is_of(&c->received, doc))
		c->is_received = false;
}

/* The same content as before: what was said of it holds of this version. */
static void say_same(struct cfx *cfx, unsigned at, const struct doc *doc)
{
	char reason[REASON_MAX];

	memcpy(reason, cfx->configs[at].ack.reason, sizeof(reason));
	ack_say(cfx, at, cfx->configs[at].ack.word, doc, reason);
}

static bool is_judged(const struct config *c, const struct doc *doc)
{
	return c->ack.word > WORD_RECEIVED &&
	       memcmp(c->ack.about.sha256, doc->sha256, sizeof(doc->sha256)) == 0;
}

bool ack_is_about(const struct config *c, const struct doc *doc)
{
	return c->ack.word == WORD_NONE || is_of(&c->ack.about, doc);
}

void ack_rejected_before(struct cfx *cfx, unsigned at, const struct doc *doc)
{
	const struct config *c = &cfx->configs[at];

	/* Of one that came between, and never was in force, `received` was said. */
	if (!is_judged(c, doc) || c->ack.word != WORD_REJECTED)
		ack_say(cfx, at, WORD_REJECTED, doc, "the same content was rejected before");
	else if (c->ack.about.version != doc->version)
		say_same(cfx, at, doc);
}

void ack_received(struct cfx *cfx, unsigned at, const struct doc *doc, int64_t now)
{
	struct config *c = &cfx->configs[at];

	/* More is known already, or it is waiting to be said. */
	if ((c->ack.word > WORD_RECEIVED && is_of(&c->ack.about, doc)) ||
	    (c->is_received && is_of(&c->received, doc)))
		return;
	c->is_received = true;
	c->received = about_of(doc);
	c->received_ms = now + cfx->o.received_ms;
}

void ack_accepted(struct cfx *cfx, unsigned at, const struct doc *doc)
{
	if (cfx->o.acknowledges != CFX_ACKNOWLEDGE_BY_PROGRAM)
		ack_say(cfx, at, WORD_APPLIED, doc, "");
	else if (is_judged(&cfx->configs[at], doc))
		say_same(cfx, at, doc);
	else
		ack_received(cfx, at, doc, sdk_now_ms());
}

/* ---- the program's words ---- */

enum cfx_code cfx_acknowledge(struct cfx *cfx, const char *config, uint64_t version,
			      bool is_applied, const char *reason)
{
	int at = config ? names_find(cfx->names, config) : -1;
	struct config *c;

	if (at < 0 || cfx->o.acknowledges != CFX_ACKNOWLEDGE_BY_PROGRAM)
		return CFX_E_USAGE;
	c = &cfx->configs[at];
	pthread_mutex_lock(&cfx->lock);
	c->said.is_due = true;
	c->said.is_applied = is_applied;
	c->said.version = version;
	put_text(c->said.reason, sizeof(c->said.reason), reason ? reason : "");
	pthread_mutex_unlock(&cfx->lock);
	atomic_store(&cfx->has_said, true);
	sdk_wake(cfx->net.wake);
	return CFX_OK;
}

static void take_said(struct cfx *cfx, unsigned at)
{
	const struct doc *doc = cfx_now(cfx)->docs[at];
	struct config *c = &cfx->configs[at];

	if (!c->said.is_due)
		return;
	c->said.is_due = false;
	/* The same content may have become another version since the program looked. */
	if (doc && doc_was(doc, c->said.version))
		ack_say(cfx, at, c->said.is_applied ? WORD_APPLIED : WORD_REJECTED,
			doc, c->said.is_applied ? "" : c->said.reason);
}

void ack_take_said(struct cfx *cfx)
{
	if (!atomic_exchange(&cfx->has_said, false))
		return;
	pthread_mutex_lock(&cfx->lock);
	for (unsigned i = 0; i < cfx->names->n; i++)
		take_said(cfx, i);
	/* Who looks at the status meanwhile misses none. */
	cfx->told.unheard = ack_unheard(cfx);
	pthread_mutex_unlock(&cfx->lock);
}

uint64_t ack_unheard(const struct cfx *cfx)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < cfx->names->n; i++)
		n += cfx->configs[i].ack.word > WORD_RECEIVED &&
		     !cfx->configs[i].ack.is_heard;
	return n;
}

/* ---- requests ---- */

static bool put_one(struct cfx *cfx, struct bytes *body, const struct config *c,
		    enum word word, const struct about *about)
{
	const heap *h = &cfx->heap;
	char hex[65];

	sdk_hex(hex, about->sha256, sizeof(about->sha256));
	return bytes_add(h, body, body->n ? STR(",{\"instance\":") :
					    STR("[{\"instance\":")) &&
	       sdk_json(h, body, str_of(cfx->instance)) &&
	       bytes_add(h, body, STR(",\"key\":")) &&
	       sdk_json(h, body, str_of(c->key)) &&
	       bytes_printf(h, body, ",\"version\":%llu,\"sha256\":\"%s\","
			    "\"state\":\"%s\"", (unsigned long long)
			    about->version, hex, words[word]) &&
	       (word != WORD_REJECTED ||
		(bytes_add(h, body, STR(",\"reason\":")) &&
		 sdk_json(h, body, str_of(c->ack.reason)))) &&
	       (!about->release[0] ||
		(bytes_add(h, body, STR(",\"release\":")) &&
		 sdk_json(h, body, str_of(about->release)))) &&
	       bytes_add(h, body, STR("}"));
}

static bool is_received_due(const struct config *c, int64_t now)
{
	return c->is_received && c->received_ms <= now;
}

/* What is due of one, in its order; '*n' counts.  False: no memory. */
static bool put(struct cfx *cfx, struct bytes *body, struct config *c, int64_t now,
		unsigned *n)
{
	bool is_due = c->ack.is_due, is_received = is_received_due(c, now);

	if (is_due && !put_one(cfx, body, c, c->ack.word, &c->ack.about))
		return false;
	if (is_received &&
	    !put_one(cfx, body, c, WORD_RECEIVED, &c->received))
		return false;
	*n += is_due + is_received;
	return true;
}

static void is_under_way(struct config *c, int64_t now)
{
	bool is_due = c->ack.is_due;

	if (is_received_due(c, now)) {
		say(c, WORD_RECEIVED, &c->received, "");
		c->is_received = false;
		is_due = true;
	}
	c->ack.is_asked |= is_due;
	c->ack.is_due = false;
}

static bool put_all(struct cfx *cfx, struct bytes *body, int64_t now, unsigned *first,
		    unsigned *n)
{
	*n = 0;
	*first = cfx->names->n;
	for (unsigned i = 0; i < cfx->names->n; i++) {
		if (!put(cfx, body, &cfx->configs[i], now, n))
			return false;
		if (*n && *first == cfx->names->n)
			*first = i;
		if (*n && cfx->acks_alone)
			break;
	}
	return *n == 0 || bytes_add(&cfx->heap, body, STR("]"));
}

bool ack_begin(struct cfx *cfx, struct bytes *out, int64_t now)
{
	const heap *h = &cfx->heap;
	struct bytes body = { 0 };
	unsigned first, n;
	bool good;

	if (cfx->no_acks || cfx->ack_ms > now)
		return false;
	good = put_all(cfx, &body, now, &first, &n) &&
	       (n == 0 || (bytes_add(h, out, STR("POST /api/v1/acks")) &&
			   engine_head(cfx, out, "application/json") &&
			   bytes_printf(h, out, "Content-Type: application/json\r\n"
					"Content-Length: %zu\r\n\r\n", body.n) &&
			   bytes_add(h, out, bytes_view(&body))));
	bytes_fini(h, &body);
	if (!good || n == 0) {
		bytes_fini(h, out);
		if (!good)
			cfx->ack_ms = engine_jitter(now, RETRY_MS);
		return false;
	}
	for (unsigned i = first; i < cfx->names->n; i++) {
		is_under_way(&cfx->configs[i], now);
		if (cfx->acks_alone)
			break;
	}
	cfx->acks_asked = n;
	return true;
}

static unsigned again(struct cfx *cfx)
{
	unsigned n = 0;

	for (unsigned i = 0; i < cfx->names->n; i++) {
		struct ack *ack = &cfx->configs[i].ack;

		n += ack->is_asked;
		ack->is_due |= ack->is_asked;
		ack->is_asked = false;
	}
	return n;
}

static void are_over(struct cfx *cfx, bool is_heard)
{
	for (unsigned i = 0; i < cfx->names->n; i++) {
		struct ack *ack = &cfx->configs[i].ack;

		ack->is_heard |= ack->is_asked && is_heard;
		ack->is_asked = false;
	}
}

void ack_failed(struct cfx *cfx, bool is_at_once, int64_t now)
{
	(void)again(cfx);
	cfx->ack_ms = is_at_once ? now : engine_jitter(now, RETRY_MS);
}

void ack_answered(struct cfx *cfx, int64_t now)
{
	const struct answer *a = &cfx->ask.answer;
	struct cfx_error error;

	if (a->status < 300) {
		cfx->status.acknowledged += cfx->acks_asked;
		are_over(cfx, true);
	} else if (a->status == 405 || a->status == 501) {
		cfx->no_acks = true;     /* an older server */
		(void)again(cfx);
	} else if (a->status == 401 || a->status == 429 || a->status >= 500) {
		(void)again(cfx);
		cfx->ack_ms = engine_jitter(now + (int64_t)a->retry_after_s * 1000,
					    RETRY_MS);
	} else if (cfx->acks_asked > 1 && !cfx->acks_alone) {
		/* One of them is not for us to say; the others are. */
		(void)again(cfx);
		cfx->acks_alone = true;
	} else {
		are_over(cfx, false);
		engine_refusal(cfx, &cfx->ask, &error);
		cfx_trouble(cfx, &error);
	}
}

void ack_connected(struct cfx *cfx)
{
	cfx->no_acks = cfx->acks_alone = false;
	for (unsigned i = 0; i < cfx->names->n; i++) {
		struct ack *ack = &cfx->configs[i].ack;

		ack->is_due = ack->word != WORD_NONE;
	}
}

int64_t ack_due(const struct cfx *cfx)
{
	int64_t due = INT64_MAX;

	if (cfx->no_acks)
		return INT64_MAX;
	for (unsigned i = 0; i < cfx->names->n; i++) {
		const struct config *c = &cfx->configs[i];

		if (c->ack.is_due)
			due = MIN(due, cfx->ack_ms);
		if (c->is_received)
			due = MIN(due, MAX(cfx->ack_ms, c->received_ms));
	}
	return due;
}
