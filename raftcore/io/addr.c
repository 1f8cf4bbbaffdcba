/*
 * Addresses to text and back.
 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/banned.h"

static enum code malformed(struct str text, const char *why, struct err *err)
{
	err_set(err, E_INVALID, "address \"%.*s\": %s",
		(int)MIN(text.n, (size_t)128), text.p ? text.p : "", why);
	return err_hint(err, "write host:port, as 127.0.0.1:8080 or [::1]:8080");
}

enum code addr_split(struct str text, char host[ADDR_HOST_MAX], uint16_t *port,
		     struct err *err)
{
	size_t colon = str_rfind(text, ':');
	struct str name = str_first(text, colon);
	bool bracketed = str_starts(name, STR("[")) && str_ends(name, STR("]"));
	uint64_t n;

	if (colon == SIZE_MAX)
		return malformed(text, "there is no port", err);
	if (!str_u64(str_from(text, colon + 1), &n) || n > UINT16_MAX)
		return malformed(text, "the port is no number up to 65535", err);
	if (bracketed)
		name = str_from(str_first(name, name.n - 1), 1);
	else if (str_find(name, ':') != SIZE_MAX)
		return malformed(text, "an IPv6 address goes in brackets", err);
	if (name.n == 0)
		return malformed(text, "there is no host", err);
	if (str_find(name, '\0') != SIZE_MAX ||
	    !str_copy(host, ADDR_HOST_MAX, name))
		return malformed(text, "this is no host name", err);
	*port = (uint16_t)n;
	return OK;
}

static void of_v4(struct in_addr ip, in_port_t port, struct stream_addr *out)
{
	inet_ntop(AF_INET, &ip, out->host, sizeof(out->host));
	out->port = ntohs(port);
	out->is_loopback = ntohl(ip.s_addr) >> 24 == 127;
	snprintf(out->text, sizeof(out->text), "%s:%u", out->host, out->port);
}

static void of_v6(const struct sockaddr_in6 *sa, struct stream_addr *out)
{
	/* A listener for both families shows IPv4 peers in this dress. */
	if (IN6_IS_ADDR_V4MAPPED(&sa->sin6_addr)) {
		struct in_addr ip;

		memcpy(&ip, &sa->sin6_addr.s6_addr[12], sizeof(ip));
		of_v4(ip, sa->sin6_port, out);
		return;
	}
	inet_ntop(AF_INET6, &sa->sin6_addr, out->host, sizeof(out->host));
	out->port = ntohs(sa->sin6_port);
	out->is_loopback = IN6_IS_ADDR_LOOPBACK(&sa->sin6_addr);
	snprintf(out->text, sizeof(out->text), "[%s]:%u", out->host, out->port);
}

void addr_of(const struct sockaddr *sa, struct stream_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		of_v4(in->sin_addr, in->sin_port, out);
	} else if (sa->sa_family == AF_INET6) {
		of_v6((const struct sockaddr_in6 *)sa, out);
	}
}

bool addr_is_numeric(const char *host, bool *is_loopback)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct stream_addr addr;

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		addr_of((const struct sockaddr *)&v4, &addr);
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		addr_of((const struct sockaddr *)&v6, &addr);
	else
		return false;
	*is_loopback = addr.is_loopback;
	return true;
}
