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
	map_free(&crowd->guests);
	pthread_mutex_destroy(&crowd->lock);
	free(crowd);
}

static bool enter(struct crowd *crowd, struct str network)
{
	struct guest *g = map_get(crowd->guests, network);

	if (g && g->n >= crowd->most)
		return false;
	if (!g) {
		g = NEW(struct guest);
		map_put(crowd->guests, network, g);
	}
	g->n++;
	return true;
}

bool crowd_enter(struct crowd *crowd, const char *host)
{
	AUTO_BUF network = BUF_NONE;
	bool is_in;

	if (crowd->most == 0)
		return true;
	limits_network(&network, host);
	pthread_mutex_lock(&crowd->lock);
	is_in = enter(crowd, buf_view(&network));
	pthread_mutex_unlock(&crowd->lock);
	return is_in;
}

static void leave(struct crowd *crowd, struct str network)
{
	struct guest *g = map_get(crowd->guests, network);

	must(g && g->n > 0);
	if (--g->n > 0)
		return;
	map_del(crowd->guests, network);
	free(g);
}

void crowd_leave(struct crowd *crowd, const char *host)
{
	AUTO_BUF network = BUF_NONE;

	if (crowd->most == 0)
		return;
	limits_network(&network, host);
	pthread_mutex_lock(&crowd->lock);
	leave(crowd, buf_view(&network));
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
