#include "backends/local/request.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "lib/channel.h"

#define VERSION 4
#define NSEC_PER_SEC 1000000000
#define SECONDS_MAX ((uint64_t)1 << 40)

/* --- writing --- */

static void put_number(struct str *out, uint64_t value, int size)
{
	for (; size > 0; size--, value >>= 8)
		str_putc(out, (char)(value & 0xff));
}

static void put_bytes(struct str *out, const char *data, size_t len)
{
	put_number(out, len, 2);
	str_append(out, data, len);
	str_putc(out, '\0');
}

struct string_field {
	const char *name;
	size_t offset;
};

/* In the order of the packet. */
static const struct string_field string_fields[] = {
	{ "user", offsetof(struct local_request, user) },
	{ "home", offsetof(struct local_request, home) },
	{ "chroot", offsetof(struct local_request, chroot) },
	{ "mail_location", offsetof(struct local_request, location) },
	{ "mailbox", offsetof(struct local_request, mailbox) },
	{ "system_groups_user", offsetof(struct local_request, groups_user) },
	{ "mail_access_groups", offsetof(struct local_request, groups) },
	{ "sender", offsetof(struct local_request, mail_from) },
	{ "recipient", offsetof(struct local_request, rcpt_to) },
	{ "ORCPT", offsetof(struct local_request, orcpt) },
	{ "detail", offsetof(struct local_request, detail) },
	{ "copy", offsetof(struct local_request, copy) },
};

#define STRING_FIELDS (sizeof(string_fields) / sizeof(string_fields[0]))

static int put_string(struct str *out, const char *name, const char *text,
		      struct err *err)
{
	size_t len = strlen(text);

	if (len > LOCAL_REQUEST_STRING)
		return err_set(err, "%.100s has %zu bytes, which is more than %d",
			       name, len, LOCAL_REQUEST_STRING);
	put_bytes(out, text, len);
	return 0;
}

static int put_strings(struct str *out, const struct local_request *request,
		       struct err *err)
{
	size_t i;

	for (i = 0; i < STRING_FIELDS; i++) {
		const struct string_field *field = &string_fields[i];
		const char *text = *(const char *const *)
			((const char *)request + field->offset);

		if (put_string(out, field->name, text, err) < 0)
			return -1;
	}
	return 0;
}

static int put_rules(struct str *out, const struct local_request *request,
		     struct err *err)
{
	unsigned i;

	put_number(out, request->rule_count, 1);
	for (i = 0; i < request->rule_count; i++) {
		const struct quota_setting *rule = &request->rules[i];

		if (put_string(out, "quota_rule's name", rule->name, err) < 0 ||
		    put_string(out, rule->name, rule->value, err) < 0)
			return -1;
	}
	return 0;
}

int local_request_encode(struct str *out, const struct local_request *request,
			 struct err *err)
{
	size_t start = out->len;

	put_number(out, VERSION, 1);
	put_number(out, request->kind, 1);
	put_number(out, request->uid, 4);
	put_number(out, request->gid, 4);
	put_number(out, request->size, 8);
	put_number(out, (uint64_t)request->received.tv_sec, 8);
	put_number(out, (uint64_t)request->received.tv_nsec, 4);
	put_number(out, request->deadline_ms, 8);
	put_number(out, request->session_ms, 4);
	if (put_strings(out, request, err) < 0 ||
	    put_rules(out, request, err) < 0)
		return -1;
	if (out->len - start + request->head_len + 3 > CHANNEL_MAX_DATA)
		return err_set(err, "paths, name and headers are too long to "
			       "be passed on");
	put_bytes(out, request->head, request->head_len);
	return 0;
}

bool local_request_is_mbox(const struct local_request *request)
{
	return strncmp(request->location, "mbox:", 5) == 0;
}

void local_request_who(struct str *out, const struct local_request *request)
{
	const char *const texts[] = { request->chroot, request->groups_user,
				      request->groups };
	size_t i;

	put_number(out, request->uid, 4);
	put_number(out, request->gid, 4);
	put_number(out, local_request_is_mbox(request), 1);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		str_append(out, texts[i], strlen(texts[i]) + 1);
}

/* --- reading --- */

struct cursor {
	const uint8_t *data;
	size_t len;
	bool bad;
};

static uint64_t get_number(struct cursor *in, int size)
{
	uint64_t value = 0;
	int i;

	if (in->len < (size_t)size) {
		in->bad = true;
		in->len = 0;
		return 0;
	}
	for (i = 0; i < size; i++)
		value |= (uint64_t)in->data[i] << (8 * i);
	in->data += size;
	in->len -= (size_t)size;
	return value;
}

/* "" when it is bad. */
static const char *get_bytes(struct cursor *in, size_t max, size_t *len_r)
{
	size_t len = (size_t)get_number(in, 2);
	const char *text = (const char *)in->data;

	*len_r = 0;
	if (in->bad || len > max || in->len < len + 1 || text[len] != '\0' ||
	    memchr(text, '\0', len) != NULL) {
		in->bad = true;
		return "";
	}
	*len_r = len;
	in->data += len + 1;
	in->len -= len + 1;
	return text;
}

static void get_strings(struct cursor *in, struct local_request *request)
{
	size_t i, len;

	for (i = 0; i < STRING_FIELDS; i++)
		*(const char **)((char *)request + string_fields[i].offset) =
			get_bytes(in, LOCAL_REQUEST_STRING, &len);
}

/* Rules are all that a userdb may say of quota: whoever sends requests must not have
 * us run commands. */
static void get_rules(struct cursor *in, struct local_request *request)
{
	unsigned i, number, count = (unsigned)get_number(in, 1);
	size_t len;

	if (count > LOCAL_REQUEST_RULES) {
		in->bad = true;
		return;
	}
	for (i = 0; i < count; i++) {
		struct quota_setting *rule = &request->rules[i];

		rule->name = get_bytes(in, LOCAL_REQUEST_STRING, &len);
		rule->value = get_bytes(in, LOCAL_REQUEST_STRING, &len);
		if (quota_setting_kind(rule->name, &number) != QUOTA_RULE)
			in->bad = true;
	}
	request->rule_count = count;
}

static void get_received(struct cursor *in, struct timespec *received)
{
	uint64_t seconds = get_number(in, 8), nanos = get_number(in, 4);

	if (seconds > SECONDS_MAX || nanos >= NSEC_PER_SEC) {
		in->bad = true;
		return;
	}
	received->tv_sec = (time_t)seconds;
	received->tv_nsec = (long)nanos;
}

static bool is_path_or_empty(const char *text)
{
	return *text == '\0' || *text == '/';
}

static bool is_sane(const struct local_request *request)
{
	return request->kind <= LOCAL_REQUEST_CHECK &&
	       *request->user != '\0' && *request->mailbox != '\0' &&
	       is_path_or_empty(request->home) &&
	       is_path_or_empty(request->chroot) &&
	       is_path_or_empty(request->copy) && request->size <= INT64_MAX;
}

int local_request_decode(struct local_request *request, const void *data,
			 size_t len, struct err *err)
{
	struct cursor in = { data, len, false };

	memset(request, 0, sizeof(*request));
	if (get_number(&in, 1) != VERSION)
		in.bad = true;
	request->kind = (enum local_request_kind)get_number(&in, 1);
	request->uid = (uid_t)get_number(&in, 4);
	request->gid = (gid_t)get_number(&in, 4);
	request->size = get_number(&in, 8);
	get_received(&in, &request->received);
	request->deadline_ms = get_number(&in, 8);
	request->session_ms = (uint32_t)get_number(&in, 4);
	get_strings(&in, request);
	get_rules(&in, request);
	request->head = get_bytes(&in, CHANNEL_MAX_DATA, &request->head_len);
	if (in.bad || in.len > 0 || !is_sane(request))
		return err_set(err, "malformed request (%zu bytes)", len);
	return 0;
}

unsigned local_request_fds(enum local_request_kind kind)
{
	return kind == LOCAL_REQUEST_CHECK ? LOCAL_REQUEST_MESSAGE
					   : LOCAL_REQUEST_FDS;
}

/* --- results --- */

/* It goes out to the client. */
static bool is_printable(const char *text)
{
	while ((unsigned char)*text >= ' ' && *text != 0x7f)
		text++;
	return *text == '\0';
}

void local_result_encode(struct str *out, const struct local_result *result)
{
	put_number(out, result->status, 1);
	put_number(out, (uint32_t)result->error, 4);
	put_bytes(out, result->text,
		  strnlen(result->text, sizeof(result->text) - 1));
	put_bytes(out, result->reply,
		  strnlen(result->reply, sizeof(result->reply) - 1));
	put_bytes(out, result->log, strnlen(result->log, sizeof(result->log) - 1));
	put_bytes(out, result->path,
		  strnlen(result->path, sizeof(result->path) - 1));
	put_number(out, result->linked, 1);
}

int local_result_decode(struct local_result *result, const void *data,
			size_t len, struct err *err)
{
	struct cursor in = { data, len, false };
	uint64_t status = get_number(&in, 1), error = get_number(&in, 4);
	size_t text_len, reply_len, log_len, path_len;
	const char *text = get_bytes(&in, sizeof(result->text) - 1, &text_len);
	const char *reply = get_bytes(&in, sizeof(result->reply) - 1, &reply_len);
	const char *log = get_bytes(&in, sizeof(result->log) - 1, &log_len);
	const char *path = get_bytes(&in, sizeof(result->path) - 1, &path_len);
	uint64_t linked = get_number(&in, 1);

	if (in.bad || in.len > 0 || status > LOCAL_FAILED || error > INT_MAX ||
	    !is_printable(reply) || !is_path_or_empty(path) || linked > 1)
		return err_set(err, "malformed result (%zu bytes)", len);
	result->status = (enum local_status)status;
	result->error = (int)error;
	memcpy(result->text, text, text_len + 1);
	memcpy(result->reply, reply, reply_len + 1);
	memcpy(result->log, log, log_len + 1);
	result->id[0] = '\0';
	memcpy(result->path, path, path_len + 1);
	result->linked = linked;
	return 0;
}
