// Today: the plan against what happened, one row a kind, prices above, reasons below.

import { html, useState, useMemo, useEffect } from '/vendor/htm-preact.js';
import { read, unread } from '/api.js';
import { useWidth, Icon } from '/flow.js';
import { rows, valueAt, stepAt, STEP } from '/rows.js';
import { midnight } from '/format.js';
import { RESTING, directionOf } from '/words.js';

const HOUR = 3600000;

/** `[midnight, now, end]` in ms: all of today, and at least twelve hours ahead. */
export function span(zone, now) {
  const start = midnight(zone, now);
  return [start, now, Math.max(midnight(zone, now, 1), Math.ceil((now + 12 * HOUR) / HOUR) * HOUR)];
}

export function Day({ now, plan, past, prices, site, t, f, language }) {
  const at = Date.parse(now.at);
  const bounds = useMemo(() => span(site.time_zone, at), [Math.floor(at / 60000), site]);
  const list = useMemo(() => rows(now, past, plan, bounds), [past, plan, bounds]);
  const [ref, width] = useWidth();
  const [pointed, setPointed] = useState(null);
  const [asked, setAsked] = useState(null);
  const x = (time) => ((time - bounds[0]) / (bounds[2] - bounds[0])) * width;
  const moment = (e) => {
    const box = ref.current.getBoundingClientRect();
    const share = (e.clientX - box.left) / box.width;
    return share < 0 || share > 1 ? null : bounds[0] + share * (bounds[2] - bounds[0]);
  };
  const point = (e) => setPointed(moment(e));
  const ask = (e) => { const m = moment(e); setPointed(m); setAsked(m); };
  const when = pointed === null ? at : pointed;
  const frame = { x, width, at, pointed, bounds };
  return html`<section class="card day">
    <header><h2>${t('planTitle')}</h2><${Legend} t=${t} /></header>
    <div class="rows" onPointerMove=${point} onPointerDown=${ask} onPointerLeave=${(e) => e.pointerType === 'mouse' && setPointed(asked)}>
      <div class="ruler" aria-hidden="true"><span /><div ref=${ref} /></div>
      ${site.connection && html`<${Prices} prices=${prices} when=${when} frame=${frame} t=${t} f=${f} />`}
      ${list.map((r) => html`<${Row} key=${r.kind} row=${r} live=${pointed === null ? live(r.kind, now) : undefined} when=${when} frame=${frame} t=${t} f=${f} />`)}
      <${Hours} frame=${frame} zone=${site.time_zone} f=${f} t=${t} />
    </div>
    <${Reasons} now=${now} plan=${plan} when=${pointed} asked=${asked} at=${at} t=${t} f=${f} language=${language} />
  </section>`;
}

function Legend({ t }) {
  return html`<ul class="legend">
    <li><svg width="22" height="10"><rect class="fill" x="0" y="2" width="22" height="8" /><path class="line" d="M0 2H22" /></svg>${t('actual')}</li>
    <li><svg width="22" height="10"><path class="planned" d="M0 5H22" /></svg>${t('plan')}</li>
    <li class="extra"><svg width="22" height="10"><path class="first" d="M0 5H22" /></svg>${t('dayPlan')}</li>
  </ul>`;
}

const nice = (v) => {
  if (v <= 0) return 0;
  const unit = 10 ** Math.floor(Math.log10(v));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((m) => m * unit).find((m) => m >= v * 0.999);
};

function range(row) {
  if (row.fixed) return row.fixed;
  const values = [...row.actual.map((p) => p[1]), ...row.first.map((s) => s[2]), ...row.plan.map((s) => s[2])];
  return [-nice(-Math.min(0, ...values)), Math.max(nice(Math.max(0, ...values)), 0.5)];
}

const H = 46;

function Row({ row, live: present, when, frame, t, f }) {
  const [low, high] = range(row);
  const y = (v) => 3 + (H - 6) * (1 - (v - low) / (high - low));
  const { x, width, at, bounds } = frame;
  const known = present !== undefined ? present : when <= at ? valueAt(row.actual, when) : null;
  const meant = stepAt(when < at ? row.first : row.plan, when);
  const said = (v) => (v === null ? '–' : row.unit === '%' ? f.n0(v) : f.kwBare(Math.abs(v) < 0.05 ? 0 : v));
  const way = (v) => directionOf(t, row.kind, v);
  const number = (v) => (way(v) ? said(Math.abs(v)) : said(v));
  const shown = when <= at ? way(known) : '';
  return html`<div class="row">
    <div class="label"><span><span class="name">${t(row.kind)}</span> <span class="word">${shown}</span></span>
      <span class="values">
        ${when <= at && html`<b>${number(known)} ${row.unit}</b>`}
        <span class="meant">${t('planWord')} ${number(meant)} ${way(meant) === shown ? '' : way(meant)}</span>
      </span></div>
    <div class="plot">
      <svg width=${width} height=${H} aria-hidden="true">
        <rect class="future" x=${x(at)} y="0" width=${Math.max(0, width - x(at))} height=${H} />
        <line class="zero" x1="0" x2=${width} y1=${y(0)} y2=${y(0)} />
        <path class="fill" d=${area(row.actual, x, y, at)} />
        <path class="soft" d=${blocks(row.plan, x, y)} />
        <path class="first" d=${stairs(row.first, x, y)} />
        <path class="line" d=${line(row.actual, x, y, at)} />
        <path class="planned" d=${stairs(row.plan, x, y)} />
        <${Marks} frame=${frame} />
      </svg>
      <span class="top">${row.unit === '%' ? '100 %' : `${f.n1(high).replace(/[.,]0$/, '')} kW`}</span>
    </div>
  </div>`;
}

/** A row's value now, as the live state has it; null where one part is not known. */
function live(kind, now) {
  const own = now.components.filter((c) => c.kind === (kind === 'soc' ? 'battery' : kind));
  const values = own.map((c) => (kind === 'soc' ? c.soc : c.power_kw));
  if (values.some((v) => v === null || v === undefined)) return null;
  const all = values.reduce((a, b) => a + b, 0);
  if (kind === 'soc') return (all * 100) / own.length;
  return kind === 'pv' || kind === 'generator' ? -all : all;
}

function Marks({ frame }) {
  const { x, at, pointed } = frame;
  return html`<g><line class="now" x1=${x(at)} x2=${x(at)} y1="0" y2=${H} />
    ${pointed !== null && html`<line class="pointed" x1=${x(pointed)} x2=${x(pointed)} y1="0" y2=${H} />`}</g>`;
}

/** Runs of points without a gap; a mean stands for its whole step. */
function runs(points, at) {
  const all = [];
  for (const [t, v] of points) {
    const last = all[all.length - 1];
    if (last && t - last[last.length - 1][0] <= 3 * STEP * 1000) last.push([t, v]);
    else all.push([[t, v]]);
  }
  for (const run of all) {
    const [t, v] = run[run.length - 1];
    run.push([Math.min(t + STEP * 1000, at), v]);
  }
  return all;
}

const at1 = (v) => v.toFixed(1);
const line = (points, x, y, at) => runs(points, at).map((run) => `M${run.map(([t, v]) => `${at1(x(t))},${at1(y(v))}`).join('L')}`).join('');
const area = (points, x, y, at) => runs(points, at)
  .map((run) => `M${at1(x(run[0][0]))},${at1(y(0))}L${run.map(([t, v]) => `${at1(x(t))},${at1(y(v))}`).join('L')}L${at1(x(run[run.length - 1][0]))},${at1(y(0))}Z`).join('');
const stairs = (list, x, y) => list.map(([a, b, v], i) => `${i && list[i - 1][1] === a ? 'L' : 'M'}${at1(x(a))},${at1(y(v))}L${at1(x(b))},${at1(y(v))}`).join('');
const blocks = (list, x, y) => list.map(([a, b, v]) => `M${at1(x(a))},${at1(y(0))}L${at1(x(a))},${at1(y(v))}L${at1(x(b))},${at1(y(v))}L${at1(x(b))},${at1(y(0))}Z`).join('');

function Prices({ prices, when, frame, t, f }) {
  const { x, width, at, bounds } = frame;
  const list = prices.map((p, i) => ({ ...p, a: Date.parse(p.start), b: i + 1 < prices.length ? Date.parse(prices[i + 1].start) : Date.parse(p.start) + 900000 }))
    .filter((p) => p.import_per_kwh !== null && p.a < bounds[2] && p.b > bounds[0]);
  const values = list.map((p) => p.import_per_kwh);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const share = (v) => (high > low ? (v - low) / (high - low) : 0.3);
  const current = list.find((p) => p.a <= when && when < p.b);
  return html`<div class="row price">
    <div class="label"><span class="name">${t('priceRow')}</span>
      <span class="values"><b>${current ? f.perKwh(current.import_per_kwh) : '–'}</b>${current && current.estimated && html` <span class="word">${t('estimated')}</span>`}</span></div>
    <div class="plot"><svg width=${width} height=${H} aria-hidden="true">
      ${list.map((p) => {
        const s = share(p.import_per_kwh);
        const top = 4 + (H - 12) * (1 - s);
        return html`<rect key=${p.start} class=${`tariff ${p.estimated ? 'guess' : ''}`} x=${x(p.a)} width=${Math.max(0.5, x(p.b) - x(p.a) + 0.3)} y=${top} height=${H - top} opacity=${0.25 + 0.75 * s} />`;
      })}
      <${Marks} frame=${frame} /></svg>
      <span class="top">${values.length ? f.perKwh(high) : ''}</span>
    </div></div>`;
}

function Hours({ frame, zone, f, t }) {
  const { x, width, bounds } = frame;
  const every = width < 420 ? 6 : 3;
  const ticks = [];
  for (let h = 0; bounds[0] + h * HOUR <= bounds[2]; h += every) ticks.push(bounds[0] + h * HOUR);
  const tomorrow = midnight(zone, bounds[0] + 1000, 1);
  return html`<div class="row hours" aria-hidden="true"><div class="label" /><div class="plot">
    ${ticks.filter((h) => x(h) < width - 14).map((h) => html`<span key=${h} style=${{ left: `${x(h)}px` }}>${h === tomorrow ? t('tomorrow') : f.clock(h)}</span>`)}
  </div></div>`;
}

const TOLD = ['battery', 'charge_point', 'generator', 'heat_pump', 'shiftable_load', 'pv'];

/** Components worth a word in step `i`: those that move, and storage that waits. */
function told(now, plan, i) {
  const kw = (c) => Math.abs(((plan.power_kw || {})[c.id] || [])[i] || 0);
  const weight = (c) => (kw(c) > RESTING ? 100 : 0) - TOLD.indexOf(c.kind);
  const curtailed = (c) => c.kind !== 'pv' || /curtail|limit/.test(plan.why[c.id][i].reason.code);
  return now.components
    .filter((c) => TOLD.includes(c.kind) && (plan.why[c.id] || [])[i] && plan.why[c.id][i].en && curtailed(c))
    .filter((c) => kw(c) > RESTING || c.kind === 'battery' || plan.why[c.id][i].reason.code === 'wait_cheaper')
    .sort((a, b) => weight(b) - weight(a)).slice(0, 3);
}

/** Why, at the pointed moment or now; a tap asks the controller to solve the alternatives of that interval exactly. */
function Reasons({ now, plan, when, asked, at, t, f, language }) {
  if (when !== null && when < at - 60000) return html`<${Before} now=${now} when=${when} t=${t} f=${f} language=${language} />`;
  return html`<${Ahead} ...${{ now, plan, when, asked, at, t, f, language }} />`;
}

/** Waits until the cursor rests before the controller is asked. */
const RESTS = 150;

/** What was decided at a moment of the past, as the controller remembers it. */
function Before({ now, when, t, f, language }) {
  const minute = Math.floor(when / 60000) * 60000;
  const [told, setTold] = useState({ minute: null, list: [] });
  useEffect(() => {
    const ask = () => read(`decisions?at=${encodeURIComponent(new Date(minute).toISOString())}`)
      .then((list) => setTold({ minute, list })).catch(unread(() => setTold({ minute, list: null })));
    const timer = setTimeout(ask, RESTS);
    return () => clearTimeout(timer);
  }, [minute]);
  const known = told.minute === minute ? told.list : [];
  const named = (known || []).map((d) => ({ ...d, c: now.components.find((c) => c.id === d.component) }))
    .filter((d) => d.c && TOLD.includes(d.c.kind)).sort((a, b) => TOLD.indexOf(a.c.kind) - TOLD.indexOf(b.c.kind)).slice(0, 3);
  return html`<div class="reasons" aria-live="polite">
    <p class="moment"><b>${f.clock(when)}</b> <span>${t('decidedThen')}</span><span class="hint">${t('planHint')}</span></p>
    ${known === null ? html`<p class="hint">${t('pastUnknown')}</p>` : html`<ul>${named.map((d) => html`<li key=${d.component}><${Icon} kind=${d.c.kind} /><p>${d[language]}</p></li>`)}</ul>`}
  </div>`;
}

/** Why, now or at a moment of the plan. */
function Ahead({ now, plan, when, asked, at, t, f, language }) {
  const [exact, setExact] = useState({});
  const moment = when !== null && when >= at ? when : at;
  const starts = useMemo(() => (plan ? plan.start.map((s) => Date.parse(s)) : []), [plan]);
  let i = starts.findIndex((s) => s > moment) - 1;
  if (i === -2) i = starts.length - 1;
  const list = plan && plan.why && i >= 0 ? told(now, plan, i) : [];
  const pinned = asked !== null && asked >= at && moment === asked ? i : -1;
  useEffect(() => {
    if (pinned < 0) return undefined;
    let current = true;
    const ask = (c) => read(`why?component=${encodeURIComponent(c.id)}&at=${encodeURIComponent(plan.start[pinned])}`);
    Promise.all(list.map((c) => ask(c).then((w) => [`${plan.id} ${pinned} ${c.id}`, w.other[language]]).catch(unread(() => null))))
      .then((all) => current && setExact((old) => ({ ...old, ...Object.fromEntries(all.filter(Boolean)) })));
    return () => { current = false; };
  }, [pinned, plan && plan.id, language]);
  if (list.length === 0) return html`<p class="reasons hint">${t('planHint')}</p>`;
  const bus = (plan.bus_price_per_kwh || [])[i];
  return html`<div class="reasons" aria-live="polite">
    <p class="moment"><b>${f.clock(moment)}</b>${!now.writes && html` <span>${t('ifControlled')}</span>`}${bus != null && html` <span>${t('nodePrice')} ${f.perKwh(bus)}</span>`}<span class="hint">${t('planHint')}</span></p>
    <ul>${list.map((c) => {
    const w = plan.why[c.id][i];
    const other = exact[`${plan.id} ${i} ${c.id}`] || w[`other_${language}`];
    return html`<li key=${c.id}><${Icon} kind=${c.kind} /><p>${w[language]}${other && html` <span class="other">${other}</span>`}</p></li>`;
  })}</ul></div>`;
}
