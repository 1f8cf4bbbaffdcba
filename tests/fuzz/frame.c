/*
 * Frames of the transport, and what nodes say in them.  The stream is taken
 * apart as one piece and in small ones, which must make no difference; a frame
 * that is accepted is made again from its content; what a control message says
 * is the same after a round.
 */
#include <stdint.h>

#include "net/frame.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES 4096u

static void round_of_control(struct str content)
{
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct control c, back;
	struct str view;

	if (control_decode(content, &c, NULL))
		return;
	control_add(&once, &c);
	view = str_from(buf_view(&once), FRAME_HEAD);
	must(control_decode(view, &back, NULL) == OK);
	control_add(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
	must(back.type == c.type);
}

/* All that comes of the stream, made again; a mark behind what is bad. */
static void take(struct str bytes, size_t piece, struct buf *out)
{
	struct frames f = { 0 };
	struct frame frame;
	enum frame_step step = FRAME_MORE;

	while (bytes.n && step != FRAME_BAD) {
		struct str in = str_first(bytes, piece);

		bytes = str_from(bytes, piece);
		while ((step = frames_next(&f, MAX_BYTES, &in, &frame, NULL)) ==
		       FRAME_ONE) {
			must(frame.content.n <= MAX_BYTES);
			must(frame.channel < NET__CHANNELS);
			frame_add(out, frame.channel, frame.content);
			if (frame.channel == FRAME_CONTROL)
				round_of_control(frame.content);
		}
		must(step == FRAME_BAD || in.n == 0);
		must(f.part.n <= FRAME_HEAD + MAX_BYTES);
	}
	if (step == FRAME_BAD)
		buf_z(out, "bad");
	frames_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF whole = BUF_NONE;
	AUTO_BUF pieces = BUF_NONE;
	AUTO_BUF stream = BUF_NONE;
	struct str bytes = str_n(data, size);

	if (size == 0)
		return 0;
	round_of_control(bytes);
	/* The first byte is the size of the pieces; the magic is given, or the
	 * search would have to find it. */
	buf_str(&stream, FRAME_MAGIC);
	buf_str(&stream, str_from(bytes, 1));
	take(buf_view(&stream), stream.n, &whole);
	take(buf_view(&stream), 1u + data[0], &pieces);
	must(str_eq(buf_view(&whole), buf_view(&pieces)));
	/* What was accepted lies at the beginning of what came. */
	if (!str_ends(buf_view(&whole), STR("bad")))
		must(str_starts(str_from(buf_view(&stream), FRAME_MAGIC.n),
				buf_view(&whole)));
	take(str_from(bytes, 1), size, &pieces);
	return 0;
}
