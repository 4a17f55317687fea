/* A reply of SMTP and LMTP as a value (RFC 5321 4.2, RFC 3463). */
#ifndef LIB_SMTP_REPLY_H
#define LIB_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

struct smtp_enhanced {
	unsigned char class; /* 2, 4, 5; 0: the reply has none */
	unsigned short subject, detail;
};

/* Appends "2.1.5". */
void smtp_enhanced_write(struct str *out, const struct smtp_enhanced *enhanced);

enum smtp_origin { SMTP_ORIGIN_LOCAL, SMTP_ORIGIN_REMOTE };

/* text holds the lines joined by '\n', each without code and enhanced code;
 * NULL counts as "". Whoever fills the struct owns text. */
struct smtp_reply {
	int code;
	struct smtp_enhanced enhanced;
	enum smtp_origin origin;
	const char *text;
};

static inline bool smtp_reply_is_success(const struct smtp_reply *reply)
{
	return reply->code / 100 == 2;
}

static inline bool smtp_reply_is_refusal(const struct smtp_reply *reply)
{
	return reply->code / 100 == 4 || reply->code / 100 == 5;
}

/* Copies a reply, text and all, into arena. */
void smtp_reply_copy(struct arena *arena, struct smtp_reply *dst,
		     const struct smtp_reply *src);

/* Appends the reply's lines with CRLF. path ("user@dom"), if not NULL, is put
 * in "<>" behind the codes of every line. Control bytes (other than tabs) in
 * text and path become '?'. A reply with class 0 is written without enhanced
 * code. */
void smtp_reply_write(struct str *out, const struct smtp_reply *reply,
		      const char *path);

/* Appends one line for the log: "250 2.0.0 text / text". Not escaped: log_*()
 * does that. */
void smtp_reply_describe(struct str *out, const struct smtp_reply *reply);

/* --- reading a peer's replies --- */

#define SMTP_REPLY_MAX_SIZE 4096 /* Dovecot's LMTP_MAX_REPLY_SIZE */

struct smtp_reply_parser {
	struct str line; /* what there is of the line under way */
	struct str text; /* of the reply under way, then of the whole one */
	int code;	 /* 0: at the start of a reply */
	struct smtp_enhanced enhanced;
	size_t size; /* bytes of the reply so far */
};

void smtp_reply_parser_init(struct smtp_reply_parser *parser);
void smtp_reply_parser_free(struct smtp_reply_parser *parser);

/* Reads from data[0..len). 1: a whole reply is in *reply_r (origin remote; its
 * text is the parser's and valid until the next call) and *used_r bytes of
 * data belong to it; call again with the others. 0: all len bytes are used
 * and more is needed. -1: no reply (bad code, codes that differ between
 * lines, a reply of more than SMTP_REPLY_MAX_SIZE bytes, control bytes other
 * than tabs): *err says what, quoting escaped; there is no going on with this
 * peer. How the input is cut into calls makes no difference.
 *
 * Bare LF is taken as the end of a line. A code is 2xx to 5xx. An enhanced code
 * counts only when its class is the code's first digit and its numbers have
 * one to three digits and no leading zeros; the first line that has one gives
 * the reply's. A line that starts with another one keeps it as text. */
int smtp_reply_parse(struct smtp_reply_parser *parser, const char *data,
		     size_t len, size_t *used_r, struct smtp_reply *reply_r,
		     struct err *err);

#endif
