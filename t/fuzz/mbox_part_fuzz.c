/* What FILE.lock says, which anybody may have written: what is taken from it would be
 * written so. */
#include <string.h>

#include "backends/local/mbox/part.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbox_part part, again;
	struct str text = STR_INIT;

	if (!mbox_part_read(&part, (const char *)data, size))
		return 0;
	ASSERT(part.at >= 0);
	mbox_part_write(&text, part.at, part.start, part.start_len);
	ASSERT(text.len <= size);
	ASSERT(mbox_part_read(&again, text.data, text.len));
	ASSERT(again.at == part.at && again.start_len == part.start_len);
	ASSERT(memcmp(again.start, part.start, part.start_len) == 0);
	str_free(&text);
	return 0;
}
