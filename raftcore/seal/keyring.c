/* Keys in a file: see keyring.h. */
#include "seal/keyring.h"

#include "base/hex.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/secret.h"
#include "io/file.h"

#include "base/banned.h"

#define FILE_MAX (64 * 1024)
#define WRAPPED_BYTES (SEAL_NONCE_BYTES + SEAL_KEY_BYTES + SEAL_TAG_BYTES)

struct entry {
	char name[SEAL_NAME_MAX + 1];
	struct seal_key key;
};

struct keyring {
	struct entry *keys;
	size_t n, cap;
	bool is_on;
	struct seal_provider provider;
};

/* ---- the provider ---- */

static const char *ring_current(void *data)
{
	const struct keyring *k = data;

	return k->is_on ? k->keys[0].name : NULL;
}

static enum code ring_wrap(void *data, struct str context,
			   const struct seal_key *key, struct buf *out,
			   struct err *err)
{
	const struct keyring *k = data;
	struct aead *a = aead_new(&k->keys[0].key);
	uint8_t *to = (uint8_t *)buf_extend(out, WRAPPED_BYTES);
	uint8_t *wrapped = to + SEAL_NONCE_BYTES;

	rand_bytes(to, SEAL_NONCE_BYTES);
	memcpy(wrapped, key->b, SEAL_KEY_BYTES);
	aead_seal(a, to, context, wrapped, SEAL_KEY_BYTES,
		  wrapped + SEAL_KEY_BYTES);
	aead_free(&a);
	return OK;
}

static bool opens(const struct entry *e, struct str context, struct str wrapped,
		  struct seal_key *out)
{
	const uint8_t *from = (const uint8_t *)wrapped.p;
	struct seal_key key;
	struct aead *a;
	bool is_right;

	if (wrapped.n != WRAPPED_BYTES)
		return false;
	memcpy(key.b, from + SEAL_NONCE_BYTES, SEAL_KEY_BYTES);
	a = aead_new(&e->key);
	is_right = aead_open(a, from, context, key.b, SEAL_KEY_BYTES,
			     from + SEAL_NONCE_BYTES + SEAL_KEY_BYTES);
	aead_free(&a);
	if (is_right)
		*out = key;
	wipe(&key, sizeof(key));
	return is_right;
}

static const struct entry *find(const struct keyring *k, struct str name)
{
	for (size_t i = 0; i < k->n; i++)
		if (str_eq(str_of(k->keys[i].name), name))
			return &k->keys[i];
	return NULL;
}

static enum code ring_unwrap(void *data, struct str name, struct str context,
			     struct str wrapped, struct seal_key *out,
			     struct err *err)
{
	const struct entry *e = find(data, name);

	if (!e) {
		err_set(err, E_DENIED, "it is sealed with the key \"%.*s\", which "
			"is not in the key file", STR_ARG(name));
		return err_hint(err, "put the key's line back, below the first");
	}
	if (opens(e, context, wrapped, out))
		return OK;
	err_set(err, E_DENIED, "the key \"%.*s\" does not open it: it was sealed "
		"with another key of this name, or as something else",
		STR_ARG(name));
	return err_hint(err, "give each key a name of its own, and put back the "
			     "line that the key file had");
}

/* ---- the file ---- */

static enum code bad_line(const char *path, unsigned line, const char *what,
			  struct err *err)
{
	err_set(err, E_INVALID, "%s: line %u: %s", path, line, what);
	return err_hint(err, "a line is a name, a space, and 32 bytes as base64 "
			     "or hexadecimal: openssl rand -base64 32");
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
			return false;
	}
	return s.n >= 1 && s.n <= SEAL_NAME_MAX;
}

static bool parse_key(struct str text, struct seal_key *out)
{
	struct buf bytes = BUF_NONE;
	bool is_right;

	if (hex_parse(text, out->b, sizeof(out->b)))
		return true;
	/* At once, so that nothing is left where it was before it grew. */
	buf_reserve(&bytes, text.n);
	is_right = base64_parse(text, &bytes) && bytes.n == sizeof(out->b);
	if (is_right)
		memcpy(out->b, bytes.p, sizeof(out->b));
	if (bytes.p)
		wipe(bytes.p, bytes.cap);
	buf_fini(&bytes);
	return is_right;
}

static size_t lines_of(struct str text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static enum code parse_line(struct keyring *k, struct str line, const char *path,
			    unsigned number, struct err *err)
{
	size_t space = 0;
	struct str name, text;
	struct entry *e = &k->keys[k->n];

	while (space < line.n && line.p[space] != ' ' && line.p[space] != '\t')
		space++;
	name = str_first(line, space);
	text = str_trim(str_from(line, space));
	if (!is_name(name))
		return bad_line(path, number, "the name is 1 to 63 of A-Z a-z 0-9 "
				". _ -", err);
	if (find(k, name))
		return bad_line(path, number, "the name was used above", err);
	if (!parse_key(text, &e->key))
		return bad_line(path, number, "the key is not 32 bytes", err);
	str_copy(e->name, sizeof(e->name), name);
	k->n++;
	return OK;
}

enum code keyring_parse(struct str text, const char *path, struct keyring **out,
			struct err *err)
{
	struct keyring *k = NEW(struct keyring);
	enum code rc = OK;

	/* They never move, so that no copy is left behind. */
	k->cap = lines_of(text);
	k->keys = mem_zero(k->cap * sizeof(*k->keys));
	k->is_on = true;
	k->provider = (struct seal_provider){ k, ring_current, ring_wrap,
					      ring_unwrap };
	for (unsigned number = 1; text.n && rc == OK; number++) {
		struct str line = str_trim(str_cut(&text, '\n'));

		if (line.n && line.p[0] != '#')
			rc = parse_line(k, line, path, number, err);
	}
	if (rc == OK && k->n == 0) {
		rc = err_set(err, E_INVALID, "%s: there is no key in it", path);
		err_hint(err, "(printf 'first '; openssl rand -base64 32) > FILE");
	}
	if (rc)
		keyring_free(&k);
	else
		*out = k;
	return rc;
}

enum code keyring_load(const char *path, struct keyring **out, struct err *err)
{
	struct buf text = BUF_NONE;
	enum code rc = file_get_small(path, FILE_MAX, true, &text, err);

	if (rc == OK)
		rc = keyring_parse(buf_view(&text), path, out, err);
	if (text.p)
		wipe(text.p, text.cap);
	buf_fini(&text);
	return rc;
}

void keyring_free(struct keyring **kp)
{
	struct keyring *k = TAKE(*kp);

	if (!k)
		return;
	wipe(k->keys, k->cap * sizeof(*k->keys));
	free(k->keys);
	free(k);
}

size_t keyring_count(const struct keyring *k)
{
	return k->n;
}

void keyring_set_on(struct keyring *k, bool seals_new)
{
	k->is_on = seals_new;
}

const struct seal_provider *keyring_provider(const struct keyring *k)
{
	return &k->provider;
}
