/* Texts of addresses, private to this folder.  Pure. */
#ifndef IO_ADDR_H
#define IO_ADDR_H

#include <sys/socket.h>

#include "io/stream.h"

#define ADDR_HOST_MAX 256

/* "host:port" and "[v6]:port" in two; E_INVALID. */
enum code addr_split(struct str text, char host[ADDR_HOST_MAX], uint16_t *port,
		     struct err *err) MUST_USE;
void addr_of(const struct sockaddr *sa, struct stream_addr *out);

#endif
