/* http_req.c - reads the head of an HTTP/1 request (RFC 9112 2 to 6). Strict where leniency let one
 * party see another request than the next: no blanks before a colon, no folded lines, no NUL, no body of
 * any kind. It needs the whole head at once; a head is 8 KiB at most. */
#include <string.h>
#include <strings.h>
#include "http_req.h"

struct span {
	const char *p, *end;
};

static size_t span_len(struct span s)
{
	return (size_t)(s.end - s.p);
}

static bool span_is(struct span s, const char *text)
{
	return span_len(s) == strlen(text) && memcmp(s.p, text, span_len(s)) == 0;
}

/* Field names have no case (RFC 9110 5.1). */
static bool name_is(struct span s, const char *name)
{
	return span_len(s) == strlen(name) && strncasecmp(s.p, name, span_len(s)) == 0;
}

/* Cut the next line off @rest, without its CRLF or LF (RFC 9112 2.2). False: there is no whole one. */
static bool next_line(struct span *rest, struct span *line)
{
	const char *nl = memchr(rest->p, '\n', span_len(*rest));

	if (!nl)
		return false;
	*line = (struct span){rest->p, nl};
	if (nl > rest->p && nl[-1] == '\r')
		line->end--;
	rest->p = nl + 1;
	return true;
}

/* Cut at the first @sep; false if there is none. */
static bool cut(struct span *rest, char sep, struct span *part)
{
	const char *at = memchr(rest->p, sep, span_len(*rest));

	if (!at)
		return false;
	*part = (struct span){rest->p, at};
	rest->p = at + 1;
	return true;
}

/* RFC 9110 5.6.2 */
static bool is_token(struct span s)
{
	for (const char *p = s.p; p < s.end; p++) {
		char c = *p;
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
		if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.p < s.end;
}

static int read_target(struct span target, struct http_req *out)
{
	const char *query;

	for (const char *p = target.p; p < target.end; p++)
		if (*p <= ' ' || *p == 0x7f)
			return 400;
	if (span_len(target) == 0 || *target.p != '/')
		return 400; /* origin-form only: we are no proxy (RFC 9112 3.2.1) */
	query = memchr(target.p, '?', span_len(target));
	if (query)
		target.end = query;
	if (span_len(target) > HTTP_PATH_MAX)
		return 414;
	memcpy(out->path, target.p, span_len(target));
	out->path[span_len(target)] = '\0';
	return 0;
}

/* method SP target SP version; *@minor gets the version's last digit. */
static int read_request_line(struct span line, struct http_req *out, int *minor)
{
	struct span method, target;
	int status;

	if (!cut(&line, ' ', &method) || !cut(&line, ' ', &target) || !is_token(method))
		return 400;
	if (span_len(line) != 8 || memcmp(line.p, "HTTP/", 5) != 0)
		return 400;
	if (memcmp(line.p + 5, "1.", 2) != 0)
		return 505;
	if (line.p[7] != '0' && line.p[7] != '1')
		return 505;
	*minor = line.p[7] - '0';
	status = read_target(target, out);
	if (status)
		return status;
	out->head = span_is(method, "HEAD");
	return out->head || span_is(method, "GET") ? 0 : 405;
}

static int read_field(struct span line, bool *host)
{
	struct span name;

	if (!cut(&line, ':', &name) || !is_token(name))
		return 400;
	for (const char *p = line.p; p < line.end; p++)
		if (*p == '\0' || *p == '\r')
			return 400;
	while (line.p < line.end && (*line.p == ' ' || *line.p == '\t'))
		line.p++;
	while (line.p < line.end && (line.end[-1] == ' ' || line.end[-1] == '\t'))
		line.end--;
	if (name_is(name, "Host")) {
		if (*host)
			return 400;
		*host = true;
	}
	if (name_is(name, "Transfer-Encoding"))
		return 413;
	if (name_is(name, "Content-Length")) {
		bool zero = span_len(line) > 0;
		for (const char *p = line.p; p < line.end; p++) {
			if (*p < '0' || *p > '9')
				return 400;
			zero &= *p == '0';
		}
		if (!zero)
			return span_len(line) ? 413 : 400;
	}
	return 0;
}

bool http_req_parse(const char *buf, size_t len, struct http_req *out)
{
	struct span rest = {buf, buf + len}, line;
	int minor = 0, first = 0;
	bool host = false, started = false;

	*out = (struct http_req){0};
	while (next_line(&rest, &line)) {
		int status;
		if (!started) {
			/* RFC 9112 2.2: skip an empty line before the request line */
			if (span_len(line) == 0)
				continue;
			started = true;
			status = read_request_line(line, out, &minor);
		} else if (span_len(line) == 0) {
			/* RFC 9112 3.2: an HTTP/1.1 request names its host */
			out->status = first ? first : minor == 1 && !host ? 400 : 0;
			return true;
		} else {
			status = read_field(line, &host);
		}
		/* The first fault is the answer, but it waits for the end of the head: a client
		 * reads no answer while it sends. Noise that is no HTTP has no end to wait for. */
		if (status == 400) {
			out->status = 400;
			return true;
		}
		if (!first)
			first = status;
	}
	if (len >= HTTP_HEAD_MAX) {
		out->status = started ? 431 : 414;
		return true;
	}
	return false;
}
