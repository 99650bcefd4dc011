"""Layer check: resolves each #include "..." to the folder that holds the header, and compares with
the table of allowed arrows; also which folders may use which library, and what proto/ may not call."""
import os, re, sys, tempfile

CORES = ['noise', 'gossip', 'ctl', 'bgp', 'bfd', 'ipam', 'kube', 'path', 'policy', 'own', 'link']
ALLOWED = {'include': set(), 'proto/base': {'include'}, 'proto/key': {'proto/base', 'include'}}
for c in CORES:
    ALLOWED['proto/' + c] = {'proto/key', 'proto/base', 'include'}
CLI = {'cli', 'include', 'proto/ctl', 'proto/key', 'proto/ipam', 'proto/base',
       'router/nl', 'router/file', 'router/ev'}
# Folders of router/ that are below others.
ROUTER = {
    'router/ev': set(), 'router/file': set(), 'router/priv': set(),
    'router/conf': {'proto/bgp'},
    'router/nl': {'router/priv'},
    'router/dp': {'router/priv', 'proto/noise'},
    'router/bgp': {'router/ev', 'proto/bgp', 'proto/bfd'},
    'router/lbgp': {'proto/bgp', 'proto/link'},
}
LIBS = {  # header pattern: folders that may include it
    r'event2?/|event\.h': {'router/ev'},
    r'libmnl/': {'router/nl'},
    r'yaml\.h': {'router/conf'},
    r'msgpack': {'proto/ctl', 'proto/gossip', 'router/svc', 'cli'},
    r'sodium': {'proto/key', 'proto/noise', 'proto/gossip', 'proto/link', 'router/file'},
    r'intel-ipsec-mb': {'proto/noise'},
    r'urcu': {'router/dp'},
    r'jansson': {'cli', 'cli/cni', 'proto/kube'},
    r'curl/': {'router/kube'},
}
PROTO_BAN_INC = re.compile(r'^(sys/socket|sys/epoll|pthread|poll|netinet/.*|net/.*|sys/uio|sys/ioctl)\.h$')
PROTO_BAN_CALL = re.compile(r'\b(clock_gettime|gettimeofday|time|random|rand|sendmsg|recvmsg|socket|pthread_create)\s*\(')

def folder_of(path):
    d = os.path.dirname(path)
    return 'include' if d.startswith('include') else d

def strip(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', lambda m: m.group(0) if m.group(0)[0] == '"' else
                  '\n' * m.group(0).count('\n'), text, flags=re.S)

def allowed(src, dst, inc=''):
    if src == dst:
        return True
    if src == 'cli' or src.startswith('cli/'):
        return dst in CLI or dst == 'cli'
    if src in ALLOWED:
        return dst in ALLOWED[src]
    if src.startswith('router'):
        if inc == 'compat.h':
            return True
        if dst in ('include', 'proto/base', 'proto/key'):
            return True
        if src in ROUTER:
            return dst in ROUTER[src]
        return dst.startswith('proto/') or dst.startswith('router')
    return False

def check(root):
    files = []
    for top in ('include', 'proto', 'router', 'cli'):
        for d, _, names in os.walk(os.path.join(root, top)):
            files += [os.path.relpath(os.path.join(d, n), root) for n in names if n.endswith(('.c', '.h'))]
    headers = {}
    for f in files:
        if f.endswith('.h'):
            key = f[len('include/'):] if f.startswith('include/') else os.path.basename(f)
            headers.setdefault(key, []).append(folder_of(f))
    bad = []
    for key, where in headers.items():
        if len(where) > 1:
            bad.append(f'{key}: header name in {len(where)} folders: {", ".join(where)}')
    for f in sorted(files):
        src = folder_of(f)
        text = strip(open(os.path.join(root, f), encoding='utf-8').read())
        for i, line in enumerate(text.split('\n'), 1):
            m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if m:
                inc = m.group(2)
                if m.group(1) == '"':
                    dst = headers.get(inc) or headers.get(os.path.basename(inc))
                    if not dst:
                        bad.append(f'{f}:{i}: "{inc}" is no header of this tree')
                    elif not allowed(src, dst[0], inc):
                        bad.append(f'{f}:{i}: {src} may not include {dst[0]} ({inc})')
                else:
                    for pat, where in LIBS.items():
                        if re.match(pat, inc) and src not in where:
                            bad.append(f'{f}:{i}: <{inc}> belongs in {", ".join(sorted(where))} only')
                    if src.startswith('proto') and PROTO_BAN_INC.match(inc):
                        bad.append(f'{f}:{i}: <{inc}>: no sockets and threads in proto/')
            elif src.startswith('proto') and PROTO_BAN_CALL.search(re.sub(r'"[^"]*"', '', line)):
                bad.append(f'{f}:{i}: proto/ may not call {PROTO_BAN_CALL.search(line).group(1)}()')
    return bad

def self_test():
    plants = [('proto/base/x.c', '#include "gossip.h"\n'), ('proto/noise/x.c', '#include "gossip.h"\n'),
              ('proto/bgp/x.c', '#include <sys/socket.h>\n'), ('proto/bgp/x.c', 'int f(void){return time(0);}\n'),
              ('router/dp/x.c', '#include "gossip.h"\n'), ('router/svc/x.c', '#include <event2/event.h>\n'),
              ('cli/x.c', '#include "dp.h"\n')]
    for path, text in plants:
        with tempfile.TemporaryDirectory() as d:
            for p, t in (('proto/gossip/gossip.h', ''), ('router/dp/dp.h', ''), (path, text)):
                os.makedirs(os.path.join(d, os.path.dirname(p)), exist_ok=True)
                open(os.path.join(d, p), 'w').write(t)
            if not check(d):
                sys.exit(f'layer check misses: {path}: {text}')

self_test()
bad = check(sys.argv[1])
print('\n'.join(bad) if bad else 'layers: fine')
sys.exit(1 if bad else 0)
