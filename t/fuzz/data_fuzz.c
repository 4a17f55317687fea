/* First byte: policy and how to cut; the others: the stream, to which an end is
 * added. Whatever comes must be what the reference says, in any cut. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/data.h"
#include "t/data_reference.h"
#include "t/fuzz/fuzz.h"

struct scanned {
	struct smtp_data data;
	struct str stored;
	size_t used;
};

/* Feeds in, in pieces of the given size, with the odd one of a single byte. */
static void scan(struct scanned *scanned, enum smtp_data_policy policy,
		 const struct str *in, size_t piece)
{
	size_t len, used, keep, turn = 0;
	struct str out = STR_INIT;
	int ret = 0;

	smtp_data_init(&scanned->data, policy);
	while (ret == 0) {
		len = in->len - scanned->used;
		ASSERT(len > 0);
		if (len > piece)
			len = turn++ % 3 == 2 ? 1 : piece;
		str_clear(&out);
		ret = smtp_data_scan(&scanned->data, in->data + scanned->used,
				     len, &used, &keep, &out);
		ASSERT(keep <= used && used <= len && (ret == 1 || used == len));
		ASSERT(keep == 0 || out.len == 0);
		str_append(&scanned->stored, in->data + scanned->used, keep);
		str_append(&scanned->stored, out.data, out.len);
		scanned->used += used;
	}
	str_free(&out);
}

static void check(enum smtp_data_policy policy, const struct str *in,
		  size_t piece)
{
	size_t end = (size_t)data_reference_end(in->data, in->len);
	struct scanned scanned = { .used = 0 };
	struct str want = STR_INIT;
	bool bad = data_reference_store(policy, in->data, end, &want);
	const struct str *stored = &scanned.stored;

	scan(&scanned, policy, in, piece);
	ASSERT(scanned.used == end + 3 && scanned.data.size == end);
	ASSERT(scanned.data.bad == bad);
	ASSERT(stored->len == want.len && stored->len <= 2 * end);
	ASSERT(memcmp(str_c(stored), str_c(&want), want.len) == 0);
	ASSERT(data_reference_end(str_c(stored), stored->len) < 0);
	ASSERT(!data_reference_lax_end(str_c(stored), stored->len));
	str_free(&scanned.stored);
	str_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = STR_INIT;
	unsigned how = size > 0 ? data[0] : 0;

	if (size > 1)
		str_append(&in, data + 1, size - 1);
	str_puts(&in, "\r\n.\r\n");
	check((enum smtp_data_policy)(how % 3), &in, in.len);
	check((enum smtp_data_policy)(how % 3), &in, 1 + how / 3);
	str_free(&in);
	return 0;
}
