#include "backends/local/mail/facts.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "backends/local/mail/address.h"
#include "backends/local/mail/field.h"
#include "backends/local/mail/words.h"
#include "lib/arena.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "lib/smtp/address.h"
#include "lib/utf8.h"

#define ETC "..."

enum {
	STATUS_MAX = 512,
	MESSAGE_ID_MAX = 200,
	SUBJECT_MAX = 80,
	ADDRESS_MAX = SMTP_MAILBOX_MAX,
};

static void put_clean(struct str *out, const char *text, size_t max)
{
	size_t len = strlen(text);
	size_t kept = len > max ? utf8_cut(text, len, max - strlen(ETC)) : len;
	const char *end = text + kept;

	while (text < end) {
		size_t step = utf8_char_len(text, (size_t)(end - text));

		if (step == 0 || (unsigned char)*text < ' ' || *text == 0x7f) {
			str_putc(out, '?');
			text++;
			continue;
		}
		str_append(out, text, step);
		text += step;
	}
	if (kept < len)
		str_puts(out, ETC);
}

/* --- the message --- */

static size_t read_start(int fd, char *data, size_t len)
{
	size_t fill = 0;
	ssize_t got = 1;

	while (fill < len && got > 0) {
		got = pread(fd, data + fill, len - fill, (off_t)fill);
		if (got > 0)
			fill += (size_t)got;
	}
	return fill;
}

/* In what we put in front of the message, or in the message. */
static bool find_field(const struct mail_facts *facts, const char *name,
		       struct str *out)
{
	const struct local_request *request = facts->request;
	uint64_t size = request->size < MAIL_FACTS_HEADER_MAX
				? request->size : MAIL_FACTS_HEADER_MAX;
	struct str text = STR_INIT;
	bool found;

	if (mail_field_find(out, request->head, request->head_len, name))
		return true;
	str_grown(&text, read_start(facts->message,
				    str_reserve(&text, (size_t)size + 1),
				    (size_t)size));
	/* A header without a body may end without a line end. */
	if (text.len == request->size)
		str_putc(&text, '\n');
	found = mail_field_find(out, text.data, text.len, name);
	str_free(&text);
	return found;
}

static void put_subject(const struct mail_facts *facts, struct str *out)
{
	struct str value = STR_INIT, subject = STR_INIT;

	if (find_field(facts, "Subject", &value)) {
		mail_words_decode(&subject, str_c(&value), value.len);
		put_clean(out, str_c(&subject), SUBJECT_MAX);
	}
	str_free(&value);
	str_free(&subject);
}

/* The first in angle brackets. */
static bool cut_id(struct str *value)
{
	const char *start, *end;

	for (start = strchr(str_c(value), '<'); start != NULL;
	     start = strchr(start + 1, '<')) {
		end = start + strcspn(start + 1, "<>") + 1;
		if (*end != '>' ||
		    memchr(start, '@', (size_t)(end - start)) == NULL)
			continue;
		str_truncate(value, (size_t)(end + 1 - value->data));
		str_consume(value, (size_t)(start - value->data));
		return true;
	}
	return false;
}

static void put_id(const struct mail_facts *facts, struct str *out)
{
	struct str value = STR_INIT;

	if (find_field(facts, "Message-ID", &value) && cut_id(&value))
		put_clean(out, str_c(&value), MESSAGE_ID_MAX);
	else
		str_puts(out, "unspecified");
	str_free(&value);
}

static bool find_address(const struct mail_facts *facts, const char *name,
			 struct str *local, struct str *domain)
{
	struct str value = STR_INIT;
	bool found = find_field(facts, name, &value) &&
		     mail_address_first(str_c(&value), local, domain);

	str_free(&value);
	return found;
}

static void put_from(const struct mail_facts *facts, struct str *out)
{
	struct str address = STR_INIT, domain = STR_INIT;

	if (find_address(facts, "From", &address, &domain)) {
		str_putc(&address, '@');
		str_append(&address, domain.data, domain.len);
		put_clean(out, str_c(&address), ADDRESS_MAX);
	}
	str_free(&address);
	str_free(&domain);
}

/* Ends of lines that would have a CR more; before: the byte before data. */
static uint64_t count_bare(const char *data, size_t len, char before)
{
	uint64_t count = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		count += data[i] == '\n' && before != '\r';
		before = data[i];
	}
	return count;
}

static uint64_t virtual_size(const struct mail_facts *facts)
{
	const struct local_request *request = facts->request;
	uint64_t size = request->head_len + request->size, at = 0;
	char data[8192], last = '\n';
	ssize_t got = 1;

	size += count_bare(request->head, request->head_len, last);
	for (; at < request->size && got > 0; at += (uint64_t)got) {
		got = pread(facts->message, data, sizeof(data), (off_t)at);
		if (got <= 0)
			break;
		size += count_bare(data, (size_t)got, last);
		last = data[got - 1];
	}
	return size;
}

/* --- the envelope --- */

/* Whether the text is what an envelope may have. */
static bool is_address(const char *text)
{
	struct arena *arena = arena_new(512);
	struct smtp_address address;
	struct err err;
	bool valid = strlen(text) <= SMTP_MAILBOX_MAX &&
		     smtp_address_parse(arena, text, &address, &err) == 0 &&
		     address.domain != NULL;

	arena_free(&arena);
	return valid;
}

static bool put_original(const struct mail_facts *facts, struct str *out)
{
	struct str local = STR_INIT, domain = STR_INIT, address = STR_INIT;
	bool valid = false;

	if (find_address(facts, facts->original_header, &local, &domain)) {
		smtp_address_write(&address, str_c(&local), str_c(&domain));
		valid = is_address(str_c(&address));
	}
	if (valid)
		str_append(out, address.data, address.len);
	str_free(&local);
	str_free(&domain);
	str_free(&address);
	return valid;
}

static void put_recipient(const struct mail_facts *facts, struct str *out)
{
	const struct local_request *request = facts->request;

	if (*request->orcpt != '\0')
		put_clean(out, request->orcpt, ADDRESS_MAX);
	else if (*facts->original_header == '\0' || !put_original(facts, out))
		put_clean(out, request->rcpt_to, ADDRESS_MAX);
}

const char *mail_facts_prefix(const char *prefix, const char *mailbox)
{
	return prefix == NULL || strcmp(mailbox, "INBOX") == 0 ? "" : prefix;
}

void mail_facts_put(const struct mail_facts *facts, enum mail_fact fact,
		    struct str *out)
{
	const struct local_request *request = facts->request;

	switch (fact) {
	case MAIL_FACT_NONE:
		return;
	case MAIL_FACT_STATUS:
		return put_clean(out, facts->status, STATUS_MAX);
	case MAIL_FACT_MESSAGE_ID:
		return put_id(facts, out);
	case MAIL_FACT_SUBJECT:
		return put_subject(facts, out);
	case MAIL_FACT_FROM:
		return put_from(facts, out);
	case MAIL_FACT_FROM_ENVELOPE:
		return put_clean(out, request->mail_from, ADDRESS_MAX);
	case MAIL_FACT_TO_ENVELOPE:
		return put_recipient(facts, out);
	case MAIL_FACT_RCPT_TO:
		return put_clean(out, request->rcpt_to, ADDRESS_MAX);
	case MAIL_FACT_DETAIL:
		return str_puts(out, request->detail);
	case MAIL_FACT_MAILBOX:
		str_puts(out, mail_facts_prefix(facts->prefix, request->mailbox));
		return str_puts(out, request->mailbox);
	case MAIL_FACT_SIZE:
		return str_put_number(out, request->head_len + request->size);
	case MAIL_FACT_VIRTUAL_SIZE:
		return str_put_number(out, virtual_size(facts));
	case MAIL_FACT_DELIVERY_MS:
		return str_put_number(out, clock_now_ms() - facts->start_ms);
	case MAIL_FACT_SESSION_MS:
		return str_put_number(out, request->session_ms);
	case MAIL_FACT_STORAGE_ID:
		return str_puts(out, facts->storage_id);
	}
}
