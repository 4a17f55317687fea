#include "backends/local/mail/head.h"

#include "lib/utf8.h"

#define MAIL_HEAD_ADDRESS_MAX 900

static const char return_path[] = "Return-Path: <";

static void put_address(struct str *out, const char *address)
{
	size_t len = strlen(address), i = out->len;

	str_append(out, address,
		   utf8_cut(address, len, MAIL_HEAD_ADDRESS_MAX));
	for (; i < out->len; i++)
		if ((unsigned char)out->data[i] < ' ' || out->data[i] == 0x7f)
			out->data[i] = '?';
}

/* Without empty ones, which would end the header. */
static void put_lines(struct str *out, const char *text)
{
	size_t len, kept;

	for (; *text != '\0'; text += len + (text[len] == '\n')) {
		kept = len = strcspn(text, "\n");
		if (kept > 0 && text[kept - 1] == '\r')
			kept--;
		if (kept == 0)
			continue;
		str_append(out, text, kept);
		str_putc(out, '\n');
	}
}

void mail_head_write(struct str *out, const struct mail_head *head)
{
	str_puts(out, return_path);
	put_address(out, head->mail_from);
	str_puts(out, ">\n");
	if (head->delivered_to != NULL) {
		str_puts(out, "Delivered-To: ");
		put_address(out, head->delivered_to);
		str_putc(out, '\n');
	}
	if (head->received != NULL)
		put_lines(out, head->received);
}

void mail_head_sender(struct str *out, const char *head, size_t len)
{
	size_t start = strlen(return_path);
	const char *end = len > start ? memchr(head, '\n', len) : NULL;

	if (end != NULL && (size_t)(end - head) > start && end[-1] == '>' &&
	    memcmp(head, return_path, start) == 0)
		str_append(out, head + start, (size_t)(end - head) - start - 1);
}
