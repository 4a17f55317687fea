#include "lib/smtp/capability.h"

#include <string.h>
#include <strings.h>

#include "lib/smtp/xclient.h"

/* In alphabetical order. */
static const struct {
	enum smtp_capability flag;
	const char *keyword;
} smtp_capability_table[] = {
	{ SMTP_CAP_8BITMIME, "8BITMIME" },
	{ SMTP_CAP_BINARYMIME, "BINARYMIME" },
	{ SMTP_CAP_CHUNKING, "CHUNKING" },
	{ SMTP_CAP_DSN, "DSN" },
	{ SMTP_CAP_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES" },
	{ SMTP_CAP_PIPELINING, "PIPELINING" },
	{ SMTP_CAP_SIZE, "SIZE" },
	{ SMTP_CAP_SMTPUTF8, "SMTPUTF8" },
	{ SMTP_CAP_STARTTLS, "STARTTLS" },
	{ SMTP_CAP_XCLIENT, "XCLIENT" },
	{ SMTP_CAP_XRCPTFORWARD, "XRCPTFORWARD" },
};
#define CAPABILITIES \
	(sizeof(smtp_capability_table) / sizeof(smtp_capability_table[0]))

/* SIZE's number: 0 (no limit known) when it is none or past 64 bits. */
static uint64_t smtp_capability_size(const char *text, size_t len)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < len && text[i] != ' '; i++) {
		if (text[i] < '0' || text[i] > '9' ||
		    __builtin_mul_overflow(size, 10, &size) ||
		    __builtin_add_overflow(size, (unsigned)(text[i] - '0'),
					   &size))
			return 0;
	}
	return size;
}

/* What follows the keyword, without the blank between. */
static void smtp_capability_parse_args(struct smtp_capabilities *caps,
				       enum smtp_capability flag,
				       const char *args, size_t len)
{
	if (flag == SMTP_CAP_SIZE)
		caps->size = smtp_capability_size(args, len);
	else if (flag == SMTP_CAP_XCLIENT)
		caps->xclient |= smtp_xclient_parse_listed(args, len);
}

void smtp_capability_parse(struct smtp_capabilities *caps, const char *line,
			   size_t len)
{
	const char *blank = memchr(line, ' ', len);
	size_t keyword_len = blank != NULL ? (size_t)(blank - line) : len;
	size_t i;

	for (i = 0; i < CAPABILITIES; i++) {
		const char *keyword = smtp_capability_table[i].keyword;

		if (strlen(keyword) != keyword_len ||
		    strncasecmp(keyword, line, keyword_len) != 0)
			continue;
		caps->flags |= smtp_capability_table[i].flag;
		if (blank != NULL)
			smtp_capability_parse_args(
				caps, smtp_capability_table[i].flag, blank + 1,
				len - keyword_len - 1);
	}
}

static void smtp_capability_write_args(struct str *out,
				       const struct smtp_capabilities *caps,
				       enum smtp_capability flag)
{
	if (flag == SMTP_CAP_XCLIENT) {
		smtp_xclient_write_listed(out, caps->xclient);
	} else if (flag == SMTP_CAP_SIZE && caps->size > 0) {
		str_putc(out, ' ');
		str_put_number(out, caps->size);
	}
}

void smtp_capability_write(struct str *out, const char *hostname,
			   const struct smtp_capabilities *caps)
{
	size_t i, last = out->len;

	str_puts(out, "250-");
	str_puts(out, hostname);
	str_puts(out, "\r\n");
	for (i = 0; i < CAPABILITIES; i++) {
		if ((caps->flags & smtp_capability_table[i].flag) == 0)
			continue;
		last = out->len;
		str_puts(out, "250-");
		str_puts(out, smtp_capability_table[i].keyword);
		smtp_capability_write_args(out, caps,
					   smtp_capability_table[i].flag);
		str_puts(out, "\r\n");
	}
	out->data[last + strlen("250")] = ' ';
}
