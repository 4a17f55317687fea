#include "proxy/supervisor/handover_state.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/conf_memfd.h"
#include "proxy/control/control.h"

/* Another number when the meaning of anything here, or of a message between
 * supervisor and worker process or crew, changes. */
#define VERSION "waypost-9"
#define MAX_NUMBERS 8

static void put_rawlogs(struct str *out, const struct handover_state *state)
{
	size_t i;

	if (state->rawlogs_len > 0)
		str_puts(out, " rawlogs=");
	for (i = 0; i < state->rawlogs_len; i++)
		str_printf(out, "%02x", state->rawlogs[i]);
}

static void put_worker(struct str *out, const char *name,
		       const struct handover_worker *worker)
{
	str_printf(out, " %s=%u,%u,%u,%u,%u,%u,%u,%u", name, (unsigned)worker->pid,
		   (unsigned)worker->channel, (unsigned)worker->requests,
		   (unsigned)worker->counts, (unsigned)worker->crew_pid,
		   (unsigned)worker->crew_control, worker->crew_unanswered,
		   worker->kill_ms);
}

void handover_state_encode(struct str *out, const struct handover_state *state)
{
	const struct handover_listener *listener;
	unsigned i;

	str_printf(out, VERSION " pid=%u lock=%u claims=%u conf=%u,%u orders=%u",
		   (unsigned)state->pid, (unsigned)state->lock_fd,
		   (unsigned)state->claims_fd, (unsigned)state->conf_fd,
		   state->conf_size, state->orders);
	put_rawlogs(out, state);
	if (state->worker.pid != 0)
		put_worker(out, "worker", &state->worker);
	for (i = 0; i < state->retired_count; i++)
		put_worker(out, "retired", &state->retired[i]);
	for (i = 0; i < state->listener_count; i++) {
		listener = &state->listeners[i];
		str_printf(out, " listener=%u,%u,%u,%llu,%llu",
			   (unsigned)listener->fd, listener->flags,
			   listener->foreign ? 1u : 0u,
			   (unsigned long long)listener->dev,
			   (unsigned long long)listener->ino);
	}
}

/* --- reading --- */

/* As it was written: no sign, no leading zero. */
static bool get_number(const char **rest, uint64_t max, uint64_t *number_r)
{
	const char *text = *rest;
	char *end;

	if (text[0] < '0' || text[0] > '9' ||
	    (text[0] == '0' && text[1] >= '0' && text[1] <= '9'))
		return false;
	errno = 0;
	*number_r = strtoull(text, &end, 10);
	*rest = end;
	return errno == 0 && *number_r <= max;
}

/* One word, " name=1,2,3". */
static bool get_word(const char **rest, const char *name, uint64_t *numbers,
		     const uint64_t *max, unsigned count)
{
	size_t len = strlen(name);
	unsigned i;

	if (strncmp(*rest, name, len) != 0)
		return false;
	*rest += len;
	for (i = 0; i < count; i++) {
		if (i > 0 && *(*rest)++ != ',')
			return false;
		if (!get_number(rest, max[i], &numbers[i]))
			return false;
	}
	return **rest == ' ' || **rest == '\0';
}

static bool get_header(const char **rest, struct handover_state *state)
{
	static const uint64_t pid_max = INT_MAX, fd_max = INT_MAX;
	static const uint64_t orders_max = CONTROL_ORDERS;
	static const uint64_t conf_max[] = { INT_MAX, CONF_MEMFD_MAX };
	uint64_t numbers[MAX_NUMBERS];

	if (!get_word(rest, " pid=", numbers, &pid_max, 1))
		return false;
	state->pid = (pid_t)numbers[0];
	if (!get_word(rest, " lock=", numbers, &fd_max, 1))
		return false;
	state->lock_fd = (int)numbers[0];
	if (!get_word(rest, " claims=", numbers, &fd_max, 1))
		return false;
	state->claims_fd = (int)numbers[0];
	if (!get_word(rest, " conf=", numbers, conf_max, 2))
		return false;
	state->conf_fd = (int)numbers[0];
	state->conf_size = (uint32_t)numbers[1];
	if (!get_word(rest, " orders=", numbers, &orders_max, 1))
		return false;
	state->orders = (unsigned)numbers[0];
	return state->pid > 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool are_rawlogs(const void *data, size_t len)
{
	struct rawlog_rules rules;
	bool right;

	rawlog_rules_init(&rules);
	right = len > 0 && rawlog_rules_decode(&rules, data, len) == 0;
	rawlog_rules_free(&rules);
	return right;
}

static bool get_rawlogs(const char **rest, struct handover_state *state)
{
	const char *text;

	if (strncmp(*rest, " rawlogs=", 9) != 0)
		return true;
	text = *rest + 9;
	for (; hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0; text += 2) {
		if (state->rawlogs_len == sizeof(state->rawlogs))
			return false;
		state->rawlogs[state->rawlogs_len++] =
			(uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
	}
	*rest = text;
	return (*text == ' ' || *text == '\0') &&
	       are_rawlogs(state->rawlogs, state->rawlogs_len);
}

/* name is " name=". */
static bool get_one_worker(const char **rest, const char *name,
			   struct handover_worker *worker)
{
	static const uint64_t max[] = { INT_MAX, INT_MAX, INT_MAX, INT_MAX,
					INT_MAX, INT_MAX, UINT32_MAX, UINT32_MAX };
	uint64_t numbers[MAX_NUMBERS];

	if (!get_word(rest, name, numbers, max, 8))
		return false;
	*worker = (struct handover_worker){
		.pid = (pid_t)numbers[0],
		.channel = (int)numbers[1],
		.requests = (int)numbers[2],
		.counts = (int)numbers[3],
		.crew_pid = (pid_t)numbers[4],
		.crew_control = (int)numbers[5],
		.crew_unanswered = (uint32_t)numbers[6],
		.kill_ms = (uint32_t)numbers[7],
	};
	return worker->pid > 0 &&
	       (worker->crew_pid == 0) == (worker->crew_control == 0) &&
	       (worker->crew_pid != 0 || worker->crew_unanswered == 0);
}

static bool get_worker(const char **rest, struct handover_state *state)
{
	if (strncmp(*rest, " worker=", 8) != 0)
		return true;
	return get_one_worker(rest, " worker=", &state->worker);
}

static bool get_retired(const char **rest, struct handover_state *state)
{
	while (strncmp(*rest, " retired=", 9) == 0) {
		if (state->retired_count == HANDOVER_RETIRED_MAX ||
		    !get_one_worker(rest, " retired=",
				    &state->retired[state->retired_count]))
			return false;
		state->retired_count++;
	}
	return true;
}

static bool get_listeners(const char **rest, struct handover_state *state)
{
	static const uint64_t max[] = { INT_MAX, LISTENER_FLAGS, 1, UINT64_MAX,
					UINT64_MAX };
	uint64_t numbers[MAX_NUMBERS];

	while (**rest != '\0') {
		if (state->listener_count == LISTENER_MAX ||
		    !get_word(rest, " listener=", numbers, max, 5) ||
		    (numbers[1] & ~(uint64_t)LISTENER_FLAGS) != 0)
			return false;
		state->listeners[state->listener_count++] =
			(struct handover_listener){
				.fd = (int)numbers[0],
				.flags = (unsigned)numbers[1],
				.foreign = numbers[2] == 1,
				.dev = numbers[3],
				.ino = numbers[4],
			};
	}
	return true;
}

/* --- what must be different --- */

struct seen {
	int fds[7 + 4 * HANDOVER_RETIRED_MAX + LISTENER_MAX];
	unsigned count;
};

/* The first three are standard input, output and error. */
static int see_fd(int fd, void *arg)
{
	struct seen *seen = arg;
	unsigned i;

	if (fd < 3)
		return -1;
	for (i = 0; i < seen->count; i++) {
		if (seen->fds[i] == fd)
			return -1;
	}
	seen->fds[seen->count++] = fd;
	return 0;
}

struct pids {
	pid_t list[3 + 2 * HANDOVER_RETIRED_MAX];
	unsigned count;
};

/* 0 is for nobody. */
static bool see_pid(struct pids *pids, pid_t pid)
{
	unsigned i;

	for (i = 0; i < pids->count; i++) {
		if (pids->list[i] == pid && pid != 0)
			return false;
	}
	pids->list[pids->count++] = pid;
	return true;
}

static bool see_pids(struct pids *pids, const struct handover_worker *worker)
{
	return see_pid(pids, worker->pid) && see_pid(pids, worker->crew_pid);
}

static bool has_pid_twice(const struct handover_state *state)
{
	struct pids pids = { .list = { state->pid }, .count = 1 };
	bool once = see_pids(&pids, &state->worker);
	unsigned i;

	for (i = 0; once && i < state->retired_count; i++)
		once = see_pids(&pids, &state->retired[i]);
	return !once;
}

int handover_state_decode(struct handover_state *state, const char *text,
			  struct err *err)
{
	const size_t len = strlen(VERSION);
	struct seen seen = { .count = 0 };
	const char *rest = text + len;

	memset(state, 0, sizeof(*state));
	if (strncmp(text, VERSION " ", len + 1) != 0)
		return err_set(err, "the running supervisor hands over in "
			       "another way than this version knows");
	if (!get_header(&rest, state) || !get_rawlogs(&rest, state) ||
	    !get_worker(&rest, state) ||
	    !get_retired(&rest, state) || !get_listeners(&rest, state))
		return err_set(err, "malformed " HANDOVER_VARIABLE
			       ", at byte %zu", (size_t)(rest - text));
	if (handover_state_each_fd(state, see_fd, &seen) < 0 ||
	    has_pid_twice(state))
		return err_set(err, HANDOVER_VARIABLE
			       " contradicts itself");
	return 0;
}

static int each_fd_of(const struct handover_worker *worker,
		      int (*fn)(int fd, void *arg), void *arg)
{
	int status = fn(worker->channel, arg);

	if (status == 0)
		status = fn(worker->requests, arg);
	if (status == 0)
		status = fn(worker->counts, arg);
	if (status == 0 && worker->crew_pid != 0)
		status = fn(worker->crew_control, arg);
	return status;
}

int handover_state_each_fd(const struct handover_state *state,
			   int (*fn)(int fd, void *arg), void *arg)
{
	int status = fn(state->lock_fd, arg);
	unsigned i;

	if (status == 0)
		status = fn(state->claims_fd, arg);
	if (status == 0)
		status = fn(state->conf_fd, arg);
	if (status == 0 && state->worker.pid != 0)
		status = each_fd_of(&state->worker, fn, arg);
	for (i = 0; status == 0 && i < state->retired_count; i++)
		status = each_fd_of(&state->retired[i], fn, arg);
	for (i = 0; status == 0 && i < state->listener_count; i++)
		status = fn(state->listeners[i].fd, arg);
	return status;
}
