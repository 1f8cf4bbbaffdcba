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

static bool enter(struct crowd *crowd, struct str who)
{
	struct guest *g = map_get(crowd->guests, who);

	if (g && g->n >= crowd->most)
		return false;
	if (!g) {
		g = NEW(struct guest);
		map_put(crowd->guests, who, g);
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
	is_in = enter(crowd, who);
	pthread_mutex_unlock(&crowd->lock);
	return is_in;
}

static void leave(struct crowd *crowd, struct str who)
{
	struct guest *g = map_get(crowd->guests, who);

	must(g && g->n > 0);
	if (--g->n > 0)
		return;
	map_del(crowd->guests, who);
	free(g);
}

void crowd_leave(struct crowd *crowd, struct str who)
{
	if (crowd->most == 0)
		return;
	pthread_mutex_lock(&crowd->lock);
	leave(crowd, who);
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

size_t crowd_count(struct crowd *crowd)
{
	size_t n;

	pthread_mutex_lock(&crowd->lock);
	n = map_count(crowd->guests);
	pthread_mutex_unlock(&crowd->lock);
	return n;
}
