// Energy now: who gives, who takes. Widths follow power; dots and arrows follow direction; places never change.

import { html, useRef, useState, useLayoutEffect } from '/vendor/htm-preact.js';
import { doing, title, RESTING } from '/words.js';

const LEFT = ['pv', 'generator', 'grid', 'battery'];
const RIGHT = ['load', 'heat_pump', 'charge_point', 'shiftable_load', 'sheddable_load'];
const MANY = 3;

const ICONS = {
  pv: 'M12 7.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4',
  grid: 'M12 3L7 21M12 3l5 18M8.6 15h6.8M9.7 10.5h4.6M5 8h14M5 8v2M19 8v2',
  battery: 'M4 8h14v8H4zM18 10.5h2.5v3H18M7.5 11v2M11 11v2',
  generator: 'M4 9h11v8H4zM15 11h3v4h-3M7 9V6h5v3M10.5 10.8l-2 2.4h2.4l-2 2.4',
  load: 'M4 11l8-7l8 7v9H4zM10 20v-6h4v6',
  heat_pump: 'M12 12m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0M3.5 5h17v14h-17zM12 9V6.5M12 17.5V15M15 12h2.500M6.500 12H9',
  charge_point: 'M3.500 15v-3l2-5h10l2 5v3zM6.500 15v2M14.500 15v2M3.500 12h14M20.500 6v6a1.500 1.500 0 0 1-3 0',
  shiftable_load: 'M12 12m-8 0a8 8 0 1 0 16 0a8 8 0 1 0-16 0M12 7.500V12l3 2',
  sheddable_load: 'M9 3v5M15 3v5M6.500 8h11v3a5.500 5.500 0 0 1-11 0zM12 16.500V21',
};

export function Icon({ kind }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[kind] || ICONS.load} /></svg>`;
}

/** One node a component; many of a kind share one. */
function nodes(kinds, now, t, f, language) {
  return kinds.flatMap((kind) => {
    const own = now.components.filter((c) => c.kind === kind);
    if (own.length <= MANY) return own.map((c) => ({ kind, id: c.id, name: title(language, c), c, does: doing(t, f, c) }));
    // A sum with an unknown part is unknown, since the first of them is.
    const since = own.map((c) => c.unknown_since).filter(Boolean).sort()[0];
    const unknown = own.some((c) => c.power_kw === null);
    const busy = own.filter((c) => Math.abs(c.power_kw) > RESTING).length;
    const sum = { kind, id: kind, power_kw: unknown ? null : own.reduce((all, c) => all + c.power_kw, 0), unknown_since: since };
    const name = kind === 'charge_point' ? t('chargers', own.length) : t(kind);
    const plugged = own.some((c) => c.plugged) || (own.some((c) => c.plugged === null) ? null : false);
    return [{ kind, id: kind, name, c: sum, does: doing(t, f, { ...sum, plugged }), busy: `${busy} / ${own.length}` }];
  });
}

export function useWidth() {
  const ref = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    if (!ref.current) return undefined;
    const seen = new ResizeObserver(([e]) => setWidth(Math.round(e.contentRect.width)));
    seen.observe(ref.current);
    setWidth(Math.round(ref.current.getBoundingClientRect().width));
    return () => seen.disconnect();
  }, []);
  return [ref, width];
}

export function Flow({ now, t, f, language }) {
  const [left, right] = [LEFT, RIGHT].map((kinds) => nodes(kinds, now, t, f, language));
  const [ref, width] = useWidth();
  const rows = Math.max(left.length, right.length);
  const height = rows * (width > 100 ? Math.min(124, Math.max(88, 420 / rows)) : 84);
  const most = Math.max(1, ...[...left, ...right].map((n) => n.does.kw || 0));
  const through = left.some((n) => n.does.kw === null) ? null : left.reduce((s, n) => s + (n.does.state === 'out' ? n.does.kw : 0), 0);
  const side = (list) => html`<ul class="nodes" style=${{ height: `${height}px` }}>${list.map((n) => html`<${Node} key=${n.id} ...${n} f=${f} />`)}</ul>`;
  return html`<div class="flow" role="group" aria-label=${t('now')}>
    ${side(left)}
    <div class="links" ref=${ref}>
      ${width > 0 && html`<svg width=${width} height=${height} aria-hidden="true">
        ${left.map((n, i) => link(n, y(i, left.length, height), bus(i, left.length, height), width, most, false))}
        ${right.map((n, i) => link(n, y(i, right.length, height), bus(i, right.length, height), width, most, true))}
        <rect class="bus" x=${width / 2 - 5} y=${height / 2 - 46} width="10" height="92" rx="5" />
      </svg>
      <div class="through" style=${{ top: `${height / 2 + 52}px` }}>${through === null ? '–' : f.kw(through)}</div>`}
    </div>
    ${side(right)}
  </div>`;
}

const y = (i, n, height) => (height * (i + 0.5)) / n;
const bus = (i, n, height) => height / 2 + (i - (n - 1) / 2) * Math.min(24, 72 / n);

function link(n, at, joint, width, most, mirrored) {
  const { state, kw } = n.does;
  const active = kw > 0 && state !== 'rest';
  const mid = width / 2;
  const x = (v) => (mirrored ? width - v : v);
  const [from, to] = [[x(2), at], [x(mid - 4), joint]];
  const bend = x(mid * 0.5);
  const inward = state === 'out';
  const path = inward
    ? `M${from} C${bend},${at} ${bend},${joint} ${to}`
    : `M${to} C${bend},${joint} ${bend},${at} ${from}`;
  const thick = active ? 3 + 11 * Math.sqrt(kw / most) : 1.5;
  const angle = (Math.atan2(2 * (joint - at), (mirrored ? -1 : 1) * mid) * 180) / Math.PI + (inward ? 0 : 180);
  const head = 4.5 + thick * 0.36;
  return html`<g key=${n.id} class=${`link ${state} ${active ? 'active' : ''}`}>
    <path class="pipe" d=${path} stroke-width=${thick} />
    ${active && html`<path class="dots" d=${path} />
      <path class="head" transform=${`translate(${x(mid / 2)} ${(at + joint) / 2}) rotate(${angle})`} d=${`M${-head * 0.7},${-head} L${head},0 L${-head * 0.7},${head} Z`} />`}
  </g>`;
}

function Node({ kind, name, c, does, busy, f }) {
  const soc = c.soc === null || c.soc === undefined ? null : c.soc;
  return html`<li class=${`node ${does.state}`}>
    <${Icon} kind=${kind} />
    <div class="text">
      <div class="name">${name}${busy && html` <span class="busy">${busy}</span>`}${soc !== null && html` <span class="busy">${f.percent(soc)}</span>`}</div>
      <div class="does">${does.text}</div>
      ${soc !== null && html`<div class="bar" aria-hidden="true"><span style=${{ width: `${soc * 100}%` }} /></div>`}
    </div>
  </li>`;
}
