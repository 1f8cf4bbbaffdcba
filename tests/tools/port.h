/*
 * A port of 127.0.0.1 that nobody listens on, below those that the kernel gives out, and
 * that no other test was given within the hour: who gets it binds it later, and again when
 * it starts anew.  free_port of tests/scenario/lib.bash and of ports.py look at the same.
 */
#ifndef TESTS_PORT_H
#define TESTS_PORT_H

#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static inline bool port_was_given(unsigned port)
{
	char path[64];
	struct stat st;
	int n = snprintf(path, sizeof(path), "/tmp/conflux-ports.%u", (unsigned)getuid());

	mkdir(path, 0777);
	snprintf(path + n, sizeof(path) - (size_t)n, "/%u", port);
	if (mkdir(path, 0777) == 0)
		return false;
	/* For the next who draws it. */
	if (stat(path, &st) == 0 && time(NULL) - st.st_mtime > 3600)
		rmdir(path);
	return true;
}

static inline bool port_is_bound(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), rc;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return rc != 0;
}

static inline unsigned free_port(void)
{
	for (unsigned tries = 0; tries < 1000000; tries++) {
		unsigned port;

		ck_assert_int_eq(getrandom(&port, sizeof(port), 0), sizeof(port));
		port = 20000 + port % 12000;
		if (!port_was_given(port) && !port_is_bound(port))
			return port;
	}
	ck_abort_msg("no port: see the folder /tmp/conflux-ports.%u", (unsigned)getuid());
	return 0;
}

#endif
