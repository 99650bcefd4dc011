/* bounds.h - every table, queue and rate that an outsider can make grow, in one place
 * (DESIGN 6.11). What happens at the bound stands beside it. */
#ifndef WEFT_BOUNDS_H
#define WEFT_BOUNDS_H

/* Sessions */
#define LIM_SECRETS        8     /* candidate secrets (MAC1 keys) of a node: refused at load */
#define LIM_PEERS          8192  /* peers with session state: new ones are refused, counted */
#define LIM_HS_PENDING     1024  /* handshakes we started: the dialler waits */
#define LIM_HS_SEEN        16384 /* remembered message 1: when full, a cookie is demanded */
/* remembered message 3: when full, message 1 gets a cookie, message 3 is dropped */
#define LIM_HS_CONSUMED    16384
#define LIM_HS_PER_SEC     2000 /* handshakes answered per second before cookies are demanded */
#define LIM_HS_PER_SOURCE  20   /* per source prefix (/32, /64) and second, burst the same */
#define LIM_HS_SOURCES     4096 /* buckets of the above: hashed, collisions share */
#define LIM_RESETS_PER_SEC 50   /* resets sent for unknown indexes: silence beyond */
#define LIM_ENDED_INDEXES                                                                          \
	256 /* of sessions that ended here and perhaps not there: the oldest gives way */
/* resets looked at, each look passes over all peers: dropped beyond */
#define LIM_RESETS_RX_PER_SEC 200
#define LIM_CONTROL_QUEUE     1024 /* datagrams that workers hand to control: dropped, counted */

/* Links between clusters: more are refused, told */
#define LIM_LINKS         6   /* of a gateway; each needs one of LIM_SECRETS */
#define LIM_LINK_GATEWAYS 8   /* of the other cluster, for each link */
#define LIM_LINKED_RANGES 128 /* of other clusters, transit included: more are refused, told */

/* Data plane */
#define LIM_WORKERS            64
#define LIM_LANES              65   /* lane 0 is control, one per worker */
#define LIM_REPLAY_WINDOW      8192 /* counters per lane (DESIGN 5.7) */
/* per peer and worker when the socket is full: oldest drops */
#define LIM_PEER_BACKLOG_BYTES (1024 * 1024)
/* packets that wait for a session, per worker: peers (the longest waiting is given up), and packets
 * and bytes of each (oldest drops) */
#define LIM_HOLD_PEERS         32
#define LIM_HOLD_PACKETS       64
#define LIM_HOLD_BYTES         (128 * 1024)
#define LIM_RELAY_RATE         (32 * 1024 * 1024) /* bytes/s relayed for a peer: "relay_limited" */
#define LIM_TOOBIG_RATE        500 /* ICMP too-big made per second and worker: silence beyond */
#define LIM_PROBE_QUEUE        16 /* long datagrams that workers hand to control: dropped, counted */
#define LIM_SEGMENTS           256     /* VNIs on a node */
#define LIM_KERN_ROUTES        1048576 /* routes we keep in the kernel: more are refused, told */
#define LIM_KERN_DEVICES       1024 /* TUNs, devices of own prefixes: more are refused at start */

/* Records */
#define LIM_RECORD_BYTES       1100 /* one signed record: larger is refused */
#define LIM_RECORDS_PER_NODE   64   /* refused, counted, told */
#define LIM_RECORDS            131072
#define LIM_PREFIXES_PER_NODE  1024   /* summed over records */
#define LIM_PREFIXES           131072 /* summed over nodes: the record is kept, prefixes unused */
#define LIM_ENDPOINTS_PER_NODE 16
/* the highest start counter: no node comes to it; above it a record is refused, counted, its teller told */
#define LIM_EPOCH              ((uint64_t)1 << 48)
#define LIM_NODES              8192
#define LIM_GRAVES             4096 /* dropped nodes that are remembered: the oldest goes */
#define LIM_FORGOTTEN          4096 /* nodes that others said to forget: the oldest goes */
#define LIM_DIALS_PER_SEC      256  /* nodes that gossip asks to be dialled: they wait */

/* Membership */
#define LIM_MEMBER_HEARD_SECS 5    /* a node heard that lately is never declared dead */
#define LIM_MEMBER_NEIGHBOURS 24   /* overlay neighbours and dead nodes tried again: no more */
#define LIM_MEMBER_SUSPECTORS 6    /* nodes whose suspicion of one is kept: more add nothing */
#define LIM_MEMBER_HELPS      64   /* probes for others under way: answered "no" beyond */
#define LIM_MEMBER_ANSWERS    64   /* answers not yet taken: the oldest is dropped */
#define LIM_MEMBER_FACTS      1024 /* facts being told on: the oldest is dropped, counted */
/* nodes that a link may hold dead unproved, at once and then one per 10 s: ignored, counted */
#define LIM_MEMBER_NOTICES    1024
#define LIM_MEMBER_LIES       6 /* refuted suspicions of a node: its others don't count */
#define LIM_INCARNATION                                                                            \
	((uint64_t)1 << 62) /* above it a fact is refused, counted, its teller told */

/* Control socket and HTTP */
#define LIM_CTL_CLIENTS       32
#define LIM_CTL_REQUEST_BYTES (64 * 1024)
#define LIM_CTL_REPLY_BYTES   (64 * 1024 * 1024)
#define LIM_CTL_OBJECTS       (4 * 1024 * 1024) /* msgpack objects of a message: refused */
#define LIM_HTTP_CLIENTS      32                /* the one open longest is closed for a new one */

/* Files */
#define LIM_CONFIG_BYTES (1024 * 1024)
#define LIM_STATE_BYTES  (64 * 1024 * 1024)

/* BGP */
#define LIM_BGP_PEERS         1024    /* configured: more are refused */
#define LIM_BGP_PEER_PREFIXES 1048576 /* of one peer unless configured: Cease/1, session down */
#define LIM_BGP_ROUTES        4194304 /* paths of all peers and our own: Cease/8, or refused */
#define LIM_BGP_OUT_BYTES     65536   /* unsent, per connection: UPDATEs wait in the table */
#define LIM_BGP_CLOSING       256     /* connections whose end we wait for: the oldest is cut */
#define LIM_BGP_NEXTHOPS      4096    /* in kernel routes: routes by others stay out, counted */
#define LIM_BGP_LOG_LINES     32      /* told by BGP_LOG and not yet taken: dropped, counted */
#define LIM_POLICY_SETS       1024    /* named sets of route policy: refused, as the next three */
#define LIM_POLICY_SET        65536   /* values of one set */
#define LIM_POLICIES          4096    /* with those of peers without a name */
#define LIM_POLICY_RULES      4096    /* of all policies */
#define LIM_BGP_ROAS          1048576 /* entries of the file for origin validity: it is refused */
#define LIM_BFD_SESSIONS      1024    /* one per neighbour with `bfd`: more are refused */

/* Paths */
#define LIM_PATH_SENDS           512  /* messages not yet taken by the driver: dropped, counted */
#define LIM_PATH_PROBES_PER_SEC  4000 /* of all kinds: they wait for the next second */
#define LIM_PATH_CANDIDATES      5    /* relays asked at a time for one target */
#define LIM_PATH_SEARCHES        1024 /* searches for a relay at a time: others wait */
#define LIM_PATH_ASKS_PER_SEC    50   /* answered per asking node: silence beyond, counted */
#define LIM_PATH_REPLIES_PER_SEC 500  /* to probes, per node: silence beyond, counted */
#define LIM_PATH_PENDING         256  /* asks that wait for a measurement: answered "none" */
#define LIM_PATH_PUNCHES_PER_SEC 8 /* simultaneous opens arranged or obeyed: others are dropped */
#define LIM_PATH_WAYS            1024 /* origins of relayed handshakes: the oldest gives way */
#define LIM_PATH_SEEN            4    /* seen endpoints per node: the oldest gives way */

/* Ownership of prefixes */
#define LIM_OWN_RANGES 8192 /* ranges of all segments: refused at start */
#define LIM_OWN_WANTS  512 /* blocks to claim, --prefix auto/LEN and extra ones: refused at start */
#define LIM_OWN_EXTRA  16  /* of those, blocks taken because pods asked: no more are */
#define LIM_OWN_AVOID  64  /* blocks that this host can't use: the oldest is tried again */

/* Pods */
#define LIM_PODS         8192 /* attachments on a node: ADD answers 11 */
#define LIM_POD_PREFIXES 256  /* prefixes that pods get addresses from: the others are not used */
#define LIM_CNI_STDIN    (8 * 1024 * 1024) /* a plugin's configuration: refused */

/* Kubernetes (weft-kube) */
#define LIM_KUBE_OBJECT_BYTES (1024 * 1024) /* a Node: larger ones are passed over, told */
#define LIM_KUBE_RETRY_SECS   300           /* that a server may ask us to wait: less is done */
#define LIM_KUBE_REPLY_BYTES  (64 * 1024)   /* an answer to a patch: the rest is not kept */

#endif
