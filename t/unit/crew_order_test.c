#include "deliver/crew_order.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "deliver/crew_channel.h"
#include "lib/channel.h"
#include "lib/mem.h"

static const struct quota_setting quota[] = {
	{ "quota", "maildir:User quota" },
	{ "quota_rule", "*:storage=1G" },
	{ "quota_warning", "" },
};

static struct crew_order in, out;
static struct arena *arena;
static struct str bytes;
static struct err err;

static void setup(void)
{
	arena = arena_new(512);
	/* No two alike, so that none takes another's place. */
	in = (struct crew_order){
		.limit = 1,
		.name = "waypost",
		.policy = {
			.first_uid = 2,
			.last_uid = 3,
			.first_gid = 4,
			.last_gid = UINT32_MAX,
			.chroot_dirs = "/srv:/home",
			.privileged_group = "mail",
			.maildir = {
				.autocreate = true,
				.hostname = "host",
				.naming = { '/', "INBOX/" },
			},
			.quota = quota,
			.quota_count = 3,
			.lda_command = "/bin/lda -d %u",
			.lda_processes = 6,
			.log_format = "msgid=%m: %$",
			.original_header = "X-Original",
			.timeout = 7,
			.grace = 8,
			.sockets = true,
			.uid = 9,
			.gid = 10,
		},
		.logs = {
			.path = "/var/log/a",
			.info_path = "/var/log/b",
			.debug_path = "",
			.timestamp = "%Y ",
			.syslog_facility = "mail",
			.ident = "ident",
			.prefix = "master: ",
			.format = LOG_FORMAT_JSON,
			.priorities = LOG_PRIORITIES_NO,
			.error_burst = 11,
			.debug = true,
		},
	};
}

static void teardown(void)
{
	arena_free(&arena);
	str_free(&bytes);
}

TestSuite(crew_order, .init = setup, .fini = teardown);

static void encode(void)
{
	str_clear(&bytes);
	cr_assert_eq(crew_order_encode(&bytes, &in, &err), 0, "%s", err.text);
}

static int decode(void)
{
	return crew_order_decode(&out, arena, bytes.data, bytes.len, &err);
}

static void check_policy(const struct local_policy *a,
			 const struct local_policy *b)
{
	size_t i;

	cr_expect_eq(a->first_uid, b->first_uid);
	cr_expect_eq(a->last_uid, b->last_uid);
	cr_expect_eq(a->first_gid, b->first_gid);
	cr_expect_eq(a->last_gid, b->last_gid);
	cr_expect_str_eq(a->chroot_dirs, b->chroot_dirs);
	cr_expect_str_eq(a->privileged_group, b->privileged_group);
	cr_expect_eq(a->maildir.fsync, b->maildir.fsync);
	cr_expect_eq(a->maildir.autocreate, b->maildir.autocreate);
	cr_expect_eq(a->maildir.naming.separator,
		     b->maildir.naming.separator);
	cr_expect_str_eq(a->maildir.naming.prefix,
			 b->maildir.naming.prefix);
	cr_expect_eq(a->maildir.autosubscribe, b->maildir.autosubscribe);
	cr_expect_str_eq(a->maildir.hostname, b->maildir.hostname);
	cr_expect_str_eq(a->lda_command, b->lda_command);
	cr_expect_eq(a->lda_processes, b->lda_processes);
	cr_expect_str_eq(a->log_format, b->log_format);
	cr_expect_str_eq(a->original_header, b->original_header);
	cr_expect_null(a->expand);
	cr_expect_eq(a->timeout, b->timeout);
	cr_expect_eq(a->grace, b->grace);
	cr_expect_eq(a->sockets, b->sockets);
	cr_expect_eq(a->fixed, b->fixed);
	cr_expect_eq(a->uid, b->uid);
	cr_expect_eq(a->gid, b->gid);
	cr_assert_eq(a->quota_count, b->quota_count);
	for (i = 0; i < a->quota_count; i++) {
		cr_expect_str_eq(a->quota[i].name, b->quota[i].name);
		cr_expect_str_eq(a->quota[i].value, b->quota[i].value);
	}
}

static void check_logs(const struct log_settings *a,
		       const struct log_settings *b)
{
	cr_expect_str_eq(a->path, b->path);
	cr_expect_str_eq(a->info_path, b->info_path);
	cr_expect_str_eq(a->debug_path, b->debug_path);
	cr_expect_str_eq(a->timestamp, b->timestamp);
	cr_expect_str_eq(a->syslog_facility, b->syslog_facility);
	cr_expect_str_eq(a->ident, b->ident);
	cr_expect_str_eq(a->prefix, b->prefix);
	cr_expect_eq(a->format, b->format);
	cr_expect_eq(a->priorities, b->priorities);
	cr_expect_eq(a->error_burst, b->error_burst);
	cr_expect_eq(a->debug, b->debug);
}

static void check_order(void)
{
	cr_expect_eq(out.limit, in.limit);
	cr_expect_str_eq(out.name, in.name);
	check_policy(&out.policy, &in.policy);
	check_logs(&out.logs, &in.logs);
}

Test(crew_order, comes_back_as_it_was)
{
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	check_order();
	in.policy.maildir.fsync = in.policy.maildir.autosubscribe = true;
	in.policy.maildir.autocreate = in.policy.sockets = false;
	in.policy.fixed = true;
	in.logs.debug = false;
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	check_order();
}

/* Who adds a member has to add it to crew_order.c, and to the checks above. */
Test(crew_order, nothing_is_forgotten)
{
	if (sizeof(void *) != 8)
		return;
	cr_expect_eq(sizeof(struct local_policy), 144);
	cr_expect_eq(sizeof(struct maildir_settings), 32);
	cr_expect_eq(sizeof(struct log_settings), 72);
	cr_expect_eq(sizeof(struct crew_order), 232);
}

Test(crew_order, what_is_not_there_stays_so)
{
	in.policy.lda_command = in.policy.log_format = NULL;
	in.policy.original_header = in.logs.ident = NULL;
	in.policy.quota = NULL;
	in.policy.quota_count = 0;
	encode();
	cr_assert_eq(decode(), 0, "%s", err.text);
	cr_expect_null(out.policy.lda_command);
	cr_expect_null(out.policy.log_format);
	cr_expect_null(out.policy.original_header);
	cr_expect_null(out.logs.ident);
	cr_expect_eq(out.policy.quota_count, 0);
}

Test(crew_order, anything_cut_or_longer_is_refused)
{
	size_t len, whole;

	encode();
	whole = bytes.len;
	for (len = 0; len < whole; len++) {
		char *copy = malloc(len + 1); /* so that a sanitizer sees its end */

		memcpy(copy, bytes.data, len);
		cr_expect_eq(crew_order_decode(&out, arena, copy, len, &err), -1,
			     "%zu bytes", len);
		free(copy);
	}
	str_putc(&bytes, '\0');
	cr_expect_eq(decode(), -1);
}

/* The byte that many behind the first text. */
static void set_byte(const char *text, long offset, char byte)
{
	char *at;

	encode();
	at = memmem(bytes.data, bytes.len, text, strlen(text) + 1);
	cr_assert_not_null(at);
	at[offset] = byte;
}

Test(crew_order, values_out_of_range_are_refused)
{
	encode();
	bytes.data[0]++; /* another version */
	cr_expect_eq(decode(), -1);
	in.limit = 0;
	encode();
	cr_expect_eq(decode(), -1);
	in.limit = 1;
	in.policy.timeout = 0;
	encode();
	cr_expect_eq(decode(), -1);
	in.policy.timeout = 1;
	in.logs.format = (enum log_format)2;
	encode();
	cr_expect_eq(decode(), -1);
	in.logs.format = LOG_FORMAT_TEXT;
	in.logs.priorities = (enum log_priorities)3;
	encode();
	cr_expect_eq(decode(), -1);
	in.logs.priorities = LOG_PRIORITIES_AUTO;
	set_byte("/srv:/home", 11, 2); /* fsync */
	cr_expect_eq(decode(), -1);
	set_byte("/srv:/home", 4, '\0'); /* a NUL in a text */
	cr_expect_eq(decode(), -1);
	set_byte("/srv:/home", 10, 'x'); /* and none behind it */
	cr_expect_eq(decode(), -1);
	set_byte("/srv:/home", -1, '\x7f'); /* longer than all */
	cr_expect_eq(decode(), -1);
	set_byte("X-Original", 11 + 18, '\xff'); /* lists of that size */
	cr_expect_eq(decode(), -1);
	encode();
	cr_expect_eq(decode(), 0);
}

Test(crew_order, what_is_too_large_is_not_sent)
{
	char *text = mem_alloc(CREW_ORDER_MAX + 1);

	memset(text, 'x', CREW_ORDER_MAX);
	in.policy.lda_command = text;
	cr_expect_eq(crew_order_encode(&bytes, &in, &err), -1);
	mem_free(&text);
}

/* --- over the channel --- */

static int ends[2], files[LOG_FILES], got[LOG_FILES];

static int receive(void)
{
	return crew_channel_receive(ends[1], &out, arena, got, &err);
}

Test(crew_order, comes_over_a_channel_with_the_files)
{
	char text[8] = "";

	cr_assert_eq(channel_pair(ends, &err), 0);
	cr_expect_eq(receive(), 0);
	files[LOG_FILE_ERROR] = memfd_create("log", 0);
	files[LOG_FILE_INFO] = -1;
	files[LOG_FILE_DEBUG] = memfd_create("debug", 0);
	cr_assert_eq(crew_channel_order(ends[0], &in, files, &err), 0, "%s",
		     err.text);
	cr_assert_eq(receive(), 1, "%s", err.text);
	check_order();
	cr_expect_eq(got[LOG_FILE_INFO], -1);
	cr_expect_eq(write(files[LOG_FILE_DEBUG], "debug", 5), 5);
	cr_expect_eq(pread(got[LOG_FILE_DEBUG], text, 5, 0), 5);
	cr_expect_str_eq(text, "debug");
	cr_expect_eq(pread(got[LOG_FILE_ERROR], text, 5, 0), 0);
	close(ends[0]);
	cr_expect_eq(receive(), -1);
}

Test(crew_order, is_a_file_that_nobody_changes)
{
	struct channel_packet packet;

	cr_assert_eq(channel_pair(ends, &err), 0);
	memset(files, -1, sizeof(files));
	cr_assert_eq(crew_channel_order(ends[0], &in, files, &err), 0);
	cr_assert_eq(channel_recv(ends[1], &packet, &err), 1);
	cr_assert_eq(packet.fd_count, 1);
	cr_expect_eq(pwrite(packet.fds[0], "x", 1, 0), -1);
	cr_expect_eq(ftruncate(packet.fds[0], 1), -1);
	channel_packet_close(&packet);
}

static void send_packet(const char *data, size_t len, unsigned fd_count)
{
	int fds[4];
	unsigned i;

	for (i = 0; i < fd_count; i++) {
		fds[i] = memfd_create("file", 0);
		if (i == 0) {
			encode();
			cr_assert_eq(write(fds[i], bytes.data, bytes.len),
				     (ssize_t)bytes.len);
		}
	}
	cr_assert_eq(channel_send(ends[0], data, len, fds, fd_count, &err), 0);
}

Test(crew_order, packets_that_are_none_are_refused)
{
	cr_assert_eq(channel_pair(ends, &err), 0);
	send_packet("\0", 1, 1);
	cr_expect_eq(receive(), 1);
	send_packet("\0", 1, 0);
	cr_expect_eq(receive(), -1);
	send_packet("\0", 1, 2);
	cr_expect_eq(receive(), -1);
	send_packet("\1", 1, 1);
	cr_expect_eq(receive(), -1);
	send_packet("\10", 1, 2);
	cr_expect_eq(receive(), -1);
	send_packet("\0\0", 2, 1);
	cr_expect_eq(receive(), -1);
}

Test(crew_order, the_supervisor_hears_what_a_crew_says)
{
	enum crew_word word;

	cr_assert_eq(channel_pair(ends, &err), 0);
	cr_expect_eq(crew_channel_hear(ends[0], &word), 0);
	crew_channel_say(ends[1], CREW_BROKEN);
	crew_channel_say(ends[1], CREW_OBEYS);
	cr_expect_eq(crew_channel_hear(ends[0], &word), 1);
	cr_expect_eq(word, CREW_BROKEN);
	cr_expect_eq(crew_channel_hear(ends[0], &word), 1);
	cr_expect_eq(word, CREW_OBEYS);
	cr_expect_eq(crew_channel_hear(ends[0], &word), 0);
	close(ends[1]);
	cr_expect_eq(crew_channel_hear(ends[0], &word), -1);
}
