#include "deliver/crew_order.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Another number when anything here, or what it means, changes. */
#define VERSION 2

enum kind {
	NUMBER, /* 32 bits */
	FLAG,
	BYTE,
	TEXT,
	TEXT_OR_NONE, /* may be NULL */
};

struct field {
	enum kind kind;
	size_t offset;
};

#define MEMBER(member) (((struct crew_order *)NULL)->member)
/* Of a kind whose members have that size: else it is an array of -1 bytes. */
#define FIELD(kind, type, member) \
	{ kind, offsetof(struct crew_order, member) + \
		0 * sizeof(char[sizeof(MEMBER(member)) == sizeof(type) ? 1 : -1]) }
#define NUMBER(member) FIELD(NUMBER, uint32_t, member)
#define FLAG(member) FIELD(FLAG, bool, member)
#define BYTE(member) FIELD(BYTE, char, member)
#define TEXT(member) FIELD(TEXT, char *, member)
#define TEXT_OR_NONE(member) FIELD(TEXT_OR_NONE, char *, member)

/* In the order of the file. */
static const struct field fields[] = {
	NUMBER(limit),
	TEXT(name),
	NUMBER(policy.first_uid),
	NUMBER(policy.last_uid),
	NUMBER(policy.first_gid),
	NUMBER(policy.last_gid),
	TEXT(policy.chroot_dirs),
	TEXT_OR_NONE(policy.privileged_group),
	FLAG(policy.maildir.fsync),
	FLAG(policy.maildir.autocreate),
	FLAG(policy.maildir.autosubscribe),
	TEXT(policy.maildir.hostname),
	BYTE(policy.maildir.naming.separator),
	TEXT_OR_NONE(policy.maildir.naming.prefix),
	TEXT_OR_NONE(policy.lda_command),
	NUMBER(policy.lda_processes),
	TEXT_OR_NONE(policy.log_format),
	TEXT_OR_NONE(policy.original_header),
	NUMBER(policy.timeout),
	NUMBER(policy.grace),
	FLAG(policy.sockets),
	FLAG(policy.fixed),
	NUMBER(policy.uid),
	NUMBER(policy.gid),
	TEXT(logs.path),
	TEXT(logs.info_path),
	TEXT(logs.debug_path),
	TEXT(logs.timestamp),
	TEXT(logs.syslog_facility),
	TEXT_OR_NONE(logs.ident),
	TEXT(logs.prefix),
	NUMBER(logs.format),
	NUMBER(logs.priorities),
	NUMBER(logs.error_burst),
	FLAG(logs.debug),
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* --- writing --- */

static void put_number(struct str *out, uint32_t value)
{
	int i;

	for (i = 0; i < 4; i++, value >>= 8)
		str_putc(out, (char)(value & 0xff));
}

static void put_text(struct str *out, const char *text)
{
	size_t len = text != NULL ? strlen(text) + 1 : 0;

	put_number(out, len <= CREW_ORDER_MAX ? (uint32_t)len : UINT32_MAX);
	str_append(out, text, len);
}

static void put_field(struct str *out, const struct field *field,
		      const struct crew_order *order)
{
	const char *member = (const char *)order + field->offset;

	switch (field->kind) {
	case NUMBER:
		put_number(out, *(const uint32_t *)(const void *)member);
		break;
	case FLAG:
		str_putc(out, *(const bool *)member);
		break;
	case BYTE:
		str_putc(out, *member);
		break;
	case TEXT:
	case TEXT_OR_NONE:
		put_text(out, *(const char *const *)(const void *)member);
		break;
	}
}

int crew_order_encode(struct str *out, const struct crew_order *order,
		      struct err *err)
{
	const struct local_policy *policy = &order->policy;
	size_t i, start = out->len;

	put_number(out, VERSION);
	for (i = 0; i < FIELDS; i++)
		put_field(out, &fields[i], order);
	put_number(out, (uint32_t)policy->quota_count);
	for (i = 0; i < policy->quota_count; i++) {
		put_text(out, policy->quota[i].name);
		put_text(out, policy->quota[i].value);
	}
	if (out->len - start > CREW_ORDER_MAX)
		return err_set(err, "the settings of local delivery have more "
			       "than %d bytes", CREW_ORDER_MAX);
	return 0;
}

/* --- reading --- */

struct cursor {
	const uint8_t *data;
	size_t len;
	bool bad;
};

static const uint8_t *get_bytes(struct cursor *in, size_t size)
{
	static const uint8_t zeroes[4];
	const uint8_t *bytes = in->data;

	if (in->len < size) {
		in->bad = true;
		in->len = 0;
		return zeroes;
	}
	in->data += size;
	in->len -= size;
	return bytes;
}

static uint32_t get_number(struct cursor *in)
{
	const uint8_t *bytes = get_bytes(in, 4);
	uint32_t value = 0;
	int i;

	for (i = 0; i < 4; i++)
		value |= (uint32_t)bytes[i] << (8 * i);
	return value;
}

static bool get_flag(struct cursor *in)
{
	uint8_t byte = *get_bytes(in, 1);

	in->bad |= byte > 1;
	return byte == 1;
}

static const char *get_text(struct cursor *in, bool or_none)
{
	uint32_t size = get_number(in);
	const char *text;

	if (size == 0) {
		in->bad |= !or_none;
		return or_none ? NULL : "";
	}
	if (size > in->len) {
		in->bad = true;
		return "";
	}
	text = (const char *)get_bytes(in, size);
	if (strnlen(text, size) != size - 1) {
		in->bad = true;
		return "";
	}
	return text;
}

static void get_field(struct cursor *in, const struct field *field,
		      struct crew_order *order)
{
	char *member = (char *)order + field->offset;

	switch (field->kind) {
	case NUMBER:
		*(uint32_t *)(void *)member = get_number(in);
		break;
	case FLAG:
		*(bool *)member = get_flag(in);
		break;
	case BYTE:
		*member = (char)*get_bytes(in, 1);
		break;
	case TEXT:
	case TEXT_OR_NONE:
		*(const char **)(void *)member =
			get_text(in, field->kind == TEXT_OR_NONE);
		break;
	}
}

static void get_quota(struct cursor *in, struct arena *arena,
		      struct local_policy *policy)
{
	const size_t least = 2 * (sizeof(uint32_t) + 1); /* empty texts */
	uint32_t i, count = get_number(in);
	struct quota_setting *list;

	if (in->bad || count > in->len / least) {
		in->bad = true;
		return;
	}
	list = arena_alloc(arena, count * sizeof(*list));
	for (i = 0; i < count; i++) {
		list[i].name = get_text(in, false);
		list[i].value = get_text(in, false);
	}
	policy->quota = list;
	policy->quota_count = count;
}

static bool is_sane(const struct crew_order *order)
{
	return order->limit > 0 && order->policy.timeout > 0 &&
	       (unsigned)order->logs.format <= LOG_FORMAT_JSON &&
	       (unsigned)order->logs.priorities <= LOG_PRIORITIES_NO;
}

int crew_order_decode(struct crew_order *order, struct arena *arena,
		      const void *data, size_t len, struct err *err)
{
	struct cursor in = { data, len, false };
	size_t i;

	memset(order, 0, sizeof(*order));
	if (get_number(&in) != VERSION)
		in.bad = true;
	for (i = 0; i < FIELDS; i++)
		get_field(&in, &fields[i], order);
	get_quota(&in, arena, &order->policy);
	if (in.bad || in.len > 0 || !is_sane(order))
		return err_set(err, "malformed order (%zu bytes)", len);
	return 0;
}
