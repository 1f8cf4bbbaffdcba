/* Addresses: see egress.h.  IANA's registries of special-purpose addresses. */
#include "egress/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/banned.h"

static const struct {
	uint32_t net;
	unsigned bits;
} inside4[] = {
	{ 0x00000000, 8 },               /* this network */
	{ 0x0a000000, 8 },               /* private */
	{ 0x64400000, 10 },              /* shared: CGNAT */
	{ 0x7f000000, 8 },               /* loopback */
	{ 0xa9fe0000, 16 },              /* link-local, 169.254.169.254 */
	{ 0xac100000, 12 },              /* private */
	{ 0xc0000000, 24 },              /* protocol assignments */
	{ 0xc0000200, 24 },              /* documentation */
	{ 0xc0586300, 24 },              /* 6to4 relays */
	{ 0xc0a80000, 16 },              /* private */
	{ 0xc6120000, 15 },              /* benchmarks */
	{ 0xc6336400, 24 },              /* documentation */
	{ 0xcb007100, 24 },              /* documentation */
	{ 0xe0000000, 3 },               /* multicast, reserved, broadcast */
};

static bool is_inside4(uint32_t a)
{
	for (size_t i = 0; i < ARRAY_LEN(inside4); i++)
		if (a >> (32 - inside4[i].bits) ==
		    inside4[i].net >> (32 - inside4[i].bits))
			return true;
	return false;
}

static uint32_t four_at(const struct in6_addr *a, unsigned at)
{
	const uint8_t *b = a->s6_addr + at;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	       (uint32_t)b[2] << 8 | b[3];
}

/* Only 2000::/3 is given out; what else there is stands for IPv4, or is inside. */
static bool is_inside6(const struct in6_addr *a)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *b = a->s6_addr;

	if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
		return is_inside4(four_at(a, 12));
	if (b[0] >> 5 != 1)
		return true;
	if (b[0] == 0x20 && b[1] == 0x02)        /* 6to4 */
		return is_inside4(four_at(a, 2));
	if (b[0] == 0x20 && b[1] == 0x01)        /* Teredo and others; documentation */
		return b[2] < 0x02 || (b[2] == 0x0d && b[3] == 0xb8);
	return b[0] == 0x3f && b[1] == 0xff && b[2] < 0x10;
}

bool egress_is_inside(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return is_inside4(ntohl(((const struct sockaddr_in *)(const void *)sa)
						->sin_addr.s_addr));
	if (sa->sa_family == AF_INET6)
		return is_inside6(&((const struct sockaddr_in6 *)(const void *)sa)
					   ->sin6_addr);
	return true;
}
