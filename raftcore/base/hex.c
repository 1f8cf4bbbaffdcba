/* Hexadecimal and base64. */
#include "base/hex.h"

#include "base/banned.h"

/* The two digits of each byte, by one look: digests and trace ids are in every
 * answer. */
#define PAIR(a, b) { a, b }
#define PAIRS(a) \
	PAIR(a, '0'), PAIR(a, '1'), PAIR(a, '2'), PAIR(a, '3'), PAIR(a, '4'), \
	PAIR(a, '5'), PAIR(a, '6'), PAIR(a, '7'), PAIR(a, '8'), PAIR(a, '9'), \
	PAIR(a, 'a'), PAIR(a, 'b'), PAIR(a, 'c'), PAIR(a, 'd'), PAIR(a, 'e'), \
	PAIR(a, 'f')
static const char pairs[256][2] = {
	PAIRS('0'), PAIRS('1'), PAIRS('2'), PAIRS('3'), PAIRS('4'), PAIRS('5'),
	PAIRS('6'), PAIRS('7'), PAIRS('8'), PAIRS('9'), PAIRS('a'), PAIRS('b'),
	PAIRS('c'), PAIRS('d'), PAIRS('e'), PAIRS('f'),
};

void hex_text(char *out, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++)
		memcpy(out + 2 * i, pairs[bytes[i]], 2);
	out[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_parse(struct str s, void *out, size_t n)
{
	unsigned char *bytes = out;

	if (s.n % 2 || s.n / 2 != n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (hex_value(s.p[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(hex_value(s.p[2 * i]) << 4 |
					   hex_value(s.p[2 * i + 1]));
	return true;
}

static void encode(struct buf *out, struct str in, const char *alphabet,
		   bool padded)
{
	const unsigned char *p = (const unsigned char *)in.p;

	buf_reserve(out, in.n / 3 * 4 + 4);
	for (size_t i = 0; i < in.n; i += 3) {
		size_t n = MIN(in.n - i, (size_t)3);
		unsigned v = (unsigned)p[i] << 16;

		v |= n > 1 ? (unsigned)p[i + 1] << 8 : 0;
		v |= n > 2 ? p[i + 2] : 0;
		for (size_t k = 0; k <= n; k++)
			buf_c(out, alphabet[v >> (18 - 6 * k) & 63]);
		for (size_t k = n; padded && k < 3; k++)
			buf_c(out, '=');
	}
}

void base64_url(struct buf *out, struct str in)
{
	encode(out, in,
	       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
	       false);
}

void base64_text(struct buf *out, struct str in)
{
	encode(out, in,
	       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	       true);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

/* Padding is whole or absent. */
static bool cut_padding(struct str *s)
{
	size_t n = 0;

	while (n < 2 && n < s->n && s->p[s->n - 1 - n] == '=')
		n++;
	if (n && s->n % 4)
		return false;
	s->n -= n;
	return true;
}

/* One to four digits into one to three bytes; bits left over must be 0, so
 * that a text decodes from one spelling only. */
static bool decode_group(struct str group, struct buf *out)
{
	unsigned v = 0, bits = 0;

	for (size_t i = 0; i < group.n; i++) {
		int digit = base64_value(group.p[i]);

		if (digit < 0)
			return false;
		v = v << 6 | (unsigned)digit;
		bits += 6;
	}
	for (; bits >= 8; bits -= 8)
		buf_c(out, (char)(v >> (bits - 8) & 255));
	return (v & (BIT(bits) - 1)) == 0;
}

bool base64_parse(struct str in, struct buf *out)
{
	size_t before = out->n;

	if (!cut_padding(&in) || in.n % 4 == 1)
		return false;
	for (; in.n; in = str_from(in, 4))
		if (!decode_group(str_first(in, 4), out)) {
			buf_cut(out, before);
			return false;
		}
	return true;
}
