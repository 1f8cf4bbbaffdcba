/* Texts of addresses.  Pure. */
#ifndef IO_ADDR_H
#define IO_ADDR_H

#include <sys/socket.h>

#include "io/stream.h"

#define ADDR_HOST_MAX 256

/* "host:port" and "[v6]:port" in two; E_INVALID. */
enum code addr_split(struct str text, char host[ADDR_HOST_MAX], uint16_t *port,
		     struct err *err) MUST_USE;
/* True where 'host' is an address in numbers; then '*is_loopback' says whether
 * it is one of this machine's alone. */
bool addr_is_numeric(const char *host, bool *is_loopback);
void addr_of(const struct sockaddr *sa, struct stream_addr *out);

#endif
