/* main.c - weft-kube: arguments, then kubed.c. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include "kube_conf.h"
#include "kubed.h"

int main(int argc, char **argv)
{
	struct kube_conf conf;
	char err[512] = "";

	if (kube_conf_read(argc, argv, NULL, &conf, err, sizeof(err)) != 0) {
		fprintf(stderr, "weft-kube: %s\n", err);
		return 2;
	}
	if (conf.help) {
		kube_conf_help(stdout);
		return 0;
	}
	if (conf.version) {
		printf("weft-kube %s\n", WEFT_VERSION);
		return 0;
	}
	/* It holds the API's token: no core files, no look by others of its user. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	log_set_level(conf.log_level);
	return kubed_run(&conf);
}
