/*
 * Numbers as text.  A number is sign, digits without zeros at either end, and
 * a power of ten; that triple is unique, so comparing it compares values.
 */
#include "doc/number.h"

#include "base/banned.h"

/* Integers and fractions of at most so many places are written without e. */
#define PLAIN_PLACES 21
/* A double ends at 0.17976931348623157e309. */
#define DOUBLE_POINT 309
#define DOUBLE_DIGITS STR("17976931348623158")
/* Larger exponents are not told apart. */
#define EXPONENT_MAX 1000000000

static size_t skip_digits(struct str s, size_t at)
{
	while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
		at++;
	return at;
}

bool number_is_special(struct str s)
{
	return str_is(s, "inf") || str_is(s, "-inf") || str_is(s, "nan");
}

bool number_is_valid(struct str s)
{
	size_t at = s.n && s.p[0] == '-', from = at;

	if (number_is_special(s))
		return true;
	at = skip_digits(s, at);
	if (at == from || (s.p[from] == '0' && at > from + 1))
		return false;
	if (at < s.n && s.p[at] == '.') {
		from = ++at;
		at = skip_digits(s, at);
		if (at == from)
			return false;
	}
	if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at++;
		if (at < s.n && (s.p[at] == '+' || s.p[at] == '-'))
			at++;
		from = at;
		at = skip_digits(s, at);
		if (at == from)
			return false;
	}
	return at == s.n;
}

struct decimal {
	bool minus, is_special;
	struct buf digits; /* no zero first or last; empty: zero */
	int64_t exponent;  /* value = digits * 10^exponent */
};

static int64_t exponent_of(struct str s)
{
	int64_t e = 0;
	bool minus = s.n && s.p[0] == '-';

	for (size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+'); i < s.n; i++)
		if (e < EXPONENT_MAX)
			e = e * 10 + (s.p[i] - '0');
	return minus ? -e : e;
}

/* Digits before the exponent, without the zeros in front. */
static void add_digits(struct decimal *d, struct str mantissa)
{
	bool fraction = false;

	buf_reserve(&d->digits, mantissa.n);
	for (size_t i = 0; i < mantissa.n; i++) {
		if (mantissa.p[i] == '.') {
			fraction = true;
			continue;
		}
		d->exponent -= fraction;
		if (d->digits.n || mantissa.p[i] != '0')
			buf_c(&d->digits, mantissa.p[i]);
	}
}

static struct decimal decimal_of(struct str s)
{
	struct decimal d = { .minus = s.n && s.p[0] == '-',
			     .is_special = number_is_special(s) };
	struct str rest = str_from(s, d.minus);
	size_t e = 0;

	if (d.is_special)
		return d;
	while (e < rest.n && rest.p[e] != 'e' && rest.p[e] != 'E')
		e++;
	add_digits(&d, str_first(rest, e));
	d.exponent += exponent_of(str_from(rest, e + 1));
	while (d.digits.n && d.digits.p[d.digits.n - 1] == '0') {
		buf_cut(&d.digits, d.digits.n - 1);
		d.exponent++;
	}
	if (d.digits.n == 0) {
		d.exponent = 0;
		d.minus = false;
	}
	return d;
}

bool number_is_readable(struct str text)
{
	struct decimal d = decimal_of(text);
	int64_t point = d.exponent + (int64_t)d.digits.n;
	bool fits = point < DOUBLE_POINT ||
		    (point == DOUBLE_POINT &&
		     str_cmp(buf_view(&d.digits), DOUBLE_DIGITS) < 0);

	fits = fits && d.exponent > -EXPONENT_MAX;
	buf_fini(&d.digits);
	return fits;
}

/* "12.25", "0.001": 'point' digits stand before the point. */
static void write_fraction(struct buf *out, struct str digits, int64_t point)
{
	if (point <= 0)
		buf_z(out, "0.");
	for (int64_t i = point; i < 0; i++)
		buf_c(out, '0');
	for (size_t i = 0; i < digits.n; i++) {
		if (i && (int64_t)i == point)
			buf_c(out, '.');
		buf_c(out, digits.p[i]);
	}
}

static void write_decimal(struct buf *out, const struct decimal *d)
{
	struct str digits = buf_view(&d->digits);
	int64_t point = d->exponent + (int64_t)digits.n;

	if (d->minus)
		buf_c(out, '-');
	if (digits.n == 0) {
		buf_c(out, '0');
	} else if (d->exponent < 0 && point > -6 && point <= PLAIN_PLACES) {
		write_fraction(out, digits, point);
	} else if (d->exponent >= 0 && point <= PLAIN_PLACES) {
		buf_str(out, digits);
		for (int64_t i = 0; i < d->exponent; i++)
			buf_c(out, '0');
	} else {
		buf_str(out, digits);
		buf_printf(out, "e%lld", (long long)d->exponent);
	}
}

void number_canonical(struct buf *out, struct str text)
{
	struct decimal d = decimal_of(text);

	if (d.is_special)
		buf_str(out, text);
	else
		write_decimal(out, &d);
	buf_fini(&d.digits);
}

bool number_eq(struct str a, struct str b)
{
	struct decimal x = decimal_of(a), y = decimal_of(b);
	bool same = x.is_special || y.is_special ?
			    str_eq(a, b) :
			    x.minus == y.minus && x.exponent == y.exponent &&
				    str_eq(buf_view(&x.digits),
					   buf_view(&y.digits));

	buf_fini(&x.digits);
	buf_fini(&y.digits);
	return same;
}

/* Where the value is smaller than the other in size; no zeros, no specials. */
static int cmp_size(const struct decimal *x, const struct decimal *y)
{
	int64_t a = x->exponent + (int64_t)x->digits.n;
	int64_t b = y->exponent + (int64_t)y->digits.n;

	if (a != b)
		return a < b ? -1 : 1;
	return str_cmp(buf_view(&x->digits), buf_view(&y->digits));
}

/* -2 to 2: what decides before sizes have to be looked at. */
static int rank_of(const struct decimal *d)
{
	if (d->is_special)
		return d->minus ? -2 : 2;
	if (d->digits.n == 0)
		return 0;
	return d->minus ? -1 : 1;
}

int number_cmp(struct str a, struct str b)
{
	struct decimal x = decimal_of(a), y = decimal_of(b);
	int m = rank_of(&x), n = rank_of(&y), result;

	if (str_is(a, "nan") || str_is(b, "nan"))
		result = NUMBER_UNORDERED;
	else if (m != n || m == 0 || x.is_special)
		result = (m > n) - (m < n);
	else
		result = m < 0 ? cmp_size(&y, &x) : cmp_size(&x, &y);
	buf_fini(&x.digits);
	buf_fini(&y.digits);
	return result;
}

bool number_is_integer(struct str text)
{
	struct decimal d = decimal_of(text);
	bool is = !d.is_special && d.exponent >= 0;

	buf_fini(&d.digits);
	return is;
}

bool number_to_i64(struct str text, int64_t *out)
{
	AUTO_BUF plain = BUF_NONE;

	if (str_i64(text, out))
		return true;
	number_canonical(&plain, text);
	return str_i64(buf_view(&plain), out);
}

bool number_to_u64(struct str text, uint64_t *out)
{
	AUTO_BUF plain = BUF_NONE;

	if (str_u64(text, out))
		return true;
	number_canonical(&plain, text);
	return str_u64(buf_view(&plain), out);
}
