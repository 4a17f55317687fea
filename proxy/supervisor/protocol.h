/* What the supervisor and the worker process say to each other, one message a
 * packet (lib/channel.h), as bytes and back. No I/O here. Numbers are 32 bits,
 * little-endian. */
#ifndef PROXY_SUPERVISOR_PROTOCOL_H
#define PROXY_SUPERVISOR_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/str.h"
#include "proxy/conf_memfd.h"
#include "proxy/control/control.h"
#include "proxy/rawlog_rules.h"

#define SUPERVISOR_MAX_LISTENERS 256
#define SUPERVISOR_LISTENERS_PER_MESSAGE 64
#define SUPERVISOR_MAX_CONF CONF_MEMFD_MAX

enum supervisor_message_type {
	/* To the worker process: */
	SUPERVISOR_LISTENERS = 1, /* new ones: id and flags (a byte) of each,
				     a descriptor each */
	SUPERVISOR_RELOAD, /* conf_size in a memfd; ids: those in use now */
	SUPERVISOR_LOGS,   /* descriptors of the files in log_mask */
	SUPERVISOR_STOP,   /* gracefully, within timeout_ms */
	SUPERVISOR_ABORT,  /* now */
	/* To the supervisor: */
	SUPERVISOR_DONE,   /* started or reloaded: ok; else text says why */
	SUPERVISOR_WISH,   /* of an administrator, through the control socket:
			      wish, and its number */
	/* And to the worker process again: */
	SUPERVISOR_RELOADED, /* the end of a reload: ok; else text says why.
				number: of the last wish that came before the
				configuration was read */
	/* To the worker process, and back from it: */
	SUPERVISOR_PING, /* are all threads alive? */
	SUPERVISOR_PONG, /* they are */
	/* To the worker process: */
	SUPERVISOR_RETIRE, /* as SUPERVISOR_STOP; another process goes on */
	SUPERVISOR_STANDING, /* standing, and the number of the last wish that
				had come */
	/* To the supervisor: */
	SUPERVISOR_RAWLOG, /* of an administrator, too: what, an order of
			      proxy/rawlog_rules.h, and its number as a wish */
	/* And to all worker processes again: */
	SUPERVISOR_RAWLOGS, /* what, the rules in force. number: of the order of
			       this process that they follow, and ok: they do;
			       0: it was not its order */
};

struct supervisor_message {
	enum supervisor_message_type type;
	unsigned id_count;
	uint32_t ids[SUPERVISOR_MAX_LISTENERS];
	uint8_t flags[SUPERVISOR_LISTENERS_PER_MESSAGE]; /* enum listener_flag;
							    of the ids */
	uint32_t conf_size;
	uint8_t log_mask; /* bit n: enum log_file n */
	uint32_t timeout_ms;
	bool ok;
	char text[512];
	uint8_t wish; /* enum control_wish */
	uint32_t number;
	struct control_standing standing; /* up to 255 others */
	uint8_t what[RAWLOG_RULES_MAX_SIZE];
	size_t what_len;
};

/* How many descriptors come with the message. */
unsigned supervisor_protocol_fds(const struct supervisor_message *message);

/* Appends the bytes of a message, which is within the limits. */
void supervisor_protocol_encode(struct str *out,
				const struct supervisor_message *message);

/* Reads a message that came with fd_count descriptors. -1 unless every byte and
 * every descriptor is as the type wants it. */
int supervisor_protocol_decode(struct supervisor_message *message,
			       const void *data, size_t len, unsigned fd_count,
			       struct err *err);

#endif
