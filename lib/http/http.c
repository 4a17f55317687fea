#include "lib/http/http.h"

#include <string.h>

#include "lib/http/multi.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define HTTP_MAX_ADDRS 8 /* of a server that are tried for one request */

struct http_client {
	struct loop *loop;
	struct dns *dns;
	const struct http_settings *settings;
	struct http_multi multi;
	struct curl_slist *headers;
	struct list fed;     /* struct http_request, with a body to hand over */
	unsigned servers;
};

struct http_server {
	struct http_client *client;
	const struct http_url *url;
	struct list waiting; /* struct http_request, for a connection */
	struct list given_up; /* those that are told so in the next pass */
	unsigned running;    /* at most max_connections */
	unsigned first;	     /* which address is tried first */
	uint64_t answered_us; /* when the last whole answer came; 0: never */
	CURL **spare;	     /* prepared handles: max_connections at most */
	unsigned spare_count;
};

struct http_request {
	struct list node; /* of server->waiting, or given_up */
	struct http_server *server;
	struct http_call call;
	void (*fn)(void *arg, const struct http_answer *answer);
	void *arg;
	struct loop_timer deadline;
	uint64_t started_us;
	uint64_t begun_us; /* when it had a connection to itself */
	struct dns_request *dns;
	struct addr addrs[HTTP_MAX_ADDRS];
	unsigned addr_count, tried;
	CURL *easy; /* NULL: not handed to curl */
	struct curl_slist *connect_to;
	struct curl_slist *header; /* followed by the client's */
	struct list fed;
	struct str body;
	size_t header_bytes;
	const char *problem; /* why we stopped curl; NULL: we did not */
	const char *given_up; /* why it need not wait any longer */
	bool busy; /* the server is not to blame: others had their answers */
	char curl_error[CURL_ERROR_SIZE];
};

static void server_run(struct http_server *server);

/* --- what an answer is made of --- */

static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
	struct http_request *request = arg;

	(void)data;
	request->header_bytes += size * count;
	if (request->header_bytes <= HTTP_MAX_HEADERS)
		return size * count;
	request->problem = "the answer's headers are too large";
	return 0;
}

/* Curl may not be called by who gets the data, so not from here either. */
static void feed(struct http_request *request)
{
	long status = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (request->call.data == NULL || status != 200)
		return;
	loop_timer_clear(&request->deadline);
	list_remove(&request->fed);
	list_append(&request->server->client->fed, &request->fed);
}

/* The request may be gone behind it. */
static void hand_over(struct http_request *request)
{
	struct str data = request->body;

	list_remove(&request->fed);
	request->body = (struct str)STR_INIT;
	request->call.data(request->arg, str_c(&data), data.len);
	str_wipe(&data);
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_request *request = arg;
	size_t max = request->server->client->settings->max_body;

	if (size * count <= max - request->body.len) {
		feed(request);
		str_append(&request->body, data, size * count);
		return size * count;
	}
	request->problem = "the answer is too large";
	return 0;
}

/* --- handles --- */

#define SET(easy, option, value) \
	ASSERT(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

static bool is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
	/* Neither changed nor kept beyond the handle. */
	struct curl_blob blob = {
		.data = (void *)(uintptr_t)pem, .flags = CURL_BLOB_NOCOPY,
	};

	if (!is_set(pem))
		return;
	blob.len = strlen(pem);
	SET(easy, option, &blob);
}

static CURLcode lend_trust(CURL *easy, void *ssl_ctx, void *trust)
{
	(void)easy;
	tls_trust_lend(trust, ssl_ctx);
	return CURLE_OK;
}

/* Curl must read no CAs: it would do so for each connection, and wait for the
 * disk. */
static void set_tls(CURL *easy, const struct http_settings *settings)
{
	SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(easy, CURLOPT_SSL_VERIFYPEER, settings->verify ? 1L : 0L);
	SET(easy, CURLOPT_SSL_VERIFYHOST, settings->verify ? 2L : 0L);
	SET(easy, CURLOPT_CAINFO, NULL);
	SET(easy, CURLOPT_CAPATH, NULL);
	if (settings->trust != NULL) {
		SET(easy, CURLOPT_SSL_CTX_FUNCTION, lend_trust);
		SET(easy, CURLOPT_SSL_CTX_DATA, settings->trust);
	}
	set_pem(easy, CURLOPT_SSLCERT_BLOB, settings->cert);
	set_pem(easy, CURLOPT_SSLKEY_BLOB, settings->key);
	if (is_set(settings->cipher_list))
		SET(easy, CURLOPT_SSL_CIPHER_LIST, settings->cipher_list);
}

/* Everything that is the same for each request. Curl must not look at the
 * environment, nor resolve names, for which it takes threads. */
static CURL *handle_new(struct http_client *client)
{
	const struct http_settings *settings = client->settings;
	CURL *easy = curl_easy_init();

	ASSERT(easy != NULL);
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(easy, CURLOPT_TCP_KEEPIDLE, 10L); /* seconds */
	SET(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)settings->connect_timeout_ms);
	SET(easy, CURLOPT_MAXAGE_CONN, (long)settings->max_idle_s);
	SET(easy, CURLOPT_CLOSESOCKETFUNCTION, http_multi_close_socket);
	SET(easy, CURLOPT_CLOSESOCKETDATA, &client->multi);
	SET(easy, CURLOPT_WRITEFUNCTION, take_body);
	SET(easy, CURLOPT_HEADERFUNCTION, take_header);
	if (is_set(settings->user)) {
		SET(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(easy, CURLOPT_USERNAME, settings->user);
		SET(easy, CURLOPT_PASSWORD, settings->password);
	}
	set_tls(easy, settings);
	return easy;
}

static CURL *handle_take(struct http_server *server)
{
	if (server->spare_count > 0)
		return server->spare[--server->spare_count];
	return handle_new(server->client);
}

static struct curl_slist *slist_add(struct curl_slist *list, const char *text)
{
	list = curl_slist_append(list, text);
	ASSERT(list != NULL);
	return list;
}

static void set_header(CURL *easy, struct http_request *request)
{
	struct curl_slist *all = request->server->client->headers;

	SET(easy, CURLOPT_HTTPHEADER, all);
	if (request->call.header == NULL)
		return;
	request->header = slist_add(NULL, request->call.header);
	request->header->next = all;
	SET(easy, CURLOPT_HTTPHEADER, request->header);
}

static void drop_header(struct http_request *request)
{
	SET(request->easy, CURLOPT_HTTPHEADER, NULL);
	if (request->header == NULL)
		return;
	explicit_bzero(request->header->data, strlen(request->header->data));
	request->header->next = NULL;
	curl_slist_free_all(request->header);
	request->header = NULL;
}

static void set_request(CURL *easy, struct http_request *request)
{
	const struct http_call *call = &request->call;
	struct str url = STR_INIT;

	str_puts(&url, request->server->url->text);
	str_puts(&url, call->path);
	SET(easy, CURLOPT_URL, str_c(&url));
	str_free(&url);
	if (call->body != NULL) {
		SET(easy, CURLOPT_POST, 1L);
		SET(easy, CURLOPT_POSTFIELDS, call->body);
		SET(easy, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)call->body_len);
	} else {
		SET(easy, CURLOPT_HTTPGET, 1L);
	}
	set_header(easy, request);
	SET(easy, CURLOPT_FRESH_CONNECT, call->data != NULL ? 1L : 0L);
	SET(easy, CURLOPT_PRIVATE, request);
	SET(easy, CURLOPT_WRITEDATA, request);
	SET(easy, CURLOPT_HEADERDATA, request);
	SET(easy, CURLOPT_ERRORBUFFER, request->curl_error);
	SET(easy, CURLOPT_CONNECT_TO, request->connect_to);
}

/* --- a request's end --- */

static void request_drop_handle(struct http_request *request)
{
	struct http_server *server = request->server;

	if (request->easy == NULL)
		return;
	curl_multi_remove_handle(server->client->multi.curl, request->easy);
	SET(request->easy, CURLOPT_ERRORBUFFER, NULL);
	SET(request->easy, CURLOPT_CONNECT_TO, NULL);
	drop_header(request);
	server->spare[server->spare_count++] = request->easy;
	request->easy = NULL;
	curl_slist_free_all(request->connect_to);
	request->connect_to = NULL;
}

/* Takes the request out of everything, which makes room for another. */
static void request_detach(struct http_request *request)
{
	struct http_server *server = request->server;

	loop_timer_close(&request->deadline);
	dns_cancel(&request->dns);
	list_remove(&request->fed);
	if (list_linked(&request->node)) {
		list_remove(&request->node);
		return;
	}
	request_drop_handle(request);
	server->running--;
	server_run(server);
}

static void request_free(struct http_request *request)
{
	str_wipe(&request->body);
	mem_free(&request);
}

static void request_end(struct http_request *request, const char *error,
			unsigned status)
{
	const struct http_answer answer = {
		.error = error, .status = status,
		.lost = error != NULL && request->problem == NULL &&
			!request->busy,
		.body = str_c(&request->body), .len = request->body.len,
	};

	request_detach(request);
	request->fn(request->arg, &answer);
	request_free(request);
}

/* Too many requests look different from a server that does not answer. */
static void describe_timeout(const struct http_request *request, char *text,
			     size_t size)
{
	const struct http_settings *settings =
		request->server->client->settings;
	uint64_t waited_us = request->begun_us - request->started_us;

	if (request->given_up != NULL)
		snprintf(text, size, "%s", request->given_up);
	else if (list_linked(&request->node))
		snprintf(text, size, "no connection was free within %u ms, "
			 "max_connections = %u", settings->timeout_ms,
			 settings->max_connections);
	else if (waited_us > 0)
		snprintf(text, size, "no answer within %u ms, of which it "
			 "waited %u ms for a free connection, "
			 "max_connections = %u", settings->timeout_ms,
			 (unsigned)(waited_us / 1000), settings->max_connections);
	else
		snprintf(text, size, "%s within %u ms",
			 request->easy == NULL ? "no answer from DNS" :
			 "no answer", settings->timeout_ms);
}

static void deadline_event(struct loop_timer *timer)
{
	struct http_request *request =
		container_of(timer, struct http_request, deadline);
	char text[160];

	request->busy = request->server->answered_us >= request->started_us;
	describe_timeout(request, text, sizeof(text));
	request_end(request, text, 0);
}

void http_cancel(struct http_request **request_p)
{
	struct http_request *request = *request_p;

	*request_p = NULL;
	if (request == NULL)
		return;
	request_detach(request);
	request_free(request);
}

/* --- its way there --- */

static const struct addr *request_addr(const struct http_request *request)
{
	unsigned first = request->server->first + request->tried;

	return &request->addrs[first % request->addr_count];
}

/* The name stays in the URL: for Host, SNI and the certificate. */
static void request_connect(struct http_request *request)
{
	struct http_server *server = request->server;
	struct addr addr = *request_addr(request);
	struct str text = STR_INIT;

	addr_set_port(&addr, (uint16_t)server->url->port);
	str_puts(&text, "::");
	addr_write(&text, &addr);
	request->connect_to = slist_add(NULL, str_c(&text));
	str_free(&text);
	request->curl_error[0] = '\0';
	http_multi_drop_spoilt(&server->client->multi);
	request->easy = handle_take(server);
	set_request(request->easy, request);
	ASSERT(curl_multi_add_handle(server->client->multi.curl,
				     request->easy) == CURLM_OK);
}

static void dns_done(void *arg, const struct dns_answer *answer)
{
	struct http_request *request = arg;
	char text[320];

	request->dns = NULL;
	if (answer->count == 0) {
		snprintf(text, sizeof(text), "DNS lookup of %s failed: %s",
			 request->server->url->host, answer->error);
		request_end(request, text, 0);
		return;
	}
	request->addr_count = answer->count < HTTP_MAX_ADDRS ?
		answer->count : HTTP_MAX_ADDRS;
	memcpy(request->addrs, answer->addrs,
	       request->addr_count * sizeof(*answer->addrs));
	request_connect(request);
}

static void request_begin(struct http_request *request)
{
	const struct http_url *url = request->server->url;

	request->begun_us = loop_now_us(request->server->client->loop);
	if (!url->literal) {
		request->dns = dns_lookup(request->server->client->dns,
					  url->host, dns_done, request);
		return;
	}
	request->addrs[0] = url->addr;
	request->addr_count = 1;
	request_connect(request);
}

static void server_run(struct http_server *server)
{
	struct http_request *request;

	while (server->running < server->client->settings->max_connections &&
	       !list_empty(&server->waiting)) {
		request = list_first(&server->waiting, struct http_request,
				     node);
		list_remove(&request->node);
		server->running++;
		request_begin(request);
	}
}

/* Whether another address is tried: after no connection came about, TLS
 * included. */
static bool try_next(struct http_request *request, CURLcode code)
{
	curl_off_t connected = 0;

	curl_easy_getinfo(request->easy, request->server->url->tls ?
			  CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T,
			  &connected);
	if (connected > 0 || request->tried + 1 >= request->addr_count ||
	    (code != CURLE_COULDNT_CONNECT && code != CURLE_OPERATION_TIMEDOUT))
		return false;
	request->tried++;
	request_drop_handle(request);
	request_connect(request);
	return true;
}

static void request_done(struct http_request *request, CURLcode code)
{
	const char *error;
	char text[CURL_ERROR_SIZE + 64];
	long status = 0;

	/* So says curl of a line that is longer than it likes. */
	if (code == CURLE_OUT_OF_MEMORY && request->problem == NULL)
		request->problem = "the answer's headers are too large";
	error = request->problem;
	if (error == NULL && code != CURLE_OK) {
		if (try_next(request, code))
			return;
		snprintf(text, sizeof(text), "%s", request->curl_error[0] ?
			 request->curl_error : curl_easy_strerror(code));
		error = text;
	}
	if (code == CURLE_OK) {
		/* The next one starts with the address that works. */
		request->server->first += request->tried;
		request->server->answered_us =
			loop_now_us(request->server->client->loop);
	}
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (error == NULL && status < 100) { /* HTTP/200 */
		error = "the answer has no status";
		status = 0;
	}
	request_end(request, error, (unsigned)status);
}

/* Takes what curl has got. */
static void client_collect(struct http_multi *multi)
{
	struct http_client *client =
		container_of(multi, struct http_client, multi);
	struct http_request *request;
	CURLMsg *message;
	CURLcode code;
	int left;

	while ((request = list_first(&client->fed, struct http_request,
				     fed)) != NULL)
		hand_over(request);
	while ((message = curl_multi_info_read(multi->curl, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &request);
		http_multi_keep(multi, message->easy_handle);
		request_done(request, code);
	}
}

struct http_request *http_start(struct http_server *server,
				const struct http_call *call,
				void (*fn)(void *arg,
					   const struct http_answer *answer),
				void *arg)
{
	struct http_request *request = mem_new(struct http_request);
	struct http_client *client = server->client;

	request->server = server;
	request->call = *call;
	request->fn = fn;
	request->arg = arg;
	loop_timer_open(&request->deadline, client->loop, deadline_event);
	loop_timer_set(&request->deadline, client->settings->timeout_ms);
	request->started_us = loop_now_us(client->loop);
	list_append(&server->waiting, &request->node);
	server_run(server);
	return request;
}

unsigned http_server_waiting(const struct http_server *server)
{
	struct list *node, *tmp;
	unsigned count = 0;

	list_each(&server->waiting, node, tmp)
		count++;
	return count;
}

/* Not at once: who calls may be in the middle of something. */
void http_server_give_up(struct http_server *server, const char *why)
{
	struct http_request *request;

	while (!list_empty(&server->waiting)) {
		request = list_first(&server->waiting, struct http_request,
				     node);
		list_remove(&request->node);
		list_append(&server->given_up, &request->node);
		request->given_up = why;
		loop_timer_set(&request->deadline, 0);
	}
}

/* --- clients and servers --- */

bool http_has_tls(void)
{
	CURL *easy = curl_easy_init();
	bool has = easy != NULL &&
		   curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION,
				    lend_trust) == CURLE_OK;

	curl_easy_cleanup(easy);
	return has;
}

const char *http_system_cas(void)
{
	return curl_version_info(CURLVERSION_NOW)->cainfo;
}

struct http_client *http_client_new(struct loop *loop, struct dns *dns,
				    const struct http_settings *settings)
{
	struct http_client *client = mem_new(struct http_client);
	const char *const *header;

	ASSERT(settings->max_connections > 0);
	ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	client->loop = loop;
	client->dns = dns;
	client->settings = settings;
	list_init(&client->fed);
	http_multi_open(&client->multi, loop, client_collect);
	client->headers = slist_add(NULL, "Expect:"); /* no 100 Continue */
	for (header = settings->headers; *header != NULL; header++)
		client->headers = slist_add(client->headers, *header);
	return client;
}

void http_client_free(struct http_client **client_p)
{
	struct http_client *client = *client_p;

	if (client == NULL)
		return;
	http_multi_close(&client->multi);
	curl_slist_free_all(client->headers);
	curl_global_cleanup();
	mem_free(client_p);
}

struct http_server *http_server_new(struct http_client *client,
				    const struct http_url *url)
{
	struct http_server *server = mem_new(struct http_server);

	server->client = client;
	server->url = url;
	list_init(&server->waiting);
	list_init(&server->given_up);
	/* By default curl closes some of the idle ones. */
	client->servers++;
	curl_multi_setopt(client->multi.curl, CURLMOPT_MAXCONNECTS,
			  (long)(client->servers *
				 client->settings->max_connections));
	server->spare = mem_alloc(client->settings->max_connections *
				  sizeof(CURL *));
	return server;
}

void http_server_free(struct http_server **server_p)
{
	struct http_server *server = *server_p;

	if (server == NULL)
		return;
	ASSERT(server->running == 0 && list_empty(&server->waiting) &&
	       list_empty(&server->given_up));
	while (server->spare_count > 0)
		curl_easy_cleanup(server->spare[--server->spare_count]);
	mem_free(&server->spare);
	mem_free(server_p);
}
