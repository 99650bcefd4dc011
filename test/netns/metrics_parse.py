"""metrics_parse.py [NAME{LABELS}]: is every line on stdin Prometheus text format 0.0.4? Families are announced once,
before their samples, which stand together; samples are unique. Prints the value of the named sample, or how many there are."""
import re, sys

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf'^({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|NaN|[+-]Inf)$')
HEAD = re.compile(rf'^# (HELP|TYPE) ({NAME}) (.+)$')
kind, helped, seen, last, text = {}, set(), {}, None, sys.stdin.read()
if not text.endswith('\n'):
    sys.exit('the last line does not end')
for no, line in enumerate(text[:-1].split('\n'), 1):
    head, sample = HEAD.match(line), SAMPLE.match(line)
    if head:
        what, name, rest = head.groups()
        if name in (kind if what == 'TYPE' else helped):
            sys.exit(f'line {no}: {name} announced twice')
        if what == 'HELP':
            helped.add(name)
        elif rest not in ('counter', 'gauge', 'histogram', 'summary', 'untyped'):
            sys.exit(f'line {no}: type {rest}')
        else:
            kind[name], last = rest, name
    elif sample:
        name, labels, value = sample.groups()
        if name not in kind or name not in helped:
            sys.exit(f'line {no}: {name} was not announced')
        if name != last:
            sys.exit(f'line {no}: {name} stands among the samples of {last}')
        if kind[name] == 'counter' and not name.endswith('_total'):
            sys.exit(f'line {no}: counter {name} does not end in _total')
        if (name, labels) in seen:
            sys.exit(f'line {no}: {name}{labels} twice')
        seen[name, labels] = value
    else:
        sys.exit(f'line {no}: {line!r}')
if len(sys.argv) > 1 and sys.argv[1]:
    name, _, labels = sys.argv[1].partition('{')
    print(seen[name, '{' + labels if labels else None])
else:
    print(len(seen))
