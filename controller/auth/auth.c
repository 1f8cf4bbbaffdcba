/* Tokens: see auth.h. */
#include "auth/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/secret.h"

#include "base/banned.h"

void token_new(char text[TOKEN_TEXT_MAX], struct sha256 *sha)
{
	uint8_t bytes[32];
	AUTO_BUF b = BUF_NONE;

	rand_bytes(bytes, sizeof(bytes));
	buf_z(&b, "cfx_");
	base64_url(&b, str_n(bytes, sizeof(bytes)));
	must(str_copy(text, TOKEN_TEXT_MAX, buf_view(&b)));
	*sha = sha256_of(buf_view(&b));
	wipe(bytes, sizeof(bytes));
	wipe(b.p, b.n);
}

static struct str joined(struct arena *arena, struct str a, struct str b)
{
	char *p = arena_alloc(arena, a.n + b.n + 1);

	memcpy(p, a.p, a.n);
	memcpy(p + a.n, b.p, b.n);
	p[a.n + b.n] = '\0';
	return str_n(p, a.n + b.n);
}

/* Nothing else has ever been given out, and certificate_key is none. */
static bool is_text(struct str token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] >= 0x7f)
			return false;
	return token.n > 0;
}

bool token_is_over(const struct token_row *row, uint64_t now_ms)
{
	return row->expires_ms && row->expires_ms <= now_ms;
}

/* Who it is that the row is of: 'prefix' and 'name', or its own subject. */
static void subject_of(const struct token_row *row, const struct sha256 *key,
		       struct str prefix, struct str name, struct arena *arena,
		       struct subject *out)
{
	out->role = row->role;
	if (row->role != ROLE_NAMED) {
		out->name = joined(arena, prefix, name);
		return;
	}
	out->name = arena_str(arena, row->subject);
	out->tenant = arena_str(arena, row->tenant);
	out->groups = arena_str(arena, row->groups);
	out->verbs = row->verbs;
	out->until_ms = row->expires_ms;
	out->token = *key;
}

void certificate_subject(struct kv_txn *txn, struct str name, struct arena *arena,
			 struct subject *out, struct str *credential)
{
	struct sha256 key = certificate_key(name);
	struct token_row row;

	*out = (struct subject){ .name = joined(arena, STR("cert:"), name) };
	*credential = STR("certificate");
	if (!view_token(txn, &key, &row) || token_is_over(&row, clock_wall_ms()))
		return;
	subject_of(&row, &key, STR("cert:"), name, arena, out);
	*credential = joined(arena, STR("certificate "), row.name);
}

void token_subject(struct kv_txn *txn, struct str token, struct arena *arena,
		   struct subject *out, struct str *credential)
{
	struct sha256 sha = sha256_of(token);
	struct token_row row;
	char digits[9];

	*out = (struct subject){ .name = STR("anonymous") };
	*credential = STR("none");
	if (!is_text(token) || !view_token(txn, &sha, &row) ||
	    token_is_over(&row, clock_wall_ms()))
		return;
	/* Not printf: this runs with each request. */
	subject_of(&row, &sha, STR("token:"), row.name, arena, out);
	hex_text(digits, sha.b, sizeof(digits) / 2);
	*credential = joined(arena, STR("token "), str_n(digits, 8));
}

void token_say_over(struct kv_txn *txn, const struct sha256 *key, struct err *err)
{
	char time[RFC3339_MAX];
	struct token_row row;

	if (!view_token(txn, key, &row) || !token_is_over(&row, clock_wall_ms()))
		return;
	clock_rfc3339(time, row.expires_ms, false);
	err_set(err, E_UNAUTHORIZED, "token \"%.*s\" has ended at %s",
		STR_ARG(row.name), time);
	err_hint(err, "ask who holds the root token for another: conflux token create "
		 "--subject %.*s", STR_ARG(str_first(row.subject, 100)));
}

/* ---- the last one ---- */

void token_cache_fini(struct token_cache *cache)
{
	secret_wipe(&cache->token);
	buf_fini(&cache->text);
}

bool token_cache_has(const struct token_cache *cache, struct kv_txn *txn,
		     struct str token)
{
	return token.n && cache->snapshot == kv_snapshot(txn) &&
	       (cache->subject.until_ms == 0 ||
		cache->subject.until_ms > clock_wall_ms()) &&
	       secret_eq(&cache->token, token);
}

/* A request may live longer than what the cache holds. */
static void cache_give(const struct token_cache *cache, struct arena *arena,
		       struct subject *out, struct str *credential)
{
	*out = cache->subject;
	out->name = arena_str(arena, out->name);
	if (out->role == ROLE_NAMED) {
		out->tenant = arena_str(arena, out->tenant);
		out->groups = arena_str(arena, out->groups);
	}
	*credential = arena_str(arena, str_of(cache->credential));
}

static void cache_keep(struct token_cache *cache, const struct subject *subject)
{
	struct subject *s = &cache->subject;
	struct buf *text = &cache->text;

	*s = *subject;
	buf_reset(text);
	buf_reserve(text, s->name.n + s->tenant.n + s->groups.n + 1);
	buf_str(text, s->name);
	buf_str(text, s->tenant);
	buf_str(text, s->groups);
	s->name.p = text->p;
	s->tenant.p = s->name.p + s->name.n;
	s->groups.p = s->tenant.p + s->tenant.n;
}

void token_subject_cached(struct token_cache *cache, struct kv_txn *txn,
			  struct str token, struct arena *arena,
			  struct subject *out, struct str *credential)
{
	if (token_cache_has(cache, txn, token)) {
		cache_give(cache, arena, out, credential);
		return;
	}
	token_subject(txn, token, arena, out, credential);
	cache->snapshot = 0;
	if (out->role == ROLE_NOBODY ||
	    !str_copy(cache->credential, sizeof(cache->credential), *credential))
		return;
	secret_wipe(&cache->token);
	secret_set(&cache->token, token);
	cache_keep(cache, out);
	cache->snapshot = kv_snapshot(txn);
}

/* ---- the root token ---- */

static enum code sync_dir(const char *dir, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum code rc = OK;

	if (fd < 0 || fsync(fd))
		rc = err_sys(err, errno, "sync %s", dir);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum code write_synced(const char *path, struct str text,
			      struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	enum code rc = OK;

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd))
		rc = err_sys(err, errno, "write %s", path);
	close(fd);
	return rc;
}

/* The whole file appears at once or not at all. */
static enum code token_file_write(const char *dir, const char *path,
				  const char *token, struct err *err)
{
	AUTO_BUF tmp = BUF_NONE;
	AUTO_BUF text = BUF_NONE;
	enum code rc = failpoint_hit(FP_TOKEN_WRITE, err);

	buf_printf(&tmp, "%s.new", path);
	buf_printf(&text, "%s\n", token);
	if (rc == OK)
		rc = write_synced(tmp.p, buf_view(&text), err);
	if (rc == OK && rename(tmp.p, path))
		rc = err_sys(err, errno, "rename %s", tmp.p);
	if (rc == OK)
		rc = sync_dir(dir, err);
	wipe(text.p, text.n);
	return rc ? rc : failpoint_hit(FP_TOKEN_WRITTEN, err);
}

/* '*text' has the token, to be wiped; false: there is none. */
static bool token_file_read(const char *path, char text[TOKEN_TEXT_MAX + 2],
			    struct str *token)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TOKEN_TEXT_MAX + 2);

	if (fd >= 0)
		close(fd);
	*token = str_trim(str_n(text, n > 0 ? (size_t)n : 0));
	return token->n > 10;
}

/* A crash before it leaves a token that nobody takes, until the next start. */
static enum code token_file_remove(const char *dir, const char *path,
				   struct err *err)
{
	enum code rc = failpoint_hit(FP_TOKEN_REMOVE, err);

	if (rc == OK && unlink(path) && errno != ENOENT)
		rc = err_sys(err, errno, "remove %s, which does not count", path);
	return rc ? rc : sync_dir(dir, err);
}

static bool any_token(void *data, const struct token_row *row)
{
	*(bool *)data = *(bool *)data ||
			(row->role == ROLE_ROOT && row->certificate.n == 0);
	return true;
}

/* Is there a root token, and is 'token' one that counts? */
static enum code look_up(struct store *store, struct str token, bool *has,
			 bool *counts, struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	struct subject subject;
	struct str credential;
	struct view *view;
	struct kv_txn *txn;
	enum code rc = view_new(store, &view, err);

	*has = *counts = false;
	if (rc)
		return rc;
	rc = view_use(view, 0, &txn, err);
	if (rc == OK) {
		view_tokens(txn, any_token, has);
		token_subject(txn, token, arena, &subject, &credential);
		*counts = subject.role == ROLE_ROOT;
	}
	view_free(&view);
	return rc;
}

static enum code propose_root(struct store *store, const struct sha256 *sha,
			      struct err *err)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF bytes = BUF_NONE;
	struct command c = { .type = COMMAND_OPS, .time_ms = clock_wall_ms(),
			     .subject = { .name = STR("system"), .role = ROLE_SYSTEM },
			     .credential = STR("first start"),
			     .origin = STR("local") };
	struct op *op = command_op(arena, &c, OP_TOKEN_PUT);
	struct outcome out;
	enum code rc;

	op->name = STR("root");
	op->role = ROLE_ROOT;
	op->sha = *sha;
	rand_bytes(c.trace, sizeof(c.trace));
	command_encode(&bytes, &c);
	rc = store_submit_wait(store, buf_view(&bytes), arena, &out, err);
	if (rc == OK && out.code)
		rc = err_set(err, out.code, "%s", out.text);
	return rc;
}

/* Writes a token where there is none, and has it count. */
static enum code make_root(struct store *store, const char *dir,
			   const char *path, struct str token, bool *made,
			   struct err *err)
{
	char text[TOKEN_TEXT_MAX];
	struct sha256 sha = sha256_of(token);
	enum code rc = OK;

	if (!token.n) {
		token_new(text, &sha);
		rc = token_file_write(dir, path, text, err);
		wipe(text, sizeof(text));
	}
	if (rc == OK)
		rc = propose_root(store, &sha, err);
	*made = rc == OK;
	/* Another node was first, or this node's state lags behind the log:
	 * which of the two is seen when it does not any more. */
	return rc == E_EXISTS ? err_set(err, E_BUSY, "this node's state is not "
					"up to date yet") : rc;
}

enum code root_token_ensure(struct store *store, const char *dir, bool *made,
			    struct err *err)
{
	AUTO_BUF path = BUF_NONE;
	char text[TOKEN_TEXT_MAX + 2];
	struct str token;
	bool has, counts;
	enum code rc;

	*made = false;
	buf_printf(&path, "%s/root.token", dir);
	if (!token_file_read(path.p, text, &token))
		token = STR_NONE;
	rc = look_up(store, token, &has, &counts, err);
	if (rc == OK && !has)
		rc = make_root(store, dir, path.p, token, made, err);
	else if (rc == OK && token.n && !counts)
		rc = token_file_remove(dir, path.p, err);
	wipe(text, sizeof(text));
	return rc ? err_wrap(err, "root token") : OK;
}
