/*
 * What the tests of the transport share: a loop that is stepped until something
 * has happened, nodes on it that write down what they are told, peers that
 * speak the protocol by hand, a proxy that cuts and stalls, and certificates.
 */
#ifndef TESTS_NET_WORLD_H
#define TESTS_NET_WORLD_H

#include "net/frame.h"
#include "net/net.h"
#include "unit.h"

extern struct loop *loop;

void step(void);
/* Steps until it holds; fails the test after 20 seconds. */
#define WAIT(cond)                                                             \
	do {                                                                   \
		uint64_t until_ = uv_hrtime() + 20000000000u;                  \
		while (!(cond)) {                                              \
			step();                                                \
			ck_assert_msg(uv_hrtime() < until_, "in vain: " #cond);\
		}                                                              \
	} while (0)
/* Steps for so long: for what must not happen. */
void pass_ms(unsigned ms);

/* ---- nodes ---- */

struct node {
	uint64_t id;
	struct net *net;
	struct net_config config;
	char addr[72];
	unsigned frames, ups, downs, rooms;     /* handlers that ran */
	bool is_up[NET__CHANNELS];
	bool hears_in;                  /* "in\n" and "out\n" of on_in in 'got' */
	unsigned ins, outs;
	struct buf got;                 /* "2 raft abc\n" for each frame */
	bool quiet;                     /* does not keep them */
	void (*on_frame)(struct node *node, uint64_t peer,
			 enum net_channel channel, struct str bytes);
	void (*on_peer)(struct node *node, uint64_t peer, bool is_up);
	void (*on_in)(struct node *node, uint64_t peer, bool is_up);
	void (*on_room)(struct node *node, uint64_t peer);
	uint8_t turns_away;             /* incarnations that begin so; 0: none */
};

/* Fixtures: an empty loop; nodes 1 to 3 with settings for tests (short times),
 * none of them open. */
void world_setup(void);
void world_teardown(void);
extern struct node nodes[4];
#define N1 (&nodes[1])
#define N2 (&nodes[2])
#define N3 (&nodes[3])

void node_open(struct node *node);
/* Stops it; it can be opened again, at the same address. */
void node_close(struct node *node);
void node_knows(struct node *node, const struct node *other);
/* Both open and known to each other, and both links of RAFT are up. */
void node_pair(void);
enum code node_send(struct node *node, uint64_t to, enum net_channel channel,
		    const char *text);
bool got(const struct node *node, const char *want);
struct net_link_stats link_of(const struct node *node, uint64_t peer,
			      enum net_channel channel);
/* The last error with a peer holds this. */
bool has_error(const struct node *node, uint64_t peer, const char *what);

/* Lines that were logged, from world_setup on. */
unsigned logged(const char *what);

/* ---- peers by hand: a blocking socket of this thread ---- */

struct raw {
	int fd;
	struct frames frames;
	struct buf in;                  /* read, not yet taken apart */
	size_t at;
	bool is_closed;                 /* by the other side */
};

void raw_dial(struct raw *raw, const struct node *to);
void raw_send(struct raw *raw, struct str bytes);
/* Steps until a frame has come; false: the connection has ended. */
bool raw_frame(struct raw *raw, struct frame *out);
/* Steps until the other side closes; what comes is passed over. */
void raw_wait_closed(struct raw *raw);
void raw_close(struct raw *raw);

/* The hello of node 2 to node 1. */
struct control hello_of(uint64_t boot, uint64_t serial);
void raw_say(struct raw *raw, const struct control *c);
/* Dials node 1, says hello, and is welcome. */
void raw_enter(struct raw *raw, uint64_t boot, uint64_t serial);

/* A socket that listens; the test accepts. */
int raw_listen(char addr[72]);
int raw_accept(int fd);

/* ---- a proxy ---- */

struct proxy;
/* Forwards to 'to', which may listen later. */
struct proxy *proxy_new(const char *to);
const char *proxy_addr(const struct proxy *p);
void proxy_cut(struct proxy *p);
/* Moves nothing until it is called with false; connections are taken. */
void proxy_stall(struct proxy *p, bool on);
uint64_t proxy_bytes(const struct proxy *p);

/* ---- certificates ---- */

/* Fixtures around all tests: a folder with "ca" and "other-ca". */
void certs_setup(void);
void certs_teardown(void);
/* <name>.pem and <name>.key, signed by 'ca', with 'names' as alternative names
 * (or NULL), valid for 'days' from now (negative: it has ended). */
void make_cert(const char *name, const char *ca, const char *names, int days);
/* Path in the folder, static memory, sixteen in turn. */
const char *cert(const char *file);
/* The node shows this certificate and trusts this CA. */
void node_tls(struct node *node, const char *name, const char *ca);

#endif
