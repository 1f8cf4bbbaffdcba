/*
 * Load for raft_node: a number of commands of one size always under way.
 *
 *	raft_load HOST:PORT IN_FLIGHT CONNECTIONS SECONDS KEYS BYTES [COMMANDS]
 *
 * Keys are below KEYS, and multiples of the slots that a command fills.  Ends after
 * the time or, where a number is given, when so many commands were applied.  Prints
 * what load.h says.  Any answer but "applied" ends it with an error: a figure of which
 * some were refused would be none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define SLOT_BYTES 256u
#define BYTES_MAX (64u * 1024)
#define HEAD 12u
#define ANSWER (HEAD + 4u)

static unsigned command_bytes;
static uint64_t keys, next;
static uint64_t *sent_ns;                /* by tag */

static void put(char *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (char)(v >> 8 * i);
}

/* The tag says which of those under way it is. */
static void add_command(struct connection *c, uint64_t tag, uint64_t now)
{
	char *p = buf_extend(&c->out, HEAD + command_bytes);
	uint64_t slots = command_bytes / SLOT_BYTES;

	put(p, command_bytes, 4);
	put(p + 4, tag, 8);
	/* Spread over the keys, alike in each run. */
	put(p + HEAD, next++ * 0x9e3779b97f4a7c15ull % (keys / slots) * slots, 8);
	memset(p + HEAD + 8, (int)('a' + next % 26), command_bytes - 8);
	sent_ns[tag] = now;
}

static void take_answer(struct connection *c, const char *p, uint64_t now)
{
	uint64_t tag;
	uint32_t code;

	memcpy(&tag, p + 4, sizeof(tag));
	memcpy(&code, p + HEAD, sizeof(code));
	if (code)
		load_die("refused with code %u", code);
	must(tag < load.in_flight);
	load_note(sent_ns[tag], now);
	add_command(c, tag, now);
}

static void take(struct connection *c, const char *p, size_t n, uint64_t now)
{
	struct buf *begun = c->data;     /* an answer that came in part */
	size_t at = 0;

	buf_add(begun, p, n);
	for (; begun->n - at >= ANSWER; at += ANSWER)
		take_answer(c, begun->p + at, now);
	buf_drop(begun, at);
}

int main(int argc, char **argv)
{
	if (argc != 7 && argc != 8) {
		fprintf(stderr, "usage: raft_load HOST:PORT IN_FLIGHT "
			"CONNECTIONS SECONDS KEYS BYTES [COMMANDS]\n");
		return 2;
	}
	keys = strtoull(argv[5], NULL, 10);
	command_bytes = (unsigned)atoi(argv[6]);
	load.limit = argc == 8 ? strtoull(argv[7], NULL, 10) : 0;
	must(command_bytes >= SLOT_BYTES && command_bytes <= BYTES_MAX &&
	     command_bytes % SLOT_BYTES == 0 && keys >= BYTES_MAX / SLOT_BYTES);
	load_open("raft_load", argv[1], (unsigned)atoi(argv[3]),
		  (unsigned)atoi(argv[2]), atof(argv[4]));
	sent_ns = mem_zero(load.in_flight * sizeof(*sent_ns));
	for (unsigned i = 0; i < load.n; i++)
		load.connections[i]->data = mem_zero(sizeof(struct buf));
	for (unsigned i = 0; i < load.in_flight; i++)
		add_command(load.connections[i % load.n], i, clock_mono_ns());
	for (unsigned i = 0; i < load.n; i++)
		load_flush(load.connections[i]);
	load_run(take);
	load_print();
	return 0;
}
