#include "lib/smtp/command.h"

#include <stdbool.h>

#include "lib/ascii.h"
#include "lib/plain.h"
#include "lib/utf8.h"

#define NAME_MAX_LEN 32 /* as Dovecot */

/* The frequent ones first. */
static const struct {
	const char *name;
	enum smtp_verb verb;
} smtp_verbs[] = {
	{ "RCPT", SMTP_VERB_RCPT },	{ "MAIL", SMTP_VERB_MAIL },
	{ "DATA", SMTP_VERB_DATA },	{ "RSET", SMTP_VERB_RSET },
	{ "LHLO", SMTP_VERB_LHLO },	{ "EHLO", SMTP_VERB_EHLO },
	{ "HELO", SMTP_VERB_HELO },	{ "BDAT", SMTP_VERB_BDAT },
	{ "NOOP", SMTP_VERB_NOOP },	{ "VRFY", SMTP_VERB_VRFY },
	{ "EXPN", SMTP_VERB_EXPN },	{ "HELP", SMTP_VERB_HELP },
	{ "QUIT", SMTP_VERB_QUIT },	{ "AUTH", SMTP_VERB_AUTH },
	{ "STARTTLS", SMTP_VERB_STARTTLS }, { "XCLIENT", SMTP_VERB_XCLIENT },
};
#define VERBS (sizeof(smtp_verbs) / sizeof(smtp_verbs[0]))

/* name is letters alone, in any case. */
static bool smtp_verb_is(const char *verb, const char *name, size_t len)
{
	size_t i = 0;

	while (i < len && verb[i] == (name[i] & ~0x20))
		i++;
	return i == len && verb[i] == '\0';
}

static enum smtp_verb smtp_verb_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < VERBS; i++)
		if (smtp_verb_is(smtp_verbs[i].name, name, len))
			return smtp_verbs[i].verb;
	return SMTP_VERB_UNKNOWN;
}

static bool smtp_command_args_are_valid(const char *args, size_t len)
{
	size_t plain = plain_len(args, len), i;

	if (plain == len)
		return true;
	for (i = plain; i < len; i++) {
		unsigned char c = (unsigned char)args[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return utf8_is_valid(args + plain, len - plain);
}

int smtp_command_parse(const char *line, size_t len,
		       struct smtp_command *command_r)
{
	size_t name_len = 0, args_at;

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	while (name_len < len && ascii_is_alpha(line[name_len]))
		name_len++;
	if (name_len == 0 || name_len > NAME_MAX_LEN ||
	    (name_len < len && line[name_len] != ' '))
		return -1;
	args_at = name_len < len ? name_len + 1 : len;
	if (!smtp_command_args_are_valid(line + args_at, len - args_at))
		return -1;
	*command_r = (struct smtp_command){
		.verb = smtp_verb_find(line, name_len),
		.name = line,
		.name_len = name_len,
		.args = line + args_at,
		.args_len = len - args_at,
	};
	return 0;
}
