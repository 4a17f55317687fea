/* What a supervisor tells the program that it becomes by exec(): everything
 * that goes on while the program is replaced. As text in the environment, read
 * strictly; no I/O here. */
#ifndef PROXY_SUPERVISOR_HANDOVER_STATE_H
#define PROXY_SUPERVISOR_HANDOVER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/str.h"
#include "proxy/listener.h"
#include "proxy/rawlog_rules.h"

#define HANDOVER_VARIABLE "WAYPOST_HANDOVER"
#define HANDOVER_RETIRED_MAX 16

struct handover_worker {
	pid_t pid; /* 0: none */
	int channel, requests; /* our ends */
	int counts;		/* of its deliveries */
	pid_t crew_pid;		/* proxy/supervisor/crew_child.h; 0: none */
	int crew_control;	/* 0: none */
	uint32_t crew_unanswered; /* orders, whose answers are still to come */
	uint32_t kill_ms; /* in how many ms it is to be killed; 0: it is not */
};

struct handover_listener {
	int fd;
	unsigned flags; /* enum listener_flag */
	bool foreign;
	uint64_t dev, ino; /* as in struct listener */
};

struct handover_state {
	pid_t pid;   /* the supervisor's: of nobody else is this the state */
	int lock_fd; /* the file with its process id */
	int claims_fd; /* backends/director/claims.h */
	int conf_fd; /* the configuration in force, of conf_size bytes */
	uint32_t conf_size;
	unsigned orders; /* enum control_order */
	uint8_t rawlogs[RAWLOG_RULES_MAX_SIZE]; /* rawlog_rules_encode() */
	size_t rawlogs_len;
	struct handover_worker worker; /* that serves */
	struct handover_worker retired[HANDOVER_RETIRED_MAX];
	unsigned retired_count;
	struct handover_listener listeners[LISTENER_MAX];
	unsigned listener_count;
};

void handover_state_encode(struct str *out, const struct handover_state *state);

/* -1 for anything but what handover_state_encode() writes: a value out of
 * range, a descriptor or a process that comes twice, a text of another
 * version. */
int handover_state_decode(struct handover_state *state, const char *text,
			  struct err *err);

/* Calls fn for each descriptor; stops at the first that is not 0 and returns
 * that. */
int handover_state_each_fd(const struct handover_state *state,
			   int (*fn)(int fd, void *arg), void *arg);

#endif
