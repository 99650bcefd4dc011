/* main.c - the program that container runtimes start. */
#include <stdlib.h>
#include "cni.h"

int main(void)
{
	const struct cni_env env = {
		.command = getenv("CNI_COMMAND"),
		.container_id = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
		.args = getenv("CNI_ARGS"),
		.path = getenv("CNI_PATH"),
	};

	return cni_main(&env, stdin, stdout, stderr);
}
