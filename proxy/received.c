#include "proxy/received.h"

#define RECEIVED_WORD_MAX 256

/* Comments and line ends would change the meaning of what follows. */
static void put_word(struct str *out, const char *text)
{
	size_t i;

	for (i = 0; text[i] != '\0' && i < RECEIVED_WORD_MAX; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > 0x20 && c != 0x7f && c != '(' && c != ')' && c != '\\')
			str_putc(out, text[i]);
		else
			str_putc(out, '?');
	}
}

void received_write(struct str *out, const struct received *received)
{
	char date[64];
	struct tm tm;

	str_puts(out, "Received: from ");
	put_word(out, received->helo != NULL ? received->helo : "unknown");
	if (received->remote->len > 0 &&
	    received->remote->sa.sa_family != AF_UNIX) {
		str_puts(out, " ([");
		addr_write_ip(out, received->remote);
		str_puts(out, "])");
	}
	str_printf(out, "\r\n\tby %s with LMTP\r\n\tid %s",
		   received->hostname, received->id);
	str_puts(out, "\r\n\t(envelope-from <");
	put_word(out, received->mail_from);
	str_puts(out, ">)");
	if (received->rcpt != NULL) {
		str_puts(out, "\r\n\tfor <");
		put_word(out, received->rcpt);
		str_putc(out, '>');
	}
	localtime_r(&received->now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", &tm);
	str_printf(out, "; %s\r\n", date);
}
