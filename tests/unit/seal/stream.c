/* Sealed streams: round trips, and everything that may be done to one. */
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "unit.h"

#include "base/hex.h"
#include "base/mem.h"
#include "base/rand.h"
#include "seal/keyring.h"
#include "seal/stream.h"

#include "base/banned.h"

#define CONTEXT STR("conflux test stream")
#define KEYS "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SEALED_CHUNK (SEAL_STREAM_CHUNK + SEAL_TAG_BYTES)

static struct keyring *keys;

static void setup(void)
{
	ck_assert_int_eq(keyring_parse(STR(KEYS), "keys", &keys, NULL), OK);
}

static void teardown(void)
{
	keyring_free(&keys);
}

static enum code gather(void *data, const void *p, size_t n, struct err *err)
{
	buf_add(data, p, n);
	return OK;
}

static void fill(struct buf *out, size_t n)
{
	struct prng r;

	prng_init(&r, n);
	for (size_t i = 0; i < n; i++)
		buf_c(out, (char)prng_next(&r));
}

/* Put in pieces of 'piece'; answers where the chunks begin. */
static size_t seal(struct str plain, size_t piece, struct buf *out)
{
	struct seal_out *s;
	struct err err;
	size_t head;

	ck_assert_int_eq(seal_out_new(keyring_provider(keys), NULL, CONTEXT, gather,
				      out, &s, &err), OK);
	head = out->n;
	while (plain.n) {
		struct str now = str_first(plain, piece);

		ck_assert_int_eq(seal_out_put(s, now.p, now.n, &err), OK);
		plain = str_from(plain, now.n);
	}
	ck_assert_int_eq(seal_out_end(s, &err), OK);
	seal_out_free(&s);
	return head;
}

static enum code open_(struct str sealed, size_t piece, struct buf *out,
		       struct err *err)
{
	struct seal_in *s = seal_in_new(keyring_provider(keys), NULL, CONTEXT,
					gather, out);
	enum code rc = OK;

	while (sealed.n && rc == OK) {
		struct str now = str_first(sealed, piece);

		rc = seal_in_put(s, now.p, now.n, err);
		sealed = str_from(sealed, now.n);
	}
	if (rc == OK)
		rc = seal_in_end(s, err);
	seal_in_free(&s);
	return rc;
}

START_TEST(what_was_sealed_comes_back)
{
	static const size_t sizes[] = { 0, 1, 15, 65535, 65536, 65537, 131071,
					131072, 131073, 400000 };
	static const size_t pieces[] = { 1000003, 65536, 65537, 61 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			AUTO_BUF plain = BUF_NONE;
			AUTO_BUF sealed = BUF_NONE;
			AUTO_BUF back = BUF_NONE;
			struct err err = { 0 };
			size_t chunks = MAX((sizes[i] + 65535) / 65536, (size_t)1);
			size_t head;

			fill(&plain, sizes[i]);
			head = seal(buf_view(&plain), pieces[k], &sealed);
			ck_assert(seal_stream_is(buf_view(&sealed)));
			ck_assert_uint_eq(sealed.n, head + sizes[i] +
						    chunks * SEAL_TAG_BYTES);
			ck_assert_msg(open_(buf_view(&sealed), pieces[k], &back,
					    &err) == OK, "%s", err.text);
			ck_assert(str_eq(buf_view(&plain), buf_view(&back)));
		}
}
END_TEST

/* A stream of an earlier build opens with every later one. */
static const char golden[] =
	"4346585345414c3100000100430000000101036f6e653cf6cd67edb3a8868d2e"
	"f3070bbd4a0c6b8097c61a583ed5f543ab7bd0f67bb27da34efc9f9a833c864a"
	"76d39c248c215d6f28decf4c0606ed01fd24a053a60fa433651d612339a676f6"
	"9c18bb37e07fd2e701f7b1ef8a9a988a4c2bafd943be";

START_TEST(the_format_has_not_changed)
{
	static uint8_t sealed[(sizeof(golden) - 1) / 2];
	AUTO_BUF back = BUF_NONE;
	struct err err = { 0 };

	ck_assert(hex_parse(str_n(golden, sizeof(golden) - 1), sealed, sizeof(sealed)));
	ck_assert_msg(open_(str_n(sealed, sizeof(sealed)), 7, &back, &err) == OK,
		      "%s", err.text);
	ck_assert(str_is(buf_view(&back), "nothing is lost"));
}
END_TEST

START_TEST(every_flipped_byte_is_found)
{
	AUTO_BUF plain = BUF_NONE;
	AUTO_BUF sealed = BUF_NONE;
	size_t head;

	fill(&plain, 2 * 65536 + 100);
	head = seal(buf_view(&plain), 65536, &sealed);
	for (size_t at = 0; at < sealed.n; at += at < head + 20 ? 1 : 3001) {
		AUTO_BUF back = BUF_NONE;
		struct err err;

		sealed.p[at] = (char)(sealed.p[at] ^ 4);
		ck_assert_int_ne(open_(buf_view(&sealed), 100000, &back, &err), OK);
		sealed.p[at] = (char)(sealed.p[at] ^ 4);
	}
}
END_TEST

START_TEST(a_stream_that_was_cut_short_is_found)
{
	AUTO_BUF plain = BUF_NONE;
	AUTO_BUF sealed = BUF_NONE;
	size_t head;

	fill(&plain, 3 * 65536);
	head = seal(buf_view(&plain), 65536, &sealed);
	for (size_t n = 0; n < sealed.n; n += n < head + 20 ? 1 : 20011) {
		AUTO_BUF back = BUF_NONE;
		struct err err;

		ck_assert_int_eq(open_(str_first(buf_view(&sealed), n), 100000,
				       &back, &err), E_CORRUPT);
	}
	/* Just at the ends of chunks. */
	for (size_t chunk = 0; chunk < 3; chunk++) {
		AUTO_BUF back = BUF_NONE;
		struct err err;

		ck_assert_int_eq(open_(str_first(buf_view(&sealed),
						 head + chunk * SEALED_CHUNK),
				       100000, &back, &err), E_CORRUPT);
	}
}
END_TEST

/* Chunks of the same stream at other places, and of another stream. */
START_TEST(chunks_that_were_moved_are_found)
{
	AUTO_BUF plain = BUF_NONE;
	AUTO_BUF one = BUF_NONE;
	AUTO_BUF two = BUF_NONE;
	AUTO_BUF back = BUF_NONE;
	AUTO_BUF longer = BUF_NONE;
	struct err err;
	size_t head;

	fill(&plain, 4 * 65536);
	head = seal(buf_view(&plain), 65536, &one);
	ck_assert_uint_eq(seal(buf_view(&plain), 65536, &two), head);
	for (size_t a = 0; a < 4; a++)
		for (size_t b = 0; b < 4; b++) {
			AUTO_BUF mixed = BUF_NONE;

			buf_str(&mixed, buf_view(&one));
			memcpy(mixed.p + head + a * SEALED_CHUNK,
			       one.p + head + b * SEALED_CHUNK, SEALED_CHUNK);
			buf_reset(&back);
			ck_assert_int_eq(open_(buf_view(&mixed), 65536, &back,
					       &err), a == b ? OK : E_CORRUPT);
			memcpy(mixed.p, one.p, one.n);
			memcpy(mixed.p + head + a * SEALED_CHUNK,
			       two.p + head + a * SEALED_CHUNK, SEALED_CHUNK);
			buf_reset(&back);
			ck_assert_int_eq(open_(buf_view(&mixed), 65536, &back,
					       &err), E_CORRUPT);
		}
	/* And what goes on behind its end. */
	buf_str(&longer, buf_view(&one));
	buf_add(&longer, one.p + head, SEALED_CHUNK);
	ck_assert_int_eq(open_(buf_view(&longer), 65536, &back, &err), E_CORRUPT);
	buf_cut(&longer, one.n + 1);
	ck_assert_int_eq(open_(buf_view(&longer), 65536, &back, &err), E_CORRUPT);
}
END_TEST

static enum code refuse(void *data, const void *p, size_t n, struct err *err)
{
	unsigned *left = data;

	return (*left)-- ? OK : err_set(err, E_FULL, "no more");
}

START_TEST(what_the_sink_answers_ends_it)
{
	AUTO_BUF plain = BUF_NONE;
	struct seal_out *s = NULL;
	struct err err;

	fill(&plain, 3 * 65536);
	for (unsigned n = 0; n < 4; n++) {
		unsigned left = n;
		enum code rc = seal_out_new(keyring_provider(keys), NULL, CONTEXT,
					    refuse, &left, &s, &err);

		if (rc == OK)
			rc = seal_out_put(s, plain.p, plain.n, &err);
		if (rc == OK)
			rc = seal_out_end(s, &err);
		ck_assert_int_eq(rc, E_FULL);
		if (n)
			seal_out_free(&s);
	}
}
END_TEST

/* ---- to a public key ---- */

struct pair {
	struct seal_private *own;
	struct seal_public *to;
};

static void pem_of(BIO *bio, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	buf_add(out, p, (size_t)n);
	BIO_free(bio);
}

static struct pair pair_new(void)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	BIO *own = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	AUTO_BUF own_pem = BUF_NONE;
	AUTO_BUF to_pem = BUF_NONE;
	struct pair p = { 0 };
	struct err err;

	PEM_write_bio_PrivateKey(own, pkey, NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_PUBKEY(to, pkey);
	EVP_PKEY_free(pkey);
	pem_of(own, &own_pem);
	pem_of(to, &to_pem);
	ck_assert_int_eq(seal_private_parse(buf_view(&own_pem), "own", &p.own,
					    &err), OK);
	ck_assert_int_eq(seal_public_parse(buf_view(&to_pem), "to", &p.to, &err),
			 OK);
	return p;
}

static void pair_fini(struct pair *p)
{
	seal_private_free(&p->own);
	seal_public_free(&p->to);
}

/* Answers where the chunks begin. */
static size_t seal_to(const struct pair *p, struct str plain, struct buf *out)
{
	struct seal_out *s;
	struct err err;
	size_t head;

	ck_assert_int_eq(seal_out_new(NULL, p->to, CONTEXT, gather, out, &s, &err),
			 OK);
	head = out->n;
	ck_assert_int_eq(seal_out_put(s, plain.p, plain.n, &err), OK);
	ck_assert_int_eq(seal_out_end(s, &err), OK);
	seal_out_free(&s);
	return head;
}

/* 'own' may be NULL; the keys of the key file are offered too. */
static enum code open_with(const struct pair *own, struct str context,
			   struct str sealed, struct buf *out, struct err *err)
{
	struct seal_in *s = seal_in_new(keyring_provider(keys),
					own ? own->own : NULL, context, gather,
					out);
	enum code rc = seal_in_put(s, sealed.p, sealed.n, err);

	if (rc == OK)
		rc = seal_in_end(s, err);
	seal_in_free(&s);
	return rc;
}

START_TEST(what_was_sealed_to_a_public_key_comes_back)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 200000 };
	struct pair p = pair_new();

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO_BUF plain = BUF_NONE;
		AUTO_BUF sealed = BUF_NONE;
		AUTO_BUF again = BUF_NONE;
		AUTO_BUF back = BUF_NONE;
		struct err err = { 0 };
		size_t head;

		fill(&plain, sizes[i]);
		head = seal_to(&p, buf_view(&plain), &sealed);
		ck_assert(seal_stream_is(buf_view(&sealed)));
		ck_assert_msg(open_with(&p, CONTEXT, buf_view(&sealed), &back,
					&err) == OK, "%s", err.text);
		ck_assert(str_eq(buf_view(&plain), buf_view(&back)));
		/* By another key each time. */
		ck_assert_uint_eq(seal_to(&p, buf_view(&plain), &again), head);
		ck_assert_uint_eq(again.n, sealed.n);
		ck_assert_mem_ne(again.p + head, sealed.p + head, sealed.n - head);
	}
	pair_fini(&p);
}
END_TEST

START_TEST(only_the_private_half_opens_it)
{
	struct pair a = pair_new(), b = pair_new();
	AUTO_BUF plain = BUF_NONE;
	AUTO_BUF sealed = BUF_NONE;
	AUTO_BUF back = BUF_NONE;
	struct err err;

	fill(&plain, 100000);
	seal_to(&a, buf_view(&plain), &sealed);
	ck_assert_int_eq(open_with(&b, CONTEXT, buf_view(&sealed), &back, &err),
			 E_DENIED);
	/* It says which one is asked for. */
	ck_assert_msg(strstr(err.text, seal_private_name(a.own)), "%s", err.text);
	ck_assert_int_eq(open_with(NULL, CONTEXT, buf_view(&sealed), &back, &err),
			 E_DENIED);
	ck_assert_int_ne(open_with(&a, STR("something else"), buf_view(&sealed),
				   &back, &err), OK);
	/* Not one byte of it was passed on. */
	ck_assert_uint_eq(back.n, 0);
	ck_assert_int_eq(open_with(&a, CONTEXT, buf_view(&sealed), &back, &err), OK);
	pair_fini(&a);
	pair_fini(&b);
}
END_TEST

START_TEST(one_to_a_public_key_that_was_cut_or_altered_is_found)
{
	struct pair p = pair_new();
	AUTO_BUF plain = BUF_NONE;
	AUTO_BUF sealed = BUF_NONE;
	struct err err;
	size_t head;

	fill(&plain, 2 * 65536 + 100);
	head = seal_to(&p, buf_view(&plain), &sealed);
	for (size_t n = 0; n < sealed.n; n += n < head + 20 ? 1 : 10007) {
		AUTO_BUF back = BUF_NONE;

		ck_assert_int_eq(open_with(&p, CONTEXT,
					   str_first(buf_view(&sealed), n), &back,
					   &err), E_CORRUPT);
	}
	for (size_t chunk = 0; chunk < 3; chunk++) {
		AUTO_BUF back = BUF_NONE;

		ck_assert_int_eq(open_with(&p, CONTEXT,
					   str_first(buf_view(&sealed), head +
						     chunk * SEALED_CHUNK),
					   &back, &err), E_CORRUPT);
	}
	for (size_t at = 0; at < sealed.n; at += at < head + 20 ? 1 : 3001) {
		AUTO_BUF back = BUF_NONE;

		sealed.p[at] = (char)(sealed.p[at] ^ 4);
		ck_assert_int_ne(open_with(&p, CONTEXT, buf_view(&sealed), &back,
					   &err), OK);
		sealed.p[at] = (char)(sealed.p[at] ^ 4);
	}
	pair_fini(&p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("seal/stream");
	TCase *t = tcase_create("stream");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_was_sealed_comes_back);
	tcase_add_test(t, the_format_has_not_changed);
	tcase_add_test(t, every_flipped_byte_is_found);
	tcase_add_test(t, a_stream_that_was_cut_short_is_found);
	tcase_add_test(t, chunks_that_were_moved_are_found);
	tcase_add_test(t, what_the_sink_answers_ends_it);
	tcase_add_test(t, what_was_sealed_to_a_public_key_comes_back);
	tcase_add_test(t, only_the_private_half_opens_it);
	tcase_add_test(t, one_to_a_public_key_that_was_cut_or_altered_is_found);
	suite_add_tcase(s, t);
	return s;
}

UNIT_MAIN(suite)
