/* Events of a node, on their way to its owner: see raftcore/events.h. */
#include "base/mem.h"
#include "node/driver.h"

#include "base/banned.h"

struct happening {
	struct errand errand;
	struct rc_event event;
	struct err err;
	struct engine_member *from;      /* the addresses are in here */
	struct rc_event_member members[];
};

const char *rc_event_name(enum rc_event_type type)
{
	static const char *const names[] = {
		[RC_EVENT_MEMBERS] = "members",
		[RC_EVENT_CHECKPOINT] = "checkpoint",
		[RC_EVENT_CHECKPOINT_FAILED] = "checkpoint-failed",
		[RC_EVENT_INSTALLED] = "installed",
		[RC_EVENT_PEER_UP] = "peer-up",
		[RC_EVENT_PEER_DOWN] = "peer-down",
	};

	return type < ARRAY_LEN(names) && names[type] ? names[type] : "unknown";
}

static void tell(struct rc_node *n, struct errand *errand)
{
	struct happening *h = container_of(errand, struct happening, errand);

	if (!node_has_ended(n))
		n->config.on_event(n->config.data, &h->event);
	free(h->from);
	free(h);
}

static struct happening *happening_new(enum rc_event_type type, size_t members)
{
	struct happening *h = mem_zero(sizeof(*h) +
				       members * sizeof(h->members[0]));

	h->errand.run = tell;
	h->event.type = type;
	h->event.members = h->members;
	h->event.n_members = members;
	return h;
}

void event_tell(struct rc_node *n, enum rc_event_type type, uint64_t index,
		uint64_t peer, const struct err *err)
{
	struct happening *h;

	if (!n->config.on_event)
		return;
	h = happening_new(type, 0);
	h->event.index = index;
	h->event.peer = peer;
	if (err) {
		err_copy(&h->err, err);
		h->event.err = &h->err;
	}
	errands_put_sure(&n->to_apply, &h->errand);
}

void event_members(struct rc_node *n, uint64_t index,
		   const struct engine_member *members, size_t count)
{
	struct happening *h;

	if (!n->config.on_event)
		return;
	h = happening_new(RC_EVENT_MEMBERS, count);
	h->event.index = index;
	h->from = (struct engine_member *)mem_dup(members, count * sizeof(*members));
	for (size_t i = 0; i < count; i++)
		h->members[i] = (struct rc_event_member){
			h->from[i].id, h->from[i].address, h->from[i].votes };
	errands_put_sure(&n->to_apply, &h->errand);
}
