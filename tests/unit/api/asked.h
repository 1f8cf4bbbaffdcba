/*
 * Requests that no connection brought: a test calls the handler, sees what is answered,
 * and is the client that reads it or not.  All of http/server that handlers of this part
 * call for them ends here.
 */
#ifndef TESTS_API_ASKED_H
#define TESTS_API_ASKED_H

#include "api/own.h"

struct asked {
	struct request r;                /* its server_data is this */
	struct request_in in;
	struct caller caller;
	struct url_param query[8];
	struct http_header headers[2];
	int status;                      /* 0: not answered yet */
	bool is_stream, is_over;
	size_t unread;                   /* bytes of the stream */
	void (*on_drain)(struct request *r);
	/* The next bytes of a stream, or a whole body. */
	void (*told)(struct asked *a, struct str bytes);
};

/* GET 'path' with that token; 'told', the route's arguments and the query are the
 * test's, before the handler is called. */
void asked_init(struct asked *a, struct api_loop *at, struct str path, struct str token);
void asked_query(struct asked *a, const char *name, struct str value);
/* The client takes what there is. */
void asked_read(struct asked *a);
/* It goes, where the answer is not over yet. */
void asked_leave(struct asked *a);

#endif
