/* Denied requests: see denials.h. */
#include "store/denials.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "base/mem.h"

#include "base/banned.h"

#define TEXT_MAX 200

struct denial {
	char who[TEXT_MAX + 1], why[TEXT_MAX + 1];
	uint64_t count;
};

struct denials {
	pthread_mutex_t lock;
	struct denial lines[DENIALS_MAX];
	size_t n;
	uint64_t others;                 /* for which there was no line */
	uint64_t taken_ms;
	bool was_taken;
};

struct denials *denials_new(void)
{
	struct denials *d = NEW(struct denials);

	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void denials_free(struct denials **dp)
{
	if (!*dp)
		return;
	pthread_mutex_destroy(&(*dp)->lock);
	free(*dp);
	*dp = NULL;
}

void denials_add(struct denials *d, struct str who, struct str why)
{
	struct denial *line;
	size_t i;

	who = str_first(who, TEXT_MAX);
	why = str_first(why, TEXT_MAX);
	pthread_mutex_lock(&d->lock);
	for (i = 0; i < d->n; i++)
		if (str_eq(str_of(d->lines[i].who), who) &&
		    str_eq(str_of(d->lines[i].why), why))
			break;
	if (i == DENIALS_MAX) {
		d->others++;
	} else {
		line = &d->lines[i];
		if (i == d->n) {
			d->n++;
			line->count = 0;
			str_copy(line->who, sizeof(line->who), who);
			str_copy(line->why, sizeof(line->why), why);
		}
		line->count++;
	}
	pthread_mutex_unlock(&d->lock);
}

static void put_v4(struct buf *out, const unsigned char *b)
{
	if (b[0] == 127)
		buf_printf(out, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	else
		buf_printf(out, "%u.%u.%u.0/24", b[0], b[1], b[2]);
}

static void put_v6(struct buf *out, const char *host, struct in6_addr *a)
{
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(a)) {
		put_v4(out, a->s6_addr + 12);
	} else if (IN6_IS_ADDR_LOOPBACK(a)) {
		buf_z(out, host);
	} else {
		memset(a->s6_addr + 6, 0, 10);
		buf_printf(out, "%s/48", inet_ntop(AF_INET6, a, text,
						   sizeof(text)));
	}
}

void denials_network(struct buf *out, const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	char text[64];

	/* Without the interface of a link-local one. */
	str_copy(text, sizeof(text), str_first(str_of(host),
					       strcspn(host, "%")));
	if (inet_pton(AF_INET, text, &v4) == 1)
		put_v4(out, (const unsigned char *)&v4.s_addr);
	else if (inet_pton(AF_INET6, text, &v6) == 1)
		put_v6(out, text, &v6);
	else
		buf_z(out, host);
}

static void add_op(struct arena *arena, struct command *cmd, struct str who,
		   struct str why, uint64_t count)
{
	struct op *op = command_op(arena, cmd, OP_DENIED);

	op->name = arena_str(arena, who);
	op->message = arena_str(arena, why);
	op->size = count;
}

bool denials_take(struct denials *d, uint64_t now_ms, bool last,
		  struct arena *arena, struct command *cmd)
{
	bool any;

	pthread_mutex_lock(&d->lock);
	any = d->n > 0 && (last || !d->was_taken ||
			   now_ms - d->taken_ms >= DENIALS_MS);
	for (size_t i = 0; i < d->n && any; i++)
		add_op(arena, cmd, str_of(d->lines[i].who),
		       str_of(d->lines[i].why), d->lines[i].count);
	if (any && d->others)
		add_op(arena, cmd, STR("others"), STR("more than one minute's "
			"record has room for"), d->others);
	if (any) {
		d->n = 0;
		d->others = 0;
		d->taken_ms = now_ms;
		d->was_taken = true;
	}
	pthread_mutex_unlock(&d->lock);
	return any;
}
