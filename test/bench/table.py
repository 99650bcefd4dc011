"""table.py FILE: lines "MODE ROUND NAME METRIC VALUE" as a table per mode: median [least-most], and behind it the
median of the ratios to VXLAN within each round."""
import statistics, sys

UNITS = {'tcp1': 'Gb/s', 'tcp4': 'Gb/s', 'udp64': 'kpps', 'rtt': 'ms', 'rtt_load': 'ms', 'cpu': 's/GB'}
values = {}
for line in open(sys.argv[1]):
    mode, rnd, name, metric, value = line.split()
    values.setdefault(mode, {}).setdefault(name, {}).setdefault(metric, {})[rnd] = float(value)

for mode, names in values.items():
    rows = [[mode] + [f'{m} {u}' for m, u in UNITS.items()]]
    for name, metrics in names.items():
        row = [name]
        for m in UNITS:
            v = metrics.get(m, {})
            if not v:
                row.append('-')
                continue
            digits = 0 if m == 'udp64' else 2
            cell = f'{statistics.median(v.values()):.{digits}f}'
            if len(v) > 1:
                cell += f' [{min(v.values()):.{digits}f}-{max(v.values()):.{digits}f}]'
            base = names.get('vxlan', {}).get(m, {})
            ratios = [v[r] / base[r] for r in v if base.get(r)]
            if ratios and name != 'vxlan':
                cell += f' x{statistics.median(ratios):.2f}'
            row.append(cell)
        rows.append(row)
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    print()
    for r in rows:
        print('  '.join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
