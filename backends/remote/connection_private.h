/* The inside of a connection, for the files that implement it: connection.c
 * (from name lookup to TLS, and input), connection_hello.c (greeting, LHLO or
 * EHLO, STARTTLS, XCLIENT). */
#ifndef BACKENDS_REMOTE_CONNECTION_PRIVATE_H
#define BACKENDS_REMOTE_CONNECTION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/remote/connection.h"
#include "backends/remote/identity.h"
#include "backends/remote/stats.h"
#include "lib/addr.h"
#include "lib/dns.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/smtp/capability.h"
#include "lib/smtp/reply.h"
#include "lib/str.h"
#include "lib/stream.h"

enum connection_state {
	STATE_RESOLVE,
	STATE_CONNECT,
	STATE_HANDSHAKE,
	STATE_GREETING,
	STATE_HELLO, /* LHLO or EHLO sent */
	STATE_HELO,  /* SMTP without extensions */
	STATE_STARTTLS,
	STATE_XCLIENT,
	STATE_READY,
	STATE_CLOSED,
};

struct remote_connection {
	struct loop *loop;
	struct dns *dns;
	const struct remote_target *target;
	const struct remote_settings *settings;
	struct tls_peer **tls;
	struct remote_stats *stats;
	const struct smtp_xclient *xclient;
	const struct remote_connection_events *events;
	void *owner;
	struct str name; /* of the target, under TLS */
	struct log_ctx log;

	struct remote_identity identity;
	struct str xclient_lines; /* commands not sent yet */
	bool introduced; /* XCLIENT was sent, or needs not be */
	bool greeted;	 /* again, in reply to XCLIENT */
	bool established; /* was ready once */
	unsigned renaming; /* replies to come for a rename ahead */
	struct remote_renames *renames; /* the peer's; NULL: no rename */

	enum connection_state state;
	uint64_t phase_us; /* when DNS, connecting or TLS began */
	struct dns_request *dns_request;
	struct connect_request *connect_request;
	struct stream *stream;
	struct smtp_reply_parser parser;
	size_t unread; /* bytes behind the reply being handled */
	struct smtp_capabilities caps;
	struct addr *addrs; /* those of a host name not yet found wanting */
	unsigned addr_count;
	struct addr addr;
	enum remote_error unfit_error; /* of the first address that answered */
	char *unfit;		       /* and why it was of no use; or NULL */
	uint64_t opened_us;
	bool secured; /* by TLS */
	char *mail_reply; /* to the first MAIL; NULL: none yet */
	bool mail_ambiguous; /* messages are answered the same */

	struct loop_timer timer;
	enum remote_error timer_error;
	const char *timer_what;
	struct loop_task task; /* start, then release */
};

/* Every transition; entering a state sends. */
void connection_enter(struct remote_connection *conn,
		      enum connection_state state);

/* Commands can follow. */
void connection_ready(struct remote_connection *conn);

/* No connection, or no longer. */
void connection_lost(struct remote_connection *conn, enum remote_error error,
		     const char *text);

/* The server at this address failed before it was ready: tries the next. */
void connection_unfit(struct remote_connection *conn, enum remote_error error,
		      const char *text);

/* One of the two. */
void connection_failed(struct remote_connection *conn, enum remote_error error,
		       const char *text);

/* --- connection_hello.c --- */

void connection_say(struct remote_connection *conn, const char *verb);
void connection_say_hello(struct remote_connection *conn);

/* The next command of XCLIENT: peers that do not want pipelining are asked one
 * thing at a time. */
void connection_send_xclient(struct remote_connection *conn);

/* A reply before the connection is ready. */
void connection_step(struct remote_connection *conn,
		     const struct smtp_reply *reply);

/* A reply to a rename ahead. Commands that were written for what the peer
 * offered are behind. */
void connection_rename_reply(struct remote_connection *conn,
			     const struct smtp_reply *reply);

#endif
