/* First byte: policy and how to cut; up to CRLF: BDAT's parameters; the others:
 * octets of chunks. What is stored depends neither on the cuts nor on dots. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/chunk.h"
#include "lib/smtp/data.h"
#include "t/data_reference.h"
#include "t/fuzz/fuzz.h"

static void check_args(const char *args, size_t len)
{
	struct smtp_chunk chunk;
	struct err err = { "" };
	int ret = smtp_chunk_parse(args, len, &chunk, &err);

	ASSERT((ret < 0) == (err.text[0] != '\0'));
	ASSERT(ret < 0 || chunk.size_known);
	ASSERT(!chunk.size_known || chunk.size <= SMTP_CHUNK_MAX);
	ASSERT(!chunk.size_known || (len > 0 && args[0] <= '9'));
}

static void check_octets(enum smtp_data_policy policy, const char *in,
			 size_t len, size_t piece)
{
	struct smtp_data data;
	struct str out = STR_INIT, stored = STR_INIT, want = STR_INIT;
	bool bad = data_reference_store_octets(policy, in, len, &want);
	size_t at, part, used, keep;

	smtp_data_init_octets(&data, policy);
	for (at = 0; at < len; at += used) {
		part = len - at < piece ? len - at : piece;
		str_clear(&out);
		ASSERT(smtp_data_scan(&data, in + at, part, &used, &keep,
				      &out) == 0);
		ASSERT(used == part && keep <= used);
		ASSERT(keep == 0 || out.len == 0);
		str_append(&stored, in + at, keep);
		str_append(&stored, out.data, out.len);
	}
	smtp_data_finish_octets(&data, &stored);
	ASSERT(data.bad == bad && data.size == len);
	ASSERT(stored.len == want.len && stored.len <= 2 * len);
	ASSERT(memcmp(str_c(&stored), str_c(&want), want.len) == 0);
	str_free(&out);
	str_free(&stored);
	str_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end;
	unsigned how;

	if (size == 0)
		return 0;
	how = data[0];
	text++;
	size--;
	end = memmem(text, size, "\r\n", 2);
	check_args(text, end != NULL ? (size_t)(end - text) : size);
	check_octets((enum smtp_data_policy)(how % 3), text, size, size + 1);
	check_octets((enum smtp_data_policy)(how % 3), text, size,
		     1 + how / 3);
	return 0;
}
