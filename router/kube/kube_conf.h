/* kube_conf.h - what weft-kube is told: flags, and the environment that every pod has. */
#ifndef WEFT_KUBE_CONF_H
#define WEFT_KUBE_CONF_H

#include <stdbool.h>
#include <stdio.h>
#include "weft/addr.h"
#include "weft/log.h"
#include "kube_node.h"

#define KUBE_PATH_MAX 255
#define KUBE_URL_MAX  511

struct kube_conf {
	char node[KUBE_NAME_MAX + 1]; /* --node, or NODE_NAME */
	char api[KUBE_URL_MAX + 1];   /* https://HOST:PORT, without a path */
	char token_file[KUBE_PATH_MAX + 1], ca_file[KUBE_PATH_MAX + 1];
	char socket[KUBE_PATH_MAX + 1]; /* weftd's */
	uint16_t port;                  /* weft's, of nodes without an annotation */
	char cni_from[KUBE_PATH_MAX + 1], cni_to[KUBE_PATH_MAX + 1]; /* "": none is installed */
	bool metrics_on;
	struct ep metrics;
	enum log_level log_level;
	bool help, version;
};

/* Read the command line, then the environment (@env, in tests not the process's own; NULL: getenv). 0;
 * ERR_CONFIG: @err says what and what is allowed. */
int kube_conf_read(int argc, char **argv, const char *(*env)(const char *name),
	struct kube_conf *out, char *err, size_t err_len);
void kube_conf_help(FILE *f);

#endif
