/* main.c - weftd: arguments, then router/svc/daemon.c. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "conf.h"
#include "daemon.h"

int main(int argc, char **argv)
{
	struct conf conf;
	char err[4096] = "";
	int status;

	if (conf_load(argc, argv, &conf, err, sizeof(err)) != 0) {
		fprintf(stderr, "weftd: %s\n", err);
		return 2;
	}
	if (conf.help) {
		conf_help(stdout);
		status = 0;
	} else if (conf.version) {
		printf("weftd %s\n", WEFT_VERSION);
		status = 0;
	} else if (conf.down) {
		status = daemon_down();
	} else if (conf.check) {
		status = daemon_check(&conf);
	} else {
		status = daemon_run(&conf);
	}
	conf_free(&conf);
	return status;
}
