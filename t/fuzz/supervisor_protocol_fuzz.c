/* Messages between supervisor and worker process: the first byte is the number
 * of descriptors, the rest the message. What is accepted must be written back
 * as it came. */
#include <string.h>

#include "lib/panic.h"
#include "proxy/supervisor/protocol.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct supervisor_message message;
	struct str again = STR_INIT;
	struct err err;

	if (size == 0)
		return 0;
	if (supervisor_protocol_decode(&message, data + 1, size - 1, data[0],
				       &err) < 0)
		return 0;
	ASSERT(supervisor_protocol_fds(&message) == data[0]);
	supervisor_protocol_encode(&again, &message);
	ASSERT(again.len == size - 1);
	ASSERT(memcmp(again.data, data + 1, size - 1) == 0);
	str_free(&again);
	return 0;
}
