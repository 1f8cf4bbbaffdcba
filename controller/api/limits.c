/* See limits.h. */
#include "api/limits.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

#include "base/banned.h"

#define SETS 512u
#define WAYS 8u
#define KNOWN 4096u
#define LOCKS 16u
#define NS_PER_S UINT64_C(1000000000)

struct bucket {
	_Atomic uint64_t key;            /* 0: none */
	_Atomic uint64_t full_ns;        /* when it is full again */
};

struct set {
	struct bucket ways[WAYS];
	struct bucket rest;              /* whoever found no way */
};

struct table {
	uint64_t every_ns;               /* a request; 0: no limit */
	uint64_t room_ns;                /* the whole burst */
	uint64_t burst;
	_Atomic uint64_t refused;
	struct set *sets;
	pthread_mutex_t locks[LOCKS];    /* who comes and goes in a set */
};

struct limits {
	struct table tables[LIMIT__COUNT];
	uint64_t seed[2];
	_Atomic uint64_t known[KNOWN];
};

static const char *const names[LIMIT__COUNT] = {
	[LIMIT_SUBJECT] = "subject", [LIMIT_TENANT] = "tenant",
	[LIMIT_ADDRESS] = "address",
};

/* ---- life ---- */

static void table_init(struct table *t, const struct limits_rate *rate)
{
	if (rate->rate == 0)
		return;
	must(rate->burst > 0 && rate->rate <= NS_PER_S);
	t->burst = rate->burst;
	t->every_ns = NS_PER_S * MAX(rate->period_s, 1u) / rate->rate;
	t->room_ns = t->every_ns * rate->burst;
	t->sets = mem_zero(SETS * sizeof(*t->sets));
	for (unsigned i = 0; i < LOCKS; i++)
		must(pthread_mutex_init(&t->locks[i], NULL) == 0);
}

struct limits *limits_new(const struct limits_rate rates[LIMIT__COUNT])
{
	struct limits *l = NEW(struct limits);

	rand_bytes(l->seed, sizeof(l->seed));
	for (unsigned i = 0; i < LIMIT__COUNT; i++)
		table_init(&l->tables[i], &rates[i]);
	return l;
}

void limits_free(struct limits **at)
{
	struct limits *l = TAKE(*at);

	if (!l)
		return;
	for (unsigned i = 0; i < LIMIT__COUNT; i++) {
		struct table *t = &l->tables[i];

		for (unsigned j = 0; j < LOCKS && t->sets; j++)
			pthread_mutex_destroy(&t->locks[j]);
		free(t->sets);
	}
	free(l);
}

/* ---- buckets ---- */

/* One that is taken by another at this moment counts a request for that one:
 * nobody gains by it. */
static bool take(struct table *t, struct bucket *b, uint64_t now,
		 bool only_looks, uint64_t *wait)
{
	uint64_t was = atomic_load_explicit(&b->full_ns, memory_order_relaxed);
	uint64_t then;

	do {
		then = MAX(was, now) + t->every_ns;
		if (then - now > t->room_ns) {
			*wait = then - now - t->room_ns;
			return false;
		}
	} while (!only_looks && !atomic_compare_exchange_weak(&b->full_ns, &was,
							      then));
	*wait = 0;
	return true;
}

static struct bucket *find(struct set *set, uint64_t key)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (atomic_load_explicit(&set->ways[i].key,
					 memory_order_acquire) == key)
			return &set->ways[i];
	return NULL;
}

/* The one that has been full for the longest; NULL: all are in use. */
static struct bucket *unused(struct set *set, uint64_t now)
{
	struct bucket *oldest = NULL;
	uint64_t least = now + 1;

	for (unsigned i = 0; i < WAYS; i++) {
		struct bucket *b = &set->ways[i];
		uint64_t full = atomic_load_explicit(&b->full_ns,
						     memory_order_relaxed);

		if (full < least) {
			least = full;
			oldest = b;
		}
	}
	return oldest;
}

static struct bucket *come(struct table *t, unsigned at, uint64_t key,
			   uint64_t now)
{
	pthread_mutex_t *lock = &t->locks[at % LOCKS];
	struct set *set = &t->sets[at];
	struct bucket *b;

	pthread_mutex_lock(lock);
	b = find(set, key);
	if (!b) {
		b = unused(set, now);
		if (b) {
			atomic_store(&b->full_ns, 0);
			atomic_store_explicit(&b->key, key, memory_order_release);
		}
	}
	pthread_mutex_unlock(lock);
	return b ? b : &set->rest;
}

static uint64_t key_of(const struct limits *l, struct str who)
{
	uint64_t key = map_siphash13(l->seed, who);

	return key ? key : 1;
}

static bool ask(struct limits *l, enum limit_of of, struct str who,
		uint64_t now, bool only_looks, uint64_t *wait)
{
	struct table *t = &l->tables[of];
	struct bucket *b;
	uint64_t key;

	*wait = 0;
	if (!t->sets)
		return true;
	key = key_of(l, who);
	b = find(&t->sets[key % SETS], key);
	/* Who has no bucket has a full one, or the one that is shared. */
	if (!b && only_looks)
		b = unused(&t->sets[key % SETS], now) ?
			    NULL : &t->sets[key % SETS].rest;
	else if (!b)
		b = come(t, (unsigned)(key % SETS), key, now);
	if (!b || take(t, b, now, only_looks, wait))
		return true;
	atomic_fetch_add_explicit(&t->refused, 1, memory_order_relaxed);
	return false;
}

bool limits_take(struct limits *l, enum limit_of of, struct str who,
		 uint64_t now_ns, uint64_t *wait_ns)
{
	return ask(l, of, who, now_ns, false, wait_ns);
}

bool limits_has(struct limits *l, enum limit_of of, struct str who,
		uint64_t now_ns, uint64_t *wait_ns)
{
	return ask(l, of, who, now_ns, true, wait_ns);
}

bool limits_is_on(const struct limits *l, enum limit_of of)
{
	return l->tables[of].sets != NULL;
}

uint64_t limits_refused(const struct limits *l, enum limit_of of)
{
	return atomic_load_explicit(&l->tables[of].refused, memory_order_relaxed);
}

const char *limits_name(enum limit_of of)
{
	return names[of];
}

unsigned limits_retry_s(uint64_t wait_ns)
{
	uint64_t wait_s = (wait_ns + UINT64_C(999999999)) / UINT64_C(1000000000);

	return (unsigned)MIN(MAX(wait_s, 1u), 86400u);
}

void limits_policy(const struct limits *l, enum limit_of of, struct buf *out)
{
	const struct table *t = &l->tables[of];
	uint64_t window = (t->room_ns + NS_PER_S - 1) / NS_PER_S;

	buf_printf(out, "\"%s\";q=%llu;w=%llu", names[of],
		   (unsigned long long)t->burst, (unsigned long long)window);
}

/* ---- networks and tokens that are known ---- */

void limits_network(struct buf *out, const char *host)
{
	struct str plain = str_first(str_of(host), strcspn(host, "%"));
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (!str_copy(text, sizeof(text), plain) ||
	    inet_pton(AF_INET6, text, &v6) != 1) {
		buf_str(out, plain);
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		buf_z(out, inet_ntop(AF_INET, v6.s6_addr + 12, text, sizeof(text)));
		return;
	}
	if (!IN6_IS_ADDR_LOOPBACK(&v6))
		memset(v6.s6_addr + 8, 0, 8);
	buf_z(out, inet_ntop(AF_INET6, &v6, text, sizeof(text)));
	buf_z(out, "/64");
}

static uint64_t known_key(const struct limits *l, struct str token,
			  struct str network)
{
	const uint64_t both[2] = { key_of(l, network), l->seed[0] };
	uint64_t key = map_siphash13(both, token);

	return key ? key : 1;
}

void limits_know(struct limits *l, struct str token, struct str network)
{
	uint64_t key = known_key(l, token, network);

	atomic_store_explicit(&l->known[key % KNOWN], key, memory_order_relaxed);
}

bool limits_knows(const struct limits *l, struct str token, struct str network)
{
	uint64_t key = known_key(l, token, network);

	return atomic_load_explicit(&l->known[key % KNOWN],
				    memory_order_relaxed) == key;
}
