/*
 * Bodies that many ask for, as files in memory: the kernel sends them from where they
 * lie, to any number of connections, instead of copying them for each.  Only the other
 * files of http/server include it.  Own loop's thread.
 */
#ifndef HTTP_SERVER_BODIES_H
#define HTTP_SERVER_BODIES_H

#include "io/stream.h"

/* Smaller ones are copied faster; larger ones are asked for seldom. */
#define BODY_BYTES_MIN (8u * 1024)
#define BODY_BYTES_MAX (256u * 1024)
#define BODIES_KEPT 16u
#define BODY_NAME_BYTES 32u
/* Who was not asked for as long goes. */
#define BODIES_KEEP_MS 10000u

struct body {
	uint8_t name[BODY_NAME_BYTES];
	int file;                        /* -1: none */
	uint64_t used_ms;
};

struct bodies {
	struct body all[BODIES_KEPT];
};

void bodies_init(struct bodies *b);
void bodies_fini(struct bodies *b);
/* A file with what 'v' says, of that name (see answer_named); -1: it is to be copied.  It
 * stays until the next call. */
int bodies_file(struct bodies *b, const uint8_t *name, const struct stream_vec *v,
		unsigned n, uint64_t now_ms);
/* Those that nobody asked for go. */
void bodies_sweep(struct bodies *b, uint64_t now_ms);

#endif
