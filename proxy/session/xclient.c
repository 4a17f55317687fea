#include "proxy/session/xclient.h"

#include <string.h>

#include "lib/domain.h"
#include "lib/mem.h"
#include "proxy/session/private.h"
#include "proxy/session/transport.h"

/* --- what the client says --- */

/* A session without a new id goes on counting its transactions, so that their
 * ids stay apart. */
static void session_xclient_set_id(struct session *session)
{
	const struct smtp_xclient *said = session->xclient;
	bool given = said->set & SMTP_XCLIENT_SESSION;
	const char *id = given ? said->session : session->own_id;

	if (strcmp(id, session->id) != 0)
		session->trans_count = 0;
	session->id = id;
	session->log.text = id;
	session->client.session = id;
}

static void session_xclient_apply(struct session *session)
{
	struct passdb_client *client = &session->client;

	client->remote = client->real_remote;
	client->local = client->real_local;
	smtp_xclient_apply(session->xclient, &client->remote, &client->local);
	mem_free(&session->helo);
	if (session->xclient->set & SMTP_XCLIENT_HELO)
		session->helo = mem_strdup(session->xclient->helo);
	session_transport_update(session);
}

void session_xclient_forget(struct session *session)
{
	session->xclient = &smtp_xclient_nothing;
	session_xclient_set_id(session);
	session_xclient_apply(session);
	arena_free(&session->xclient_arena);
}

/* Returns -1 when the arguments are malformed. Each command has an arena of its
 * own, so that any number of them does not take more memory. */
static int session_xclient_take(struct session *session,
				const struct smtp_command *command,
				struct err *err)
{
	struct arena *arena = arena_new(512), *old = session->xclient_arena;
	struct smtp_xclient *said =
		arena_new_struct(arena, struct smtp_xclient);

	smtp_xclient_copy(arena, said, session->xclient);
	if (smtp_xclient_parse(arena, command->args, command->args_len, said,
			       err) < 0) {
		arena_free(&arena);
		return -1;
	}
	session->xclient = said;
	session->xclient_arena = arena;
	session_xclient_set_id(session);
	session_xclient_apply(session);
	arena_free(&old);
	return 0;
}

/* Lines before and behind may have different ids. */
static void session_xclient_log(const struct session *session)
{
	struct str proxy = STR_INIT, client = STR_INIT;

	addr_write_ip(&proxy, &session->client.real_remote);
	addr_write(&client, &session->client.remote);
	log_info(&session->log, "XCLIENT from %s (%s): the client is %s",
		 str_c(&proxy), session->own_id, str_c(&client));
	str_free(&proxy);
	str_free(&client);
}

void session_xclient_command(struct session *session,
			     const struct smtp_command *command)
{
	struct err err;

	if (session->trans != NULL) {
		session_reply_bad(session, 503, "5.5.0 ", "XCLIENT not "
				  "permitted during a mail transaction");
	} else if (!session->trusted) {
		session_reply_bad(session, 550, "5.7.14 ",
				  "You are not from trusted IP");
	} else if (session_xclient_take(session, command, &err) < 0) {
		session_reply_bad(session, 501, "5.5.4 ", err.text);
	} else {
		session->bad_commands = 0;
		session_xclient_log(session);
		session_greet(session);
	}
}

/* --- what backends are told --- */

bool session_xclient_looping(const struct session *session)
{
	return session->xclient->set & SMTP_XCLIENT_TTL &&
	       session->xclient->ttl == 0;
}

uint32_t session_xclient_ttl(const struct session *session)
{
	const struct smtp_xclient *said = session->xclient;

	if (said->set & SMTP_XCLIENT_TTL)
		return said->ttl > 0 ? said->ttl - 1 : 0;
	return session->set->lmtp_proxy_ttl;
}

static void tell_addr(struct smtp_xclient *xclient, const struct addr *addr,
		      struct addr *member, unsigned attr)
{
	if (addr->len == 0 || addr->sa.sa_family == AF_UNIX)
		return;
	*member = *addr;
	addr_unmap(member);
	addr_set_port(member, 0);
	xclient->set |= attr;
}

static void tell_port(struct smtp_xclient *xclient, const struct addr *addr,
		      uint16_t *member, unsigned attr)
{
	*member = addr_port(addr);
	if (*member != 0)
		xclient->set |= attr;
}

static void tell_text(struct smtp_xclient *xclient, const char *text,
		      const char **member, unsigned attr)
{
	if (text == NULL || strlen(text) > SMTP_XCLIENT_TEXT_MAX)
		return;
	*member = text;
	xclient->set |= attr;
}

/* SMTP servers know nothing of LMTP in front of them: Postfix refuses the
 * word. */
static void tell_proto(struct smtp_xclient *xclient,
		       const struct smtp_xclient *said,
		       const struct remote_target *target)
{
	xclient->proto = said->set & SMTP_XCLIENT_PROTO ? said->proto
							: SMTP_XCLIENT_LMTP;
	if (target->protocol == REMOTE_SMTP &&
	    xclient->proto == SMTP_XCLIENT_LMTP)
		xclient->proto = SMTP_XCLIENT_ESMTP;
	xclient->set |= SMTP_XCLIENT_PROTO;
}

/* Proxies before us know better than we do how the client itself came. */
static void tell_said(struct smtp_xclient *xclient,
		      const struct session *session)
{
	static const unsigned as_said =
		SMTP_XCLIENT_LOGIN | SMTP_XCLIENT_TIMEOUT |
		SMTP_XCLIENT_CLIENT_TRANSPORT | SMTP_XCLIENT_DESTNAME |
		SMTP_XCLIENT_NAME;
	const char *name = session->client.local_name;

	if (session->xclient->set != 0) {
		*xclient = *session->xclient;
		xclient->set &= as_said;
		return;
	}
	tell_text(xclient, session_transport_name(session),
		  &xclient->client_transport, SMTP_XCLIENT_CLIENT_TRANSPORT);
	if (name != NULL && domain_is_valid(name, strlen(name)))
		tell_text(xclient, name, &xclient->dest_name,
			  SMTP_XCLIENT_DESTNAME);
}

const struct smtp_xclient *
session_xclient_tell(const struct session *session, struct arena *arena,
		     const struct remote_target *target,
		     const char *session_id, uint32_t ttl)
{
	const struct smtp_xclient *said = session->xclient;
	const struct passdb_client *client = &session->client;
	struct smtp_xclient *xclient =
		arena_new_struct(arena, struct smtp_xclient);

	tell_said(xclient, session);
	tell_addr(xclient, &client->remote, &xclient->addr,
		  SMTP_XCLIENT_ADDR);
	tell_port(xclient, &client->remote, &xclient->port,
		  SMTP_XCLIENT_PORT);
	tell_addr(xclient, &client->local, &xclient->dest_addr,
		  SMTP_XCLIENT_DESTADDR);
	tell_port(xclient, &client->local, &xclient->dest_port,
		  SMTP_XCLIENT_DESTPORT);
	tell_proto(xclient, said, target);
	tell_text(xclient, said->set & SMTP_XCLIENT_HELO ? said->helo
							 : session->helo,
		  &xclient->helo, SMTP_XCLIENT_HELO);
	tell_text(xclient, session_id, &xclient->session, SMTP_XCLIENT_SESSION);
	xclient->ttl = ttl;
	xclient->set |= SMTP_XCLIENT_TTL;
	return xclient;
}
