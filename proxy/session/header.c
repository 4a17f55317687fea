#include "lib/arena.h"
#include "lib/networks.h"
#include "proxy/session/private.h"

void session_header_expect(struct session *session)
{
	const struct settings *settings = session->view->settings;

	session->state = SESSION_HEADER;
	if (!networks_contain(&settings->haproxy_trusted,
			      &session->client.remote)) {
		session_drop(session, "not in haproxy_trusted_networks");
		return;
	}
	loop_timer_set(&session->timer, settings->haproxy_timeout);
}

static void session_header_take(struct session *session,
				const struct haproxy_header *header)
{
	struct haproxy_header *kept = arena_new_struct(session->header_arena,
						       struct haproxy_header);

	*kept = *header;
	session->header = kept;
	if (!header->local) {
		session_set_addrs(session, &header->dest, &header->source);
		session_bind_settings(session, header->authority);
	}
	str_free(&session->in);
	session_welcome(session);
}

/* Nothing behind the header is read: it may be for TLS. 1: some more is there;
 * 0: not now; -1: the connection was dropped. */
static int session_header_read_some(struct session *session, size_t size)
{
	char buf[512];
	size_t len = size - session->in.len;
	int ret = stream_read(session->stream, buf,
			      len < sizeof(buf) ? len : sizeof(buf), &len);

	if (ret > 0)
		str_append(&session->in, buf, len);
	else if (ret < 0)
		session_drop(session, "no PROXY header");
	return ret;
}

void session_header_read(struct session *session)
{
	struct haproxy_header header;
	struct err err;
	size_t size;
	int ret;

	if (session->header_arena == NULL)
		session->header_arena = arena_new(512);
	do {
		ret = haproxy_parse(session->header_arena,
				    str_c(&session->in), session->in.len,
				    &header, &size, &err);
		if (ret > 0)
			session_header_take(session, &header);
		else if (ret < 0)
			session_drop(session, err.text);
	} while (ret == 0 && session_header_read_some(session, size) > 0);
}
