/* Hexadecimal and base64: see hex.h. */
#include "base/hex.h"

#include "base/banned.h"

void hex_text(char *out, const void *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *in = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[in[i] >> 4];
		out[2 * i + 1] = hex[in[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(char c)
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
	unsigned char *to = out;

	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		to[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static void base64_with(struct buf *out, struct str in, const char *alphabet,
			bool pad)
{
	const unsigned char *p = (const unsigned char *)in.p;

	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		unsigned v = (unsigned)p[i] << 16 |
			     (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);

		buf_c(out, alphabet[v >> 18]);
		buf_c(out, alphabet[v >> 12 & 63]);
		if (left > 1)
			buf_c(out, alphabet[v >> 6 & 63]);
		else if (pad)
			buf_c(out, '=');
		if (left > 2)
			buf_c(out, alphabet[v & 63]);
		else if (pad)
			buf_c(out, '=');
	}
}

#define ALNUM62 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

void base64_url(struct buf *out, struct str in)
{
	base64_with(out, in, ALNUM62 "-_", false);
}

void base64_text(struct buf *out, struct str in)
{
	base64_with(out, in, ALNUM62 "+/", true);
}

static int base64_digit(char c)
{
	const char *at = c ? strchr(ALNUM62, c) : NULL;

	if (at)
		return (int)(at - ALNUM62);
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool base64_parse(struct str in, struct buf *out)
{
	unsigned v = 0, bits = 0;

	for (unsigned i = 0; i < 2 && in.n && in.p[in.n - 1] == '='; i++)
		in.n--;
	if (in.n % 4 == 1)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		int d = base64_digit(in.p[i]);

		if (d < 0)
			return false;
		v = (v << 6 | (unsigned)d) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_c(out, (char)(v >> bits & 0xff));
		}
	}
	return (v & ((1u << bits) - 1)) == 0;
}
