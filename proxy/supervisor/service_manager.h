/* systemd, if it has started us: what it is told, and when (lib/sd_notify.h). */
#ifndef PROXY_SUPERVISOR_SERVICE_MANAGER_H
#define PROXY_SUPERVISOR_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"

struct service_manager {
	/* Set by the owner: time to find out whether all is well; if so,
	 * service_manager_alive(). */
	void (*ask)(struct service_manager *manager);
	uint64_t interval_ms; /* 0: there is no watchdog */
	struct loop_timer timer;
};

/* Has ask() called several times in each period of the watchdog, if there is
 * one. */
void service_manager_open(struct service_manager *manager, struct loop *loop);
void service_manager_close(struct service_manager *manager);

void service_manager_alive(void);

/* The service is up; worker is the process that serves, or drains. */
void service_manager_ready(long worker, bool draining);

/* A new configuration or program is being brought into use; "ready" follows,
 * whether that succeeds or not. */
void service_manager_reloading(const char *status);

/* The service is going to end, within timeout_ms. */
void service_manager_stopping(uint64_t timeout_ms);

#endif
