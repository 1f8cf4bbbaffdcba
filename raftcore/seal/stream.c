/* Sealed streams: see stream.h. */
#include "seal/stream.h"

#include "base/mem.h"
#include "base/secret.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define HEAD_BYTES 16u                   /* magic, chunk, length of the envelope */
#define CHUNK SEAL_STREAM_CHUNK
#define SEALED_CHUNK (CHUNK + SEAL_TAG_BYTES)

bool seal_stream_is(struct str begin)
{
	return str_starts(begin, STR(SEAL_STREAM_MAGIC));
}

static void nonce_of(uint64_t chunk, bool is_last,
		     uint8_t out[SEAL_NONCE_BYTES])
{
	memset(out, 0, SEAL_NONCE_BYTES);
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(chunk >> (8 * i));
	out[SEAL_NONCE_BYTES - 1] = is_last;
}

/* ---- sealing ---- */

struct seal_out {
	struct aead *aead;
	struct sha256 head;
	uint64_t chunk;
	size_t filled;
	seal_sink *sink;
	void *data;
	bool has_ended;
	char bytes[SEALED_CHUNK];
};

enum code seal_out_new(const struct seal_provider *p,
		       const struct seal_public *to, struct str context,
		       seal_sink *sink, void *data, struct seal_out **out,
		       struct err *err)
{
	AUTO_BUF envelope = BUF_NONE;
	AUTO_BUF head = BUF_NONE;
	struct seal_key key;
	struct seal_out *s;
	enum code rc;

	must(!p != !to);
	rc = p ? seal_envelope_new(p, context, &key, &envelope, err) :
		 seal_envelope_to(to, context, &key, &envelope, err);
	if (rc)
		return rc;
	wr_raw(&head, SEAL_STREAM_MAGIC, 8);
	wr_u32(&head, CHUNK);
	wr_u32(&head, (uint32_t)envelope.n);
	buf_str(&head, buf_view(&envelope));
	wr_u32(&head, crc32c(0, head.p, head.n));
	s = NEW(struct seal_out);
	s->aead = aead_new(&key);
	wipe(&key, sizeof(key));
	s->head = sha256_of(buf_view(&head));
	s->sink = sink;
	s->data = data;
	rc = sink(data, head.p, head.n, err);
	if (rc)
		seal_out_free(&s);
	else
		*out = s;
	return rc;
}

static enum code out_chunk(struct seal_out *s, bool is_last, struct err *err)
{
	uint8_t nonce[SEAL_NONCE_BYTES];
	size_t n = s->filled;

	nonce_of(s->chunk++, is_last, nonce);
	aead_seal(s->aead, nonce, str_n(s->head.b, sizeof(s->head.b)), s->bytes,
		  n, (uint8_t *)s->bytes + n);
	s->filled = 0;
	return s->sink(s->data, s->bytes, n + SEAL_TAG_BYTES, err);
}

enum code seal_out_put(struct seal_out *s, const void *p, size_t n,
		       struct err *err)
{
	const char *from = p;
	enum code rc = OK;

	must(!s->has_ended);
	while (n && rc == OK) {
		size_t k;

		/* A full one waits until it is known not to be the last. */
		if (s->filled == CHUNK)
			rc = out_chunk(s, false, err);
		k = MIN(n, CHUNK - s->filled);
		memcpy(s->bytes + s->filled, from, k);
		s->filled += k;
		from += k;
		n -= k;
	}
	return rc;
}

enum code seal_out_end(struct seal_out *s, struct err *err)
{
	must(!s->has_ended);
	s->has_ended = true;
	return out_chunk(s, true, err);
}

void seal_out_free(struct seal_out **sp)
{
	struct seal_out *s = TAKE(*sp);

	if (!s)
		return;
	aead_free(&s->aead);
	wipe(s->bytes, sizeof(s->bytes));
	free(s);
}

/* ---- opening ---- */

struct seal_in {
	const struct seal_provider *provider;
	const struct seal_private *own;
	struct buf context;
	seal_sink *sink;
	void *data;
	struct aead *aead;               /* NULL: the header is not there yet */
	struct sha256 head;
	uint64_t chunk;
	size_t want;                     /* bytes of the header; 0: not known */
	size_t filled;
	char bytes[SEALED_CHUNK];
};

struct seal_in *seal_in_new(const struct seal_provider *p,
			    const struct seal_private *own, struct str context,
			    seal_sink *sink, void *data)
{
	struct seal_in *s = NEW(struct seal_in);

	s->provider = p;
	s->own = own;
	buf_str(&s->context, context);
	s->sink = sink;
	s->data = data;
	s->want = HEAD_BYTES;
	return s;
}

static enum code no_stream(struct err *err, const char *what)
{
	return err_set(err, E_CORRUPT, "%s", what);
}

/* How long the header is. */
static enum code look_at_head(struct seal_in *s, struct err *err)
{
	struct rd rd = rd_of(str_n(s->bytes, HEAD_BYTES));
	struct str magic = rd_raw(&rd, 8);
	uint32_t chunk = rd_u32(&rd), length = rd_u32(&rd);

	if (!seal_stream_is(magic))
		return no_stream(err, "this is no sealed stream");
	if (chunk != CHUNK)
		return err_set(err, E_UNSUPPORTED, "the sealed stream has chunks of "
			       "%u bytes, this version reads %u", chunk, CHUNK);
	if (length > SEAL_ENVELOPE_MAX)
		return no_stream(err, "the header of the sealed stream is damaged");
	s->want = HEAD_BYTES + length + 4;
	return OK;
}

static enum code open_head(struct seal_in *s, struct err *err)
{
	struct str all = str_n(s->bytes, s->want);
	struct rd rd = rd_of(str_from(all, all.n - 4));
	struct seal_key key;
	enum code rc;

	if (rd_u32(&rd) != crc32c(0, all.p, all.n - 4))
		return no_stream(err, "the header of the sealed stream is damaged");
	rc = seal_envelope_open(s->provider, s->own, buf_view(&s->context),
				str_n(all.p + HEAD_BYTES, all.n - HEAD_BYTES - 4),
				&key, err);
	if (rc)
		return rc;
	s->aead = aead_new(&key);
	wipe(&key, sizeof(key));
	s->head = sha256_of(all);
	s->filled = 0;
	return OK;
}

static enum code in_chunk(struct seal_in *s, bool is_last, struct err *err)
{
	uint8_t nonce[SEAL_NONCE_BYTES], tag[SEAL_TAG_BYTES];
	size_t n;

	if (s->filled < SEAL_TAG_BYTES)
		return no_stream(err, "the sealed stream was cut short");
	n = s->filled - SEAL_TAG_BYTES;
	memcpy(tag, s->bytes + n, sizeof(tag));
	nonce_of(s->chunk, is_last, nonce);
	if (!aead_open(s->aead, nonce, str_n(s->head.b, sizeof(s->head.b)),
		       s->bytes, n, tag))
		return err_set(err, E_CORRUPT, "the sealed stream is damaged, or was "
			       "cut short: its chunk %llu does not open",
			       (unsigned long long)s->chunk);
	s->chunk++;
	s->filled = 0;
	return n ? s->sink(s->data, s->bytes, n, err) : OK;
}

/* Nothing more than it still lacks. */
static size_t room(const struct seal_in *s)
{
	return (s->aead ? SEALED_CHUNK : s->want) - s->filled;
}

static enum code step(struct seal_in *s, struct err *err)
{
	if (s->aead)                     /* more follows, so it is not the last */
		return in_chunk(s, false, err);
	return s->want == HEAD_BYTES ? look_at_head(s, err) : open_head(s, err);
}

enum code seal_in_put(struct seal_in *s, const void *p, size_t n,
		      struct err *err)
{
	const char *from = p;
	enum code rc = OK;

	while (n && rc == OK) {
		size_t k;

		if (room(s) == 0)
			rc = step(s, err);
		if (rc)
			break;
		k = MIN(n, room(s));
		memcpy(s->bytes + s->filled, from, k);
		s->filled += k;
		from += k;
		n -= k;
	}
	return rc;
}

enum code seal_in_end(struct seal_in *s, struct err *err)
{
	enum code rc = OK;

	while (!s->aead && rc == OK && room(s) == 0)
		rc = step(s, err);
	if (rc)
		return rc;
	if (!s->aead)
		return no_stream(err, "the sealed stream was cut short in its "
				      "header");
	return in_chunk(s, true, err);
}

void seal_in_free(struct seal_in **sp)
{
	struct seal_in *s = TAKE(*sp);

	if (!s)
		return;
	aead_free(&s->aead);
	buf_fini(&s->context);
	wipe(s->bytes, sizeof(s->bytes));
	free(s);
}
