/* Watches as streams of HTTP/2, over nghttp2: see watchers.h. */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "watchers.h"

#include "base/banned.h"

#define WINDOW (1 << 30)
/* Streams of a connection that open at once: a server refuses who asks for more than
 * it can do. */
#define OPENING 16

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n,
		       int flags, void *data)
{
	struct socket *s = data;

	(void)session, (void)flags;
	buf_add(&s->out, p, n);
	return (ssize_t)n;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
		   const uint8_t *p, size_t n, void *data)
{
	struct watch *w = nghttp2_session_get_stream_user_data(session, stream);

	(void)flags, (void)data;
	watch_take(w, (const char *)p, n);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t n_name, const uint8_t *value,
		     size_t n_value, uint8_t flags, void *data)
{
	(void)session, (void)frame, (void)flags, (void)data;
	if (n_name == 7 && memcmp(name, ":status", 7) == 0 &&
	    (n_value != 3 || memcmp(value, "200", 3) != 0))
		die("a stream was answered %.*s", (int)n_value, value);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code,
		    void *data)
{
	(void)session, (void)data;
	die("stream %d ended with code %u", stream, code);
}

#define NV(name, value) \
	{ (uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), \
	  NGHTTP2_NV_FLAG_NONE }

static void ask(struct socket *s, struct watch *w)
{
	AUTO_BUF path = BUF_NONE;
	AUTO_BUF token = BUF_NONE;

	buf_z(&path, load.path);
	if (w->id)
		buf_printf(&path, "%ssince=%llu",
			   strchr(load.path, '?') ? "&" : "?",
			   (unsigned long long)w->id);
	buf_printf(&token, "Bearer %s", load.token ? load.token : "");
	nghttp2_nv head[] = {
		NV(":method", "GET"),
		NV(":scheme", load.tls ? "https" : "http"),
		NV(":authority", "bench"),
		NV(":path", path.p),
		NV("accept", "text/event-stream"),
		NV("authorization", token.p),
	};

	w->stream = nghttp2_submit_request(s->session, NULL, head, 6, NULL, w);
	if (w->stream < 0)
		die("%s", nghttp2_strerror(w->stream));
}

/* In the order of the watches, so the first ones are open first. */
static void ask_more(struct socket *s)
{
	unsigned open = 0;

	while (s->n_open < s->n_asked && s->watches[s->n_open].is_open)
		s->n_open++;
	for (unsigned i = s->n_open; i < s->n_asked; i++)
		open += s->watches[i].is_open;
	while (s->n_asked < s->n_watches && s->n_asked - s->n_open - open < OPENING)
		ask(s, &s->watches[s->n_asked++]);
}

static void send_all(struct socket *s)
{
	int rc = nghttp2_session_send(s->session);

	if (rc)
		die("%s", nghttp2_strerror(rc));
	socket_flush(s);
}

void h2_begin(struct socket *s)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	nghttp2_session_callbacks *calls;
	nghttp2_session *session;

	if (nghttp2_session_callbacks_new(&calls))
		die("no memory");
	nghttp2_session_callbacks_set_send_callback(calls, on_send);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
	nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
	nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
	if (nghttp2_session_client_new(&session, calls, s))
		die("no memory");
	nghttp2_session_callbacks_del(calls);
	s->session = session;
	nghttp2_submit_settings(session, 0, settings, 2);
	nghttp2_session_set_local_window_size(session, 0, 0, WINDOW);
	s->n_asked = s->n_open = 0;
	ask_more(s);
	send_all(s);
}

void h2_take(struct socket *s, const char *p, size_t n)
{
	ssize_t rc = nghttp2_session_mem_recv(s->session, (const uint8_t *)p, n);

	if (rc < 0)
		die("%s", nghttp2_strerror((int)rc));
	ask_more(s);
	send_all(s);
}

void h2_end(struct socket *s)
{
	nghttp2_session_del(s->session);
	s->session = NULL;
}
