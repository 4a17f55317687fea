#include "proxy/worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/channel.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/passdb.h"
#include "proxy/conf_memfd.h"
#include "proxy/control/control.h"
#include "proxy/director/keeper.h"
#include "proxy/logging.h"
#include "proxy/privileges.h"
#include "proxy/supervisor/protocol.h"
#include "proxy/user_limit.h"
#include "proxy/worker/pulse.h"
#include "proxy/worker/sockets.h"
#include "proxy/worker/worker.h"

#define MAX_WORKERS 256
#define ABORT_GRACE_MS 2000 /* for aborted sessions to be gone */
/* By each thread, for the next messages. */
#define KEPT_MEMORY ((size_t)4 * 1024 * 1024)

struct worker_process {
	struct loop *loop;
	int channel;
	struct loop_io io;
	struct loop_signal term;
	bool foreground, patient;
	struct control_standing standing; /* at the start */
	const struct rawlog_rules *rawlogs; /* the same */
	struct worker_source source; /* of the workers' views */
	struct worker_set set;
	struct worker_sockets sockets;
	struct director_keeper *keeper;
	struct control *control;
	char *account; /* see lookup_env */
	struct worker_pulse pulse;
	bool stopping, retiring, aborting;
	bool termed; /* a SIGTERM has come */
	bool started;	     /* all but the threads is there */
	bool serving;	     /* these, too */
	bool director_ready; /* or there is none */
	unsigned closed, drained;
	struct loop_timer deadline;
};

/* --- telling the supervisor --- */

static int send_message(int channel, const struct supervisor_message *message)
{
	struct str bytes = STR_INIT;
	struct err err;
	int status;

	supervisor_protocol_encode(&bytes, message);
	status = channel_send(channel, bytes.data, bytes.len, NULL, 0, &err);
	if (status < 0)
		log_error(NULL, "cannot answer the supervisor: %s", err.text);
	str_free(&bytes);
	return status;
}

static void send_done(int channel, bool ok, const char *text)
{
	struct supervisor_message message = {
		.type = SUPERVISOR_DONE,
		.ok = ok,
	};

	snprintf(message.text, sizeof(message.text), "%s", text);
	(void)send_message(channel, &message);
}

static int send_wish(void *arg, enum control_wish wish, uint32_t number)
{
	const struct worker_process *process = arg;
	const struct supervisor_message message = {
		.type = SUPERVISOR_WISH,
		.wish = (uint8_t)wish,
		.number = number,
	};

	return send_message(process->channel, &message);
}

static int send_rawlog(void *arg, const struct str *order, uint32_t number)
{
	const struct worker_process *process = arg;
	struct supervisor_message message = {
		.type = SUPERVISOR_RAWLOG,
		.number = number,
		.what_len = order->len,
	};

	ASSERT(order->len <= sizeof(message.what));
	memcpy(message.what, order->data, order->len);
	return send_message(process->channel, &message);
}

static void send_pong(struct worker_pulse *pulse)
{
	struct worker_process *process =
		container_of(pulse, struct worker_process, pulse);
	const struct supervisor_message message = { .type = SUPERVISOR_PONG };

	(void)send_message(process->channel, &message);
}

/* --- serving --- */

static void serve(struct worker_process *process)
{
	struct err err;
	unsigned i;

	process->serving = true;
	for (i = 0; i < process->set.count; i++) {
		if (worker_start(process->set.workers[i], &err) == 0)
			continue;
		send_done(process->channel, false, err.text);
		loop_stop(process->loop);
		return;
	}
	send_done(process->channel, true, "");
}

static void keeper_ready(void *arg)
{
	struct worker_process *process = arg;

	process->director_ready = true;
	if (process->started && !process->serving)
		serve(process);
}

static void start_to_serve(struct worker_process *process)
{
	process->started = true;
	if (process->director_ready || !process->patient)
		serve(process);
	else
		log_info(NULL, "waiting for the cluster's view of the "
			 "director's servers");
}

/* --- stopping --- */

static void abort_all(struct worker_process *process)
{
	unsigned i;

	if (process->aborting)
		return;
	process->aborting = true;
	for (i = 0; i < process->set.count; i++)
		worker_abort(process->set.workers[i]);
	loop_timer_set(&process->deadline, ABORT_GRACE_MS);
}

/* Once no worker accepts any more. */
static void end_sessions(struct worker_process *process)
{
	unsigned i;

	for (i = 0; i < process->set.count; i++) {
		worker_stop(process->set.workers[i], process->retiring);
		if (process->aborting)
			worker_abort(process->set.workers[i]);
	}
}

static void worker_closed(void *arg)
{
	struct worker_process *process = arg;

	if (++process->closed == process->set.count)
		end_sessions(process);
}

/* retire: another process goes on. It may still stop for good after that. */
static void stop_all(struct worker_process *process, uint64_t timeout_ms,
		     bool retire)
{
	bool again = process->stopping;
	unsigned i;

	if (again && (retire || !process->retiring))
		return;
	if (!process->serving)
		serve(process); /* threads close their listeners */
	process->stopping = true;
	process->retiring = retire;
	loop_timer_set(&process->deadline, timeout_ms);
	control_close(process->control);
	director_keeper_retire(process->keeper);
	if (again && process->closed == process->set.count)
		end_sessions(process);
	for (i = 0; !again && i < process->set.count; i++)
		worker_close_listeners(process->set.workers[i]);
}

static void deadline_over(struct loop_timer *timer)
{
	struct worker_process *process =
		container_of(timer, struct worker_process, deadline);

	if (process->aborting) {
		log_fatal(NULL, "sessions do not end: giving up on them");
		_exit(EXIT_FAILURE);
	}
	log_warning(NULL, "lmtp_shutdown_timeout is over: aborting sessions");
	abort_all(process);
}

static void worker_drained(void *arg)
{
	struct worker_process *process = arg;

	if (++process->drained < process->set.count)
		return;
	loop_timer_clear(&process->deadline);
	director_keeper_leave(process->keeper, !process->retiring);
}

static void keeper_left(void *arg)
{
	struct worker_process *process = arg;

	loop_stop(process->loop);
}

/* For whoever sends it to all processes. The first one is the supervisor's,
 * too, which may have told us to stop before. */
static void on_term(struct loop_signal *sig)
{
	struct worker_process *process =
		container_of(sig, struct worker_process, term);

	if (process->termed)
		abort_all(process);
	process->termed = true;
	stop_all(process, process->source.settings->shutdown_timeout, false);
}

/* --- configuration --- */

static void set_limit(struct worker_process *process)
{
	const struct settings *settings = process->source.settings;
	unsigned long processes = settings->service.process_limit;
	unsigned long clients = settings->service.client_limit;

	if (processes == 0)
		processes = settings->default_process_limit;
	if (clients == 0)
		clients = settings->default_client_limit;
	atomic_store(&process->set.max_sessions, processes * clients);
}

static unsigned worker_count(const struct settings *settings)
{
	unsigned count = settings->service.process_min_avail;
	cpu_set_t cpus;

	if (count == 0) {
		count = 1;
		if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
			count = (unsigned)CPU_COUNT(&cpus);
	}
	return count < MAX_WORKERS ? count : MAX_WORKERS;
}

/* All that a view is made of; takes settings over when it succeeds. */
static int make_source(struct worker_process *process,
		       struct settings *settings, struct worker_source *source,
		       struct err *err)
{
	source->settings = settings;
	source->tls = tls_set_new(settings, err);
	if (source->tls == NULL)
		return -1;
	source->shared =
		process->source.shared == NULL
			? passdb_shared_new(process->loop, &settings->passdb,
					    err)
			: passdb_shared_renew(process->source.shared,
					      &settings->passdb, err);
	if (source->shared != NULL)
		return 0;
	tls_set_unref(&source->tls);
	return -1;
}

static void drop_source(struct worker_source *source)
{
	passdb_shared_unref(&source->shared);
	tls_set_unref(&source->tls);
	settings_unref(&source->settings);
}

/* Has new sessions work with settings, which it takes over. */
static int use_settings(struct worker_process *process,
			struct settings *settings, struct err *err)
{
	struct worker_source source;
	unsigned i;

	if (make_source(process, settings, &source, err) < 0) {
		settings_unref(&settings);
		return -1;
	}
	if (worker_count(settings) != process->set.count)
		log_warning(NULL, "service lmtp { process_min_avail } takes "
			    "effect after a restart");
	if (director_keeper_use(process->keeper, settings, source.tls,
				err) < 0) {
		drop_source(&source);
		return -1;
	}
	for (i = 0; i < process->set.count; i++)
		worker_set_view(process->set.workers[i], &source);
	drop_source(&process->source);
	process->source = source;
	set_limit(process);
	return 0;
}

static int reload(struct worker_process *process,
		  const struct supervisor_message *message, int conf_fd,
		  struct err *err)
{
	struct settings *settings;
	unsigned i;

	for (i = 0; i < message->id_count; i++) {
		if (!worker_sockets_has(&process->sockets, message->ids[i]))
			return err_set(err, "listener %u did not come",
				       message->ids[i]);
	}
	settings = conf_memfd_read(conf_fd, message->conf_size, err);
	if (settings == NULL || use_settings(process, settings, err) < 0)
		return -1;
	worker_sockets_switch(&process->sockets, &process->set, message->ids,
			      message->id_count);
	return 0;
}

static void use_logs(struct worker_process *process, const int *fds)
{
	char prefix[32];
	struct log_settings logs;
	struct err err;
	int i;

	snprintf(prefix, sizeof(prefix), "lmtp(%ld): ", (long)getpid());
	logging_settings(&logs, process->source.settings, process->foreground,
			 prefix);
	if (log_adopt(&logs, fds, &err) == 0)
		return;
	log_error(NULL, "logs: %s", err.text);
	for (i = 0; i < LOG_FILES; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

/* --- messages of the supervisor --- */

static int take_fd(struct channel_packet *packet, unsigned i)
{
	int fd = packet->fds[i];

	packet->fds[i] = -1;
	return fd;
}

static int on_listeners(struct worker_process *process,
			const struct supervisor_message *message,
			struct channel_packet *packet, struct err *err)
{
	unsigned i;

	for (i = 0; i < message->id_count; i++) {
		if (worker_sockets_stage(&process->sockets, message->ids[i],
					 take_fd(packet, i), message->flags[i],
					 err) < 0)
			return -1;
	}
	return 0;
}

static void on_reload(struct worker_process *process,
		      const struct supervisor_message *message, int conf_fd)
{
	struct err err = { "stopping" };
	bool ok = !process->stopping &&
		  reload(process, message, conf_fd, &err) == 0;

	if (!ok)
		worker_sockets_drop_staged(&process->sockets);
	send_done(process->channel, ok, ok ? "" : err.text);
}

static void on_logs(struct worker_process *process,
		    const struct supervisor_message *message,
		    struct channel_packet *packet)
{
	int fds[LOG_FILES], i;
	unsigned next = 0;

	for (i = 0; i < LOG_FILES; i++)
		fds[i] = message->log_mask & 1 << i ? take_fd(packet, next++)
						    : -1;
	use_logs(process, fds);
}

static int on_message(struct worker_process *process,
		      struct channel_packet *packet, struct err *err)
{
	struct supervisor_message message;

	if (supervisor_protocol_decode(&message, packet->data, packet->len,
				       packet->fd_count, err) < 0)
		return -1;
	switch (message.type) {
	case SUPERVISOR_LISTENERS:
		return on_listeners(process, &message, packet, err);
	case SUPERVISOR_RELOAD:
		on_reload(process, &message, packet->fds[0]);
		return 0;
	case SUPERVISOR_LOGS:
		on_logs(process, &message, packet);
		return 0;
	case SUPERVISOR_STOP:
	case SUPERVISOR_RETIRE:
		stop_all(process, message.timeout_ms,
			 message.type == SUPERVISOR_RETIRE);
		return 0;
	case SUPERVISOR_ABORT:
		stop_all(process, 0, false);
		abort_all(process);
		return 0;
	case SUPERVISOR_RELOADED:
		control_reloaded(process->control, message.number, message.ok,
				 message.text);
		return 0;
	case SUPERVISOR_STANDING:
		director_keeper_stand(process->keeper);
		control_obey(process->control, &message.standing,
			     message.number);
		return 0;
	case SUPERVISOR_RAWLOGS:
		return control_rawlogs(process->control, message.what,
				       message.what_len, message.number,
				       message.ok, err);
	case SUPERVISOR_PING:
		worker_pulse_feel(&process->pulse);
		return 0;
	case SUPERVISOR_DONE:
	case SUPERVISOR_WISH:
	case SUPERVISOR_RAWLOG:
	case SUPERVISOR_PONG:
		break;
	}
	return err_set(err, "unexpected message");
}

/* Without a supervisor there is nobody who would tell us to stop. */
static void on_supervisor_gone(struct worker_process *process,
			       const struct err *err)
{
	loop_io_close(&process->io);
	if (process->stopping && !process->retiring)
		return;
	log_error(NULL, "supervisor: %s; stopping", err->text);
	stop_all(process, process->source.settings->shutdown_timeout, false);
}

static void on_channel(struct loop_io *io, unsigned events)
{
	struct worker_process *process =
		container_of(io, struct worker_process, io);
	struct channel_packet packet;
	struct err err;
	int got;

	(void)events;
	while ((got = channel_recv(process->channel, &packet, &err)) > 0) {
		got = on_message(process, &packet, &err);
		channel_packet_close(&packet);
		if (got < 0)
			break;
	}
	if (got < 0)
		on_supervisor_gone(process, &err);
}

/* --- starting and ending --- */

/* Our own descriptors: those that were inherited stay open as long as the
 * supervisor's set of listeners. */
static int copy_listeners(struct worker_process *process,
			  struct listener_set **listeners, struct err *err)
{
	uint32_t names[LISTENER_MAX];
	unsigned i, count = (*listeners)->count;
	int fd;

	for (i = 0; i < count; i++) {
		names[i] = (uint32_t)(*listeners)->items[i]->fd;
		fd = fcntl((*listeners)->items[i]->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return err_set(err, "dup: %s", strerror(errno));
		if (worker_sockets_stage(&process->sockets, names[i], fd,
					 (*listeners)->items[i]->flags,
					 err) < 0)
			return -1;
	}
	listener_set_forget(listeners);
	worker_sockets_switch(&process->sockets, &process->set, names, count);
	return 0;
}

static int make_workers(struct worker_process *process, struct err *err)
{
	struct worker_set *set = &process->set;
	unsigned i, count = worker_count(process->source.settings);

	set->workers = mem_alloc(count * sizeof(*set->workers));
	for (i = 0; i < count; i++) {
		set->workers[i] = worker_new(set, i, &process->source, err);
		if (set->workers[i] == NULL)
			return -1;
		set->workers[i]->draining =
			process->standing.orders & CONTROL_ORDER_DRAIN;
		rawlog_rules_copy(&set->workers[i]->rawlog_rules,
				  process->rawlogs);
		set->count++;
	}
	return 0;
}

static void make_control(struct worker_process *process)
{
	const struct control_env env = {
		.loop = process->loop,
		.set = &process->set,
		.source = &process->source,
		.keeper = process->keeper,
		.account = process->account,
		.standing = process->standing,
		.rawlogs = process->rawlogs,
		.wish = send_wish,
		.wish_rawlog = send_rawlog,
		.arg = process,
	};

	process->control = process->sockets.control = control_new(&env);
}

static int start(struct worker_process *process,
		 struct listener_set **listeners, struct err *err)
{
	static const struct director_keeper_events events = {
		keeper_ready, keeper_left,
	};

	process->keeper = director_keeper_new(process->loop, &process->set,
					      &events, process);
	process->set.keeper = process->keeper;
	process->account = privileges_account();
	make_control(process);
	if (make_source(process, process->source.settings, &process->source,
			err) < 0 ||
	    make_workers(process, err) < 0 ||
	    copy_listeners(process, listeners, err) < 0)
		return -1;
	if (director_keeper_use(process->keeper, process->source.settings,
				process->source.tls, err) < 0)
		return -1;
	set_limit(process);
	worker_set_reserve(&process->set);
	return 0;
}

static void init(struct worker_process *process,
		 const struct worker_process_args *args)
{
	process->channel = args->channel;
	process->set.requests = args->requests;
	process->set.counts = args->counts;
	process->set.claims = args->claims;
	process->set.as_root = args->privileges->change;
	process->foreground = args->foreground;
	process->patient = args->patient;
	process->standing = args->standing;
	process->rawlogs = args->rawlogs;
	process->source.settings = args->settings;
	mem_keep(KEPT_MEMORY);
	process->loop = loop_new();
	loop_set_pass_hook(process->loop, log_flush_lazily);
	loop_timer_open(&process->deadline, process->loop, deadline_over);
	loop_signal_open(&process->term, process->loop, SIGTERM, on_term);
	process->set.control = process->loop;
	process->set.closed = worker_closed;
	process->set.drained = worker_drained;
	process->set.arg = process;
	process->set.limits = remote_limits_new();
	process->set.user_limit = user_limit_new();
	process->pulse.set = &process->set;
	process->pulse.felt = send_pong;
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void deinit(struct worker_process *process)
{
	unsigned i;

	loop_io_close(&process->io);
	loop_timer_close(&process->deadline);
	loop_signal_close(&process->term);
	control_free(&process->control);
	for (i = 0; i < process->set.count; i++)
		worker_free(&process->set.workers[i]);
	director_keeper_close(process->keeper);
	/* What the workers gave back in the end was posted. */
	loop_post(process->loop, stop_loop, process->loop);
	loop_run(process->loop);
	worker_sockets_drop_staged(&process->sockets);
	director_keeper_free(&process->keeper);
	mem_free(&process->set.workers);
	mem_free(&process->account);
	remote_limits_free(&process->set.limits);
	user_limit_free(&process->set.user_limit);
	drop_source(&process->source);
	loop_free(&process->loop);
	/* The channel stays open: its end means that the process is dead. */
}

/* The files that the supervisor has opened, under our own name. */
static void copy_logs(struct worker_process *process)
{
	int fds[LOG_FILES], i;

	log_files(fds);
	for (i = 0; i < LOG_FILES; i++) {
		if (fds[i] >= 0)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
	}
	use_logs(process, fds);
}

int worker_process_run(const struct worker_process_args *args)
{
	struct worker_process *process = mem_new(struct worker_process);
	struct err err = { "" };
	int status = EXIT_SUCCESS;

	init(process, args);
	copy_logs(process);
	if (privileges_drop(args->privileges, &err) < 0 ||
	    start(process, args->listeners, &err) < 0) {
		send_done(process->channel, false, err.text);
		status = EXIT_FAILURE;
	} else {
		loop_io_open(&process->io, process->loop, process->channel,
			     on_channel);
		loop_io_want(&process->io, LOOP_READ);
		start_to_serve(process);
		loop_run(process->loop);
	}
	deinit(process);
	mem_free(&process);
	return status;
}
