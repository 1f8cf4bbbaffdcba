/*
 * The shape of header blocks beside nghttp2's decoder: where nghttp2 reads a block
 * whole, as many fields are seen as it reads, and one that is called pure leaves its
 * table as it was and reads the same once more.
 *
 * The first byte is the length of a block that comes before, and fills the table.
 */
#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "http/wire/hpack.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False: it is no block.  What it says goes to 'out'. */
static bool read_block(nghttp2_hd_inflater *in, struct str block, struct buf *out,
		       unsigned *fields)
{
	const uint8_t *p = (const uint8_t *)block.p;
	size_t n = block.n;

	*fields = 0;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t k = nghttp2_hd_inflate_hd2(in, &nv, &flags, p, n, 1);

		if (k < 0)
			return false;
		p += k;
		n -= (size_t)k;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			buf_printf(out, "%zu %zu %d ", nv.namelen, nv.valuelen,
				   nv.flags);
			buf_add(out, nv.name, nv.namelen);
			buf_add(out, nv.value, nv.valuelen);
			++*fields;
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	return nghttp2_hd_inflate_end_headers(in) == 0;
}

static unsigned count(struct str *block)
{
	struct hpack_field field;
	unsigned n = 0;

	while (hpack_next(block, &field))
		n += field.kind != HPACK_RESIZED;
	return n;
}

static void check(nghttp2_hd_inflater *in, struct str block)
{
	size_t entries = nghttp2_hd_inflate_get_num_table_entries(in);
	size_t bytes = nghttp2_hd_inflate_get_dynamic_table_size(in);
	AUTO_BUF first = BUF_NONE;
	AUTO_BUF second = BUF_NONE;
	struct str rest = block;
	unsigned seen = count(&rest), fields;

	must(rest.n <= block.n && (rest.n == 0 || !hpack_is_pure(block)));
	if (!read_block(in, block, &first, &fields))
		return;
	must(rest.n == 0 && seen == fields);
	if (!hpack_is_pure(block))
		return;
	must(nghttp2_hd_inflate_get_num_table_entries(in) == entries);
	must(nghttp2_hd_inflate_get_dynamic_table_size(in) == bytes);
	must(read_block(in, block, &second, &fields));
	must(str_eq(buf_view(&first), buf_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nghttp2_hd_inflater *in;
	AUTO_BUF out = BUF_NONE;
	unsigned fields;
	size_t n;

	if (size == 0 || size > 4096)
		return 0;
	must(nghttp2_hd_inflate_new(&in) == 0);
	n = data[0] < size ? data[0] : 0;
	if (n == 0 || read_block(in, str_n(data + 1, n), &out, &fields))
		check(in, str_n(data + 1 + n, size - 1 - n));
	nghttp2_hd_inflate_del(in);
	return 0;
}
