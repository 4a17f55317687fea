/* First two bytes: what is offered; the others: the parameters, of MAIL and of
 * RCPT. What is written of them reads back as the same. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/params.h"
#include "t/fuzz/fuzz.h"

static const struct smtp_capabilities everything = { .flags = ~0U };

static void check_line(const struct str *out)
{
	size_t i;

	for (i = 0; i < out->len; i++)
		ASSERT((unsigned char)out->data[i] >= ' ' &&
		       out->data[i] != 0x7f);
}

static void check_same(const struct str *first, const struct str *second)
{
	check_line(first);
	ASSERT(first->len == second->len &&
	       memcmp(str_c(first), str_c(second), first->len) == 0);
}

static void fuzz_mail(struct arena *arena, const char *text, size_t len,
		      const struct smtp_capabilities *offered)
{
	struct str first = STR_INIT, second = STR_INIT;
	struct smtp_mail_params params;
	struct err err;
	int code = 0;

	if (smtp_mail_params_parse(arena, text, len, offered, &params, &code,
				   &err) < 0) {
		ASSERT(code == 501 || code == 555);
		return;
	}
	smtp_mail_params_write(&first, &params, &everything);
	ASSERT(smtp_mail_params_parse(arena, str_c(&first), first.len,
				      &everything, &params, &code, &err) == 0);
	smtp_mail_params_write(&second, &params, &everything);
	check_same(&first, &second);
	str_free(&first);
	str_free(&second);
}

static void fuzz_rcpt(struct arena *arena, const char *text, size_t len,
		      const struct smtp_capabilities *offered)
{
	struct str first = STR_INIT, second = STR_INIT;
	struct smtp_rcpt_params params;
	struct err err;
	int code = 0;

	if (smtp_rcpt_params_parse(arena, text, len, offered, &params, &code,
				   &err) < 0) {
		ASSERT(code == 501 || code == 555);
		return;
	}
	smtp_rcpt_params_write(&first, &params, &everything, true);
	ASSERT(smtp_rcpt_params_parse(arena, str_c(&first), first.len,
				      &everything, &params, &code, &err) == 0);
	smtp_rcpt_params_write(&second, &params, &everything, true);
	check_same(&first, &second);
	str_free(&first);
	str_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_capabilities offered = { .flags = 0 };
	struct arena *arena;

	if (size < 2)
		return 0;
	offered.flags = data[0] | (unsigned)data[1] << 8;
	arena = arena_new(256);
	fuzz_mail(arena, (const char *)data + 2, size - 2, &offered);
	fuzz_rcpt(arena, (const char *)data + 2, size - 2, &offered);
	arena_free(&arena);
	return 0;
}
