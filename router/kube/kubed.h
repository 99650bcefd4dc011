/* kubed.h - weft-kube, the program's body: the cores of proto/kube, driven over HTTPS and weftd's socket. */
#ifndef WEFT_KUBED_H
#define WEFT_KUBED_H

#include "kube_conf.h"

/* Run until SIGTERM or SIGINT. The exit status: 0; 1 if it can't begin (told in the log). */
int kubed_run(const struct kube_conf *conf);

#endif
