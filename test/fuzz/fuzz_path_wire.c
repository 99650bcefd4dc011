/* The codec of the path core's messages: what decodes is encoded again to the same bytes. */
#include <stdlib.h>
#include <string.h>
#include "path_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each decodes into a struct of its own; @w holds the message again. */
static int again(uint8_t type, struct rd *r, struct wr *w)
{
	struct path_answer answer;
	struct path_probe probe;
	struct path_punch punch;
	struct path_open open;
	struct path_ask ask;
	int err;

	switch (type) {
	case PATH_MSG_PROBE:
	case PATH_MSG_REPLY:
		err = type == PATH_MSG_PROBE ? path_probe_decode(r, &probe)
					     : path_reply_decode(r, &probe);
		if (err == 0)
			path_probe_encode(w, type, &probe);
		return err;
	case PATH_MSG_ASK:
		err = path_ask_decode(r, &ask);
		if (err == 0)
			path_ask_encode(w, &ask);
		return err;
	case PATH_MSG_ANSWER:
		err = path_answer_decode(r, &answer);
		if (err == 0)
			path_answer_encode(w, &answer);
		return err;
	case PATH_MSG_PUNCH:
		err = path_punch_decode(r, &punch);
		if (err == 0)
			path_punch_encode(w, &punch);
		return err;
	case PATH_MSG_OPEN:
		err = path_open_decode(r, &open);
		if (err == 0)
			path_open_encode(w, &open);
		return err;
	default:
		return -1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buf[PATH_MSG_MAX];
	struct rd r;
	struct wr w;

	rd_init(&r, data, size);
	wr_init(&w, buf, sizeof(buf));
	uint8_t type = rd_u8(&r);
	if (again(type, &r, &w) < 0)
		return 0;
	/* Padding of a probe is not kept; a mapped IPv4 address becomes a plain one. */
	if (wr_bad(&w) || wr_len(&w) > size)
		abort();
	if (type <= PATH_MSG_ANSWER && memcmp(buf, data, wr_len(&w)) != 0)
		abort();
	return 0;
}
