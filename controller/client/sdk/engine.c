/*
 * What is asked of whom and when.
 *
 * One watch says that something has changed, fetches get it.  The watch begins
 * first and names the revision that it begins behind; everything is then fetched at
 * that revision or later, so that nothing falls between.  A watch that was lost goes
 * on at the next endpoint behind the last event; where that is compacted everything
 * is fetched again.  What was fetched waits until all that one command changed is
 * here (commit.c).
 *
 * An endpoint that fails gives way to the next at once; when each of them has failed
 * once the next round comes after a while, by full jitter, and no earlier than an
 * endpoint that said Retry-After wants to be asked.
 *
 * A configuration that alone cannot be fetched costs the others a watch now and then,
 * and no more: they go before it, it is asked for after longer and longer times, and
 * they wait for it only where it may belong to what they are part of.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

/* A watch that lived so long was a good one. */
#define GOOD_WATCH_MS 5000
/* An event of what was fetched already is waited for so long. */
#define WHOLE_MS 1000
#define TURNS 32

int64_t engine_jitter(int64_t now, int64_t ms)
{
	return now + 10 + (int64_t)(sdk_random() % (uint64_t)(ms > 0 ? ms : 1));
}

/* ---- fail-over ---- */

static void lose_watch(struct cfx *cfx, int64_t now)
{
	link_close(&cfx->watch);
	events_reset(&cfx->events);
	if (cfx->watch_state == WATCH_LIVE) {
		cfx->lost_ms = now;
		cfx_log(cfx, CFX_LOG_INFO, "%s: the watch ended",
			cfx->watch.to->name);
	}
	cfx->watch_state = WATCH_OFF;
}

/* What went wrong with it was of something else. */
static void begin_anew(struct config *c)
{
	c->retry_ms = c->failing_ms = 0;
	c->failures = 0;
	c->is_refused = false;
}

static void want_all(struct cfx *cfx, uint64_t rev)
{
	for (unsigned i = 0; i < cfx->names->n; i++) {
		struct config *c = &cfx->configs[i];

		c->is_wanted = true;
		c->want_rev = rev;
		if (!c->failing_ms)
			begin_anew(c);
	}
}

/* The first in the ring from 'at' on that may be asked now; else when. */
static bool choose(struct cfx *cfx, int64_t now, int64_t *when)
{
	int64_t first = INT64_MAX;

	for (unsigned i = 0; i < cfx->n_endpoints; i++) {
		unsigned at = (cfx->at + i) % cfx->n_endpoints;
		int64_t from = cfx->endpoints[at].not_before_ms;

		if (from <= now) {
			cfx->at = at;
			return true;
		}
		first = MIN(first, from);
	}
	*when = first;
	return false;
}

static int64_t wait_of_round(const struct cfx *cfx, unsigned round)
{
	int64_t ms = cfx->o.retry_min_ms;

	for (unsigned i = 0; i < round && ms < cfx->o.retry_max_ms; i++)
		ms *= 2;
	return MIN(ms, (int64_t)cfx->o.retry_max_ms);
}

static void leave_endpoint(struct cfx *cfx, int64_t now)
{
	lose_watch(cfx, now);
	link_close(&cfx->ask);
	if (cfx->asking == ASK_ACK)
		ack_failed(cfx, true, now);
	cfx->asking = ASK_NOTHING;
	cfx->may_poll = false;
	cfx->at = (cfx->at + 1) % cfx->n_endpoints;
	cfx->next_try_ms = now;
}

/* The endpoint is of no use now: on to the next. */
static void fail_over(struct cfx *cfx, const struct cfx_error *error,
		      unsigned retry_after_s, int64_t now)
{
	struct endpoint *e = &cfx->endpoints[cfx->at];

	if (cfx->watch_state == WATCH_LIVE &&
	    now - cfx->live_since_ms >= GOOD_WATCH_MS)
		cfx->failed = cfx->round = 0;
	leave_endpoint(cfx, now);
	cfx_trouble(cfx, error);
	if (cfx->net.tls.ctx && (error->code == CFX_E_TLS ||
				 error->code == CFX_E_NO_MEMORY))
		renew_tls(cfx);
	if (retry_after_s)
		e->not_before_ms = engine_jitter(
			now + (int64_t)retry_after_s * 1000,
			(int64_t)retry_after_s * 100);
	if (++cfx->failed < cfx->n_endpoints)
		return;
	cfx->failed = 0;
	cfx->next_try_ms = engine_jitter(now, wait_of_round(cfx, cfx->round));
	if (cfx->round < 30)
		cfx->round++;
}

/* ---- questions ---- */

bool engine_head(struct cfx *cfx, struct bytes *out, const char *accept)
{
	const heap *h = &cfx->heap;

	return bytes_printf(h, out, " HTTP/1.1\r\nHost: %s\r\n"
			    "User-Agent: libconflux/%s\r\nAccept: %s\r\n"
			    "X-Conflux-Instance: %s\r\n",
			    cfx->endpoints[cfx->at].authority,
			    CONFLUX_SDK_VERSION, accept, cfx->instance) &&
	       (cfx->token.n == 0 ||
		bytes_printf(h, out, "Authorization: Bearer %.*s\r\n",
			     STR_ARG(bytes_view(&cfx->token))));
}

static void no_memory(struct cfx *cfx, struct bytes *out, int64_t now)
{
	struct cfx_error error;

	bytes_fini(&cfx->heap, out);
	cfx_no_memory(&error);
	fail_over(cfx, &error, 0, now);
}

static bool on_event(void *data, const char *event, const char *id,
		     struct str text);

static bool take_events(void *data, struct str bytes)
{
	struct cfx *cfx = data;

	return events_feed(&cfx->heap, &cfx->events, bytes, on_event, cfx);
}

static void begin_watch(struct cfx *cfx, int64_t now)
{
	struct bytes out = { 0 };

	if (!choose(cfx, now, &cfx->next_try_ms))
		return;
	if (!bytes_printf(&cfx->heap, &out, "GET %s", cfx->watch_target) ||
	    !engine_head(cfx, &out, "text/event-stream") ||
	    (cfx->has_cursor &&
	     !bytes_printf(&cfx->heap, &out, "Last-Event-ID: %llu\r\n",
			   (unsigned long long)cfx->cursor)) ||
	    !bytes_add(&cfx->heap, &out, STR("\r\n"))) {
		no_memory(cfx, &out, now);
		return;
	}
	link_close(&cfx->watch);
	events_reset(&cfx->events);
	cfx->watch_state = WATCH_ASKED;
	cfx->status.connects++;
	link_ask(&cfx->watch, &cfx->endpoints[cfx->at], &out,
		 cfx->o.request_timeout_ms, ANSWER_TEXT_MAX, take_events, cfx,
		 cfx->o.silence_timeout_ms, now);
}

static const struct doc *known_doc(const struct cfx *cfx, unsigned at)
{
	return cfx->configs[at].staged ? cfx->configs[at].staged :
					 cfx_now(cfx)->docs[at];
}

static void begin_fetch(struct cfx *cfx, unsigned at, int64_t now)
{
	struct config *c = &cfx->configs[at];
	const struct doc *doc = known_doc(cfx, at);
	const heap *h = &cfx->heap;
	struct bytes out = { 0 };
	char etag[65] = "";
	bool good = bytes_printf(h, &out, "GET %s", c->target);

	if (good && c->want_rev)
		good = bytes_printf(h, &out, "%smin_revision=%llu",
				    strchr(c->target, '?') ? "&" : "?",
				    (unsigned long long)c->want_rev);
	good = good && engine_head(cfx, &out, "*/*");
	if (doc)
		sdk_hex(etag, doc->sha256, sizeof(doc->sha256));
	if (good && doc)
		good = bytes_printf(h, &out, "If-None-Match: \"%s\"\r\n", etag);
	if (good && cfx->signer)
		good = bytes_add(h, &out, STR("X-Conflux-Want-Signature: ?1\r\n"));
	if (!good || !bytes_add(h, &out, STR("\r\n"))) {
		no_memory(cfx, &out, now);
		return;
	}
	c->asked_rev = c->want_rev;
	cfx->asking = ASK_FETCH;
	cfx->asked = at;
	cfx->status.fetches++;
	link_ask(&cfx->ask, &cfx->endpoints[cfx->at], &out,
		 cfx->o.request_timeout_ms, cfx->o.content_max, NULL, NULL, 0,
		 now);
}

static void begin_ack(struct cfx *cfx, int64_t now)
{
	struct bytes out = { 0 };

	if (!ack_begin(cfx, &out, now))
		return;
	cfx->asking = ASK_ACK;
	link_ask(&cfx->ask, &cfx->endpoints[cfx->at], &out,
		 cfx->o.request_timeout_ms, ANSWER_TEXT_MAX, NULL, NULL, 0, now);
}

/* ---- refusals ---- */

void engine_refusal(struct cfx *cfx, const struct link *l, struct cfx_error *error)
{
	static const struct { int status; enum cfx_code code; } codes[] = {
		{ 400, CFX_E_INVALID }, { 401, CFX_E_UNAUTHORIZED },
		{ 403, CFX_E_DENIED }, { 404, CFX_E_NOT_FOUND },
		{ 429, CFX_E_RATE }, { 504, CFX_E_TIMEOUT },
	};
	const struct answer *a = &l->answer;
	enum cfx_code code = CFX_E_UNAVAILABLE;
	char *text = heap_text(&cfx->heap, bytes_view(&a->body));
	struct doc *doc = NULL;
	struct str detail = STR_NONE;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (a->status == codes[i].status)
			code = codes[i].code;
	if (text && doc_new(&cfx->heap, text, a->body.n, "application/json",
			    cfx->c_locale, cfx->seed, &doc, NULL) == CFX_OK) {
		const struct item *item = doc_find(doc, "detail");

		if (item && item->type == CFX_STRING)
			detail = doc_text(doc, item);
	}
	cfx_fail(error, code, "%s: %d%s%.*s", l->to->name, a->status,
		 detail.n ? ": " : "", (int)MIN(detail.n, (size_t)200),
		 detail.n ? detail.p : "");
	doc_unref(doc);
}

static void watch_refused(struct cfx *cfx, int64_t now)
{
	struct link *l = &cfx->watch;
	unsigned after = l->answer.retry_after_s;
	int status = l->answer.status;
	struct cfx_error error;

	engine_refusal(cfx, l, &error);
	if (status == 410 && cfx->has_cursor) {  /* compacted: everything anew */
		cfx->has_cursor = false;
		cfx->watch_state = WATCH_OFF;
		cfx->next_try_ms = now;
		cfx_log(cfx, CFX_LOG_INFO, "%s", error.text);
		return;
	}
	if (status == 401 && renew_token(cfx, now)) {
		cfx->watch_state = WATCH_OFF;
		return;
	}
	/* Nobody is where we were: the cluster lost or replaced its state. */
	if (status == 504 && cfx->has_cursor &&
	    ++cfx->late >= cfx->n_endpoints) {
		cfx->has_cursor = false;
		cfx->late = 0;
	}
	if (status >= 500 || status == 429 || status < 400 || status == 401) {
		if (status == 401)
			cfx->refused = error;
		fail_over(cfx, &error, after, now);
		return;
	}
	/* It may not watch, or this is no watch: it asks now and then. */
	cfx_trouble(cfx, &error);
	lose_watch(cfx, now);
	cfx->may_poll = true;
	cfx->next_try_ms = engine_jitter(now + cfx->o.retry_max_ms / 2,
					 cfx->o.retry_max_ms / 2);
	want_all(cfx, 0);
}

/* ---- the watch ---- */

static const struct item *member(const struct doc *doc, const char *name,
				 enum cfx_type type)
{
	const struct item *item = doc_find(doc, name);

	return item && item->type == type ? item : NULL;
}

/* The same version, to be fetched and spoken of again: another release waits for it, or
 * what was said last is of one that was refused meanwhile. */
static bool is_waited_for(const struct config *c, const struct doc *doc,
			  const struct doc *event)
{
	const struct item *release = member(event, "release", CFX_STRING);

	return (release && !str_eq(doc_text(event, release), str_of(doc->release))) ||
	       (!c->staged && !ack_is_about(c, doc));
}

static void on_change(struct cfx *cfx, const struct doc *event, uint64_t rev)
{
	const struct item *key = member(event, "key", CFX_STRING);
	const struct item *sha = member(event, "sha256", CFX_STRING);
	const struct item *end = member(event, "end", CFX_BOOL);
	uint8_t digest[32];
	const struct item *version = member(event, "version", CFX_NUMBER);
	bool is_known = sha && version &&
			sdk_unhex(doc_text(event, sha), digest, 32);

	cfx->is_whole = !end || end->i64;
	for (unsigned i = 0; key && i < cfx->names->n; i++) {
		struct config *c = &cfx->configs[i];
		const struct doc *doc = known_doc(cfx, i);

		if (!str_eq(doc_text(event, key), str_of(c->key)))
			continue;
		if (is_known && doc && !c->is_gone && !c->is_wanted &&
		    (uint64_t)version->i64 == doc->version &&
		    memcmp(doc->sha256, digest, 32) == 0 && !doc->is_from_snapshot &&
		    !is_waited_for(c, doc, event))
			return;
		c->is_wanted = true;
		c->want_rev = MAX(c->want_rev, rev);
		begin_anew(c);
		return;
	}
}

static bool on_event(void *data, const char *name, const char *id,
		     struct str text)
{
	struct cfx *cfx = data;
	char *copy = heap_text(&cfx->heap, text);
	struct doc *event = NULL;
	struct cfx_error error = { 0 };
	uint64_t rev = cfx->cursor;
	const struct item *status;
	enum cfx_code rc;

	if (!copy)
		return false;
	rc = doc_new(&cfx->heap, copy, text.n, "application/json",
		     cfx->c_locale, cfx->seed, &event, &error);
	if (rc)                          /* of an event that we do not know */
		return rc != CFX_E_NO_MEMORY;
	if (id[0] && sdk_u64(str_of(id), &rev))
		cfx->cursor = MAX(cfx->cursor, rev);
	status = member(event, "status", CFX_NUMBER);
	if (strcmp(name, "change") == 0)
		on_change(cfx, event, rev);
	else if (strcmp(name, "bookmark") == 0)
		cfx->is_whole = true;
	else if (strcmp(name, "error") == 0 && status && status->i64 == 410)
		cfx->has_cursor = false;
	cfx->status.revision = cfx->cursor;
	doc_unref(event);
	return true;
}

static void watch_began(struct cfx *cfx, int64_t now)
{
	const struct answer *a = &cfx->watch.answer;

	cfx->watch_state = WATCH_LIVE;
	cfx->live_since_ms = now;
	cfx->late = 0;
	cfx->is_whole = true;
	ack_connected(cfx);
	cfx->refused = (struct cfx_error){ 0 };
	if (!cfx->has_cursor) {
		/* What was seen of an earlier state says nothing of this one. */
		cfx->cursor = MAX(cfx->cursor, a->revision);
		if (a->has_revision)
			cfx->cursor = a->revision;
		cfx->has_cursor = a->has_revision;
		want_all(cfx, a->has_revision ? a->revision : 0);
	}
	cfx->status.revision = cfx->cursor;
	cfx_log(cfx, CFX_LOG_INFO, "%s: watching from revision %llu",
		cfx->watch.to->name, (unsigned long long)cfx->cursor);
}

static void step_watch(struct cfx *cfx, int64_t now)
{
	struct cfx_error error = { 0 };
	enum link_event event = link_step(&cfx->watch, now, &error);

	if (event == LINK_FAILED) {
		fail_over(cfx, &error, 0, now);
		return;
	}
	if (event == LINK_ANSWERED && cfx->watch.answer.status != 200) {
		watch_refused(cfx, now);
		return;
	}
	if (cfx->watch_state == WATCH_ASKED &&
	    (event == LINK_ANSWERED || link_is_streaming(&cfx->watch)))
		watch_began(cfx, now);
	if (event == LINK_ANSWERED) {
		cfx_fail(&error, CFX_E_UNAVAILABLE, "%s: the server ended the "
			 "watch", cfx->watch.to->name);
		fail_over(cfx, &error, 0, now);
	}
}

/* ---- fetches ---- */

static void is_fetched(struct config *c, uint64_t rev)
{
	if (c->want_rev == c->asked_rev || rev >= c->want_rev)
		c->is_wanted = false;
	c->is_gone = false;
	c->refusal = (struct cfx_error){ 0 };
	begin_anew(c);
}

static enum cfx_code check(struct cfx *cfx, const struct config *c,
			   struct doc *doc, struct cfx_error *error)
{
	const struct answer *a = &cfx->ask.answer;
	struct said said = { cfx->ask.to->name, c->key, a->etag, a->signature,
			     doc->version };
	struct proof proof = { 0 };
	enum cfx_code rc = proof_of(&said, str_n(doc->content, doc->content_n),
				    cfx->signer, &proof, error);

	memcpy(doc->sha256, proof.sha256, sizeof(doc->sha256));
	memcpy(doc->signature, proof.signature, sizeof(doc->signature));
	doc->is_signed = proof.is_signed;
	return rc;
}

static bool was_rejected(const struct config *c, const uint8_t sha[32])
{
	return c->has_rejected && memcmp(c->rejected, sha, 32) == 0;
}

static void take_names(struct doc *doc, const struct answer *a)
{
	doc_number(doc, a->version);
	doc->revision = a->revision;
	memcpy(doc->release, a->release, sizeof(doc->release));
}

/* What is staged of it is an earlier version, which is not to be in force any more. */
static void drop_staged(struct cfx *cfx, unsigned at)
{
	bool any = false;

	doc_unref(TAKE(cfx->configs[at].staged));
	cfx->configs[at].is_received = false;
	for (unsigned i = 0; i < cfx->names->n; i++)
		any |= cfx->configs[i].staged != NULL;
	if (!any)
		cfx->staged_ms = 0;
}

/* It is told only when it is known to be what the server has. */
static enum cfx_code unreadable(struct cfx *cfx, unsigned at, char *content,
				size_t n, struct cfx_error *error)
{
	struct config *c = &cfx->configs[at];
	struct cfx_error why = *error;
	struct doc *doc = NULL;
	enum cfx_code rc = doc_new(&cfx->heap, content, n, "text/plain",
				   cfx->c_locale, cfx->seed, &doc, error);

	if (rc)
		return rc;
	take_names(doc, &cfx->ask.answer);
	rc = check(cfx, c, doc, error);
	if (rc == CFX_OK) {
		is_fetched(c, cfx->ask.answer.revision);
		drop_staged(cfx, at);
		if (was_rejected(c, doc->sha256))
			ack_rejected_before(cfx, at, doc);
		else
			commit_reject(cfx, at, doc, why.text);
	}
	doc_unref(doc);
	return rc;
}

static enum cfx_code take_content(struct cfx *cfx, unsigned at, int64_t now,
				  struct cfx_error *error)
{
	struct config *c = &cfx->configs[at];
	struct answer *a = &cfx->ask.answer;
	struct str body = bytes_view(&a->body);
	char *content = heap_text(&cfx->heap, body);
	struct doc *doc = NULL;
	enum cfx_code rc;

	if (!content)
		return cfx_no_memory(error);
	rc = doc_new(&cfx->heap, content, body.n, a->content_type,
		     cfx->c_locale, cfx->seed, &doc, error);
	if (rc == CFX_E_PARSE) {
		content = heap_text(&cfx->heap, body);
		return content ? unreadable(cfx, at, content, body.n, error) :
				 cfx_no_memory(error);
	}
	if (rc)
		return rc;
	take_names(doc, a);
	rc = check(cfx, c, doc, error);
	if (rc || was_rejected(c, doc->sha256)) {
		if (rc == CFX_OK) {
			is_fetched(c, a->revision);
			drop_staged(cfx, at);
			ack_rejected_before(cfx, at, doc);
		}
		doc_unref(doc);
		return rc;
	}
	is_fetched(c, a->revision);
	doc_unref(c->staged);
	c->staged = doc;
	ack_received(cfx, at, doc, now);
	if (cfx->staged_ms == 0)
		cfx->staged_ms = now;
	return CFX_OK;
}

/* The same bytes may have become another version, or of another release, or been from
 * the snapshot. */
static enum cfx_code is_current(struct cfx *cfx, unsigned at,
				struct cfx_error *error)
{
	struct config *c = &cfx->configs[at];
	const struct answer *a = &cfx->ask.answer;
	struct doc *doc = c->staged ? c->staged : cfx_now(cfx)->docs[at];
	bool is_other = doc && a->version && a->version != doc->version;
	bool is_moved = doc && a->release[0] && strcmp(a->release, doc->release) != 0;
	enum cfx_code rc = CFX_OK;

	if (is_other && cfx->signer) {
		uint8_t signature[SIGNATURE_BYTES];

		rc = signature_parse(a->signature, signature) ?
			signer_check(cfx->signer, c->key, a->version,
				     doc->sha256, signature, error) :
			cfx_fail(error, CFX_E_CORRUPT, "%s: version %llu is not "
				 "signed", c->key, (unsigned long long)a->version);
		if (rc)
			return rc;
		memcpy(doc->signature, signature, sizeof(signature));
	}
	is_fetched(c, a->revision);
	if (is_other)
		doc_number(doc, a->version);
	if (is_other || is_moved)
		memcpy(doc->release, a->release, sizeof(doc->release));
	if (c->staged || !doc || (!is_other && !is_moved && !doc->is_from_snapshot &&
				  ack_is_about(c, doc)))
		return CFX_OK;
	doc->revision = a->revision;
	doc->is_from_snapshot = false;
	cfx->save_due |= is_other && cfx->o.snapshot_file;
	commit_accept(cfx, at, doc);
	return CFX_OK;
}

/* No server will give it as it is. */
static void refuse(struct cfx *cfx, unsigned at, const struct cfx_error *error,
		   int64_t now)
{
	struct config *c = &cfx->configs[at];

	begin_anew(c);
	c->is_refused = true;
	c->retry_ms = engine_jitter(now + cfx->o.retry_max_ms / 2,
				    cfx->o.retry_max_ms / 2);
	c->refusal = *error;
	cfx_trouble(cfx, error);
}

/* Each endpoint is asked for it at once, and then as rounds are; the others go first. */
static void put_off(struct cfx *cfx, unsigned at, int64_t now)
{
	struct config *c = &cfx->configs[at];

	if (!c->failing_ms)
		c->failing_ms = now;
	c->failures++;
	c->retry_ms = c->failures < cfx->n_endpoints ? 0 :
		engine_jitter(now, wait_of_round(cfx, c->failures / cfx->n_endpoints - 1));
	cfx->ask_from = at + 1;
}

static void fetch_failed(struct cfx *cfx, unsigned at, const struct cfx_error *error,
			 unsigned retry_after_s, int64_t now)
{
	struct cfx_error why;

	if (error->code != CFX_E_TOO_LARGE) {
		put_off(cfx, at, now);
		fail_over(cfx, error, retry_after_s, now);
		return;
	}
	cfx_fail(&why, error->code, "%s: %s", cfx->configs[at].key, error->text);
	refuse(cfx, at, &why, now);
}

static void fetch_refused(struct cfx *cfx, unsigned at, int64_t now)
{
	struct config *c = &cfx->configs[at];
	unsigned after = cfx->ask.answer.retry_after_s;
	int status = cfx->ask.answer.status;
	struct cfx_error error;

	engine_refusal(cfx, &cfx->ask, &error);
	if (status == 401 && renew_token(cfx, now))
		return;
	/* Not here yet: the next may be further, and a lost state is none. */
	if (status == 504 && ++cfx->late > 2 * cfx->n_endpoints) {
		cfx->has_cursor = false;
		cfx->late = 0;
	}
	if (status >= 500 || status == 429 || status < 400) {
		fetch_failed(cfx, at, &error, after, now);
		return;
	}
	if (status != 404) {
		refuse(cfx, at, &error, now);
		return;
	}
	/* A node may be behind the one that made it, so that the others are asked before a
	 * start fails for it. */
	if (!known_doc(cfx, at) && ++c->absent < cfx->n_endpoints) {
		leave_endpoint(cfx, now);
		return;
	}
	/* It says of no later revision that there is nothing. */
	is_fetched(c, 0);
	c->is_gone = true;
	cfx_fail(&error, CFX_E_NOT_FOUND, "%s: no such configuration, or no version "
		 "for these labels", c->key);
	c->refusal = error;
	cfx_trouble(cfx, &error);
}

static void answered(struct cfx *cfx, enum asking what, int64_t now)
{
	struct cfx_error error = { 0 };
	int status = cfx->ask.answer.status;

	if (what == ASK_ACK)
		ack_answered(cfx, now);
	else if (status != 200 && status != 304)
		fetch_refused(cfx, cfx->asked, now);
	else if (status == 304 ? is_current(cfx, cfx->asked, &error) :
				 take_content(cfx, cfx->asked, now, &error))
		fetch_failed(cfx, cfx->asked, &error, 0, now);
}

static void step_ask(struct cfx *cfx, int64_t now)
{
	struct cfx_error error = { 0 };
	bool was_reused = cfx->ask.is_reused;
	enum link_event event = link_step(&cfx->ask, now, &error);
	enum asking what = cfx->asking;

	if (event == LINK_BUSY)
		return;
	cfx->asking = ASK_NOTHING;
	if (event == LINK_ANSWERED) {
		answered(cfx, what, now);
		bytes_fini(&cfx->heap, &cfx->ask.answer.body);
		return;
	}
	if (what == ASK_ACK) {
		ack_failed(cfx, was_reused, now);
		return;
	}
	/* A kept connection may end any time: once more, on a new one. */
	if (!was_reused || error.code == CFX_E_TIMEOUT ||
	    error.code == CFX_E_NO_MEMORY || error.code == CFX_E_TOO_LARGE)
		fetch_failed(cfx, cfx->asked, &error, 0, now);
}

static void begin_ask(struct cfx *cfx, int64_t now)
{
	if (cfx->watch_state != WATCH_LIVE && !cfx->may_poll)
		return;
	for (unsigned i = 0; i < cfx->names->n; i++) {
		unsigned at = (cfx->ask_from + i) % cfx->names->n;

		if (cfx->configs[at].is_wanted && cfx->configs[at].retry_ms <= now) {
			begin_fetch(cfx, at, now);
			return;
		}
	}
	begin_ack(cfx, now);
}

/* ---- commits ---- */

/* May it be here soon, and belong to what is staged? */
static bool is_awaited(const struct cfx *cfx, const struct config *c, int64_t now)
{
	return c->is_wanted && !c->is_refused &&
	       (!c->failing_ms || now - c->failing_ms < (int64_t)cfx->o.request_timeout_ms);
}

/* Is everything here that belongs together? */
static bool is_whole(struct cfx *cfx, int64_t now)
{
	uint64_t newest = 0;
	bool any = false;

	for (unsigned i = 0; i < cfx->names->n; i++) {
		const struct config *c = &cfx->configs[i];

		if (c->staged) {
			newest = MAX(newest, c->staged->revision);
			any = true;
		}
	}
	if (!any || now < cfx->commit_ms)
		return false;
	/* One that cannot be had does not keep the others from the program. */
	if (now - cfx->staged_ms >= (int64_t)cfx->o.request_timeout_ms)
		return true;
	for (unsigned i = 0; i < cfx->names->n; i++)
		if (is_awaited(cfx, &cfx->configs[i], now))
			return false;
	/* It is newer than the watch has come: what belongs to it is not known yet. */
	return cfx->watch_state != WATCH_LIVE ||
	       now - cfx->staged_ms >= WHOLE_MS ||
	       (cfx->is_whole && newest <= cfx->cursor);
}

static void try_commit(struct cfx *cfx, int64_t now)
{
	struct cfx_error error = { 0 };

	if (!is_whole(cfx, now))
		return;
	cfx->commit_ms = 0;
	if (commit(cfx, "server", &error) == CFX_OK)
		return;
	cfx_trouble(cfx, &error);
	cfx->staged_ms = now;
	cfx->commit_ms = engine_jitter(now, cfx->o.retry_min_ms);
}

bool engine_is_complete(const struct cfx *cfx)
{
	const struct cfx_view *view = cfx_now(cfx);

	for (unsigned i = 0; i < cfx->names->n; i++)
		if (!view->docs[i])
			return false;
	return true;
}

/* ---- turns ---- */

static bool is_moving(const struct cfx *cfx)
{
	return link_due(&cfx->watch) == 0 || link_due(&cfx->ask) == 0;
}

void engine_step(struct cfx *cfx)
{
	ack_take_said(cfx);
	for (unsigned i = 0; i < TURNS; i++) {
		int64_t now = sdk_now_ms();

		step_watch(cfx, now);
		step_ask(cfx, now);
		try_commit(cfx, now);
		if (cfx->watch_state == WATCH_OFF && now >= cfx->next_try_ms)
			begin_watch(cfx, now);
		if (cfx->asking == ASK_NOTHING)
			begin_ask(cfx, now);
		save_step(cfx, now);
		if (!is_moving(cfx))
			break;
	}
	shelf_clean(&cfx->shelf);
	cfx->status.is_connected = cfx->watch_state == WATCH_LIVE;
}

/* When is_whole may answer otherwise although nothing has come. */
static int64_t whole_by(const struct cfx *cfx)
{
	int64_t at_most = cfx->staged_ms + cfx->o.request_timeout_ms;
	int64_t by = cfx->staged_ms + WHOLE_MS;

	for (unsigned i = 0; i < cfx->names->n; i++) {
		const struct config *c = &cfx->configs[i];

		if (c->is_wanted && !c->is_refused)
			by = MAX(by, c->failing_ms ? c->failing_ms +
						     cfx->o.request_timeout_ms : at_most);
	}
	return MIN(by, at_most);
}

int64_t engine_due(const struct cfx *cfx)
{
	int64_t due = MIN(link_due(&cfx->watch), link_due(&cfx->ask));
	bool may_ask = cfx->asking == ASK_NOTHING &&
		       (cfx->watch_state == WATCH_LIVE || cfx->may_poll);

	if (cfx->watch_state == WATCH_OFF)
		due = MIN(due, cfx->next_try_ms);
	for (unsigned i = 0; i < cfx->names->n; i++) {
		const struct config *c = &cfx->configs[i];

		if (c->staged)
			due = MIN(due, MAX(cfx->commit_ms, whole_by(cfx)));
		if (may_ask && c->is_wanted)
			due = MIN(due, c->retry_ms);
	}
	if (may_ask)
		due = MIN(due, ack_due(cfx));
	if (cfx->save_due && cfx->may_save && !cfx->save)
		due = MIN(due, cfx->save_ms);
	if (cfx->shelf.old || cfx->shelf.waiting)
		due = MIN(due, sdk_now_ms() + 20);
	return due;
}

void engine_fini(struct cfx *cfx)
{
	link_fini(&cfx->watch);
	link_fini(&cfx->ask);
	events_fini(&cfx->heap, &cfx->events);
	for (unsigned i = 0; cfx->configs && i < cfx->names->n; i++) {
		doc_unref(cfx->configs[i].staged);
		heap_release(&cfx->heap, cfx->configs[i].key);
		heap_release(&cfx->heap, cfx->configs[i].target);
	}
	heap_release(&cfx->heap, cfx->configs);
	heap_release(&cfx->heap, cfx->watch_target);
}
