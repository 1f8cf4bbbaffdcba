/* Differences of texts by line, and what in a text looks like a secret: see diff.h. */
#include "base/map.h"
#include "model/diff_own.h"

#include "base/banned.h"

#define CONTEXT 3
#define WORD_MAX 128u

/* ---- secrets ---- */

/* In lower case, without what joins words. */
static const char *const secret_words[] = {
	"password", "passwd", "passphrase", "pwd", "secret", "token", "credential",
	"apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "sshkey",
	"masterkey", "hmackey", "authkey", "authorization", "connectionstring", "dsn",
	"cookie", "bearer",
};

bool diff_is_secret(struct str name)
{
	char word[WORD_MAX];
	size_t n = 0;

	for (size_t i = 0; i < name.n && n < sizeof(word); i++) {
		char c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			word[n++] = c;
	}
	for (size_t i = 0; i < ARRAY_LEN(secret_words); i++)
		if (str_find_str(str_n(word, n), str_of(secret_words[i])) != SIZE_MAX)
			return true;
	return false;
}

/* "user:password" of the first URL that has one; empty: none. */
static struct str url_user(struct str text)
{
	for (size_t at; (at = str_find_str(text, STR("://"))) != SIZE_MAX;) {
		struct str host = str_from(text, at + 3), user;
		size_t n = 0, sign;

		while (n < host.n && host.p[n] > ' ' && host.p[n] != '/' &&
		       host.p[n] != '"' && host.p[n] != '\'' && host.p[n] != '?' &&
		       host.p[n] != '#')
			n++;
		user = str_first(host, n);
		sign = str_rfind(user, '@');
		if (sign != SIZE_MAX && str_find(str_first(user, sign), ':') != SIZE_MAX)
			return str_first(user, sign);
		text = host;
	}
	return STR_NONE;
}

static bool begins_key(struct str text)
{
	size_t at = str_find_str(text, STR("-----BEGIN"));

	return at != SIZE_MAX &&
	       str_find_str(str_from(text, at), STR("PRIVATE KEY-----")) != SIZE_MAX;
}

bool diff_text_is_secret(struct str text)
{
	return begins_key(text) || url_user(text).n > 0;
}

/* ---- lines ---- */

struct lines {
	struct str *p;
	uint32_t *ids;
	bool *keep;
	bool *is_key;                    /* inside of a private key */
	size_t n;
	bool ends;                       /* in a newline, or is empty */
};

static void split(struct arena *arena, struct str text, struct map *seen,
		  struct lines *out)
{
	bool in_key = false;
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	*out = (struct lines){ .ends = text.n == 0 || text.p[text.n - 1] == '\n' };
	out->p = arena_alloc(arena, (n + 1) * sizeof(*out->p));
	out->ids = arena_alloc(arena, (n + 1) * sizeof(*out->ids));
	out->keep = arena_zero(arena, n + 1);
	out->is_key = arena_zero(arena, n + 1);
	while (text.n) {
		size_t end = str_find(text, '\n');
		struct str line = str_first(text, end);
		/* The last one without a newline is another line than with. */
		struct str whole = str_first(text, end == SIZE_MAX ? end : end + 1);

		out->p[out->n] = line;
		out->ids[out->n] = diff_number(seen, arena, whole);
		if (in_key && str_find_str(line, STR("-----END")) != SIZE_MAX)
			in_key = false;
		out->is_key[out->n++] = in_key;
		in_key = in_key || begins_key(line);
		text = str_from(text, whole.n);
	}
}

static void put_masked(struct buf *out, struct str line)
{
	size_t at = 0;
	struct str user;

	while (at < line.n && line.p[at] != '=' && line.p[at] != ':')
		at++;
	if (at < line.n && diff_is_secret(str_first(line, at))) {
		buf_str(out, str_first(line, at + 1));
		buf_z(out, " ***");
		return;
	}
	while ((user = url_user(line)).n) {
		at = (size_t)(user.p - line.p);
		buf_str(out, str_first(line, at));
		buf_z(out, "***");
		line = str_from(line, at + user.n);
	}
	buf_str(out, line);
}

static void put_line(struct buf *out, char sign, const struct lines *l, size_t i)
{
	buf_c(out, sign);
	if (l->is_key[i])
		buf_z(out, "***");
	else
		put_masked(out, l->p[i]);
	buf_c(out, '\n');
	if (i + 1 == l->n && !l->ends)
		buf_z(out, "\\ No newline at end of file\n");
}

/* ---- hunks ---- */

struct hunk {
	size_t a, b;                     /* first lines */
	size_t a_end, b_end;
};

/* From the next change on, with all that are near; false: there is none. */
static bool next_hunk(const struct lines *a, const struct lines *b, size_t *i, size_t *k,
		      struct hunk *out)
{
	size_t same = 0, context;

	while (*i < a->n && *k < b->n && a->keep[*i] && b->keep[*k])
		++*i, ++*k;
	if (*i == a->n && *k == b->n)
		return false;
	context = MIN(MIN(*i, *k), (size_t)CONTEXT);
	out->a = *i - context;
	out->b = *k - context;
	while ((*i < a->n || *k < b->n) && same <= 2 * CONTEXT) {
		if (*i < a->n && !a->keep[*i]) {
			++*i;
			same = 0;
		} else if (*k < b->n && !b->keep[*k]) {
			++*k;
			same = 0;
		} else {
			++*i, ++*k, same++;
		}
	}
	same -= MIN(same, (size_t)CONTEXT);
	out->a_end = *i -= same;
	out->b_end = *k -= same;
	return true;
}

static void put_range(struct buf *out, char sign, size_t first, size_t end)
{
	size_t n = end - first;

	/* Of nothing the line before it is named. */
	buf_printf(out, "%c%zu", sign, n ? first + 1 : first);
	if (n != 1)
		buf_printf(out, ",%zu", n);
}

static void put_hunk(struct buf *out, const struct lines *a, const struct lines *b,
		     const struct hunk *h)
{
	size_t i = h->a, k = h->b;

	buf_z(out, "@@ ");
	put_range(out, '-', h->a, h->a_end);
	buf_c(out, ' ');
	put_range(out, '+', h->b, h->b_end);
	buf_z(out, " @@\n");
	while (i < h->a_end || k < h->b_end) {
		if (i < h->a_end && !a->keep[i])
			put_line(out, '-', a, i++);
		else if (k < h->b_end && !b->keep[k])
			put_line(out, '+', b, k++);
		else
			put_line(out, ' ', a, i++), k++;
	}
}

void diff_lines(struct buf *out, struct str before, struct str after)
{
	AUTO_ARENA arena = arena_new(0);
	struct map *seen = map_new();
	struct lines a, b;
	struct hunk hunk;
	size_t i = 0, k = 0;

	split(arena, before, seen, &a);
	split(arena, after, seen, &b);
	map_free(&seen);
	diff_edits(a.ids, a.n, b.ids, b.n, a.keep, b.keep);
	while (next_hunk(&a, &b, &i, &k, &hunk))
		put_hunk(out, &a, &b, &hunk);
}
