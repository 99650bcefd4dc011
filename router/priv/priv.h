/* priv.h - the fixed list of privileged acts (DESIGN 2). Today they are carried out in this process;
 * the seam is here so that a helper, forked before the network is touched, can take them over. */
#ifndef WEFT_PRIV_H
#define WEFT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRIV_TUN_ALIAS "weft" /* ifalias of each device we made: how kern_down knows them */

/* Open @n queues of the persistent TUN @ifname (made if absent): IFF_TUN|IFF_NO_PI|IFF_VNET_HDR|
 * IFF_MULTI_QUEUE, vnet header of 10 bytes, non-blocking, close-on-exec. The device keeps existing
 * when the fds close. *@created tells if it is new. -errno; ERR_BUSY: another process holds it as a
 * single-queue device; ERR_FOREIGN: a device of that name exists that is not a TUN of ours. */
int priv_tun_open(const char *ifname, unsigned n, int *fds, bool *created);
/* Delete a persistent TUN. */
int priv_tun_delete(const char *ifname);
/* Load a BPF program of @count instructions (struct bpf_insn), type BPF_PROG_TYPE_SOCKET_FILTER;
 * returns its fd or -errno. */
int priv_bpf_load(const void *insns, size_t count, int prog_type);
/* Write @value to /proc/sys/@path if it is on the allowed list (net/ipv4|ipv6 forwarding, rp_filter,
 * redirects, accept_ra, linkdown, of devices); ERR_REFUSED if it is not. */
int priv_sysctl(const char *path, const char *value);
/* Feed @ruleset to `nft -f -`. -errno; ERR_UNSUPPORTED: no nft program; @why gets its first line. */
int priv_nft_load(const char *ruleset, char *why, size_t why_len);

#endif
