/*
 * Names to addresses: getaddrinfo waits, so it runs in a thread that nobody waits
 * for; whoever of the two is last frees what they share.  That may be the thread, when
 * the client is closed and its program's allocator gone, so it is libc's memory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include "client/sdk/own.h"

#include "base/banned.h"

struct lookup {
	atomic_uint refs;
	atomic_bool is_done;
	char host[256], port[8];
	int wake;                        /* of its own */
	int error;                       /* EAI_* */
	struct address_list found;
};

bool lookup_numeric(const struct endpoint *of, struct address_list *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	in_port_t port = htons((uint16_t)atoi(of->port));

	v4.sin_port = v6.sin6_port = port;
	if (inet_pton(AF_INET, of->host, &v4.sin_addr) == 1) {
		memcpy(&out->at[0], &v4, sizeof(v4));
		out->n_bytes[0] = sizeof(v4);
	} else if (inet_pton(AF_INET6, of->host, &v6.sin6_addr) == 1) {
		memcpy(&out->at[0], &v6, sizeof(v6));
		out->n_bytes[0] = sizeof(v6);
	} else {
		return false;
	}
	out->n = 1;
	return true;
}

static void lookup_unref(struct lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	close(l->wake);
	heap_release(&heap_of_libc, l);
}

static void *run(void *data)
{
	struct lookup *l = data;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;

	l->error = getaddrinfo(l->host, l->port, &hints, &list);
	for (struct addrinfo *a = l->error ? NULL : list;
	     a && l->found.n < ADDRESSES_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(l->found.at[0]))
			continue;
		memcpy(&l->found.at[l->found.n], a->ai_addr, a->ai_addrlen);
		l->found.n_bytes[l->found.n++] = a->ai_addrlen;
	}
	if (list)
		freeaddrinfo(list);
	atomic_store(&l->is_done, true);
	sdk_wake(l->wake);
	lookup_unref(l);
	return NULL;
}

enum cfx_code lookup_start(const struct endpoint *of, int wake, struct lookup **out,
			   struct cfx_error *error)
{
	struct lookup *l = HEAP_NEW(&heap_of_libc, struct lookup);
	int no;

	if (!l)
		return cfx_no_memory(error);
	atomic_init(&l->refs, 2);
	memcpy(l->host, of->host, sizeof(l->host));
	memcpy(l->port, of->port, sizeof(l->port));
	l->wake = fcntl(wake, F_DUPFD_CLOEXEC, 0);
	if (l->wake < 0) {
		no = errno;
		heap_release(&heap_of_libc, l);
		return cfx_fail(error, CFX_E_IO, "a descriptor: %s",
				strerrordesc_np(no));
	}
	no = sdk_thread(run, l, NULL);
	if (no) {
		close(l->wake);
		heap_release(&heap_of_libc, l);
		return cfx_fail(error, CFX_E_IO, "a thread: %s",
				strerrordesc_np(no));
	}
	*out = l;
	return CFX_OK;
}

bool lookup_done(struct lookup *l, struct address_list *out, enum cfx_code *rc,
		 struct cfx_error *error)
{
	if (!atomic_load(&l->is_done))
		return false;
	*out = l->found;
	*rc = CFX_OK;
	if (l->error == EAI_MEMORY)
		*rc = cfx_no_memory(error);
	else if (l->error || out->n == 0)
		*rc = cfx_fail(error, CFX_E_UNAVAILABLE, "the name %s: %s",
			       l->host, l->error ? gai_strerror(l->error) :
			       "it has no address");
	return true;
}

void lookup_free(struct lookup **l)
{
	if (*l)
		lookup_unref(TAKE(*l));
}
