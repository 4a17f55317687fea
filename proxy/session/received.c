#include "proxy/session/received.h"

#include <stdbool.h>
#include <string.h>

#define RECEIVED_WORD_MAX 256

/* Comments and line ends would change the meaning of what follows. */
static const bool harmful[256] = {
	[0x00 ... 0x20] = true,
	[0x7f] = true,
	['('] = true,
	[')'] = true,
	['\\'] = true,
};

/* A quote that a backslash stood before would end the string, or begin another. */
static void hide_quotes(char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len)
			text[++i] = '?';
	}
}

/* What is left of one that was cut off would go on behind it. */
static bool is_open(const char *text, size_t len)
{
	size_t quotes = 0, i;

	for (i = 0; i < len; i++)
		quotes += text[i] == '"';
	return quotes % 2 != 0;
}

static void hide_harmful(char *word, size_t len)
{
	bool open;
	size_t i;

	hide_quotes(word, len);
	open = is_open(word, len);
	for (i = 0; i < len; i++) {
		if (harmful[(unsigned char)word[i]] || (open && word[i] == '"'))
			word[i] = '?';
	}
}

/* Nearly all are. */
static bool is_harmless(const char *word, size_t len)
{
	size_t i = 0;

	while (i < len && !harmful[(unsigned char)word[i]] && word[i] != '"')
		i++;
	return i == len;
}

static void put_word(struct str *out, const char *text)
{
	size_t len = strnlen(text, RECEIVED_WORD_MAX);

	str_append(out, text, len);
	if (!is_harmless(text, len))
		hide_harmful(out->data + out->len - len, len);
}

/* The date is made once a second for each thread. */
static void put_date(struct str *out, time_t now)
{
	static _Thread_local struct {
		time_t made;
		char text[64];
	} date;
	struct tm tm;

	if (date.made != now || date.text[0] == '\0') {
		localtime_r(&now, &tm);
		strftime(date.text, sizeof(date.text),
			 "%a, %d %b %Y %H:%M:%S %z", &tm);
		date.made = now;
	}
	str_puts(out, date.text);
}

void received_write(struct str *out, const struct received *received)
{
	str_puts(out, "Received: from ");
	put_word(out, received->helo != NULL ? received->helo : "unknown");
	if (received->remote->len > 0 &&
	    received->remote->sa.sa_family != AF_UNIX) {
		str_puts(out, " ([");
		addr_write_ip(out, received->remote);
		str_puts(out, "])");
	}
	if (received->tls != NULL) {
		str_puts(out, "\r\n\t(using ");
		tls_info_write(out, received->tls);
		str_putc(out, ')');
	}
	str_puts(out, "\r\n\tby ");
	str_puts(out, received->hostname);
	str_puts(out, received->tls != NULL ? " with LMTPS" : " with LMTP");
	str_puts(out, "\r\n\tid ");
	str_puts(out, received->id);
	str_puts(out, "\r\n\t(envelope-from <");
	put_word(out, received->mail_from);
	str_puts(out, ">)");
	if (received->rcpt != NULL) {
		str_puts(out, "\r\n\tfor <");
		put_word(out, received->rcpt);
		str_putc(out, '>');
	}
	str_puts(out, "; ");
	put_date(out, received->now);
	str_puts(out, "\r\n");
}
