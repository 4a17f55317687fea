/* One connection to an LMTP or SMTP server, from name lookup to the reply to
 * LHLO or EHLO; then a pipe for commands and replies whose meaning its owner
 * knows. Private to backends/remote. */
#ifndef BACKENDS_REMOTE_CONNECTION_H
#define BACKENDS_REMOTE_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/remote/transaction.h"
#include "lib/dns.h"
#include "lib/loop.h"
#include "lib/smtp/capability.h"
#include "lib/smtp/reply.h"
#include "lib/smtp/xclient.h"
#include "lib/stream.h"
#include "lib/tls/peer.h"

struct remote_connection;
struct remote_stats;

/* What the owner hears. Never called inside a call of this module; each may
 * close the connection or hand it to another owner. */
struct remote_connection_events {
	/* After remote_connection_open(), or remote_connection_rename(). */
	void (*ready)(void *owner);
	void (*reply)(void *owner, const struct smtp_reply *reply);
	/* The socket takes more, after stream_want_write(). */
	void (*writable)(void *owner);
	/* No connection, or no longer; close it. */
	void (*lost)(void *owner, const struct remote_failure *failure);
};

/* What a connection, and whom its peer was told of with XCLIENT, is to a
 * transaction. */
enum remote_fit {
	REMOTE_FIT_NOT,	   /* the peer would take it for somebody else's */
	REMOTE_FIT_RENAME, /* once the peer is told who it is for */
	REMOTE_FIT_AS_IS,
};

/* What is known of a peer that was told of another client: whether it took
 * that, or refused it. The second is for good. */
struct remote_renames {
	bool taken, refused;
};

/* Starts connecting. If the peer offers XCLIENT, it is told who the client is
 * (xclient; NULL: nobody), then asked again what it offers. target, settings
 * xclient and tls are used until ready() or lost(). tls is where the target's
 * TLS sessions are kept (*tls NULL: not made yet); stats, where the phases are
 * counted, outlives the connection. */
struct remote_connection *
remote_connection_open(struct loop *loop, struct dns *dns,
		       const struct remote_target *target,
		       const struct remote_settings *settings,
		       struct tls_peer **tls, struct remote_stats *stats,
		       const struct smtp_xclient *xclient,
		       const struct remote_connection_events *events,
		       void *owner);

/* Whether a connection that is ready is one for xclient (NULL: nobody), as far
 * as its peer's renames are known. */
enum remote_fit remote_connection_fit(const struct remote_connection *conn,
				      const struct smtp_xclient *xclient,
				      const struct remote_renames *renames);

/* Whether the peer was told any of attrs (enum smtp_xclient_attr). */
bool remote_connection_was_told(const struct remote_connection *conn,
				unsigned attrs);

/* Tells the peer of another client than before. Ahead: everything is queued,
 * further commands may follow, and if the peer refuses lost() is called with
 * REMOTE_ERROR_XCLIENT before any reply to these is heard. Else one step at a
 * time; then ready() or lost() is called. What comes of it is put into *renames,
 * which lives as long as the connection. settings and xclient as above. */
void remote_connection_rename(struct remote_connection *conn,
			      const struct remote_settings *settings,
			      const struct smtp_xclient *xclient,
			      struct remote_renames *renames, bool ahead);

/* Closes the socket at once, with no further word to the peer but what was
 * queued; memory goes at the end of the pass. Clears the pointer, NULL is
 * fine. */
void remote_connection_close(struct remote_connection **conn);

void remote_connection_set_owner(struct remote_connection *conn,
				 const struct remote_connection_events *events,
				 void *owner);

/* Gives the peer ms milliseconds; then lost() is called with that error. 0: as
 * long as it likes. The time starts again with each call. */
void remote_connection_expect(struct remote_connection *conn, unsigned ms,
			      enum remote_error error, const char *what);

/* Whether everything that the peer sent so far was read and understood: no
 * part of a reply, no reply behind the one being handled; and no reply of
 * remote_connection_rename() is owed. */
bool remote_connection_drained(const struct remote_connection *conn);

/* A reply too many would make each later one be taken for that to the next
 * command. DATA shows it by its 354; where BDAT is used, MAIL's has to: whether
 * reply, to MAIL, is the same as that to the first MAIL of this connection, and
 * none that the peer also gives to messages. */
bool remote_connection_in_step(struct remote_connection *conn,
			       const struct smtp_reply *reply);

/* Notes a reply to a message, for remote_connection_in_step(). */
void remote_connection_note_final(struct remote_connection *conn,
				  const struct smtp_reply *reply);

struct stream *remote_connection_stream(struct remote_connection *conn);
const struct smtp_capabilities *
remote_connection_capabilities(const struct remote_connection *conn);
const struct addr *remote_connection_addr(const struct remote_connection *conn);
uint64_t remote_connection_opened_us(const struct remote_connection *conn);

#endif
