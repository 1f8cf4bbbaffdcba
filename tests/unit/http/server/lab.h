/*
 * A server on a loop of its own thread, and clients with blocking sockets that
 * say what they like.
 */
#ifndef TESTS_HTTP_SERVER_LAB_H
#define TESTS_HTTP_SERVER_LAB_H

#include <stdatomic.h>

#include "http/server/server.h"
#include "unit.h"

extern struct http_limits lab_limits;    /* set before lab_start */
/* Before lab_start: as http_server_config.protocols. */
extern const struct http_protocol *const *lab_protocols;
extern unsigned lab_guests_max;          /* connections that are let in at once */

/* Fixtures. */
void lab_setup(void);
void lab_teardown(void);
/* Starts the server with the routes of lab.c (see there). */
void lab_start(void);
/* Runs on the loop and waits for it. */
void lab_do(void (*what)(void));
/* As that, and does not wait for it. */
void lab_post(void (*what)(void));
void lab_stats(struct http_stats *out);

/* The most in one turn of the loop so far: requests that came, those that were
 * answered, those of /later and /stream that were gone, connections that were over. */
struct lab_turns {
	unsigned asked, answered, gone, left;
};
struct lab_turns lab_turns(void);

/* GET /counted answers "version N, call M", and that this may be given again for as
 * long as lab_version is N.  GET /same is answered 304, with X-Version, likewise. */
extern atomic_uint lab_version, lab_calls;
/* What config.after was told last. */
extern atomic_uint lab_bytes;
/* GET /large answers this, likewise, by a name; '!' stands at its end alone. */
#define LAB_LARGE 20000u
/* With ?small the first 8,000 of it, up to this version. */
#define LAB_GROWS 100u
extern char lab_large[LAB_LARGE + 1];

/* GET /source/N answers the first N of lab_source_bytes, looked up as they go.  From
 * lab_source_gone on there are none.  How many such answers there are, how far the
 * furthest of them was looked up, and the most that waited for the socket when more
 * was. */
#define LAB_SOURCE_MAX (8u << 20)
extern _Atomic uint64_t lab_source_gone, lab_source_at, lab_source_pending;
extern atomic_uint lab_sources;
const char *lab_source_bytes(void);

/* Answers the oldest request to /later; waits until there is one. */
void lab_answer_later(const char *body);
void lab_post_later(const char *body);
/* Requests to /later or /stream that have gone; waits until there are 'n'. */
void lab_wait_gone(unsigned n);
/* Waits until 'n' requests wait in /later. */
void lab_wait_later(unsigned n);
/* A chunk for the newest /stream; waits until there is one. */
void lab_chunk(const char *text);
/* Chunks "0;" to "n-1;" for the two newest /stream, in turns and in one turn of the
 * loop; how many bytes went to sockets meanwhile. */
uint64_t lab_chunks_in_turns(unsigned n);
/* Chunks until somebody is gone. */
void lab_chunk_until_gone(void);
void lab_end_stream(void);
/* answer_pending of the newest /stream. */
size_t lab_pending(void);
/* What waits for the socket of the oldest /later. */
size_t lab_socket_pending(void);
/* /kept, of lab_kept.c. */
void lab_post_kept(struct request *r);
/* Of the request to /pieces or /paused: waits until it is there and 'n' pieces of
 * its body were told; until the last one was; what came so far. */
void lab_wait_pieces(unsigned n);
void lab_wait_body(void);
size_t lab_pieces_bytes(void);
/* /paused takes nothing before this, and pauses behind each piece. */
void lab_take_body(void);
void lab_resume_body(void);
/* From here on it does not pause. */
void lab_let_body_flow(void);
void lab_drain(unsigned grace_ms);
/* On the loop, in lab_do. */
void lab_drain_here(unsigned grace_ms);
/* Waits until the drain has ended. */
void lab_wait_drained(void);

/* ---- clients ---- */
int client_new(void);
void client_say(int fd, const char *text);
void client_say_n(int fd, const void *p, size_t n);
/* As much as the pipe takes; false: it has taken nothing for 200 ms. */
bool client_say_some(int fd, const void *p, size_t n, size_t *said);
/* No more will be said; answers are still read. */
void client_half_close(int fd);
/* Reads until 'want' has been heard; all that was heard since the last call is
 * the answer, up to and with 'want'.  Fails the test at the end of the
 * connection. */
const char *client_hear(int fd, const char *want);
/* Reads until the end, and answers all that was heard. */
const char *client_hear_end(int fd);
/* Reads once, at most so many bytes, and forgets them. */
void client_sip(int fd, size_t n);
/* Nothing waits to be read. */
bool client_is_quiet(int fd);
void client_close(int fd);

#endif
