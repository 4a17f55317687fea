#include "proxy/supervisor/protocol.h"

#include <string.h>

#include "lib/log/log.h"
#include "lib/panic.h"
#include "proxy/listener.h"

#define NUMBER_SIZE 4

/* What is left to read of a message. */
struct cursor {
	const uint8_t *data;
	size_t len;
	bool bad;
};

unsigned supervisor_protocol_fds(const struct supervisor_message *message)
{
	switch (message->type) {
	case SUPERVISOR_LISTENERS:
		return message->id_count;
	case SUPERVISOR_RELOAD:
		return 1;
	case SUPERVISOR_LOGS:
		return (unsigned)__builtin_popcount(message->log_mask);
	case SUPERVISOR_STOP:
	case SUPERVISOR_RETIRE:
	case SUPERVISOR_ABORT:
	case SUPERVISOR_DONE:
	case SUPERVISOR_WISH:
	case SUPERVISOR_RELOADED:
	case SUPERVISOR_PING:
	case SUPERVISOR_PONG:
	case SUPERVISOR_STANDING:
	case SUPERVISOR_RAWLOG:
	case SUPERVISOR_RAWLOGS:
		return 0;
	}
	PANIC("unknown message type %d", (int)message->type);
}

static void put_number(struct str *out, uint32_t value)
{
	int i;

	for (i = 0; i < NUMBER_SIZE; i++)
		str_putc(out, (char)(value >> (8 * i) & 0xff));
}

static void put_ids(struct str *out, const struct supervisor_message *message)
{
	unsigned i;

	for (i = 0; i < message->id_count; i++)
		put_number(out, message->ids[i]);
}

static void put_listeners(struct str *out,
			  const struct supervisor_message *message)
{
	unsigned i;

	for (i = 0; i < message->id_count; i++) {
		put_number(out, message->ids[i]);
		str_putc(out, (char)message->flags[i]);
	}
}

void supervisor_protocol_encode(struct str *out,
				const struct supervisor_message *message)
{
	str_putc(out, (char)message->type);
	switch (message->type) {
	case SUPERVISOR_LISTENERS:
		put_listeners(out, message);
		break;
	case SUPERVISOR_RELOAD:
		put_number(out, message->conf_size);
		put_ids(out, message);
		break;
	case SUPERVISOR_LOGS:
		str_putc(out, (char)message->log_mask);
		break;
	case SUPERVISOR_STOP:
	case SUPERVISOR_RETIRE:
		put_number(out, message->timeout_ms);
		break;
	case SUPERVISOR_ABORT:
	case SUPERVISOR_PING:
	case SUPERVISOR_PONG:
		break;
	case SUPERVISOR_RELOADED:
		put_number(out, message->number);
		/* fall through */
	case SUPERVISOR_DONE:
		str_putc(out, message->ok);
		str_puts(out, message->text);
		break;
	case SUPERVISOR_WISH:
		str_putc(out, (char)message->wish);
		put_number(out, message->number);
		break;
	case SUPERVISOR_STANDING:
		str_putc(out, (char)message->standing.orders);
		str_putc(out, (char)message->standing.others);
		put_number(out, message->number);
		break;
	case SUPERVISOR_RAWLOGS:
		str_putc(out, message->ok);
		/* fall through */
	case SUPERVISOR_RAWLOG:
		put_number(out, message->number);
		str_append(out, message->what, message->what_len);
		break;
	}
}

static uint8_t get_byte(struct cursor *in)
{
	if (in->len == 0) {
		in->bad = true;
		return 0;
	}
	in->len--;
	return *in->data++;
}

static uint32_t get_number(struct cursor *in)
{
	uint32_t value = 0;
	int i;

	for (i = 0; i < NUMBER_SIZE; i++)
		value |= (uint32_t)get_byte(in) << (8 * i);
	return value;
}

/* The rest of the message, one at least. */
static void get_listeners(struct cursor *in, struct supervisor_message *message)
{
	const size_t size = NUMBER_SIZE + 1;
	unsigned i;

	if (in->len == 0 || in->len % size != 0 ||
	    in->len / size > SUPERVISOR_LISTENERS_PER_MESSAGE) {
		in->bad = true;
		return;
	}
	while (in->len > 0) {
		i = message->id_count++;
		message->ids[i] = get_number(in);
		message->flags[i] = get_byte(in);
		if ((message->flags[i] & ~LISTENER_FLAGS) != 0)
			in->bad = true;
	}
}

/* The rest of the message. */
static void get_ids(struct cursor *in, struct supervisor_message *message)
{
	if (in->len % NUMBER_SIZE != 0 ||
	    in->len / NUMBER_SIZE > SUPERVISOR_MAX_LISTENERS) {
		in->bad = true;
		return;
	}
	while (in->len > 0)
		message->ids[message->id_count++] = get_number(in);
}

/* The rest of the message. */
static void get_text(struct cursor *in, struct supervisor_message *message)
{
	if (in->len >= sizeof(message->text) ||
	    memchr(in->data, '\0', in->len) != NULL) {
		in->bad = true;
		return;
	}
	memcpy(message->text, in->data, in->len);
	in->data += in->len;
	in->len = 0;
}

/* The rest of the message. */
static void get_what(struct cursor *in, struct supervisor_message *message)
{
	if (in->len > sizeof(message->what)) {
		in->bad = true;
		return;
	}
	memcpy(message->what, in->data, in->len);
	message->what_len = in->len;
	in->data += in->len;
	in->len = 0;
}

static void get_bool(struct cursor *in, bool *value_r)
{
	uint8_t byte = get_byte(in);

	*value_r = byte == 1;
	if (byte > 1)
		in->bad = true;
}

static void get_message(struct cursor *in, struct supervisor_message *message)
{
	switch (message->type) {
	case SUPERVISOR_LISTENERS:
		get_listeners(in, message);
		break;
	case SUPERVISOR_RELOAD:
		message->conf_size = get_number(in);
		get_ids(in, message);
		if (message->conf_size > SUPERVISOR_MAX_CONF)
			in->bad = true;
		break;
	case SUPERVISOR_LOGS:
		message->log_mask = get_byte(in);
		if (message->log_mask >= 1 << LOG_FILES)
			in->bad = true;
		break;
	case SUPERVISOR_STOP:
	case SUPERVISOR_RETIRE:
		message->timeout_ms = get_number(in);
		break;
	case SUPERVISOR_ABORT:
	case SUPERVISOR_PING:
	case SUPERVISOR_PONG:
		break;
	case SUPERVISOR_RELOADED:
		message->number = get_number(in);
		/* fall through */
	case SUPERVISOR_DONE:
		get_bool(in, &message->ok);
		get_text(in, message);
		break;
	case SUPERVISOR_WISH:
		message->wish = get_byte(in);
		message->number = get_number(in);
		if (message->wish > CONTROL_WISH_LAST)
			in->bad = true;
		break;
	case SUPERVISOR_STANDING:
		message->standing.orders = get_byte(in);
		message->standing.others = get_byte(in);
		message->number = get_number(in);
		if (message->standing.orders > CONTROL_ORDERS)
			in->bad = true;
		break;
	case SUPERVISOR_RAWLOGS:
		get_bool(in, &message->ok);
		/* fall through */
	case SUPERVISOR_RAWLOG:
		message->number = get_number(in);
		get_what(in, message);
		break;
	default:
		in->bad = true;
	}
}

int supervisor_protocol_decode(struct supervisor_message *message,
			       const void *data, size_t len, unsigned fd_count,
			       struct err *err)
{
	struct cursor in = { data, len, false };
	uint8_t type = get_byte(&in);

	memset(message, 0, sizeof(*message));
	message->type = type;
	get_message(&in, message);
	if (in.bad || in.len > 0)
		return err_set(err, "malformed message (type %u, %zu bytes)",
			       type, len);
	if (fd_count != supervisor_protocol_fds(message))
		return err_set(err, "message of type %u with %u descriptors",
			       type, fd_count);
	return 0;
}
