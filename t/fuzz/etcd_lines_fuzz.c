/* Lines of a watch are the same in whatever pieces they come: the first byte
 * is the size of a piece. */
#include "lib/etcd/lines.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

#define MAX_LINE 64

static void split(struct str *seen, const char *data, size_t size,
		  size_t piece)
{
	struct etcd_lines lines;
	const char *line;
	size_t len, at;
	int got = 0;

	etcd_lines_init(&lines, MAX_LINE);
	for (at = 0; at < size && got >= 0; at += piece) {
		etcd_lines_add(&lines, data + at,
			       size - at < piece ? size - at : piece);
		while ((got = etcd_lines_next(&lines, &line, &len)) == 1) {
			ASSERT(len > 0 && len <= MAX_LINE);
			str_append(seen, line, len);
			str_putc(seen, '\n');
		}
	}
	if (got >= 0 && etcd_lines_rest(&lines, &line, &len))
		str_append(seen, line, len);
	etcd_lines_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str whole = STR_INIT, pieces = STR_INIT;
	const char *text = (const char *)data + 1;

	if (size < 2 || size > 65536)
		return 0;
	split(&whole, text, size - 1, size - 1);
	split(&pieces, text, size - 1, 1 + data[0] % 100u);
	ASSERT(whole.len == pieces.len);
	ASSERT(whole.len == 0 ||
	       memcmp(whole.data, pieces.data, whole.len) == 0);
	str_free(&whole);
	str_free(&pieces);
	return 0;
}
