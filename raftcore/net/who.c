/*
 * Whose a certificate is; the rule stands in net.h.
 */
#include "net/own.h"

#include "base/banned.h"

#define URI STR("conflux://node/")

enum code who_check(const struct tls_cert *cert, uint64_t id, const char *host,
		    struct err *err)
{
	struct str uri, other = STR_NONE;
	uint64_t of;

	for (unsigned i = 0; tls_cert_uri(cert, i, &uri); i++) {
		if (!str_starts(uri, URI))
			continue;
		other = uri;
		if (str_u64(str_from(uri, URI.n), &of) && of == id)
			return OK;
	}
	if (other.n) {
		err_set(err, E_DENIED,
			"the certificate is of %.*s and not of node %llu",
			(int)MIN(other.n, (size_t)100), other.p,
			(unsigned long long)id);
		return err_hint(
			err,
			"is the address another node's, or its certificate?");
	}
	if (tls_cert_is_for(cert, host))
		return OK;
	err_set(err, E_DENIED, "the certificate names neither node %llu nor %s",
		(unsigned long long)id, host);
	return err_hint(err,
			"put URI:conflux://node/%llu, or its host name, into "
			"its subject alternative names",
			(unsigned long long)id);
}
