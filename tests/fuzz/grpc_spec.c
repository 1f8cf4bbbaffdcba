/*
 * From a gRPC message to what is done: whatever was decoded, a watch, a fetch or
 * acknowledgements are refused in words, once, or are just those that were asked for,
 * with places, labels and names that there can be.
 *
 * The first byte says of which method the message is that stands behind the request.
 */
#include "api_world.h"

#include "api/grpc.h"
#include "api/grpc_message.h"
#include "api/listing.h"
#include "gen/proto/conflux.pb-c.h"

#include "base/banned.h"

static struct {
	const struct grpc_method *method;
	const ProtobufCMessage *message;
	void *data;
	void (*gone)(struct grpc_call *call);
	unsigned done;
} asked;

/* Nobody looks into it. */
static struct grpc_call *const call = (struct grpc_call *)&asked;

/* ---- the call ---- */

void __wrap_grpc_serve(struct request *r, const struct grpc_method *method);
struct request *__wrap_grpc_request(const struct grpc_call *of);
void __wrap_grpc_fail(struct grpc_call *of, const struct err *err);
void __wrap_grpc_set(struct grpc_call *of, void *data, void (*gone)(struct grpc_call *));
void *__wrap_grpc_data(const struct grpc_call *of);
void __wrap_grpc_on_drain(struct grpc_call *of, void (*drained)(struct grpc_call *));
void __wrap_grpc_reply(struct grpc_call *of, const ProtobufCMessage *m);
void __wrap_grpc_forget(struct grpc_call *of);

void __wrap_grpc_serve(struct request *r, const struct grpc_method *method)
{
	asked.method = method;
}

struct request *__wrap_grpc_request(const struct grpc_call *of)
{
	return &now.r;
}

void __wrap_grpc_fail(struct grpc_call *of, const struct err *err)
{
	__wrap_answer_error(&now.r, err);
}

void __wrap_grpc_set(struct grpc_call *of, void *data, void (*gone)(struct grpc_call *))
{
	asked.data = data;
	asked.gone = gone;
}

void *__wrap_grpc_data(const struct grpc_call *of)
{
	return asked.data;
}

void __wrap_grpc_on_drain(struct grpc_call *of, void (*drained)(struct grpc_call *))
{
}

void __wrap_grpc_reply(struct grpc_call *of, const ProtobufCMessage *m)
{
	must(asked.done == 1 && now.status == 0);
}

void __wrap_grpc_forget(struct grpc_call *of)
{
	must(asked.done == 1);
}

/* ---- watches ---- */

enum code __wrap_watcher_start(struct watcher *w, struct api_loop *loop,
			       const struct watch_spec *spec,
			       const struct watcher_ops *ops, struct err *err);
void __wrap_watcher_stop(struct watcher *w);
enum code __wrap_listing_new(struct api_loop *loop, const struct watch_spec *spec,
			     struct watch_owner *owner,
			     const struct listing_ops *ops, void *data,
			     struct listing **out, uint64_t *rev, struct err *err);
void __wrap_listing_go(struct listing *l);
void __wrap_listing_stop(struct listing **l);

/* The last of a name counts, and goes before what the metadata says. */
static void must_have_labels(const struct client *client,
			     const struct grpc_label *const *given, size_t n)
{
	must_be_labels(&client->labels);
	must(!client->id.n || ack_instance_is_valid(client->id));
	for (size_t i = n; i-- > 0;) {
		struct str key = str_of(given[i]->key);
		bool is_last = true;

		for (size_t k = i + 1; k < n; k++)
			is_last &= !str_eq(key, str_of(given[k]->key));
		if (is_last)
			must(str_eq(*labels_get(&client->labels, key),
				    str_of(given[i]->value)));
	}
}

static void must_be_watched(const struct watch_spec *spec, bool from_now)
{
	const Conflux__V1__WatchRequest *q = (const void *)asked.message;

	must(now.status == 0 && asked.done++ == 0);
	must_be_places(spec);
	must(spec->n_keys == q->n_addresses && spec->n_prefixes == q->n_prefixes);
	must(spec->n_keys + spec->n_prefixes > 0);
	for (size_t i = 0; i < spec->n_keys; i++) {
		must(str_eq(spec->keys[i].tenant, str_of(q->addresses[i]->tenant)));
		must(str_eq(spec->keys[i].name, str_of(q->addresses[i]->name)));
	}
	must(from_now == (q->since || q->from_now) && !(q->since && q->from_now));
	must(spec->has_since == (q->since != 0) && spec->since == q->since);
	must_have_labels(&spec->client, GRPC_LABELS(q));
}

enum code __wrap_watcher_start(struct watcher *w, struct api_loop *loop,
			       const struct watch_spec *spec,
			       const struct watcher_ops *ops, struct err *err)
{
	must_be_watched(spec, true);
	return OK;
}

void __wrap_watcher_stop(struct watcher *w)
{
}

enum code __wrap_listing_new(struct api_loop *loop, const struct watch_spec *spec,
			     struct watch_owner *owner,
			     const struct listing_ops *ops, void *data,
			     struct listing **out, uint64_t *rev, struct err *err)
{
	must_be_watched(spec, false);
	*out = NULL;
	*rev = 17;
	return OK;
}

void __wrap_listing_go(struct listing *l)
{
}

void __wrap_listing_stop(struct listing **l)
{
}

/* ---- fetches, and what is said of them ---- */

void __wrap_api_when(struct request *r, uint64_t min_rev, bool is_linearizable,
		     route_handler *then);
bool __wrap_instances_take(struct request *r, const struct ack *all, size_t n,
			   size_t *taken);

/* What fetching begins with (grpc_config.c). */
struct fetching {
	const Conflux__V1__FetchConfigRequest *q;
	struct address at;
	struct client client;
};

void __wrap_api_when(struct request *r, uint64_t min_rev, bool is_linearizable,
		     route_handler *then)
{
	const Conflux__V1__FetchConfigRequest *q = (const void *)asked.message;
	const struct fetching *f = asked.data;
	struct err err;

	must(now.status == 0 && asked.done++ == 0 && f->q == q && then);
	must(min_rev == q->min_revision && is_linearizable == !!q->linearizable);
	must(address_check(&f->at, &err) == OK);
	must(q->if_not_sha256.len == 0 || q->if_not_sha256.len == 32);
	must_have_labels(&f->client, GRPC_LABELS(q));
}

bool __wrap_instances_take(struct request *r, const struct ack *all, size_t n,
			   size_t *taken)
{
	const Conflux__V1__AcknowledgeRequest *q = (const void *)asked.message;
	struct address at;
	struct err err;

	must(now.status == 0 && asked.done++ == 0);
	must(n == q->n_acknowledgements && n <= ACKS_A_REQUEST);
	for (size_t i = 0; i < n; i++) {
		const Conflux__V1__Acknowledgement *a = q->acknowledgements[i];

		must(ack_check(&all[i], &err) == OK);
		must(address_parse(all[i].key, &at, &err) == OK);
		must(str_eq(at.name, str_of(a->address->name)));
		must(all[i].version == a->version);
		must(memcmp(all[i].sha.b, a->sha256.data, 32) == 0);
		must((all[i].state == ACK_REJECTED) ==
		     (a->state == CONFLUX__V1__ACKNOWLEDGEMENT__STATE__REJECTED));
		must((all[i].state == ACK_APPLIED) ==
		     (a->state == CONFLUX__V1__ACKNOWLEDGEMENT__STATE__APPLIED));
	}
	*taken = n;
	return true;
}

/* ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_open();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static route_handler *const methods[] = { grpc_watch, grpc_fetch_config,
						  grpc_acknowledge };
	AUTO_ARENA arena = arena_new(0);
	struct str in = str_n(data, size);
	struct err err;

	if (size < 1 || size > 16384)
		return 0;
	in = str_from(in, 1);
	if (!world_request(&in, arena))
		return 0;
	memset(&asked, 0, sizeof(asked));
	methods[data[0] % ARRAY_LEN(methods)](&now.r);
	must(asked.method && in.n <= asked.method->bytes_max);
	if (grpc_take_message(asked.method->request, in, arena, &asked.message, &err))
		return 0;
	asked.method->message(call, asked.message);
	must(asked.done + (now.status != 0) == 1);
	if (asked.gone)
		asked.gone(call);
	return 0;
}
