/* One command line of SMTP and LMTP (RFC 5321 4.1.1, RFC 2033). */
#ifndef LIB_SMTP_COMMAND_H
#define LIB_SMTP_COMMAND_H

#include <stddef.h>

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_LHLO,
	SMTP_VERB_EHLO,
	SMTP_VERB_HELO,
	SMTP_VERB_MAIL,
	SMTP_VERB_RCPT,
	SMTP_VERB_DATA,
	SMTP_VERB_BDAT,
	SMTP_VERB_RSET,
	SMTP_VERB_NOOP,
	SMTP_VERB_VRFY,
	SMTP_VERB_EXPN,
	SMTP_VERB_HELP,
	SMTP_VERB_QUIT,
	SMTP_VERB_AUTH,
	SMTP_VERB_STARTTLS,
	SMTP_VERB_XCLIENT,
};

struct smtp_command {
	enum smtp_verb verb;
	const char *name; /* as sent; not terminated, up to 32 bytes */
	size_t name_len;
	const char *args; /* after one space, or empty; not terminated */
	size_t args_len;
};

/* Parses one line without its CRLF; the result points into it. Returns -1 for
 * what is no command at all: a name that is empty, of more than 32 bytes or
 * with other bytes than letters, control bytes (a tab within the parameters is
 * fine), or parameters that are not UTF-8. Trailing blanks and tabs are
 * dropped. Names match in any case; an unknown one is a command
 * (SMTP_VERB_UNKNOWN). */
int smtp_command_parse(const char *line, size_t len,
		       struct smtp_command *command_r);

#endif
