"""bgp_table.py FILE: lines "CASE ROUND SPEAKER METRIC VALUE" as a table per case: median [least-most], and behind it
the median of the ratios to BIRD within each round. A VALUE ">SECS" is a phase that was given up, "!WHY" one that
failed: the cell says in how many rounds, and the reason stands below the table."""
import statistics, sys

UNITS = {'load': 's', 'load_cpu': 's', 'rss': 'MB', 'churn': 's', 'churn_cpu': 's', 'withdraw': 's', 'withdraw_cpu': 's'}
values, given_up, notes = {}, {}, {}
for line in open(sys.argv[1]):
    case, rnd, name, metric, value = line.rstrip('\n').split(' ', 4)
    values.setdefault(case, {}).setdefault(name, {})
    if value[0] == '!':
        notes.setdefault(case, []).append(f'{name}, round {rnd}, {metric}: {value[1:]}')
        metric, value = ('load' if metric not in UNITS else metric), '!'
    if value[0] in '>!':
        given_up.setdefault((case, name, metric), []).append(value)
    else:
        values[case][name].setdefault(metric, {})[rnd] = float(value)


def cell(case, name, metric):
    """What one speaker took; empty strings where it was not measured."""
    v = values[case][name].get(metric, {})
    digits = 0 if metric == 'rss' else 2
    parts = []
    if v:
        parts.append(f'{statistics.median(v.values()):.{digits}f}')
        if len(v) > 1:
            parts.append(f'[{min(v.values()):.{digits}f}-{max(v.values()):.{digits}f}]')
        base = values[case].get('bird', {}).get(metric, {})
        ratios = [v[r] / base[r] for r in v if base.get(r)]
        if ratios and name not in ('bird', 'self'):
            parts.append(f'x{statistics.median(ratios):.2f}')
    for value in sorted(set(given_up.get((case, name, metric), []))):
        n = given_up[case, name, metric].count(value)
        parts.append(('failed' if value == '!' else f'> {value[1:]}') + (f' ({n}x)' if n > 1 else ''))
    return ' '.join(parts) or '-'


for case, names in values.items():
    rows = [[case] + [f'{m} {u}' for m, u in UNITS.items()]]
    rows += [[name] + [cell(case, name, m) for m in UNITS] for name in names]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    print()
    for r in rows:
        print('  '.join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
    for note in notes.get(case, []):
        print(f'  {note}')
