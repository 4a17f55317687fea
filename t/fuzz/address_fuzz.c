/* First byte: flags; the others: a path and what follows, and the same as an
 * address without brackets. What is written of an address reads back equal. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/address.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

static bool same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

static void check_sane(const struct smtp_address *address)
{
	ASSERT(!has_control(address->localpart) && !has_control(address->raw));
	ASSERT(utf8_is_valid(address->raw, strlen(address->raw)));
	ASSERT(address->domain == NULL || address->domain[0] != '\0');
}

/* Both of the parsers read what is written. */
static void check_back(struct arena *arena, const struct smtp_address *address)
{
	struct smtp_address path, plain;
	struct str out = STR_INIT;
	struct err err;
	size_t rest;

	str_putc(&out, '<');
	smtp_address_write(&out, address->localpart, address->domain);
	ASSERT(out.len - 1 <= SMTP_MAILBOX_MAX);
	ASSERT(smtp_address_parse(arena, out.data + 1, &plain, &err) == 0);
	str_putc(&out, '>');
	ASSERT(smtp_path_parse(arena, out.data, out.len,
			       SMTP_PATH_DOMAIN_OPTIONAL, &path, &rest,
			       &err) == 0);
	ASSERT(rest == out.len);
	ASSERT(same(path.localpart, address->localpart));
	ASSERT(same(path.domain, address->domain));
	ASSERT(same(plain.localpart, address->localpart));
	ASSERT(same(plain.domain, address->domain));
	ASSERT(same(plain.raw, path.raw));
	str_free(&out);
}

static void fuzz_path(struct arena *arena, const char *text, size_t len,
		      unsigned flags)
{
	struct smtp_address address;
	struct err err;
	size_t rest = 0;

	if (smtp_path_parse(arena, text, len, flags, &address, &rest, &err) < 0)
		return;
	ASSERT(rest > 0 && rest <= len);
	ASSERT(rest == len || text[rest] == ' ');
	check_sane(&address);
	if (address.localpart[0] != '\0' || address.domain != NULL)
		check_back(arena, &address);
	else
		ASSERT((flags & (SMTP_PATH_ALLOW_NULL |
				 SMTP_PATH_ALLOW_BROKEN)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	struct smtp_address address;
	struct err err;
	char *text;

	if (size > 0) {
		fuzz_path(arena, (const char *)data + 1, size - 1, data[0]);
		text = arena_strndup(arena, (const char *)data + 1, size - 1);
		if (smtp_address_parse(arena, text, &address, &err) == 0) {
			check_sane(&address);
			check_back(arena, &address);
		}
	}
	arena_free(&arena);
	return 0;
}
