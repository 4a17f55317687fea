/* The session's inside, for the files that implement it: session/session.c (life and
 * input), session/header.c, session/tls.c, session/transport.c,
 * session/xclient.c, session/commands.c, session/transaction.c, session/recipient.c. */
#ifndef PROXY_SESSION_PRIVATE_H
#define PROXY_SESSION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/haproxy.h"
#include "lib/list.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/smtp/xclient.h"
#include "lib/str.h"
#include "lib/stream.h"
#include "passdb/passdb.h"
#include "proxy/session/id.h"
#include "proxy/session/session.h"
#include "proxy/settings/settings.h"
#include "proxy/worker/worker.h"

enum session_state {
	SESSION_HEADER, /* the PROXY header comes first */
	SESSION_COMMANDS,
	SESSION_BODY,  /* the client sends a message, or a chunk of one */
	SESSION_SKIP,  /* the client sends a chunk that nobody wants */
	SESSION_FINAL, /* the message is complete, outcomes are coming in */
	SESSION_HANDSHAKE, /* TLS begins */
	SESSION_LEAVING, /* over, but the last replies have not left */
	SESSION_CLOSED,
};

struct session {
	struct list node; /* on worker->sessions; first, see session/session.h */
	struct worker *worker;
	struct worker_view *view;
	const struct lmtp_settings *set;
	struct loop *loop;
	uint64_t start_us;
	struct stream *stream;
	struct loop_timer timer;
	struct loop_task task; /* session_continue(), then release */
	unsigned flags; /* enum listener_flag */
	const char *id; /* own_id, or what XCLIENT said */
	char own_id[SESSION_ID_SIZE];
	struct log_ctx log;
	struct passdb_client client;
	bool trusted; /* in login_trusted_networks */
	bool has_rawlog;
	const struct smtp_xclient *xclient; /* what it said, if trusted */
	struct arena *xclient_arena; /* where that lives; NULL: nothing */
	const struct haproxy_header *header; /* NULL: none came */
	struct arena *header_arena;

	enum session_state state;
	struct str in;	   /* input not used yet */
	bool skip_line;	   /* in the middle of a line that is too long */
	bool skip_bdat;	   /* which began with BDAT */
	bool waiting;	   /* its first line waits for the replies owed */
	bool eof;	   /* the client sends nothing more */
	bool stopping;	   /* end after the transaction */
	bool retiring;	   /* that is, after its first one */
	bool secured;	   /* by TLS */
	unsigned read_out_ms; /* after the last reply; 0: the client ended it */
	unsigned bad_commands; /* in a row */
	uint64_t skip;	   /* bytes of the unwanted chunk still to come */
	char *helo;	   /* LHLO's argument; NULL: none yet */

	struct list slots; /* struct recipient.slot: replies owed, in order */
	struct transaction *trans;
	unsigned trans_count;
};

/* The client is there, with its addresses and settings: greets it. */
void session_welcome(struct session *session);

/* The addresses of the connection, from which XCLIENT may depart. */
void session_set_addrs(struct session *session, const struct addr *local,
		       const struct addr *remote);

/* Gives it the settings for its connection, and for the name that the client
 * asked for (SNI; NULL: none). */
void session_bind_settings(struct session *session, const char *name);

/* "220 <hostname> <login_greeting>". */
void session_greet(struct session *session);

/* Closes the connection without a word to the client. */
void session_drop(struct session *session, const char *reason);

/* Writes a reply that is due now (nothing else is owed). enhanced: "2.0.0 ",
 * or "" for a reply without. */
void session_reply(struct session *session, int code, const char *enhanced,
		   const char *text);

/* The same for a command that the client should not have sent: too many in a
 * row end the session. */
void session_reply_bad(struct session *session, int code, const char *enhanced,
		       const char *text);

/* Some recipient's reply can be sent: done at the end of the pass. */
void session_reply_ready(struct session *session);

/* From now on it is the client's turn: its time starts again. */
void session_client_turn(struct session *session);

/* The next size bytes are a chunk that is not wanted, and no commands. */
void session_skip(struct session *session, uint64_t size);

/* There is room for more of the message again. */
void session_resume(struct session *session);

/* The message that the client sends, or a chunk of it, is complete. */
void session_body_done(struct session *session);

/* Ends the session, once its last replies have left. reason is for the log. */
void session_end(struct session *session, const char *reason);

/* The same in the middle of what the client says. */
void session_break_off(struct session *session, const char *reason);

/* --- session/header.c --- */

/* A connection to a listener with haproxy = yes: waits for the header, then
 * calls session_welcome(); or drops it. */
void session_header_expect(struct session *session);

/* Reads on when there is input in SESSION_HEADER. */
void session_header_read(struct session *session);

/* --- session/commands.c --- */

enum command_result {
	COMMAND_DONE,
	COMMAND_WAIT, /* once all replies owed are out, call again */
};

/* Carries out one line without its line end. */
enum command_result command_run(struct session *session, const char *line,
				size_t len);

#endif
