/* Seats: see seats.h. */
#include "source/seats.h"

#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

struct lane {
	struct list at;                  /* of 'ready': it may have a turn */
	struct list waiting;             /* struct seat */
	unsigned running;
	struct str name;                 /* in the map's key */
	char name_[];
};

struct seats {
	unsigned places, of_one, running;
	struct map *lanes;
	struct list ready;
	bool is_starting;
};

struct seats *seats_new(unsigned places, unsigned of_one)
{
	struct seats *t = NEW(struct seats);

	must(places > 0 && of_one > 0);
	t->places = places;
	t->of_one = of_one;
	t->lanes = map_new();
	list_init(&t->ready);
	return t;
}

void seats_free(struct seats **seats)
{
	struct seats *t = *seats;

	if (!t)
		return;
	must(t->running == 0 && map_count(t->lanes) == 0);
	map_free(&t->lanes);
	free(t);
	*seats = NULL;
}

static struct lane *lane_of(struct seats *t, struct str name)
{
	struct lane *lane = map_get(t->lanes, name);

	if (lane)
		return lane;
	lane = mem_zero(sizeof(*lane) + name.n);
	memcpy(lane->name_, name.p, name.n);
	lane->name = str_n(lane->name_, name.n);
	list_init(&lane->at);
	list_init(&lane->waiting);
	map_put(t->lanes, name, lane);
	return lane;
}

/* Where it belongs: at the end of those that may have a turn, where it was not there;
 * nowhere; or gone. */
static void settle(struct seats *t, struct lane *lane)
{
	bool waits = !list_empty(&lane->waiting);

	if (!waits || lane->running >= t->of_one)
		list_remove(&lane->at);
	else if (list_empty(&lane->at))
		list_append(&t->ready, &lane->at);
	if (waits || lane->running)
		return;
	map_del(t->lanes, lane->name);
	free(lane);
}

/* Whoever starts may end at once, or ask for more: that is seen here. */
static void start_some(struct seats *t)
{
	struct lane *lane;

	if (t->is_starting)
		return;
	t->is_starting = true;
	while (t->running < t->places &&
	       (lane = list_first(&t->ready, struct lane, at))) {
		struct seat *seat = list_first(&lane->waiting, struct seat, at_);

		list_remove(&seat->at_);
		list_remove(&lane->at);
		seat->has_started_ = true;
		lane->running++;
		t->running++;
		settle(t, lane);
		seat->start(seat);
	}
	t->is_starting = false;
}

void seat_ask(struct seats *t, struct str name, struct seat *seat)
{
	struct lane *lane = lane_of(t, name);

	must(!seat->lane_);
	seat->seats_ = t;
	seat->lane_ = lane;
	seat->has_started_ = false;
	list_append(&lane->waiting, &seat->at_);
	settle(t, lane);
	start_some(t);
}

void seat_leave(struct seat *seat)
{
	struct seats *t = seat->seats_;
	struct lane *lane = TAKE(seat->lane_);

	if (!lane)
		return;
	if (seat->has_started_) {
		lane->running--;
		t->running--;
	} else {
		list_remove(&seat->at_);
	}
	settle(t, lane);
	start_some(t);
}
