/* Which protocols there are, and which of them a connection speaks: see protocol.h. */
#include "http/server/protocol.h"

#include "base/buf.h"
#include "http/server/server.h"

#include "base/banned.h"

#define PROTOCOL(name) extern const struct http_protocol name##_protocol;
#include "http/server/protocols.tbl"
#undef PROTOCOL

const struct http_protocol *const http_protocols[] = {
#define PROTOCOL(name) &name##_protocol,
#include "http/server/protocols.tbl"
#undef PROTOCOL
	NULL,
};

const struct http_protocol *protocol_last(const struct http_protocol *const *all)
{
	while (all[1])
		all++;
	return all[0];
}

static const struct http_protocol *by_alpn(const struct http_protocol *const *all,
					   const char *alpn)
{
	for (; all[1]; all++)
		if (all[0]->alpn && str_eq(str_of(alpn), str_of(all[0]->alpn)))
			break;
	return all[0];
}

static const struct http_protocol *by_preface(const struct http_protocol *const *all,
					      struct str in)
{
	bool may_be = false;

	for (; all[1]; all++) {
		struct str preface = all[0]->preface, first = str_first(in, preface.n);

		if (preface.n == 0 || !str_eq(first, str_first(preface, first.n)))
			continue;
		if (first.n == preface.n)
			return all[0];
		may_be = true;
	}
	return may_be ? NULL : all[0];
}

const struct http_protocol *protocol_find(const struct http_protocol *const *all,
					  const char *alpn, struct str in)
{
	return alpn ? by_alpn(all, alpn) : by_preface(all, in);
}

void http_alpn(char out[HTTP_ALPN_BYTES])
{
	AUTO_BUF names = BUF_NONE;

	for (size_t i = 0; http_protocols[i]; i++)
		if (http_protocols[i]->alpn)
			buf_printf(&names, "%s%s", names.n ? "," : "",
				   http_protocols[i]->alpn);
	must(str_copy(out, HTTP_ALPN_BYTES, buf_view(&names)));
}
