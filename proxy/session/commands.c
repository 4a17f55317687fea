/* The LMTP commands of a session (RFC 2033, 5321; replies as Dovecot's). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/smtp/chunk.h"
#include "lib/smtp/command.h"
#include "proxy/addressee.h"
#include "proxy/forward.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/tls.h"
#include "proxy/session/transaction.h"
#include "proxy/session/transport.h"
#include "proxy/session/xclient.h"

#define HELO_MAX 255
/* Enough for a message with one recipient. */
#define TRANSACTION_SIZE 4096

/* What this server can do. */
static struct smtp_capabilities command_offers(const struct session *session)
{
	struct smtp_capabilities caps = {
		.flags = SMTP_CAP_8BITMIME | SMTP_CAP_ENHANCEDSTATUSCODES |
			 SMTP_CAP_PIPELINING | SMTP_CAP_SIZE |
			 SMTP_CAP_SMTPUTF8 | SMTP_CAP_CHUNKING,
		.size = session->set->lmtp_max_message_size,
	};

	if (session->set->lmtp_dsn)
		caps.flags |= SMTP_CAP_DSN;
	if (session->set->lmtp_binarymime)
		caps.flags |= SMTP_CAP_BINARYMIME;
	if (session_tls_offered(session))
		caps.flags |= SMTP_CAP_STARTTLS;
	if (session->trusted) {
		caps.flags |= SMTP_CAP_XCLIENT | SMTP_CAP_XRCPTFORWARD;
		caps.xclient = SMTP_XCLIENT_OFFERED;
	}
	return caps;
}

static enum command_result command_lhlo(struct session *session,
					const struct smtp_command *command)
{
	struct smtp_capabilities caps = command_offers(session);

	if (command->args_len == 0 || command->args_len > HELO_MAX) {
		session_reply_bad(session, 501, "", "Invalid hostname");
		return COMMAND_DONE;
	}
	transaction_free(&session->trans);
	/* A stop may have waited for the transaction. */
	session_reply_ready(session);
	mem_free(&session->helo);
	session->helo = mem_strndup(command->args, command->args_len);
	session->bad_commands = 0;
	smtp_capability_write(stream_out(session->stream),
			      session->set->hostname, &caps);
	return COMMAND_DONE;
}

static void reply_params_error(struct session *session, int code,
			       const struct err *err)
{
	session_reply_bad(session, code, "5.5.4 ", err->text);
}

/* "FROM:" or "TO:" at the start of the arguments, in any case. */
static bool skip_keyword(const struct smtp_command *command,
			 const char *keyword, const char **rest_r,
			 size_t *len_r)
{
	size_t len = strlen(keyword);

	if (command->args_len < len ||
	    strncasecmp(command->args, keyword, len) != 0)
		return false;
	*rest_r = command->args + len;
	*len_r = command->args_len - len;
	return true;
}

/* Parses "FROM:<path> parameters". Returns -1 after a reply. */
static int parse_mail(struct session *session, struct arena *arena,
		      const struct smtp_command *command,
		      struct smtp_address *from, struct smtp_mail_params *params)
{
	struct smtp_capabilities caps = command_offers(session);
	const char *text;
	size_t len, rest;
	struct err err;
	int code = 501;

	if (!skip_keyword(command, "FROM:", &text, &len)) {
		session_reply_bad(session, 501, "5.5.4 ",
				  "Invalid parameters");
		return -1;
	}
	if (smtp_path_parse(arena, text, len,
			    SMTP_PATH_ALLOW_NULL | SMTP_PATH_DOMAIN_OPTIONAL |
				    SMTP_PATH_ALLOW_BROKEN |
				    session->set->lmtp_client_workarounds,
			    from, &rest, &err) < 0 ||
	    smtp_mail_params_parse(arena, text + rest, len - rest, &caps,
				   params, &code, &err) < 0) {
		reply_params_error(session, code, &err);
		return -1;
	}
	if (from->utf8 && !params->smtputf8) {
		session_reply_bad(session, 553, "5.6.7 ",
				  "Address needs the SMTPUTF8 parameter");
		return -1;
	}
	return 0;
}

static enum command_result command_mail(struct session *session,
					const struct smtp_command *command)
{
	uint64_t max = session->set->lmtp_max_message_size;
	struct smtp_address from;
	struct smtp_mail_params params;
	struct arena *arena;

	if (session->trans != NULL) {
		session_reply_bad(session, 503, "5.5.0 ", "MAIL already given");
		return COMMAND_DONE;
	}
	arena = arena_new(TRANSACTION_SIZE);
	if (parse_mail(session, arena, command, &from, &params) < 0) {
		arena_free(&arena);
	} else if (max > 0 && params.size > max) {
		arena_free(&arena);
		session_reply(session, 552, "5.3.4 ",
			      "Message size exceeds administrative limit");
	} else {
		session->trans =
			transaction_new(session, arena, &from, &params);
		session_reply(session, 250, "2.1.0 ", "OK");
	}
	return COMMAND_DONE;
}

/* Parameters of RCPT, which are rare. */
static int parse_rcpt_params(struct session *session, const char *text,
			     size_t len, struct smtp_rcpt_params *params,
			     int *code_r, struct err *err)
{
	struct smtp_capabilities caps;

	*params = (struct smtp_rcpt_params){ .orcpt_type = NULL };
	if (len == 0)
		return 0;
	caps = command_offers(session);
	/* Whether the backend takes NOTIFY is seen when it is asked; whether
	 * the client may send XRCPTFORWARD, in parse_forward(). */
	caps.flags |= SMTP_CAP_DSN | SMTP_CAP_XRCPTFORWARD;
	return smtp_rcpt_params_parse(session->trans->arena, text, len, &caps,
				      params, code_r, err);
}

/* Parses "TO:<path> parameters"; what is wrong goes to *code_r and err. */
static int parse_rcpt(struct session *session,
		      const struct smtp_command *command,
		      struct smtp_address *address,
		      struct smtp_rcpt_params *params, int *code_r,
		      struct err *err)
{
	const char *text;
	size_t len, rest;

	*code_r = 501;
	if (!skip_keyword(command, "TO:", &text, &len))
		return err_set(err, "Invalid parameters");
	if (addressee_parse(session->trans->arena, text, len,
			    session->set->lmtp_client_workarounds, address,
			    &rest, err) < 0)
		return -1;
	if (address->utf8 && !session->trans->params.smtputf8) {
		*code_r = 553;
		return err_set(err, "Address needs SMTPUTF8 given with MAIL");
	}
	return parse_rcpt_params(session, text + rest, len - rest, params,
				 code_r, err);
}

/* The fields that a proxy before us sent along; what is wrong with them goes to
 * *code_r and err. */
static int parse_forward(struct session *session,
			 const struct smtp_rcpt_params *params,
			 struct passdb_fields *fields, int *code_r,
			 struct err *err)
{
	if (params->xrcptforward != NULL && !session->trusted) {
		*code_r = 550;
		return err_set(err, "Unacceptable XRCPTFORWARD= parameter: "
			       "You are not from trusted IP");
	}
	*code_r = 501;
	return forward_read(session->trans->arena, params, fields, err);
}

static const char *rcpt_error_enhanced(int code)
{
	switch (code) {
	case 550:
		return "5.7.14 ";
	case 553:
		return "5.6.7 ";
	default:
		return "5.5.4 ";
	}
}

/* The only command that does not wait for the replies before it: the
 * recipients of one pipelined group are looked up and passed on together. What
 * is answered at once has to wait for its turn, though. */
static enum command_result command_rcpt(struct session *session,
					const struct smtp_command *command)
{
	unsigned max = session->set->lmtp_max_recipients;
	struct transaction *trans = session->trans;
	bool owed = !list_empty(&session->slots);
	struct smtp_address address;
	struct smtp_rcpt_params params;
	struct passdb_fields fields;
	struct err err;
	int code;

	if (trans == NULL) {
		session_reply_bad(session, 503, "5.5.0 ", "MAIL needed first");
	} else if (trans->state != TRANSACTION_ENVELOPE) {
		session_reply_bad(session, 503, "5.5.0 ",
				  "Bad sequence of commands");
	} else if (max > 0 && trans->rcpt_count >= max) {
		if (owed)
			return COMMAND_WAIT;
		session_reply(session, 452, "4.5.3 ", "Too many recipients");
	} else if (parse_rcpt(session, command, &address, &params, &code,
			      &err) < 0 ||
		   parse_forward(session, &params, &fields, &code, &err) < 0) {
		if (owed)
			return COMMAND_WAIT;
		/* It has left its traces in the arena. */
		trans->rcpt_count++;
		session_reply_bad(session, code, rcpt_error_enhanced(code),
				  err.text);
	} else {
		trans->rcpt_count++;
		session->bad_commands = 0;
		recipient_start(trans, &address, &params, &fields);
	}
	return COMMAND_DONE;
}

static enum command_result command_data(struct session *session,
					const struct smtp_command *command)
{
	struct transaction *trans = session->trans;

	if (command->args_len > 0) {
		session_reply_bad(session, 501, "5.5.4 ", "Invalid parameters");
	} else if (trans == NULL) {
		session_reply_bad(session, 503, "5.5.0 ", "MAIL needed first");
	} else if (trans->chunked || trans->chunk_refused ||
		   trans->params.body == SMTP_BODY_BINARYMIME) {
		session_reply_bad(session, 503, "5.5.0 ",
				  "Bad sequence of commands");
	} else if (trans->accepted == 0) {
		trans->data_ahead = false; /* further RCPTs may come */
		session_reply_bad(session, 503, "5.5.0 ",
				  "No valid recipients");
	} else {
		session_reply(session, 354, "", "OK");
		session->state = SESSION_BODY;
		transaction_start_body(trans);
	}
	return COMMAND_DONE;
}

static enum command_result command_rset(struct session *session,
					const struct smtp_command *command)
{
	if (command->args_len > 0) {
		session_reply_bad(session, 501, "5.5.4 ", "Invalid parameters");
		return COMMAND_DONE;
	}
	transaction_free(&session->trans);
	session_reply(session, 250, "2.0.0 ", "OK");
	/* A stop may have waited for the transaction. */
	session_reply_ready(session);
	return COMMAND_DONE;
}

static enum command_result command_noop(struct session *session,
					const struct smtp_command *command)
{
	(void)command;
	session_reply(session, 250, "2.0.0 ", "OK");
	return COMMAND_DONE;
}

static enum command_result command_vrfy(struct session *session,
					const struct smtp_command *command)
{
	if (command->args_len == 0)
		session_reply_bad(session, 501, "5.5.4 ", "Missing parameter");
	else
		session_reply(session, 252, "2.3.3 ", "Try RCPT instead");
	return COMMAND_DONE;
}

static enum command_result command_help(struct session *session,
					const struct smtp_command *command)
{
	(void)command;
	session_reply(session, 214, "2.0.0 ",
		      "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	return COMMAND_DONE;
}

static enum command_result command_quit(struct session *session,
					const struct smtp_command *command)
{
	if (command->args_len > 0) {
		session_reply_bad(session, 501, "5.5.4 ", "Invalid parameters");
		return COMMAND_DONE;
	}
	session_reply(session, 221, "2.0.0 ", "Bye");
	session_end(session, "Logged out");
	return COMMAND_DONE;
}

/* The octets of a chunk follow at once, whatever becomes of it: read as
 * commands they would be somebody else's words. Nor may later chunks make a
 * message without it (RFC 3030 2). */
static void refuse_chunk(struct session *session,
			 const struct smtp_chunk *chunk, int code,
			 const char *enhanced, const char *text)
{
	if (!chunk->size_known) {
		session_reply(session, code, enhanced, text);
		session_break_off(session, "BDAT without a size");
		return;
	}
	if (session->trans != NULL)
		session->trans->chunk_refused = true;
	session_skip(session, chunk->size);
	session_reply_bad(session, code, enhanced, text);
}

static enum command_result command_bdat(struct session *session,
					const struct smtp_command *command)
{
	struct transaction *trans = session->trans;
	struct smtp_chunk chunk;
	struct err err;

	if (smtp_chunk_parse(command->args, command->args_len, &chunk, &err) <
	    0) {
		refuse_chunk(session, &chunk, 501, "5.5.4 ", err.text);
	} else if (trans == NULL) {
		refuse_chunk(session, &chunk, 503, "5.5.0 ",
			     "MAIL needed first");
	} else if (trans->chunk_refused) {
		refuse_chunk(session, &chunk, 503, "5.5.0 ",
			     "Previous data chunk failed, issue RSET first");
	} else if (trans->accepted == 0) {
		refuse_chunk(session, &chunk, 503, "5.5.0 ",
			     "No valid recipients");
	} else {
		session->bad_commands = 0;
		session->state = SESSION_BODY;
		if (transaction_start_chunk(trans, chunk.size, chunk.last))
			session_body_done(session);
	}
	return COMMAND_DONE;
}

static enum command_result command_starttls(struct session *session,
					    const struct smtp_command *command)
{
	if (session_transport_has_tls(session)) {
		session_reply_bad(session, 502, "5.5.1 ",
				  "TLS is already active.");
	} else if (!session_tls_offered(session)) {
		session_reply_bad(session, 502, "5.5.1 ",
				  "TLS support is not enabled.");
	} else if (command->args_len > 0) {
		session_reply_bad(session, 501, "5.5.4 ", "Invalid parameters");
	} else {
		session_reply(session, 220, "2.0.0 ",
			      "Begin TLS negotiation now.");
		session_tls_start(session);
	}
	return COMMAND_DONE;
}

static enum command_result command_xclient(struct session *session,
					   const struct smtp_command *command)
{
	session_xclient_command(session, command);
	return COMMAND_DONE;
}

static enum command_result command_unsupported(struct session *session,
					       const struct smtp_command *command)
{
	(void)command;
	session_reply_bad(session, 502, "5.5.1 ", "Unsupported command");
	return COMMAND_DONE;
}

static enum command_result command_unknown(struct session *session,
					   const struct smtp_command *command)
{
	(void)command;
	session_reply_bad(session, 500, "5.5.1 ", "Unknown command");
	return COMMAND_DONE;
}

static enum command_result (*const commands[])(struct session *,
					       const struct smtp_command *) = {
	[SMTP_VERB_UNKNOWN] = command_unknown,
	[SMTP_VERB_LHLO] = command_lhlo,
	[SMTP_VERB_EHLO] = command_unknown,
	[SMTP_VERB_HELO] = command_unknown,
	[SMTP_VERB_MAIL] = command_mail,
	[SMTP_VERB_RCPT] = command_rcpt,
	[SMTP_VERB_DATA] = command_data,
	[SMTP_VERB_BDAT] = command_bdat,
	[SMTP_VERB_RSET] = command_rset,
	[SMTP_VERB_NOOP] = command_noop,
	[SMTP_VERB_VRFY] = command_vrfy,
	[SMTP_VERB_EXPN] = command_unsupported,
	[SMTP_VERB_HELP] = command_help,
	[SMTP_VERB_QUIT] = command_quit,
	[SMTP_VERB_AUTH] = command_unsupported,
	[SMTP_VERB_STARTTLS] = command_starttls,
	[SMTP_VERB_XCLIENT] = command_xclient,
};

static void command_malformed(struct session *session, const char *line,
			      size_t len)
{
	const struct smtp_chunk unknown = { .size_known = false };
	const char *text = "Invalid command syntax";

	if (len >= 4 && strncasecmp(line, "BDAT", 4) == 0)
		refuse_chunk(session, &unknown, 500, "5.5.2 ", text);
	else
		session_reply_bad(session, 500, "5.5.2 ", text);
}

enum command_result command_run(struct session *session, const char *line,
				size_t len)
{
	struct smtp_command command;
	bool ok = smtp_command_parse(line, len, &command) == 0;

	if ((!ok || command.verb != SMTP_VERB_RCPT) &&
	    !list_empty(&session->slots)) {
		if (ok && command.verb == SMTP_VERB_DATA &&
		    command.args_len == 0)
			transaction_data_ahead(session->trans);
		return COMMAND_WAIT;
	}
	if (!ok) {
		command_malformed(session, line, len);
		return COMMAND_DONE;
	}
	log_debug(&session->log, "command: %.*s", (int)len, line);
	return commands[command.verb](session, &command);
}
