/*
 * Requests over HTTP/2 that come again, and answers that are given again
 * (answer_may_repeat): the frames are looked at before nghttp2 gets them.  Only the
 * other files of http/server include it.
 */
#ifndef HTTP_SERVER_H2_REPEAT_H
#define HTTP_SERVER_H2_REPEAT_H

#include <stdint.h>

#include "base/str.h"

struct conn;
struct exchange;
struct h2;
struct h2_repeat;

#define H2_PREFACE_BYTES 24u
#define H2_FRAME_HEAD 9u

/* Where in the frames a connection is.  Begins as H2_FRAMES_BEGIN. */
struct h2_frames {
	struct h2_repeat *repeat;        /* what was asked last; NULL: nothing */
	size_t pass_left, skip_left;     /* of a frame: for nghttp2; for nobody */
	/* Of a frame, as far as it is there; with the four bytes of WINDOW_UPDATE. */
	uint8_t head[H2_FRAME_HEAD + 4];
	uint8_t n_head;
	bool has_asked;
	bool is_in_block;                /* CONTINUATION has to come */
	/* The last stream that nghttp2 was told of, and that was answered here. */
	int32_t passed, given;
	/* How often the table of the one who decodes has moved: ours, the client's. */
	uint32_t ours, theirs;
};
#define H2_FRAMES_BEGIN (struct h2_frames){ .pass_left = H2_PREFACE_BYTES }

/*
 * Takes bytes off the front of '*in' and says which of them nghttp2 gets now; they
 * stay where they are until the next call.  What is asked again is answered, and what
 * is said to a stream that was answered here is taken off; nothing: no more can be
 * told of what came, or it was that.
 */
struct str h2_frames_next(struct h2 *h2, struct str *in);
/* Gives the answer that was given to the same request before; false: it has to be made. */
bool h2_frames_give(struct exchange *ex);
/* The handler of 'ex' runs next; it has returned. */
void h2_frames_handle(struct exchange *ex);
void h2_frames_handled(struct conn *c);
/* Keeps the answer that is about to be given, where its handler has allowed it. */
void h2_frames_keep(struct exchange *ex, const char *content_type, uint64_t length);
/* A frame of nghttp2's that goes to the client, or a part of one. */
void h2_frames_sent(struct h2 *h2, struct str frame);
void h2_frames_fini(struct h2_frames *f);
/* The last stream of the client's that was, or may have been, handled. */
int32_t h2_last_stream(const struct h2 *h2);

#endif
