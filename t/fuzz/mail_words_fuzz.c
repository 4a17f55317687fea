/* A subject with encoded words: what comes of it is UTF-8 without NULs, and at most
 * three times as long. */
#include <string.h>

#include "backends/local/mail/words.h"
#include "lib/panic.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct str out = STR_INIT;

	mail_words_decode(&out, text, size);
	ASSERT(utf8_is_valid(str_c(&out), out.len));
	ASSERT(out.len <= 3 * size);
	ASSERT(memchr(text, '\0', size) != NULL ||
	       strlen(str_c(&out)) == out.len);
	str_free(&out);
	return 0;
}
