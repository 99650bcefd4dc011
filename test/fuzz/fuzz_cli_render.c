/* Whatever a daemon answers is shown: every renderer, and JSON, on any reply that decodes. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include "cli.h"
#include "json_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const cli_render_fn fns[] = {render_status, render_peers, render_connections,
		render_routes, render_targets, render_message, render_bgp, render_bgp_routes,
		render_bgp_policy, render_policy_test};
	struct ctl_reply r;

	if (ctl_reply_decode(data, len, &r))
		return 0;
	for (size_t i = 0; i <= sizeof(fns) / sizeof(fns[0]); i++) {
		char *text = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&text, &n);

		if (i < sizeof(fns) / sizeof(fns[0])) {
			struct out *o = out_new(f, false);
			fns[i](o, r.data);
			assert(out_end(o) == 0);
		} else {
			assert(json_print(f, json_from_msgpack(r.data)) == 0);
		}
		(void)fclose(f);
		for (size_t k = 0; i < sizeof(fns) / sizeof(fns[0]) && k < n;
			k++) /* nothing that a terminal obeys */
			assert(text[k] == '\n' || (text[k] >= ' ' && text[k] <= '~'));
		free(text);
	}
	ctl_reply_free(&r);
	return 0;
}
