/* Curl in the loop: its sockets and its timer. Only lib/http/http.c has to do with it. */
#ifndef LIB_HTTP_MULTI_H
#define LIB_HTTP_MULTI_H

#include <curl/curl.h>

#include "lib/list.h"
#include "lib/loop.h"

struct http_multi {
	CURLM *curl;
	struct loop *loop;
	struct loop_timer timer;
	struct list sockets;
	void (*turned)(struct http_multi *multi);
};

/* turned() is called when curl has done something, so that requests may be over. */
void http_multi_open(struct http_multi *multi, struct loop *loop,
		     void (*turned)(struct http_multi *multi));

/* All requests have to be out of it. */
void http_multi_close(struct http_multi *multi);

/* CURLOPT_CLOSESOCKETFUNCTION, with the multi as its data. */
int http_multi_close_socket(void *multi, curl_socket_t fd);

/* That a request is over, before it is taken out: its connection may be kept for the
 * next one. */
void http_multi_keep(struct http_multi *multi, CURL *easy);

/* Before a request: shuts down kept connections on which something has come, though
 * nothing was asked, and those that the peer has closed. */
void http_multi_drop_spoilt(struct http_multi *multi);

#endif
