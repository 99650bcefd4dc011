/* priv.h - the fixed list of privileged acts (DESIGN 2). Today they are carried out in this
 * process; the seam is here so that a helper, forked before the network is touched, can take them
 * over. */
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
/* How many queues of our TUN @ifname are open now, by whichever process: another weftd that runs on
 * the same device shows here before its packets are stolen. ERR_NOT_FOUND, ERR_FOREIGN, -errno. */
int priv_tun_queues(const char *ifname);
/* Delete a TUN of ours, even if somebody has it open. ERR_NOT_FOUND; ERR_FOREIGN: not a TUN with
 * our alias, left alone; -errno. */
int priv_tun_delete(const char *ifname);
/* Load a BPF program of @count (1..4096) instructions (struct bpf_insn, borrowed) and type
 * @prog_type (BPF_PROG_TYPE_SOCKET_FILTER for steering); returns its fd, owned, close-on-exec, or
 * -errno. */
int priv_bpf_load(const void *insns, size_t count, int prog_type);
/* Write @value, a decimal number, to /proc/sys/@path ("net/ipv4/conf/weft0/rp_filter") if that is
 * on the allowed list in priv.c (forwarding, rp_filter, src_valid_mark, redirects, accept_ra,
 * linkdown, of devices); ERR_REFUSED if it is not. A value that stands there already is not written
 * again. Where /proc/sys is read-only, as in a pod, /host/proc/sys/@path is written, which leads to the same
 * network namespace. -errno: -ENOENT if there is no such device or family, -EROFS. */
int priv_sysctl(const char *path, const char *value);
/* Feed @ruleset to `nft -f -`, which carries out all of it or nothing. -EINVAL: nft refuses it,
 * @why gets the first line of what it says; ERR_UNSUPPORTED: no nft program; -ETIMEDOUT: it hung
 * and was killed; -errno. Blocks while nft runs, some 20 ms. */
int priv_nft_load(const char *ruleset, char *why, size_t why_len);

#endif
