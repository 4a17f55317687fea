/* Connects to the first of several addresses that answers, attempts
 * overlapping as RFC 8305 ("Happy Eyeballs") says. */
#ifndef LIB_CONNECT_H
#define LIB_CONNECT_H

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/loop.h"

struct connect_request;

struct connect_params {
	const struct addr *addrs; /* in order of preference; copied */
	unsigned count;		  /* at least 1 */
	const struct addr *source; /* bind to it; NULL: the kernel chooses.
				      Addresses of another family are then
				      passed over. Copied */
	unsigned timeout_ms;	  /* for everything together */
	unsigned stagger_ms;	  /* next attempt while one is under way (250) */
};

/* Starts connecting (TCP and UNIX sockets). fn is called once, from the loop
 * and not inside this call: with a connected non-blocking fd (close-on-exec,
 * TCP_NODELAY, keepalive) that the callee owns and the address it is connected
 * to, or with fd -1, no address and the reason, which names each address tried
 * ("connect(192.0.2.1:24) failed: Connection refused; connect(...) failed:
 * bind: Cannot assign requested address"). The request is over by then; addr
 * and error are valid until fn returns. A UNIX socket whose backlog is full is
 * tried again until the timeout. */
struct connect_request *
connect_start(struct loop *loop, const struct connect_params *params,
	      void (*fn)(void *arg, int fd, const struct addr *addr,
			 const char *error),
	      void *arg);

/* Gives up and closes everything (before fn was called); clears the pointer,
 * NULL is fine. */
void connect_cancel(struct connect_request **request);

#endif
