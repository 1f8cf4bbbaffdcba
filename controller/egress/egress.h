/*
 * Which addresses requests out may go to.  Pure; any thread.
 */
#ifndef EGRESS_EGRESS_H
#define EGRESS_EGRESS_H

#include <sys/socket.h>

#include "base/str.h"

/*
 * Not one that the internet has: loopback, private, shared (CGNAT), link-local (with
 * it the metadata services of clouds), unique local, multicast, reserved; and forms
 * of IPv6 that stand for an address of IPv4 (mapped, compatible, NAT64, 6to4), where
 * that is one of these; Teredo, which hides one.  What is neither IPv4 nor IPv6 is
 * inside too.
 */
bool egress_is_inside(const struct sockaddr *sa);

#endif
