/* See crowd.h. */
#include "api/crowd.h"

#include <pthread.h>

#include "api/limits.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

struct guest {
	unsigned n;
};

struct crowd {
	pthread_mutex_t lock;
	struct map *guests;
	struct map *strangers;           /* connections and networks; NULL: none came yet */
	unsigned most;
};

struct crowd *crowd_new(unsigned most)
{
	struct crowd *crowd = NEW(struct crowd);

	must(pthread_mutex_init(&crowd->lock, NULL) == 0);
	crowd->guests = map_new();
	crowd->most = most;
	return crowd;
}

void crowd_free(struct crowd **at)
{
	struct crowd *crowd = TAKE(*at);
	struct str key;
	void *guest;

	if (!crowd)
		return;
	for (size_t i = 0; map_next(crowd->guests, &i, &key, &guest);)
		free(guest);
	for (size_t i = 0; crowd->strangers &&
			   map_next(crowd->strangers, &i, &key, &guest);)
		free(guest);
	map_free(&crowd->guests);
	map_free(&crowd->strangers);
	pthread_mutex_destroy(&crowd->lock);
	free(crowd);
}

static bool enter(struct map *guests, struct str who, unsigned most)
{
	struct guest *g = map_get(guests, who);

	if (g && g->n >= most)
		return false;
	if (!g) {
		g = NEW(struct guest);
		map_put(guests, who, g);
	}
	g->n++;
	return true;
}

bool crowd_enter(struct crowd *crowd, struct str who)
{
	bool is_in;

	if (crowd->most == 0)
		return true;
	pthread_mutex_lock(&crowd->lock);
	is_in = enter(crowd->guests, who, crowd->most);
	pthread_mutex_unlock(&crowd->lock);
	return is_in;
}

static void leave(struct map *guests, struct str who)
{
	struct guest *g = map_get(guests, who);

	must(g && g->n > 0);
	if (--g->n > 0)
		return;
	map_del(guests, who);
	free(g);
}

void crowd_leave(struct crowd *crowd, struct str who)
{
	if (crowd->most == 0)
		return;
	pthread_mutex_lock(&crowd->lock);
	leave(crowd->guests, who);
	pthread_mutex_unlock(&crowd->lock);
}

bool crowd_enter_host(struct crowd *crowd, const char *host)
{
	AUTO_BUF network = BUF_NONE;

	if (crowd->most)
		limits_network(&network, host);
	return crowd_enter(crowd, buf_view(&network));
}

void crowd_leave_host(struct crowd *crowd, const char *host)
{
	AUTO_BUF network = BUF_NONE;

	if (crowd->most)
		limits_network(&network, host);
	crowd_leave(crowd, buf_view(&network));
}

static void put_kind(struct buf *key, enum crowd_strangers kind)
{
	buf_c(key, kind == CROWD_HEALTH ? 'h' : 's');
}

/* A connection has a port in its text, so it is no network. */
static void stranger_keys(enum crowd_strangers kind, const char *host, const char *text,
			  struct buf *connection, struct buf *network)
{
	put_kind(connection, kind);
	buf_z(connection, text);
	put_kind(network, kind);
	limits_network(network, host);
}

bool crowd_enter_stranger(struct crowd *crowd, enum crowd_strangers kind,
			  const char *host, const char *text)
{
	AUTO_BUF connection = BUF_NONE;
	AUTO_BUF network = BUF_NONE;
	bool is_in;

	stranger_keys(kind, host, text, &connection, &network);
	pthread_mutex_lock(&crowd->lock);
	if (!crowd->strangers)
		crowd->strangers = map_new();
	is_in = enter(crowd->strangers, buf_view(&connection),
		      CROWD_STRANGERS_CONNECTION);
	if (is_in && crowd->most &&
	    !enter(crowd->strangers, buf_view(&network),
		   crowd->most * CROWD_STRANGERS_CONNECTION)) {
		leave(crowd->strangers, buf_view(&connection));
		is_in = false;
	}
	pthread_mutex_unlock(&crowd->lock);
	return is_in;
}

void crowd_leave_stranger(struct crowd *crowd, enum crowd_strangers kind,
			  const char *host, const char *text)
{
	AUTO_BUF connection = BUF_NONE;
	AUTO_BUF network = BUF_NONE;

	stranger_keys(kind, host, text, &connection, &network);
	pthread_mutex_lock(&crowd->lock);
	leave(crowd->strangers, buf_view(&connection));
	if (crowd->most)
		leave(crowd->strangers, buf_view(&network));
	pthread_mutex_unlock(&crowd->lock);
}

size_t crowd_count(struct crowd *crowd)
{
	size_t n;

	pthread_mutex_lock(&crowd->lock);
	n = map_count(crowd->guests);
	pthread_mutex_unlock(&crowd->lock);
	return n;
}
