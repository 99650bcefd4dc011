/* compat.h - constants of newer kernels that the oldest supported headers lack. What they stand for
 * is always tested at run time; a kernel without it refuses and the fall-back is taken. */
#ifndef WEFT_COMPAT_H
#define WEFT_COMPAT_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#ifndef UDP_SEGMENT /* Linux 4.18 */
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO /* Linux 5.0 */
#define UDP_GRO 104
#endif

#endif
