/*
 * Changes of members on their way to the leader: whatever bytes come, nothing is read
 * beyond them and what is taken is within bounds; what was taken is written again as
 * it was read.
 */
#include <stdint.h>

#include "store/wish.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_form(struct str in, bool is_short)
{
	struct wish wish = { 0 }, again = { 0 };
	AUTO_BUF bytes = BUF_NONE;
	struct err err = { 0 };
	size_t at, n;
	struct str form;

	if (wish_decode(in, is_short, &wish, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return;
	}
	must(wish.what <= STORE_MEMBER_LEAD);
	must(wish.node >= 1 && wish.node <= 65535);
	must(wish.address.n <= WISH_ADDRESS_MAX);
	must(wish.who.subject.role < ROLE__COUNT);
	wish_encode(&bytes, &wish, &at, &n);
	form = buf_view(&bytes);
	if (is_short)
		form = str_first(str_from(form, at), n);
	must(wish_decode(form, is_short, &again, &err) == OK);
	must(again.what == wish.what && again.node == wish.node);
	must(again.force == wish.force && str_eq(again.address, wish.address));
	must(str_eq(again.who.subject.name, wish.who.subject.name));
	must(str_eq(again.who.reason, wish.who.reason));
	must(memcmp(again.who.trace, wish.who.trace,
		    sizeof(wish.who.trace)) == 0);
}

/* Input: the form, and the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	try_form(str_n(data + 1, size - 1), data[0] & 1);
	return 0;
}
