/* kube_api.c - libcurl's multi interface on the loop.
 *
 * libcurl tells which sockets to watch (on_socket) and when to call it (on_timer); we call it when one is
 * ready, and then collect what is finished (collect). It may not be entered again from its own callbacks,
 * so calls are begun and ended outside of them (in_curl asserts it).
 *
 * Data in: bytes of the API server, through TLS, perhaps gzip. Data out: the callbacks of each call.
 * Bounds: libcurl's own for headers; bodies are passed on in pieces and never gathered. Connections are
 * kept and shared (HTTP/2 where the server has it). Failure: done, with libcurl's words. */
#include "kube_api.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "file.h"
#include "list.h"
#include "weft/err.h"
#include "weft/log.h"

#define TOKEN_MAX_BYTES 65536
#define CA_CACHE_SECS   60 /* a CA bundle that was replaced counts after this */

struct kube_api {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct list calls;
	bool in_curl;
	char *base, *token_file, *ca_file;
};

struct kube_api_call {
	struct list link;
	struct kube_api *api;
	CURL *easy;
	struct curl_slist *headers;
	struct kube_api_fns fns;
	void *ctx;
	bool head_told;
	char error[CURL_ERROR_SIZE];
};

static void free_headers(struct curl_slist *h)
{
	/* one of them is the token */
	for (struct curl_slist *s = h; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(h);
}

static void free_call(struct kube_api_call *c)
{
	assert(!c->api->in_curl);
	list_del(&c->link);
	(void)curl_multi_remove_handle(c->api->multi, c->easy);
	curl_easy_cleanup(c->easy);
	free_headers(c->headers);
	free(c);
}

void kube_api_end(struct kube_api *a, struct kube_api_call *c)
{
	if (c)
		free_call(c);
}

static void collect(struct kube_api *a)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(a->multi, &left))) {
		struct kube_api_call *c;
		struct kube_api_fns fns;
		char why[CURL_ERROR_SIZE + 32] = "";
		long status = 0;
		void *ctx;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		if (m->data.result != CURLE_OK)
			(void)snprintf(why, sizeof(why), "%s",
				c->error[0] ? c->error : curl_easy_strerror(m->data.result));
		fns = c->fns;
		ctx = c->ctx;
		free_call(c);
		fns.done(ctx, (int)status, why[0] ? why : NULL);
	}
}

static void act_on(struct kube_api *a, curl_socket_t fd, int events)
{
	int running;

	assert(!a->in_curl);
	a->in_curl = true;
	(void)curl_multi_socket_action(a->multi, fd, events, &running);
	a->in_curl = false;
	collect(a);
}

static void timer_due(void *ctx)
{
	act_on(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *m, long timeout_ms, void *ctx)
{
	struct kube_api *a = ctx;

	loop_timer_set(
		a->timer, timeout_ms < 0 ? TS_NEVER : ts_add(loop_now(), DUR_MS(timeout_ms)));
	return 0;
}

/* A socket that libcurl wants watched: what loop_io calls back with needs the fd. */
struct watched {
	struct kube_api *api;
	struct loop_io *io;
	curl_socket_t fd;
};

static void socket_ready(void *ctx, int events)
{
	struct watched *w = ctx;

	act_on(w->api, w->fd,
		(events & LOOP_READ ? CURL_CSELECT_IN : 0) |
			(events & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct kube_api *a = ctx;
	struct watched *w = socket_ctx;
	int events =
		(what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);

	if (what == CURL_POLL_REMOVE) {
		if (w)
			loop_io_free(w->io);
		free(w);
		return 0;
	}
	if (w)
		return loop_io_set(w->io, events) == 0 ? 0 : -1;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	*w = (struct watched){.api = a, .fd = fd};
	w->io = loop_io_new(a->loop, fd, events, socket_ready, w);
	if (!w->io) {
		free(w);
		return -1;
	}
	(void)curl_multi_assign(a->multi, fd, w);
	return 0;
}

int kube_api_new(struct loop *l, const char *base, const char *token_file, const char *ca_file,
	struct kube_api **out)
{
	struct kube_api *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	a->loop = l;
	list_init(&a->calls);
	a->base = strdup(base);
	a->token_file = strdup(token_file);
	a->ca_file = strdup(ca_file);
	a->timer = loop_timer_new(l, timer_due, a);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0)
		a->multi = curl_multi_init();
	if (!a->base || !a->token_file || !a->ca_file || !a->timer || !a->multi) {
		kube_api_free(a);
		return ERR_NOMEM;
	}
	(void)curl_multi_setopt(a->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(a->multi, CURLMOPT_SOCKETDATA, a);
	(void)curl_multi_setopt(a->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	(void)curl_multi_setopt(a->multi, CURLMOPT_TIMERDATA, a);
	(void)curl_multi_setopt(a->multi, CURLMOPT_MAXCONNECTS, 4L);
	*out = a;
	return 0;
}

void kube_api_free(struct kube_api *a)
{
	if (!a)
		return;
	while (!list_empty(&a->calls))
		free_call(list_entry(a->calls.next, struct kube_api_call, link));
	if (a->multi)
		(void)curl_multi_cleanup(a->multi);
	loop_timer_free(a->timer);
	free(a->base);
	free(a->token_file);
	free(a->ca_file);
	free(a);
	curl_global_cleanup();
}

/* Each header line; an empty one ends the headers of an answer, of which there may be several (1xx). */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct kube_api_call *c = ctx;
	curl_off_t retry = 0;
	long status = 0;

	if (n > 2 || c->head_told)
		return n;
	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return n;
	(void)curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry);
	c->head_told = true;
	if (c->fns.head)
		c->fns.head(c->ctx, (int)status, retry > 0 && retry < 86400 ? (int)retry : 0);
	return n;
}

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct kube_api_call *c = ctx;

	if (c->fns.data)
		c->fns.data(c->ctx, p, n);
	return n;
}

/* The header with the token, in front of @headers. 0, or why it can't be had. */
static int add_token(const struct kube_api *a, struct curl_slist **headers)
{
	static const char before[] = "Authorization: Bearer ";
	struct curl_slist *more = NULL;
	char *token, *line = NULL;
	size_t len;
	int err = file_read(a->token_file, TOKEN_MAX_BYTES, &token, &len);

	if (err)
		return err;
	while (len > 0 && (token[len - 1] == '\n' || token[len - 1] == '\r'))
		token[--len] = '\0';
	err = len > 0 ? 0 : ERR_MALFORMED;
	for (size_t i = 0; i < len; i++) /* nothing that could begin another header */
		if (token[i] <= ' ' || token[i] > '~')
			err = ERR_MALFORMED;
	if (!err) {
		line = malloc(sizeof(before) + len);
		err = line ? 0 : ERR_NOMEM;
	}
	if (!err) {
		memcpy(line, before, sizeof(before) - 1);
		memcpy(line + sizeof(before) - 1, token, len + 1);
		more = curl_slist_append(*headers, line);
		err = more ? 0 : ERR_NOMEM;
		explicit_bzero(line, sizeof(before) + len);
	}
	if (more)
		*headers = more;
	free(line);
	explicit_bzero(token, len);
	free(token);
	return err;
}

static int add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *more = curl_slist_append(*headers, line);

	if (!more)
		return ERR_NOMEM;
	*headers = more;
	return 0;
}

static int set_options(struct kube_api *a, struct kube_api_call *c, const char *path)
{
	size_t n = strlen(a->base) + strlen(path) + 1;
	char *url = malloc(n);
	CURL *e = c->easy;
	CURLcode r;

	if (!url)
		return ERR_NOMEM;
	(void)snprintf(url, n, "%s%s", a->base, path);
	r = curl_easy_setopt(e, CURLOPT_URL, url);
	free(url);
	r |= curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	r |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	r |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	r |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	r |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	r |= curl_easy_setopt(e, CURLOPT_CAINFO, a->ca_file);
	r |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	r |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	r |= curl_easy_setopt(e, CURLOPT_USERAGENT, "weft-kube/" WEFT_VERSION);
	r |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	r |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)KUBE_API_CONNECT_SECS);
	r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
	r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
	r |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	r |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	r |= curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	r |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	r |= curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	/* not every TLS or zlib that libcurl may be built with has these */
	(void)curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_SECS);
	(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	return r == CURLE_OK ? 0 : ERR_NOMEM;
}

/* A call with its token and options, not yet begun. */
static int make_call(struct kube_api *a, const char *path, const char *content_header,
	const struct kube_api_fns *fns, void *ctx, struct kube_api_call **out)
{
	struct kube_api_call *c = calloc(1, sizeof(*c));
	int err;

	assert(!a->in_curl);
	if (!c)
		return ERR_NOMEM;
	*c = (struct kube_api_call){.api = a, .fns = *fns, .ctx = ctx};
	list_init(&c->link);
	c->easy = curl_easy_init();
	err = c->easy ? add_token(a, &c->headers) : ERR_NOMEM;
	if (!err)
		err = add_header(&c->headers, "Accept: application/json");
	if (!err && content_header)
		err = add_header(&c->headers, content_header);
	if (!err)
		err = set_options(a, c, path);
	if (err) {
		free_headers(c->headers);
		curl_easy_cleanup(c->easy);
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

static int begin(struct kube_api *a, struct kube_api_call *c)
{
	list_add_tail(&a->calls, &c->link);
	if (curl_multi_add_handle(a->multi, c->easy) != CURLM_OK) {
		free_call(c);
		return ERR_NOMEM;
	}
	return 0;
}

int kube_api_get(struct kube_api *a, const char *path, const struct kube_api_fns *fns, void *ctx,
	struct kube_api_call **out)
{
	int err;

	*out = NULL;
	err = make_call(a, path, NULL, fns, ctx, out);
	if (!err)
		err = begin(a, *out);
	if (err)
		*out = NULL;
	return err;
}

int kube_api_patch(struct kube_api *a, const char *path, const char *content_type, const char *body,
	const struct kube_api_fns *fns, void *ctx, struct kube_api_call **out)
{
	char header[96];
	struct kube_api_call *c;
	CURLcode r;
	int err;

	*out = NULL;
	(void)snprintf(header, sizeof(header), "Content-Type: %s", content_type);
	err = make_call(a, path, header, fns, ctx, &c);
	if (err)
		return err;
	r = curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, "PATCH");
	r |= curl_easy_setopt(c->easy, CURLOPT_COPYPOSTFIELDS, body);
	r |= curl_easy_setopt(c->easy, CURLOPT_TIMEOUT, (long)KUBE_API_PATCH_SECS);
	if (r != CURLE_OK) {
		free_call(c);
		return ERR_NOMEM;
	}
	err = begin(a, c);
	if (!err)
		*out = c;
	return err;
}
