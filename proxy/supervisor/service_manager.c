#include "proxy/supervisor/service_manager.h"

#include <stdio.h>
#include <time.h>

#include "lib/log/log.h"
#include "lib/sd_notify.h"

/* So that one answer that is late does no harm. */
#define PER_PERIOD 4

static void tell(const char *text)
{
	struct err err;

	if (sd_notify_send(text, &err) < 0)
		log_warning(NULL, "systemd: %s", err.text);
}

static void time_to_ask(struct loop_timer *timer)
{
	struct service_manager *manager =
		container_of(timer, struct service_manager, timer);

	loop_timer_set(&manager->timer, manager->interval_ms);
	manager->ask(manager);
}

void service_manager_open(struct service_manager *manager, struct loop *loop)
{
	uint64_t period_us = sd_notify_watchdog_us();

	loop_timer_open(&manager->timer, loop, time_to_ask);
	if (period_us == 0)
		return;
	manager->interval_ms = period_us / 1000 / PER_PERIOD + 1;
	loop_timer_set(&manager->timer, manager->interval_ms);
}

void service_manager_close(struct service_manager *manager)
{
	loop_timer_close(&manager->timer);
}

void service_manager_alive(void)
{
	tell("WATCHDOG=1");
}

void service_manager_ready(long worker, bool draining)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "READY=1\nSTATUS=%s with worker process %ld",
		 draining ? "Draining" : "Serving", worker);
	tell(text);
}

void service_manager_reloading(const char *status)
{
	struct timespec now;
	char text[256];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text),
		 "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=%s",
		 (unsigned long long)now.tv_sec * 1000000 +
			 (unsigned long long)now.tv_nsec / 1000,
		 status);
	tell(text);
}

void service_manager_stopping(uint64_t timeout_ms)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=%llu",
		 (unsigned long long)timeout_ms * 1000);
	tell(text);
}
