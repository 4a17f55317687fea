#include <criterion/criterion.h>
#include <string.h>

#include "lib/log/log.h"
#include "proxy/control/control.h"
#include "proxy/supervisor/protocol.h"

static struct supervisor_message in, out;
static struct err err;
static struct str bytes;

static void teardown(void)
{
	str_free(&bytes);
}

TestSuite(supervisor_protocol, .fini = teardown);

static void round_trip(void)
{
	str_clear(&bytes);
	supervisor_protocol_encode(&bytes, &in);
	cr_assert_eq(supervisor_protocol_decode(&out, bytes.data, bytes.len,
						supervisor_protocol_fds(&in),
						&err),
		     0, "%s", err.text);
	cr_assert_eq(memcmp(&in, &out, sizeof(in)), 0, "type %d changed",
		     (int)in.type);
}

Test(supervisor_protocol, every_message_comes_back_as_it_was)
{
	unsigned i;

	in.type = SUPERVISOR_LISTENERS;
	for (i = 0; i < SUPERVISOR_LISTENERS_PER_MESSAGE; i++) {
		in.flags[i] = i % 16;
		in.ids[in.id_count++] = i * 0x01020304u;
	}
	round_trip();
	memset(in.flags, 0, sizeof(in.flags));
	in.type = SUPERVISOR_RELOAD;
	for (; i < SUPERVISOR_MAX_LISTENERS; i++)
		in.ids[in.id_count++] = ~i;
	in.conf_size = SUPERVISOR_MAX_CONF;
	round_trip();
	in = (struct supervisor_message){ .type = SUPERVISOR_RELOAD };
	round_trip();
	in = (struct supervisor_message){ .type = SUPERVISOR_LOGS };
	for (; in.log_mask < 1 << LOG_FILES; in.log_mask++)
		round_trip();
	in = (struct supervisor_message){
		.type = SUPERVISOR_STOP,
		.timeout_ms = 0xfedcba98,
	};
	round_trip();
	in.type = SUPERVISOR_RETIRE;
	round_trip();
	in = (struct supervisor_message){ .type = SUPERVISOR_ABORT };
	round_trip();
	in.type = SUPERVISOR_PING;
	round_trip();
	in.type = SUPERVISOR_PONG;
	round_trip();
	in = (struct supervisor_message){ .type = SUPERVISOR_DONE, .ok = true };
	round_trip();
	in.ok = false;
	memset(in.text, 'x', sizeof(in.text) - 1);
	round_trip();
	in.type = SUPERVISOR_RELOADED;
	in.number = 0x89abcdef;
	round_trip();
	in = (struct supervisor_message){
		.type = SUPERVISOR_WISH,
		.number = 0x12345678,
	};
	for (; in.wish <= CONTROL_WISH_LAST; in.wish++)
		round_trip();
	in = (struct supervisor_message){
		.type = SUPERVISOR_STANDING,
		.standing = { .orders = CONTROL_ORDERS, .others = 255 },
		.number = UINT32_MAX,
	};
	round_trip();
	in = (struct supervisor_message){
		.type = SUPERVISOR_RAWLOG,
		.number = 0x01020304,
	};
	round_trip();
	memset(in.what, 'x', sizeof(in.what));
	in.what_len = sizeof(in.what);
	round_trip();
	in.type = SUPERVISOR_RAWLOGS;
	in.ok = true;
	round_trip();
}

Test(supervisor_protocol, numbers_are_little_endian)
{
	in.type = SUPERVISOR_STOP;
	in.timeout_ms = 0x01020304;
	supervisor_protocol_encode(&bytes, &in);
	cr_assert_eq(bytes.len, 5);
	cr_assert_eq(memcmp(bytes.data, "\4\4\3\2\1", 5), 0);
}

struct bad {
	const char *what;
	size_t len;
	unsigned fds;
	const char *data;
};

Test(supervisor_protocol, anything_else_is_refused)
{
	static const struct bad bad[] = {
		{ "nothing", 0, 0, "" },
		{ "type 0", 1, 0, "\0" },
		{ "type 15", 1, 0, "\x0f" },
		{ "rawlog without number", 4, 0, "\x0d\1\0\0" },
		{ "rawlog with fd", 5, 1, "\x0d\1\0\0\0" },
		{ "rawlogs, perhaps", 6, 0, "\x0e\2\1\0\0\0" },
		{ "type 255", 1, 0, "\xff" },
		{ "no listeners", 1, 0, "\1" },
		{ "part of an id", 4, 1, "\1\1\0\0" },
		{ "id without flags", 5, 1, "\1\1\0\0\0" },
		{ "unknown flag", 6, 1, "\1\1\0\0\0\x10" },
		{ "id and a bit", 7, 1, "\1\1\0\0\0\0\1" },
		{ "fewer fds than ids", 11, 1,
		  "\1\1\0\0\0\0\2\0\0\0\0" },
		{ "more fds than ids", 6, 2, "\1\1\0\0\0\0" },
		{ "reload without size", 4, 1, "\2\1\0\0" },
		{ "reload without memfd", 5, 0, "\2\1\0\0\0" },
		{ "reload too large", 5, 1, "\2\1\0\0\4" },
		{ "reload with part of an id", 6, 1, "\2\1\0\0\0\1" },
		{ "logs without mask", 1, 0, "\3" },
		{ "logs of unknown level", 2, 1, "\3\x08" },
		{ "logs with too few fds", 2, 1, "\3\3" },
		{ "logs with more bytes", 3, 1, "\3\1\0" },
		{ "stop cut short", 4, 0, "\4\1\0\0" },
		{ "stop with more", 6, 0, "\4\1\0\0\0\0" },
		{ "stop with fd", 5, 1, "\4\1\0\0\0" },
		{ "abort with more", 2, 0, "\5\0" },
		{ "done without result", 1, 0, "\6" },
		{ "done with another result", 2, 0, "\6\2" },
		{ "done with NUL", 4, 0, "\6\0a\0" },
		{ "done with fd", 2, 1, "\6\1" },
		{ "wish for nothing", 1, 0, "\7" },
		{ "unknown wish", 6, 0, "\7\x08\0\0\0\0" },
		{ "wish with more", 3, 0, "\7\1\0" },
		{ "reloaded without result", 1, 0, "\x08" },
		{ "retire cut short", 4, 0, "\x0b\1\0\0" },
		{ "ping with more", 2, 0, "\x09\0" },
		{ "pong with fd", 1, 1, "\x0a" },
		{ "unknown order", 7, 0, "\x0c\x04\0\0\0\0\0" },
		{ "standing cut short", 6, 0, "\x0c\1\0\0\0\0" },
		{ "standing with more", 8, 0, "\x0c\1\0\0\0\0\0\0" },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		cr_expect_eq(supervisor_protocol_decode(&out, bad[i].data,
							bad[i].len, bad[i].fds,
							&err),
			     -1, "%s", bad[i].what);
		cr_expect_neq(err.text[0], '\0', "%s", bad[i].what);
	}
}

static int decode_zeros(char type, size_t len, unsigned fds)
{
	char data[2048] = { type };

	return supervisor_protocol_decode(&out, data, len, fds, &err);
}

Test(supervisor_protocol, limits_hold)
{
	char done[2 + 512] = "\6\1";

	cr_expect_eq(decode_zeros(1, 1 + 5 * 64, 64), 0);
	cr_expect_eq(decode_zeros(1, 1 + 5 * 65, 65), -1);
	cr_expect_eq(decode_zeros(2, 5 + 4 * 256, 1), 0);
	cr_expect_eq(decode_zeros(2, 5 + 4 * 256 + 1, 1), -1);
	cr_expect_eq(decode_zeros(2, 5 + 4 * 257, 1), -1);
	memset(done + 2, 'x', 512);
	cr_expect_eq(supervisor_protocol_decode(&out, done, 2 + 511, 0, &err),
		     0);
	cr_expect_eq(strlen(out.text), 511);
	cr_expect_eq(supervisor_protocol_decode(&out, done, 2 + 512, 0, &err),
		     -1);
}
