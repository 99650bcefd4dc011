"""bgp_table.py FILE: lines "CASE ROUND SPEAKER METRIC VALUE" as a table per case: median [least-most], and behind it
the median of the ratios to BIRD within each round."""
import statistics, sys

UNITS = {'load': 's', 'load_cpu': 's', 'rss': 'MB', 'churn': 's', 'churn_cpu': 's', 'withdraw': 's', 'withdraw_cpu': 's', 'failed': ''}
values = {}
for line in open(sys.argv[1]):
    case, rnd, name, metric, value = line.split()
    values.setdefault(case, {}).setdefault(name, {}).setdefault(metric, {})[rnd] = float(value)

for case, names in values.items():
    units = {m: u for m, u in UNITS.items() if m != 'failed' or any('failed' in v for v in names.values())}
    rows = [[case] + [f'{m} {u}'.strip() for m, u in units.items()]]
    for name, metrics in names.items():
        row = [name]
        for m in units:
            v = metrics.get(m, {})
            if not v:
                row.append('-')
                continue
            digits = 0 if m in ('rss', 'failed') else 2
            cell = f'{statistics.median(v.values()):.{digits}f}'
            if len(v) > 1:
                cell += f' [{min(v.values()):.{digits}f}-{max(v.values()):.{digits}f}]'
            base = names.get('bird', {}).get(m, {})
            ratios = [v[r] / base[r] for r in v if base.get(r)]
            if ratios and name not in ('bird', 'self'):
                cell += f' x{statistics.median(ratios):.2f}'
            row.append(cell)
        rows.append(row)
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    print()
    for r in rows:
        print('  '.join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
