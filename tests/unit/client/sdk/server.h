/*
 * A server in threads of the test, with just what libconflux asks of one: fetch,
 * watch, acks; and whatever goes wrong with servers, on demand.  Any thread.
 */
#ifndef TESTS_CLIENT_SDK_SERVER_H
#define TESTS_CLIENT_SDK_SERVER_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

enum server_route { SERVER_FETCH, SERVER_WATCH, SERVER_ACKS, SERVER_ROUTES };

struct server_config {
	const char *folder;              /* certificates and keys go there */
	bool is_tls, signs, has_no_acks;
	bool wants_certificate;          /* of its clients; any will do */
	uint64_t first_rev;              /* 0: 1 */
	unsigned heartbeat_ms;           /* 0: 1,000 */
	const char *release;             /* that answers to fetches name; NULL: none */
	void (*on_thread)(void);         /* in each thread, first; may be NULL */
};

struct server *server_new(const struct server_config *config);
void server_free(struct server *server);
const char *server_url(const struct server *server);     /* "https://127.0.0.1:1" */
/* In the folder: ca.pem (also the certificate), key.pem, public.pem. */

/* Publishes; several with `end` false are one command. */
void server_publish(struct server *server, const char *name, const char *type,
		    const char *content, bool end);
void server_delete(struct server *server, const char *name);
/* What it gets is an earlier version, by a release that answers and events name. */
void server_release(struct server *server, const char *name, uint64_t version,
		    const char *content, const char *release);
/* The next 'n' requests of the route are answered so. */
void server_refuse(struct server *server, enum server_route route, unsigned n,
		   int status, unsigned retry_after_s);
/* And each for this configuration alone; 0: as ever. */
void server_fails(struct server *server, const char *name, int status);
/* Its content comes in pieces of so many bytes, with a pause before each. */
void server_trickles(struct server *server, const char *name, size_t piece,
		     unsigned pause_ms);
/* Who does not bring this token is refused (401); it is kept by who calls. */
void server_wants(struct server *server, const char *token);
/* What comes next is other than its hash says; or not signed, or by another key. */
enum server_lie { SERVER_HONEST, SERVER_BYTES, SERVER_UNSIGNED, SERVER_FORGED,
		  SERVER_GARBAGE };
void server_lies(struct server *server, enum server_lie lie);
/* Watches that would resume before this revision are told 410. */
void server_compact(struct server *server, uint64_t rev);
/* Ends all connections, and takes new ones or not. */
void server_cut(struct server *server, bool is_down);
/* Says nothing any more: no heartbeat, no answer, until it is turned off. */
void server_mute(struct server *server, bool is_mute);
/* Answers to fetches, of what there was when they were asked, wait until it is turned
 * off; how many do. */
void server_hold(struct server *server, bool is_held);
unsigned server_held(struct server *server);
unsigned server_requests(struct server *server, enum server_route route);
/* Waits until one like it has come: "applied main.json 2".  False: not in 30 s.  For
 * clients that have a thread, or have said it: nobody runs a loop meanwhile. */
bool server_saw_ack(struct server *server, const char *ack);
/* Why the last rejection that came was one. */
const char *server_reason(struct server *server, char out[512]);
/* How many that begin so have come by now; "": all. */
unsigned server_acks(struct server *server, const char *begin);
/* Forgets those that have come. */
void server_forget_acks(struct server *server);
uint64_t server_rev(struct server *server);

#endif
