// What the day's chart shows: one row a kind, actual from history, plan from the controller.

const ORDER = ['grid', 'pv', 'load', 'battery', 'soc', 'charge_point', 'heat_pump', 'generator', 'shiftable_load', 'sheddable_load'];
const GIVES = new Set(['pv', 'generator']);
export const STEP = 300;

/** Keys of the historian that the chart needs. */
export function keys(now) {
  return now.components.flatMap((c) => {
    const all = [`${c.kind}.active_power_watts.${c.id}`];
    if (c.kind === 'battery') all.push(`battery.state_of_charge_ratio.${c.id}`);
    return all;
  });
}

/** Sum of series at the instants all of them have: with an unknown part there is no sum. */
function sum(list) {
  if (list.some((points) => !points || !points.length)) return [];
  if (list.length === 1) return list[0];
  const at = new Map();
  for (const points of list) for (const [t, v] of points) at.set(t, [...(at.get(t) || []), v]);
  return [...at].filter(([, v]) => v.length === list.length).map(([t, v]) => [t, v.reduce((a, b) => a + b, 0)]).sort((a, b) => a[0] - b[0]);
}

/** Planned steps `[start, end, value]` of components, `[from, to)` only. */
function steps(plan, pick, [from, to]) {
  if (!plan) return [];
  const starts = plan.start.map((s) => Date.parse(s));
  const end = Date.parse(plan.end);
  return starts.flatMap((a, i) => {
    const b = i + 1 < starts.length ? starts[i + 1] : end;
    const v = pick(plan, i);
    if (v === null || v === undefined || b <= from || a >= to) return [];
    return [[Math.max(a, from), Math.min(b, to), v]];
  });
}

const total = (table, ids) => (i) => {
  let all = null;
  for (const id of ids) {
    if (!table || !table[id] || table[id][i] === undefined) return null;
    all = (all || 0) + table[id][i];
  }
  return all;
};

function row(kind, own, past, plan, [from, at, to]) {
  const soc = kind === 'soc';
  const ids = own.map((c) => c.id);
  const turn = GIVES.has(kind) ? -1 : 1;
  const scale = soc ? 100 / own.length : turn / 1000;
  const field = soc ? 'battery.state_of_charge_ratio' : `${kind}.active_power_watts`;
  const actual = sum(ids.map((id) => past[`${field}.${id}`])).map(([t, v]) => [t, v * scale]);
  const pick = (p, i) => {
    const v = total(soc ? p.soc : p.power_kw, ids)(i);
    return v === null ? null : v * (soc ? 100 / own.length : turn);
  };
  return {
    kind, actual,
    first: plan && plan.day_plan ? steps(plan.day_plan, pick, [from, at]) : [],
    plan: steps(plan, pick, [at, to]),
    unit: soc ? '%' : 'kW',
    fixed: soc ? [0, 100] : null,
  };
}

/** Rows from the top of the chart to its bottom; `span` = [midnight, now, end]. */
export function rows(now, past, plan, span) {
  const list = ORDER.map((kind) => {
    const own = now.components.filter((c) => c.kind === (kind === 'soc' ? 'battery' : kind));
    return own.length ? row(kind, own, past, plan, span) : null;
  });
  return list.filter((r) => r && (r.actual.length || r.plan.length));
}

/** Value of `[t, v]` points at `t`; null in a gap. */
export function valueAt(points, t) {
  for (let i = points.length - 1; i >= 0; i--) {
    if (points[i][0] <= t) return t - points[i][0] < 3 * STEP * 1000 ? points[i][1] : null;
  }
  return null;
}

export function stepAt(list, t) {
  const found = list.find(([a, b]) => a <= t && t < b);
  return found ? found[2] : null;
}
