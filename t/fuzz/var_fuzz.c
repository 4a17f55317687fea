/* A text with variables, a NUL, and the value of %u. Texts without a slash must
 * not get one past an escaping rule that takes none. */
#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/var/var.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 1024

static int refuse_slash(struct str *out, size_t from, struct err *err)
{
	if (memchr(str_c(out) + from, '/', out->len - from) != NULL)
		return err_set(err, "slash");
	return 0;
}

static int append_twice(const struct var_source *source, const char *arg,
			struct str *out, struct err *err)
{
	(void)source;
	(void)err;
	str_printf(out, "%s%s", arg, arg);
	return 0;
}

/* The C library's patterns, and hashes that are meant to take their time. */
static bool too_slow(const char *text)
{
	const char *rounds = text;

	while ((rounds = strstr(rounds, "rounds=")) != NULL) {
		rounds += strlen("rounds=");
		if (strspn(rounds, "0123456789") > 3)
			return true;
	}
	return strchr(text, '~') != NULL;
}

static void fuzz_text(const char *text, const char *value)
{
	const struct var_func funcs[] = {
		{ "passdb", append_twice }, { NULL, NULL },
	};
	const struct var_entry table[] = {
		{ 'u', "user", value, 0 }, { 'a', "lport", "24", 0 },
		{ 0, "asked", NULL, 1 }, { 0, NULL, NULL, 0 },
	};
	struct var_source source = {
		.table = table, .funcs = funcs, .hostname = "mx.example.com",
	};
	struct str out = STR_INIT;
	struct err err = { "" };
	int ret = var_expand(&out, text, &source, &err);

	ASSERT(ret == 0 || (ret == -1 && err.text[0] != '\0'));
	if (ret == 0 && !var_used(text))
		ASSERT(strcmp(str_c(&out), text) == 0);
	str_clear(&out);
	source.escape = refuse_slash;
	ret = var_expand(&out, text, &source, &err);
	if (ret == 0 && strchr(text, '/') == NULL)
		ASSERT(memchr(str_c(&out), '/', out.len) == NULL);
	if (var_check(text, &source, &err) == 0 && !var_used(value) &&
	    strstr(text, "{if") == NULL && strstr(text, "{IF") == NULL &&
	    strstr(text, "{If") == NULL && strstr(text, "{iF") == NULL)
		ASSERT(ret == 0 || ret == VAR_REFUSED);
	str_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size > MAX_SIZE)
		return 0;
	text = mem_alloc(size + 2); /* ends with two NULs */
	if (size > 0)
		memcpy(text, data, size);
	if (!too_slow(text))
		fuzz_text(text, text + strlen(text) + 1);
	mem_free(&text);
	return 0;
}
