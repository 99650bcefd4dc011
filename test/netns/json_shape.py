"""json_shape.py VERB...: is the JSON on stdin what docs/json.md says of this verb? Every documented field is there
(unless documented as absent) with its type; anything else is an error too, so that the page can't fall behind."""
import json, re, sys

N, S, B = (int,), (str,), (bool,)
F = (int, float)
KEY = re.compile(r'^[a-z2-7]{52}$')
NONE = type(None)


class Opt:
    def __init__(self, shape): self.shape = shape


class Counts:
    """A map from a reason to a count."""


DROPS = Counts()
PATHS = dict.fromkeys(('links relayed lost probes_tx replies_rx mtu_probes_tx asks_tx asks_rx answers_tx answers_rx '
                       'deaths returns reroutes side_ports_off side_ports_on punches_asked punches_arranged '
                       'punches_opened unreachable no_way relays_bad rx_bad rx_stale rx_limited rx_refused dropped').split(), N)
PATHS['nat'] = S
RELAY = {'forwarded': N, 'bytes': N}
PREFIX = {'vni': N, 'prefix': S}
STATUS = {
    'version': S, 'ready': B, 'not_ready': [S], 'uptime_ms': N,
    'node': {'name': S, 'key': KEY, 'short': S, 'epoch': N, 'mesh_addresses': [S], 'control_address': S,
             'endpoints': [S]},
    'cluster': {'id': S, 'nodes': N, 'up': N},
    'encryption': {'mode': S, 'suites': [S], 'provider': S, 'sessions': N},
    'peers': {'known': N, 'up': N, 'dialling': N},
    'membership': {'alive': N, 'suspected': N, 'dead': N, 'left': N, 'neighbours': N, 'neighbours_linked': N,
                   'local_health': N, 'liars': N, 'storm': B, 'storms': N, 'deaths': N, 'false_alarms': N,
                   'bridges': N},
    'prefixes': {'own': [dict(PREFIX, device=S, kind=S)], 'ranges': [PREFIX], 'remote': N,
                 'refused': [{'prefix': S, 'node': S, 'why': S}]},
    'offloads': {'on': [S], 'off': [{'name': S, 'why': S}], 'workers': N, 'side_ports': N, 'mtu': N},
    'pod_mtu': {'mesh': N, 'smaller': N, 'devices': [{'device': S, 'mtu': N}]},
    'kernel': {'routes': N, 'rules': N, 'repaired': N, 'errors': N, 'notrack': B, 'notrack_why': S,
               'host_nat': B, 'masquerade': B, 'masquerade_why': S, 'accepts': N, 'accepts_why': S},
    'traffic': {'tx_packets': N, 'tx_bytes': N, 'rx_packets': N, 'rx_bytes': N, 'drops': DROPS, 'relay': RELAY},
    'warnings': [S], 'tune': [S],
}
PEER = {'name': S, 'key': KEY, 'short': S, 'self': B, 'up': B, 'left': B, 'away': B, 'link': S, 'version': S, 'epoch': N,
        'endpoints': [S], 'prefixes': [dict(PREFIX, exit=B)], 'since_ms': N}
CONNECTION = {
    'direction': S, 'endpoint': S, 'local': S, 'name': S, 'key': S, 'short': S, 'state': S, 'use': Opt(S), 'suite': Opt(S),
    'path': Opt(S), 'path_mtu': Opt(N), 'path_mtu_searching': Opt(B), 'halves': Opt(B), 'loss_permille': Opt(N),
    'black_holes': Opt(N), 'path_changes': Opt(N), 'relay': Opt(RELAY), 'rtt_ms': Opt(F + (NONE,)), 'key_age_ms': Opt(N), 'tx_bytes': Opt(N), 'tx_packets': Opt(N),
    'rx_bytes': Opt(N), 'rx_packets': Opt(N), 'drops': Opt(DROPS), 'side_ports': Opt([N]), 'attempts': Opt(N),
    'retry_ms': Opt(N + (NONE,)), 'error': S}
ROUTE = dict(PREFIX, kind=S, node=S, via=S, device=S, mtu=N, why=S)
IPAM = {
    'ranges': [{'vni': N, 'range': S, 'block_length': N, 'size': N, 'owned': N, 'leased': N, 'free': N, 'expired': N}],
    'prefixes': [dict(PREFIX, node=S, key=KEY, short=S, self=B, right=S, since_unix_secs=N, state=S, to=S, left_ms=N,
                      device=Opt(S), pods=Opt((dict, NONE)))],
    'wanted': [{'vni': N, 'family': N, 'length': N, 'state': S, 'next_ms': N}],
    'pods': [{'family': N, 'size': N, 'used': N, 'resting': N, 'free': N, 'exhausted': B}],
    'leases': {'running': N, 'paused': B, 'members': N, 'missing': N, 'ended': N},
    'claims': N, 'objections': N}
TARGET = {'text': S, 'state': S, 'endpoint': S, 'error': S}
VALUES = {  # what a field may say
    'kind': {'peer', 'local', 'exit', 'unreachable', 'refused'},
    'direction': {'->', '<-'},
    'state': {'established', 'known', 'dialling', 'waiting', 'resolving', 'failed', 'self',
              'in_use', 'lost', 'refused', 'leased', 'expired', 'exhausted'},
    'link': {'neighbour', 'demand', 'idle', ''},
    'use': {'neighbour', 'demand', 'idle', ''},
    'right': {'orchestrator', 'configuration', 'claim', 'other'},
}
NAME = re.compile(r'^[a-z0-9.-]*$')
CLUSTER = {'cluster': NAME, 'cluster_id': S, 'asn': N, 'ranges': [S]}
GATEWAY = {'key': KEY, 'short': S, 'endpoint': S, 'bgp': S, 'prefixes': N, 'last_resort': B}
CLUSTERS = {
    'self': dict(CLUSTER, gateway=B, bgp_error=S),
    'links': [dict(CLUSTER, link=NAME, invited=B, expires_unix_secs=N, state=re.compile('^(up|down|dialling|waiting)$'),
                   **{'import': S}, export=S, outside=B, last_refused=S, last_why=S,
                   refused=dict.fromkeys('own-range other-range default underlay segment policy'.split(), N),
                   gateways=[dict(GATEWAY, state=re.compile('^(up|greeting|refused|refuses|dialling)$'), why=S, since_ms=N)])],
    'gateways': [dict(GATEWAY, node=S, self=B)],
    'prefixes': [{'prefix': S, 'gateway': S, 'path': S, 'outside': B, 'exit': B, 'why': S}],
}
SHAPES = {
    'status clusters': CLUSTERS,
    'status': STATUS,
    'status peers': {'peers': [PEER]},
    'status connections': {'connections': [CONNECTION]},
    'status routes': {'routes': [ROUTE]},
    'status targets': {'targets': [TARGET]},
    'status ipam': dict(IPAM, attachments=[{'namespace': S, 'pod': S, 'container': S, 'interface': S, 'network': S, 'vni': N, 'addresses': [S]}]),
    'report': {'status': STATUS, 'peers': [PEER], 'connections': [CONNECTION], 'routes': [ROUTE], 'targets': [TARGET],
               'ipam': IPAM, 'counters': {'session': DROPS, 'gossip': DROPS, 'membership': DROPS, 'paths': PATHS, 'dataplane': DROPS}, 'config': {}},
    'message': {'message': S},
    'error': {'error': S, 'hint': Opt(S)},
    'version': {'version': S, 'schema': N},
}


def check(v, shape, at):
    if isinstance(shape, Opt):
        shape = shape.shape
    if isinstance(shape, Counts):
        check(v, (dict,), at)
        for k, n in v.items():
            check(n, N, at + '.' + k)
    elif isinstance(shape, re.Pattern):
        if not isinstance(v, str) or not shape.match(v):
            sys.exit(f'{at}: {v!r} is not {shape.pattern}')
    elif isinstance(shape, list):
        check(v, (list,), at)
        for i, item in enumerate(v):
            check(item, shape[0], f'{at}[{i}]')
    elif isinstance(shape, dict):
        check(v, (dict,), at)
        for k, s in shape.items():
            if k in v:
                check(v[k], s, at + '.' + k)
                if k in VALUES and not isinstance(s, re.Pattern) and v[k] not in VALUES[k]:
                    sys.exit(f'{at}.{k}: {v[k]!r} is not documented')
            elif not isinstance(s, Opt):
                sys.exit(f'{at}.{k} is missing')
        if shape and set(v) - set(shape):
            sys.exit(f'{at}: not documented: {sorted(set(v) - set(shape))}')
    elif type(v) not in shape:
        sys.exit(f'{at}: {v!r} is a {type(v).__name__}')


verb = ' '.join(sys.argv[1:])
check(json.load(sys.stdin), SHAPES[verb], verb)
