/* A port of 127.0.0.1 that was free a moment ago. */
#ifndef TESTS_PORT_H
#define TESTS_PORT_H

#include <check.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static inline unsigned free_port_of_any(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

/* Another one each time: what is free twice may be the same. */
static inline unsigned free_port(void)
{
	static unsigned char given[65536 / 8];
	unsigned port;

	do
		port = free_port_of_any();
	while (given[port / 8] & 1u << port % 8);
	given[port / 8] |= (unsigned char)(1u << port % 8);
	return port;
}

#endif
