/* The text of a file maildirsize: what is read is written so that it reads the same.
 * The same bytes as the names of a mail and of a folder. */
#include <string.h>

#include "backends/local/maildir/folders.h"
#include "backends/local/quota/maildirsize_text.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192

static void check_text(const struct maildirsize_text *text)
{
	struct maildirsize_text again;
	struct str out = STR_INIT;

	ASSERT(text->used.bytes <= INT64_MAX && text->used.messages <= INT64_MAX);
	maildirsize_text_write(&text->limit, &text->used, &out);
	ASSERT(maildirsize_text_parse(out.data, out.len, &again) == 0);
	ASSERT(again.has_limit && again.lines == 1);
	ASSERT(memcmp(&again.used, &text->used, sizeof(again.used)) == 0);
	ASSERT(memcmp(&again.limit, &text->limit, sizeof(again.limit)) == 0);
	str_free(&out);
}

static void check_name(const char *name)
{
	struct str out = STR_INIT;

	if (maildir_folder_name(name, &out) == 0) {
		ASSERT(utf8_is_valid(str_c(&out), out.len));
		ASSERT(strlen(str_c(&out)) == out.len);
		ASSERT(strchr(name, '&') != NULL ||
		       strcmp(name, str_c(&out)) == 0);
	}
	str_free(&out);
	ASSERT(maildirsize_of_name(name) >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maildirsize_text text;
	char *name;

	if (size > MAX_SIZE)
		return 0;
	if (maildirsize_text_parse((const char *)data, size, &text) == 0)
		check_text(&text);
	ASSERT(text.limit.bytes <= INT64_MAX && text.limit.messages <= INT64_MAX);
	name = mem_strndup((const char *)data, size);
	check_name(name);
	mem_free(&name);
	return 0;
}
