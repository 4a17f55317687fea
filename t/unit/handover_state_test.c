#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proxy/control/control.h"
#include "proxy/supervisor/handover_state.h"

static struct handover_state in, out;
static struct err err;
static struct str text;

static void teardown(void)
{
	str_free(&text);
}

TestSuite(handover_state, .fini = teardown);

static void round_trip(const char *want)
{
	str_clear(&text);
	handover_state_encode(&text, &in);
	if (want != NULL)
		cr_assert_str_eq(str_c(&text), want);
	cr_assert_eq(handover_state_decode(&out, str_c(&text), &err), 0, "%s",
		     err.text);
	cr_assert_eq(memcmp(&in, &out, sizeof(in)), 0);
}

static void fill_least(void)
{
	in = (struct handover_state){
		.pid = 1,
		.lock_fd = 3,
		.claims_fd = 99,
		.conf_fd = 4,
		.conf_size = 0,
	};
}

Test(handover_state, comes_back_as_it_was)
{
	fill_least();
	round_trip("waypost-9 pid=1 lock=3 claims=99 conf=4,0 orders=0");
	in.conf_size = 64 * 1024 * 1024;
	in.orders = CONTROL_ORDERS;
	in.worker = (struct handover_worker){ .pid = 77, .channel = 9,
					      .requests = 11, .counts = 13 };
	in.retired_count = 1;
	in.retired[0] = (struct handover_worker){ 78, 10, 12, 14, 79, 15,
						  2, 65000 };
	in.listener_count = 2;
	in.listeners[0] = (struct handover_listener){ .fd = 5 };
	in.listeners[1] = (struct handover_listener){
		.fd = 6,
		.flags = LISTENER_FLAGS,
		.foreign = true,
		.dev = 2049,
		.ino = UINT64_MAX,
	};
	round_trip("waypost-9 pid=1 lock=3 claims=99 conf=4,67108864 orders=3 "
		   "worker=77,9,11,13,0,0,0,0 retired=78,10,12,14,79,15,2,65000 listener=5,0,0,0,0 "
		   "listener=6,15,1,2049,18446744073709551615");
}

Test(handover_state, rawlogs_come_along)
{
	struct str rules = STR_INIT;

	fill_least();
	rawlog_order_encode(&rules, "ann", "/a", 0xfe);
	in.rawlogs_len = rules.len;
	memcpy(in.rawlogs, rules.data, rules.len);
	round_trip("waypost-9 pid=1 lock=3 claims=99 conf=4,0 orders=0 "
		   "rawlogs=fe00000000000000616e6e002f6100");
	str_free(&rules);
}

static void fill_most(void)
{
	int i;

	fill_least();
	in.worker = (struct handover_worker){ .pid = 2, .channel = 5,
					      .requests = 6, .counts = 7,
					      .crew_pid = 3, .crew_control = 8 };
	for (i = 0; i < HANDOVER_RETIRED_MAX; i++)
		in.retired[in.retired_count++] =
			(struct handover_worker){ 100 + i, 100 + i, 200 + i,
						  300 + i, 200 + i, 400 + i, 2, 1 };
	for (i = 0; i < LISTENER_MAX; i++)
		in.listeners[in.listener_count++].fd = 1000 + i;
}

Test(handover_state, limits_hold)
{
	fill_most();
	round_trip(NULL);
	str_puts(&text, " listener=9999,0,0,0,0");
	cr_expect_eq(handover_state_decode(&out, str_c(&text), &err), -1);
	in.listener_count = 0;
	str_clear(&text);
	handover_state_encode(&text, &in);
	str_puts(&text, " retired=9999,9999,9998,9997,0,0,0,0");
	cr_expect_eq(handover_state_decode(&out, str_c(&text), &err), -1);
}

Test(handover_state, anything_else_is_refused)
{
	static const char *const bad[] = {
		"",
		"waypost-9",
		"waypost-9 ",
		"waypost-1 pid=1 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-91 pid=1 lock=3 claims=99 conf=4,5 orders=0",
		" waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 ",
		"waypost-9  pid=1 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=0 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=-1 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=+1 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=01 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid= lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=1x lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=2147483648 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=18446744073709551617 lock=3 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=2 claims=99 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=3 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=3 claims=2 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=3 claims=4 conf=4,5 orders=0",
		"waypost-9 pid=1 lock=3",
		"waypost-9 pid=1 conf=4,5 orders=0 lock=3",
		"waypost-9 pid=1 lock=3 claims=99 conf=4",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5,6 orders=0",
		"waypost-9 pid=1 lock=3 claims=99 conf=3,5 orders=0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,67108865 orders=0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=1,5,15,45,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=0,5,15,45,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,4,14,44,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,45,0,0,0,0 worker=6,6,16,46,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=0,6,26,46,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=1,6,26,46,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,45,0,0,0,0 retired=2,6,26,46,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=2,6,26,46,0,0,0,0 retired=2,7,27,47,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=2,6,26,46,0,0,0,4294967296",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=3,7,27,47,0,0,0,0 worker=2,5,15,45,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 listener=1,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 listener=6,4096,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 listener=6,0,2,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 listener=6,0,0,0",
		("waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 listener=6,0,0,0,0 "
		 "listener=6,0,0,0,0"),
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 rawlogs=",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 rawlogs=00",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 "
		"rawlogs=fe00000000000000616e6e002f610",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 "
		"rawlogs=FE00000000000000616e6e002f6100",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,45,0,0,0,0 "
		"rawlogs=fe00000000000000616e6e002f6100",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,5,45,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,3,45,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,6,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,0,6,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,2,6,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,1,6,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,6,15,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,6,7,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,0,0,1,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,5,15,25,6,7,0,0 "
		"retired=8,9,19,29,6,17,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=2,6,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 retired=2,6,6,46,0,0,0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 more=1",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=4",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0,0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 worker=2,6,16,46,0,0,0,0 orders=0",
		"waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0\n",
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		cr_expect_eq(handover_state_decode(&out, bad[i], &err), -1,
			     "%s", bad[i]);
		cr_expect_neq(err.text[0], '\0', "%s", bad[i]);
	}
}

static int note(int fd, void *arg)
{
	char *out_text = arg;
	size_t len = strlen(out_text);

	snprintf(out_text + len, 64 - len, " %d", fd);
	return fd == 8 ? 8 : 0;
}

Test(handover_state, every_descriptor_is_visited)
{
	char seen[64] = "";

	cr_assert_eq(handover_state_decode(
			     &in, "waypost-9 pid=1 lock=3 claims=99 conf=4,5 orders=0 worker=2,6,16,46,0,0,0,0 "
			     "retired=9,7,17,47,10,57,0,0 listener=8,0,0,0,0 "
			     "listener=9,0,0,0,0", &err), 0, "%s", err.text);
	cr_assert_eq(handover_state_each_fd(&in, note, seen), 8);
	cr_assert_str_eq(seen, " 3 99 4 6 16 46 7 17 47 57 8");
}
