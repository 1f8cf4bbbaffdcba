/*
 * Acknowledgements come in, and what this node knows of instances goes out
 * (acks.h).  Clients say who they are (X-Conflux-Instance) when they watch, so
 * that it is known which are connected.
 */
#include "api/follow.h"
#include "api/own.h"

#include "base/clock.h"

#include "base/banned.h"

#define LIMIT_DEFAULT 1000u
#define LIMIT_MOST 10000u

/* ---- acknowledgements ---- */

/* Whoever may fetch a configuration may say what came of it. */
static bool may_acknowledge(struct request *r, const struct ack *acks, size_t n)
{
	struct address at;
	struct err err;

	for (size_t i = 0; i < n; i++) {
		must(address_parse(acks[i].key, &at, &err) == OK);
		if (!api_may(r, VERB_FETCH, KIND_CONFIG, at.tenant, at.name))
			return false;
		if (api_may_be(caller_of(r)->at->api, &caller_of(r)->subject,
			       acks[i].instance, &err)) {
			api_error(r, &err);
			return false;
		}
	}
	return true;
}

static bool is_known(struct kv_txn *txn, const struct ack *ack)
{
	struct object_view object;
	struct address at;
	struct err err;

	return address_parse(ack->key, &at, &err) == OK &&
	       view_at(txn, &at, &object, &err) == OK;
}

static struct fleet *fleet_of(const struct api *api)
{
	return api->config.fleet ? fleet_node_fleet(api->config.fleet) : NULL;
}

/* To releases that are under way, and for lists. */
static void tell_fleet(struct api *api, const struct ack *ack)
{
	static const enum fleet_word words[ACK__STATES] = {
		[ACK_RECEIVED] = FLEET_GOT, [ACK_APPLIED] = FLEET_APPLIED,
		[ACK_REJECTED] = FLEET_REFUSED,
	};
	struct fleet_said said = {
		.instance = ack->instance, .key = ack->key,
		.version = ack->version, .word = words[ack->state],
		.reason = ack->reason, .release = release_number(ack->release),
	};

	if (!said.release)
		(void)!str_u64(ack->release, &said.release);
	if (fleet_of(api))
		fleet_said(fleet_of(api), &said, clock_mono_ms());
}

bool instances_take(struct request *r, const struct ack *all, size_t n,
		    size_t *taken)
{
	struct acks *acks = caller_of(r)->at->api->acks;
	struct kv_txn *txn;

	*taken = 0;
	if (!may_acknowledge(r, all, n) || !api_view(r, &txn))
		return false;
	/* One that was deleted meanwhile keeps nobody from acknowledging others. */
	for (size_t i = 0; i < n; i++)
		if (is_known(txn, &all[i])) {
			acks_put(acks, &all[i], clock_wall_ms());
			tell_fleet(caller_of(r)->at->api, &all[i]);
			++*taken;
		}
	if (n == 0 || *taken)
		return true;
	api_fail(r, E_NOT_FOUND, "no configuration \"%.*s\"",
		 STR_ARG(all[0].key));
	return false;
}

void post_acks(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	size_t n, taken;
	struct ack *all;
	struct err err;

	if (acks_parse(r->in->body, r->arena, &all, &n, &err)) {
		err_wrap(&err, "request body");
		api_error(r, &err);
		return;
	}
	if (!instances_take(r, all, n, &taken))
		return;
	buf_printf(&out, "{\"taken\":%zu,\"unknown\":%zu}\n", taken, n - taken);
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- what is known ---- */

struct listing {
	struct buf out;
	uint64_t left, next, now_ms;
	bool has_one, is_full;
};

static bool one_instance(void *data, const struct ack *ack, bool is_connected)
{
	struct listing *l = data;
	char time[RFC3339_MAX];

	if (l->left-- == 0) {
		l->is_full = true;
		return false;
	}
	l->next = ack->seq;
	clock_rfc3339(time, ack->time_ms, true);
	buf_z(&l->out, l->has_one ? ",{" : "{");
	l->has_one = true;
	ack_json(&l->out, ack);
	buf_printf(&l->out, ",\"time\":\"%s\",\"age_ms\":%llu,"
		   "\"connected\":%s,\"seq\":%llu}", time,
		   (unsigned long long)(l->now_ms > ack->time_ms ?
					l->now_ms - ack->time_ms : 0),
		   is_connected ? "true" : "false",
		   (unsigned long long)ack->seq);
	return true;
}

/* False: answered. */
static bool parse_listing(struct request *r, struct acks_query *q,
			  struct listing *l)
{
	const struct str *after = request_query(r, "after");
	const struct str *limit = request_query(r, "limit");
	const struct str *key = request_query(r, "key");
	const struct str *instance = request_query(r, "instance");

	*q = (struct acks_query){ 0 };
	*l = (struct listing){ .left = LIMIT_DEFAULT, .now_ms = clock_wall_ms() };
	if ((after && !str_u64(*after, &q->after)) ||
	    (limit && (!str_u64(*limit, &l->left) || l->left == 0 ||
		       l->left > LIMIT_MOST))) {
		api_fail(r, E_INVALID, "after= is a number, limit= 1 to %u",
			 LIMIT_MOST);
		return false;
	}
	if (key)
		q->key = *key;
	if (instance)
		q->instance = *instance;
	return true;
}

void get_instances(struct request *r)
{
	struct api *api = caller_of(r)->at->api;
	struct store_status status;
	struct acks_query q;
	struct listing l;

	if (!parse_listing(r, &q, &l))
		return;
	q.tenant = caller_of(r)->subject.tenant;
	store_status(api->config.store, &status);
	buf_printf(&l.out, "{\"node\":%llu,\"instances\":[",
		   (unsigned long long)status.node.node_id);
	acks_each(api->acks, &q, one_instance, &l);
	buf_c(&l.out, ']');
	if (l.is_full)
		buf_printf(&l.out, ",\"next\":%llu", (unsigned long long)l.next);
	buf_z(&l.out, "}\n");
	answer(r, 200, "application/json", buf_view(&l.out));
	buf_fini(&l.out);
}

/* ---- who is connected ---- */

void instance_join(struct request *r)
{
	const struct str *h = request_query(r, "instance");
	struct err err;

	if (!h)
		h = request_header(r, "x-conflux-instance");
	if (!h || !ack_instance_is_valid(*h) ||
	    api_may_be(caller_of(r)->at->api, &caller_of(r)->subject, *h, &err))
		return;
	acks_join(caller_of(r)->at->api->acks, *h);
	r->door = *h;
}

void instance_leave(struct request *r)
{
	const struct api_loop *at = r->server_data;

	if (r->door.n)
		acks_leave(at->api->acks, r->door);
}

/* ---- what releases reach ---- */

struct fleet_watch *instance_follow(struct api *api,
				    const struct watch_spec *spec)
{
	struct fleet_spec follows = {
		.instance = spec->client.id, .labels = &spec->client.labels,
		.keys = spec->keys, .n_keys = spec->n_keys,
		.prefixes = spec->prefixes, .n_prefixes = spec->n_prefixes,
	};

	if (!fleet_of(api) || !ack_instance_is_valid(follows.instance))
		return NULL;
	return fleet_join(fleet_of(api), &follows, clock_mono_ms());
}

void instance_unfollow(struct api *api, struct fleet_watch **watch)
{
	if (*watch)
		fleet_leave(fleet_of(api), watch, clock_mono_ms());
}

void instance_sent(struct api *api, struct str id, struct str key,
		   uint32_t version, uint64_t release)
{
	struct fleet_sent sent = { id, key, version, release };

	if (fleet_of(api) && ack_instance_is_valid(id))
		fleet_sent(fleet_of(api), &sent, clock_mono_ms());
}

void instance_fetched(struct api *api, struct str id, const struct address *at,
		      const struct rule *rule)
{
	AUTO_BUF key = BUF_NONE;

	if (!id.n)
		return;
	address_text(&key, at);
	instance_sent(api, id, buf_view(&key), rule->version, rule->release);
}
