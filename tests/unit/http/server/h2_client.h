/*
 * A client of HTTP/2 that says frames, one by one and as wrong as wanted, and
 * hears them.  Header blocks are written out by hand (literals without a table);
 * those that come are read by nghttp2's decoder.
 */
#ifndef TESTS_HTTP_SERVER_H2_CLIENT_H
#define TESTS_HTTP_SERVER_H2_CLIENT_H

#include "base/buf.h"
#include "lab.h"

enum {
	T_DATA, T_HEADERS, T_PRIORITY, T_RST, T_SETTINGS, T_PUSH, T_PING,
	T_GOAWAY, T_WINDOW, T_CONTINUATION,
};
enum { F_END_STREAM = 1, F_ACK = 1, F_END_HEADERS = 4 };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct h2_frame {
	unsigned type, flags, id;
	const char *p;                   /* payload, until the next is heard */
	size_t n;
	uint32_t code;                   /* of RST and GOAWAY; increment of WINDOW */
};

/* A new connection that has said preface and empty SETTINGS. */
int h2_new(void);
void h2_close(int fd);

/* ---- what is said ---- */
void h2_frame_put(struct buf *out, unsigned type, unsigned flags, unsigned id,
		  const void *p, size_t n);
void h2_say(int fd, unsigned type, unsigned flags, unsigned id, const void *p,
	    size_t n);
/* One field of a header block. */
void h2_field(struct buf *block, const char *name, const char *value);
/* :method, :path, :scheme, :authority. */
void h2_fields(struct buf *block, const char *method, const char *path);
/* HEADERS in one frame; END_STREAM where 'last'. */
void h2_ask(int fd, unsigned id, const char *method, const char *path, bool last);
void h2_ask_with(int fd, unsigned id, const char *method, const char *path,
		 const char *name, const char *value, bool last);
void h2_data(int fd, unsigned id, const char *text, bool last);
void h2_window(int fd, unsigned id, uint32_t increment);
/* SETTINGS of one value. */
void h2_setting(int fd, unsigned what, uint32_t value);
/* The table of header fields may have so many bytes, and is told so; both sides know
 * when this returns. */
void h2_table(int fd, uint32_t bytes);

/* ---- what is heard ---- */
/* The next frame; false at the end of the connection. */
bool h2_hear(int fd, struct h2_frame *f);
/* The next of that type on that stream; the fields of every header block that is
 * heard meanwhile go to its stream's text, and so does DATA. */
struct h2_frame h2_wait(int fd, unsigned type, unsigned id);
/* Until the stream has ended: "name: value\n"..., "\n", DATA; trailers behind it.
 * A reset reads "reset CODE". */
const char *h2_answer_of(int fd, unsigned id);
/* What has come for it so far. */
const char *h2_text_of(int fd, unsigned id);
/* Until the end of the connection; the code of the last GOAWAY, or UINT32_MAX. */
uint32_t h2_goaway(int fd);

#endif
