/* See stranger.h. */
#include "api/stranger.h"

#include "base/banned.h"

bool stranger_enter(struct request *r, enum crowd_strangers kind)
{
	struct caller *caller = caller_of(r);
	struct err err;

	if (crowd_enter_stranger(caller->at->api->crowd, kind, r->peer->host,
				 r->peer->text))
		return true;
	caller->retry_after_s = CROWD_STRANGERS_S;
	err_set(&err, E_RATE, "your connection or network holds more streams open "
		"without a token than it may");
	err_hint(&err, "close some, or come with a token; a connection has %u, and an "
		 "address as many times that as server.connections_per_address says",
		 CROWD_STRANGERS_CONNECTION);
	api_error(r, &err);
	return false;
}

void stranger_leave(struct api_loop *at, enum crowd_strangers kind,
		    const struct stream_addr *peer)
{
	crowd_leave_stranger(at->api->crowd, kind, peer->host, peer->text);
}
