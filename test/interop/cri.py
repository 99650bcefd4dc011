"""The container runtime interface (runtime/v1) as far as t_containerd.sh needs it: cri.py SOCKET VERB ARGUMENT...

gRPC is HTTP/2 with a length before each message, which curl carries; a message is fields by number (CRI's api.proto),
written and read here: text, bytes and messages as length and content, numbers as varints.

run NAME [HOST-PORT]	a pod sandbox; prints its id
addresses ID		its addresses
start ID NAME IMAGE COMMAND...	a container in it, started; prints its id
exec ID COMMAND...	in a container: its output and its exit status
stop ID, remove ID	a sandbox
sandboxes		ids of all, with READY or NOTREADY
network			what the runtime says of the network: "true" or the reason"""
import os, subprocess, sys, tempfile


def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def message(*fields):
    """Of (number, value) each; a value is a number, text, bytes."""
    out = b''
    for number, v in fields:
        if isinstance(v, int):
            out += varint(number << 3) + varint(v)
        else:
            v = v.encode() if isinstance(v, str) else v
            out += varint(number << 3 | 2) + varint(len(v)) + v
    return out


def fields(b):
    """(number, value) each: a number or bytes."""
    i = 0

    def number():
        nonlocal i
        n = shift = 0
        while True:
            n |= (b[i] & 127) << shift
            shift, i = shift + 7, i + 1
            if b[i - 1] < 128:
                return n
    while i < len(b):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        elif tag & 7 == 2:
            n = number()
            yield tag >> 3, b[i:i + n]
            i += n
        else:
            raise ValueError(f'wire type {tag & 7}')


def one(b, number, default=b''):
    return next((v for k, v in fields(b) if k == number), default)


def call(method, body):
    with tempfile.TemporaryDirectory() as d:
        with open(f'{d}/in', 'wb') as f:
            f.write(b'\0' + len(body).to_bytes(4, 'big') + body)
        r = subprocess.run(['curl', '-s', '--http2-prior-knowledge', '--unix-socket', SOCKET, '-H', 'content-type: application/grpc', '-H', 'te: trailers',
                            '--data-binary', f'@{d}/in', '-D', f'{d}/head', '-o', f'{d}/out', '--max-time', '120',
                            f'http://localhost/runtime.v1.RuntimeService/{method}'], capture_output=True, text=True)
        head = dict(l.strip().split(':', 1) for l in open(f'{d}/head') if ':' in l) if os.path.exists(f'{d}/head') else {}
        if r.returncode != 0 or head.get('grpc-status', '').strip() != '0':
            sys.exit(f'{method}: curl {r.returncode} {r.stderr}, status {head.get("grpc-status")}: {head.get("grpc-message")}')
        out = open(f'{d}/out', 'rb').read()
    if out[:1] != b'\0' or int.from_bytes(out[1:5], 'big') != len(out) - 5:
        sys.exit(f'{method}: not one plain message')
    return out[5:]


def sandbox_config(name, port):
    namespace_options = message((1, 0), (2, 1))  # network: the pod's own; processes: each container's
    ports = [(5, message((2, 80), (3, int(port))))] if port else []
    return message((1, message((1, name), (2, f'uid-{name}'), (3, 'default'))), (2, name), *ports,
                   (8, message((2, message((1, namespace_options))))))


def run(name, port=None):
    print(one(call('RunPodSandbox', message((1, sandbox_config(name, port)))), 1).decode())


def addresses(sandbox):
    network = one(one(call('PodSandboxStatus', message((1, sandbox))), 1), 5)
    for number, v in fields(network):
        print(v.decode() if number == 1 else one(v, 1).decode())


def start(sandbox, name, image, *command):
    config = message((1, message((1, name))), (2, message((1, image))), *((3, c) for c in command))
    container = one(call('CreateContainer', message((1, sandbox), (2, config), (3, sandbox_config(name, None)))), 1)
    call('StartContainer', message((1, container)))
    print(container.decode())


def exec(container, *command):
    out = call('ExecSync', message((1, container), *((2, c) for c in command), (3, 20)))
    sys.stdout.buffer.write(one(out, 1))
    sys.stderr.buffer.write(one(out, 2))
    sys.exit(one(out, 3, 0))


def stop(sandbox):
    call('StopPodSandbox', message((1, sandbox)))


def remove(sandbox):
    call('RemovePodSandbox', message((1, sandbox)))


def sandboxes():
    for number, item in fields(call('ListPodSandbox', b'')):
        if number == 1:
            print(one(item, 1).decode(), 'NOTREADY' if one(item, 3, 0) else 'READY')


def network():
    for number, c in fields(one(call('Status', b''), 1)):
        if one(c, 1) == b'NetworkReady':
            print('true' if one(c, 2, 0) else one(c, 4).decode())


SOCKET = sys.argv[1]
if __name__ == '__main__':
    globals()[sys.argv[2]](*sys.argv[3:])
